"""OpenTelemetry's exponential histograms as Prometheus's native ones, in the protobuf form of remote write.

Both have buckets with bounds at powers of 2 ** (2 ** -scale). What OpenTelemetry calls bucket i is i + 1 to Prometheus,
whose index is that of the upper bound. Prometheus's scales end at 8: a finer histogram is made coarser, which is exact,
as each coarse bucket holds whole fine ones. https://prometheus.io/docs/specs/native_histograms/
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from sluiceway.otlp._proto cimport Buffer, varint_size
from sluiceway.exporters.prometheus_remote_write._writing cimport put, put_byte, put_varint

cdef enum:
    FINEST = 8
    COARSEST = -4
    CLOSE = 2  # empty buckets up to this many are written out, where a new span would cost more

cdef struct Buckets:
    int64_t offset
    uint64_t* counts
    size_t size


cdef inline uint64_t to_zigzag(int64_t value) noexcept nogil:
    return (<uint64_t>value << 1) ^ <uint64_t>(value >> 63)


cdef inline int put_span(Buffer* out, uint8_t tag, int64_t offset, uint32_t length) except -1 nogil:
    put_byte(out, tag)
    put_varint(out, 2 + varint_size(to_zigzag(offset)) + varint_size(length))
    put_byte(out, 0x08)
    put_varint(out, to_zigzag(offset))
    put_byte(out, 0x10)
    return put_varint(out, length)


cdef inline int put_buckets(
    Buffer* out, Buffer* deltas, uint8_t spans_tag, uint8_t deltas_tag, Buckets* buckets, int shift
) except -1 nogil:
    """The spans of one side, and the differences of its counts; `shift` is by how many scales it is made coarser."""
    cdef int64_t following = 0
    cdef int64_t before = 0
    cdef int64_t span = 0
    cdef int64_t index, gap
    cdef uint64_t count
    cdef uint32_t length = 0
    cdef size_t i = 0
    deltas.size = 0
    while i < buckets.size:
        index = ((buckets.offset + <int64_t>i) >> shift) + 1
        count = 0
        while i < buckets.size and ((buckets.offset + <int64_t>i) >> shift) + 1 == index:
            count += buckets.counts[i]
            i += 1
        if count == 0:
            continue
        gap = index - following
        if length == 0 or gap > CLOSE:
            if length:
                put_span(out, spans_tag, span, length)
            span, length = gap, 0
        else:
            for _ in range(gap):
                put_varint(deltas, to_zigzag(-before))
                before = 0
                length += 1
        put_varint(deltas, to_zigzag(<int64_t>count - before))
        before = <int64_t>count
        length += 1
        following = index + 1
    if length:
        put_span(out, spans_tag, span, length)
        put_byte(out, deltas_tag)
        put_varint(out, deltas.size)
        put(out, deltas.data, deltas.size)
    return 0


cdef inline int put_histogram(
    Buffer* out, Buffer* scratch, int64_t scale, uint64_t count, double total, uint64_t zero_count, double zero_threshold,
    Buckets* positive, Buckets* negative,
) except -1 nogil:
    """The fields of a `Histogram` but for its times; the scale is at least `COARSEST`."""
    cdef int shift = <int>(scale - FINEST) if scale > FINEST else 0
    cdef double width = zero_threshold if zero_threshold > 0 else 1e-128  # the Collector's, where none is given
    shift = min(shift, 62)
    put_byte(out, 0x08)
    put_varint(out, count)
    put_byte(out, 0x19)
    put(out, &total, 8)
    put_byte(out, 0x20)
    put_varint(out, to_zigzag(min(scale, FINEST)))
    put_byte(out, 0x29)
    put(out, &width, 8)
    put_byte(out, 0x30)
    put_varint(out, zero_count)
    put_buckets(out, scratch, 0x42, 0x4A, negative, shift)
    return put_buckets(out, scratch, 0x5A, 0x62, positive, shift)
