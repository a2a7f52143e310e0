"""Look at the resources of an accepted batch, and sort its resource entries by them. No item is looked into."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.string cimport memcmp

from sluiceway.otlp._containers cimport *

from sluiceway.errors import DecodeError

cdef struct Entry:
    # A field of the outermost message. `items` is -1 for one that is not known.
    bytes_at start
    bytes_at body
    bytes_at end
    int64_t items


def resources(int signal_code, bytes payload, keys):
    """For each resource entry its items and, for each key, the encoded `AnyValue` of that attribute, or None."""
    cdef Buffer entries
    cdef Entry* entry
    cdef Py_ssize_t i
    result = []
    keys = tuple([<bytes?>key for key in keys])
    _scan(signal_code, payload, &entries)
    try:
        for i in range(<Py_ssize_t>(entries.size // sizeof(Entry))):
            entry = <Entry*>entries.data + i
            if entry.items >= 0:
                result.append((entry.items, _attributes(entry.body, entry.end, keys)))
        return result
    finally:
        buffer_free(&entries)


def attributes(int signal_code, bytes payload):
    """For each resource entry all attributes of its resource, each with its tag and length, in the order they stand in."""
    cdef Buffer entries
    cdef Entry* entry
    cdef Py_ssize_t i
    cdef list result = []
    _scan(signal_code, payload, &entries)
    try:
        for i in range(<Py_ssize_t>(entries.size // sizeof(Entry))):
            entry = <Entry*>entries.data + i
            if entry.items >= 0:
                result.append(_all_attributes(entry.body, entry.end))
        return result
    finally:
        buffer_free(&entries)


def partition(int signal_code, bytes payload, bytes key not None):
    """The payload by the encoded value (None: absent) of a resource attribute, in the order of first appearance."""
    cdef Buffer entries
    cdef Entry* entry
    cdef Py_ssize_t i
    cdef bytes_at start = <bytes_at>PyBytes_AS_STRING(payload)
    cdef dict groups = {}
    cdef list group = [0, []]  # unknown fields go with the entry before them, or with the first
    view = memoryview(payload)
    _scan(signal_code, payload, &entries)
    try:
        for i in range(<Py_ssize_t>(entries.size // sizeof(Entry))):
            entry = <Entry*>entries.data + i
            if entry.items >= 0:
                (value,) = _attributes(entry.body, entry.end, (key,))
                group = groups.setdefault(value, [0, []] if groups else group)
                group[0] += entry.items
            group[1].append(view[entry.start - start : entry.end - start])
    finally:
        buffer_free(&entries)
    if len(groups) < 2:
        return [(value, payload, items) for value, (items, _) in groups.items()] or [(None, payload, 0)]
    return [(value, b"".join(parts), items) for value, (items, parts) in groups.items()]


def group_resources(int signal_code, bytes payload, groups, Py_ssize_t number):
    """The payload in `number` groups, each with its items; `groups` has the group of each resource entry."""
    cdef Buffer entries
    cdef Entry* entry
    cdef Py_ssize_t i
    cdef bytes_at start = <bytes_at>PyBytes_AS_STRING(payload)
    cdef list wanted = list(groups)
    cdef list parts = [[] for _ in range(number)]
    cdef list items = [0] * number
    cdef Py_ssize_t place = 0
    cdef Py_ssize_t group = 0  # unknown fields go with the entry before them
    view = memoryview(payload)
    _scan(signal_code, payload, &entries)
    try:
        for i in range(<Py_ssize_t>(entries.size // sizeof(Entry))):
            entry = <Entry*>entries.data + i
            if entry.items >= 0:
                place += 1
                group = wanted[place - 1] if place <= len(wanted) else -1
                if not 0 <= group < number:
                    raise ValueError("the groups do not fit the resource entries")
                items[group] += entry.items
            parts[group].append(view[entry.start - start : entry.end - start])
    finally:
        buffer_free(&entries)
    if place != len(wanted):
        raise ValueError("the groups do not fit the resource entries")
    return [(b"".join(part), items[i]) for i, part in enumerate(parts)]


def keep_resources(int signal_code, bytes payload, mask):
    """The payload with only those resource entries whose place in `mask` is true, and its items."""
    cdef Buffer entries
    cdef Entry* entry
    cdef Py_ssize_t i
    cdef bytes_at start = <bytes_at>PyBytes_AS_STRING(payload)
    cdef int64_t items = 0
    cdef list parts = []
    cdef list wanted = [bool(keep) for keep in mask]
    cdef Py_ssize_t place = 0
    view = memoryview(payload)
    _scan(signal_code, payload, &entries)
    try:
        for i in range(<Py_ssize_t>(entries.size // sizeof(Entry))):
            entry = <Entry*>entries.data + i
            if entry.items >= 0:
                place += 1
                if place > len(wanted) or not wanted[place - 1]:
                    continue
                items += entry.items
            parts.append(view[entry.start - start : entry.end - start])
    finally:
        buffer_free(&entries)
    if place != len(wanted):
        raise ValueError("the mask is not as long as there are resource entries")
    return payload if all(wanted) else b"".join(parts), items


cdef int _scan(int signal_code, bytes payload, Buffer* entries) except -1:
    """List the fields of the outermost message; the caller frees the list, also after an error."""
    cdef bytes_at start = <bytes_at>PyBytes_AS_STRING(payload)
    cdef bytes_at end = start + len(payload)
    cdef bint done
    entries.data = NULL
    entries.size = entries.capacity = 0
    if end - start > RELEASE_ABOVE:
        with nogil:
            done = scan(start, end, signal_code == METRICS, entries)
    else:
        done = scan(start, end, signal_code == METRICS, entries)
    if not done:
        buffer_free(entries)
        raise DecodeError("not a protobuf message")
    return 0


cdef bint scan(bytes_at p, bytes_at end, bint is_metrics, Buffer* entries) noexcept nogil:
    cdef Entry entry
    cdef uint32_t tag = 0
    while p < end:
        entry.start = p
        p = enter_field(p, end, &tag, &entry.body)
        if p == NULL:
            return False
        entry.end = p
        entry.items = count(ENTRY, entry.body, p, is_metrics) if tag == FIRST else -1
        if (tag == FIRST and entry.items < 0) or not buffer_put(entries, &entry, sizeof(Entry)):
            return False
    return True


cdef tuple _attributes(bytes_at p, bytes_at end, tuple keys):
    """What the resource of an entry says to each key: the first attribute of that name wins, in all its parts."""
    cdef uint32_t tag = 0
    cdef bytes_at body
    cdef bytes_at inner
    cdef bytes_at resource_end
    cdef list found = [None] * len(keys)
    while p != NULL and p < end:
        p = enter_field(p, end, &tag, &body)
        if p == NULL or tag != FIRST:
            continue
        resource_end = p
        while body != NULL and body < resource_end:
            body = enter_field(body, resource_end, &tag, &inner)
            if body != NULL and tag == FIRST:
                _note(inner, body, keys, found)
    return tuple(found)


cdef list _all_attributes(bytes_at p, bytes_at end):
    cdef uint32_t tag = 0
    cdef bytes_at body
    cdef bytes_at inner
    cdef bytes_at start
    cdef bytes_at resource_end
    cdef list found = []
    while p != NULL and p < end:
        p = enter_field(p, end, &tag, &body)
        if p == NULL or tag != FIRST:
            continue
        resource_end = p
        while body != NULL and body < resource_end:
            start = body
            body = enter_field(body, resource_end, &tag, &inner)
            if body != NULL and tag == FIRST:
                found.append(PyBytes_FromStringAndSize(<char*>start, body - start))
    return found


cdef int _note(bytes_at p, bytes_at end, tuple keys, list found) except -1:
    """Enter the value of one `KeyValue` where it is the first of a wanted key."""
    cdef uint32_t tag = 0
    cdef bytes_at body
    cdef bytes_at start = p
    cdef bytes_at name = NULL
    cdef size_t name_size = 0
    cdef Py_ssize_t i
    while p != NULL and p < end:
        p = enter_field(p, end, &tag, &body)
        if p != NULL and tag == FIRST:
            name = body
            name_size = p - body
    for i in range(len(keys)):
        if found[i] is None and <size_t>len(<bytes>keys[i]) == name_size:
            if name_size == 0 or memcmp(name, PyBytes_AS_STRING(<bytes>keys[i]), name_size) == 0:
                found[i] = _value(start, end)
    return 0


cdef bytes _value(bytes_at p, bytes_at end):
    cdef uint32_t tag = 0
    cdef bytes_at body
    cdef bytes value = b""
    while p != NULL and p < end:
        p = enter_field(p, end, &tag, &body)
        if p != NULL and tag == SECOND:  # parts of a message that comes in several are merged by joining them
            value += PyBytes_FromStringAndSize(<char*>body, p - body)
    return value
