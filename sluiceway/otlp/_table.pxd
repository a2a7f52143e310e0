"""A table from texts to numbers, made once with a program and only read by its walks."""

from libc.stdint cimport int32_t, uint64_t

from sluiceway.otlp._arena cimport Arena, arena_zeroed
from sluiceway.otlp._attributes cimport Text, same


cdef struct TableSlot:
    uint64_t hash
    Text key  # NULL: free
    int32_t value


cdef struct Table:
    TableSlot* slots
    uint64_t mask
    size_t count


cdef inline int table_make(Table* table, Arena* arena, size_t count) except -1:
    """Make room for so many keys."""
    cdef size_t capacity = 4
    while capacity < 2 * count:
        capacity *= 2
    table.slots = <TableSlot*>arena_zeroed(arena, capacity * sizeof(TableSlot))
    table.mask = capacity - 1
    return 0


cdef inline TableSlot* table_slot(Table* table, uint64_t hash, Text key) noexcept nogil:
    """Where the key is, or where it would be."""
    cdef uint64_t place = (hash * 0x9E3779B97F4A7C15ULL) >> 32
    cdef TableSlot* slot
    while True:
        slot = &table.slots[place & table.mask]
        if slot.key.data == NULL or slot.hash == hash and same(slot.key, key):
            return slot
        place += 1


cdef inline void table_put(Table* table, uint64_t hash, Text key, int32_t value) noexcept nogil:
    cdef TableSlot* slot = table_slot(table, hash, key)
    table.count += slot.key.data == NULL
    slot.hash = hash
    slot.key = key
    slot.value = value


cdef inline int32_t table_get(Table* table, uint64_t hash, Text key) noexcept nogil:
    """The number of a key, or -1."""
    cdef TableSlot* slot = table_slot(table, hash, key)
    return slot.value if slot.key.data != NULL else -1
