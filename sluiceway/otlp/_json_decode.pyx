"""OTLP/JSON to OTLP bytes, by the schema table; no object is built for anything in between."""

from libc.math cimport isinf
from libc.string cimport memcmp, memmove, memset

from sluiceway.otlp._json_text cimport skip_plain

include "_schema.pxi"
include "_json_grammar.pxi"

from sluiceway.errors import DecodeError

cdef double POWERS[23]

for _power in range(23):
    POWERS[<int>_power] = float(10**_power)

_TEXTS = {
    NOT_JSON: "not a JSON object",
    WRONG_TYPE: "a field has a value of the wrong type",
    OUT_OF_RANGE: "a number is out of range",
    TOO_DEEP: "messages are nested too deeply",
}


def decode(int signal_code, bytes text not None):
    """The OTLP bytes of a JSON object. They still have to pass `accept`."""
    cdef Reader r
    cdef int root = ROOT[signal_code]
    cdef int fault
    memset(&r, 0, sizeof(Reader))
    r.p = <bytes_at>PyBytes_AS_STRING(text)
    r.end = r.p + len(text)
    try:
        if len(text) > RELEASE_ABOVE_JSON:
            with nogil:
                fault = read_document(&r, root)
        else:
            fault = read_document(&r, root)
        if fault == NO_MEMORY:
            raise MemoryError
        if fault != FINE:
            raise DecodeError(_TEXTS[fault])
        return r.out.data[: r.out.size]
    finally:
        buffer_free(&r.out)
        buffer_free(&r.scratch)


cdef int read_document(Reader* r, int root) noexcept nogil:
    cdef int fault = read_message(r, root, 0)
    skip_space(r)
    return NOT_JSON if fault == FINE and r.p != r.end else fault


cdef int read_message(Reader* r, int message, int depth) noexcept nogil:
    cdef bytes_at name = NULL
    cdef size_t size = 0
    cdef bint first = True
    cdef bint done = False
    cdef int number
    cdef int fault
    if depth > MAX_DEPTH:
        return TOO_DEEP
    fault = enter(r, c'{')
    while fault == FINE:
        fault = more(r, c'}', &first, &done)
        if fault != FINE or done:
            return fault
        fault = read_string(r, &name, &size)
        if fault != FINE:
            return NOT_JSON if fault == WRONG_TYPE else fault
        number = find_field(message, name, size)
        if not take(r, c':'):
            return NOT_JSON
        if peek(r) == c'n':  # null: as if it were not there
            fault = FINE if take_word(r, b"null", 4) else NOT_JSON
        elif number == 0:
            fault = skip_json(r)
        elif FIELDS[message][number].repeated:
            fault = read_repeated(r, message, number, depth)
        else:
            fault = read_field(r, message, number, depth)
    return fault


cdef int find_field(int message, bytes_at name, size_t size) noexcept nogil:
    cdef const Field* field
    cdef int number
    for number in range(1, LAST[message] + 1):
        field = &FIELDS[message][number]
        if field.name_size == size and field.kind != NOTHING and memcmp(field.name, name, size) == 0:
            return number
    return 0


cdef int read_repeated(Reader* r, int message, int number, int depth) noexcept nogil:
    """The elements of an array: one field each, or packed into one where they are numbers."""
    cdef const Field* field = &FIELDS[message][number]
    cdef bint is_packed = field.kind < STRING
    cdef bint first = True
    cdef bint done = False
    cdef size_t mark = 0
    cdef int fault = enter(r, c'[')
    if fault == FINE and is_packed:
        fault = open_field(&r.out, number, &mark)
    while fault == FINE:
        fault = more(r, c']', &first, &done)
        if fault != FINE:
            return fault
        if done:
            return close_field(&r.out, mark) if is_packed else FINE
        fault = read_number(r, field.kind) if is_packed else read_field(r, message, number, depth)
    return fault


cdef int read_field(Reader* r, int message, int number, int depth) noexcept nogil:
    cdef const Field* field = &FIELDS[message][number]
    cdef bytes_at text = NULL
    cdef size_t size = 0
    cdef size_t mark = 0
    cdef int fault
    if field.kind < STRING:
        if not buffer_put_varint(&r.out, number << 3 | field.wire):
            return NO_MEMORY
        return read_number(r, field.kind)
    if field.kind == MESSAGE:
        fault = open_field(&r.out, number, &mark)
        if fault == FINE:
            fault = read_message(r, field.message, depth + 1)
        return fault if fault != FINE else close_field(&r.out, mark)
    fault = read_string(r, &text, &size)
    if fault == FINE:
        fault = open_field(&r.out, number, &mark)
    if fault != FINE:
        return fault
    if not buffer_reserve(&r.out, size):
        return NO_MEMORY
    if field.kind == STRING:
        buffer_put(&r.out, text, size)
    elif not (put_hex(&r.out, text, size) if field.kind == HEX else put_base64(&r.out, text, size)):
        return WRONG_TYPE
    return close_field(&r.out, mark)


