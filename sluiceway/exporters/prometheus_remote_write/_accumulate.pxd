"""Delta points added up: the sum of all that came of a series, which is what Prometheus has for counters.

What one batch adds can be taken back as a whole, until the next batch begins: each accumulator that a batch touches
first keeps a copy of itself.
"""

from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset

from sluiceway.otlp._arena cimport out_of_memory
from sluiceway.otlp._proto cimport bytes_at
from sluiceway.exporters.prometheus_remote_write._native cimport COARSEST, FINEST, Buckets
from sluiceway.prometheus._points cimport Point

cdef enum:
    WIDEST = 1280  # buckets on one side of zero; with more, a histogram is made coarser
    EXPLICIT = 0
    POSITIVE = 1
    NEGATIVE = 2
    SIDES = 3


cdef struct State:
    uint64_t start
    uint64_t time
    uint64_t count
    uint64_t zero_count
    bint is_int
    bint has_sum
    int64_t integer
    double value
    double sum
    double zero_threshold
    int64_t scale
    Buckets sides[SIDES]


cdef struct Accumulator:
    Accumulator* next  # of all
    Accumulator* chain  # in the hash bucket
    Accumulator* touched  # the next that the same batch touched
    uint64_t hash
    uint8_t* key
    size_t key_size
    uint64_t seen
    uint64_t epoch
    State now
    State before


cdef struct Accumulators:
    Accumulator* first
    Accumulator* touched
    Accumulator** slots
    size_t capacity
    size_t count
    size_t limit
    uint64_t generation  # grows when some are removed


