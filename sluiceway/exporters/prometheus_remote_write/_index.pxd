"""A table from bytes to whatever was found out about them; it grows, and what it holds lies in an arena."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy

from sluiceway.otlp._arena cimport Arena, arena_zeroed, out_of_memory
from sluiceway.otlp._proto cimport bytes_at


cdef struct Entry:
    Entry* chain
    uint64_t hash
    uint8_t* key
    size_t size
    void* value
    uint64_t mark  # of whoever has use for one
    uint32_t id  # how many were there before


cdef struct Index:
    # Zero it to begin; give it back with `index_free`, and its entries with their arena.
    Entry** slots
    size_t capacity
    size_t count


cdef extern from *:
    """
    static inline uint64_t sluiceway_mix(uint64_t left, uint64_t right) {
        unsigned __int128 product = (unsigned __int128)left * right;
        return (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    """
    uint64_t mix "sluiceway_mix"(uint64_t, uint64_t) nogil


cdef inline uint64_t hash_of(bytes_at p, size_t size, uint64_t seed) noexcept nogil:
    """A hash that nobody who does not know the seed can aim at."""
    cdef uint64_t word
    cdef uint64_t h = seed ^ size * 0x9E3779B97F4A7C15ULL
    while size >= 8:
        memcpy(&word, p, 8)
        h = mix(h ^ word, 0x9FB21C651E98DF25ULL ^ seed)
        p += 8
        size -= 8
    word = 0
    memcpy(&word, p, size)
    return mix(h ^ word, 0xD6E8FEB86659FD93ULL)


cdef inline Entry* index_find(Index* index, uint64_t h, bytes_at key, size_t size) noexcept nogil:
    cdef Entry* entry
    if index.capacity == 0:
        return NULL
    entry = index.slots[h & (index.capacity - 1)]
    while entry != NULL:
        if entry.hash == h and entry.size == size and memcmp(entry.key, key, size) == 0:
            return entry
        entry = entry.chain
    return NULL


cdef inline int index_grow(Index* index) except -1 nogil:
    cdef size_t capacity = max(2 * index.capacity, <size_t>256)
    cdef Entry** slots = <Entry**>calloc(capacity, sizeof(Entry*))
    cdef Entry* entry
    cdef Entry* following
    cdef size_t i
    if slots == NULL:
        out_of_memory()
    for i in range(index.capacity):
        entry = index.slots[i]
        while entry != NULL:
            following = entry.chain
            entry.chain = slots[entry.hash & (capacity - 1)]
            slots[entry.hash & (capacity - 1)] = entry
            entry = following
    free(index.slots)
    index.slots = slots
    index.capacity = capacity
    return 0


cdef inline Entry* index_add(Index* index, Arena* arena, uint64_t h, bytes_at key, size_t size) except NULL nogil:
    """A new entry, which must not be there yet; the key is copied."""
    cdef Entry* entry
    if index.count >= index.capacity:
        index_grow(index)
    entry = <Entry*>arena_zeroed(arena, sizeof(Entry) + size)
    entry.hash = h
    entry.key = <uint8_t*>entry + sizeof(Entry)
    memcpy(entry.key, key, size)
    entry.size = size
    entry.id = <uint32_t>index.count
    entry.chain = index.slots[h & (index.capacity - 1)]
    index.slots[h & (index.capacity - 1)] = entry
    index.count += 1
    return entry


cdef inline Entry* index_put(Index* index, Arena* arena, uint64_t h, bytes_at key, size_t size) except NULL nogil:
    """The entry of a key, made where it is not there."""
    cdef Entry* entry = index_find(index, h, key, size)
    return entry if entry != NULL else index_add(index, arena, h, key, size)


cdef inline void index_free(Index* index) noexcept nogil:
    free(index.slots)
    index.slots = NULL
    index.capacity = index.count = 0
