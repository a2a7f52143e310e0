"""Conditions as a program: checks that lead to one another by where they jump when they hold, do not hold, or fail.

What an expression asks about is taken down level by level, in the order of the program's steps, so that it sees what
the actions before it left. Every distinct fact is looked up once for each message that has it, and read when a check
first needs it.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from sluiceway.otlp._anyvalue cimport (
    ARRAY, ARRAY_TAG, BOOL, BYTES, DOUBLE, EMPTY, INT, KEY, KVLIST, KVLIST_TAG, STRING, VALUE, AnyValue, malformed,
    read_any,
)
from sluiceway.otlp._arena cimport Arena, arena_take
from sluiceway.otlp._attributes cimport (
    REMOVED, Attribute, Attributes, Text, content, find, mark_of, read_odd, same,
)
from sluiceway.otlp._containers cimport is_data
from sluiceway.otlp._fields cimport Raw
from sluiceway.otlp._memo cimport Answer, Memo, hash_bytes, recall
from sluiceway.otlp._proto cimport bytes_at, read_length, read_tag, skip_value, write_varint
from sluiceway.otlp._table cimport Table, table_get

cdef enum:
    DEPTHS = 5  # as many as there are levels
    ID = 32  # a kind of value beside those of AnyValue: a trace or span id

cdef enum Form:
    WHOLE = 0
    ZIGZAG = 1
    REAL = 2
    TRUTH = 3
    TEXT = 4
    TRACE_ID = 5
    SPAN_ID = 6
    TRACE_ID_HEX = 7
    SPAN_ID_HEX = 8
    ANY = 9
    ANY_TEXT = 10
    KIND_TEXT = 11
    KIND_NAME = 12
    METRIC_TYPE = 13
    POINT_INTEGER = 14
    POINT_REAL = 15
    MEMBER_WHOLE = 16
    MEMBER_TRUTH = 17

cdef enum Source:
    ATTRIBUTE = 0
    FIELD = 1
    NESTED = 2

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

cdef enum State:
    MISSING = 0
    AT_HAND = 1
    FOUND_CONTENT = 2  # an AnyValue that is still to be read
    FOUND_RAW = 3
    BROKEN = 4


cdef struct Fact:
    int level
    int source
    int form
    uint8_t raw  # of FIELD: its number
    Text key  # of ATTRIBUTE, and of NESTED by key
    int32_t base  # of NESTED
    int64_t index  # of NESTED by place; -1: by key
    PyObject* text_of  # Callable[[bytes], bytes]: the text of a value that is none


cdef struct Known:
    uint64_t stamp
    int state
    AnyValue value
    Text content  # the AnyValue, where there is one; NULL where there is none
    Raw raw


cdef struct Jump:
    int check
    int32_t fact
    int32_t other  # compared with this fact; -1: with `wanted`
    AnyValue wanted
    Text text
    uint32_t kinds
    Table texts
    Table integers
    int32_t* targets  # of ANY_AMONG, by fact
    Memo* memo
    PyObject* ask
    PyObject* refusal  # Callable[[], NoReturn]
    int32_t yes
    int32_t no
    int32_t failed


cdef struct Expression:
    Fact* facts
    Known* known
    size_t count
    int32_t* at[DEPTHS]  # the facts of each level that are no attributes, then the attributes
    size_t fields[DEPTHS]
    size_t attributes[DEPTHS]
    Table keys[DEPTHS]
    int32_t* present[DEPTHS]  # the attributes that were there, where there is a table
    size_t presents[DEPTHS]
    Jump* jumps
    size_t length
    int32_t start
    Text metric
    uint64_t stamp
    uint64_t stamps[DEPTHS]
    uint64_t failures


cdef inline Known* take_down(Expression* expression, int32_t index, uint64_t stamp, int state) noexcept nogil:
    cdef Known* known = &expression.known[index]
    known.stamp = stamp
    known.state = state
    return known


cdef inline void capture_attributes(Expression* expression, int level, Attributes* attributes) noexcept nogil:
    cdef uint64_t stamp = expression.stamps[level]
    cdef int32_t* wanted = expression.at[level] + expression.fields[level]
    cdef Table* keys = &expression.keys[level]
    cdef Attribute* attribute
    cdef Py_ssize_t place
    cdef size_t index
    cdef int32_t fact
    if keys.count == 0:
        for index in range(expression.attributes[level]):
            place = find(attributes, expression.facts[wanted[index]].key, 0)
            if place >= 0:
                take_down(expression, wanted[index], stamp, FOUND_CONTENT).content = content(&attributes.list[place])
        return
    expression.presents[level] = 0
    for index in range(attributes.count):
        attribute = &attributes.list[index]
        if attribute.state == REMOVED:
            continue
        fact = table_get(keys, attribute.mark, attribute.key)
        if fact >= 0 and expression.known[fact].stamp != stamp:
            take_down(expression, fact, stamp, FOUND_CONTENT).content = content(attribute)
            expression.present[level][expression.presents[level]] = fact
            expression.presents[level] += 1


cdef inline void capture(Expression* expression, int level, Attributes* attributes, Raw* raws, Text metric) noexcept nogil:
    """Take down what is known of the message at hand of one level."""
    cdef size_t index
    cdef int32_t fact
    expression.stamp += 1
    expression.stamps[level] = expression.stamp
    expression.metric = metric
    for index in range(expression.fields[level]):
        fact = expression.at[level][index]
        take_down(expression, fact, expression.stamp, FOUND_RAW).raw = raws[expression.facts[fact].raw]
    if expression.attributes[level]:
        capture_attributes(expression, level, attributes)


# ---- values

cdef inline int text_of(PyObject* ask, Arena* arena, Text value, Text* text) except -1 with gil:
    """Ask Python for the text of a value."""
    cdef bytes result = (<object>ask)(PyBytes_FromStringAndSize(<const char*>value.data, value.size))
    cdef uint8_t* place = arena_take(arena, len(result))
    memcpy(place, PyBytes_AS_STRING(result), len(result))
    text[0] = Text(place, len(result))
    return 0


cdef inline void set_text(AnyValue* value, bytes_at data, size_t size) noexcept nogil:
    value.kind = STRING
    value.data = data
    value.size = size


cdef inline int set_id(AnyValue* value, Arena* arena, Text id, size_t size, bint hex) except -1 nogil:
    """An id that is absent is one of zeros."""
    cdef uint8_t* place = arena_take(arena, 3 * size)
    cdef const char* digits = "0123456789abcdef"
    cdef size_t index
    cdef uint8_t byte
    for index in range(size):
        byte = id.data[index] if id.size == size else 0
        place[index] = byte
        place[size + 2 * index] = digits[byte >> 4]
        place[size + 2 * index + 1] = digits[byte & 15]
    value.kind = STRING if hex else ID
    value.data = place + size if hex else place
    value.size = 2 * size if hex else size
    return 0


cdef inline void set_kind(AnyValue* value, uint64_t kind, bint whole) noexcept nogil:
    """What a span's kind is called: `Server`, and with `whole` `SPAN_KIND_SERVER`."""
    cdef const char* names = "Unspecified\0Internal\0   Server\0     Client\0     Producer\0   Consumer\0   "
    cdef const char* full = (
        "SPAN_KIND_UNSPECIFIED\0SPAN_KIND_INTERNAL\0   SPAN_KIND_SERVER\0     "
        "SPAN_KIND_CLIENT\0     SPAN_KIND_PRODUCER\0   SPAN_KIND_CONSUMER\0   "
    )
    cdef const char* name = full + 22 * kind if whole else names + 12 * kind
    cdef size_t size = 0
    if kind > 5:
        set_text(value, <bytes_at>names, 0)
        return
    while name[size]:
        size += 1
    set_text(value, <bytes_at>name, size)