cdef inline Buckets buckets_of(const Point* point, int side) noexcept nogil:
    """The buckets of a histogram, or those of an exponential one on the positive side (0) or the negative (1)."""
    return Buckets(point.offsets[side], <uint64_t*>point.counts[side].data, point.counts[side].size // 8)


cdef inline int copy_state(State* copy, const State* state) except -1 nogil:
    cdef int side
    copy[0] = state[0]
    for side in range(SIDES):
        copy.sides[side].counts = NULL
        copy.sides[side].size = 0
    for side in range(SIDES):
        if state.sides[side].size:
            copy.sides[side].counts = <uint64_t*>malloc(8 * state.sides[side].size)
            if copy.sides[side].counts == NULL:
                out_of_memory()
            memcpy(copy.sides[side].counts, state.sides[side].counts, 8 * state.sides[side].size)
            copy.sides[side].size = state.sides[side].size
    return 0


cdef inline void free_state(State* state) noexcept nogil:
    cdef int side
    for side in range(SIDES):
        free(state.sides[side].counts)
        state.sides[side].counts = NULL
        state.sides[side].size = 0


cdef inline void free_accumulator(Accumulator* one) noexcept nogil:
    free_state(&one.now)
    free_state(&one.before)
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


cdef inline int settle_all(Accumulators* all) except -1 nogil:
    """What the last batch added cannot be taken back any more."""
    while all.touched != NULL:
        free_state(&all.touched.before)
        all.touched = all.touched.touched
    return 0


cdef inline int revert_all(Accumulators* all) except -1 nogil:
    """Take back what the last batch added."""
    cdef Accumulator* one
    while all.touched != NULL:
        one = all.touched
        all.touched = one.touched
        free_state(&one.now)
        one.now = one.before
        memset(&one.before, 0, sizeof(State))
        one.epoch = 0
    return 0


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


cdef inline int touch(Accumulators* all, Accumulator* one, uint64_t epoch, uint64_t now) except -1 nogil:
    one.seen = now
    if one.epoch == epoch:
        return 0
    copy_state(&one.before, &one.now)
    one.epoch = epoch
    one.touched = all.touched
    all.touched = one
    return 0


cdef inline int add_point(State* state, const Point* point) except -1 nogil:
    """What all kinds have."""
    cdef bint first = state.time == 0
    if first:
        state.start = point.start if point.start else point.time
    state.has_sum = point.has_sum and (first or state.has_sum)
    state.time = point.time
    state.sum += point.sum
    state.count += point.count
    state.zero_count += point.zeros
    state.zero_threshold = max(state.zero_threshold, point.threshold)
    return first


cdef inline int add_number(State* state, const Point* point) except -1 nogil:
    cdef bint first = add_point(state, point)
    cdef bint fits
    if first:
        state.is_int = point.is_integer
    fits = not (point.integer > 0 and state.integer > INT64_MAX - point.integer) and not (
        point.integer < 0 and state.integer < INT64_MIN - point.integer
    )
    if state.is_int and point.is_integer and fits:  # exact, where doubles would not be
        state.integer += point.integer
        state.value = <double>state.integer
        return 0
    state.is_int = False
    state.value += <double>point.integer if point.is_integer else point.number
    return 0


cdef inline int widen(Buckets* side, int64_t low, int64_t high) except -1 nogil:
    """See that there are buckets from `low` to `high`."""
    cdef uint64_t* counts
    cdef size_t size
    if side.size:
        if low >= side.offset and high < side.offset + <int64_t>side.size:
            return 0
        low = min(low, side.offset)
        high = max(high, side.offset + <int64_t>side.size - 1)
    size = <size_t>(high - low + 1)
    counts = <uint64_t*>calloc(size, 8)
    if counts == NULL:
        out_of_memory()
    if side.size:
        memcpy(counts + (side.offset - low), side.counts, 8 * side.size)
    free(side.counts)
    side.counts = counts
    side.size = size
    side.offset = low
    return 0


cdef inline int add_buckets(Buckets* side, const Buckets* more, int shift) except -1 nogil:
    """Add counts to those of the buckets that they fall into when they are made coarser by so many scales."""
    cdef size_t first = 0
    cdef size_t behind = more.size
    cdef size_t i
    while first < behind and more.counts[first] == 0:
        first += 1
    while behind > first and more.counts[behind - 1] == 0:
        behind -= 1
    if first == behind:
        return 0
    widen(side, (more.offset + <int64_t>first) >> shift, (more.offset + <int64_t>behind - 1) >> shift)
    for i in range(first, behind):
        side.counts[((more.offset + <int64_t>i) >> shift) - side.offset] += more.counts[i]
    return 0


cdef inline int coarsen(Buckets* side, int shift) except -1 nogil:
    cdef Buckets coarse
    memset(&coarse, 0, sizeof(Buckets))
    if shift and side.size:
        add_buckets(&coarse, side, shift)
        free(side.counts)
        side[0] = coarse
    return 0


cdef inline bint is_wide(const Buckets* side, int shift, const Buckets* more, int more_shift) noexcept nogil:
    cdef int64_t low = more.offset >> more_shift
    cdef int64_t high = (more.offset + <int64_t>more.size - 1) >> more_shift
    if more.size == 0:
        return False
    if side.size:
        low = min(low, side.offset >> shift)
        high = max(high, (side.offset + <int64_t>side.size - 1) >> shift)
    return high - low >= WIDEST


cdef inline bint add_exponential(State* state, const Point* point) except -1 nogil:
    """False where the buckets lie too far apart for any scale, and then nothing was added."""
    cdef Buckets positive = buckets_of(point, 0)
    cdef Buckets negative = buckets_of(point, 1)
    cdef bint first = state.time == 0
    cdef int64_t scale = min(point.scale, FINEST)
    cdef int shift, coarser
    if not first:
        scale = min(scale, state.scale)
    while True:
        shift = <int>min(point.scale - scale, 62)
        coarser = 0 if first else <int>(state.scale - scale)
        if not (
            is_wide(&state.sides[POSITIVE], coarser, &positive, shift)
            or is_wide(&state.sides[NEGATIVE], coarser, &negative, shift)
        ):
            break
        if scale <= COARSEST:
            return False
        scale -= 1
    add_point(state, point)
    coarsen(&state.sides[POSITIVE], coarser)
    coarsen(&state.sides[NEGATIVE], coarser)
    add_buckets(&state.sides[POSITIVE], &positive, shift)
    add_buckets(&state.sides[NEGATIVE], &negative, shift)
    state.scale = scale
    return True


cdef inline int add_histogram(State* state, const Point* point) except -1 nogil:
    """The bounds are those of all points before; a point without buckets adds none."""
    cdef Buckets more = buckets_of(point, 0)
    add_point(state, point)
    return add_buckets(&state.sides[EXPLICIT], &more, 0)
