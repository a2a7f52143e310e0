"""Entries to OTLP bytes, without protobuf objects.

What a line made of its values is never a reason to fail. What OTLP cannot hold, or backends choke on, is written so that
a person can read it: a lone surrogate as U+FFFD, NaN as the text `NaN`, an integer beyond 64 bits as its digits (in
hexadecimal where there are thousands), a value nested deeper than 24 as `[nested too deeply]`, a value or key of any
other type as its text. Ids of a wrong length, and severities that OTLP does not have, are left out.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_Check
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove, memset

from sluiceway.otlp._proto cimport Buffer, buffer_free, buffer_put, buffer_put_varint, buffer_reserve, write_varint

from sluiceway.stanza._entry cimport Entry

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL
    long long PyLong_AsLongLongAndOverflow(object number, int* overflow) except? -1

cdef enum:
    MAX_NESTED = 24  # arrays and maps in each other; each map is three of the hundred messages that OTLP's readers allow

cdef str TOO_DEEP = "[nested too deeply]"


cdef class _Group:
    """The records that share a resource and a scope."""

    cdef Buffer records
    cdef bytes scope

    def __cinit__(self, bytes scope):
        memset(&self.records, 0, sizeof(Buffer))
        self.scope = scope

    def __dealloc__(self):
        buffer_free(&self.records)


def encode(entries, scope_name=""):
    """The message `LogsData`: equal resources are written once, and in each equal scopes; the order stays otherwise.

    `scope_name` is that of entries that name none. Nothing in an entry makes this fail.
    """
    cdef dict by_identity = {}  # id of a resource dict: the groups by scope; the entries keep the dicts alive
    cdef dict by_content = {}
    cdef dict groups
    cdef _Group group
    cdef object resource = None
    cdef object last_resource = None
    cdef object scope = None
    cdef object last_scope = None
    cdef dict last_groups = None
    cdef list kept = entries if isinstance(entries, list) else list(entries)
    cdef Entry entry
    group = None
    for entry in kept:
        resource = entry.resource
        scope = entry.scope or scope_name
        if group is None or resource is not last_resource or scope is not last_scope:
            if last_groups is None or resource is not last_resource:
                groups = by_identity.get(id(resource))
                if groups is None:
                    content = _resource(resource)
                    groups = by_content.setdefault(content, {})
                    by_identity[id(resource)] = groups
                last_groups = groups
                last_resource = resource
            group = last_groups.get(scope)
            if group is None:
                group = _Group(_scope(scope))
                last_groups[scope] = group
            last_scope = scope
        _record(&group.records, entry)
    return _assemble(by_content)


cdef bytes _assemble(dict by_content):
    cdef list parts = []
    cdef list inner
    cdef _Group group
    cdef Py_ssize_t size
    cdef bytes head
    for content, groups in by_content.items():
        inner = [content]
        size = len(content)
        for group in (<dict>groups).values():
            head = b"\x12" + _varint(len(group.scope) + group.records.size) + group.scope
            inner.append(head)
            inner.append(PyBytes_FromStringAndSize(<char*>group.records.data, group.records.size))
            size += len(head) + group.records.size
        parts.append(b"\x0a" + _varint(size))
        parts.extend(inner)
    return b"".join(parts)


cdef bytes _varint(uint64_t value):
    cdef uint8_t room[10]
    return PyBytes_FromStringAndSize(<char*>room, write_varint(room, value) - room)


cdef bytes _resource(object attributes):
    """A resource as a field of `ResourceLogs`."""
    cdef Buffer out
    cdef size_t start
    memset(&out, 0, sizeof(Buffer))
    try:
        start = _begin(&out, 0x0A)
        _attributes(&out, 0x0A, attributes)
        _end(&out, start)
        return PyBytes_FromStringAndSize(<char*>out.data, out.size)
    finally:
        buffer_free(&out)


cdef bytes _scope(object name):
    """A scope as a field of `ScopeLogs`; nothing for one without a name."""
    cdef Buffer out
    cdef size_t start
    if not name:
        return b""
    memset(&out, 0, sizeof(Buffer))
    try:
        start = _begin(&out, 0x0A)
        _text(&out, 0x0A, name)
        _end(&out, start)
        return PyBytes_FromStringAndSize(<char*>out.data, out.size)
    finally:
        buffer_free(&out)


cdef int _record(Buffer* out, Entry entry) except -1:
    """A LogRecord as a field of `ScopeLogs`."""
    cdef size_t start = _begin(out, 0x12)
    cdef object value
    _fixed64(out, 0x09, entry.time)
    value = entry.severity
    if value:
        _severity(out, value)
    value = entry.severity_text
    if value:
        _text(out, 0x1A, value)
    value = entry.body
    if value is not None:
        _value_field(out, 0x2A, value, 0)
    _attributes(out, 0x32, entry.attributes)
    value = entry.flags
    if value:
        _flags(out, value)
    _id(out, 0x4A, entry.trace_id, 16)
    _id(out, 0x52, entry.span_id, 8)
    _fixed64(out, 0x59, entry.observed)
    value = entry.event_name
    if value:
        _text(out, 0x62, value)
    return _end(out, start)


cdef int _severity(Buffer* out, object number) except -1:
    if isinstance(number, int) and 0 < number <= 24:
        _byte(out, 0x10)
        _byte(out, number)
    return 0


cdef int _flags(Buffer* out, object number) except -1:
    cdef uint32_t flags
    if isinstance(number, int):
        flags = number & 0xFFFFFFFF
        _byte(out, 0x45)
        _put(out, &flags, 4)
    return 0


cdef int _fixed64(Buffer* out, uint8_t tag, object number) except -1:
    """A time, unless it is unknown or outside of what OTLP can hold."""
    cdef uint64_t value
    if number and isinstance(number, int) and 0 < number <= 0xFFFFFFFFFFFFFFFF:
        value = number
        _byte(out, tag)
        _put(out, &value, 8)
    return 0


cdef int _id(Buffer* out, uint8_t tag, object value, Py_ssize_t size) except -1:
    if value and isinstance(value, bytes) and PyBytes_GET_SIZE(value) == size:
        _byte(out, tag)
        _byte(out, <uint8_t>size)
        _put(out, PyBytes_AS_STRING(value), size)
    return 0


cdef int _attributes(Buffer* out, uint8_t tag, object values) except -1:
    if isinstance(values, dict):
        for key, value in (<dict>values).items():
            _pair(out, tag, key, value, 0)
    return 0


cdef int _pair(Buffer* out, uint8_t tag, object key, object value, int depth) except -1:
    cdef size_t start = _begin(out, tag)
    _text(out, 0x0A, key if PyUnicode_Check(key) else _told(key))
    _value_field(out, 0x12, value, depth)
    return _end(out, start)


cdef int _value_field(Buffer* out, uint8_t tag, object value, int depth) except -1:
    cdef size_t start = _begin(out, tag)
    _value(out, value, depth)
    return _end(out, start)


cdef int _value(Buffer* out, object value, int depth) except -1:
    """The content of an AnyValue."""
    cdef double number
    cdef bytes raw
    if PyUnicode_Check(value):
        return _text(out, 0x0A, value)
    if value is None:
        return 0
    if value is True or value is False:
        _byte(out, 0x10)
        return _byte(out, 1 if value is True else 0)
    if isinstance(value, int):
        return _integer(out, value)
    if isinstance(value, float):
        number = value
        if number != number:
            return _text(out, 0x0A, "NaN")
        _byte(out, 0x21)
        return _put(out, &number, 8)
    if isinstance(value, (bytes, bytearray, memoryview)):
        raw = bytes(value)
        _byte(out, 0x3A)
        _length(out, PyBytes_GET_SIZE(raw))
        return _put(out, PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))
    if isinstance(value, (dict, list, tuple)):
        return _text(out, 0x0A, TOO_DEEP) if depth >= MAX_NESTED else _nested(out, value, depth)
    return _text(out, 0x0A, _told(value))


cdef int _nested(Buffer* out, object value, int depth) except -1:
    cdef size_t start
    if isinstance(value, dict):
        start = _begin(out, 0x32)
        for key, item in (<dict>value).items():
            _pair(out, 0x0A, key, item, depth + 1)
    else:
        start = _begin(out, 0x2A)
        for item in value:
            _value_field(out, 0x0A, item, depth + 1)
    return _end(out, start)


cdef int _integer(Buffer* out, object value) except -1:
    cdef int overflow = 0
    cdef long long number = PyLong_AsLongLongAndOverflow(value, &overflow)
    if overflow:
        return _text(out, 0x0A, _told(value))
    _byte(out, 0x18)
    return _length(out, <uint64_t>number)


cdef str _told(object value):
    """A value of any other type as text."""
    try:
        return str(value)
    except ValueError:  # an integer of thousands of digits, which Python refuses to write out
        return hex(value) if isinstance(value, int) else type(value).__name__


cdef int _text(Buffer* out, uint8_t tag, object text) except -1:
    cdef Py_ssize_t size = 0
    cdef const char* data
    if not PyUnicode_Check(text):
        text = _told(text)
    try:
        data = PyUnicode_AsUTF8AndSize(text, &size)
    except UnicodeEncodeError:
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")  # pairs become characters
        data = PyUnicode_AsUTF8AndSize(text, &size)
    _byte(out, tag)
    _length(out, size)
    return _put(out, data, size)


cdef inline int _byte(Buffer* out, uint8_t value) except -1:
    if out.size == out.capacity and not buffer_reserve(out, 1):
        raise MemoryError
    out.data[out.size] = value
    out.size += 1
    return 0


cdef inline int _length(Buffer* out, uint64_t value) except -1:
    if not buffer_put_varint(out, value):
        raise MemoryError
    return 0


cdef inline int _put(Buffer* out, const void* data, size_t size) except -1:
    if not buffer_put(out, data, size):
        raise MemoryError
    return 0


cdef inline size_t _begin(Buffer* out, uint8_t tag) except? 0:
    """Begin a field whose length is known at its `_end`; one byte is kept free for it."""
    if not buffer_reserve(out, 2):
        raise MemoryError
    out.data[out.size] = tag
    out.size += 2
    return out.size


cdef inline int _end(Buffer* out, size_t start) except -1:
    cdef size_t size = out.size - start
    cdef uint8_t room[10]
    cdef size_t more
    if size < 0x80:
        out.data[start - 1] = <uint8_t>size
        return 0
    more = write_varint(room, size) - room - 1
    if not buffer_reserve(out, more):
        raise MemoryError
    memmove(out.data + start + more, out.data + start, size)
    memcpy(out.data + start - 1, room, more + 1)
    out.size += more
    return 0
