"""Messages that are one log record each, to OTLP bytes."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from sluiceway.otlp._proto cimport varint_size, write_varint

cdef enum:
    RESOURCE_LOGS = 0x0A  # of LogsData
    SCOPE_LOGS = 0x12  # of ResourceLogs
    LOG_RECORD = 0x12  # of ScopeLogs
    BODY = 0x2A  # of LogRecord
    OBSERVED = 0x59  # of LogRecord
    TEXT = 0x0A  # of AnyValue
    BYTES = 0x3A  # of AnyValue


cdef inline size_t _value_size(size_t size) noexcept nogil:
    return 1 + varint_size(size) + size


cdef inline size_t _record_size(size_t size) noexcept nogil:
    """The length of the record whose body has `size` bytes."""
    return 9 + _value_size(_value_size(size))


def records(list values not None, uint64_t observed, bint text):
    """The message `LogsData` with one record for each of the bytes, whose body it is, as text or as bytes.

    Bodies that are text are not looked at: what is made of it must pass `accept`, which repairs them.
    """
    cdef size_t inner = 0
    cdef size_t size
    cdef bytes value
    cdef bytes made
    cdef uint8_t* p
    for value in values:
        if value is None:
            raise TypeError("a body is missing")
        size = _record_size(PyBytes_GET_SIZE(value))
        inner += _value_size(size)
    if not values:
        return b""
    size = _value_size(_value_size(inner))
    made = PyBytes_FromStringAndSize(NULL, size)
    p = <uint8_t*>PyBytes_AS_STRING(made)
    p = _head(p, RESOURCE_LOGS, _value_size(inner))
    p = _head(p, SCOPE_LOGS, inner)
    for value in values:
        p = _record(p, <const uint8_t*>PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value), observed, TEXT if text else BYTES)
    return made


cdef inline uint8_t* _head(uint8_t* p, uint8_t tag, size_t size) noexcept nogil:
    p[0] = tag
    return write_varint(p + 1, size)


cdef inline uint8_t* _record(uint8_t* p, const uint8_t* body, size_t size, uint64_t observed, uint8_t kind) noexcept nogil:
    p = _head(p, LOG_RECORD, _record_size(size))
    p = _head(p, BODY, _value_size(size))
    p = _head(p, kind, size)
    memcpy(p, body, size)
    p += size
    p[0] = OBSERVED
    memcpy(p + 1, &observed, 8)
    return p + 9
