"""Delta points added up: the sum of all that came of a series, which is what Prometheus has for counters.

What one batch adds can be taken back, until the next batch begins: each accumulator that a batch touches first keeps a
copy of its sum.
"""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset

from sluiceway.otlp._arena cimport out_of_memory
from sluiceway.otlp._proto cimport bytes_at
from sluiceway.prometheus._points cimport EXPONENTIAL, HISTOGRAM, SUM, Point
from sluiceway.prometheus._values cimport (
    Distribution, add_buckets, add_exponential, add_number, distribution_clear, distribution_copy, same_bounds,
    set_point,
)


cdef struct Sum:
    uint64_t start
    uint64_t time  # of the newest point; zero before the first
    bint is_integer
    int64_t integer
    double number
    Distribution distribution


cdef struct Accumulator:
    Accumulator* next  # of all
    Accumulator* chain  # in the hash bucket
    Accumulator* touched  # the next that the same batch touched
    uint64_t hash
    uint8_t* key
    size_t key_size
    uint64_t seen
    uint64_t epoch
    const void* owner  # for whom the last batch touched it
    Sum now
    Sum before


cdef struct Accumulators:
    Accumulator* first
    Accumulator* touched
    Accumulator** slots
    size_t capacity
    size_t count
    size_t limit
    uint64_t generation  # grows when some are removed


cdef inline void free_accumulator(Accumulator* one) noexcept nogil:
    distribution_clear(&one.now.distribution)
    distribution_clear(&one.before.distribution)
    free(one.key)
    free(one)


cdef inline void accumulators_free(Accumulators* all) noexcept nogil:
    cdef Accumulator* one = all.first
    cdef Accumulator* following
    while one != NULL:
        following = one.next
        free_accumulator(one)
        one = following
    free(all.slots)
    memset(all, 0, sizeof(Accumulators))


cdef inline int resize(Accumulators* all, size_t capacity) except -1 nogil:
    cdef Accumulator** slots = <Accumulator**>calloc(capacity, sizeof(Accumulator*))
    cdef Accumulator* one = all.first
    if slots == NULL:
        out_of_memory()
    free(all.slots)
    all.slots = slots
    all.capacity = capacity
    while one != NULL:
        one.chain = slots[one.hash & (capacity - 1)]
        slots[one.hash & (capacity - 1)] = one
        one = one.next
    return 0


cdef inline Accumulator* accumulator(
    Accumulators* all, uint64_t h, bytes_at key, size_t size
) except? NULL nogil:
    """The accumulator of a key, made where it is not there; NULL where there are as many as there may be."""
    cdef Accumulator* one
    if all.capacity == 0:
        resize(all, 256)
    one = all.slots[h & (all.capacity - 1)]
    while one != NULL:
        if one.hash == h and one.key_size == size and memcmp(one.key, key, size) == 0:
            return one
        one = one.chain
    if all.count >= all.limit:
        return NULL
    if all.count >= all.capacity:
        resize(all, 2 * all.capacity)
    one = <Accumulator*>calloc(1, sizeof(Accumulator))
    if one == NULL:
        out_of_memory()
        return NULL
    one.key = <uint8_t*>malloc(size + 1)
    if one.key == NULL:
        free(one)
        out_of_memory()
        return NULL
    memcpy(one.key, key, size)
    one.key_size = size
    one.hash = h
    one.next = all.first
    all.first = one
    one.chain = all.slots[h & (all.capacity - 1)]
    all.slots[h & (all.capacity - 1)] = one
    all.count += 1
    return one


cdef inline void settle_all(Accumulators* all) noexcept nogil:
    """What the last batch added cannot be taken back any more."""
    while all.touched != NULL:
        distribution_clear(&all.touched.before.distribution)
        all.touched = all.touched.touched


cdef inline void take_back(Accumulator* one) noexcept nogil:
    """Let the sum be what it was before the last batch."""
    distribution_clear(&one.now.distribution)
    one.now = one.before
    memset(&one.before, 0, sizeof(Sum))
    one.epoch = 0


cdef inline int expire_all(Accumulators* all, uint64_t before) except -1 nogil:
    """Forget the series of which nothing came since; not while a batch can be taken back."""
    cdef Accumulator** tail = &all.first
    cdef Accumulator* one
    cdef size_t count = all.count
    settle_all(all)
    while tail[0] != NULL:
        one = tail[0]
        if one.seen < before:
            tail[0] = one.next
            free_accumulator(one)
            all.count -= 1
        else:
            tail = &one.next
    if all.count != count:
        all.generation += 1
        resize(all, all.capacity)
    return 0


cdef inline int touch(
    Accumulators* all, Accumulator* one, uint64_t epoch, uint64_t now, const void* owner
) except -1 nogil:
    one.seen = now
    if one.epoch == epoch:
        return 0
    one.before = one.now
    distribution_copy(&one.before.distribution, &one.now.distribution)
    one.epoch = epoch
    one.owner = owner
    one.touched = all.touched
    all.touched = one
    return 0


cdef inline int add_delta(Sum* sum, Point* point, int kind) except -1 nogil:
    """Add a point; a histogram with other bounds than before begins anew. The point's own buckets may change."""
    cdef bint begins = sum.time == 0 or (kind == HISTOGRAM and not same_bounds(&sum.distribution, point))
    sum.time = point.time
    if begins:
        sum.start = point.start if point.start else point.time
        sum.is_integer, sum.integer, sum.number = point.is_integer, point.integer, point.number
        if kind != SUM:
            set_point(&sum.distribution, point, kind)
    elif kind == SUM:
        add_number(&sum.is_integer, &sum.integer, &sum.number, point)
    elif kind == HISTOGRAM:
        add_buckets(&sum.distribution, point)
    else:
        add_exponential(&sum.distribution, point)
    return 0
