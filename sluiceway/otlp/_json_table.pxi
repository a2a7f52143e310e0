# The schema as arrays, for both directions of OTLP/JSON; included by each.

from cpython.bytes cimport PyBytes_AS_STRING
from libc.string cimport memcmp, memmove, memset

from sluiceway.otlp._proto cimport *

from sluiceway.otlp import schema

cdef enum:
    LAST_FIELD = 16
    LAST_MESSAGE = 63
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

cdef struct Field:
    uint8_t kind
    uint8_t wire
    uint8_t message
    bint repeated
    bint oneof
    bint explicit  # written even when it is zero
    const char* name  # behind it stands '":' and before it ',"', as it is written
    size_t name_size

cdef Field FIELDS[LAST_MESSAGE + 1][LAST_FIELD + 1]
cdef int ROOT[3]
cdef int LAST[LAST_MESSAGE + 1]  # the highest field number of each message
cdef list _NAMES = []  # keeps the names alive that FIELDS points to

_KINDS = {
    "bool": BOOL, "int32": INT32, "int64": INT64, "uint32": UINT32, "uint64": UINT64, "sint32": SINT32, "enum": ENUM,
    "fixed32": FIXED32, "fixed64": FIXED64, "sfixed64": SFIXED64, "double": DOUBLE, "string": STRING, "bytes": BYTES,
    "trace_id": HEX, "span_id": HEX, "message": MESSAGE,
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


cdef uint8_t wire_of(uint8_t kind) noexcept nogil:
    if kind == FIXED64 or kind == SFIXED64 or kind == DOUBLE:
        return WIRE_FIXED64
    if kind == FIXED32:
        return WIRE_FIXED32
    return WIRE_BYTES if kind >= STRING else WIRE_VARINT


_load_schema()


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
