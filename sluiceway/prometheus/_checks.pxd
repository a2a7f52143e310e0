"""Whether a data point makes sense, and the one form in which its numbers are kept."""

from libc.math cimport isfinite, isinf, isnan
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, malloc, qsort
from libc.string cimport memmove

from sluiceway.otlp._proto cimport buffer_put
from sluiceway.prometheus._points cimport GAUGE, HISTOGRAM, SUM, SUMMARY, Point
from sluiceway.prometheus._values cimport MAX_SCALE, MIN_SCALE, add_all, coarsen, trim

cdef enum:
    MOST_BOUNDS = 4096  # of a histogram, or quantiles of a summary
    MOST_COUNTS = 65536  # buckets of an exponential histogram as it arrives
    FINEST = 20  # of scales, as OpenTelemetry has them
    FARTHEST = 1100  # of an exponential histogram's bucket at scale 0: doubles end at 1024, and below at -1074


cdef inline void keep_one_bucket(Point* point) noexcept nogil:
    buffer_put(&point.counts[0], &point.count, 8)


cdef inline bint prepare_buckets(Point* point) noexcept nogil:
    """A histogram's count is that of its buckets; a bound of infinity is the one that stands behind all anyhow."""
    cdef double* bounds = <double*>point.bounds.data
    cdef uint64_t* counts = <uint64_t*>point.counts[0].data
    cdef size_t size = point.bounds.size // 8
    cdef size_t i
    if point.counts[0].size == 0 and size == 0:
        keep_one_bucket(point)
        return point.counts[0].size == 8
    if point.counts[0].size != (size + 1) * 8 or size > MOST_BOUNDS:
        return False
    for i in range(size):
        if isnan(bounds[i]) or (i and bounds[i] <= bounds[i - 1]):
            return False
    point.count = 0
    if not add_all(counts, size + 1, &point.count):
        return False
    if size and isinf(bounds[size - 1]) and bounds[size - 1] > 0:
        counts[size - 1] += counts[size]
        point.bounds.size -= 8
        point.counts[0].size -= 8
    return True


cdef struct Quantile:
    double quantile
    double value
    size_t place


cdef inline int compare_quantiles(const void* a, const void* b) noexcept nogil:
    """By quantile, and equal ones as they came."""
    cdef const Quantile* one = <const Quantile*>a
    cdef const Quantile* other = <const Quantile*>b
    if one.quantile != other.quantile:
        return -1 if one.quantile < other.quantile else 1
    return -1 if one.place < other.place else 1


cdef inline bint sort_quantiles(double* quantiles, double* values, size_t* size) noexcept nogil:
    """Bring quantiles in order; of equal ones the last value stays. False where there is no memory."""
    cdef Quantile* list = <Quantile*>malloc(size[0] * sizeof(Quantile))
    cdef size_t kept = 0
    cdef size_t i
    if list == NULL:
        return False
    for i in range(size[0]):
        list[i].quantile, list[i].value, list[i].place = quantiles[i], values[i], i
    qsort(list, size[0], sizeof(Quantile), compare_quantiles)
    for i in range(size[0]):
        if kept and quantiles[kept - 1] == list[i].quantile:
            values[kept - 1] = list[i].value
            continue
        quantiles[kept], values[kept] = list[i].quantile, list[i].value
        kept += 1
    free(list)
    size[0] = kept
    return True


cdef inline bint prepare_quantiles(Point* point) noexcept nogil:
    """Quantiles in order, each once."""
    cdef double* quantiles = <double*>point.bounds.data
    cdef size_t size = point.bounds.size // 8
    cdef bint in_order = True
    cdef size_t i
    if size > MOST_BOUNDS:
        return False
    for i in range(size):
        if not 0 <= quantiles[i] <= 1:
            return False
        if i and quantiles[i - 1] >= quantiles[i]:
            in_order = False
    if not in_order and not sort_quantiles(quantiles, <double*>point.values.data, &size):
        return False
    point.bounds.size = point.values.size = size * 8
    return True


cdef inline bint is_double(int64_t offset, size_t size, int64_t scale) noexcept nogil:
    """Whether there are doubles in the first and the last bucket."""
    cdef int64_t most = <int64_t>FARTHEST << scale if scale >= 0 else (<int64_t>FARTHEST >> -scale) + 1
    return size == 0 or (-most <= offset and offset <= most and offset + <int64_t>size <= most)


cdef inline bint prepare_exponential(Point* point) noexcept nogil:
    """As fine as a native histogram can be, and without empty buckets at the ends."""
    cdef uint64_t* counts
    cdef size_t size
    cdef int side
    if not MIN_SCALE <= point.scale <= FINEST or not point.threshold >= 0:
        return False
    if isinf(point.threshold):
        return False
    point.count = point.zeros
    for side in range(2):
        size = point.counts[side].size // 8
        if size > MOST_COUNTS:
            return False
        counts = <uint64_t*>point.counts[side].data
        if not add_all(counts, size, &point.count):
            return False
        trim(&counts, &point.offsets[side], &size)
        coarsen(counts, &point.offsets[side], &size, <int>(point.scale - MAX_SCALE))
        if size > MOST_COUNTS or not is_double(point.offsets[side], size, min(point.scale, <int64_t>MAX_SCALE)):
            return False
        memmove(point.counts[side].data, counts, size * 8)
        point.counts[side].size = size * 8
    point.scale = min(point.scale, <int64_t>MAX_SCALE)
    return True


cdef inline bint is_countable(Point* point, bint may_fall) noexcept nogil:
    """Whether a delta can be added up: one NaN would stay for ever, and a counter does not fall."""
    if point.is_integer:
        return may_fall or point.integer >= 0
    return isfinite(point.number) and (may_fall or point.number >= 0)


cdef inline bint prepare(Point* point, int kind, bint is_delta, bint may_fall=False) noexcept nogil:
    """Check a point and bring it into the form in which it is kept; False where it makes no sense.

    `may_fall` is for deltas of sums that are not monotonic.
    """
    if kind == GAUGE or kind == SUM:
        return point.has_value and (not is_delta or is_countable(point, may_fall))
    if is_delta and point.has_sum and not isfinite(point.sum):
        return False
    if kind == HISTOGRAM:
        return prepare_buckets(point)
    if kind == SUMMARY:
        return prepare_quantiles(point)
    return prepare_exponential(point)
