"""Those points of a `MetricsData` that went to certain requests, as a message of their own."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from sluiceway.otlp._attributes cimport Text
from sluiceway.otlp._containers cimport FIRST, SECOND, SCOPE, is_data
from sluiceway.otlp._message cimport next_field
from sluiceway.otlp._proto cimport Buffer, buffer_free, bytes_at
from sluiceway.prometheus._writing cimport put, put_text

cdef enum:
    LEVELS = 5  # the whole, resources, scopes, metrics, their data


cdef struct Choice:
    const uint8_t* owners  # a uint32 for each point
    size_t count
    size_t next
    uint64_t found
    uint32_t wanted
    bint inverted
    Buffer parts[LEVELS]


cdef bint is_chosen(Choice* choice) noexcept nogil:
    cdef uint32_t owner = 0
    if choice.next < choice.count:
        memcpy(&owner, choice.owners + 4 * choice.next, 4)
    choice.next += 1
    return (owner == choice.wanted) != choice.inverted


cdef int pick_level(Choice* choice, int level, Text content) except -1 nogil:
    """Write a container's content to the level's buffer, without what has no chosen points; tells whether it has any."""
    cdef Buffer* out = &choice.parts[level]
    cdef bytes_at p = content.data
    cdef bytes_at end = p + content.size
    cdef bytes_at field
    cdef uint32_t tag = 0
    cdef uint32_t child = FIRST if level == 0 else SECOND
    cdef bint has = False
    cdef Text value
    out.size = 0
    while p < end:
        field = p
        p = next_field(p, end, &tag, &value)
        if tag != child:
            put(out, field, p - field)
        elif (pick_metric(choice, value) if level == SCOPE else pick_level(choice, level + 1, value)):
            has = True
            put_text(out, <uint8_t>tag, Text(choice.parts[level + 1].data, choice.parts[level + 1].size))
    return has


cdef int pick_metric(Choice* choice, Text content) except -1 nogil:
    cdef Buffer* out = &choice.parts[SCOPE + 1]
    cdef bytes_at p = content.data
    cdef bytes_at end = p + content.size
    cdef bytes_at field
    cdef bytes_at counted = p
    cdef uint32_t tag = 0
    cdef uint32_t member = 0
    cdef bint has = False
    cdef Text value
    out.size = 0
    while p < end:  # of the members of a oneof the last one counts, and all of it that stands behind any other
        field = p
        p = next_field(p, end, &tag, &value)
        if is_data(tag) and tag != member:
            member, counted = tag, field
    p = content.data
    while p < end:
        field = p
        p = next_field(p, end, &tag, &value)
        if not is_data(tag):
            put(out, field, p - field)
        elif tag == member and field >= counted:
            has |= pick_points(choice, value)
            put_text(out, <uint8_t>tag, Text(choice.parts[SCOPE + 2].data, choice.parts[SCOPE + 2].size))
    return has


cdef int pick_points(Choice* choice, Text content) except -1 nogil:
    cdef Buffer* out = &choice.parts[SCOPE + 2]
    cdef bytes_at p = content.data
    cdef bytes_at end = p + content.size
    cdef bytes_at field
    cdef uint32_t tag = 0
    cdef bint has = False
    cdef Text value
    out.size = 0
    while p < end:
        field = p
        p = next_field(p, end, &tag, &value)
        if tag != FIRST:
            put(out, field, p - field)
        elif is_chosen(choice):
            has = True
            choice.found += 1
            put(out, field, p - field)
    return has


def pick(bytes payload, bytes owners, uint32_t wanted, *, bint inverted=False):
    """The points whose owner, a uint32 for each in order, is (or is not) `wanted`: the message, and how many they are."""
    cdef Choice choice
    cdef Text whole
    cdef int level
    memset(&choice, 0, sizeof(Choice))
    choice.owners = <const uint8_t*>PyBytes_AS_STRING(owners)
    choice.count = len(owners) // 4
    choice.wanted, choice.inverted = wanted, inverted
    try:
        whole = Text(<bytes_at>PyBytes_AS_STRING(payload), len(payload))
        with nogil:
            pick_level(&choice, 0, whole)
        return PyBytes_FromStringAndSize(<char*>choice.parts[0].data, choice.parts[0].size), choice.found
    finally:
        for level in range(LEVELS):
            buffer_free(&choice.parts[level])
