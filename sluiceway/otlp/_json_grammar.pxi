# The grammar of JSON (RFC 8259), read in place; included by the decoder.

cdef enum:
    MAX_NESTING = 300  # brackets inside one another, in parts that are not known as well
    LOWER = 0x20  # the bit that makes a small letter of any letter

cdef enum Fault:
    FINE = 0
    NOT_JSON
    WRONG_TYPE
    OUT_OF_RANGE
    TOO_DEEP
    NO_MEMORY

cdef struct Reader:
    bytes_at p
    bytes_at end
    int nesting
    Buffer out
    Buffer scratch  # the text of the last string that had escapes in it


cdef inline void skip_space(Reader* r) noexcept nogil:
    while r.p < r.end and (r.p[0] == c' ' or r.p[0] == c'\n' or r.p[0] == c'\r' or r.p[0] == c'\t'):
        r.p += 1


cdef inline uint8_t peek(Reader* r) noexcept nogil:
    """The next character that is no space; 0, which is none of JSON's, at the end."""
    skip_space(r)
    return r.p[0] if r.p < r.end else 0


cdef inline bint take(Reader* r, uint8_t character) noexcept nogil:
    if peek(r) != character:
        return False
    r.p += 1
    return True


cdef bint take_word(Reader* r, const char* word, size_t size) noexcept nogil:
    if <size_t>(r.end - r.p) < size or memcmp(r.p, word, size) != 0:
        return False
    r.p += size
    return True


cdef int enter(Reader* r, uint8_t opener) noexcept nogil:
    cdef uint8_t found = peek(r)
    if found != opener:
        return NOT_JSON if found == 0 else WRONG_TYPE
    r.p += 1
    r.nesting += 1
    return TOO_DEEP if r.nesting > MAX_NESTING else FINE


cdef inline int more(Reader* r, uint8_t closer, bint* first, bint* done) noexcept nogil:
    """Whether another member or element follows: past the comma, or past the closing bracket and `done`."""
    cdef uint8_t found = peek(r)
    done[0] = found == closer
    if done[0]:
        r.p += 1
        r.nesting -= 1
        return FINE
    if first[0]:
        first[0] = False
        return FINE
    if found != c',':
        return NOT_JSON
    r.p += 1
    return FINE


cdef int read_string(Reader* r, bytes_at* start, size_t* size) noexcept nogil:
    """A string's text: in place where nothing is escaped, otherwise in the scratch buffer until the next string."""
    cdef bytes_at p
    cdef bint escaped = False
    if peek(r) != c'"':
        return WRONG_TYPE if r.p < r.end else NOT_JSON
    r.p += 1
    p = r.p
    while True:
        p = skip_plain(p, r.end)
        if p >= r.end or p[0] == c'"':
            break
        if p[0] < c' ':
            return NOT_JSON
        escaped = True
        p += 2
    if p >= r.end:
        return NOT_JSON
    start[0] = r.p
    size[0] = p - r.p
    r.p = p + 1
    if not is_utf8(start[0], p):
        return NOT_JSON
    return unescape(&r.scratch, start, size) if escaped else FINE


cdef int unescape(Buffer* scratch, bytes_at* start, size_t* size) noexcept nogil:
    cdef bytes_at p = start[0]
    cdef bytes_at end = p + size[0]
    cdef uint8_t* out
    cdef uint32_t code = 0
    scratch.size = 0
    if not buffer_reserve(scratch, size[0]):
        return NO_MEMORY
    out = scratch.data
    while p < end:
        if p[0] != c'\\':
            out[0] = p[0]
            out += 1
            p += 1
            continue
        p = read_escape(p + 1, end, &code)
        if p == NULL:
            return NOT_JSON
        out = write_utf8(out, code)
    start[0] = scratch.data
    size[0] = out - scratch.data
    return FINE


