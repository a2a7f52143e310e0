"""OpenTelemetry's exponential histograms as Prometheus's native ones: the buckets of one side, in protobuf.

Both have buckets with bounds at powers of 2 ** (2 ** -scale). What OpenTelemetry calls bucket i is i + 1 to Prometheus,
whose index is that of the upper bound. https://prometheus.io/docs/specs/native_histograms/
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from sluiceway.otlp._proto cimport Buffer, varint_size
from sluiceway.prometheus._writing cimport put, put_byte, put_varint, to_zigzag

cdef enum:
    CLOSE = 2  # empty buckets up to this many are written out, where a new span would cost more


cdef inline double zero_threshold(double given) noexcept nogil:
    """The zero bucket's threshold, which has to be one: the specification says which where none is given."""
    return given if given > 0 else 1e-128


cdef inline int put_span(Buffer* out, uint8_t tag, int64_t offset, uint32_t length) except -1 nogil:
    put_byte(out, tag)
    put_varint(out, 2 + varint_size(to_zigzag(offset)) + varint_size(length))
    put_byte(out, 0x08)
    put_varint(out, to_zigzag(offset))
    put_byte(out, 0x10)
    return put_varint(out, length)


cdef inline int put_spans(
    Buffer* out, Buffer* deltas, uint8_t spans_tag, uint8_t deltas_tag, int64_t offset, const uint64_t* counts,
    size_t size,
) except -1 nogil:
    """Buckets as spans with gaps between, and each count as its difference from the one before."""
    cdef int64_t following = 0
    cdef int64_t before = 0
    cdef int64_t span = 0
    cdef int64_t index, gap
    cdef uint32_t length = 0
    cdef size_t i
    deltas.size = 0
    for i in range(size):
        if counts[i] == 0:
            continue
        index = offset + <int64_t>i + 1
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
        put_varint(deltas, to_zigzag(<int64_t>counts[i] - before))
        before = <int64_t>counts[i]
        length += 1
        following = index + 1
    if length:
        put_span(out, spans_tag, span, length)
        put_byte(out, deltas_tag)
        put_varint(out, deltas.size)
        put(out, deltas.data, deltas.size)
    return 0
