# Text inside JSON strings, as both directions of OTLP/JSON look at it; included by each.


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
