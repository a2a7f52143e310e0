# cython: boundscheck=False, wraparound=False, cdivision=True
"""The edit kernel: a compiled plan of attribute actions, carried out in one walk of a batch's bytes.

The walk gathers the attributes of each message that the plan is about, does the actions in their order on that list,
and notes what changed as splices; a second pass copies the source with the splices. What does not change is copied
as it is, and messages that no action is about are not entered.
"""

from cpython.bytes cimport PyBytes_AS_STRING
from cpython.object cimport PyObject
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from sluiceway.otlp._anyvalue cimport malformed, read_any
from sluiceway.otlp._arena cimport Arena, arena_free, arena_take, arena_zeroed
from sluiceway.otlp._attributes cimport (
    REMOVED, Attribute, Attributes, Text, attributes_begin, attributes_free, emit, gather, settle,
)
from sluiceway.otlp._containers cimport (
    EXPONENTIAL_HISTOGRAM, EXPONENTIAL_HISTOGRAM_ATTRIBUTES, FIRST, GAUGE, HISTOGRAM, HISTOGRAM_ATTRIBUTES,
    LOG_ATTRIBUTES, LOG_BODY, LOG_SEVERITY, LOG_SEVERITY_TEXT, LOGS, METRICS, NUMBER_ATTRIBUTES, SCOPE_ATTRIBUTES,
    SECOND, SPAN_ATTRIBUTES, SPAN_KIND, SPAN_NAME, SUM, SUMMARY, SUMMARY_ATTRIBUTES, TRACES,
)
from sluiceway.otlp._match cimport Condition, Fact, Facts, Match, Mode, Selection, Test
from sluiceway.otlp._memo cimport Memo, memo_free
from sluiceway.otlp._proto cimport WIRE_BYTES, bytes_at, read_length, read_tag, read_varint, skip_value, write_varint
from sluiceway.otlp._splice cimport Opened, close_message, open_message, splice, spliced, splices_free
from sluiceway.otlp._steps cimport (
    DECIDE, ITEM_LEVEL, LEVELS, RESOURCE_LEVEL, SCOPE_LEVEL, Order, Run, Slot, Step, take_steps, touches,
)

# ---- the walk

cdef inline bytes_at enter(bytes_at p, bytes_at end, size_t* size) except NULL nogil:
    p = read_length(p, end, size)
    if p == NULL:
        malformed()
    return p


cdef inline bytes_at tag_at(bytes_at p, bytes_at end, uint32_t* tag) except NULL nogil:
    p = read_tag(p, end, tag)
    if p == NULL:
        malformed()
    return p


cdef inline bytes_at skip(bytes_at p, bytes_at end, uint32_t tag, int depth) except NULL nogil:
    p = skip_value(p, end, tag, depth)
    if p == NULL:
        malformed()
    return p


cdef int join_body(Run* run, bytes_at p, size_t size) except -1 nogil:
    """Another occurrence of the body: protobuf merges them, as if they were parsed one after the other."""
    cdef Text body = run.facts.body
    cdef uint8_t* place = arena_take(&run.arena, body.size + size)
    memcpy(place, body.data, body.size)
    memcpy(place + body.size, p, size)
    run.facts.body = Text(place, body.size + size)
    return 0


cdef bytes_at read_text(Run* run, bytes_at p, bytes_at end, uint32_t tag) except NULL nogil:
    """A field of a span or log record that has a length and that conditions may ask about."""
    cdef Facts* facts = &run.facts
    cdef size_t size = 0
    p = enter(p, end, &size)
    if facts.is_span and tag == SPAN_NAME:
        facts.name = Text(p, size)
    elif facts.is_log and tag == LOG_BODY:
        join_body(run, p, size)
    elif facts.is_log and tag == LOG_SEVERITY_TEXT:
        facts.severity_text = Text(p, size)
    return p + size


cdef bytes_at read_fact(Run* run, bytes_at p, bytes_at end, uint32_t tag) except NULL nogil:
    """A field of a span or log record that conditions may ask about."""
    cdef Facts* facts = &run.facts
    cdef uint64_t number = 0
    if tag & 7 == WIRE_BYTES:
        return read_text(run, p, end, tag)
    if not (facts.is_span and tag == SPAN_KIND or facts.is_log and tag == LOG_SEVERITY):
        return skip(p, end, tag, 3)
    p = read_varint(p, end, &number)
    if p == NULL:
        malformed()
    if facts.is_span:
        facts.kind = number
    else:
        facts.severity = <int32_t>number
    return p