cdef bytes_at read_escape(bytes_at p, bytes_at end, uint32_t* code) noexcept nogil:
    """What follows a backslash; NULL for what is no escape and for half of a surrogate pair."""
    cdef uint32_t low = 0
    cdef uint8_t c = p[0]
    if c == c'"' or c == c'\\' or c == c'/':
        code[0] = c
    elif c == c'b':
        code[0] = c'\b'
    elif c == c'f':
        code[0] = c'\f'
    elif c == c'n':
        code[0] = c'\n'
    elif c == c'r':
        code[0] = c'\r'
    elif c == c't':
        code[0] = c'\t'
    elif c == c'u':
        if not read_hex4(p + 1, end, code) or (code[0] & 0xFC00) == 0xDC00:
            return NULL
        p += 4
        if (code[0] & 0xFC00) == 0xD800:
            if end - p < 7 or p[1] != c'\\' or p[2] != c'u' or not read_hex4(p + 3, end, &low):
                return NULL
            if (low & 0xFC00) != 0xDC00:
                return NULL
            code[0] = 0x10000 + ((code[0] - 0xD800) << 10) + (low - 0xDC00)
            p += 6
    else:
        return NULL
    return p + 1


cdef bint read_hex4(bytes_at p, bytes_at end, uint32_t* code) noexcept nogil:
    cdef int digit, i
    if end - p < 4:
        return False
    code[0] = 0
    for i in range(4):
        digit = hex_digit(p[i])
        if digit < 0:
            return False
        code[0] = code[0] << 4 | <uint32_t>digit
    return True


cdef inline int hex_digit(uint8_t c) noexcept nogil:
    if c'0' <= c <= c'9':
        return c - c'0'
    c |= LOWER
    return c - c'a' + 10 if c'a' <= c <= c'f' else -1


cdef uint8_t* write_utf8(uint8_t* out, uint32_t code) noexcept nogil:
    if code < 0x80:
        out[0] = <uint8_t>code
        return out + 1
    if code < 0x800:
        out[0] = <uint8_t>(0xC0 | code >> 6)
        out[1] = <uint8_t>(0x80 | code & 0x3F)
        return out + 2
    if code < 0x10000:
        out[0] = <uint8_t>(0xE0 | code >> 12)
        out[1] = <uint8_t>(0x80 | code >> 6 & 0x3F)
        out[2] = <uint8_t>(0x80 | code & 0x3F)
        return out + 3
    out[0] = <uint8_t>(0xF0 | code >> 18)
    out[1] = <uint8_t>(0x80 | code >> 12 & 0x3F)
    out[2] = <uint8_t>(0x80 | code >> 6 & 0x3F)
    out[3] = <uint8_t>(0x80 | code & 0x3F)
    return out + 4


cdef bytes_at skip_digits(bytes_at p, bytes_at end) noexcept nogil:
    while p < end and c'0' <= p[0] <= c'9':
        p += 1
    return p


cdef bytes_at skip_number(bytes_at p, bytes_at end) noexcept nogil:
    """The end of a number by JSON's grammar, or NULL."""
    cdef bytes_at digits
    if p < end and p[0] == c'-':
        p += 1
    digits = p
    p = skip_digits(p, end)
    if p == digits or (digits[0] == c'0' and p - digits > 1):
        return NULL
    if p < end and p[0] == c'.':
        digits = p + 1
        p = skip_digits(digits, end)
        if p == digits:
            return NULL
    if p < end and (p[0] | LOWER) == c'e':
        p += 1
        if p < end and (p[0] == c'+' or p[0] == c'-'):
            p += 1
        digits = p
        p = skip_digits(digits, end)
        if p == digits:
            return NULL
    return p


cdef int skip_json(Reader* r) noexcept nogil:
    """Pass over a value of an unknown field."""
    cdef uint8_t c = peek(r)
    cdef bytes_at start = NULL
    cdef size_t size = 0
    if c == c'{' or c == c'[':
        return skip_nested(r, c)
    if c == c'"':
        return read_string(r, &start, &size)
    if c == c't':
        return FINE if take_word(r, b"true", 4) else NOT_JSON
    if c == c'f':
        return FINE if take_word(r, b"false", 5) else NOT_JSON
    if c == c'n':
        return FINE if take_word(r, b"null", 4) else NOT_JSON
    start = skip_number(r.p, r.end)
    if start == NULL:
        return NOT_JSON
    r.p = start
    return FINE


cdef int skip_nested(Reader* r, uint8_t opener) noexcept nogil:
    cdef bytes_at start = NULL
    cdef size_t size = 0
    cdef bint first = True
    cdef bint done = False
    cdef int fault = enter(r, opener)
    while fault == FINE:
        fault = more(r, opener + 2, &first, &done)
        if fault != FINE or done:
            return fault
        if opener == c'{':
            fault = read_string(r, &start, &size)
            if fault != FINE or not take(r, c':'):
                return NOT_JSON
        fault = skip_json(r)
    return fault
