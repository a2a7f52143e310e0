"""The W3C `tracestate`, and in it the member `ot` with the sampling threshold and randomness of OpenTelemetry.

Read as the Collector reads it, which is stricter here and there than the specification, and written as it writes it:
`ot` first, in it `rv`, `th` and then the rest.
"""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memchr, memcpy

from sluiceway.otlp._arena cimport Arena, arena_take
from sluiceway.otlp._attributes cimport Text
from sluiceway.otlp._proto cimport bytes_at

cdef enum:
    MOST_MEMBERS = 32  # one more than may be
    MOST_EXTRAS = 128
    LARGEST_STATE = 1024
    LARGEST_VALUE = 256
    LARGEST_TENANT = 241
    LARGEST_SYSTEM = 14
    DIGITS = 14  # of a threshold or of randomness, hexadecimal

cdef enum:
    NEVER = 0x100000000000000  # the threshold that nothing reaches
    ALL_RANDOM = 0xFFFFFFFFFFFFFF


cdef struct TraceState:
    bint has_threshold
    uint64_t threshold
    Text threshold_text
    bint has_randomness
    uint64_t randomness
    Text randomness_text
    Text extras[MOST_EXTRAS]  # the other members of `ot`, as `key:value`
    size_t extra_count
    Text others[MOST_MEMBERS]  # the other members, as `key=value`
    size_t other_count


cdef inline bint is_lower(uint8_t c) noexcept nogil:
    return c'a' <= c <= c'z'


cdef inline bint is_alphanumeric(uint8_t c) noexcept nogil:
    return is_lower(c) or c'0' <= c <= c'9'


cdef inline bint are_key_characters(bytes_at p, bytes_at end) noexcept nogil:
    while p < end:
        if not (is_alphanumeric(p[0]) or p[0] == c'_' or p[0] == c'-' or p[0] == c'*' or p[0] == c'/'):
            return False
        p += 1
    return True


cdef inline bint is_state_key(Text key) noexcept nogil:
    cdef bytes_at end = key.data + key.size
    cdef bytes_at at
    if key.size == 0 or key.size > LARGEST_VALUE:
        return False
    at = <bytes_at>memchr(key.data, c'@', key.size)
    if at == NULL:
        return is_lower(key.data[0]) and are_key_characters(key.data + 1, end)
    if at == key.data or at + 1 == end or at - key.data > LARGEST_TENANT or end - at - 1 > LARGEST_SYSTEM:
        return False
    if not is_alphanumeric(key.data[0]) or not is_lower(at[1]):
        return False
    return are_key_characters(key.data + 1, at) and are_key_characters(at + 2, end)


cdef inline bint is_state_value(Text value) noexcept nogil:
    cdef size_t index
    cdef uint8_t c
    if value.size == 0 or value.size > LARGEST_VALUE or value.data[value.size - 1] == c' ':
        return False
    for index in range(value.size):
        c = value.data[index]
        if c < 0x20 or c > 0x7E or c == c',' or c == c'=':
            return False
    return True


cdef inline Text next_member(bytes_at* p, bytes_at end, char separator) noexcept nogil:
    """The text up to the separator, and go on behind it."""
    cdef bytes_at start = p[0]
    cdef bytes_at stop = <bytes_at>memchr(start, separator, end - start)
    if stop == NULL:
        p[0] = end
        return Text(start, end - start)
    p[0] = stop + 1
    return Text(start, stop - start)


cdef inline Text trimmed(Text text) noexcept nogil:
    while text.size and (text.data[0] == c' ' or text.data[0] == c'\t'):
        text = Text(text.data + 1, text.size - 1)
    while text.size and (text.data[text.size - 1] == c' ' or text.data[text.size - 1] == c'\t'):
        text.size -= 1
    return text


cdef inline bint read_hex(Text text, uint64_t* number) noexcept nogil:
    cdef size_t index
    cdef uint8_t c
    number[0] = 0
    for index in range(text.size):
        c = text.data[index]
        if c'0' <= c <= c'9':
            c = c - c'0'
        elif c'a' <= (c | 0x20) <= c'f':
            c = (c | 0x20) - c'a' + 10
        else:
            return False
        number[0] = number[0] << 4 | c
    return text.size > 0


cdef inline bint read_threshold(Text text, uint64_t* threshold) noexcept nogil:
    """A threshold without its trailing zeros; False where it is none."""
    if text.size > DIGITS or not read_hex(text, threshold):
        return False
    threshold[0] <<= 4 * (DIGITS - text.size)
    return True


cdef inline bint read_randomness(Text text, uint64_t* randomness) noexcept nogil:
    return text.size == DIGITS and read_hex(text, randomness)


