"""What a text holds, whatever it is hidden under: the detectors over the text and over its copies."""

cimport cython
from libc.stdint cimport int32_t, uint8_t, uint32_t

from sluiceway.otlp._attributes cimport Text
from sluiceway.otlp._proto cimport bytes_at
from sluiceway.personal._copies cimport Copy, Folding

cdef enum:
    FIRST_PATTERN = 16  # the kind of the first of one's own patterns
    MOST_PATTERNS = 16
    HIDDEN = 15  # the kind of a text that grows too much when it is folded: all of it must be treated
    LAYERS = 6


cdef struct Finding:
    size_t first  # in the text
    size_t last
    bytes_at plain  # what was found, folded and decoded; it stays until the next text
    size_t plain_size
    int kind


cdef struct Order:
    # What becomes of each kind, as far as it matters where findings overlap.
    uint32_t kept  # bits of those that stay as they are
    uint32_t dropped  # of those that take all of the text with them
    int32_t by_kind[32]  # the lower one counts


cdef struct Sight:
    # Zero it to begin; give it back with `sight_free`. Of one thread.
    Copy copies[6]
    Finding* list
    size_t count
    size_t capacity
    Finding* merged
    size_t merged_capacity
    const Order* order  # what the caller says before each text, or NULL


@cython.final
cdef class Detectors:
    cdef uint8_t triggers[256]
    cdef readonly uint32_t wanted
    cdef readonly bint decodes
    cdef Folding folding
    cdef list patterns  # what finds each in bytes
    cdef list kept
    cdef Text literals[16]  # what a pattern cannot do without; empty where that is not known

    cdef int _arm(self, int kind, bytes characters, uint8_t trigger) except -1
    cdef int _ask(
        self, Sight* sight, uint32_t wanted, bytes_at text, size_t size, const uint32_t* origin
    ) except -1 nogil
    cdef int _ask_one(self, Sight* sight, int pattern, bytes_at text, size_t size, const uint32_t* origin) except -1 with gil
    cdef int detect(self, Sight* sight, bytes_at text, size_t size, uint32_t wanted) except -1 nogil


cdef void sight_free(Sight* sight) noexcept nogil