ctypedef int (*Visit)(Run*, bytes_at, bytes_at) except -1 nogil


cdef inline bytes_at visit_message(Run* run, bytes_at p, bytes_at end, Visit visit) except NULL nogil:
    """Visit the message whose length stands at `p`, and see to it that the length stays right."""
    cdef bytes_at prefix = p
    cdef size_t size = 0
    cdef Opened opened
    p = enter(p, end, &size)
    open_message(&run.splices, prefix, &opened)
    visit(run, p, p + size)
    close_message(&run.splices, &opened, p - prefix, size)
    return p + size


cdef inline int each_child(Run* run, bytes_at p, bytes_at end, uint32_t wanted, int depth, Visit visit) except -1 nogil:
    """Visit the messages that stand in the field `wanted`. `depth` is that of the message which holds them."""
    cdef uint32_t tag = 0
    while p < end:
        p = tag_at(p, end, &tag)
        if tag == wanted:
            p = visit_message(run, p, end, visit)
        else:
            p = skip(p, end, tag, depth)
    return 0


cdef int walk_item(Run* run, bytes_at p, bytes_at end) except -1 nogil:
    """A span, a log record or a data point."""
    cdef bytes_at start = p
    cdef bytes_at field
    cdef uint32_t tag = 0
    cdef size_t size = 0
    cdef bint asks = run.asks_item and run.signal != METRICS
    cdef uint8_t attribute_tag = run.attribute_tag
    attributes_begin(&run.item)
    if asks:
        run.facts.name = run.facts.body = run.facts.severity_text = Text(start, 0)
        run.facts.kind = run.facts.severity = 0
    while p < end:
        field = p
        p = tag_at(p, end, &tag)
        if tag == attribute_tag:
            p = enter(p, end, &size)
            gather(&run.item, &run.arena, field, p, size, 0)
            p += size
        elif asks:
            p = read_fact(run, p, end, tag)
        else:
            p = skip(p, end, tag, 3)
    take_steps(run, ITEM_LEVEL, &run.item, attribute_tag)
    if run.item.dirty:
        emit(&run.item, &run.splices, &run.arena, attribute_tag, 0, end, True)
    return 0


cdef inline uint8_t point_attribute_tag(uint32_t metric_tag) noexcept nogil:
    """The tag of the attributes of a data point, by the tag of the data it is in; 0 for a field that is no data."""
    if metric_tag == GAUGE or metric_tag == SUM:
        return NUMBER_ATTRIBUTES
    if metric_tag == HISTOGRAM:
        return HISTOGRAM_ATTRIBUTES
    if metric_tag == SUMMARY:
        return SUMMARY_ATTRIBUTES
    return EXPONENTIAL_HISTOGRAM_ATTRIBUTES if metric_tag == EXPONENTIAL_HISTOGRAM else 0


cdef int read_metric_name(Run* run, bytes_at p, bytes_at end) except -1 nogil:
    cdef uint32_t tag = 0
    cdef size_t size = 0
    run.facts.metric = Text(p, 0)
    while p < end:
        p = tag_at(p, end, &tag)
        if tag == FIRST:
            p = enter(p, end, &size)
            run.facts.metric = Text(p, size)
            p += size
        else:
            p = skip(p, end, tag, 3)
    return 0


cdef int walk_points(Run* run, bytes_at p, bytes_at end) except -1 nogil:
    return each_child(run, p, end, FIRST, 2, walk_item)


cdef int walk_metric(Run* run, bytes_at p, bytes_at end) except -1 nogil:
    cdef uint32_t tag = 0
    if run.asks_item:
        read_metric_name(run, p, end)
    while p < end:
        p = tag_at(p, end, &tag)
        run.attribute_tag = point_attribute_tag(tag)
        if run.attribute_tag:
            p = visit_message(run, p, end, walk_points)
        else:
            p = skip(p, end, tag, 3)
    return 0


