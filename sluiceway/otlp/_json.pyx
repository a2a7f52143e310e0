"""OTLP/JSON to OTLP bytes and back, by the schema table; no object is built for anything in between."""

from cpython.bytes cimport PyBytes_AS_STRING
from libc.math cimport isinf, isnan
from libc.string cimport memcmp, memmove, memset
from cpython.mem cimport PyMem_Free

from sluiceway.otlp._proto cimport *

from sluiceway.errors import DecodeError
from sluiceway.otlp import schema

cdef extern from "Python.h":
    int Py_DTSF_ADD_DOT_0
    char* PyOS_double_to_string(double val, char format_code, int precision, int flags, int* type) except NULL

cdef enum:
    LAST_FIELD = 16
    LAST_MESSAGE = 63
    MAX_NESTING = 300  # brackets inside one another, in parts that are not known as well
    RELEASE_ABOVE = 16384  # bytes; below, giving up the GIL and waiting for it again costs more than the work

cdef enum Kind:
    NOTHING = 0
    BOOL
    INT32
    INT64
    UINT32
    UINT64
    SINT32
    ENUM
    FIXED32
    FIXED64
    SFIXED64
    DOUBLE
    STRING
    BYTES
    HEX
    MESSAGE

cdef enum Fault:
    FINE = 0
    NOT_JSON
    WRONG_TYPE
    OUT_OF_RANGE
    TOO_DEEP
    NO_MEMORY

cdef struct Field:
    uint8_t kind
    uint8_t wire
    uint8_t message
    bint repeated
    bint oneof
    bint explicit  # written even when it is zero
    const char* name  # behind it stands '":' and before it ',"', as it is written
    size_t name_size

cdef struct Reader:
    bytes_at p
    bytes_at end
    int nesting
    Buffer out
    Buffer scratch  # the text of the last string that had escapes in it

cdef struct Range:
    # A part of a message; one that comes in several parts is their merger.
    bytes_at start
    bytes_at end

cdef Field FIELDS[LAST_MESSAGE + 1][LAST_FIELD + 1]
cdef int ROOT[3]
cdef int LAST[LAST_MESSAGE + 1]  # the highest field number of each message
cdef list _NAMES = []  # keeps the names alive that FIELDS points to
cdef double POWERS[23]

_KINDS = {
    "bool": BOOL, "int32": INT32, "int64": INT64, "uint32": UINT32, "uint64": UINT64, "sint32": SINT32, "enum": ENUM,
    "fixed32": FIXED32, "fixed64": FIXED64, "sfixed64": SFIXED64, "double": DOUBLE, "string": STRING, "bytes": BYTES,
    "trace_id": HEX, "span_id": HEX, "message": MESSAGE,
}
_TEXTS = {
    NOT_JSON: "not a JSON object",
    WRONG_TYPE: "a field has a value of the wrong type",
    OUT_OF_RANGE: "a number is out of range",
    TOO_DEEP: "messages are nested too deeply",
}


def _load_schema():
    """Turn the table into arrays, once at import."""
    cdef Field* field
    cdef bytes text
    numbers = {name: number for number, name in enumerate(schema.MESSAGES)}
    for message, fields in schema.MESSAGES.items():
        for described in fields:
            field = &FIELDS[<int>numbers[message]][<int>described.number]
            text = f',"{described.name}":'.encode()
            _NAMES.append(text)
            field.name = PyBytes_AS_STRING(text) + 2
            field.name_size = len(text) - 4
            LAST[<int>numbers[message]] = max(LAST[<int>numbers[message]], described.number)
            field.kind = _KINDS[described.kind]
            field.wire = wire_of(field.kind)
            field.message = numbers.get(described.message, 0)
            field.repeated = described.repeated
            field.oneof = described.oneof
            field.explicit = described.oneof or described.optional
    for code in range(3):
        ROOT[<int>code] = numbers[schema.ROOTS[code]]
    for power in range(23):
        POWERS[<int>power] = float(10**power)


