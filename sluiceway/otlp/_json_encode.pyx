"""OTLP bytes to OTLP/JSON, by the schema table; no object is built for anything in between."""

from cpython.mem cimport PyMem_Free
from libc.math cimport isinf, isnan
from libc.string cimport memset

from sluiceway.otlp._json_text cimport skip_plain, write_base64, write_hex, write_integer

include "_schema.pxi"

from sluiceway.errors import DecodeError

cdef extern from "Python.h":
    int Py_DTSF_ADD_DOT_0
    char* PyOS_double_to_string(double val, char format_code, int precision, int flags, int* type) except NULL

cdef enum Fault:
    FINE = 0
    MALFORMED  # the payload is not OTLP, and nothing beyond its end was looked at
    NO_MEMORY

cdef struct Range:
    # A part of a message; one that comes in several parts is their merger.
    bytes_at start
    bytes_at end


def encode(int signal_code, bytes payload not None):
    """The JSON text of OTLP bytes. Unknown fields have no name and are left out.

    Raises `DecodeError` for bytes that `accept` would not have let in and that cannot be read.
    """
    cdef Range whole
    cdef Buffer out
    cdef int root = ROOT[signal_code]
    cdef int fault
    memset(&out, 0, sizeof(Buffer))
    whole.start = <bytes_at>PyBytes_AS_STRING(payload)
    whole.end = whole.start + len(payload)
    try:
        if len(payload) > RELEASE_ABOVE_JSON:
            with nogil:
                fault = write_message(&out, root, &whole, 1, 0)
        else:
            fault = write_message(&out, root, &whole, 1, 0)
        if fault == NO_MEMORY:
            raise MemoryError
        if fault != FINE:
            raise DecodeError("not a protobuf message")
        return out.data[: out.size]
    finally:
        buffer_free(&out)


# Messages. What reads bytes answers a fault; what only writes answers False where memory is out.


cdef struct Seen:
    # The occurrences of a field that count: how many, and where the value of the last one (of messages the only one) is.
    size_t count
    bytes_at start
    bytes_at end
    uint64_t number  # of a scalar, its bits


cdef inline int written(bint done) noexcept nogil:
    return FINE if done else NO_MEMORY


cdef int write_message(Buffer* out, int message, const Range* parts, size_t count, int depth) noexcept nogil:
    """`depth` is how many messages enclose this one."""
    cdef Seen seen[LAST_FIELD + 1]
    cdef bint first = True
    cdef int number
    cdef int fault
    if depth > MAX_DEPTH:
        return MALFORMED
    memset(seen, 0, (LAST[message] + 1) * sizeof(Seen))
    if not buffer_put(out, b"{", 1):
        return NO_MEMORY
    fault = note_fields(message, parts, count, seen)
    for number in range(1, LAST[message] + 1):
        if fault != FINE:
            return fault
        if is_worth_writing(&FIELDS[message][number], &seen[number]):
            if not put_name(out, &FIELDS[message][number], first):
                return NO_MEMORY
            first = False
            fault = write_field(out, message, number, parts, count, &seen[number], depth)
    return fault if fault != FINE else written(buffer_put(out, b"}", 1))


cdef int note_fields(int message, const Range* parts, size_t count, Seen* seen) noexcept nogil:
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
            if p == NULL:
                return MALFORMED
            number = tag >> 3
            if number > <uint32_t>LAST[message] or fields[number].kind == NOTHING:
                p = skip_value(p, end, tag, 0)
            else:
                if fields[number].oneof and member != number:
                    memset(&seen[member], 0, sizeof(Seen))
                    member = number
                seen[number].count += 1
                p = note_value(&fields[number], tag, p, end, &seen[number])
            if p == NULL:
                return MALFORMED
    return FINE


cdef bytes_at note_value(const Field* field, uint32_t tag, bytes_at p, bytes_at end, Seen* seen) noexcept nogil:
    cdef size_t size = 0
    if tag & 7 == field.wire and field.kind < STRING:
        return read_scalar(field.kind, p, end, &seen.number)
    if tag & 7 != WIRE_BYTES or (field.kind < STRING and not field.repeated):
        return NULL
    p = read_length(p, end, &size)
    if p == NULL:
        return NULL
    if field.repeated:
        seen.count -= size == 0 and field.kind < STRING  # no numbers packed are no numbers
    elif field.kind != MESSAGE or seen.count == 1:
        seen.start = p
    seen.end = p + size
    return p + size


cdef bytes_at read_scalar(uint8_t kind, bytes_at p, bytes_at end, uint64_t* bits) noexcept nogil:
    cdef uint8_t wire = wire_of(kind)
    bits[0] = 0
    if wire == WIRE_FIXED64 or wire == WIRE_FIXED32:
        return read_fixed(p, end, 8 if wire == WIRE_FIXED64 else 4, bits)
    p = read_varint(p, end, bits)
    if kind == UINT32 or kind == SINT32 or kind == INT32 or kind == ENUM:
        bits[0] = <uint32_t>bits[0]
    elif kind == BOOL:
        bits[0] = bits[0] != 0
    return p


