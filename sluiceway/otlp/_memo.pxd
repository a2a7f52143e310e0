"""What was worked out for a value, kept so that each distinct value is worked out once: by Python, or a digest here.

A memo begins small and grows to at most 4096 answers, in sets of four; a new one takes the place of an old one of its
set. Values and answers of more than a kibibyte are not kept, and where all together would be more than a mebibyte, it
begins anew. A memo serves one thread at a time: the run that its program is in, or whoever was lent it.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy

from sluiceway.otlp._anyvalue cimport BOOL, BYTES, DOUBLE, EMPTY, INT, STRING, STRING_TAG, AnyValue, read_any
from sluiceway.otlp._arena cimport Arena, arena_take, out_of_memory
from sluiceway.otlp._digest cimport hex_digest
from sluiceway.otlp._proto cimport bytes_at

cdef enum:
    MEMO_FIRST = 16  # sets of a new memo
    MEMO_SETS = 1024  # at most
    MEMO_WAYS = 4
    MEMO_LARGEST = 1024
    MEMO_BYTES = 1 << 20


cdef struct Remembered:
    uint64_t hash
    uint8_t* data  # the value, then the answer
    size_t size
    int64_t answer_size  # -1: None


cdef struct Memo:
    PyObject* ask  # Callable[[bytes], bytes | None], kept alive by the program
    int algorithm  # of a digest that is taken here, for the kinds that need no text form; else 0
    Remembered* entries
    size_t sets  # a power of two; 0 where there are no entries yet
    size_t kept
    size_t bytes  # of all values and answers
    size_t turn
    Memo* next  # of the same program


cdef struct Answer:
    bytes_at data
    int64_t size


cdef extern from *:
    """
    /* Both halves of a product in one: its low bits alone do not know the high bits of the factors. */
    static inline uint64_t sluiceway_fold(uint64_t left, uint64_t right) {
        unsigned __int128 product = (unsigned __int128)left * right;
        return (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    """
    uint64_t fold "sluiceway_fold"(uint64_t, uint64_t) nogil


cdef inline uint64_t hash_bytes(bytes_at p, size_t size) noexcept nogil:
    cdef uint64_t result = size * 0x9E3779B97F4A7C15ULL
    cdef uint64_t word
    while size >= 8:
        memcpy(&word, p, 8)
        result = (result ^ word) * 0x9FB21C651E98DF25ULL
        result ^= result >> 32
        p += 8
        size -= 8
    word = 0
    memcpy(&word, p, size)
    return fold(result ^ word, 0x9FB21C651E98DF25ULL)


cdef inline int memo_ask(Memo* memo, Arena* arena, bytes_at value, size_t size, Answer* answer) except -1 with gil:
    cdef object result = (<object>memo.ask)(PyBytes_FromStringAndSize(<const char*>value, size))
    answer.size = -1
    answer.data = value
    if result is not None:
        answer.size = len(<bytes>result)
        answer.data = arena_take(arena, answer.size)
        memcpy(<uint8_t*>answer.data, PyBytes_AS_STRING(result), answer.size)
    return 0


cdef inline int take_digest(Memo* memo, Arena* arena, bytes_at value, size_t size, Answer* answer) except -1 nogil:
    """The string value that holds the digest of a value, or 0 where that takes the value's text form."""
    cdef AnyValue found
    cdef uint8_t number[8]
    cdef uint8_t* out
    read_any(value, size, &found)
    if found.kind == STRING or found.kind == BYTES:
        pass
    elif found.kind == BOOL or found.kind == INT or found.kind == DOUBLE:
        for size in range(8):
            number[size] = <uint8_t>(found.number >> (8 * size))
        found.data = number
        found.size = 1 if found.kind == BOOL else 8
    elif found.kind == EMPTY:
        found.size = 0
    else:
        return 0
    out = arena_take(arena, 66)
    out[0] = STRING_TAG
    out[1] = <uint8_t>hex_digest(memo.algorithm, found.data, found.size, out + 2) if found.size else 0
    answer.data = out
    answer.size = 2 + out[1]
    return 1


cdef inline size_t bytes_of(Remembered* entry) noexcept nogil:
    return entry.size + (<size_t>entry.answer_size if entry.answer_size > 0 else 0)


cdef inline bint is_full(Memo* memo, uint64_t key) noexcept nogil:
    """Whether one more would displace another, in a memo that is not nearly empty."""
    cdef Remembered* entry = memo.entries + (key & (memo.sets - 1)) * MEMO_WAYS
    cdef int way
    if memo.sets == 0 or memo.kept * 4 < memo.sets * MEMO_WAYS:
        return memo.sets == 0
    for way in range(MEMO_WAYS):
        if entry[way].data == NULL:
            return False
    return True


cdef inline Remembered* room_for(Memo* memo, uint64_t key) noexcept nogil:
    """An entry that is empty, or the one whose turn it is to go."""
    cdef Remembered* entry = memo.entries + (key & (memo.sets - 1)) * MEMO_WAYS
    cdef int way
    for way in range(MEMO_WAYS):
        if entry[way].data == NULL:
            memo.kept += 1
            return &entry[way]
    memo.turn += 1
    entry += memo.turn & (MEMO_WAYS - 1)
    memo.bytes -= bytes_of(entry)
    free(entry.data)
    return entry


cdef inline int memo_grow(Memo* memo) except -1 nogil:
    """Make room for four times as many answers as before."""
    cdef Remembered* before = memo.entries
    cdef size_t count = memo.sets * MEMO_WAYS
    cdef size_t sets = 4 * memo.sets if memo.sets else MEMO_FIRST
    cdef size_t index
    memo.entries = <Remembered*>calloc(sets * MEMO_WAYS, sizeof(Remembered))
    if memo.entries == NULL:
        memo.entries = before
        out_of_memory()
    memo.sets = sets
    memo.kept = 0
    for index in range(count):
        if before[index].data != NULL:
            room_for(memo, before[index].hash)[0] = before[index]
    free(before)
    return 0


cdef inline void memo_empty(Memo* memo) noexcept nogil:
    cdef size_t index
    for index in range(memo.sets * MEMO_WAYS):
        free(memo.entries[index].data)
    free(memo.entries)
    memo.entries = NULL
    memo.sets = memo.kept = memo.bytes = 0


cdef inline int memo_keep(Memo* memo, uint64_t key, bytes_at value, size_t size, Answer* answer) except -1 nogil:
    cdef size_t answer_size = <size_t>answer.size if answer.size > 0 else 0
    cdef uint8_t* data
    if size > MEMO_LARGEST or answer_size > MEMO_LARGEST:
        return 0
    if memo.bytes + size + answer_size > MEMO_BYTES:
        memo_empty(memo)
    if memo.sets < MEMO_SETS and is_full(memo, key):
        memo_grow(memo)
    data = <uint8_t*>malloc(size + answer_size + 1)
    if data == NULL:
        out_of_memory()
    memcpy(data, value, size)
    memcpy(data + size, answer.data, answer_size)
    room_for(memo, key)[0] = Remembered(key, data, size, answer.size)
    memo.bytes += size + answer_size
    return 0


cdef inline Remembered* memo_find(Memo* memo, uint64_t key, bytes_at value, size_t size) noexcept nogil:
    """What is kept for a value whose hash is `key`, until the next is kept; NULL where there is nothing."""
    cdef Remembered* entry = memo.entries + (key & (memo.sets - 1)) * MEMO_WAYS
    cdef int way
    if memo.sets == 0:
        return NULL
    for way in range(MEMO_WAYS):
        if entry.hash == key and entry.size == size and entry.data != NULL and memcmp(entry.data, value, size) == 0:
            return entry
        entry += 1
    return NULL


cdef inline int recall(Memo* memo, Arena* arena, bytes_at value, size_t size, Answer* answer) except -1 nogil:
    """The answer for a value, in the arena; its size is -1 where Python answered None. Returns 1 if that was worked out now."""
    cdef uint64_t key = hash_bytes(value, size)
    cdef Remembered* entry = memo_find(memo, key, value, size)
    if entry != NULL:
        answer.size = entry.answer_size
        answer.data = value
        if entry.answer_size > 0:
            answer.data = arena_take(arena, entry.answer_size)
            memcpy(<uint8_t*>answer.data, entry.data + size, entry.answer_size)
        return 0
    if memo.algorithm == 0 or not take_digest(memo, arena, value, size, answer):
        memo_ask(memo, arena, value, size, answer)
    memo_keep(memo, key, value, size, answer)
    return 1


cdef inline void memos_free(Memo* memo) noexcept nogil:
    """Give back a memo and all that follow it."""
    while memo != NULL:
        memo_empty(memo)
        memo = memo.next