cdef uint8_t wire_of(uint8_t kind) noexcept nogil:
    if kind == FIXED64 or kind == SFIXED64 or kind == DOUBLE:
        return WIRE_FIXED64
    if kind == FIXED32:
        return WIRE_FIXED32
    return WIRE_BYTES if kind >= STRING else WIRE_VARINT


_load_schema()


def decode(int signal_code, bytes text not None):
    """The OTLP bytes of a JSON object. They still have to pass `accept`."""
    cdef Reader r
    cdef int root = ROOT[signal_code]
    cdef int fault
    memset(&r, 0, sizeof(Reader))
    r.p = <bytes_at>PyBytes_AS_STRING(text)
    r.end = r.p + len(text)
    try:
        if len(text) > RELEASE_ABOVE:
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


def encode(int signal_code, bytes payload not None):
    """The JSON text of OTLP bytes that `accept` has let in. Unknown fields have no name and are left out."""
    cdef Range whole
    cdef Buffer out
    cdef int root = ROOT[signal_code]
    cdef bint done
    memset(&out, 0, sizeof(Buffer))
    whole.start = <bytes_at>PyBytes_AS_STRING(payload)
    whole.end = whole.start + len(payload)
    try:
        if len(payload) > RELEASE_ABOVE:
            with nogil:
                done = write_message(&out, root, &whole, 1)
        else:
            done = write_message(&out, root, &whole, 1)
        if not done:
            raise MemoryError
        return out.data[: out.size]
    finally:
        buffer_free(&out)


# Reading: the grammar of JSON.


cdef int read_document(Reader* r, int root) noexcept nogil:
    cdef int fault = read_message(r, root, 0)
    skip_space(r)
    return NOT_JSON if fault == FINE and r.p != r.end else fault


cdef inline void skip_space(Reader* r) noexcept nogil:
    while r.p < r.end and (r.p[0] == 0x20 or r.p[0] == 0x0A or r.p[0] == 0x0D or r.p[0] == 0x09):
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
    if found != 0x2C:
        return NOT_JSON
    r.p += 1
    return FINE


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
    while p < end and p[0] >= 0x20 and p[0] != 0x22 and p[0] != 0x5C:
        p += 1
    return p


cdef int read_string(Reader* r, bytes_at* start, size_t* size) noexcept nogil:
    """A string's text: in place where nothing is escaped, otherwise in the scratch buffer until the next string."""
    cdef bytes_at p
    cdef bint escaped = False
    if peek(r) != 0x22:
        return WRONG_TYPE if r.p < r.end else NOT_JSON
    r.p += 1
    p = r.p
    while True:
        p = skip_plain(p, r.end)
        if p >= r.end or p[0] == 0x22:
            break
        if p[0] < 0x20:
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
        if p[0] != 0x5C:
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
    if c == 0x22 or c == 0x5C or c == 0x2F:
        code[0] = c
    elif c == 0x62:
        code[0] = 0x08
    elif c == 0x66:
        code[0] = 0x0C
    elif c == 0x6E:
        code[0] = 0x0A
    elif c == 0x72:
        code[0] = 0x0D
    elif c == 0x74:
        code[0] = 0x09
    elif c == 0x75:
        if not read_hex4(p + 1, end, code) or (code[0] & 0xFC00) == 0xDC00:
            return NULL
        p += 4
        if (code[0] & 0xFC00) == 0xD800:
            if end - p < 7 or p[1] != 0x5C or p[2] != 0x75 or not read_hex4(p + 3, end, &low):
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
    if 0x30 <= c <= 0x39:
        return c - 0x30
    c |= 0x20
    return c - 0x57 if 0x61 <= c <= 0x66 else -1


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
    while p < end and 0x30 <= p[0] <= 0x39:
        p += 1
    return p


