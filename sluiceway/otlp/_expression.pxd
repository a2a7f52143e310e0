"""Conditions as a program: checks that lead to one another by where they jump when they hold, do not hold, or fail."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from sluiceway.otlp._anyvalue cimport (
    ARRAY, BOOL, BYTES, DOUBLE, EMPTY, INT, KVLIST, STRING, AnyValue, malformed, read_any,
)
from sluiceway.otlp._arena cimport Arena, arena_take
from sluiceway.otlp._attributes cimport Attribute, Text, content, read_odd, same
from sluiceway.otlp._containers cimport is_data
from sluiceway.otlp._facts cimport AT_HAND, BROKEN, ID, MISSING, Expression, Jump, Known, learn, text_of
from sluiceway.otlp._memo cimport Answer, hash_bytes, recall
from sluiceway.otlp._proto cimport bytes_at, read_length, read_tag, skip_value, write_varint
from sluiceway.otlp._scrub cimport use_up
from sluiceway.otlp._table cimport table_get

cdef enum:  # nanoseconds, roughly
    CHECKING = 15
    RECALLING = 40
    ASKING = 1000
    ASKING_BYTE = 20  # of a pattern that is hard to look for


cdef inline int64_t cost_of(bint asked, size_t size) noexcept nogil:
    """The nanoseconds that an answer for a value of so many bytes has cost."""
    return ASKING + ASKING_BYTE * <int64_t>size if asked else RECALLING

cdef enum Check:
    EQUAL = 0
    UNEQUAL = 1
    LESS = 2
    LESS_OR_EQUAL = 3
    GREATER = 4
    GREATER_OR_EQUAL = 5
    AMONG = 6  # a set of texts or integers, each with where to go on
    ANY_AMONG = 7  # whichever attributes are there, each with where to go on
    FOUND = 8  # the text holds another
    PREFIX = 9  # the text begins so
    SUFFIX = 10
    WHOLE_TEXT = 11  # the text is this
    PATTERN = 12
    STARTS = 13  # as PREFIX and SUFFIX, but what is no text fails
    ENDS = 14
    KIND = 15
    POINT = 16
    SAME_AS = 17  # a list or map, compared by Python

cdef enum Verdict:  # where a jump leads that leads nowhere further
    HOLDS = -2
    FAILS = -3  # it does not hold
    REFUSES = -4


cdef inline double as_double(AnyValue* value) noexcept nogil:
    cdef double result
    if value.kind == INT:
        return <double><int64_t>value.number
    memcpy(&result, &value.number, 8)
    return result


cdef inline int order_texts(AnyValue* left, AnyValue* right) noexcept nogil:
    cdef int order = memcmp(left.data, right.data, min(left.size, right.size))
    if order:
        return order
    return (left.size > right.size) - (left.size < right.size)


cdef inline bint by_order(int check, int order) noexcept nogil:
    if check == EQUAL:
        return order == 0
    if check == UNEQUAL:
        return order != 0
    if check == LESS:
        return order < 0
    if check == LESS_OR_EQUAL:
        return order <= 0
    if check == GREATER:
        return order > 0
    return order >= 0


cdef inline bint compare_numbers(int check, AnyValue* left, AnyValue* right) noexcept nogil:
    cdef double a
    cdef double b
    if left.kind == INT and right.kind == INT:
        return by_order(
            check,
            (<int64_t>left.number > <int64_t>right.number) - (<int64_t>left.number < <int64_t>right.number),
        )
    a = as_double(left)
    b = as_double(right)
    if a != a or b != b:  # not a number: unequal to all
        return check == UNEQUAL
    return by_order(check, (a > b) - (a < b))


cdef inline bint is_number(AnyValue* value) noexcept nogil:
    return value.kind == INT or value.kind == DOUBLE


cdef inline bint compare(int check, AnyValue* left, AnyValue* right) noexcept nogil:
    """OTTL's comparison: what is of different kinds is unequal, and in no order."""
    if is_number(left) and is_number(right):
        return compare_numbers(check, left, right)
    if left.kind != right.kind:
        return check == UNEQUAL
    if left.kind == EMPTY:
        return by_order(check, 0)
    if left.kind == BOOL:
        return by_order(check, <int>left.number - <int>right.number)
    if left.kind == STRING or left.kind == BYTES:
        return by_order(check, order_texts(left, right))
    if left.kind == ID and check <= UNEQUAL:
        return by_order(check, order_texts(left, right))
    return check == UNEQUAL


