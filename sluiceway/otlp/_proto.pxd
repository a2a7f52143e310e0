"""The protobuf encoding, as the kernel reads and writes it: tags, varints, fields of any kind, UTF-8, a growing buffer.

Readers take a position and the end of what may be read, look at no byte beyond it, and answer the position after what
they read, or NULL where the bytes are no protobuf. They accept what the official parser accepts: tags and lengths of
at most five bytes, varints of at most ten, groups only in pairs. Field number 0 is refused everywhere. All of them
run without the GIL.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy

ctypedef const uint8_t* bytes_at

cdef enum:
    WIRE_VARINT = 0
    WIRE_FIXED64 = 1
    WIRE_BYTES = 2
    WIRE_GROUP = 3
    WIRE_END = 4
    WIRE_FIXED32 = 5

cdef enum:
    MAX_DEPTH = 100  # nested messages below the outermost one, as in the official parsers

cdef enum:  # bytes; below, giving up the GIL and waiting for it again costs more than the work
    RELEASE_ABOVE = 65536  # a walk
    RELEASE_ABOVE_JSON = 16384  # a conversion, which takes several times as long for each byte


cdef inline bytes_at read_varint(bytes_at p, bytes_at end, uint64_t* value) noexcept nogil:
    cdef uint64_t result
    cdef int shift = 7
    if p < end and p[0] < 0x80:
        value[0] = p[0]
        return p + 1
    if p >= end:
        return NULL
    result = p[0] & 0x7F
    p += 1
    while p < end and shift < 70:
        result |= <uint64_t>(p[0] & 0x7F) << shift
        p += 1
        if p[-1] < 0x80:
            value[0] = result
            return p
        shift += 7
    return NULL


cdef inline bytes_at skip_varint(bytes_at p, bytes_at end) noexcept nogil:
    cdef int count = 0
    while p < end and count < 10:
        p += 1
        if p[-1] < 0x80:
            return p
        count += 1
    return NULL


cdef inline bytes_at read_tag(bytes_at p, bytes_at end, uint32_t* tag) noexcept nogil:
    """A field's number << 3 | its wire type; the number is never 0."""
    cdef uint64_t value = 0
    cdef bytes_at start = p
    if p < end and p[0] < 0x80:
        tag[0] = p[0]
        if p[0] < 8:
            return NULL
        return p + 1
    p = read_varint(p, end, &value)
    if p == NULL or p - start > 5 or value > 0xFFFFFFFFULL or value < 8:
        return NULL
    tag[0] = <uint32_t>value
    return p


cdef inline bytes_at read_length(bytes_at p, bytes_at end, size_t* length) noexcept nogil:
    """A length prefix; so many bytes do follow before `end`."""
    cdef uint64_t value = 0
    cdef bytes_at start = p
    if p < end and p[0] < 0x80:
        length[0] = p[0]
        p += 1
        if <size_t>(end - p) < length[0]:
            return NULL
        return p
    p = read_varint(p, end, &value)
    if p == NULL or p - start > 5 or value > <uint64_t>(end - p):
        return NULL
    length[0] = <size_t>value
    return p


cdef inline bytes_at skip_group(bytes_at p, bytes_at end, uint32_t start_tag, int depth) noexcept nogil:
    """The rest of a group after its start tag; `depth` is that of the message which holds it."""
    cdef uint32_t open_tags[MAX_DEPTH + 1]
    cdef int level = 0
    cdef uint32_t tag = 0
    if depth >= MAX_DEPTH:
        return NULL
    open_tags[0] = start_tag
    while level >= 0:
        p = read_tag(p, end, &tag)
        if p == NULL:
            return NULL
        if tag & 7 == WIRE_GROUP:
            level += 1
            if depth + level >= MAX_DEPTH:
                return NULL
            open_tags[level] = tag
        elif tag & 7 == WIRE_END:
            if tag >> 3 != open_tags[level] >> 3:
                return NULL
            level -= 1
        else:
            p = skip_scalar(p, end, tag)
            if p == NULL:
                return NULL
    return p


