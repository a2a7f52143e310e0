"""Exemplars, read from their bytes."""

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcpy

from sluiceway.otlp._anyvalue cimport malformed
from sluiceway.otlp._arena cimport Arena
from sluiceway.otlp._attributes cimport Attributes, Text, attributes_begin, gather
from sluiceway.otlp._proto cimport bytes_at, read_length, read_tag, skip_value
from sluiceway.prometheus._series cimport Exemplar, Series


cdef inline int read_exemplar(
    bytes_at p, bytes_at end, Exemplar* told, Text* trace_id, Text* span_id, Attributes* attributes, Arena* arena
) except -1 nogil:
    """Its value and time, its ids, and the attributes that its point does not have."""
    cdef uint32_t tag = 0
    cdef size_t size = 0
    cdef int64_t integer = 0
    told.value, told.time, told.size = 0.0, 0, 0
    trace_id[0] = span_id[0] = Text(p, 0)
    attributes_begin(attributes)
    while p < end:
        p = read_tag(p, end, &tag)
        if p == NULL:
            malformed()
        if tag & 7 == 2:
            p = read_length(p, end, &size)
            if p == NULL:
                malformed()
            if tag == 0x3A:
                gather(attributes, arena, p, p, size, 0)
            elif tag == 0x22:
                span_id[0] = Text(p, size)
            elif tag == 0x2A:
                trace_id[0] = Text(p, size)
            p += size
        elif tag & 7 == 1 and end - p >= 8:
            if tag == 0x11:
                memcpy(&told.time, p, 8)
            elif tag == 0x19:
                memcpy(&told.value, p, 8)
            elif tag == 0x31:
                memcpy(&integer, p, 8)
                told.value = <double>integer
            p += 8
        else:
            p = skip_value(p, end, tag, 5)
            if p == NULL:
                malformed()
    return 0


cdef inline uint32_t oldest(Series* series) noexcept nogil:
    """The place of the exemplar that goes first, or one that is free."""
    cdef uint32_t found = 0
    cdef uint32_t i
    for i in range(series.exemplar_count):
        if series.exemplars[i] == NULL:
            return i
        if series.exemplars[i].time < series.exemplars[found].time:
            found = i
    return found