cdef inline int set_text_of(AnyValue* value, Fact* fact, Arena* arena, Text any) except -1 nogil:
    """The text of an AnyValue."""
    cdef Text text
    read_any(any.data, any.size, value)
    if value.kind == STRING:
        return 0
    text_of(fact.text_of, arena, any, &text)
    set_text(value, text.data, text.size)
    return 0


cdef inline uint64_t type_of_metric(uint32_t tag) noexcept nogil:
    if tag == 0x2A or tag == 0x3A:
        return 1 + (tag == 0x3A)
    if tag == 0x4A or tag == 0x52:
        return 3 + (tag == 0x52)
    return 5 if tag else 0


cdef inline int read_raw(Fact* fact, Known* known, Arena* arena) except -1 nogil:
    """Read a field as its form has it."""
    cdef AnyValue* value = &known.value
    cdef Raw* raw = &known.raw
    cdef int form = fact.form
    value.kind = INT
    value.number = raw.number
    if form == METRIC_TYPE:
        value.number = type_of_metric(raw.tag)
    elif not raw.applies:
        value.kind = EMPTY
    elif form == ZIGZAG:
        value.number = (raw.number >> 1) ^ (0 - (raw.number & 1))
    elif form == REAL:
        value.kind = DOUBLE
    elif form == TRUTH or form == MEMBER_TRUTH:
        value.kind = BOOL
        value.number = raw.number != 0
    elif form == TEXT:
        set_text(value, raw.text.data, raw.text.size)
    elif form == TRACE_ID or form == TRACE_ID_HEX:
        set_id(value, arena, raw.text, 16, form == TRACE_ID_HEX)
    elif form == SPAN_ID or form == SPAN_ID_HEX:
        set_id(value, arena, raw.text, 8, form == SPAN_ID_HEX)
    elif form == ANY:
        known.content = raw.text
        read_any(raw.text.data, raw.text.size, value)
    elif form == ANY_TEXT:
        set_text_of(value, fact, arena, raw.text)
    elif form == KIND_TEXT or form == KIND_NAME:
        set_kind(value, raw.number, form == KIND_NAME)
    elif form == POINT_REAL:
        value.kind = DOUBLE
        value.number = raw.number if raw.tag == 0x21 else 0
    elif form == POINT_INTEGER:
        value.number = raw.number if raw.tag == 0x31 else 0
    return 0


