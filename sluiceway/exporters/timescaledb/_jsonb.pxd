"""OTLP values as the JSON of a jsonb column, written without the GIL and without an object.

Integers are exact, doubles keep a point or an exponent, NaN and the infinities are texts, bytes are Base64. What is no
value is null. PostgreSQL takes no NUL in a text or a key: then `fault` says so, and what was written is worth nothing.
"""

from libc.math cimport isinf, isnan
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdio cimport snprintf
from libc.stdlib cimport strtod
from libc.string cimport memcpy

from sluiceway.otlp._anyvalue cimport (
    ARRAY, ARRAY_TAG, BOOL, BYTES, DOUBLE, EMPTY, ENTRY_TAG, INT, KVLIST, KVLIST_TAG, STRING, AnyValue, malformed,
    read_any,
)
from sluiceway.otlp._arena cimport Arena, arena_take, out_of_memory
from sluiceway.otlp._json_text cimport skip_plain, write_base64, write_hex, write_integer
from sluiceway.otlp._proto cimport (
    MAX_DEPTH, WIRE_BYTES, WIRE_FIXED32, WIRE_FIXED64, WIRE_VARINT, Buffer, buffer_reserve, bytes_at, read_length,
    read_tag, read_varint, skip_value,
)


cdef enum:  # why PostgreSQL would not take a row
    FINE = 0
    NUL = 1
    SIZE = 2

cdef enum:
    LAST_NUMBER = 16  # the highest field number of any message that is read


cdef struct Range:
    bytes_at start
    bytes_at end

cdef struct Seen:
    # What is known of a field: how often it stands there, and the last time where, and what of.
    uint32_t count
    bytes_at start
    bytes_at end
    uint64_t bits

cdef struct Level:
    Range content
    Seen seen[LAST_NUMBER + 1]

cdef struct Writing:
    Buffer* out
    Arena* arena
    uint8_t fault


# ---- reading

cdef inline bytes_at next_field(bytes_at p, bytes_at end, uint32_t* tag, Range* value) except NULL nogil:
    """Read the field at `p`; `value` is its content, without its length where it has one."""
    cdef size_t size = 0
    p = read_tag(p, end, tag)
    if p == NULL:
        malformed()
    if tag[0] & 7 == WIRE_BYTES:
        p = read_length(p, end, &size)
        if p == NULL:
            malformed()
        value.start = p
        p += size
    else:
        value.start = p
        p = skip_value(p, end, tag[0], 0)
        if p == NULL:
            malformed()
    value.end = p
    return p


cdef inline int look(Level* level, Range content) except -1 nogil:
    """Find what each field of a message says; the last one counts."""
    cdef bytes_at p = content.start
    cdef uint32_t tag = 0
    cdef uint32_t number
    cdef Range value
    cdef Seen* seen
    level.content = content
    for number in range(LAST_NUMBER + 1):
        level.seen[number].count = 0
    while p < content.end:
        p = next_field(p, content.end, &tag, &value)
        number = tag >> 3
        if number > LAST_NUMBER:
            continue
        seen = &level.seen[number]
        seen.count += 1
        seen.start = value.start
        seen.end = value.end
        seen.bits = 0
        if tag & 7 == WIRE_VARINT:
            read_varint(value.start, p, &seen.bits)
        elif tag & 7 == WIRE_FIXED64:
            memcpy(&seen.bits, value.start, 8)
        elif tag & 7 == WIRE_FIXED32:
            memcpy(&seen.bits, value.start, 4)
    return 0


cdef inline int joined(Arena* arena, Range content, uint32_t number, Range* whole) except -1 nogil:
    """The content of a singular message, all its pieces one after the other, which is how protobuf merges them."""
    cdef bytes_at p = content.start
    cdef uint32_t tag = 0
    cdef Range piece
    cdef uint8_t* place
    cdef size_t size = 0
    cdef size_t pieces = 0
    whole.start = whole.end = content.end
    while p < content.end:
        p = next_field(p, content.end, &tag, &piece)
        if tag == (number << 3 | WIRE_BYTES):
            whole[0] = piece
            size += piece.end - piece.start
            pieces += 1
    if pieces < 2:
        return 0
    place = arena_take(arena, size + 1)
    whole.start = place
    whole.end = place + size
    p = content.start
    while p < content.end:
        p = next_field(p, content.end, &tag, &piece)
        if tag == (number << 3 | WIRE_BYTES):
            memcpy(place, piece.start, piece.end - piece.start)
            place += piece.end - piece.start
    return 0


cdef inline int read_pair(Arena* arena, Range pair, Range* key, Range* value) except -1 nogil:
    """The key and the value of a `KeyValue`."""
    cdef bytes_at p = pair.start
    cdef uint32_t tag = 0
    cdef uint32_t values = 0
    cdef Range field
    key.start = key.end = value.start = value.end = pair.end
    while p < pair.end:
        p = next_field(p, pair.end, &tag, &field)
        if tag == 0x0A:
            key[0] = field
        elif tag == 0x12:
            value[0] = field
            values += 1
    if values > 1:
        joined(arena, pair, 2, value)
    return 0


# ---- writing

cdef inline int written(bint done) except -1 nogil:
    if not done:
        out_of_memory()
    return 0


cdef inline int need(Buffer* out, size_t more) except -1 nogil:
    return written(buffer_reserve(out, more))


cdef inline int put(Buffer* out, const void* data, size_t size) except -1 nogil:
    need(out, size)
    if size:
        memcpy(out.data + out.size, data, size)
        out.size += size
    return 0


