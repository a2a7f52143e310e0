# The schema as arrays, for the door and both directions of OTLP/JSON; included by each.

from cpython.bytes cimport PyBytes_AS_STRING

from sluiceway.otlp._proto cimport *

from sluiceway.otlp import schema

cdef enum:
    LAST_FIELD = 16  # the highest field number of any message
    LAST_MESSAGE = 63

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
    STRING  # from here on what has a length
    BYTES
    HEX
    MESSAGE

cdef struct Field:
    uint8_t kind
    uint8_t wire  # the wire type; of repeated numbers, that of a single element
    uint8_t message  # of MESSAGE, which
    uint8_t id_size  # of HEX, the only length besides 0
    bint repeated
    bint oneof
    bint explicit  # written even when it is zero
    const char* name  # behind it stands '":' and before it ',"', as it is written
    size_t name_size

cdef Field FIELDS[LAST_MESSAGE + 1][LAST_FIELD + 1]
cdef int ROOT[3]
cdef int LAST[LAST_MESSAGE + 1]  # the highest field number of each message
cdef dict _NUMBERS = {name: number for number, name in enumerate(schema.MESSAGES)}
cdef list _NAMES = []  # keeps the names alive that FIELDS points to

_KINDS = {
    "bool": BOOL, "int32": INT32, "int64": INT64, "uint32": UINT32, "uint64": UINT64, "sint32": SINT32, "enum": ENUM,
    "fixed32": FIXED32, "fixed64": FIXED64, "sfixed64": SFIXED64, "double": DOUBLE, "string": STRING, "bytes": BYTES,
    "trace_id": HEX, "span_id": HEX, "message": MESSAGE,
}
_ID_SIZES = {"trace_id": 16, "span_id": 8}


cdef uint8_t wire_of(uint8_t kind) noexcept nogil:
    if kind == FIXED64 or kind == SFIXED64 or kind == DOUBLE:
        return WIRE_FIXED64
    if kind == FIXED32:
        return WIRE_FIXED32
    return WIRE_BYTES if kind >= STRING else WIRE_VARINT


cdef int _load_field(Field* field, described) except -1:
    cdef bytes text = f',"{described.name}":'.encode()
    _NAMES.append(text)
    field.name = PyBytes_AS_STRING(text) + 2
    field.name_size = len(text) - 4
    field.kind = _KINDS[described.kind]
    field.wire = wire_of(field.kind)
    field.message = _NUMBERS.get(described.message, 0)
    field.id_size = _ID_SIZES.get(described.kind, 0)
    field.repeated = described.repeated
    field.oneof = described.oneof
    field.explicit = described.oneof or described.optional
    return 0


def _load_schema():
    """Turn the table into arrays, once at import."""
    cdef int message
    for name, fields in schema.MESSAGES.items():
        message = _NUMBERS[name]
        for described in fields:
            _load_field(&FIELDS[message][<int>described.number], described)
            LAST[message] = max(LAST[message], described.number)
    for code in range(3):
        ROOT[<int>code] = _NUMBERS[schema.ROOTS[code]]


_load_schema()
