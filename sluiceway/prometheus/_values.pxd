"""Values of series, numbers and distributions, and how deltas add up to them.

Both exporters for Prometheus keep values so, and add up by the same rules.
"""

from libc.math cimport ldexp, pow
from libc.stdint cimport INT64_MAX, INT64_MIN, UINT64_MAX, int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcmp, memcpy, memmove, memset

from sluiceway.otlp._arena cimport out_of_memory
from sluiceway.prometheus._points cimport EXPONENTIAL, SUMMARY, Point

cdef enum:
    MAX_SCALE = 8  # of a native histogram; finer ones are made coarser, which is exact
    MIN_SCALE = -4
    MOST_BUCKETS = 320  # of one sign, in an exponential histogram that adds up deltas; more of them get coarser


cdef struct Distribution:  # of a histogram, exponential histogram or summary
    uint64_t count
    double sum
    bint has_sum
    uint32_t bound_count
    double* bounds  # or quantiles
    double* values  # of quantiles
    int64_t scale
    double threshold
    uint64_t zeros
    int64_t offsets[2]
    uint32_t sizes[2]
    uint64_t* buckets[2]


cdef inline void* room(void* old, size_t size) except NULL nogil:
    cdef void* new = realloc(old, size + 1)
    if new == NULL:
        out_of_memory()
    return new


cdef inline void distribution_clear(Distribution* d) noexcept nogil:
    """Give back what a distribution holds, and make it empty."""
    free(d.bounds)
    free(d.values)
    free(d.buckets[0])
    free(d.buckets[1])
    memset(d, 0, sizeof(Distribution))


cdef inline uint64_t* copied(const void* data, size_t size) except? NULL nogil:
    """A copy of memory; NULL for none."""
    cdef void* copy
    if size == 0:
        return NULL
    copy = room(NULL, size)
    memcpy(copy, data, size)
    return <uint64_t*>copy


cdef inline int distribution_copy(Distribution* copy, const Distribution* d) except -1 nogil:
    """Make an empty distribution what another is."""
    copy[0] = d[0]
    copy.bounds = copy.values = NULL
    copy.buckets[0] = copy.buckets[1] = NULL
    copy.bounds = <double*>copied(d.bounds, d.bound_count * 8)
    if d.values != NULL:
        copy.values = <double*>copied(d.values, d.bound_count * 8)
    copy.buckets[0] = copied(d.buckets[0], d.sizes[0] * 8)
    copy.buckets[1] = copied(d.buckets[1], d.sizes[1] * 8)
    return 0


