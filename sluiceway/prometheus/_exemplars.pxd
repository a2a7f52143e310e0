"""Exemplars, read from their bytes."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from sluiceway.otlp._attributes cimport Text
from sluiceway.otlp._message cimport next_field
from sluiceway.otlp._proto cimport Buffer, bytes_at
from sluiceway.prometheus._series cimport Series
from sluiceway.prometheus._writing cimport as_double, fixed64, put_text


cdef inline bint read_exemplar(
    bytes_at p, bytes_at end, double* value, uint64_t* time, Text* trace_id, Text* span_id, Buffer* attributes
) except -1 nogil:
    """Its value and time, its ids, and as a KeyValueList what its point does not have; False for one without a value."""
    cdef uint32_t tag = 0
    cdef bint has_value = False
    cdef Text content
    value[0], time[0] = 0.0, 0
    trace_id[0] = span_id[0] = Text(p, 0)
    attributes.size = 0
    while p < end:
        p = next_field(p, end, &tag, &content)
        if tag == 0x11:
            time[0] = fixed64(content)
        elif tag == 0x19:
            has_value, value[0] = True, as_double(content)
        elif tag == 0x31:
            has_value, value[0] = True, <double><int64_t>fixed64(content)
        elif tag == 0x22:
            span_id[0] = content
        elif tag == 0x2A:
            trace_id[0] = content
        elif tag == 0x3A:
            put_text(attributes, 0x0A, content)
    return has_value


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
