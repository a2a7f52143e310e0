"""What the steps of a program do: actions on one list of attributes, and decisions about selections, in their order."""

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from sluiceway.otlp._anyvalue cimport STRING, AnyValue, read_any
from sluiceway.otlp._arena cimport Arena
from sluiceway.otlp._attributes cimport (
    REMOVED, Attribute, Attributes, Text, add, content, find, remove, remove_all, same, set_value, write_attribute,
)
from sluiceway.otlp._expression cimport HOLDS, cost_of, evaluate
from sluiceway.otlp._facts cimport Expression, capture
from sluiceway.otlp._fields cimport Fields, Raw
from sluiceway.otlp._match cimport Facts, Match, Selection, conclude, may_choose, test_all
from sluiceway.otlp._memo cimport Answer, Memo, recall
from sluiceway.otlp._proto cimport bytes_at, read_length
from sluiceway.otlp._scrub cimport (
    IN_ATTRIBUTES, IN_RESOURCE, IN_SCOPE, Parts, Scrubber, Scrubbing, scrub_message, use_up,
)
from sluiceway.otlp._sample cimport Sampler, sample_log, sample_span
from sluiceway.otlp._splice cimport Splices
from sluiceway.otlp._table cimport Table

cdef enum Operation:
    DECIDE = 0
    PUT = 1
    REMOVE = 2
    REWRITE = 3
    EXTRACT = 4
    CAPTURE = 5
    DROP = 6
    SAMPLE = 7
    SCRUB = 8

cdef enum:
    RESOURCE_LEVEL = 0
    SCOPE_LEVEL = 1
    METRIC_LEVEL = 2
    ITEM_LEVEL = 3
    EVENT_LEVEL = 4
    LEVELS = 5

cdef enum:
    TALLY = 16  # numbers that a step counts: first the items that it dropped, then what it says itself

cdef enum:  # nanoseconds that a step takes, roughly, whatever it does besides
    STEPPING = 20
    DECIDING = 300

cdef struct Step:
    int operation
    int level
    int slot
    int selection
    bint inserts
    bint updates
    bint enabled
    Text key  # NULL: only `names`
    Text source  # of a copy; else NULL
    Text value  # NULL: do nothing
    Text written[16]  # the whole field, by the number of the field
    Memo* names
    Memo* values
    Text* groups
    size_t group_count
    int expression
    int signal  # -1: any
    uint64_t* tally
    Sampler* sampler
    PyObject* scrubber
    Scrubbing* scrubbing  # what the scrubber does in this run


cdef struct Slot:
    Text* values
    size_t count
    bint each  # one value for each resource entry


cdef struct Order:
    # The steps of one level, by their place in the program.
    uint32_t* steps
    size_t count
    bint acts
    bint enabled


cdef struct Left:
    size_t kept
    size_t gone


cdef struct Numbers:
    # The numbers of fields; 0: nobody asks.
    uint8_t scope_name
    uint8_t scope_version
    uint8_t metric_name
    uint8_t span_name
    uint8_t span_kind
    uint8_t log_body
    uint8_t severity_text
    uint8_t severity
    uint8_t trace_state  # that samplers write


cdef struct Messages:
    # The numbers of the messages around the items, by the schema; `child` is the span, log record or metric.
    int entry
    int resource
    int scope_entry
    int scope
    int child
    int item  # of the items at hand


cdef struct Run:
    int signal
    Messages messages
    Step* steps
    size_t step_count
    Selection* selections
    size_t selection_count
    Order orders[LEVELS]
    bint asks_scope
    uint8_t attribute_tag  # of the items at hand
    bint asks_names  # whether any of their attributes may be meant, not only those in `keys`
    Table keys
    int message  # which message they are
    Expression* expressions
    size_t expression_count
    Fields* fields
    Raw* raws  # by their numbers; the first is of no field
    Numbers numbers  # of the fields that selections ask about
    Text metric  # the one at hand
    size_t doom  # the step that drops all of what is at hand; NOBODY: none does
    size_t first_below[LEVELS]  # the first step that drops something below a level
    Scrubbing* scrubbings
    size_t scrubbing_count
    uint32_t places  # those that any scrubber wants to be shown
    Slot* slots
    size_t resource_index
    Facts facts
    Attributes resource
    Attributes scope
    Attributes item
    Attributes event
    Attributes metadata  # of the metric at hand
    Parts parts[LEVELS]  # of the resource, scope and item at hand
    Parts metric_parts
    Left points  # of the metric at hand
    Splices splices
    int64_t patience  # nanoseconds that are left to the run, see `use_up`
    Arena arena