cdef inline int ask_about(PyObject* ask, Text left, Text right) except -1 with gil:
    """Ask Python about two values of rare kinds."""
    return bool((<object>ask)(
        PyBytes_FromStringAndSize(<const char*>left.data, left.size),
        PyBytes_FromStringAndSize(<const char*>right.data, right.size),
    ))


cdef inline bint is_nested(Known* known) noexcept nogil:
    return known.state == AT_HAND and (known.value.kind == ARRAY or known.value.kind == KVLIST)


cdef inline int check_order(Expression* expression, Jump* jump, Known* known, Arena* arena) except -1 nogil:
    cdef Known* other
    if jump.other < 0:
        return compare(jump.check, &known.value, &jump.wanted)
    other = learn(expression, jump.other, arena)
    if other.state == BROKEN:
        return 2
    if is_nested(known) and is_nested(other) and jump.check <= UNEQUAL:
        return ask_about(jump.ask, known.content, other.content) == (jump.check == EQUAL)
    return compare(jump.check, &known.value, &other.value)


cdef inline int32_t among(Jump* jump, Known* known) noexcept nogil:
    """Where a set leads for a value, or -1."""
    cdef double real
    cdef uint64_t number
    if known.value.kind == STRING:
        if jump.texts.count == 0:
            return -1
        return table_get(
            &jump.texts, hash_bytes(known.value.data, known.value.size), Text(known.value.data, known.value.size)
        )
    if jump.integers.count == 0 or not is_number(&known.value):
        return -1
    number = known.value.number
    if known.value.kind == DOUBLE:
        real = as_double(&known.value)
        if not -9007199254740992.0 <= real <= 9007199254740992.0 or real != <double><int64_t>real:
            return -1
        number = <uint64_t><int64_t>real
    return table_get(&jump.integers, hash_bytes(<bytes_at>&number, 8), Text(<bytes_at>&number, 8))


cdef inline bint holds_text(Text text, Text wanted) noexcept nogil:
    cdef size_t place
    if wanted.size > text.size:
        return False
    if wanted.size == 0:
        return True
    for place in range(text.size - wanted.size + 1):
        if text.data[place] == wanted.data[0] and memcmp(text.data + place, wanted.data, wanted.size) == 0:
            return True
    return False


cdef inline bint has_text(int check, Text text, Text wanted) noexcept nogil:
    if wanted.size > text.size:
        return False
    if check == WHOLE_TEXT:
        return same(text, wanted)
    if check == PREFIX or check == STARTS:
        return memcmp(text.data, wanted.data, wanted.size) == 0
    if check == SUFFIX or check == ENDS:
        return memcmp(text.data + text.size - wanted.size, wanted.data, wanted.size) == 0
    return holds_text(text, wanted)


cdef inline int content_of(Known* known, Arena* arena, Text* out) except -1 nogil:
    """The AnyValue of a value, written where it comes from a field that is none."""
    cdef uint8_t* place
    if known.content.data != NULL:
        out[0] = known.content
        return 0
    place = arena_take(arena, 16 + known.value.size)
    if known.value.kind == INT or known.value.kind == BOOL:
        place[0] = 0x18 if known.value.kind == INT else 0x10
        out[0] = Text(place, write_varint(place + 1, known.value.number) - place)
        return 0
    if known.value.kind == DOUBLE:
        place[0] = 0x21
        memcpy(place + 1, &known.value.number, 8)
        out[0] = Text(place, 9)
        return 0
    place[0] = 0x3A
    out[0].data = place
    out[0].size = write_varint(place + 1, known.value.size) - place + known.value.size
    memcpy(place + out.size - known.value.size, known.value.data, known.value.size)
    return 0


cdef inline int check_text(Expression* expression, Jump* jump, Known* known, Arena* arena) except -1 nogil:
    cdef Text text = Text(known.value.data, known.value.size)
    cdef Text any
    cdef Answer answer
    if known.state == MISSING:
        return 0
    if known.value.kind != STRING:
        content_of(known, arena, &any)
        text_of(jump.ask, arena, any, &text)
    if jump.check != PATTERN:
        return has_text(jump.check, text, jump.text)
    use_up(expression.patience, cost_of(recall(jump.memo, arena, text.data, text.size, &answer), text.size))
    return answer.size >= 0


cdef inline bint has_kind(Jump* jump, Known* known) noexcept nogil:
    cdef int kind = BYTES if known.value.kind == ID else known.value.kind
    return known.state == AT_HAND and (jump.kinds >> kind) & 1


cdef inline uint32_t attributes_of_points(uint32_t member) noexcept nogil:
    if member == 0x4A:
        return 0x4A
    return 0x0A if member == 0x52 else 0x3A