cdef int gather_pieces(
    Run* run, Attributes* attributes, bytes_at p, bytes_at end, uint8_t attribute_tag, uint32_t* pieces
) except -1 nogil:
    """Gather the attributes of all occurrences of the field 1 (a resource or a scope), and what a scope is called."""
    cdef bytes_at field
    cdef bytes_at stop
    cdef uint32_t tag = 0
    cdef size_t size = 0
    attributes_begin(attributes)
    pieces[0] = 0
    while p < end:
        p = tag_at(p, end, &tag)
        if tag != FIRST:
            p = skip(p, end, tag, 1)
            continue
        p = enter(p, end, &size)
        stop = p + size
        while p < stop:
            field = p
            p = tag_at(p, stop, &tag)
            if tag & 7 != WIRE_BYTES:
                p = skip(p, stop, tag, 2)
                continue
            p = enter(p, stop, &size)
            if tag == attribute_tag:
                gather(attributes, &run.arena, field, p, size, pieces[0])
            elif tag == FIRST:
                run.facts.scope_name = Text(p, size)
            elif tag == SECOND:
                run.facts.scope_version = Text(p, size)
            p += size
        pieces[0] += 1
    return 0


cdef int create(Run* run, Attributes* attributes, bytes_at place, uint8_t attribute_tag) except -1 nogil:
    """Make the resource or scope, which was not there, for the attributes that were added."""
    cdef size_t index
    cdef size_t size = 0
    cdef Attribute* attribute
    cdef uint8_t* content
    cdef uint8_t* out
    for index in range(attributes.count):
        attribute = &attributes.list[index]
        if attribute.state != REMOVED:
            settle(&run.arena, attribute_tag, attribute)
            size += attribute.written.size
    if size == 0:
        return 0
    content = arena_take(&run.arena, size + 11)
    content[0] = FIRST
    out = write_varint(content + 1, size)
    for index in range(attributes.count):
        attribute = &attributes.list[index]
        if attribute.state != REMOVED:
            memcpy(out, attribute.written.data, attribute.written.size)
            out += attribute.written.size
    return splice(&run.splices, place, 0, content, out - content)


cdef int emit_pieces(
    Run* run, Attributes* attributes, bytes_at p, bytes_at end, uint8_t attribute_tag, uint32_t pieces
) except -1 nogil:
    """Report the changes of a resource or scope; what was added stands at the end of its last piece."""
    cdef bytes_at prefix
    cdef uint32_t tag = 0
    cdef uint32_t piece = 0
    cdef size_t size = 0
    cdef Opened opened
    if pieces == 0:
        return create(run, attributes, p, attribute_tag)
    while p < end:
        p = tag_at(p, end, &tag)
        if tag != FIRST:
            p = skip(p, end, tag, 1)
            continue
        prefix = p
        p = enter(p, end, &size)
        open_message(&run.splices, prefix, &opened)
        emit(attributes, &run.splices, &run.arena, attribute_tag, piece, p + size, piece == pieces - 1)
        close_message(&run.splices, &opened, p - prefix, size)
        p += size
        piece += 1
    return 0


cdef int walk_scope(Run* run, bytes_at p, bytes_at end) except -1 nogil:
    cdef uint32_t pieces = 0
    run.facts.scope_name = run.facts.scope_version = Text(p, 0)
    if run.orders[SCOPE_LEVEL].acts or run.asks_scope:
        gather_pieces(run, &run.scope, p, end, SCOPE_ATTRIBUTES, &pieces)
    take_steps(run, SCOPE_LEVEL, &run.scope, SCOPE_ATTRIBUTES)
    if run.scope.dirty:
        emit_pieces(run, &run.scope, p, end, SCOPE_ATTRIBUTES, pieces)
        run.scope.dirty = False
    if not touches(run, ITEM_LEVEL):
        return 0
    if run.signal == METRICS:
        return each_child(run, p, end, SECOND, 2, walk_metric)
    run.attribute_tag = SPAN_ATTRIBUTES if run.signal == TRACES else LOG_ATTRIBUTES
    return each_child(run, p, end, SECOND, 2, walk_item)


cdef void fill_slots(Run* run) noexcept nogil:
    """Give the steps the values of this batch, or of the resource entry at hand."""
    cdef size_t index
    cdef Step* step
    cdef Slot* slot
    cdef Order* order
    for index in range(LEVELS):
        run.orders[index].enabled = False
    for index in range(run.step_count):
        step = &run.steps[index]
        if step.operation == DECIDE:
            continue
        if step.slot >= 0:
            slot = &run.slots[step.slot]
            if slot.each or run.resource_index == 0:
                step.value = slot.values[run.resource_index if slot.each else 0]
                step.enabled = step.value.data != NULL
                memset(step.written, 0, sizeof(step.written))
        if step.enabled:
            run.orders[step.level].enabled = True