cdef inline Distribution as_distribution(const Point* point) noexcept nogil:
    """What a point says, as it lies in the point: not to be given back or grown."""
    cdef Distribution d
    cdef int side
    memset(&d, 0, sizeof(Distribution))
    d.count, d.sum, d.has_sum = point.count, point.sum, point.has_sum
    d.scale, d.threshold, d.zeros = point.scale, point.threshold, point.zeros
    d.bound_count = <uint32_t>(point.bounds.size // 8)
    d.bounds, d.values = <double*>point.bounds.data, <double*>point.values.data
    for side in range(2):
        d.offsets[side] = point.offsets[side]
        d.sizes[side] = <uint32_t>(point.counts[side].size // 8)
        d.buckets[side] = <uint64_t*>point.counts[side].data
    return d


cdef inline double bound_of(int64_t index, int64_t scale) noexcept nogil:
    """The lower bound of an exponential bucket: 2 ** (index * 2 ** -scale)."""
    cdef int64_t whole, part
    if scale <= 0:
        index = max(min(index, <int64_t>1 << 20), -(<int64_t>1 << 20))  # beyond all numbers, and small enough to shift
        return ldexp(1.0, <int>max(min(index << -scale, <int64_t>5000), <int64_t>-5000))
    whole = index >> scale
    part = index - (whole << scale)
    return ldexp(pow(2.0, ldexp(<double>part, <int>-scale)), <int>max(min(whole, <int64_t>5000), <int64_t>-5000))


cdef inline void trim(uint64_t** counts, int64_t* offset, size_t* size) noexcept nogil:
    """Leave out empty buckets at both ends."""
    while size[0] and counts[0][size[0] - 1] == 0:
        size[0] -= 1
    while size[0] and counts[0][0] == 0:
        counts[0] += 1
        offset[0] += 1
        size[0] -= 1


cdef inline void coarsen(uint64_t* counts, int64_t* offset, size_t* size, int shift) noexcept nogil:
    """Join buckets, 2 ** shift into one, in place."""
    cdef size_t i, place
    cdef int64_t first
    if shift <= 0 or size[0] == 0:
        return
    shift = min(shift, 62)
    first = offset[0] >> shift
    for i in range(size[0]):
        place = <size_t>(((offset[0] + <int64_t>i) >> shift) - first)
        if place != i:
            counts[place] += counts[i]
            counts[i] = 0
    size[0] = <size_t>(((offset[0] + <int64_t>size[0] - 1) >> shift) - first) + 1
    offset[0] = first


cdef inline bint add_all(const uint64_t* counts, size_t size, uint64_t* sum) noexcept nogil:
    """Add counts to a sum; False where that has no room for them."""
    cdef size_t i
    for i in range(size):
        if counts[i] > UINT64_MAX - sum[0]:
            return False
        sum[0] += counts[i]
    return True


cdef inline int set_plain(Distribution* d, Point* point, int kind) except -1 nogil:
    """The buckets of a histogram, or the quantiles of a summary."""
    cdef size_t bounds = point.bounds.size
    d.bounds = <double*>room(d.bounds, bounds)
    memcpy(d.bounds, point.bounds.data, bounds)
    d.bound_count = <uint32_t>(bounds // 8)
    if kind == SUMMARY:
        d.values = <double*>room(d.values, bounds)
        memcpy(d.values, point.values.data, bounds)
        return 0
    d.sizes[0] = <uint32_t>(point.counts[0].size // 8)
    d.buckets[0] = <uint64_t*>room(d.buckets[0], point.counts[0].size)
    memcpy(d.buckets[0], point.counts[0].data, point.counts[0].size)
    return 0


cdef inline int set_side(Distribution* d, int side, const uint64_t* counts, int64_t offset, size_t size) except -1 nogil:
    d.buckets[side] = <uint64_t*>room(d.buckets[side], size * 8)
    memcpy(d.buckets[side], counts, size * 8)
    d.sizes[side] = <uint32_t>size
    d.offsets[side] = offset
    return 0


cdef inline int set_point(Distribution* d, Point* point, int kind) except -1 nogil:
    """Take a point as it is in place of what there was."""
    cdef int side
    d.count, d.sum, d.has_sum = point.count, point.sum, point.has_sum
    if kind != EXPONENTIAL:
        return set_plain(d, point, kind)
    d.scale, d.threshold, d.zeros = point.scale, point.threshold, point.zeros
    for side in range(2):
        set_side(d, side, <uint64_t*>point.counts[side].data, point.offsets[side], point.counts[side].size // 8)
    return 0


cdef inline bint same_bounds(Distribution* d, Point* point) noexcept nogil:
    return d.bound_count * 8 == point.bounds.size and d.sizes[0] * 8 == point.counts[0].size and (
        memcmp(d.bounds, point.bounds.data, point.bounds.size) == 0
    )


cdef inline void add_buckets(Distribution* d, Point* point) noexcept nogil:
    """Add a histogram with the same bounds."""
    cdef uint64_t* more = <uint64_t*>point.counts[0].data
    cdef uint32_t i
    for i in range(d.sizes[0]):
        d.buckets[0][i] += more[i]
    d.count += point.count
    d.sum += point.sum
    d.has_sum = d.has_sum and point.has_sum


cdef inline void absorb(
    uint64_t* counts, int64_t offset, size_t size, int64_t scale, uint64_t* zeros, double* threshold
) noexcept nogil:
    """Move what lies below the threshold to the zeros; a bucket that it cuts goes whole, and raises it."""
    cdef size_t i
    for i in range(size):
        if bound_of(offset + <int64_t>i, scale) >= threshold[0]:
            break
        if counts[i]:
            zeros[0] += counts[i]
            counts[i] = 0
            threshold[0] = max(threshold[0], bound_of(offset + <int64_t>i + 1, scale))


cdef inline int add_side(Distribution* d, int side, uint64_t* more, int64_t offset, size_t size) except -1 nogil:
    """Add buckets of the same scale."""
    cdef int64_t low, high
    cdef size_t i, grown
    if size == 0:
        return 0
    if d.sizes[side] == 0:
        return set_side(d, side, more, offset, size)
    low = min(d.offsets[side], offset)
    high = max(d.offsets[side] + d.sizes[side], offset + <int64_t>size)
    grown = <size_t>(high - low)
    d.buckets[side] = <uint64_t*>room(d.buckets[side], grown * 8)
    memset(d.buckets[side] + d.sizes[side], 0, (grown - d.sizes[side]) * 8)
    if d.offsets[side] > low:
        i = <size_t>(d.offsets[side] - low)
        memmove(d.buckets[side] + i, d.buckets[side], d.sizes[side] * 8)
        memset(d.buckets[side], 0, i * 8)
    for i in range(size):
        d.buckets[side][<size_t>(offset - low) + i] += more[i]
    d.offsets[side], d.sizes[side] = low, <uint32_t>grown
    return 0


cdef inline int64_t span_of(int64_t a, size_t a_size, int64_t b, size_t b_size, int shift) noexcept nogil:
    """How many buckets both take together when they are made coarser."""
    if a_size == 0 and b_size == 0:
        return 0
    if a_size == 0 or b_size == 0:
        if a_size == 0:
            a = b
            a_size = b_size
        return ((a + <int64_t>a_size - 1) >> shift) - (a >> shift) + 1
    return (max(a + <int64_t>a_size, b + <int64_t>b_size) - 1 >> shift) - (min(a, b) >> shift) + 1


cdef inline int add_exponential(Distribution* d, Point* point) except -1 nogil:
    """Merge an exponential histogram; the point's own buckets change (the data model, "Exponential Histogram: Merge")."""
    cdef uint64_t* more[2]
    cdef size_t sizes[2]
    cdef size_t own
    cdef int64_t scale = min(d.scale, point.scale)
    cdef int side, shift
    cdef int again
    for side in range(2):
        more[side] = <uint64_t*>point.counts[side].data
        sizes[side] = point.counts[side].size // 8
    if d.threshold != point.threshold:
        for again in range(2):  # what one raises the other has to follow
            d.threshold = point.threshold = max(d.threshold, point.threshold)
            for side in range(2):
                absorb(d.buckets[side], d.offsets[side], d.sizes[side], d.scale, &d.zeros, &d.threshold)
                absorb(more[side], point.offsets[side], sizes[side], point.scale, &point.zeros, &point.threshold)
        d.threshold = max(d.threshold, point.threshold)
    for side in range(2):
        trim(&more[side], &point.offsets[side], &sizes[side])
        coarsen(more[side], &point.offsets[side], &sizes[side], <int>(point.scale - scale))
        own = d.sizes[side]
        coarsen(d.buckets[side], &d.offsets[side], &own, <int>(d.scale - scale))
        d.sizes[side] = <uint32_t>own
    shift = 0
    for side in range(2):
        while scale - shift > MIN_SCALE and (
            span_of(d.offsets[side], d.sizes[side], point.offsets[side], sizes[side], shift) > MOST_BUCKETS
        ):
            shift += 1
    for side in range(2):
        coarsen(more[side], &point.offsets[side], &sizes[side], shift)
        own = d.sizes[side]
        coarsen(d.buckets[side], &d.offsets[side], &own, shift)
        d.sizes[side] = <uint32_t>own
        add_side(d, side, more[side], point.offsets[side], sizes[side])
    d.scale = scale - shift
    d.zeros += point.zeros
    d.count += point.count
    d.sum += point.sum
    d.has_sum = d.has_sum and point.has_sum
    return 0


cdef inline void add_number(bint* is_integer, int64_t* integer, double* number, const Point* point) noexcept nogil:
    """Add a number: exact while both are integers and the sum is one of 64 bits, as a double from then on."""
    cdef double more = <double>point.integer if point.is_integer else point.number
    if is_integer[0] and point.is_integer and (
        integer[0] <= INT64_MAX - point.integer if point.integer >= 0 else integer[0] >= INT64_MIN - point.integer
    ):
        integer[0] += point.integer
        return
    number[0] = (<double>integer[0] if is_integer[0] else number[0]) + more
    is_integer[0] = False