cdef int open_field(Buffer* out, int number, size_t* mark) noexcept nogil:
    """Begin a field with a length, for which one byte is kept at `mark` until it is known."""
    if not buffer_put_varint(out, number << 3 | WIRE_BYTES):
        return NO_MEMORY
    mark[0] = out.size
    return FINE if buffer_put_varint(out, 0) else NO_MEMORY


cdef int close_field(Buffer* out, size_t mark) noexcept nogil:
    cdef size_t size = out.size - mark - 1
    cdef size_t prefix = varint_size(size)
    if prefix > 1:
        if not buffer_reserve(out, prefix - 1):
            return NO_MEMORY
        memmove(out.data + mark + prefix, out.data + mark + 1, size)
        out.size += prefix - 1
    write_varint(out.data + mark, size)
    return FINE


cdef bint put_hex(Buffer* out, bytes_at p, size_t size) noexcept nogil:
    cdef int high, low
    cdef size_t i
    if size % 2:
        return False
    for i in range(0, size, 2):
        high = hex_digit(p[i])
        low = hex_digit(p[i + 1])
        if high < 0 or low < 0:
            return False
        out.data[out.size] = <uint8_t>(high << 4 | low)
        out.size += 1
    return True


cdef inline int base64_digit(uint8_t c) noexcept nogil:
    if c'A' <= c <= c'Z':
        return c - c'A'
    if c'a' <= c <= c'z':
        return c - c'a' + 26
    if c'0' <= c <= c'9':
        return c - c'0' + 52
    if c == c'+' or c == c'-':
        return 62
    return 63 if c == c'/' or c == c'_' else -1


cdef bint put_base64(Buffer* out, bytes_at p, size_t size) noexcept nogil:
    """Standard or URL-safe alphabet, with or without padding, as protobuf's JSON allows."""
    cdef uint32_t bits = 0
    cdef int digit
    cdef int held = 0
    cdef size_t i
    if size % 4 == 0 and size and p[size - 1] == c'=':
        size -= 2 if p[size - 2] == c'=' else 1
    if size % 4 == 1:
        return False
    for i in range(size):
        digit = base64_digit(p[i])
        if digit < 0:
            return False
        bits = bits << 6 | <uint32_t>digit
        held += 6
        if held >= 8:
            held -= 8
            out.data[out.size] = <uint8_t>(bits >> held)
            out.size += 1
    return True


cdef int read_number(Reader* r, uint8_t kind) noexcept nogil:
    """A number, a number in quotes (not for enums), or a truth value, written without its tag."""
    cdef bytes_at start = NULL
    cdef bytes_at end
    cdef size_t size = 0
    cdef int fault
    if kind == BOOL:
        return read_bool(r)
    if peek(r) == c'"':
        if kind == ENUM:
            return WRONG_TYPE
        fault = read_string(r, &start, &size)
        if fault != FINE:
            return fault
        end = start + size
        if kind == DOUBLE and size and (start[0] == c'N' or start[size - 1] == c'y'):
            return put_special(&r.out, start, size)
        if skip_number(start, end) != end or size == 0:
            return WRONG_TYPE
    else:
        start = r.p
        end = skip_number(start, r.end)
        if end == NULL:
            return WRONG_TYPE if start < r.end else NOT_JSON
        r.p = end
    return put_double(&r.out, start, end) if kind == DOUBLE else put_integer(&r.out, kind, start, end)


cdef int read_bool(Reader* r) noexcept nogil:
    cdef uint8_t c = peek(r)
    if c == c't' and take_word(r, b"true", 4):
        return FINE if buffer_put_varint(&r.out, 1) else NO_MEMORY
    if c == c'f' and take_word(r, b"false", 5):
        return FINE if buffer_put_varint(&r.out, 0) else NO_MEMORY
    return WRONG_TYPE