cdef inline int check_point(Jump* jump, Text point, uint32_t wanted, Arena* arena) except -1 nogil:
    """Whether a data point has the attribute with the text (1), with something else (0), or not at all (2)."""
    cdef bytes_at p = point.data
    cdef bytes_at end = p + point.size
    cdef uint32_t tag = 0
    cdef size_t size = 0
    cdef Attribute entry
    cdef AnyValue value
    cdef Text any
    while p < end:
        p = read_tag(p, end, &tag)
        if p == NULL:
            malformed()
        if tag != wanted:
            p = skip_value(p, end, tag, 4)
            if p == NULL:
                malformed()
            continue
        p = read_length(p, end, &size)
        if p == NULL:
            malformed()
        read_odd(&entry, arena, p, p + size)
        p += size
        if same(entry.key, jump.text):
            any = content(&entry)
            read_any(any.data, any.size, &value)
            if jump.wanted.kind == EMPTY:
                return 1
            if value.kind != STRING:
                value.size = 0
            return same(Text(value.data, value.size), Text(jump.wanted.data, jump.wanted.size))
    return 2


cdef inline int check_points(Jump* jump, Text metric, Arena* arena) except -1 nogil:
    """What the first data point says that has the attribute; a metric without data fails."""
    cdef bytes_at p = metric.data
    cdef bytes_at end = p + metric.size
    cdef bytes_at inner
    cdef uint32_t tag = 0
    cdef uint32_t member = 0
    cdef size_t size = 0
    cdef int verdict = 2
    while p < end:
        p = read_tag(p, end, &tag)
        if p == NULL:
            malformed()
        if not is_data(tag):
            p = skip_value(p, end, tag, 3)
            if p == NULL:
                malformed()
            continue
        if tag != member:
            member = tag
            verdict = 2
        p = read_length(p, end, &size)
        if p == NULL:
            malformed()
        inner = p
        p += size
        while inner < p and verdict == 2:
            inner = read_tag(inner, p, &tag)
            if inner == NULL:
                malformed()
            if tag != 0x0A:
                inner = skip_value(inner, p, tag, 4)
                if inner == NULL:
                    malformed()
                continue
            inner = read_length(inner, p, &size)
            if inner == NULL:
                malformed()
            verdict = check_point(jump, Text(inner, size), attributes_of_points(member), arena)
            inner += size
    if member == 0:
        return 2
    return verdict == 1


cdef inline int check_fact(Expression* expression, Jump* jump, Arena* arena) except -1 nogil:
    """1: it holds; 0: it does not; 2: it fails."""
    cdef int check = jump.check
    cdef Known* known
    if check == POINT:
        return check_points(jump, expression.metric, arena)
    known = learn(expression, jump.fact, arena)
    if known.state == BROKEN:
        return 2
    if check <= GREATER_OR_EQUAL:
        return check_order(expression, jump, known, arena)
    if check == KIND:
        return has_kind(jump, known)
    if check == SAME_AS:
        return is_nested(known) and ask_about(jump.ask, known.content, jump.text)
    if check == STARTS or check == ENDS:
        if known.state != AT_HAND or known.value.kind != STRING:
            return 2
        return has_text(check, Text(known.value.data, known.value.size), jump.text)
    return check_text(expression, jump, known, arena)


cdef inline int32_t any_among(Expression* expression, Jump* jump, Arena* arena) except? -9 nogil:
    """Go on wherever the attributes lead that are there, until something holds."""
    cdef int level = jump.fact
    cdef int32_t target
    cdef size_t index
    for index in range(expression.presents[level]):
        target = jump.targets[expression.present[level][index]]
        if target >= 0 and evaluate(expression, target, arena) == HOLDS:
            return jump.yes
    return jump.no


cdef inline int32_t evaluate(Expression* expression, int32_t at, Arena* arena) except? -9 nogil:
    """Follow the checks from one of them on: HOLDS, FAILS, or REFUSES where a strict rule failed."""
    cdef Jump* jump
    cdef int32_t target
    cdef int verdict
    while at >= 0:
        jump = &expression.jumps[at]
        use_up(expression.patience, CHECKING)
        if jump.check == AMONG:
            target = among(jump, learn(expression, jump.fact, arena))
            at = target if target != -1 else jump.no
            continue
        if jump.check == ANY_AMONG:
            at = any_among(expression, jump, arena)
            continue
        verdict = check_fact(expression, jump, arena)
        if verdict == 2:
            expression.failures += 1
            at = jump.failed
            if at == REFUSES:
                refuse(jump)
        else:
            at = jump.yes if verdict else jump.no
    return at


cdef inline int refuse(Jump* jump) except -1 with gil:
    (<object>jump.refusal)()
    return 0
