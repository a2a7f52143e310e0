"""The store of series: what came in last, by what it came from, and by the labels under which it is shown."""

from libc.stdint cimport uint32_t, uint64_t

from sluiceway.otlp._anyvalue cimport AnyValue
from sluiceway.otlp._arena cimport Arena
from sluiceway.otlp._attributes cimport Attributes, Text
from sluiceway.otlp._proto cimport Buffer, bytes_at
from sluiceway.prometheus._points cimport Point
from sluiceway.prometheus._series cimport Series, Stream


cdef struct Family:
    # All series of one name. A series that is gone leaves a hole, which is closed while nobody reads.
    Series** series
    uint32_t count  # with holes
    uint32_t capacity
    uint32_t live
    bint collided  # that was told


cdef struct Metric:
    int family  # negative: its points are refused, for the reason of that number
    int kind
    bint is_delta
    bint is_counter


cdef class Store:
    cdef object names
    cdef readonly list families
    cdef Family* family
    cdef uint32_t family_count
    cdef list free_families
    cdef Metric* metrics
    cdef uint32_t metric_count
    cdef list free_metrics
    cdef Stream** streams
    cdef size_t stream_buckets
    cdef readonly size_t stream_count
    cdef size_t variant_count
    cdef readonly size_t overflow_count
    cdef Series** table
    cdef size_t series_buckets
    cdef readonly size_t series_count
    cdef size_t max_series
    cdef bint with_exemplars
    cdef uint64_t seed
    cdef public uint32_t readers
    cdef dict metric_ids
    cdef dict resource_ids
    cdef dict scope_ids
    cdef dict resources
    cdef dict scopes
    cdef dict targets
    cdef dict uses
    cdef dict label_names
    cdef uint64_t next_id
    cdef Point point
    cdef Arena arena
    cdef Attributes attributes
    cdef Buffer canonical
    cdef Buffer labels
    cdef double now
    cdef uint64_t wall
    cdef dict outcome

    cdef int add_resource(self, bytes_at start, bytes_at end) except -1
    cdef int add_scope(self, bytes_at start, bytes_at end, uint64_t resource) except -1
    cdef int add_metric(self, bytes_at start, bytes_at end, uint64_t resource, uint64_t scope) except -1
    cdef uint64_t resource_of(self, bytes raw) except 0
    cdef uint64_t scope_of(self, bytes raw, bytes url) except 0
    cdef uint32_t metric_of(self, bytes key, bytes name, bytes unit, bytes description, Metric* told) except? 0xFFFFFFFF
    cdef int note(self, str what) except -1
    cdef int add_point(self, uint32_t metric, uint64_t resource, uint64_t scope) except -1
    cdef int apply(self, Metric* metric, Stream* stream) except -1
    cdef int take(self, Metric* metric, Series* series) except -1
    cdef int add_up(self, Metric* metric, Series* series) except -1
    cdef int take_exemplars(self, Metric* metric, Series* series) except -1
    cdef int take_exemplar(self, Metric* metric, Series* series, bytes_at p, bytes_at end) except -1
    cdef bytes exemplar_labels(self, bytes trace_id, bytes span_id)
    cdef Stream* find_stream(
        self, uint32_t metric, uint64_t resource, uint64_t scope, const Buffer* key
    ) noexcept nogil
    cdef Stream* stream_of(self, uint32_t metric, uint64_t resource, uint64_t scope, bint make) except? NULL
    cdef Stream* make_stream(
        self, uint32_t metric, uint64_t resource, uint64_t scope, const Buffer* key
    ) except NULL
    cdef bint attach_safely(self, Stream* stream, list pairs) except? False
    cdef Stream* overflow_of(self, uint32_t metric) except? NULL
    cdef int attach(self, Stream* stream, list pairs, int kind) except -1
    cdef Series* series_at(self, uint32_t family) except NULL
    cdef list gathered(self)
    cdef bytes key_value(self, bytes key, AnyValue* any, Text value)
    cdef list read_message(self, bytes raw, uint32_t wanted)
    cdef list read_attributes(self, bytes_at p, bytes_at end)
    cdef bytes label_of(self, bytes key)
    cdef int touch(self, uint64_t resource) except -1
    cdef void drop_stream(self, Stream* stream) noexcept
    cdef void drop_series(self, Series* series) noexcept
    cdef int drop_old(self, double limit) except -1
    cdef int tidy(self) except -1
