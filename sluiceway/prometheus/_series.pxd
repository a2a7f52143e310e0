"""What is kept of a series: its labels, the last value, and of delta streams what has been counted already."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memmove

from sluiceway.otlp._arena cimport out_of_memory
from sluiceway.prometheus._points cimport Point
from sluiceway.prometheus._values cimport Distribution, bound_of, distribution_clear, room, set_point

cdef enum:
    MOST_GAPS = 4  # times without data in a delta stream that are remembered, for what comes late
    MOST_EXEMPLARS = 10  # of an exponential histogram; others have one a bucket


cdef struct Gap:
    uint64_t start
    uint64_t end


cdef struct Gaps:
    uint32_t count
    Gap list[MOST_GAPS]


cdef struct Exemplar:
    double value
    uint64_t time
    size_t size  # of the labels, which stand behind: name and value in turn, each with its length in front


cdef struct Stream:
    # What comes from one place: a metric with its attributes, of one resource and scope, in one order of attributes.
    Stream* chain  # in its hash bucket
    Stream* sibling  # the next of the same series
    Stream* main  # itself, or the one with the same attributes in their order
    Series* series
    uint64_t hash
    double seen  # seconds of the monotonic clock
    uint64_t first  # where the time begins that is known, and where it ends: of deltas
    uint64_t last
    Gaps* gaps
    bint began
    bint overflow
    uint32_t metric
    uint64_t resource
    uint64_t scope
    size_t key_size
    uint8_t key[1]


cdef struct Series:
    Series* chain
    uint64_t hash
    Stream* streams
    Stream* owner  # who gave the value
    double seen
    uint64_t time
    uint64_t start
    double number
    int64_t integer
    Distribution* distribution
    Exemplar** exemplars
    uint32_t exemplar_count
    uint32_t family
    uint32_t place  # in its family
    int kind  # of what it holds
    bint is_integer
    bint has_value
    bint adds_up  # its value is the sum of deltas
    bint is_legacy  # its labels are named by Prometheus' old rules
    size_t label_size
    uint8_t labels[1]  # name and value in turn, each with its length in front; in the order of the names


cdef inline void series_free(Series* series) noexcept nogil:
    cdef uint32_t i
    cdef Distribution* d = series.distribution
    if d != NULL:
        distribution_clear(d)
        free(d)
    if series.exemplars != NULL:
        for i in range(series.exemplar_count):
            free(series.exemplars[i])
        free(series.exemplars)
    free(series)


cdef inline void stream_free(Stream* stream) noexcept nogil:
    free(stream.gaps)
    free(stream)


cdef inline void remember_gap(Stream* stream, uint64_t start, uint64_t end) noexcept nogil:
    """Note a time without data; of too many the oldest is forgotten, as they all are where memory is out."""
    cdef Gaps* gaps = stream.gaps
    if start >= end:
        return
    if gaps == NULL:
        gaps = stream.gaps = <Gaps*>calloc(1, sizeof(Gaps))
        if gaps == NULL:
            return
    if gaps.count == MOST_GAPS:
        gaps.count -= 1
        memmove(&gaps.list[0], &gaps.list[1], gaps.count * sizeof(Gap))
    gaps.list[gaps.count] = Gap(start, end)
    gaps.count += 1


cdef inline bint is_new(Stream* stream, uint64_t start, uint64_t time) noexcept nogil:
    """Whether a delta of this window has not been counted, and note that it is now.

    A window that is later than all before is new, as is one in a time from which nothing has come. Anything else has
    been counted: a delta stream has one writer (OpenTelemetry's data model, "Single-Writer").
    """
    cdef uint32_t i
    cdef Gap gap
    if start > time:
        start = 0
    if not stream.began:
        stream.began, stream.first, stream.last = True, start, time
        return True
    if time > stream.last:
        remember_gap(stream, stream.last, start)
        stream.last = time
        return True
    if start == 0 or start == time:
        return False
    if time <= stream.first:
        remember_gap(stream, time, stream.first)
        stream.first = start
        return True
    if stream.gaps == NULL:
        return False
    for i in range(stream.gaps.count):
        gap = stream.gaps.list[i]
        if start >= gap.start and time <= gap.end:
            stream.gaps.count -= 1
            memmove(&stream.gaps.list[i], &stream.gaps.list[i + 1], (stream.gaps.count - i) * sizeof(Gap))
            remember_gap(stream, gap.start, start)
            remember_gap(stream, time, gap.end)
            return True
    return False


cdef inline Distribution* distribution_of(Series* series) except NULL nogil:
    if series.distribution == NULL:
        series.distribution = <Distribution*>calloc(1, sizeof(Distribution))
        if series.distribution == NULL:
            out_of_memory()
    return series.distribution


cdef inline int set_distribution(Series* series, Point* point, int kind) except -1 nogil:
    """Take a point as it is in place of what there was."""
    return set_point(distribution_of(series), point, kind)