cdef bytes_at skip_number(bytes_at p, bytes_at end) noexcept nogil:
    """The end of a number by JSON's grammar, or NULL."""
    cdef bytes_at digits
    if p < end and p[0] == 0x2D:
        p += 1
    digits = p
    p = skip_digits(p, end)
    if p == digits or (digits[0] == 0x30 and p - digits > 1):
        return NULL
    if p < end and p[0] == 0x2E:
        digits = p + 1
        p = skip_digits(digits, end)
        if p == digits:
            return NULL
    if p < end and (p[0] | 0x20) == 0x65:
        p += 1
        if p < end and (p[0] == 0x2B or p[0] == 0x2D):
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
    if c == 0x7B or c == 0x5B:
        return skip_nested(r, c)
    if c == 0x22:
        return read_string(r, &start, &size)
    if c == 0x74:
        return FINE if take_word(r, b"true", 4) else NOT_JSON
    if c == 0x66:
        return FINE if take_word(r, b"false", 5) else NOT_JSON
    if c == 0x6E:
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
        if opener == 0x7B:
            fault = read_string(r, &start, &size)
            if fault != FINE or not take(r, 0x3A):
                return NOT_JSON
        fault = skip_json(r)
    return fault


# Reading: the schema.


cdef int read_message(Reader* r, int message, int depth) noexcept nogil:
    cdef bytes_at name = NULL
    cdef size_t size = 0
    cdef bint first = True
    cdef bint done = False
    cdef int number
    cdef int fault
    if depth > MAX_DEPTH:
        return TOO_DEEP
    fault = enter(r, 0x7B)
    while fault == FINE:
        fault = more(r, 0x7D, &first, &done)
        if fault != FINE or done:
            return fault
        fault = read_string(r, &name, &size)
        if fault != FINE:
            return NOT_JSON if fault == WRONG_TYPE else fault
        number = find_field(message, name, size)
        if not take(r, 0x3A):
            return NOT_JSON
        if peek(r) == 0x6E:  # null: as if it were not there
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
    cdef int fault = enter(r, 0x5B)
    if fault == FINE and is_packed:
        fault = open_field(&r.out, number, &mark)
    while fault == FINE:
        fault = more(r, 0x5D, &first, &done)
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
    if 0x41 <= c <= 0x5A:
        return c - 0x41
    if 0x61 <= c <= 0x7A:
        return c - 0x61 + 26
    if 0x30 <= c <= 0x39:
        return c - 0x30 + 52
    if c == 0x2B or c == 0x2D:
        return 62
    return 63 if c == 0x2F or c == 0x5F else -1


cdef bint put_base64(Buffer* out, bytes_at p, size_t size) noexcept nogil:
    """Standard or URL-safe alphabet, with or without padding, as protobuf's JSON allows."""
    cdef uint32_t bits = 0
    cdef int digit
    cdef int held = 0
    cdef size_t i
    if size % 4 == 0 and size and p[size - 1] == 0x3D:
        size -= 2 if p[size - 2] == 0x3D else 1
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
    if peek(r) == 0x22:
        if kind == ENUM:
            return WRONG_TYPE
        fault = read_string(r, &start, &size)
        if fault != FINE:
            return fault
        end = start + size
        if kind == DOUBLE and size and (start[0] == 0x4E or start[size - 1] == 0x79):
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
    if c == 0x74 and take_word(r, b"true", 4):
        return FINE if buffer_put_varint(&r.out, 1) else NO_MEMORY
    if c == 0x66 and take_word(r, b"false", 5):
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
    cdef bint minus = p[0] == 0x2D
    p += minus
    while p < end and significant < 19 and (p[0] == 0x2E or 0x30 <= p[0] <= 0x39):
        if p[0] == 0x2E:
            point = True
        else:
            digits = digits * 10 + (p[0] - 0x30)
            significant += digits != 0
            exponent -= point
        p += 1
    if p < end and (p[0] | 0x20) == 0x65:
        p += 1
        point = p[0] == 0x2D
        p += p[0] == 0x2D or p[0] == 0x2B
        while p < end and shift < 1000:
            shift = shift * 10 + (p[0] - 0x30)
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
    cdef bint minus = p[0] == 0x2D
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
    while p < end and 0x30 <= p[0] <= 0x39:
        digit = p[0] - 0x30
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


# Writing. False means that memory is out.


cdef struct Seen:
    # The occurrences of a field that count: how many, and where the value of the last one (of messages the only one) is.
    size_t count
    bytes_at start
    bytes_at end
    uint64_t number  # of a scalar, its bits


