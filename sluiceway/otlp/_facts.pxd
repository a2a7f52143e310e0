"""What conditions ask about: attributes, fields and what is nested in them, looked up once for each message.

It is taken down level by level, in the order of the program's steps, so that it is what the actions before left. Each
fact is read when a check first needs it.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from sluiceway.otlp._anyvalue cimport (
    ARRAY, ARRAY_TAG, BOOL, DOUBLE, EMPTY, INT, KEY, KVLIST, KVLIST_TAG, STRING, AnyValue, malformed, read_any,
)
from sluiceway.otlp._arena cimport Arena, arena_take
from sluiceway.otlp._attributes cimport REMOVED, Attribute, Attributes, Text, content, find, read_odd, same
from sluiceway.otlp._fields cimport Raw
from sluiceway.otlp._memo cimport Memo
from sluiceway.otlp._proto cimport bytes_at, read_length, read_tag, skip_value
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
    int64_t* patience  # the run's


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


cdef inline void capture(
    Expression* expression, int level, Attributes* attributes, Raw* raws, Text metric
) noexcept nogil:
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
    cdef const char* name
    cdef size_t size = 0
    if kind > 5:
        set_text(value, <bytes_at>names, 0)
        return
    name = full + 22 * kind if whole else names + 12 * kind
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
