"""Probability sampling: the decisions of the Collector's `probabilistic_sampler`, and what it writes.

An item is kept where its randomness, 56 bits, reaches a threshold. Randomness is what the item says itself, or a part
of its trace id, or a hash of that or of an attribute. Threshold and randomness are written to a span's tracestate, or
to attributes of a log record, as OpenTelemetry's consistent probability sampling has them.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from libc.math cimport frexp, isinf, round
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport strtod
from libc.string cimport memcpy

from sluiceway.otlp._anyvalue cimport BYTES, DOUBLE, EMPTY, INT, STRING, STRING_TAG, AnyValue, read_any
from sluiceway.otlp._arena cimport Arena, arena_take
from sluiceway.otlp._attributes cimport Attributes, Text, add, content, find, remove_all, same, set_value
from sluiceway.otlp._facts cimport text_of
from sluiceway.otlp._fields cimport Raw
from sluiceway.otlp._proto cimport write_varint
from sluiceway.otlp._tracestate cimport (
    ALL_RANDOM, DIGITS, NEVER, TraceState, read_randomness, read_state, read_threshold, write_digits, write_state,
    write_threshold,
)

cdef enum Mode:
    NEVER_MODE = 0
    HASH_SEED = 1
    EQUALIZING = 2
    PROPORTIONAL = 3

cdef enum Policy:  # where randomness came from, or what overruled it
    TRACE_ID_HASH = 0
    TRACE_ID_W3C = 1
    SAMPLING_RANDOMNESS = 2
    SAMPLING_PRIORITY = 3
    MISSING_RANDOMNESS = 4
    ATTRIBUTE_HASH = 5

cdef enum:
    FIRST_POLICY = 2  # where the counts by policy begin in a tally: of each what is dropped, then what is kept


cdef struct Sampler:
    int mode
    uint64_t threshold
    double ratio
    int precision
    uint32_t seed
    bint fail_closed
    bint from_trace_id
    Text attribute  # NULL: none
    Text priority  # of log records; NULL: none
    Text span_priority  # the keys of attributes with a fixed name
    Text threshold_key
    Text randomness_key
    PyObject* text_of
    uint8_t span_trace_id  # the numbers of fields
    uint8_t span_state
    uint8_t log_trace_id


cdef struct Sampled:
    # What is known of an item while it is decided about.
    uint64_t randomness
    uint64_t threshold
    int policy
    bint failed
    bint writes  # whether there is something to write to


cdef inline uint32_t fnv(uint32_t seed, Text text) noexcept nogil:
    """FNV-1a, 32 bits, over the seed (least byte first) and the text."""
    cdef uint32_t hash = 2166136261U
    cdef size_t index
    for index in range(4):
        hash = (hash ^ ((seed >> (8 * index)) & 0xFF)) * 16777619U
    for index in range(text.size):
        hash = (hash ^ text.data[index]) * 16777619U
    return hash


cdef inline uint64_t hashed_randomness(uint32_t seed, Text text) noexcept nogil:
    """Randomness whose first 14 bits decide as the original 14-bit hash does; the rest is filled from the hash."""
    cdef uint32_t hash = fnv(seed, text)
    cdef uint64_t low = hash & 0x3FFF
    cdef uint64_t high = hash >> 18
    return (0x3FFF - low) << 42 | ((high ^ (high << 10)) << 14) | low


cdef inline bint is_zero(Text id) noexcept nogil:
    cdef size_t index
    for index in range(id.size):
        if id.data[index]:
            return False
    return True


cdef inline uint64_t w3c_randomness(Text trace_id) noexcept nogil:
    """The last seven bytes of a trace id."""
    cdef uint64_t result = 0
    cdef size_t index
    for index in range(9, 16):
        result = result << 8 | trace_id.data[index]
    return result


cdef inline uint64_t threshold_of(double probability, int precision) noexcept nogil:
    """The threshold of a probability, with so many significant digits; NEVER + 1 beyond what can be expressed."""
    cdef int exponent = 0
    cdef int other = 0
    cdef uint64_t threshold
    cdef int shift
    if not 1.0 / <double>NEVER <= probability <= 1.0:
        return NEVER + 1
    if probability == 1.0:
        return 0
    frexp(probability, &exponent)
    frexp(1.0 - probability, &other)
    precision = min(<int>DIGITS, max(precision + -exponent // 4, precision + -other // 4))
    threshold = NEVER - <uint64_t>round(probability * <double>NEVER)
    shift = 4 * (DIGITS - precision)
    if shift:
        threshold = (threshold + (<uint64_t>1 << (shift - 1))) >> shift << shift
    return threshold


cdef inline uint64_t decided(Sampler* sampler, bint has_threshold, uint64_t arriving) noexcept nogil:
    cdef double probability = 1.0
    cdef uint64_t threshold
    if sampler.mode == EQUALIZING:
        return max(sampler.threshold, arriving) if has_threshold else sampler.threshold
    if sampler.mode != PROPORTIONAL:
        return sampler.threshold
    if has_threshold:
        probability = <double>(NEVER - arriving) / <double>NEVER
    threshold = threshold_of(probability * sampler.ratio, sampler.precision)
    return NEVER if threshold > NEVER else threshold


cdef inline void find_randomness(Sampled* sampled, Sampler* sampler, Text trace_id) noexcept nogil:
    """The randomness of a trace id, in the way of the mode."""
    sampled.randomness = ALL_RANDOM
    sampled.policy = MISSING_RANDOMNESS
    if trace_id.size != 16 or is_zero(trace_id):
        return
    if sampler.mode == HASH_SEED:
        sampled.policy = TRACE_ID_HASH
        sampled.randomness = hashed_randomness(sampler.seed, trace_id)
    else:
        sampled.policy = TRACE_ID_W3C
        sampled.randomness = w3c_randomness(trace_id)


cdef inline void conclude_threshold(
    Sampled* sampled, Sampler* sampler, bint* has_threshold, uint64_t arriving
) noexcept nogil:
    """The threshold: that of the mode, or where something is wrong everything or nothing."""
    if not sampled.failed and sampled.policy == MISSING_RANDOMNESS:
        sampled.failed = True
    elif not sampled.failed and has_threshold[0] and arriving > sampled.randomness:
        has_threshold[0] = False  # it should not have come this far: what it says of itself is wrong
        sampled.failed = True
    if sampled.failed:
        sampled.threshold = NEVER if sampler.fail_closed else 0
    else:
        sampled.threshold = decided(sampler, has_threshold[0], arriving)


# ---- spans

cdef inline int sign_of(double number) noexcept nogil:
    return (number > 0) - (number < 0) if number == number else -1


cdef inline int priority_of_text(Text text) noexcept nogil:
    """Whether a text is a number above zero (1) or zero (0); -1 for anything else."""
    cdef char buffer[64]
    cdef char* end = NULL
    cdef double number
    if text.size == 0 or text.size >= sizeof(buffer) or text.data[0] <= 0x20:
        return -1
    memcpy(buffer, text.data, text.size)
    buffer[text.size] = 0
    number = strtod(buffer, &end)
    if end != buffer + text.size or (isinf(number) and c'0' <= text.data[text.size - 1] <= c'9'):
        return -1
    return sign_of(number)


cdef inline int span_priority(Attributes* attributes, Text key) except -2 nogil:
    """What the attribute `sampling.priority` asks for: to keep (1), to drop (0), nothing (-1)."""
    cdef Py_ssize_t index = find(attributes, key, 0)
    cdef AnyValue value
    cdef Text any
    cdef double number
    if index < 0:
        return -1
    any = content(&attributes.list[index])
    read_any(any.data, any.size, &value)
    if value.kind == INT:
        return (<int64_t>value.number > 0) - (<int64_t>value.number < 0)
    if value.kind == DOUBLE:
        memcpy(&number, &value.number, 8)
        return sign_of(number)
    return priority_of_text(Text(value.data, value.size)) if value.kind == STRING else -1


cdef inline void read_span(Sampled* sampled, Sampler* sampler, TraceState* state, Raw* raws) noexcept nogil:
    cdef bint well_formed = read_state(state, raws[sampler.span_state].text)
    find_randomness(sampled, sampler, raws[sampler.span_trace_id].text)
    sampled.failed = sampled.writes = False
    if sampler.mode == NEVER_MODE:
        sampled.policy = SAMPLING_PRIORITY
        sampled.randomness = ALL_RANDOM
    if not well_formed:
        sampled.failed = True
        if sampler.mode == EQUALIZING or sampler.mode == PROPORTIONAL:
            sampled.policy = MISSING_RANDOMNESS
            sampled.randomness = ALL_RANDOM
    elif sampler.mode != HASH_SEED:
        sampled.writes = True
        if state.has_randomness and sampler.mode != NEVER_MODE:
            sampled.policy = SAMPLING_RANDOMNESS
            sampled.randomness = state.randomness
    elif state.has_randomness or state.has_threshold:
        sampled.failed = True  # another kind of sampling is at work
    else:
        sampled.writes = True


cdef inline int sample_span(
    Sampler* sampler, Attributes* attributes, Raw* raws, Arena* arena, uint64_t* tally
) except -1 nogil:
    """1 where the span is kept; its tracestate is in the raw field then, whose `number` says that it is new."""
    cdef TraceState state
    cdef Sampled sampled
    cdef int priority
    cdef Raw* raw = &raws[sampler.span_state]
    cdef bint kept
    cdef Text written
    read_span(&sampled, sampler, &state, raws)
    if sampler.mode == HASH_SEED and sampled.writes:
        state.has_randomness = True
        state.randomness = sampled.randomness
        write_digits(arena, sampled.randomness, &state.randomness_text)
    conclude_threshold(&sampled, sampler, &state.has_threshold, state.threshold)
    tally[1] += sampled.failed
    priority = span_priority(attributes, sampler.span_priority)
    if priority >= 0:
        sampled.policy = SAMPLING_PRIORITY
        sampled.threshold = 0 if priority else NEVER
    kept = sampled.randomness >= sampled.threshold
    tally[FIRST_POLICY + 2 * sampled.policy + kept] += 1
    if kept and sampled.writes:
        if not state.has_threshold or state.threshold <= sampled.threshold:
            state.has_threshold = True
            write_threshold(arena, sampled.threshold, &state.threshold_text)
        write_state(arena, &state, &written)
        if not same(written, raw.text):
            raw.text = written
            raw.number = 1
    return kept


# ---- log records

cdef inline int text_attribute(Attributes* attributes, Text key, Text* out) except -1 nogil:
    """The text of an attribute; empty where it is none."""
    cdef Py_ssize_t index = find(attributes, key, 0)
    cdef AnyValue value
    cdef Text any
    out[0] = Text(key.data, 0)
    if index < 0:
        return 0
    any = content(&attributes.list[index])
    read_any(any.data, any.size, &value)
    if value.kind == STRING:
        out[0] = Text(value.data, value.size)
    return 0


cdef inline int set_text_attribute(Attributes* attributes, Arena* arena, Text key, Text text) except -1 nogil:
    cdef uint8_t* place = arena_take(arena, text.size + 11)
    cdef uint8_t* out
    cdef Py_ssize_t index = find(attributes, key, 0)
    place[0] = STRING_TAG
    out = write_varint(place + 1, text.size)
    memcpy(out, text.data, text.size)
    if index < 0:
        return add(attributes, key, Text(place, out + text.size - place), Text(NULL, 0))
    set_value(attributes, index, Text(place, out + text.size - place), Text(NULL, 0))
    return 0


cdef inline int hash_attribute(
    Sampled* sampled, Sampler* sampler, Attributes* attributes, Arena* arena
) except -1 nogil:
    """Randomness from the bytes or the text of an attribute, where it has some."""
    cdef Py_ssize_t index = find(attributes, sampler.attribute, 0)
    cdef AnyValue value
    cdef Text any
    cdef Text text
    if index < 0:
        return 0
    any = content(&attributes.list[index])
    read_any(any.data, any.size, &value)
    text = Text(value.data, value.size)
    if value.kind != STRING and value.kind != BYTES:
        if value.kind == EMPTY:
            return 0
        text_of(sampler.text_of, arena, any, &text)
    if text.size:
        sampled.policy = ATTRIBUTE_HASH
        sampled.randomness = hashed_randomness(sampler.seed, text)
    return 0


cdef inline uint64_t log_priority(Sampler* sampler, Attributes* attributes, Text key) except? 1 nogil:
    """The threshold of the percentage that a record asks for; above NEVER where it asks for none."""
    cdef Py_ssize_t index = find(attributes, key, 0)
    cdef AnyValue value
    cdef Text any
    cdef double percentage = 0
    if index < 0:
        return NEVER + 1
    any = content(&attributes.list[index])
    read_any(any.data, any.size, &value)
    if value.kind == DOUBLE:
        memcpy(&percentage, &value.number, 8)
    elif value.kind == INT:
        percentage = <double><int64_t>value.number
    return threshold_of(percentage / 100.0, sampler.precision)


cdef inline int read_log(
    Sampled* sampled, Sampler* sampler, TraceState* state, Attributes* attributes, Raw* raws, Arena* arena
) except -1 nogil:
    cdef Text threshold
    cdef Text randomness
    cdef Text trace_id = raws[sampler.log_trace_id].text
    text_attribute(attributes, sampler.threshold_key, &threshold)
    text_attribute(attributes, sampler.randomness_key, &randomness)
    state.has_threshold = read_threshold(threshold, &state.threshold)
    state.has_randomness = read_randomness(randomness, &state.randomness)
    sampled.failed = (threshold.size and not state.has_threshold) or (randomness.size and not state.has_randomness)
    sampled.writes = not sampled.failed
    if sampler.mode == HASH_SEED and not sampler.from_trace_id:
        trace_id.size = 0
    find_randomness(sampled, sampler, trace_id)
    if sampler.mode == NEVER_MODE:
        sampled.policy = SAMPLING_PRIORITY
        sampled.randomness = ALL_RANDOM
    elif sampler.mode == HASH_SEED:
        if sampled.policy == MISSING_RANDOMNESS and sampler.attribute.data != NULL:
            hash_attribute(sampled, sampler, attributes, arena)
        if sampled.writes and (state.has_randomness or state.has_threshold):
            sampled.failed = True  # another kind of sampling is at work
            sampled.writes = False
    elif sampled.failed:
        sampled.policy = MISSING_RANDOMNESS
        sampled.randomness = ALL_RANDOM
    elif state.has_randomness:
        sampled.policy = SAMPLING_RANDOMNESS
        sampled.randomness = state.randomness
    return 0


cdef inline int sample_log(
    Sampler* sampler, Attributes* attributes, Raw* raws, Arena* arena, uint64_t* tally
) except -1 nogil:
    """1 where the record is kept; what is written is in its attributes."""
    cdef TraceState state
    cdef Sampled sampled
    cdef uint64_t priority
    cdef bint had_threshold
    cdef bint hashed
    cdef bint kept
    cdef Text text
    read_log(&sampled, sampler, &state, attributes, raws, arena)
    hashed = sampler.mode == HASH_SEED and sampled.writes and sampled.policy != MISSING_RANDOMNESS
    had_threshold = state.has_threshold
    conclude_threshold(&sampled, sampler, &state.has_threshold, state.threshold)
    tally[1] += sampled.failed
    if sampler.priority.data != NULL:
        priority = log_priority(sampler, attributes, sampler.priority)
        if priority <= NEVER:
            sampled.policy = SAMPLING_PRIORITY
            sampled.threshold = priority
    kept = sampled.randomness >= sampled.threshold
    tally[FIRST_POLICY + 2 * sampled.policy + kept] += 1
    if not kept or not sampled.writes:
        return kept
    if hashed:
        write_digits(arena, sampled.randomness, &text)
        set_text_attribute(attributes, arena, sampler.randomness_key, text)
    if had_threshold and not state.has_threshold:
        remove_all(attributes, sampler.threshold_key, 0)
    if not state.has_threshold or state.threshold <= sampled.threshold:
        write_threshold(arena, sampled.threshold, &text)
        set_text_attribute(attributes, arena, sampler.threshold_key, text)
    return kept
