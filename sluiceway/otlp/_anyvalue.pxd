"""What an `AnyValue` holds, read from its bytes without building anything.

The kinds are the numbers of the fields of the oneof; the last field that is set decides, as protobuf has it.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

from sluiceway.otlp._proto cimport bytes_at, read_length, read_tag, read_varint, skip_value

cdef enum:
    EMPTY = 0
    STRING = 1
    BOOL = 2
    INT = 3
    DOUBLE = 4
    ARRAY = 5
    KVLIST = 6
    BYTES = 7
    STRING_INDEX = 8

cdef enum:  # the tags of a KeyValue
    KEY = 0x0A
    VALUE = 0x12

cdef enum:
    ENTRY_TAG = 0x0A  # of an element of an array, of an entry of a map

cdef enum:  # the tags of an AnyValue
    STRING_TAG = 0x0A
    BOOL_TAG = 0x10
    INT_TAG = 0x18
    DOUBLE_TAG = 0x21
    ARRAY_TAG = 0x2A
    KVLIST_TAG = 0x32
    BYTES_TAG = 0x3A
    STRING_INDEX_TAG = 0x40


cdef struct AnyValue:
    int kind
    uint64_t number  # of BOOL, INT; the bits of DOUBLE
    bytes_at data  # of STRING and BYTES
    size_t size


cdef inline int malformed() except -1 nogil:
    with gil:
        raise ValueError("the payload of this batch is not OTLP: make batches with sluiceway.otlp.accept")


cdef inline int read_any(bytes_at p, size_t size, AnyValue* out) except -1 nogil:
    cdef bytes_at end = p + size
    cdef uint32_t tag = 0
    out.kind = EMPTY
    out.number = 0
    out.data = p
    out.size = 0
    while p < end:
        p = read_tag(p, end, &tag)
        if p == NULL:
            malformed()
        if tag == STRING_TAG or tag == BYTES_TAG:
            p = read_length(p, end, &out.size)
            if p == NULL:
                malformed()
            out.kind = tag >> 3
            out.data = p
            p += out.size
        elif tag == BOOL_TAG or tag == INT_TAG:
            p = read_varint(p, end, &out.number)
            if p == NULL:
                malformed()
            out.kind = tag >> 3
            if out.kind == BOOL:
                out.number = out.number != 0
        elif tag == DOUBLE_TAG and end - p >= 8:
            memcpy(&out.number, p, 8)
            out.kind = DOUBLE
            p += 8
        else:
            if tag == ARRAY_TAG or tag == KVLIST_TAG or tag == STRING_INDEX_TAG:
                out.kind = tag >> 3
            p = skip_value(p, end, tag, 5)
            if p == NULL:
                malformed()
    return 0
