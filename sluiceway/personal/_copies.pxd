"""Copies of a text in which detectors can see what was hidden, each byte with the place in the text that it came from.

`fold` applies NFKC, takes out what is not seen (zero-width characters, soft hyphens, combining marks, tags), and writes
digits, dashes, spaces and full stops of all scripts as ASCII. `decode` undoes percent-encoding, HTML's
character references and the escapes of JSON's strings, once.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport free, realloc
from libc.string cimport memchr, memcpy

from sluiceway.otlp._arena cimport out_of_memory
from sluiceway.otlp._proto cimport bytes_at, utf8_sequence
from sluiceway.personal._text cimport DIGIT, HEX, LOWER, is_a, starts

cdef enum:
    GROWTH = 4  # a copy is at most so many times as long as the text
    GROWTH_SLACK = 64
    DROPPED = 0
    UNCHANGED = 1
    KEPT_CAPACITY = 65536  # bytes that may be kept for the texts to come


cdef struct Copy:
    # Zero it to begin; give it back with `copy_free`.
    uint8_t* data
    uint32_t* origin  # of each byte: where in the text the character begins that it came from; one more for the end
    size_t size
    size_t capacity


cdef struct Folding:
    # What each code point becomes: DROPPED, UNCHANGED, or a place in `texts` << 8 | a size.
    uint32_t** pages  # of 256 code points each
    uint8_t* texts  # the first is a space


cdef inline int copy_reserve(Copy* copy, size_t capacity) except -1 nogil:
    cdef void* data
    if copy.capacity >= capacity:
        return 0
    data = realloc(copy.data, capacity)
    if data == NULL:
        out_of_memory()
    copy.data = <uint8_t*>data
    data = realloc(copy.origin, (capacity + 1) * sizeof(uint32_t))
    if data == NULL:
        out_of_memory()
    copy.origin = <uint32_t*>data
    copy.capacity = capacity
    return 0


cdef inline void copy_free(Copy* copy) noexcept nogil:
    free(copy.data)
    free(copy.origin)
    copy.data = NULL
    copy.origin = NULL
    copy.size = copy.capacity = 0


cdef inline uint32_t origin_of(const uint32_t* origin, size_t index) noexcept nogil:
    return origin[index] if origin != NULL else <uint32_t>index


cdef inline uint32_t code_point(bytes_at p, int size) noexcept nogil:
    if size == 2:
        return <uint32_t>(p[0] & 0x1F) << 6 | (p[1] & 0x3F)
    if size == 3:
        return <uint32_t>(p[0] & 0x0F) << 12 | <uint32_t>(p[1] & 0x3F) << 6 | (p[2] & 0x3F)
    return <uint32_t>(p[0] & 0x07) << 18 | <uint32_t>(p[1] & 0x3F) << 12 | <uint32_t>(p[2] & 0x3F) << 6 | (p[3] & 0x3F)


cdef inline int fold(
    Folding* folding, Copy* copy, bytes_at text, size_t size, const uint32_t* origin
) except -1 nogil:
    """Fold a text; 0 where the copy would grow beyond its bound. Bytes that are no UTF-8 become spaces."""
    cdef bytes_at end = text + size
    cdef bytes_at p = text
    cdef bytes_at source
    cdef size_t most = GROWTH * size + GROWTH_SLACK
    cdef size_t length
    cdef uint32_t entry
    cdef uint32_t place
    cdef int sequence
    copy.size = 0
    copy_reserve(copy, size + 64)
    while p < end:
        place = origin_of(origin, p - text)
        sequence = 1
        source = p
        length = 1
        if p[0] >= 0x80:
            sequence = utf8_sequence(p, end)
            if sequence < 0:
                sequence = -sequence
                source = folding.texts
            else:
                entry = code_point(p, sequence)
                entry = folding.pages[entry >> 8][entry & 255]
                length = sequence
                if entry != UNCHANGED:
                    source = folding.texts + (entry >> 8)
                    length = entry & 255
        if copy.size + length > copy.capacity:
            if copy.size + length > most:
                return 0
            copy_reserve(copy, min(2 * copy.capacity + length, most))
        memcpy(copy.data + copy.size, source, length)
        p += sequence
        while length:
            copy.origin[copy.size] = place
            copy.size += 1
            length -= 1
    copy.origin[copy.size] = origin_of(origin, size)
    return 1


cdef inline int hex_value(bytes_at p, bytes_at end, int digits) noexcept nogil:
    """The number that so many hexadecimal digits stand for; -1 where they are not there."""
    cdef int value = 0
    if end - p < digits:
        return -1
    while digits:
        if not is_a(p[0], HEX):
            return -1
        value = value << 4 | (p[0] - c'0' if is_a(p[0], DIGIT) else (p[0] | 0x20) - c'a' + 10)
        p += 1
        digits -= 1
    return value


cdef inline size_t put_code_point(uint8_t* out, uint32_t value) noexcept nogil:
    if value < 0x80:
        out[0] = <uint8_t>value
        return 1
    if value < 0x800:
        out[0] = <uint8_t>(0xC0 | value >> 6)
        out[1] = <uint8_t>(0x80 | value & 0x3F)
        return 2
    if value < 0x10000:
        out[0] = <uint8_t>(0xE0 | value >> 12)
        out[1] = <uint8_t>(0x80 | value >> 6 & 0x3F)
        out[2] = <uint8_t>(0x80 | value & 0x3F)
        return 3
    out[0] = <uint8_t>(0xF0 | value >> 18)
    out[1] = <uint8_t>(0x80 | value >> 12 & 0x3F)
    out[2] = <uint8_t>(0x80 | value >> 6 & 0x3F)
    out[3] = <uint8_t>(0x80 | value & 0x3F)
    return 4


cdef inline bytes_at decode_backslash(bytes_at p, bytes_at end, uint8_t* out, size_t* size) noexcept nogil:
    """Undo the escape whose backslash stands at `p`; NULL where there is none."""
    cdef int value
    cdef int second
    cdef uint8_t letter = p[1] if end - p > 1 else 0
    if letter == c'u':
        value = hex_value(p + 2, end, 4)
        if value < 0:
            return NULL
        p += 6
        if 0xD800 <= value < 0xDC00 and starts(p, end, b"\\u", 2):
            second = hex_value(p + 2, end, 4)
            if 0xDC00 <= second < 0xE000:
                size[0] = put_code_point(out, 0x10000 + ((value - 0xD800) << 10) + second - 0xDC00)
                return p + 6
        size[0] = put_code_point(out, 0x20 if 0xD800 <= value < 0xE000 else value)
        return p
    if letter == c'"' or letter == c'\\' or letter == c'/':
        out[0] = letter
    elif letter == c'n' or letter == c't' or letter == c'r' or letter == c'b' or letter == c'f':
        out[0] = c' '
    else:
        return NULL
    size[0] = 1
    return p + 2


cdef inline bytes_at decode_reference(bytes_at p, bytes_at end, uint8_t* out, size_t* size) noexcept nogil:
    """Undo the character reference whose ampersand stands at `p`; NULL where there is none that is known."""
    cdef const char** name = REFERENCES
    cdef uint32_t value = 0
    cdef int digits = 0
    cdef size_t length
    if end - p > 3 and p[1] == c'#':
        p += 2
        if p[0] | 0x20 == c'x':
            p += 1
            while p < end and is_a(p[0], HEX) and digits < 8:
                value = value << 4 | <uint32_t>hex_value(p, end, 1)
                digits += 1
                p += 1
        else:
            while p < end and is_a(p[0], DIGIT) and digits < 8:
                value = value * 10 + p[0] - c'0'
                digits += 1
                p += 1
        if digits == 0 or value > 0x10FFFF or 0xD800 <= value < 0xE000:
            return NULL
        size[0] = put_code_point(out, value)
        return p + 1 if p < end and p[0] == c';' else p
    if end - p < 4 or not is_a(p[1], LOWER):
        return NULL
    while name[0] != NULL:
        length = 1
        while name[0][length]:
            length += 1
        if starts(p + 1, end, name[0] + 1, length - 1):
            out[0] = name[0][0]
            size[0] = 1
            return p + length
        name += 1
    return NULL


cdef extern from *:
    """
    /* The character and the name of each reference that can hide what detectors look for. */
    static const char* const sluiceway_references[] = {
        "&amp;", "<lt;", ">gt;", "\\"quot;", "'apos;", "@commat;", ".period;", ":colon;", "+plus;", "-hyphen;", "-dash;",
        "_lowbar;", "/sol;", "=equals;", "%percnt;", "(lpar;", ")rpar;", " nbsp;", ",comma;", "#num;", ";semi;", 0
    };
    """
    const char** REFERENCES "sluiceway_references"


cdef inline int decode(Copy* copy, bytes_at text, size_t size, const uint32_t* origin) except -1 nogil:
    """Undo one layer of encoding; 0 where there is none. A copy is never longer than the text."""
    cdef bytes_at end = text + size
    cdef bytes_at p = text
    cdef bytes_at after
    cdef size_t length
    cdef uint32_t place
    cdef int value
    cdef bint changed = False
    if memchr(text, c'%', size) == NULL and memchr(text, c'&', size) == NULL and memchr(text, c'\\', size) == NULL:
        return 0
    copy.size = 0
    copy_reserve(copy, size + 8)
    while p < end:
        place = origin_of(origin, p - text)
        after = NULL
        length = 1
        if p[0] == c'%':
            value = hex_value(p + 1, end, 2)
            if value >= 0:
                copy.data[copy.size] = <uint8_t>value
                after = p + 3
        elif p[0] == c'\\':
            after = decode_backslash(p, end, copy.data + copy.size, &length)
        elif p[0] == c'&':
            after = decode_reference(p, end, copy.data + copy.size, &length)
        if after == NULL:
            copy.data[copy.size] = p[0]
            length = 1
            after = p + 1
        else:
            changed = True
        p = after
        while length:
            copy.origin[copy.size] = place
            copy.size += 1
            length -= 1
    copy.origin[copy.size] = origin_of(origin, size)
    return changed
