"""Memory for one walk: pieces that stay where they are until all are given back at once."""

from libc.stdint cimport uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset


cdef struct Piece:
    Piece* older
    size_t used
    size_t capacity


cdef struct Arena:
    # Zero it to begin; give all of it back with `arena_free`.
    Piece* newest


cdef inline int out_of_memory() except -1 nogil:
    with gil:
        raise MemoryError


cdef inline uint8_t* arena_take(Arena* arena, size_t size) except NULL nogil:
    """Room for `size` bytes, aligned for any C value."""
    cdef Piece* piece = arena.newest
    cdef size_t capacity
    cdef uint8_t* place
    size = (size + 15) & ~<size_t>15
    if piece == NULL or piece.capacity - piece.used < size:
        capacity = 4096 if piece == NULL else min(2 * piece.capacity, <size_t>1 << 20)
        capacity = max(capacity, size)
        piece = <Piece*>malloc(32 + capacity)
        if piece == NULL:
            out_of_memory()
            return NULL
        piece.older = arena.newest
        piece.used = 0
        piece.capacity = capacity
        arena.newest = piece
    place = <uint8_t*>piece + 32 + piece.used
    piece.used += size
    return place


cdef inline uint8_t* arena_zeroed(Arena* arena, size_t size) except NULL nogil:
    cdef uint8_t* place = arena_take(arena, size)
    memset(place, 0, size)
    return place


cdef inline void arena_free(Arena* arena) noexcept nogil:
    cdef Piece* piece = arena.newest
    cdef Piece* older
    while piece != NULL:
        older = piece.older
        free(piece)
        piece = older
    arena.newest = NULL