cdef inline int written_value(Run* run, Step* step, uint8_t tag, Text* written) except -1 nogil:
    """The whole field for a step's value, written once in a run."""
    cdef Text* place = &step.written[tag >> 3]
    if place.data == NULL:
        write_attribute(&run.arena, tag, step.key, step.value, place)
    written[0] = place[0]
    return 0


cdef inline int upsert(Attributes* attributes, Text key, Text value, Text written) except -1 nogil:
    cdef Py_ssize_t index = find(attributes, key, 0)
    if index < 0:
        return add(attributes, key, value, written)
    set_value(attributes, index, value, written)
    remove_all(attributes, key, index + 1)
    return 0


cdef inline int put(Run* run, Step* step, Attributes* attributes, uint8_t tag) except -1 nogil:
    cdef Py_ssize_t index = find(attributes, step.key, 0)
    cdef Py_ssize_t source
    cdef Text value = step.value
    cdef Text written = Text(NULL, 0)
    if not (step.updates if index >= 0 else step.inserts):
        return 0
    if step.source.data != NULL:
        source = find(attributes, step.source, 0)
        if source < 0:
            return 0
        value = content(&attributes.list[source])
    else:
        written_value(run, step, tag, &written)
    if index < 0:
        return add(attributes, step.key, value, written)
    set_value(attributes, index, value, written)
    remove_all(attributes, step.key, index + 1)
    return 0


cdef inline int is_named(Run* run, Step* step, Text key) except -1 nogil:
    cdef Answer answer
    use_up(&run.patience, cost_of(recall(step.names, &run.arena, key.data, key.size, &answer), key.size))
    return answer.size >= 0


cdef inline int remove_named(Run* run, Step* step, Attributes* attributes) except -1 nogil:
    cdef size_t index
    if step.key.data != NULL:
        remove_all(attributes, step.key, 0)
    if step.names != NULL:
        for index in range(attributes.count):
            if attributes.list[index].state != REMOVED and is_named(run, step, attributes.list[index].key):
                remove(attributes, index)
    return 0


cdef inline int rewrite_value(Run* run, Step* step, Attributes* attributes, Py_ssize_t index) except -1 nogil:
    cdef Text value = content(&attributes.list[index])
    cdef Answer answer
    use_up(&run.patience, cost_of(recall(step.values, &run.arena, value.data, value.size, &answer), value.size))
    if answer.size >= 0:
        set_value(attributes, index, Text(answer.data, answer.size), Text(NULL, 0))
    return 0


cdef inline bint is_called(Attribute* attribute, Text key) noexcept nogil:
    return key.data != NULL and same(attribute.key, key)


cdef inline int rewrite(Run* run, Step* step, Attributes* attributes) except -1 nogil:
    cdef Py_ssize_t index = -1
    if step.names == NULL:
        index = find(attributes, step.key, 0)
        while index >= 0:
            rewrite_value(run, step, attributes, index)
            index = find(attributes, step.key, index + 1)
        return 0
    for index in range(<Py_ssize_t>attributes.count):
        if attributes.list[index].state == REMOVED:
            continue
        if is_called(&attributes.list[index], step.key) or is_named(run, step, attributes.list[index].key):
            rewrite_value(run, step, attributes, index)
    return 0


cdef inline int extract(Run* run, Step* step, Attributes* attributes) except -1 nogil:
    cdef Py_ssize_t index = find(attributes, step.key, 0)
    cdef Text value
    cdef AnyValue found
    cdef Answer answer
    cdef bytes_at p
    cdef size_t size = 0
    cdef size_t group
    if index < 0:
        return 0
    value = content(&attributes.list[index])
    read_any(value.data, value.size, &found)
    if found.kind != STRING:
        return 0
    use_up(&run.patience, cost_of(recall(step.values, &run.arena, found.data, found.size, &answer), found.size))
    if answer.size < 0:
        return 0
    p = answer.data
    for group in range(step.group_count):
        p = read_length(p, answer.data + answer.size, &size)
        upsert(attributes, step.groups[group], Text(p, size), Text(NULL, 0))
        p += size
    return 0


