"""What all that reads or writes JSON shares: texts, integers and bytes. What writes answers False where memory is out."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from sluiceway.otlp._proto cimport Buffer, buffer_put, buffer_reserve, bytes_at


cdef inline bytes_at skip_plain(bytes_at p, bytes_at end) noexcept nogil:
    """The first quote, backslash or control character, or `end`."""
    cdef uint64_t word, quote, backslash
    while end - p >= 8:
        memcpy(&word, p, 8)
        quote = word ^ 0x2222222222222222ULL
        backslash = word ^ 0x5C5C5C5C5C5C5C5CULL
        if (
            ((word - 0x2020202020202020ULL) & ~word)
            | ((quote - 0x0101010101010101ULL) & ~quote)
            | ((backslash - 0x0101010101010101ULL) & ~backslash)
        ) & 0x8080808080808080ULL:
            break
        p += 8
    while p < end and p[0] >= c' ' and p[0] != c'"' and p[0] != c'\\':
        p += 1
    return p


cdef inline bint write_integer(Buffer* out, uint64_t bits, bint minus, bint quoted) noexcept nogil:
    """Decimal digits; in quotes where a number of JavaScript would lose some."""
    cdef uint8_t text[24]
    cdef int at = 24
    cdef uint64_t magnitude = 0 - bits if minus else bits
    if quoted:
        at -= 1
        text[at] = c'"'
    while True:
        at -= 1
        text[at] = c'0' + <uint8_t>(magnitude % 10)
        magnitude //= 10
        if magnitude == 0:
            break
    if minus:
        at -= 1
        text[at] = c'-'
    if quoted:
        at -= 1
        text[at] = c'"'
    return buffer_put(out, &text[at], 24 - at)


cdef inline bint write_hex(Buffer* out, bytes_at p, bytes_at end) noexcept nogil:
    cdef const uint8_t* digits = <const uint8_t*>b"0123456789abcdef"
    cdef uint8_t* to
    if not buffer_reserve(out, 2 * (end - p) + 2):
        return False
    to = out.data + out.size
    to[0] = c'"'
    to += 1
    while p < end:
        to[0] = digits[p[0] >> 4]
        to[1] = digits[p[0] & 15]
        to += 2
        p += 1
    to[0] = c'"'
    out.size = to + 1 - out.data
    return True


cdef inline bint write_base64(Buffer* out, bytes_at p, bytes_at end) noexcept nogil:
    cdef const uint8_t* digits = <const uint8_t*>b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    cdef uint8_t* to
    cdef uint32_t bits
    cdef Py_ssize_t left, i
    if not buffer_reserve(out, (end - p + 2) // 3 * 4 + 2):
        return False
    to = out.data + out.size
    to[0] = c'"'
    to += 1
    while p < end:
        left = min(end - p, 3)
        bits = 0
        for i in range(3):
            bits = bits << 8 | (p[i] if i < left else 0)
        for i in range(4):
            to[i] = digits[bits >> (18 - 6 * i) & 63] if i <= left else c'='
        to += 4
        p += left
    to[0] = c'"'
    out.size = to + 1 - out.data
    return True