cdef int walk_resource(Run* run, bytes_at p, bytes_at end) except -1 nogil:
    cdef uint32_t pieces = 0
    fill_slots(run)
    if run.orders[RESOURCE_LEVEL].count:
        gather_pieces(run, &run.resource, p, end, FIRST, &pieces)
        take_steps(run, RESOURCE_LEVEL, &run.resource, FIRST)
        if run.resource.dirty:
            emit_pieces(run, &run.resource, p, end, FIRST, pieces)
    if run.orders[SCOPE_LEVEL].enabled or run.orders[ITEM_LEVEL].enabled:
        each_child(run, p, end, SECOND, 1, walk_scope)
    run.resource_index += 1
    return 0


cdef int walk(Run* run, bytes_at p, bytes_at end) except -1 nogil:
    return each_child(run, p, end, FIRST, 0, walk_resource)


cdef size_t count_resources(bytes_at p, bytes_at end) except? 0 nogil:
    cdef uint32_t tag = 0
    cdef size_t count = 0
    while p < end:
        p = tag_at(p, end, &tag)
        p = skip(p, end, tag, 0)
        count += tag == FIRST
    return count


# ---- the program

cdef class Program:
    """A plan as the kernel runs it. Threads may share it: its memos change under the GIL only, and nothing else does."""

    cdef Arena arena
    cdef Run made  # what each run begins with
    cdef Memo** memos
    cdef size_t memo_count
    cdef list kept
    cdef readonly bint asks
    cdef size_t slot_count

    def __cinit__(self, steps, selections, Py_ssize_t slots):
        self.kept = [steps, selections]
        self.slot_count = slots
        self.memos = <Memo**>arena_zeroed(&self.arena, 8 * self._count_questions(steps, selections) + 8)
        self._make_selections(selections)
        self._make_steps(steps)

    def __dealloc__(self):
        cdef size_t index
        for index in range(self.memo_count):
            memo_free(self.memos[index])
        arena_free(&self.arena)

    cdef size_t _count_questions(self, steps, selections) except? 0:
        cdef size_t count = 2 * len(steps)
        for selection in selections:
            for conditions in (selection.included, selection.excluded):
                for condition in conditions or ():
                    count += len(condition.tests)
        return count

    cdef Text _text(self, bytes text):
        """The text's bytes, which the program keeps; NULL for None."""
        if text is None:
            return Text(NULL, 0)
        self.kept.append(text)
        return Text(<bytes_at>PyBytes_AS_STRING(text), len(text))

    cdef Text* _texts(self, texts) except NULL:
        cdef Text* place = <Text*>arena_zeroed(&self.arena, (len(texts) + 1) * sizeof(Text))
        for index, text in enumerate(texts):
            place[<Py_ssize_t>index] = self._text(text)
        return place

    cdef Memo* _memo(self, ask) except? NULL:
        cdef Memo* memo
        if ask is None:
            return NULL
        memo = <Memo*>arena_zeroed(&self.arena, sizeof(Memo))
        memo.ask = <PyObject*>ask
        self.kept.append(ask)
        self.memos[self.memo_count] = memo
        self.memo_count += 1
        self.asks = True
        return memo

    cdef int _make_test(self, Test* test, source) except -1:
        cdef Text value = self._text(source.value)
        test.mode = source.mode
        test.texts = self._texts(source.texts)
        test.count = len(source.texts)
        if source.ask is not None:
            self.kept.append(source.ask)
            test.predicate = <PyObject*>source.ask
        if test.mode == Mode.ASKED:
            test.memo = self._memo(source.ask)
        return read_any(value.data, value.size, &test.wanted)

    cdef int _make_condition(self, Condition* condition, source) except -1:
        condition.fact = source.fact
        condition.key = self._text(source.key)
        condition.absent = self._text(source.absent)
        condition.kinds = source.kinds
        condition.least = source.least
        condition.undefined = source.undefined
        condition.count = len(source.tests)
        condition.tests = <Test*>arena_zeroed(&self.arena, (condition.count + 1) * sizeof(Test))
        for index, test in enumerate(source.tests):
            self._make_test(&condition.tests[<Py_ssize_t>index], test)
        return 0

    cdef int _make_match(self, Match* match, conditions) except -1:
        cdef int fact
        match.count = len(conditions)
        match.conditions = <Condition*>arena_zeroed(&self.arena, (match.count + 1) * sizeof(Condition))
        for index, source in enumerate(conditions):
            self._make_condition(&match.conditions[<Py_ssize_t>index], source)
            fact = source.fact
            match.on_resource += fact < Fact.LIBRARY
            match.on_scope += fact == Fact.LIBRARY
            self.made.asks_scope |= fact == Fact.LIBRARY
            self.made.asks_item |= fact > Fact.LIBRARY and fact != Fact.ITEM_ATTRIBUTE
        return 0

    cdef int _make_selections(self, selections) except -1:
        cdef Selection* selection
        self.made.selection_count = len(selections)
        selection = <Selection*>arena_zeroed(&self.arena, (len(selections) + 1) * sizeof(Selection))
        self.made.selections = selection
        for source in selections:
            if source.included is not None:
                selection.includes = True
                self._make_match(&selection.included, source.included)
            if source.excluded is not None:
                selection.excludes = True
                self._make_match(&selection.excluded, source.excluded)
            selection += 1
        return 0

    cdef int _make_step(self, Step* step, source) except -1:
        step.operation = source.operation
        step.level = source.level
        step.slot = source.slot
        step.selection = source.selection
        step.inserts = source.insert
        step.updates = source.update
        step.enabled = True
        step.key = self._text(source.key)
        step.source = self._text(source.source)
        step.value = self._text(source.value)
        step.names = self._memo(source.names)
        step.values = self._memo(source.values)
        if step.values != NULL:
            step.values.algorithm = source.algorithm
        step.groups = self._texts(source.groups)
        step.group_count = len(source.groups)
        return 0

    cdef int _make_steps(self, steps) except -1:
        cdef Order* order
        cdef int level
        self.made.step_count = len(steps)
        self.made.steps = <Step*>arena_zeroed(&self.arena, (len(steps) + 1) * sizeof(Step))
        for level in range(LEVELS):
            self.made.orders[level].steps = <uint32_t*>arena_zeroed(&self.arena, (len(steps) + 1) * sizeof(uint32_t))
        for index, source in enumerate(steps):
            self._make_step(&self.made.steps[<Py_ssize_t>index], source)
            for level in range(LEVELS):
                if source.operation == DECIDE or source.level == level:
                    order = &self.made.orders[level]
                    order.steps[order.count] = index
                    order.count += 1
                    order.acts |= source.operation != DECIDE
        return 0

    cdef int _take_slots(self, Run* run, list slots, bytes payload) except -1:
        cdef Slot* slot = <Slot*>arena_zeroed(&run.arena, (len(slots) + 1) * sizeof(Slot))
        cdef bytes_at start = <bytes_at>PyBytes_AS_STRING(payload)
        run.slots = slot
        for value in slots:
            slot.each = isinstance(value, list)
            values = value if slot.each else [value]
            slot.count = len(values)
            if slot.each and slot.count != count_resources(start, start + len(payload)):
                raise ValueError(f"a slot has {slot.count} values, which is not the number of the batch's resources")
            slot.values = <Text*>arena_zeroed(&run.arena, (slot.count + 1) * sizeof(Text))
            for index, item in enumerate(values):
                if item is not None:
                    slot.values[<Py_ssize_t>index] = Text(<bytes_at>PyBytes_AS_STRING(item), len(<bytes>item))
            slot += 1
        return 0

    cdef int _begin(self, Run* run, int signal, bytes payload, list slots) except -1:
        memcpy(run, &self.made, sizeof(Run))
        run.signal = signal
        run.facts.is_span = signal == TRACES
        run.facts.is_log = signal == LOGS
        run.steps = <Step*>arena_take(&run.arena, (run.step_count + 1) * sizeof(Step))
        memcpy(run.steps, self.made.steps, run.step_count * sizeof(Step))
        run.selections = <Selection*>arena_take(&run.arena, (run.selection_count + 1) * sizeof(Selection))
        memcpy(run.selections, self.made.selections, run.selection_count * sizeof(Selection))
        return self._take_slots(run, slots, payload)

    def run(self, int signal, bytes payload not None, list slots not None):
        """The payload after all steps; the same object where nothing changed. `slots` has an entry for each slot."""
        cdef Run run
        cdef bytes_at start = <bytes_at>PyBytes_AS_STRING(payload)
        cdef bytes_at end = start + len(payload)
        memset(&run, 0, sizeof(Run))
        try:
            self._begin(&run, signal, payload, slots)
            if self.asks:
                walk(&run, start, end)
            else:
                with nogil:
                    walk(&run, start, end)
            return spliced(&run.splices, payload)
        finally:
            attributes_free(&run.resource)
            attributes_free(&run.scope)
            attributes_free(&run.item)
            splices_free(&run.splices)
            arena_free(&run.arena)
