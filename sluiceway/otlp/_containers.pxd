"""How OTLP lies in itself: resource entries, scopes, metrics, items. NULL and -1 mean that bytes are no protobuf."""

from sluiceway.otlp._proto cimport *

cdef enum:  # the signals; the items of METRICS lie two levels deeper than those of the others
    TRACES = 0
    METRICS = 1
    LOGS = 2

cdef enum:  # tags: the number of a field << 3 | its wire type
    FIRST = 0x0A  # of field 1: resource entries, resources, scopes, data points, names, keys, a resource's attributes
    SECOND = 0x12  # of field 2: scope entries, spans, metrics, log records, versions, values
    SCOPE_ATTRIBUTES = 0x1A
    SCHEMA_URL = 0x1A  # of a resource entry or a scope entry
    SPAN_ATTRIBUTES = 0x4A
    SPAN_EVENT = 0x5A
    TRACE_STATE = 0x1A
    EVENT_ATTRIBUTES = 0x1A
    LOG_ATTRIBUTES = 0x32
    GAUGE = 0x2A  # the data of a metric
    SUM = 0x3A
    HISTOGRAM = 0x4A
    EXPONENTIAL_HISTOGRAM = 0x52
    SUMMARY = 0x5A
    METADATA = 0x62  # of a metric
    NUMBER_ATTRIBUTES = 0x3A  # of a point of a gauge or sum
    HISTOGRAM_ATTRIBUTES = 0x4A
    EXPONENTIAL_HISTOGRAM_ATTRIBUTES = 0x0A
    SUMMARY_ATTRIBUTES = 0x3A

cdef enum:  # how deep a container lies
    TOP = 0
    ENTRY = 1  # one ResourceSpans, ResourceMetrics, ResourceLogs
    SCOPE = 2


cdef inline bytes_at enter_field(bytes_at p, bytes_at end, uint32_t* tag, bytes_at* body) noexcept nogil:
    """Read a field: `body` is where its content begins if it has a length, the answer where the next field begins."""
    cdef size_t size = 0
    p = read_tag(p, end, tag)
    if p == NULL:
        return NULL
    if tag[0] & 7 != WIRE_BYTES:
        body[0] = p
        return skip_value(p, end, tag[0], 0)
    body[0] = read_length(p, end, &size)
    if body[0] == NULL:
        return NULL
    return body[0] + size


cdef inline int64_t count(int level, bytes_at p, bytes_at end, bint is_metrics) noexcept nogil:
    """The items in a container."""
    cdef uint32_t child = FIRST if level == TOP else SECOND
    cdef uint32_t tag = 0
    cdef bytes_at body = NULL
    cdef int64_t items = 0
    cdef int64_t inside
    while p < end:
        p = enter_field(p, end, &tag, &body)
        if p == NULL:
            return -1
        if tag != child:
            continue
        if level < SCOPE:
            inside = count(level + 1, body, p, is_metrics)
        else:
            inside = count_metric(body, p) if is_metrics else 1
        if inside < 0:
            return -1
        items += inside
    return items


cdef inline bint is_data(uint32_t tag) noexcept nogil:
    """Whether a field of a metric is a member of its oneof `data`."""
    return tag == GAUGE or tag == SUM or tag == HISTOGRAM or tag == EXPONENTIAL_HISTOGRAM or tag == SUMMARY


cdef inline int64_t count_metric(bytes_at p, bytes_at end) noexcept nogil:
    cdef uint32_t tag = 0
    cdef uint32_t member = 0
    cdef bytes_at body = NULL
    cdef bytes_at inner = NULL
    cdef int64_t points = 0
    cdef bytes_at data_end
    while p < end:
        p = enter_field(p, end, &tag, &body)
        if p == NULL:
            return -1
        if not is_data(tag):
            continue
        if tag != member:  # another member takes the place of what was there
            member = tag
            points = 0
        data_end = p
        while body < data_end:
            body = enter_field(body, data_end, &tag, &inner)
            if body == NULL:
                return -1
            points += tag == FIRST
    return points
