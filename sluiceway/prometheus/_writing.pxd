"""Fields of protobuf written to a buffer that grows; memory that is out is an exception."""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

from sluiceway.otlp._arena cimport out_of_memory
from sluiceway.otlp._attributes cimport Text
from sluiceway.otlp._proto cimport Buffer, buffer_put, buffer_put_varint, bytes_at, read_varint


cdef inline int put(Buffer* buffer, const void* data, size_t size) except -1 nogil:
    if not buffer_put(buffer, data, size):
        out_of_memory()
    return 0


cdef inline int put_varint(Buffer* buffer, uint64_t value) except -1 nogil:
    if not buffer_put_varint(buffer, value):
        out_of_memory()
    return 0


cdef inline int put_byte(Buffer* buffer, uint8_t value) except -1 nogil:
    return put(buffer, &value, 1)


cdef inline int put_text(Buffer* buffer, uint8_t tag, Text text) except -1 nogil:
    """A field with its length in front."""
    put_byte(buffer, tag)
    put_varint(buffer, text.size)
    return put(buffer, text.data, text.size)


cdef inline uint64_t to_zigzag(int64_t value) noexcept nogil:
    return (<uint64_t>value << 1) ^ <uint64_t>(value >> 63)


cdef inline uint64_t fixed64(Text value) noexcept nogil:
    """The content of a field of eight bytes."""
    cdef uint64_t number
    memcpy(&number, value.data, 8)
    return number


cdef inline double as_double(Text value) noexcept nogil:
    cdef double number
    memcpy(&number, value.data, 8)
    return number


cdef inline uint64_t varint(Text value) noexcept nogil:
    """The content of a field that is a number."""
    cdef uint64_t number = 0
    read_varint(value.data, value.data + value.size, &number)
    return number