cdef inline int find_key(Text list, Text key, Arena* arena, Known* out) except -1 nogil:
    """Look for a key in the entries of a map; the first counts."""
    cdef bytes_at p = list.data
    cdef bytes_at end = p + list.size
    cdef uint32_t tag = 0
    cdef size_t size = 0
    cdef Attribute entry
    while p < end and out.state == MISSING:
        p = read_tag(p, end, &tag)
        if p == NULL:
            malformed()
        if tag == KEY:  # the field 1 of a KeyValueList
            p = read_length(p, end, &size)
            if p == NULL:
                malformed()
            read_odd(&entry, arena, p, p + size)
            if same(entry.key, key):
                out.state = FOUND_CONTENT
                out.content = content(&entry)
            p += size
        else:
            p = skip_value(p, end, tag, 6)
            if p == NULL:
                malformed()
    return 0


cdef inline int find_place(Text list, int64_t* left, Known* out) except -1 nogil:
    """Look for the element of a list that comes after `left` others."""
    cdef bytes_at p = list.data
    cdef bytes_at end = p + list.size
    cdef uint32_t tag = 0
    cdef size_t size = 0
    while p < end and out.state == MISSING:
        p = read_tag(p, end, &tag)
        if p == NULL:
            malformed()
        if tag == KEY:  # the field 1 of an ArrayValue
            p = read_length(p, end, &size)
            if p == NULL:
                malformed()
            if left[0] == 0:
                out.state = FOUND_CONTENT
                out.content = Text(p, size)
            left[0] -= 1
            p += size
        else:
            p = skip_value(p, end, tag, 6)
            if p == NULL:
                malformed()
    return 0


cdef inline int look_inside(Fact* fact, Text any, Arena* arena, Known* out) except -1 nogil:
    """Find a value in a map or list, which may come in pieces: protobuf joins those that follow one another."""
    cdef bytes_at p = any.data
    cdef bytes_at end = p + any.size
    cdef uint32_t tag = 0
    cdef uint32_t member = 0
    cdef size_t size = 0
    cdef int64_t left = fact.index
    while p < end:
        p = read_tag(p, end, &tag)
        if p == NULL:
            malformed()
        if tag >> 3 <= 8 and tag != member:
            member = tag
            left = fact.index
            out.state = MISSING
        if tag != ARRAY_TAG and tag != KVLIST_TAG:
            p = skip_value(p, end, tag, 5)
            if p == NULL:
                malformed()
            continue
        p = read_length(p, end, &size)
        if p == NULL:
            malformed()
        if tag == KVLIST_TAG and fact.index < 0:
            find_key(Text(p, size), fact.key, arena, out)
        elif tag == ARRAY_TAG and fact.index >= 0:
            find_place(Text(p, size), &left, out)
        p += size
    return 0


cdef inline int learn_nested(Expression* expression, int32_t index, Arena* arena) except -1 nogil:
    """Find a nested value; one that is indexed though it is no map or list, or beyond its end, fails."""
    cdef Fact* fact = &expression.facts[index]
    cdef Known* known = &expression.known[index]
    cdef Known* base = learn(expression, fact.base, arena)
    known.stamp = expression.stamps[fact.level]
    known.state = MISSING
    known.content.data = NULL
    if base.state == MISSING:
        return 0
    if base.state == BROKEN or base.value.kind != (KVLIST if fact.index < 0 else ARRAY):
        known.state = BROKEN
        return 0
    look_inside(fact, base.content, arena, known)
    if known.state == MISSING and fact.index >= 0:
        known.state = BROKEN
    return 0


cdef inline Known* learn(Expression* expression, int32_t index, Arena* arena) except NULL nogil:
    """What is known of a fact. Its state is AT_HAND, MISSING or BROKEN."""
    cdef Fact* fact = &expression.facts[index]
    cdef Known* known = &expression.known[index]
    if known.stamp != expression.stamps[fact.level]:
        if fact.source == NESTED:
            learn_nested(expression, index, arena)
        else:
            known.stamp = expression.stamps[fact.level]
            known.state = MISSING
            known.content.data = NULL
    if known.state == FOUND_CONTENT:
        read_any(known.content.data, known.content.size, &known.value)
        known.state = AT_HAND if known.value.kind != EMPTY else MISSING
    elif known.state == FOUND_RAW:
        known.content.data = NULL
        read_raw(fact, known, arena)
        known.state = AT_HAND if known.value.kind != EMPTY else MISSING
    if known.state != AT_HAND:
        known.value.kind = EMPTY
    return known


# ---- checks

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
    recall(jump.memo, arena, text.data, text.size, &answer)
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