cdef inline bytes_at read_fixed(bytes_at p, bytes_at end, size_t size, uint64_t* bits) noexcept nogil:
    if <size_t>(end - p) < size:
        return NULL
    memcpy(bits, p, size)
    return p + size


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


cdef int write_field(
    Buffer* out, int message, uint32_t number, const Range* parts, size_t count, const Seen* seen, int depth
) noexcept nogil:
    cdef const Field* field = &FIELDS[message][number]
    cdef Range only
    if field.repeated:
        return write_array(out, message, number, parts, count, depth)
    if field.kind < STRING:
        return written(write_scalar(out, field.kind, seen.number))
    only.start = seen.start
    only.end = seen.end
    if field.kind != MESSAGE or seen.count == 1:
        return write_sized(out, field, &only, depth)
    return write_merged(out, message, number, parts, count, seen.count, depth)


cdef int write_sized(Buffer* out, const Field* field, const Range* value, int depth) noexcept nogil:
    if field.kind == MESSAGE:
        return write_message(out, field.message, value, 1, depth + 1)
    if field.kind == STRING:
        return written(write_string(out, value.start, value.end))
    if field.kind == HEX:
        return written(write_hex(out, value.start, value.end))
    return written(write_base64(out, value.start, value.end))


cdef int write_merged(
    Buffer* out, int message, uint32_t number, const Range* parts, size_t count, size_t wanted, int depth
) noexcept nogil:
    """A message whose parts are the last `wanted` occurrences of a field."""
    cdef Buffer found
    cdef const Range* last
    cdef int fault
    memset(&found, 0, sizeof(Buffer))
    fault = find_occurrences(&found, number, parts, count)
    if fault == FINE:
        last = <const Range*>found.data + found.size // sizeof(Range)
        fault = write_message(out, FIELDS[message][number].message, last - wanted, wanted, depth + 1)
    buffer_free(&found)
    return fault


cdef int find_occurrences(Buffer* found, uint32_t number, const Range* parts, size_t count) noexcept nogil:
    cdef Range value
    cdef bytes_at p
    cdef uint32_t tag = 0
    cdef size_t size = 0
    cdef size_t i
    for i in range(count):
        p = parts[i].start
        while p < parts[i].end:
            p = read_tag(p, parts[i].end, &tag)
            if p == NULL:
                return MALFORMED
            if tag != (number << 3 | WIRE_BYTES):
                p = skip_value(p, parts[i].end, tag, 0)
                if p == NULL:
                    return MALFORMED
                continue
            value.start = read_length(p, parts[i].end, &size)
            if value.start == NULL:
                return MALFORMED
            value.end = p = value.start + size
            if not buffer_put(found, &value, sizeof(Range)):
                return NO_MEMORY
    return FINE


cdef int write_array(
    Buffer* out, int message, uint32_t number, const Range* parts, size_t count, int depth
) noexcept nogil:
    cdef Range value
    cdef bytes_at p
    cdef uint32_t tag = 0
    cdef size_t i
    cdef bint first = True
    cdef int fault
    if not buffer_put(out, b"[", 1):
        return NO_MEMORY
    for i in range(count):
        p = parts[i].start
        while p < parts[i].end:
            p = read_tag(p, parts[i].end, &tag)
            if p == NULL:
                return MALFORMED
            p = find_value(p, parts[i].end, tag, &value)
            if p == NULL:
                return MALFORMED
            if tag >> 3 == number:
                fault = write_elements(out, &FIELDS[message][number], &value, &first, depth)
                if fault != FINE:
                    return fault
    return written(buffer_put(out, b"]", 1))


cdef inline bytes_at find_value(bytes_at p, bytes_at end, uint32_t tag, Range* value) noexcept nogil:
    """Pass over a field's value and say where it is, without its length."""
    cdef size_t size = 0
    value.start = p
    value.end = skip_value(p, end, tag, 0)
    if tag & 7 == WIRE_BYTES and value.end != NULL:
        value.start = read_length(p, end, &size)
    return value.end


cdef int write_elements(Buffer* out, const Field* field, const Range* value, bint* first, int depth) noexcept nogil:
    """One element, or all numbers of a packed field."""
    cdef bytes_at p = value.start
    cdef uint64_t bits = 0
    if field.kind >= STRING:
        return write_sized(out, field, value, depth) if separate(out, first) else NO_MEMORY
    while p < value.end:
        p = read_scalar(field.kind, p, value.end, &bits)
        if p == NULL:
            return MALFORMED
        if not (separate(out, first) and write_scalar(out, field.kind, bits)):
            return NO_MEMORY
    return FINE


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
    cdef const uint8_t* digits = <const uint8_t*>b"0123456789abcdef"
    escape[0] = c'\\'
    if c == c'"' or c == c'\\':
        escape[1] = c
    elif c == c'\n':
        escape[1] = c'n'
    elif c == c'\r':
        escape[1] = c'r'
    elif c == c'\t':
        escape[1] = c't'
    else:
        memcpy(escape + 1, b"u00", 3)
        escape[4] = digits[c >> 4]
        escape[5] = digits[c & 15]
        return 6
    return 2