cdef inline bint is_ot_member(Text member, Text* key, Text* value) noexcept nogil:
    cdef bytes_at colon = <bytes_at>memchr(member.data, c':', member.size) if member.size else NULL
    cdef size_t index
    cdef uint8_t c
    if colon == NULL or colon == member.data or not is_lower(member.data[0]):
        return False
    key[0] = Text(member.data, colon - member.data)
    value[0] = Text(colon + 1, member.data + member.size - colon - 1)
    for index in range(key.size):
        if not is_alphanumeric(key.data[index]):
            return False
    for index in range(value.size):
        c = value.data[index]
        if not (is_alphanumeric(c) or c'A' <= c <= c'Z' or c == c'.' or c == c'_' or c == c'-'):
            return False
    return True


cdef inline bint is_called(Text key, const char* name) noexcept nogil:
    return key.size == 2 and key.data[0] == <uint8_t>name[0] and key.data[1] == <uint8_t>name[1]


cdef inline bint read_ot(TraceState* state, Text text) noexcept nogil:
    """The member `ot`; False where it is malformed."""
    cdef bytes_at p = text.data
    cdef bytes_at end = p + text.size
    cdef Text member
    cdef Text key
    cdef Text value
    cdef bint well_formed = True
    state.has_threshold = state.has_randomness = False
    state.extra_count = 0
    if text.size == 0 or end[-1] == c';':
        return False
    while p < end:
        member = next_member(&p, end, c';')
        if not is_ot_member(member, &key, &value):
            return False
        if is_called(key, "rv"):
            state.has_randomness = read_randomness(value, &state.randomness)
            state.randomness_text = value
            well_formed &= state.has_randomness
        elif is_called(key, "th"):
            state.has_threshold = read_threshold(value, &state.threshold)
            state.threshold_text = value
            well_formed &= state.has_threshold
        elif state.extra_count < MOST_EXTRAS:
            state.extras[state.extra_count] = member
            state.extra_count += 1
    return well_formed


cdef inline bint read_state(TraceState* state, Text text) noexcept nogil:
    """Read a tracestate; False where it is malformed or too large."""
    cdef bytes_at p = text.data
    cdef bytes_at end = p + text.size
    cdef bytes_at equals
    cdef Text member
    cdef Text key
    cdef Text value
    cdef size_t count = 0
    cdef bint well_formed = True
    state.has_threshold = state.has_randomness = False
    state.extra_count = state.other_count = 0
    if text.size > LARGEST_STATE:
        return False
    while p < end:
        member = trimmed(next_member(&p, end, c','))
        count += 1
        if count >= MOST_MEMBERS:
            return False
        if member.size == 0:
            continue
        equals = <bytes_at>memchr(member.data, c'=', member.size)
        if equals == NULL:
            return False
        key = Text(member.data, equals - member.data)
        value = Text(equals + 1, member.data + member.size - equals - 1)
        if not is_state_key(key) or not is_state_value(value):
            return False
        if is_called(key, "ot"):
            well_formed &= read_ot(state, value)
        else:
            state.others[state.other_count] = member
            state.other_count += 1
    return well_formed


cdef inline int write_digits(Arena* arena, uint64_t number, Text* out) except -1 nogil:
    """Fourteen hexadecimal digits."""
    cdef uint8_t* place = arena_take(arena, DIGITS)
    cdef const char* digits = "0123456789abcdef"
    cdef int index
    for index in range(DIGITS):
        place[index] = digits[(number >> (4 * (DIGITS - 1 - index))) & 15]
    out[0] = Text(place, DIGITS)
    return 0


cdef inline int write_threshold(Arena* arena, uint64_t threshold, Text* out) except -1 nogil:
    """A threshold without trailing zeros; that of everything is one zero."""
    write_digits(arena, threshold, out)
    while out.size > 1 and out.data[out.size - 1] == c'0':
        out.size -= 1
    return 0


cdef inline uint8_t* put(uint8_t* out, Text text) noexcept nogil:
    memcpy(out, text.data, text.size)
    return out + text.size


cdef inline uint8_t* put_named(uint8_t* out, uint8_t* start, const char* name, Text value) noexcept nogil:
    """A member of `ot`, with a semicolon before all but the first."""
    if out > start:
        out[0] = c';'
        out += 1
    memcpy(out, name, 3)
    return put(out + 3, value)


cdef inline int write_state(Arena* arena, TraceState* state, Text* written) except -1 nogil:
    cdef uint8_t* place = arena_take(arena, LARGEST_STATE + 64 + 2 * DIGITS)
    cdef uint8_t* out = place
    cdef uint8_t* start
    cdef size_t index
    if state.has_randomness or state.has_threshold or state.extra_count:
        memcpy(out, "ot=", 3)
        start = out = out + 3
        if state.has_randomness:
            out = put_named(out, start, "rv:", state.randomness_text)
        if state.has_threshold:
            out = put_named(out, start, "th:", state.threshold_text)
        for index in range(state.extra_count):
            if out > start:
                out[0] = c';'
                out += 1
            out = put(out, state.extras[index])
    for index in range(state.other_count):
        if out > place:
            out[0] = c','
            out += 1
        out = put(out, state.others[index])
    written[0] = Text(place, out - place)
    return 0
