"""The data points of OTLP's metrics, read from their bytes into one struct that all kinds share."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from sluiceway.otlp._anyvalue cimport malformed
from sluiceway.otlp._attributes cimport Text
from sluiceway.otlp._containers cimport (
    EXPONENTIAL_HISTOGRAM, EXPONENTIAL_HISTOGRAM_ATTRIBUTES, GAUGE, HISTOGRAM, HISTOGRAM_ATTRIBUTES, NUMBER_ATTRIBUTES,
    SUM, SUMMARY, SUMMARY_ATTRIBUTES,
)
from sluiceway.otlp._arena cimport out_of_memory
from sluiceway.otlp._message cimport next_field
from sluiceway.otlp._proto cimport (
    WIRE_BYTES, WIRE_FIXED64, WIRE_VARINT, Buffer, buffer_put, buffer_put_varint, bytes_at, read_varint,
)


cdef struct Side:
    # The buckets of an exponential histogram on one side of zero: uint64 counts from the bucket `offset` on.
    int64_t offset
    Buffer counts


cdef struct Point:
    uint64_t start  # nanoseconds
    uint64_t time
    uint64_t flags
    bint has_value
    bint is_int
    double value
    int64_t integer
    uint64_t count
    bint has_sum
    double sum
    int64_t scale
    uint64_t zero_count
    double zero_threshold
    Buffer attributes  # KeyValues, each behind the tag 0x0A and its length, whatever the kind of point
    Buffer bounds  # doubles: upper bounds of a histogram, or the quantiles of a summary
    Buffer counts  # uint64 of a histogram's buckets, or the doubles at a summary's quantiles
    Side positive
    Side negative
    Buffer exemplars  # Texts: the contents of the messages


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


cdef inline uint64_t fixed64(Text value) noexcept nogil:
    cdef uint64_t number
    memcpy(&number, value.data, 8)
    return number


cdef inline double as_double(Text value) noexcept nogil:
    cdef double number
    memcpy(&number, value.data, 8)
    return number


cdef inline uint64_t varint(Text value) noexcept nogil:
    cdef uint64_t number = 0
    read_varint(value.data, value.data + value.size, &number)
    return number


cdef inline int64_t zigzag(uint64_t value) noexcept nogil:
    return <int64_t>(value >> 1) ^ -<int64_t>(value & 1)


cdef inline void begin_point(Point* point) noexcept nogil:
    """Forget the last point, and keep the memory."""
    cdef Buffer* buffers[6]
    cdef int i
    buffers[0], buffers[1], buffers[2] = &point.attributes, &point.bounds, &point.counts
    buffers[3], buffers[4], buffers[5] = &point.positive.counts, &point.negative.counts, &point.exemplars
    for i in range(6):
        buffers[i].size = 0
    point.start = point.time = point.flags = point.count = point.zero_count = 0
    point.has_value = point.has_sum = point.is_int = False
    point.value = point.sum = point.zero_threshold = 0.0
    point.integer = point.scale = point.positive.offset = point.negative.offset = 0


cdef inline int read_point(Point* point, uint32_t member, Text content) except -1 nogil:
    """Read a point of the kind that `member`, the tag of the metric's data, has."""
    begin_point(point)
    if member == GAUGE or member == SUM:
        return read_number(point, content)
    if member == HISTOGRAM:
        return read_histogram(point, content)
    if member == EXPONENTIAL_HISTOGRAM:
        return read_exponential(point, content)
    return read_summary(point, content)


cdef inline int read_number(Point* point, Text content) except -1 nogil:
    cdef bytes_at p = content.data
    cdef bytes_at end = p + content.size
    cdef uint32_t tag = 0
    cdef Text value
    while p < end:
        p = next_field(p, end, &tag, &value)
        if tag == 0x11:
            point.start = fixed64(value)
        elif tag == 0x19:
            point.time = fixed64(value)
        elif tag == 0x21:
            point.has_value, point.is_int, point.value = True, False, as_double(value)
        elif tag == 0x31:
            point.has_value, point.is_int, point.integer = True, True, <int64_t>fixed64(value)
            point.value = <double>point.integer
        elif tag == NUMBER_ATTRIBUTES:
            put_text(&point.attributes, 0x0A, value)
        elif tag == 0x40:
            point.flags = varint(value)
        elif tag == 0x2A:
            put(&point.exemplars, &value, sizeof(Text))
    return 0