cdef bint write_message(Buffer* out, int message, const Range* parts, size_t count) noexcept nogil:
    cdef Seen seen[LAST_FIELD + 1]
    cdef bint first = True
    cdef int number
    memset(seen, 0, (LAST[message] + 1) * sizeof(Seen))
    if not buffer_put(out, b"{", 1):
        return False
    note_fields(message, parts, count, seen)
    for number in range(1, LAST[message] + 1):
        if is_worth_writing(&FIELDS[message][number], &seen[number]):
            if not put_name(out, &FIELDS[message][number], first):
                return False
            first = False
            if not write_field(out, message, number, parts, count, &seen[number]):
                return False
    return buffer_put(out, b"}", 1)


cdef void note_fields(int message, const Range* parts, size_t count, Seen* seen) noexcept nogil:
    """Find what each field of a message in parts says; of a oneof, only the member that came last."""
    cdef const Field* fields = FIELDS[message]
    cdef bytes_at p
    cdef bytes_at end
    cdef uint32_t tag = 0
    cdef uint32_t member = 0
    cdef uint32_t number
    cdef size_t i
    for i in range(count):
        p = parts[i].start
        end = parts[i].end
        while p < end:
            p = read_tag(p, end, &tag)
            number = tag >> 3
            if number > <uint32_t>LAST[message] or fields[number].kind == NOTHING:
                p = skip_value(p, end, tag, 0)
                continue
            if fields[number].oneof and member != number:
                memset(&seen[member], 0, sizeof(Seen))
                member = number
            seen[number].count += 1
            p = note_value(&fields[number], tag, p, end, &seen[number])


cdef bytes_at note_value(const Field* field, uint32_t tag, bytes_at p, bytes_at end, Seen* seen) noexcept nogil:
    cdef size_t size = 0
    if tag & 7 == WIRE_BYTES:
        p = read_length(p, end, &size)
        if field.repeated:
            seen.count -= size == 0 and field.kind < STRING  # no numbers packed are no numbers
        elif field.kind != MESSAGE or seen.count == 1:
            seen.start = p
        seen.end = p + size
        return p + size
    return read_scalar(field.kind, p, end, &seen.number)


cdef bytes_at read_scalar(uint8_t kind, bytes_at p, bytes_at end, uint64_t* bits) noexcept nogil:
    cdef uint8_t wire = wire_of(kind)
    bits[0] = 0
    if wire == WIRE_FIXED64:
        memcpy(bits, p, 8)
        return p + 8
    if wire == WIRE_FIXED32:
        memcpy(bits, p, 4)
        return p + 4
    p = read_varint(p, end, bits)
    if kind == UINT32 or kind == SINT32 or kind == INT32 or kind == ENUM:
        bits[0] = <uint32_t>bits[0]
    elif kind == BOOL:
        bits[0] = bits[0] != 0
    return p


cdef bint is_worth_writing(const Field* field, const Seen* seen) noexcept nogil:
    """Zeros are written only where they differ from absence."""
    if seen.count == 0 or field.kind == NOTHING:
        return False
    if field.repeated or field.explicit or field.kind == MESSAGE:
        return True
    return seen.end != seen.start if field.kind >= STRING else seen.number != 0


cdef bint put_name(Buffer* out, const Field* field, bint first) noexcept nogil:
    cdef int before = 1 if first else 2
    return buffer_put(out, field.name - before, before + field.name_size + 2)


cdef bint write_field(
    Buffer* out, int message, uint32_t number, const Range* parts, size_t count, const Seen* seen
) noexcept nogil:
    cdef const Field* field = &FIELDS[message][number]
    cdef Range only
    if field.repeated:
        return write_array(out, message, number, parts, count)
    if field.kind < STRING:
        return write_scalar(out, field.kind, seen.number)
    only.start = seen.start
    only.end = seen.end
    if field.kind != MESSAGE or seen.count == 1:
        return write_sized(out, field, &only)
    return write_merged(out, message, number, parts, count, seen.count)