cdef int put_special(Buffer* out, bytes_at p, size_t size) noexcept nogil:
    """The doubles that JSON has no number for."""
    cdef uint64_t bits
    if size == 3 and memcmp(p, b"NaN", 3) == 0:
        bits = 0x7FF8000000000000ULL
    elif size == 8 and memcmp(p, b"Infinity", 8) == 0:
        bits = 0x7FF0000000000000ULL
    elif size == 9 and memcmp(p, b"-Infinity", 9) == 0:
        bits = 0xFFF0000000000000ULL
    else:
        return WRONG_TYPE
    return FINE if buffer_put(out, &bits, 8) else NO_MEMORY


cdef int put_double(Buffer* out, bytes_at p, bytes_at end) noexcept nogil:
    cdef double value = 0
    cdef int fault = parse_double(p, end, &value)
    if fault != FINE:
        return fault
    return FINE if buffer_put(out, &value, 8) else NO_MEMORY


cdef int parse_double(bytes_at p, bytes_at end, double* value) noexcept nogil:
    """Digits and a power of ten that are both exact as doubles give an exact quotient or product; else ask Python."""
    cdef bytes_at start = p
    cdef uint64_t digits = 0
    cdef int significant = 0
    cdef int exponent = 0
    cdef int shift = 0
    cdef bint point = False
    cdef bint minus = p[0] == c'-'
    p += minus
    while p < end and significant < 19 and (p[0] == c'.' or c'0' <= p[0] <= c'9'):
        if p[0] == c'.':
            point = True
        else:
            digits = digits * 10 + (p[0] - c'0')
            significant += digits != 0
            exponent -= point
        p += 1
    if p < end and (p[0] | LOWER) == c'e':
        p += 1
        point = p[0] == c'-'
        p += p[0] == c'-' or p[0] == c'+'
        while p < end and shift < 1000:
            shift = shift * 10 + (p[0] - c'0')
            p += 1
        exponent += -shift if point else shift
    if p != end or digits > (1ULL << 53) or exponent < -22 or exponent > 22:
        return parse_hard_double(start, end, value)
    value[0] = <double>digits / POWERS[-exponent] if exponent < 0 else <double>digits * POWERS[exponent]
    if minus:
        value[0] = -value[0]
    return FINE


cdef int parse_hard_double(bytes_at p, bytes_at end, double* value) noexcept with gil:
    try:
        value[0] = float(p[: end - p])
    except MemoryError:
        return NO_MEMORY
    return OUT_OF_RANGE if isinf(value[0]) else FINE


cdef int put_integer(Buffer* out, uint8_t kind, bytes_at p, bytes_at end) noexcept nogil:
    cdef uint64_t magnitude = 0
    cdef uint64_t bits
    cdef bint minus = p[0] == c'-'
    cdef int fault = parse_magnitude(p + minus, end, &magnitude)
    if fault != FINE:
        return fault
    if not is_in_range(kind, minus, magnitude):
        return OUT_OF_RANGE
    bits = 0 - magnitude if minus else magnitude
    if kind == FIXED32:
        return FINE if buffer_put(out, &bits, 4) else NO_MEMORY  # the low half first, as on the wire
    if kind == FIXED64 or kind == SFIXED64:
        return FINE if buffer_put(out, &bits, 8) else NO_MEMORY
    if kind == SINT32:
        bits = 2 * magnitude - minus
    return FINE if buffer_put_varint(out, bits) else NO_MEMORY


cdef int parse_magnitude(bytes_at p, bytes_at end, uint64_t* magnitude) noexcept nogil:
    """A whole number without its sign; one written with a point or an exponent must be exact as a double."""
    cdef bytes_at start = p
    cdef double value = 0
    cdef int fault
    cdef int digit
    while p < end and c'0' <= p[0] <= c'9':
        digit = p[0] - c'0'
        if magnitude[0] > (0xFFFFFFFFFFFFFFFFULL - digit) // 10:
            return OUT_OF_RANGE
        magnitude[0] = magnitude[0] * 10 + digit
        p += 1
    if p == end:
        return FINE
    fault = parse_double(start, end, &value)
    if fault != FINE:
        return fault
    if value > 9007199254740992.0:
        return OUT_OF_RANGE
    magnitude[0] = <uint64_t>value
    return FINE if <double>magnitude[0] == value else WRONG_TYPE


cdef bint is_in_range(uint8_t kind, bint minus, uint64_t magnitude) noexcept nogil:
    cdef uint64_t most
    if kind == UINT64 or kind == FIXED64:
        return not minus or magnitude == 0
    if kind == UINT32 or kind == FIXED32:
        return magnitude <= 0xFFFFFFFFULL and (not minus or magnitude == 0)
    most = 0x7FFFFFFFFFFFFFFFULL if kind == INT64 or kind == SFIXED64 else 0x7FFFFFFFULL
    return magnitude <= most + minus
