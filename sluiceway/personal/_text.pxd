"""The text at hand, and what its bytes are.

Every scanner here takes a `Scan` and a position in it, looks at no byte outside of it, and where it finds something says
so by True and leaves the place in `first` and `last`. None goes back beyond `floor`, and none goes over the same byte
more often than a small constant: a text costs what its length says, whatever is in it.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp

from sluiceway.otlp._proto cimport bytes_at

cdef extern from *:
    """
    enum { D = 1, U = 2, L = 4, X = 8, W = 16, B = 32, E = 64, S = 128 };
    static const uint8_t sluiceway_is[256] = {
        [9] = S, [10] = S, [11] = S, [12] = S, [13] = S, [' '] = S,
        ['0' ... '9'] = D | X | W | B | E,
        ['A' ... 'F'] = U | X | W | B | E, ['G' ... 'Z'] = U | W | B | E,
        ['a' ... 'f'] = L | X | W | B | E, ['g' ... 'z'] = L | W | B | E,
        ['_'] = W | B | E, ['-'] = B | E, ['.'] = E, ['%'] = E, ['+'] = E, ['\\''] = E, ['~'] = E,
        [128 ... 255] = E,
    };
    """
    const uint8_t[256] IS "sluiceway_is"

cdef enum:
    DIGIT = 1
    UPPER = 2
    LOWER = 4
    LETTER = 6
    ALNUM = 7
    HEX = 8
    WORD = 16  # letters, digits and _
    BASE64URL = 32
    MAILBOX = 64  # what people have in front of the @, any letter of any script included
    SPACE = 128


cdef struct Scan:
    bytes_at start
    bytes_at end
    bytes_at floor  # what was found already ends here
    bytes_at mark  # the colon before the password in a URL; NULL where none was met
    bytes_at sign  # the @ behind that password
    bytes_at first  # what is found
    bytes_at last  # behind it
    uint32_t wanted  # a bit for each detector


cdef inline bint found(Scan* scan, bytes_at first, bytes_at last) noexcept nogil:
    scan.first = first
    scan.last = last
    return True


cdef inline uint8_t before(Scan* scan, bytes_at p) noexcept nogil:
    """The byte before `p`; 0 at the start."""
    return p[-1] if p > scan.start else 0


cdef inline uint8_t at(Scan* scan, bytes_at p) noexcept nogil:
    """The byte at `p`; 0 at the end and beyond it."""
    return p[0] if p < scan.end else 0


cdef inline bint is_a(uint8_t character, int kind) noexcept nogil:
    return IS[character] & kind != 0


cdef inline bytes_at run_of(bytes_at p, bytes_at end, int kind) noexcept nogil:
    """The end of the run of characters of a kind."""
    while p < end and IS[p[0]] & kind:
        p += 1
    return p


cdef inline uint8_t small(uint8_t character) noexcept nogil:
    return character | 0x20 if IS[character] & UPPER else character


cdef inline bint starts(bytes_at p, bytes_at end, const char* word, size_t size) noexcept nogil:
    return <size_t>(end - p) >= size and memcmp(p, word, size) == 0


cdef inline bint starts_any_case(bytes_at p, bytes_at end, const char* word, size_t size) noexcept nogil:
    """Whether the text at `p` is `word`, which is in small letters, in any case."""
    cdef size_t i
    if <size_t>(end - p) < size:
        return False
    for i in range(size):
        if small(p[i]) != <uint8_t>word[i]:
            return False
    return True


cdef inline bint ends_any_case(bytes_at start, bytes_at p, const char* word, size_t size) noexcept nogil:
    """Whether the text before `p` ends with `word`."""
    return <size_t>(p - start) >= size and starts_any_case(p - size, p, word, size)