cdef bint write_sized(Buffer* out, const Field* field, const Range* value) noexcept nogil:
    if field.kind == MESSAGE:
        return write_message(out, field.message, value, 1)
    if field.kind == STRING:
        return write_string(out, value.start, value.end)
    if field.kind == HEX:
        return write_hex(out, value.start, value.end)
    return write_base64(out, value.start, value.end)


cdef bint write_merged(
    Buffer* out, int message, uint32_t number, const Range* parts, size_t count, size_t wanted
) noexcept nogil:
    """A message whose parts are the last `wanted` occurrences of a field."""
    cdef Buffer found
    cdef size_t total
    cdef bint done
    memset(&found, 0, sizeof(Buffer))
    done = find_occurrences(&found, number, parts, count)
    if done:
        total = found.size // sizeof(Range)
        done = write_message(out, FIELDS[message][number].message, <Range*>found.data + (total - wanted), wanted)
    buffer_free(&found)
    return done


cdef bint find_occurrences(Buffer* found, uint32_t number, const Range* parts, size_t count) noexcept nogil:
    cdef Range value
    cdef bytes_at p
    cdef uint32_t tag = 0
    cdef size_t size = 0
    cdef size_t i
    for i in range(count):
        p = parts[i].start
        while p < parts[i].end:
            p = read_tag(p, parts[i].end, &tag)
            if tag != (number << 3 | WIRE_BYTES):
                p = skip_value(p, parts[i].end, tag, 0)
                continue
            value.start = read_length(p, parts[i].end, &size)
            value.end = p = value.start + size
            if not buffer_put(found, &value, sizeof(Range)):
                return False
    return True


cdef bint write_array(Buffer* out, int message, uint32_t number, const Range* parts, size_t count) noexcept nogil:
    cdef const Field* field = &FIELDS[message][number]
    cdef Range value
    cdef bytes_at p
    cdef uint32_t tag = 0
    cdef size_t size = 0
    cdef size_t i
    cdef bint first = True
    if not buffer_put(out, b"[", 1):
        return False
    for i in range(count):
        p = parts[i].start
        while p < parts[i].end:
            p = read_tag(p, parts[i].end, &tag)
            if tag >> 3 != number:
                p = skip_value(p, parts[i].end, tag, 0)
                continue
            value.start = p
            if tag & 7 == WIRE_BYTES:
                value.start = read_length(p, parts[i].end, &size)
                p = value.start + size
            else:
                p = skip_scalar(p, parts[i].end, tag)
            value.end = p
            if not write_elements(out, field, &value, &first):
                return False
    return buffer_put(out, b"]", 1)


cdef bint write_elements(Buffer* out, const Field* field, const Range* value, bint* first) noexcept nogil:
    """One element, or all numbers of a packed field."""
    cdef bytes_at p = value.start
    cdef uint64_t bits = 0
    if field.kind >= STRING:
        return separate(out, first) and write_sized(out, field, value)
    while p < value.end:
        p = read_scalar(field.kind, p, value.end, &bits)
        if not (separate(out, first) and write_scalar(out, field.kind, bits)):
            return False
    return True


cdef inline bint separate(Buffer* out, bint* first) noexcept nogil:
    if first[0]:
        first[0] = False
        return True
    return buffer_put(out, b",", 1)


cdef bint write_scalar(Buffer* out, uint8_t kind, uint64_t bits) noexcept nogil:
    if kind == DOUBLE:
        return write_double(out, (<double*>&bits)[0])
    if kind == BOOL:
        return buffer_put(out, b"true", 4) if bits else buffer_put(out, b"false", 5)
    if kind == SINT32:
        bits = (bits >> 1) ^ (0 - (bits & 1))
    elif kind == INT32 or kind == ENUM:
        bits = <uint64_t><int64_t><int32_t>bits
    if kind == UINT64 or kind == FIXED64 or kind == UINT32 or kind == FIXED32:
        return write_integer(out, bits, False, kind == UINT64 or kind == FIXED64)
    return write_integer(out, bits, <int64_t>bits < 0, kind == INT64 or kind == SFIXED64)