cdef inline bytes_at skip_scalar(bytes_at p, bytes_at end, uint32_t tag) noexcept nogil:
    """The value of a field that is no group."""
    cdef size_t length = 0
    cdef uint32_t wire = tag & 7
    if wire == WIRE_BYTES:
        p = read_length(p, end, &length)
        if p == NULL:
            return NULL
        return p + length
    if wire == WIRE_VARINT:
        return skip_varint(p, end)
    if wire == WIRE_FIXED64:
        if end - p < 8:
            return NULL
        return p + 8
    if wire == WIRE_FIXED32:
        if end - p < 4:
            return NULL
        return p + 4
    return NULL


cdef inline bytes_at skip_value(bytes_at p, bytes_at end, uint32_t tag, int depth) noexcept nogil:
    """The value of any field, after its tag. `depth` is how many messages enclose the one that holds the field."""
    if tag & 7 == WIRE_GROUP:
        return skip_group(p, end, tag, depth)
    return skip_scalar(p, end, tag)


cdef inline size_t varint_size(uint64_t value) noexcept nogil:
    cdef size_t size = 1
    while value >= 0x80:
        value >>= 7
        size += 1
    return size


cdef inline uint8_t* write_varint(uint8_t* out, uint64_t value) noexcept nogil:
    """Write to a place with room for ten bytes, and answer the position after the varint."""
    while value >= 0x80:
        out[0] = <uint8_t>(value | 0x80)
        out += 1
        value >>= 7
    out[0] = <uint8_t>value
    return out + 1


cdef inline bytes_at skip_ascii(bytes_at p, bytes_at end) noexcept nogil:
    """The first byte that is not ASCII, or `end`."""
    cdef uint64_t word
    while end - p >= 8:
        memcpy(&word, p, 8)
        if word & 0x8080808080808080ULL:
            break
        p += 8
    while p < end and p[0] < 0x80:
        p += 1
    return p


cdef inline int utf8_sequence(bytes_at p, bytes_at end) noexcept nogil:
    """The length of the sequence at `p`; negated, that of the maximal subpart to be replaced where it is ill-formed.

    Table 3-7 of the Unicode standard (well-formed byte sequences) and its practice for U+FFFD substitution.
    """
    cdef uint8_t first = p[0]
    cdef uint8_t low = 0x80
    cdef uint8_t high = 0xBF
    cdef int size, i
    if first < 0x80:
        return 1
    if first < 0xC2 or first > 0xF4:
        return -1
    if first < 0xE0:
        size = 2
    elif first < 0xF0:
        size = 3
        if first == 0xE0:
            low = 0xA0
        elif first == 0xED:
            high = 0x9F
    else:
        size = 4
        if first == 0xF0:
            low = 0x90
        elif first == 0xF4:
            high = 0x8F
    for i in range(1, size):
        if p + i >= end or p[i] < low or p[i] > high:
            return -i
        low = 0x80
        high = 0xBF
    return size


cdef inline bint is_utf8(bytes_at p, bytes_at end) noexcept nogil:
    cdef int size
    while True:
        p = skip_ascii(p, end)
        if p >= end:
            return True
        size = utf8_sequence(p, end)
        if size < 0:
            return False
        p += size


cdef struct Buffer:
    # Bytes being built. Zero it to begin; give it back with `buffer_free`.
    uint8_t* data
    size_t size
    size_t capacity


cdef inline bint buffer_reserve(Buffer* buffer, size_t more) noexcept nogil:
    """Make room for `more` bytes behind `size`; False where memory is out (the buffer then stays as it was)."""
    cdef size_t capacity
    cdef uint8_t* data
    if buffer.capacity - buffer.size >= more:
        return True
    capacity = max(buffer.size + more, 2 * buffer.capacity, <size_t>256)
    data = <uint8_t*>realloc(buffer.data, capacity)
    if data == NULL:
        return False
    buffer.data = data
    buffer.capacity = capacity
    return True


cdef inline bint buffer_put(Buffer* buffer, const void* data, size_t size) noexcept nogil:
    if not buffer_reserve(buffer, size):
        return False
    if size:
        memcpy(buffer.data + buffer.size, data, size)
        buffer.size += size
    return True


cdef inline bint buffer_put_varint(Buffer* buffer, uint64_t value) noexcept nogil:
    if not buffer_reserve(buffer, 10):
        return False
    buffer.size = write_varint(buffer.data + buffer.size, value) - buffer.data
    return True


cdef inline void buffer_free(Buffer* buffer) noexcept nogil:
    free(buffer.data)
    buffer.data = NULL
    buffer.size = buffer.capacity = 0
