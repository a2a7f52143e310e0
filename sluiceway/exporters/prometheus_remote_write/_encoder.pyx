"""OTLP metrics as requests of Prometheus's remote write, 1.0 and 2.0, in one walk over the bytes of a batch.

What a series is called is asked of Python once, and kept: the walk finds it again by the bytes of the point's resource,
scope, metric and attributes. All samples of a series stand together, in the order of their times. The points whose
series belong together, such as the buckets of a histogram, form a group, and no group is divided among requests.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport qsort
from libc.string cimport memcmp, memcpy, memset

from sluiceway.exporters.prometheus_remote_write._accumulate cimport (
    Accumulator, Accumulators, accumulator, accumulators_free, add_delta, expire_all, settle_all, take_back, touch,
)
from sluiceway.exporters.prometheus_remote_write._index cimport (
    Entry, Index, hash_of, index_add, index_find, index_free, index_put,
)
from sluiceway.otlp._anyvalue cimport malformed
from sluiceway.otlp._arena cimport Arena, Piece, arena_free, arena_take, arena_zeroed, out_of_memory
from sluiceway.otlp._attributes cimport Text
from sluiceway.otlp._containers cimport (
    EXPONENTIAL_HISTOGRAM, GAUGE, HISTOGRAM, SUM, SUMMARY, FIRST, SECOND, enter_field, is_data,
)
from sluiceway.otlp._message cimport next_field
from sluiceway.otlp._proto cimport RELEASE_ABOVE, Buffer, buffer_free, bytes_at, varint_size
from sluiceway.prometheus._checks cimport prepare
from sluiceway.prometheus._exemplars cimport read_exemplar
from sluiceway.prometheus._native cimport put_spans, zero_threshold
from sluiceway.prometheus._points cimport NO_RECORDED_VALUE, Point, read_point
from sluiceway.prometheus._values cimport MIN_SCALE, Distribution, as_distribution, same_bounds
from sluiceway.prometheus._writing cimport put, put_byte, put_text, put_varint, to_zigzag, varint

cdef enum:
    MOST_BOUNDS = 1000  # of a histogram or summary: each is a series of its own
    LARGEST_KEPT = 1 << 24  # bytes of a buffer that is not given back after its batch
    MILLISECOND = 1_000_000
    TOLD_EVERY = 30_000  # milliseconds between two samples that say what a resource is
    FORGIVEN = 3_600_000  # by which the last one may have been ahead of time, before it counts as a mistake
    INFO = 0  # in place of a metric's tag: the series of a resource

cdef uint64_t FARTHEST_AHEAD = 600_000_000_000ULL  # nanoseconds a point may be ahead of our clock: Prometheus' own limit

cdef enum:  # why a point cannot be carried
    IS_DELTA = 0
    NO_TEMPORALITY = 1
    TOO_OLD = 2
    TOO_MANY = 3
    TOO_COARSE = 4
    NO_VALUE = 5
    NO_TIME = 6
    ODD_BUCKETS = 7
    NO_NAME = 8
    ODD_QUANTILES = 9
    AHEAD = 10
    OTHER_TYPE = 11
    DUPLICATE = 12
    REASONS = 13
    CARRIED = 100

REASON_NAMES = (
    "delta", "temporality", "out of order", "max_streams", "scale", "no value", "no time", "buckets", "name",
    "quantiles", "future", "type", "duplicate",
)

cdef uint64_t STALE = 0x7FF0000000000002ULL
cdef uint64_t NAN = 0x7FF8000000000001ULL
cdef uint32_t NOWHERE = 0xFFFFFFFF


cdef struct Exemplar:
    Exemplar* next
    double value
    int64_t time
    Text* texts  # names and values by turns
    uint32_t count


cdef struct Group


cdef struct Carried:
    # A point that goes along.
    Group* group
    Accumulator* stream  # that it was added to, if it was a delta
    uint64_t time  # nanoseconds
    uint32_t number  # in its batch
    bint lost  # a newer one of the same series has the same millisecond


cdef struct Waiting:
    # A delta of a batch whose deltas are not in the order of their times: they are added up when all are there.
    Carried* point
    Shape* shape
    Text content
    uint32_t member
    uint64_t monotonic


cdef struct Sample:
    Sample* next
    int64_t time  # milliseconds
    int64_t start
    uint64_t value  # the bits of a double
    Text native  # the fields of a Histogram; NULL for a plain sample
    Carried* point


cdef struct Family:
    # What is said of a metric, the same for all of its series.
    uint32_t type
    Entry* kind  # type and unit, which all samples of a series must have in common
    Entry* help  # symbols
    Entry* unit
    Text metadata  # a field of the first message
    uint64_t mark  # of the last request that holds it


cdef struct Series:
    Series* next  # in its group
    Series* touched
    Group* group
    Family* family  # of the metric that came first in the last batch that had any
    Text labels  # as fields of the first message
    Entry** symbols  # as names and values by turns, for the second
    uint32_t symbol_count
    uint64_t epoch
    Sample* first
    Sample* last
    uint32_t count
    bint unsorted
    Exemplar* exemplars
    Exemplar* last_exemplar
    int64_t told  # until when a resource has been told of
    int64_t told_before


cdef struct Group:
    Group* touched
    Series* parts
    Series* first
    Series* last
    uint64_t epoch
    uint32_t request
    bint told  # no point has come of it, only what a resource is


cdef struct Shape:
    # What a point with these labels and bounds becomes.
    Group* group
    Family* family
    Series** parts
    uint32_t count
    Entry* identity
    Accumulator* accumulator
    uint64_t generation


cdef inline size_t arena_size(const Arena* arena) noexcept nogil:
    cdef const Piece* piece = arena.newest
    cdef size_t size = 0
    while piece != NULL:
        size += piece.capacity
        piece = piece.older
    return size


cdef inline void arena_reset(Arena* arena) noexcept nogil:
    """Begin anew in the piece of memory that is there, since asking for it again costs more than it is worth."""
    cdef Arena older
    if arena.newest != NULL:
        older.newest = arena.newest.older
        arena_free(&older)
        arena.newest.older = NULL
        arena.newest.used = 0


cdef int by_time(const void* left, const void* right) noexcept nogil:
    cdef const Sample* a = (<const Sample**>left)[0]
    cdef const Sample* b = (<const Sample**>right)[0]
    if a.time != b.time:
        return 1 if a.time > b.time else -1
    return later(a.point, b.point)


cdef int by_turn(const void* left, const void* right) noexcept nogil:
    return later((<const Waiting*>left).point, (<const Waiting*>right).point)


cdef inline int later(const Carried* a, const Carried* b) noexcept nogil:
    """1 where the first is newer, or came later at the same time, else -1."""
    if a.time != b.time:
        return 1 if a.time > b.time else -1
    return 1 if a.number > b.number else -1


cdef inline uint64_t bits(double value) noexcept nogil:
    cdef uint64_t number
    if value != value:  # one NaN is kept for stale series
        return NAN
    memcpy(&number, &value, 8)
    return number


cdef inline int64_t milliseconds(uint64_t nanoseconds) noexcept nogil:
    return <int64_t>(nanoseconds // MILLISECOND)


cdef class RemoteWriteEncoder:
    """What one exporter knows of its series. `encode` makes requests of a batch; one call at a time."""

    cdef object describe
    cdef object label_exemplar
    cdef bint second  # io.prometheus.write.v2.Request
    cdef bint with_metadata
    cdef bint accumulates
    cdef size_t largest
    cdef size_t max_cached
    cdef uint64_t seed
    cdef uint64_t epoch
    cdef uint64_t mark  # of the request that is being written
    cdef readonly size_t cached  # bytes
    # Kept from batch to batch, until it is too much.
    cdef Arena cache
    cdef Index headers  # resources, scopes and metrics
    cdef Index shapes
    cdef Index groups
    cdef Index series_by_labels
    cdef Index families
    cdef Index symbols
    cdef Accumulators streams
    # Of one batch.
    cdef Arena arena
    cdef Index fresh  # symbols that are not worth keeping
    cdef Group* first_group
    cdef Group* last_group
    cdef Buffer carried  # a Carried* for each point; NULL for one that is not
    cdef Buffer waiting
    cdef bint again  # the points have been encoded before
    cdef bint waits  # deltas are to be added up at the end
    cdef bint disordered  # they should have been
    cdef Carried* current
    cdef Carried nobody  # in place of a point, for what tells of resources
    cdef bint clashes  # samples of a series have the same time
    cdef uint64_t rejected[REASONS]
    cdef uint64_t now
    cdef Point point
    cdef Entry* resource
    cdef Entry* scope
    cdef Entry* metric
    cdef Text schema_url
    cdef Text name
    cdef Text unit
    cdef Text description
    cdef uint32_t member
    cdef uint64_t temporality
    cdef uint64_t monotonic
    cdef uint64_t latest
    cdef Buffer key
    cdef Buffer resource_bytes
    cdef Buffer scope_bytes
    cdef size_t scope_size  # without the URL of its schema
    cdef Buffer scratch
    cdef Buffer native
    # Of one request.
    cdef list requests
    cdef uint32_t number  # how many there are
    cdef Buffer body
    cdef Buffer symbol_bytes
    cdef Buffer line
    cdef Buffer refs
    cdef uint32_t symbol_count
    cdef uint32_t samples
    cdef uint32_t histograms
    cdef uint32_t exemplars

    def __init__(
        self, describe, label_exemplar, *, bint second, bint metadata, bint accumulate, size_t max_bytes,
        size_t max_streams, size_t max_cached, uint64_t seed,
    ):
        self.describe, self.label_exemplar = describe, label_exemplar
        self.second, self.with_metadata, self.accumulates = second, metadata, accumulate
        self.largest, self.max_cached, self.seed = max_bytes, max_cached, seed
        self.streams.limit = max_streams

    def __dealloc__(self):
        arena_free(&self.cache)
        arena_free(&self.arena)
        index_free(&self.headers)
        index_free(&self.shapes)
        index_free(&self.groups)
        index_free(&self.series_by_labels)
        index_free(&self.families)
        index_free(&self.symbols)
        index_free(&self.fresh)
        accumulators_free(&self.streams)
        self.free_buffers()

    cdef void free_buffers(self, size_t above=0) noexcept:
        """Give back the buffers that are larger."""
        cdef Buffer* buffers[17]
        cdef int i
        buffers[0], buffers[1], buffers[2], buffers[3] = &self.carried, &self.key, &self.resource_bytes, &self.scope_bytes
        buffers[4], buffers[5], buffers[6], buffers[7] = &self.scratch, &self.native, &self.body, &self.symbol_bytes
        buffers[8], buffers[9], buffers[10] = &self.line, &self.refs, &self.point.key
        buffers[11], buffers[12], buffers[13] = &self.point.bounds, &self.point.counts[0], &self.point.counts[1]
        buffers[14], buffers[15], buffers[16] = &self.point.values, &self.point.exemplars, &self.waiting
        for i in range(17):
            if buffers[i].capacity > above:
                buffer_free(buffers[i])

    @property
    def series(self):
        """How many sets of labels are known."""
        return self.shapes.count

    @property
    def delta_series(self):
        """How many delta series are being added up."""
        return self.streams.count

    def encode(self, bytes payload, uint64_t now, *, bint again=False):
        """The requests for a `MetricsData`; `now` is nanoseconds of the wall clock.

        `again` says that the points have been encoded before: those whose deltas were not taken back since become the
        newest sum of their series, which they are in.

        Returns a list of requests, each with its numbers of samples, histograms and exemplars and whether it has
        points, or tells of resources alone; for each point, in order, the number of its request as a uint32, or
        0xFFFFFFFF for one that cannot be carried; and how many these are, by reason.
        """
        cdef uint32_t i
        self.again = again
        self.walk(payload, now, again)
        if self.disordered:
            self.revert()
            self.walk(payload, now, True)
        requests, self.requests = self.requests, []
        return requests, self.tell_owners(), {
            REASON_NAMES[i]: self.rejected[i] for i in range(REASONS) if self.rejected[i]
        }

    def revert(self, request=None):
        """Forget that the last batch was encoded, or what went into one request: its points come again."""
        cdef Group* group = self.first_group
        cdef Accumulator** link = &self.streams.touched
        cdef Accumulator* one
        cdef Series* series
        cdef bint whole = request is None
        cdef uint32_t number = NOWHERE if whole else request
        while link[0] != NULL:
            one = link[0]
            if whole or (<const Group*>one.owner).request == number:
                link[0] = one.touched
                take_back(one)
            else:
                link = &one.touched
        while group != NULL:
            series = group.first if whole or group.request == number else NULL
            while series != NULL:
                series.told = series.told_before
                series = series.touched
            group = group.touched

    def expire(self, uint64_t before):
        """Forget the delta series of which nothing came since, in nanoseconds of the wall clock."""
        expire_all(&self.streams, before)

    cdef int walk(self, bytes payload, uint64_t now, bint waits) except -1:
        cdef bytes_at p = <bytes_at>PyBytes_AS_STRING(payload)
        cdef size_t size = len(payload)
        self.begin(now)
        self.waits, self.disordered = waits, False
        if size > RELEASE_ABOVE:
            with nogil:
                run(self, p, size)
        else:
            run(self, p, size)
        return 0

    cdef int begin(self, uint64_t now) except -1:
        settle_all(&self.streams)
        arena_reset(&self.arena)
        self.free_buffers(LARGEST_KEPT)
        self.fresh.count = 0
        if self.fresh.capacity:
            memset(self.fresh.slots, 0, self.fresh.capacity * sizeof(Entry*))
        self.cached = arena_size(&self.cache)
        if self.cached > self.max_cached:
            self.forget()
        self.first_group = self.last_group = NULL
        self.carried.size = self.waiting.size = 0
        self.clashes = False
        memset(self.rejected, 0, sizeof(self.rejected))
        self.requests = []
        self.epoch += 1
        self.now = now
        begin_request(self)
        return 0

    cdef void forget(self) noexcept:
        """Begin anew with what is known of series; their accumulators stay."""
        arena_free(&self.cache)
        index_free(&self.headers)
        index_free(&self.shapes)
        index_free(&self.groups)
        index_free(&self.series_by_labels)
        index_free(&self.families)
        index_free(&self.symbols)
        self.cached = 0

    cdef bytes tell_owners(self):
        cdef size_t count = self.carried.size // sizeof(Carried*)
        cdef bytes told = PyBytes_FromStringAndSize(NULL, 4 * count)
        cdef uint32_t* place = <uint32_t*>PyBytes_AS_STRING(told)
        cdef Carried** points = <Carried**>self.carried.data
        cdef size_t i
        for i in range(count):
            place[i] = NOWHERE if points[i] == NULL or points[i].lost else points[i].group.request
        return told


include "_walk.pxi"
include "_shapes.pxi"
include "_samples.pxi"
include "_clashes.pxi"
include "_requests.pxi"