cdef bint write_integer(Buffer* out, uint64_t bits, bint minus, bint quoted) noexcept nogil:
    """Decimal digits; in quotes where a number of JavaScript would lose some."""
    cdef uint8_t text[24]
    cdef int at = 24
    cdef uint64_t magnitude = 0 - bits if minus else bits
    if quoted:
        at -= 1
        text[at] = 0x22
    while True:
        at -= 1
        text[at] = 0x30 + <uint8_t>(magnitude % 10)
        magnitude //= 10
        if magnitude == 0:
            break
    if minus:
        at -= 1
        text[at] = 0x2D
    if quoted:
        at -= 1
        text[at] = 0x22
    return buffer_put(out, &text[at], 24 - at)


cdef bint write_double(Buffer* out, double value) noexcept nogil:
    if isnan(value):
        return buffer_put(out, b'"NaN"', 5)
    if isinf(value):
        return buffer_put(out, b'"Infinity"', 10) if value > 0 else buffer_put(out, b'"-Infinity"', 11)
    if -1e15 < value < 1e15 and value == <double><int64_t>value and (value != 0 or (<uint64_t*>&value)[0] == 0):
        return write_integer(out, <uint64_t><int64_t>value, value < 0, False)
    return write_hard_double(out, value)


cdef bint write_hard_double(Buffer* out, double value) noexcept with gil:
    cdef char* text = PyOS_double_to_string(value, b"r", 0, Py_DTSF_ADD_DOT_0, NULL)
    cdef bint done = buffer_put(out, text, len(text))
    PyMem_Free(text)
    return done


cdef bint write_string(Buffer* out, bytes_at p, bytes_at end) noexcept nogil:
    cdef bytes_at start = p
    cdef uint8_t escape[6]
    if not buffer_reserve(out, end - p + 2):
        return False
    buffer_put(out, b'"', 1)
    while True:
        p = skip_plain(p, end)
        if p >= end:
            break
        if not buffer_put(out, start, p - start) or not buffer_put(out, escape, escape_of(p[0], escape)):
            return False
        p += 1
        start = p
    return buffer_put(out, start, p - start) and buffer_put(out, b'"', 1)


cdef size_t escape_of(uint8_t c, uint8_t* escape) noexcept nogil:
    escape[0] = 0x5C
    if c == 0x22 or c == 0x5C:
        escape[1] = c
    elif c == 0x0A:
        escape[1] = 0x6E
    elif c == 0x0D:
        escape[1] = 0x72
    elif c == 0x09:
        escape[1] = 0x74
    else:
        memcpy(escape + 1, b"u00", 3)
        escape[4] = HEX_DIGITS[c >> 4]
        escape[5] = HEX_DIGITS[c & 15]
        return 6
    return 2


cdef const uint8_t* HEX_DIGITS = b"0123456789abcdef"
cdef const uint8_t* BASE64_DIGITS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


cdef bint write_hex(Buffer* out, bytes_at p, bytes_at end) noexcept nogil:
    cdef uint8_t* to
    if not buffer_reserve(out, 2 * (end - p) + 2):
        return False
    to = out.data + out.size
    to[0] = 0x22
    to += 1
    while p < end:
        to[0] = HEX_DIGITS[p[0] >> 4]
        to[1] = HEX_DIGITS[p[0] & 15]
        to += 2
        p += 1
    to[0] = 0x22
    out.size = to + 1 - out.data
    return True


cdef bint write_base64(Buffer* out, bytes_at p, bytes_at end) noexcept nogil:
    cdef uint8_t* to
    cdef uint32_t bits
    cdef Py_ssize_t left, i
    if not buffer_reserve(out, (end - p + 2) // 3 * 4 + 2):
        return False
    to = out.data + out.size
    to[0] = 0x22
    to += 1
    while p < end:
        left = min(end - p, 3)
        bits = 0
        for i in range(3):
            bits = bits << 8 | (p[i] if i < left else 0)
        for i in range(4):
            to[i] = BASE64_DIGITS[bits >> (18 - 6 * i) & 63] if i <= left else 0x3D
        to += 4
        p += left
    to[0] = 0x22
    out.size = to + 1 - out.data
    return True