cdef inline int put_byte(Buffer* out, uint8_t byte) except -1 nogil:
    need(out, 1)
    out.data[out.size] = byte
    out.size += 1
    return 0


cdef inline int json_text(Writing* to, bytes_at p, bytes_at end) except -1 nogil:
    cdef Buffer* out = to.out
    cdef const uint8_t* digits = <const uint8_t*>b"0123456789abcdef"
    cdef uint8_t* place
    cdef bytes_at start = p
    need(out, (end - p) + 2)
    out.data[out.size] = c'"'
    out.size += 1
    while True:
        p = skip_plain(p, end)
        put(out, start, p - start)
        if p >= end:
            break
        need(out, (end - p) + 8)
        place = out.data + out.size
        place[0] = c'\\'
        if p[0] == c'"' or p[0] == c'\\':
            place[1] = p[0]
            out.size += 2
        else:
            if p[0] == 0:
                to.fault = NUL
            memcpy(place + 1, b"u00", 3)
            place[4] = digits[p[0] >> 4]
            place[5] = digits[p[0] & 15]
            out.size += 6
        p += 1
        start = p
    return put_byte(out, c'"')


cdef inline int json_integer(Buffer* out, uint64_t bits, bint minus) except -1 nogil:
    return written(write_integer(out, bits, minus, False))


cdef inline int json_double(Buffer* out, double value) except -1 nogil:
    cdef char text[40]
    cdef int digits = 15
    cdef int size
    if isnan(value):
        return put(out, b'"NaN"', 5)
    if isinf(value):
        return put(out, b'"Infinity"', 10) if value > 0 else put(out, b'"-Infinity"', 11)
    if -9e18 < value < 9e18 and value == <double><int64_t>value and value != 0:
        json_integer(out, <uint64_t><int64_t>value, value < 0)
        return put(out, b".0", 2)
    if value == 0:
        return put(out, b"0.0", 3)  # numeric has no negative zero
    while True:
        size = snprintf(text, 40, "%.*g", digits, value)
        if digits == 17 or strtod(text, NULL) == value:
            return put(out, text, size)
        digits += 1


cdef inline int json_any(Writing* to, Range value, int depth) except -1 nogil:
    """An `AnyValue`."""
    cdef AnyValue found
    cdef double number
    read_any(value.start, value.end - value.start, &found)
    if found.kind == STRING:
        return json_text(to, found.data, found.data + found.size)
    if found.kind == BOOL:
        return put(to.out, b"true", 4) if found.number else put(to.out, b"false", 5)
    if found.kind == INT:
        return json_integer(to.out, found.number, <int64_t>found.number < 0)
    if found.kind == DOUBLE:
        memcpy(&number, &found.number, 8)
        return json_double(to.out, number)
    if found.kind == BYTES:
        return written(write_base64(to.out, found.data, found.data + found.size))
    if found.kind == ARRAY or found.kind == KVLIST:
        return json_nested(to, value, ARRAY_TAG if found.kind == ARRAY else KVLIST_TAG, depth + 1)
    return put(to.out, b"null", 4)


cdef inline bytes_at live_member(Range value, uint32_t tag) except NULL nogil:
    """Where the run of fields begins that makes up the value: another member in between takes their place."""
    cdef bytes_at p = value.start
    cdef bytes_at start
    cdef bytes_at live = value.end
    cdef uint32_t found = 0
    cdef Range content
    cdef bint running = False
    while p < value.end:
        start = p
        p = next_field(p, value.end, &found, &content)
        if found == tag:
            if not running:
                live = start
            running = True
        elif found < 0x48:  # a member; what is unknown changes nothing
            running = False
    return live


cdef inline int json_nested(Writing* to, Range value, uint32_t tag, int depth) except -1 nogil:
    """An array or a map of an `AnyValue`."""
    cdef bytes_at p = live_member(value, tag)
    cdef uint32_t found = 0
    cdef Range content
    cdef bint first = True
    if depth > MAX_DEPTH:
        malformed()
    put_byte(to.out, c'[' if tag == ARRAY_TAG else c'{')
    while p < value.end:
        p = next_field(p, value.end, &found, &content)
        if found == tag:
            json_entries(to, content, ENTRY_TAG, tag == KVLIST_TAG, &first, depth)
    return put_byte(to.out, c']' if tag == ARRAY_TAG else c'}')


cdef inline int json_entries(
    Writing* to, Range content, uint32_t tag, bint keyed, bint* first, int depth
) except -1 nogil:
    """The `AnyValue`s or `KeyValue`s in the field `tag` of a message, with commas between."""
    cdef bytes_at p = content.start
    cdef uint32_t found = 0
    cdef Range entry
    cdef Range key
    cdef Range value
    while p < content.end:
        p = next_field(p, content.end, &found, &entry)
        if found != tag:
            continue
        if not first[0]:
            put_byte(to.out, c',')
        first[0] = False
        if keyed:
            read_pair(to.arena, entry, &key, &value)
            json_text(to, key.start, key.end)
            put_byte(to.out, c':')
            json_any(to, value, depth)
        else:
            json_any(to, entry, depth)
    return 0


cdef inline int json_attributes(Writing* to, Range content, uint32_t number) except -1 nogil:
    """The attributes in the field `number` of a message, as an object."""
    cdef bint first = True
    put_byte(to.out, c'{')
    json_entries(to, content, number << 3 | WIRE_BYTES, True, &first, 0)
    return put_byte(to.out, c'}')