cdef inline int read_histogram(Point* point, Text content) except -1 nogil:
    cdef bytes_at p = content.data
    cdef bytes_at end = p + content.size
    cdef uint32_t tag = 0
    cdef Text value
    while p < end:
        p = next_field(p, end, &tag, &value)
        if tag == 0x11:
            point.start = fixed64(value)
        elif tag == 0x19:
            point.time = fixed64(value)
        elif tag == 0x21:
            point.count = fixed64(value)
        elif tag == 0x29:
            point.has_sum, point.sum = True, as_double(value)
        elif tag == 0x32 or tag == 0x31:  # packed or one by one
            put(&point.counts, value.data, value.size)
        elif tag == 0x3A or tag == 0x39:
            put(&point.bounds, value.data, value.size)
        elif tag == HISTOGRAM_ATTRIBUTES:
            put_text(&point.attributes, 0x0A, value)
        elif tag == 0x50:
            point.flags = varint(value)
        elif tag == 0x42:
            put(&point.exemplars, &value, sizeof(Text))
    return 0


cdef inline int read_exponential(Point* point, Text content) except -1 nogil:
    cdef bytes_at p = content.data
    cdef bytes_at end = p + content.size
    cdef uint32_t tag = 0
    cdef Text value
    while p < end:
        p = next_field(p, end, &tag, &value)
        if tag == EXPONENTIAL_HISTOGRAM_ATTRIBUTES:
            put_text(&point.attributes, 0x0A, value)
        elif tag == 0x11:
            point.start = fixed64(value)
        elif tag == 0x19:
            point.time = fixed64(value)
        elif tag == 0x21:
            point.count = fixed64(value)
        elif tag == 0x29:
            point.has_sum, point.sum = True, as_double(value)
        elif tag == 0x30:
            point.scale = zigzag(varint(value) & 0xFFFFFFFFULL)
        elif tag == 0x39:
            point.zero_count = fixed64(value)
        elif tag == 0x42:
            read_side(&point.positive, value)
        elif tag == 0x4A:
            read_side(&point.negative, value)
        elif tag == 0x50:
            point.flags = varint(value)
        elif tag == 0x5A:
            put(&point.exemplars, &value, sizeof(Text))
        elif tag == 0x71:
            point.zero_threshold = as_double(value)
    return 0


cdef inline int read_side(Side* side, Text content) except -1 nogil:
    cdef bytes_at p = content.data
    cdef bytes_at end = p + content.size
    cdef bytes_at inner
    cdef uint32_t tag = 0
    cdef uint64_t count = 0
    cdef Text value
    while p < end:
        p = next_field(p, end, &tag, &value)
        if tag == 0x08:
            side.offset = zigzag(varint(value) & 0xFFFFFFFFULL)
        elif tag == 0x10 or tag == 0x12:  # one by one, or packed
            inner = value.data
            while inner < value.data + value.size:
                inner = read_varint(inner, value.data + value.size, &count)
                if inner == NULL:
                    malformed()
                put(&side.counts, &count, 8)
    return 0


cdef inline int read_summary(Point* point, Text content) except -1 nogil:
    cdef bytes_at p = content.data
    cdef bytes_at end = p + content.size
    cdef bytes_at inner
    cdef uint32_t tag = 0
    cdef double quantile
    cdef double number
    cdef Text value
    cdef Text part
    while p < end:
        p = next_field(p, end, &tag, &value)
        if tag == 0x11:
            point.start = fixed64(value)
        elif tag == 0x19:
            point.time = fixed64(value)
        elif tag == 0x21:
            point.count = fixed64(value)
        elif tag == 0x29:
            point.has_sum, point.sum = True, as_double(value)
        elif tag == SUMMARY_ATTRIBUTES:
            put_text(&point.attributes, 0x0A, value)
        elif tag == 0x40:
            point.flags = varint(value)
        elif tag == 0x32:
            quantile = number = 0.0
            inner = value.data
            while inner < value.data + value.size:
                inner = next_field(inner, value.data + value.size, &tag, &part)
                if tag == 0x09:
                    quantile = as_double(part)
                elif tag == 0x11:
                    number = as_double(part)
            put(&point.bounds, &quantile, 8)
            put(&point.counts, &number, 8)
    return 0
