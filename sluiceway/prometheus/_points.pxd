"""One data point of OTLP, read from its bytes into plain C: what every kind of metric has of it, none decoded twice."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from sluiceway.otlp._anyvalue cimport malformed
from sluiceway.otlp._arena cimport out_of_memory
from sluiceway.otlp._attributes cimport Text
from sluiceway.otlp._proto cimport (
    Buffer, buffer_free, buffer_put, buffer_put_varint, bytes_at, read_length, read_tag, read_varint, skip_value,
)

cdef enum:  # kinds of metrics, and the numbers of their fields in `Metric`
    GAUGE = 5
    SUM = 7
    HISTOGRAM = 9
    EXPONENTIAL = 10
    SUMMARY = 11

cdef enum:
    NO_RECORDED_VALUE = 1  # of a point's flags


cdef struct Point:
    # Zero it to begin, use it for one point after the other, give it back with `point_free`.
    uint64_t start
    uint64_t time
    uint64_t flags
    double number
    int64_t integer
    bint is_integer
    bint has_value
    uint64_t count
    double sum
    bint has_sum
    int64_t scale
    uint64_t zeros
    double threshold
    int64_t offsets[2]
    Buffer counts[2]  # uint64_t: of buckets; those of an exponential histogram's negative values second
    Buffer bounds  # double: of buckets; or quantiles
    Buffer values  # double: of quantiles
    Buffer exemplars  # Text
    Buffer key  # the attributes, as the elements of a KeyValueList


cdef inline void point_begin(Point* point) noexcept nogil:
    point.start = point.time = point.flags = point.count = point.zeros = 0
    point.scale = point.integer = 0
    point.number = point.sum = point.threshold = 0.0
    point.is_integer = point.has_value = point.has_sum = False
    point.offsets[0] = point.offsets[1] = 0
    point.counts[0].size = point.counts[1].size = point.bounds.size = point.values.size = 0
    point.exemplars.size = point.key.size = 0


cdef inline void point_free(Point* point) noexcept nogil:
    buffer_free(&point.counts[0])
    buffer_free(&point.counts[1])
    buffer_free(&point.bounds)
    buffer_free(&point.values)
    buffer_free(&point.exemplars)
    buffer_free(&point.key)


cdef inline int keep(bint done) except -1 nogil:
    if not done:
        out_of_memory()
    return 0


cdef inline int64_t zigzag(uint64_t value) noexcept nogil:
    return <int64_t>(value >> 1) ^ -<int64_t>(value & 1)


cdef inline int read_varints(Buffer* out, bytes_at p, bytes_at end) except -1 nogil:
    cdef uint64_t value = 0
    while p < end:
        p = read_varint(p, end, &value)
        if p == NULL:
            malformed()
        keep(buffer_put(out, &value, 8))
    return 0


cdef inline int read_buckets(Point* point, int side, bytes_at p, bytes_at end) except -1 nogil:
    """The message `Buckets` of an exponential histogram."""
    cdef uint32_t tag = 0
    cdef uint64_t value = 0
    cdef size_t size = 0
    while p < end:
        p = read_tag(p, end, &tag)
        if p == NULL:
            malformed()
        if tag == 0x08:  # offset
            p = read_varint(p, end, &value)
            point.offsets[side] = <int32_t>zigzag(<uint32_t>value)
        elif tag == 0x12:  # bucket_counts
            p = read_length(p, end, &size)
            if p == NULL:
                malformed()
            read_varints(&point.counts[side], p, p + size)
            p += size
        elif tag == 0x10:
            p = read_varint(p, end, &value)
            keep(buffer_put(&point.counts[side], &value, 8))
        else:
            p = skip_value(p, end, tag, 5)
        if p == NULL:
            malformed()
    return 0


cdef inline int read_quantile(Point* point, bytes_at p, bytes_at end) except -1 nogil:
    """The message `ValueAtQuantile` of a summary."""
    cdef uint32_t tag = 0
    cdef double quantile = 0.0
    cdef double value = 0.0
    while p < end:
        p = read_tag(p, end, &tag)
        if p == NULL:
            malformed()
        if tag == 0x09 and end - p >= 8:
            memcpy(&quantile, p, 8)
            p += 8
        elif tag == 0x11 and end - p >= 8:
            memcpy(&value, p, 8)
            p += 8
        else:
            p = skip_value(p, end, tag, 5)
            if p == NULL:
                malformed()
    keep(buffer_put(&point.bounds, &quantile, 8))
    keep(buffer_put(&point.values, &value, 8))
    return 0


cdef inline bint is_attribute(int kind, uint32_t tag) noexcept nogil:
    if kind == HISTOGRAM:
        return tag == 0x4A
    return tag == (0x0A if kind == EXPONENTIAL else 0x3A)


cdef inline bint is_exemplar(int kind, uint32_t tag) noexcept nogil:
    if kind == GAUGE or kind == SUM:
        return tag == 0x2A
    return (kind == HISTOGRAM and tag == 0x42) or (kind == EXPONENTIAL and tag == 0x5A)


cdef inline bint is_flags(int kind, uint32_t tag) noexcept nogil:
    return tag == (0x50 if kind == HISTOGRAM or kind == EXPONENTIAL else 0x40)


cdef inline void read_fixed(Point* point, int kind, uint32_t tag, bytes_at p) noexcept nogil:
    """A field of eight bytes, which are there."""
    cdef bint is_number = kind == GAUGE or kind == SUM
    if tag == 0x11:
        memcpy(&point.start, p, 8)
    elif tag == 0x19:
        memcpy(&point.time, p, 8)
    elif is_number and tag == 0x21:
        memcpy(&point.number, p, 8)
        point.has_value, point.is_integer = True, False
    elif is_number and tag == 0x31:
        memcpy(&point.integer, p, 8)
        point.has_value = point.is_integer = True
    elif is_number:
        pass
    elif tag == 0x21:
        memcpy(&point.count, p, 8)
    elif tag == 0x29:
        memcpy(&point.sum, p, 8)
        point.has_sum = True
    elif kind == EXPONENTIAL and tag == 0x39:
        memcpy(&point.zeros, p, 8)
    elif kind == EXPONENTIAL and tag == 0x71:
        memcpy(&point.threshold, p, 8)


cdef inline int read_part(Point* point, int kind, uint32_t tag, bytes_at p, size_t size) except -1 nogil:
    """A field that has a length: attributes, exemplars, buckets, bounds, quantiles."""
    cdef uint8_t element = 0x0A
    cdef Text text
    if is_attribute(kind, tag):
        keep(
            buffer_put(&point.key, &element, 1) and buffer_put_varint(&point.key, size)
            and buffer_put(&point.key, p, size)
        )
    elif is_exemplar(kind, tag):
        text = Text(p, size)
        keep(buffer_put(&point.exemplars, &text, sizeof(Text)))
    elif kind == HISTOGRAM and tag == 0x32 and size % 8 == 0:
        keep(buffer_put(&point.counts[0], p, size))
    elif kind == HISTOGRAM and tag == 0x3A and size % 8 == 0:
        keep(buffer_put(&point.bounds, p, size))
    elif kind == EXPONENTIAL and (tag == 0x42 or tag == 0x4A):
        read_buckets(point, tag == 0x4A, p, p + size)
    elif kind == SUMMARY and tag == 0x32:
        read_quantile(point, p, p + size)
    return 0


cdef inline int read_point(Point* point, int kind, bytes_at p, bytes_at end) except -1 nogil:
    """Read a data point of a metric of this kind; raise `ValueError` where it is no protobuf."""
    cdef uint32_t tag = 0
    cdef uint64_t value = 0
    cdef size_t size = 0
    point_begin(point)
    while p < end:
        p = read_tag(p, end, &tag)
        if p == NULL:
            malformed()
        if tag & 7 == 2:
            p = read_length(p, end, &size)
            if p == NULL:
                malformed()
            read_part(point, kind, tag, p, size)
            p += size
        elif tag & 7 == 1 and end - p >= 8:
            if kind == HISTOGRAM and (tag == 0x31 or tag == 0x39):
                keep(buffer_put(&point.counts[0] if tag == 0x31 else &point.bounds, p, 8))
            read_fixed(point, kind, tag, p)
            p += 8
        elif is_flags(kind, tag) or (kind == EXPONENTIAL and tag == 0x30):
            p = read_varint(p, end, &value)
            if p == NULL:
                malformed()
            if tag == 0x30:
                point.scale = <int32_t>zigzag(<uint32_t>value)
            else:
                point.flags = <uint32_t>value
        else:
            p = skip_value(p, end, tag, 4)
            if p == NULL:
                malformed()
    return 0
