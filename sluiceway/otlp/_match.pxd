"""Which items an action touches: conditions on texts, numbers and attributes, compiled to plain structures.

What only Python can tell (RE2, the text of a map) is asked through a callable: remembered by value, or asked each time
where that concerns only values of rare kinds.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from libc.stdint cimport int32_t, uint32_t, uint64_t
from libc.string cimport memcpy

from sluiceway.otlp._anyvalue cimport BOOL, BYTES, DOUBLE, EMPTY, INT, STRING, AnyValue, read_any
from sluiceway.otlp._arena cimport Arena
from sluiceway.otlp._attributes cimport Attributes, Text, content, find, same
from sluiceway.otlp._memo cimport Answer, Memo, recall

cdef enum Mode:
    ANYTHING = 0
    ONE_OF = 1  # a text among several
    EQUAL = 2  # a value of the same kind
    ASKED = 3  # what Python says, remembered

cdef enum Fact:
    SERVICE = 0
    RESOURCE_ATTRIBUTE = 1
    LIBRARY = 2
    NAME = 3  # of a span
    KIND = 4
    BODY = 5
    SEVERITY_TEXT = 6
    SEVERITY = 7
    METRIC = 8
    ITEM_ATTRIBUTE = 9


cdef struct Test:
    int mode
    Text* texts
    size_t count
    AnyValue wanted
    Memo* memo
    PyObject* predicate  # Callable[[bytes], bytes | None]


cdef struct Condition:
    int fact
    Text key
    Text absent  # the value that an attribute which is not there counts as; NULL means no match
    Test* tests  # one suffices; a library has two for each: its name and its version
    size_t count
    uint32_t kinds  # a bit for each span kind that matches; 31 stands for all from there
    int32_t least
    bint undefined


cdef struct Match:
    Condition* conditions  # those on the resource first, then those on the scope, then those on the item
    size_t count
    size_t on_resource
    size_t on_scope
    bint resource_holds
    bint scope_holds
    bint holds


cdef struct Selection:
    Match included
    Match excluded
    bint includes
    bint excludes
    bint chosen


cdef struct Facts:
    # What is known of the item at hand. A text that is absent is empty; one that the signal has not is NULL.
    Text scope_name
    Text scope_version
    Text metric
    Text name
    Text body
    Text severity_text
    int32_t severity
    uint64_t kind
    bint is_span
    bint is_log


cdef inline int ask_now(PyObject* predicate, Text value) except -1 with gil:
    return (<object>predicate)(PyBytes_FromStringAndSize(<const char*>value.data, value.size)) is not None


cdef inline int test_text(Test* test, Arena* arena, Text text) except -1 nogil:
    cdef size_t index
    cdef Answer answer
    if test.mode == ANYTHING:
        return 1
    if test.mode == ASKED:
        recall(test.memo, arena, text.data, text.size, &answer)
        return answer.size >= 0
    for index in range(test.count):
        if same(test.texts[index], text):
            return 1
    return 0


cdef inline bint equal_numbers(AnyValue* left, AnyValue* right) noexcept nogil:
    cdef double a
    cdef double b
    if left.kind != DOUBLE:
        return left.number == right.number
    memcpy(&a, &left.number, 8)
    memcpy(&b, &right.number, 8)
    return a == b


cdef inline int test_value(Test* test, Arena* arena, Text value) except -1 nogil:
    cdef AnyValue found
    cdef Answer answer
    if test.mode == ANYTHING:
        return 1
    if test.mode == ASKED:
        recall(test.memo, arena, value.data, value.size, &answer)
        return answer.size >= 0
    read_any(value.data, value.size, &found)
    if test.mode == ONE_OF:
        if found.kind == STRING or found.kind == EMPTY:
            return test_text(test, arena, Text(found.data, found.size))
        return ask_now(test.predicate, value)
    if found.kind != test.wanted.kind:
        return 0
    if found.kind == STRING or found.kind == BYTES:
        return same(Text(found.data, found.size), Text(test.wanted.data, test.wanted.size))
    if found.kind == BOOL or found.kind == INT or found.kind == DOUBLE:
        return equal_numbers(&found, &test.wanted)
    return ask_now(test.predicate, value)


cdef inline int test_attribute(Condition* condition, Arena* arena, Attributes* attributes) except -1 nogil:
    cdef Py_ssize_t index = find(attributes, condition.key, 0)
    cdef Text value = condition.absent
    if index >= 0:
        value = content(&attributes.list[index])
    if value.data == NULL:
        return 0
    return test_value(condition.tests, arena, value)


cdef inline int test_library(Condition* condition, Arena* arena, Facts* facts) except -1 nogil:
    cdef size_t index
    for index in range(0, condition.count, 2):
        if test_text(&condition.tests[index], arena, facts.scope_name) and test_text(
            &condition.tests[index + 1], arena, facts.scope_version
        ):
            return 1
    return 0


cdef inline bint test_severity(Condition* condition, Facts* facts) noexcept nogil:
    if facts.severity == 0:
        return condition.undefined
    return condition.least >= 0 and facts.severity >= condition.least


cdef inline int test_condition(
    Condition* condition, Arena* arena, Facts* facts, Attributes* resource, Attributes* item
) except -1 nogil:
    cdef int fact = condition.fact
    if fact == ITEM_ATTRIBUTE:
        return test_attribute(condition, arena, item)
    if fact == RESOURCE_ATTRIBUTE or fact == SERVICE:
        return test_attribute(condition, arena, resource)
    if fact == LIBRARY:
        return test_library(condition, arena, facts)
    if fact == NAME:
        return facts.is_span and test_text(condition.tests, arena, facts.name)
    if fact == KIND:
        return facts.is_span and (condition.kinds >> min(facts.kind, <uint64_t>31)) & 1
    if fact == BODY:
        return facts.is_log and test_value(condition.tests, arena, facts.body)
    if fact == SEVERITY_TEXT:
        return facts.is_log and test_text(condition.tests, arena, facts.severity_text)
    if fact == SEVERITY:
        return facts.is_log and test_severity(condition, facts)
    return facts.metric.data != NULL and test_text(condition.tests, arena, facts.metric)


cdef inline int test_all(
    Match* match, size_t start, size_t stop, Arena* arena, Facts* facts, Attributes* resource, Attributes* item
) except -1 nogil:
    cdef size_t index
    for index in range(start, stop):
        if not test_condition(&match.conditions[index], arena, facts, resource, item):
            return 0
    return 1


cdef inline void conclude(Selection* selection) noexcept nogil:
    selection.chosen = (not selection.includes or selection.included.holds) and not (
        selection.excludes and selection.excluded.holds
    )


cdef inline bint may_choose(Selection* selection) noexcept nogil:
    """Whether any item of the scope at hand can be chosen, by what is known of the resource and the scope."""
    if selection.includes and not selection.included.scope_holds:
        return False
    return not (
        selection.excludes
        and selection.excluded.scope_holds
        and selection.excluded.count == selection.excluded.on_resource + selection.excluded.on_scope
    )
