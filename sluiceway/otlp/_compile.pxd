"""From the records of `steps` to the structures that the kernel runs: texts, memos, fields, expressions.

Everything lies in the arena of the program; the Python objects that it points into are kept alive by a list.
"""

from cpython.bytes cimport PyBytes_AS_STRING
from cpython.object cimport PyObject
from libc.stdint cimport int32_t, uint8_t

from sluiceway.otlp._anyvalue cimport read_any
from sluiceway.otlp._arena cimport Arena, arena_zeroed
from sluiceway.otlp._attributes cimport Text, mark_of
from sluiceway.otlp._expression cimport ANY_AMONG
from sluiceway.otlp._facts cimport ATTRIBUTE, DEPTHS, ID, NESTED, Expression, Fact, Jump, Known
from sluiceway.otlp._fields cimport EXPONENTIAL_HISTOGRAM, HISTOGRAM, LOG, METRIC, NUMBER, SUMMARY, Fields
from sluiceway.otlp._memo cimport Memo, hash_bytes
from sluiceway.otlp._proto cimport bytes_at
from sluiceway.otlp._table cimport Table, table_make, table_put

cdef enum:
    FEW = 4  # up to so many attributes are looked up one by one


cdef inline Text keep_text(list kept, bytes text):
    """The text's bytes, which the list keeps; NULL for None."""
    if text is None:
        return Text(NULL, 0)
    kept.append(text)
    return Text(<bytes_at>PyBytes_AS_STRING(text), len(text))


cdef inline Text* keep_texts(Arena* arena, list kept, texts) except NULL:
    cdef Text* place = <Text*>arena_zeroed(arena, (len(texts) + 1) * sizeof(Text))
    for index, text in enumerate(texts):
        place[<Py_ssize_t>index] = keep_text(kept, text)
    return place


cdef inline PyObject* keep_object(list kept, thing) noexcept:
    if thing is None:
        return NULL
    kept.append(thing)
    return <PyObject*>thing


cdef inline Memo* make_memo(Arena* arena, list kept, Memo** first, ask) except? NULL:
    """A memo for what Python answers, the first of all of the program's; NULL for None."""
    cdef Memo* memo
    if ask is None:
        return NULL
    memo = <Memo*>arena_zeroed(arena, sizeof(Memo))
    memo.ask = keep_object(kept, ask)
    memo.next = first[0]
    first[0] = memo
    return memo


cdef inline uint8_t want_field(Fields* fields, dict numbers, field) except 0:
    """Have a field read, in every message that has it; its number. Fields of the same places are one."""
    cdef int message
    cdef uint8_t number
    points = {NUMBER, HISTOGRAM, EXPONENTIAL_HISTOGRAM, SUMMARY}
    if field.places in numbers:
        return numbers[field.places]
    fields.field_count += 1
    number = fields.field_count
    numbers[field.places] = number
    for place in field.places:
        message = place.message
        fields.wish_count += 1
        fields.wishes[fields.wish_count].number = number
        fields.wishes[fields.wish_count].next = fields.first[message][<int>place.tag]
        fields.first[message][<int>place.tag] = fields.wish_count
        fields.listed[number].inner = place.inner
        fields.listed[number].joins = message == LOG and place.tag == 0x2A
    holders = {place.message for place in field.places}
    for message in points if holders <= points else holders:
        fields.wanted[message][fields.count[message]] = number
        # What lies in a metric's data is there when the data is, what only some points have when these are at hand.
        fields.applies[message][fields.count[message]] = message in holders and not (
            message == METRIC and field.places[0].inner
        )
        fields.count[message] += 1
    return number


cdef inline int make_fact(Fact* fact, Fields* fields, list kept, dict numbers, source) except -1:
    fact.level = source.level
    fact.source = source.source
    fact.key = keep_text(kept, source.key)
    fact.base = source.base
    fact.index = source.index
    fact.text_of = keep_object(kept, source.text)
    if source.field is not None:
        fact.form = source.field.form
        fact.raw = want_field(fields, numbers, source.field)
    return 0