cdef inline int act(Run* run, Step* step, Attributes* attributes, uint8_t tag) except -1 nogil:
    if step.operation == PUT:
        return put(run, step, attributes, tag)
    if step.operation == REMOVE:
        return remove_named(run, step, attributes)
    if step.operation == REWRITE:
        return rewrite(run, step, attributes)
    return extract(run, step, attributes)


cdef inline int decide_match(Run* run, Match* match, int level) except -1 nogil:
    cdef size_t scope_start = match.on_resource
    cdef size_t item_start = match.on_resource + match.on_scope
    if level == RESOURCE_LEVEL:
        match.resource_holds = test_all(
            match, 0, match.on_resource, &run.arena, &run.facts, &run.resource, &run.item
        )
        match.holds = match.resource_holds
    elif level == SCOPE_LEVEL:
        match.scope_holds = match.resource_holds and test_all(
            match, scope_start, item_start, &run.arena, &run.facts, &run.resource, &run.item
        )
        match.holds = match.scope_holds
    else:
        match.holds = match.scope_holds and test_all(
            match, item_start, match.count, &run.arena, &run.facts, &run.resource, &run.item
        )
    return 0


cdef inline int decide(Run* run, Selection* selection, int level) except -1 nogil:
    if selection.includes:
        decide_match(run, &selection.included, level)
    if selection.excludes:
        decide_match(run, &selection.excluded, level)
    conclude(selection)
    return 0


cdef inline bint is_dropped(Run* run, Step* step, int level) except -1 nogil:
    cdef Expression* expression
    if step.selection >= 0:
        return not run.selections[step.selection].chosen
    expression = &run.expressions[step.expression]
    return evaluate(expression, expression.start, &run.arena) == HOLDS


cdef inline bint is_sampled(Run* run, Step* step, Attributes* attributes) except -1 nogil:
    if run.facts.is_span:
        return sample_span(step.sampler, attributes, run.raws, &run.arena, step.tally)
    if run.facts.is_log:
        return sample_log(step.sampler, attributes, run.raws, &run.arena, step.tally)
    return 1


cdef inline int scrub(Run* run, Step* step, int level, Attributes* attributes) except -1 nogil:
    cdef int place = IN_ATTRIBUTES
    if level == RESOURCE_LEVEL:
        place = IN_RESOURCE
        (<Scrubber>step.scrubber).resource(&step.scrubbing.scene, attributes)
    elif level == SCOPE_LEVEL:
        place = IN_SCOPE
    step.scrubbing.scene.kind = run.facts.kind
    return scrub_message(step.scrubbing, place, attributes, &run.parts[level])


cdef inline int take_steps(Run* run, int level, Attributes* attributes, uint8_t tag) except -1 nogil:
    """Do what the program has for one level, in its order, as far as the message at hand is not dropped.

    What drops it is left in `doom`. Where something above is dropped by a later step, the steps before that still see
    what is below: they may drop some of it first, and it is theirs then.
    """
    cdef Order* order = &run.orders[level]
    cdef Step* step
    cdef size_t index
    use_up(&run.patience, STEPPING * <int64_t>order.count)
    for index in range(order.count):
        if order.steps[index] > run.doom:
            break
        step = &run.steps[order.steps[index]]
        if step.operation == DECIDE:
            use_up(&run.patience, DECIDING)
            decide(run, &run.selections[step.selection], level)
        elif not step.enabled:
            continue
        elif step.operation == CAPTURE:
            capture(&run.expressions[step.expression], level, attributes, run.raws, run.metric)
        elif step.operation == DROP:
            if is_dropped(run, step, level):
                run.doom = order.steps[index]
                break
        elif step.operation == SAMPLE:
            if not is_sampled(run, step, attributes):
                run.doom = order.steps[index]
                break
        elif step.operation == SCRUB:
            scrub(run, step, level, attributes)
        elif step.selection < 0 or run.selections[step.selection].chosen:
            act(run, step, attributes, tag)
    return 0


cdef inline bint touches(Run* run, int level) noexcept nogil:
    """Whether any action of a level can have an effect below the resource and scope at hand."""
    cdef Order* order = &run.orders[level]
    cdef Step* step
    cdef size_t index
    if not order.acts:
        return False
    for index in range(order.count):
        step = &run.steps[order.steps[index]]
        if step.operation == DECIDE or step.operation == CAPTURE or not step.enabled:
            continue
        if step.selection < 0 or step.operation == DROP or may_choose(&run.selections[step.selection]):
            return True
    return False