cdef inline int make_table(Table* table, Arena* arena, list kept, pairs) except -1:
    cdef Text text
    table_make(table, arena, len(pairs))
    for value, target in pairs:
        text = keep_text(kept, value)
        table_put(table, hash_bytes(text.data, text.size), text, target)
    return 0


cdef inline int make_jump(Jump* jump, Arena* arena, list kept, Memo** memos, size_t facts, source) except -1:
    cdef Text wanted = keep_text(kept, source.wanted)
    cdef size_t index
    jump.check = source.check
    jump.fact = source.fact
    jump.other = source.other
    read_any(wanted.data, wanted.size, &jump.wanted)
    if source.id is not None:
        wanted = keep_text(kept, source.id)
        jump.wanted.kind = ID
        jump.wanted.data = wanted.data
        jump.wanted.size = wanted.size
    jump.text = keep_text(kept, source.text)
    jump.kinds = source.kinds
    make_table(&jump.texts, arena, kept, source.texts)
    make_table(&jump.integers, arena, kept, source.integers)
    jump.memo = make_memo(arena, kept, memos, source.pattern)
    jump.ask = keep_object(kept, source.ask)
    jump.refusal = keep_object(kept, source.refusal)
    jump.yes = source.yes
    jump.no = source.no
    jump.failed = source.failed
    if jump.check == ANY_AMONG:
        jump.targets = <int32_t*>arena_zeroed(arena, (facts + 1) * sizeof(int32_t))
        for index in range(facts):
            jump.targets[index] = -1
        for fact, target in source.targets:
            jump.targets[<Py_ssize_t>fact] = target
    return 0


cdef inline int sort_facts(Expression* expression, Arena* arena) except -1:
    """List the facts by level: fields first, then attributes, those with a table where they are many."""
    cdef size_t index
    cdef int level
    cdef Fact* fact
    cdef int32_t* place
    for level in range(DEPTHS):
        expression.at[level] = place = <int32_t*>arena_zeroed(arena, (expression.count + 1) * sizeof(int32_t))
        for index in range(expression.count):
            fact = &expression.facts[index]
            if fact.level == level and fact.source != ATTRIBUTE and fact.source != NESTED:
                place[expression.fields[level]] = <int32_t>index
                expression.fields[level] += 1
        for index in range(expression.count):
            fact = &expression.facts[index]
            if fact.level == level and fact.source == ATTRIBUTE:
                place[expression.fields[level] + expression.attributes[level]] = <int32_t>index
                expression.attributes[level] += 1
        if expression.attributes[level] > FEW:
            table_make(&expression.keys[level], arena, expression.attributes[level])
            for index in range(expression.attributes[level]):
                fact = &expression.facts[place[expression.fields[level] + index]]
                table_put(
                    &expression.keys[level], mark_of(fact.key), fact.key, place[expression.fields[level] + index]
                )
    return 0


cdef inline int make_expression(
    Expression* expression, Fields* fields, Arena* arena, list kept, Memo** memos, dict numbers, source
) except -1:
    expression.count = len(source.facts)
    expression.facts = <Fact*>arena_zeroed(arena, (expression.count + 1) * sizeof(Fact))
    for index, fact in enumerate(source.facts):
        make_fact(&expression.facts[<Py_ssize_t>index], fields, kept, numbers, fact)
    expression.length = len(source.jumps)
    expression.jumps = <Jump*>arena_zeroed(arena, (expression.length + 1) * sizeof(Jump))
    for index, jump in enumerate(source.jumps):
        make_jump(&expression.jumps[<Py_ssize_t>index], arena, kept, memos, expression.count, jump)
    expression.start = source.start
    return sort_facts(expression, arena)


cdef inline int begin_expression(Expression* expression, Arena* arena) except -1:
    """Give a run what it writes to."""
    cdef int level
    expression.known = <Known*>arena_zeroed(arena, (expression.count + 1) * sizeof(Known))
    for level in range(DEPTHS):
        expression.present[level] = <int32_t*>arena_zeroed(
            arena, (expression.attributes[level] + 1) * sizeof(int32_t)
        )
    return 0
