# cython: boundscheck=False, wraparound=False, cdivision=True
"""The edit kernel: a compiled plan of attribute actions, carried out in one walk of a batch's bytes.

The walk gathers the attributes of each message that the plan is about, does the actions in their order on that list,
and notes what changed as splices; a second pass copies the source with the splices. What does not change is copied
as it is, and messages that no action is about are not entered.
"""

from cpython.bytes cimport PyBytes_AS_STRING
from cpython.object cimport PyObject
from libc.stdint cimport INT64_MAX, SIZE_MAX, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from sluiceway.otlp._anyvalue cimport KEY, VALUE, malformed, read_any
from sluiceway.otlp._arena cimport Arena, arena_free, arena_take, arena_zeroed
from sluiceway.otlp._attributes cimport (
    REMOVED, Attribute, Attributes, Text, attributes_begin, attributes_free, emit, gather, mark_of, settle,
)
from sluiceway.otlp._compile cimport (
    begin_expression, keep_object, keep_text, keep_texts, make_expression, make_memo, want_field,
)
from sluiceway.otlp._containers cimport (
    ENTRY, EVENT_ATTRIBUTES, EXPONENTIAL_HISTOGRAM, EXPONENTIAL_HISTOGRAM_ATTRIBUTES, FIRST, GAUGE, HISTOGRAM,
    HISTOGRAM_ATTRIBUTES, LOG_ATTRIBUTES, LOGS, METADATA, METRICS, NUMBER_ATTRIBUTES, SCHEMA_URL, SCOPE,
    SCOPE_ATTRIBUTES, SECOND, SPAN_ATTRIBUTES, SPAN_EVENT,
    SUM, SUMMARY, SUMMARY_ATTRIBUTES, TRACE_STATE, TRACES, count, count_metric, is_data,
)
from sluiceway.otlp._facts cimport Expression
from sluiceway.otlp._fields cimport Fields, Message, Raw, fields_begin, read_fields, wish_for
from sluiceway.otlp._match cimport Condition, Fact, Facts, Match, Mode, Selection, Test
from sluiceway.otlp._memo cimport Memo, memos_free
from sluiceway.otlp._proto cimport RELEASE_ABOVE, WIRE_BYTES, bytes_at, read_length, read_tag, skip_value, write_varint
from sluiceway.otlp._sample cimport Sampler
from sluiceway.otlp._scrub cimport (
    IN_METADATA, IN_SCHEMA_URL, PLACES, Parts, Scrubber, Scrubbing, bits_within, child_message, emit_parts, gather_part,
    holds, parts_begin, parts_free, place_of, root_message, scrub_message, scrub_text,
)
from sluiceway.otlp._splice cimport (
    Opened, close_message, open_message, order_since, splice, spliced, splices_free, take_out, withdraw_message,
)
from sluiceway.otlp._steps cimport (
    CAPTURE, DECIDE, DROP, EVENT_LEVEL, ITEM_LEVEL, LEVELS, METRIC_LEVEL, RESOURCE_LEVEL, SAMPLE, SCOPE_LEVEL, SCRUB,
    TALLY, Left, Numbers, Order, Run, Slot, Step, take_steps, touches,
)
from sluiceway.otlp._table cimport table_get, table_make, table_put

from threading import RLock

from sluiceway.otlp.fields import FIELDS

cdef enum:
    STAYS = 0
    GONE = 1  # what a visit says of a message that is to be left out

cdef enum:
    HURRIED_WORK = 32768  # bytes that each scrubber may look at for long, in a run that others wait for
    HURRIED_NANOSECONDS = 4000000  # that everything else may take in it, by estimate

cdef size_t NOBODY = SIZE_MAX
cdef bytes SPAN_PRIORITY = b"sampling.priority"
cdef bytes LOG_THRESHOLD = b"sampling.threshold"
cdef bytes LOG_RANDOMNESS = b"sampling.randomness"

include "_edit_walk.pxi"

# ---- the program

cdef inline bint is_taken_at(int operation, int own, int level) noexcept nogil:
    """Whether a step has its place among those of a level."""
    if operation == SCRUB:
        return level == RESOURCE_LEVEL or level == SCOPE_LEVEL or level == ITEM_LEVEL
    return operation == DECIDE or own == level


def _meant_keys(steps, selections, expressions):
    """The keys of all attributes of items that a program asks about or edits; None where any may be meant."""
    keys = {fact.key for expression in expressions for fact in expression.facts if fact.level == ITEM_LEVEL}
    for selected in selections:
        conditions = (*(selected.included or ()), *(selected.excluded or ()))
        keys.update(condition.key for condition in conditions if condition.fact == Fact.ITEM_ATTRIBUTE)
    for step in steps:
        if step.scrubber is not None or (step.names is not None and step.level == ITEM_LEVEL):
            return None
        keys.update(key for key in (step.key, step.source, *step.groups) if key is not None)
        if step.sampler is not None:
            keys.update((SPAN_PRIORITY, LOG_THRESHOLD, LOG_RANDOMNESS, step.sampler.attribute, step.sampler.priority))
    return keys - {None}


cdef inline bint is_dropping(Step* step) noexcept nogil:
    return step.operation == DROP or step.operation == SAMPLE


cdef class Program:
    """A plan as the kernel runs it. Threads may share it: where it has memos one run waits for the other, and nothing else
    of it changes.
    """

    cdef Arena arena
    cdef Run made  # what each run begins with
    cdef Fields fields
    cdef dict numbers  # of fields, by their places
    cdef Memo* memos
    cdef list kept
    cdef readonly bint asks
    cdef object alone  # held by a run that asks
    cdef size_t slot_count
    cdef size_t tally_count

    def __cinit__(self, steps, selections, expressions, Py_ssize_t slots):
        self.kept = [steps, selections, expressions]
        self.numbers = {}
        self.slot_count = slots
        self.made.fields = &self.fields
        self.made.doom = NOBODY
        self._make_selections(selections)
        self._make_expressions(expressions)
        self._make_steps(steps)
        self._make_keys(_meant_keys(steps, selections, expressions))
        self.asks = self.memos != NULL
        self.alone = RLock()

    def __dealloc__(self):
        memos_free(self.memos)
        arena_free(&self.arena)

    cdef uint8_t _want(self, str name) except 0:
        return want_field(&self.fields, self.numbers, FIELDS[name])

    cdef int _make_test(self, Test* test, source) except -1:
        cdef Text value = keep_text(self.kept, source.value)
        test.mode = source.mode
        test.texts = keep_texts(&self.arena, self.kept, source.texts)
        test.count = len(source.texts)
        test.predicate = keep_object(self.kept, source.ask)
        if test.mode == Mode.ASKED:
            test.memo = make_memo(&self.arena, self.kept, &self.memos, source.ask)
        return read_any(value.data, value.size, &test.wanted)

    cdef int _make_condition(self, Condition* condition, source) except -1:
        condition.fact = source.fact
        condition.key = keep_text(self.kept, source.key)
        condition.absent = keep_text(self.kept, source.absent)
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
            self._ask_for(fact)
        return 0

    cdef int _ask_for(self, int fact) except -1:
        """Have the fields read that a selection asks about."""
        cdef Numbers* numbers = &self.made.numbers
        if fact == Fact.LIBRARY:
            self.made.asks_scope = True
            numbers.scope_name = self._want("scope.name")
            numbers.scope_version = self._want("scope.version")
        elif fact == Fact.NAME:
            numbers.span_name = self._want("span.name")
        elif fact == Fact.KIND:
            numbers.span_kind = self._want("span.kind")
        elif fact == Fact.BODY:
            numbers.log_body = self._want("log.body")
        elif fact == Fact.SEVERITY_TEXT:
            numbers.severity_text = self._want("log.severity_text")
        elif fact == Fact.SEVERITY:
            numbers.severity = self._want("log.severity_number")
        elif fact == Fact.METRIC:
            numbers.metric_name = self._want("metric.name")
        return 0

    cdef int _make_expressions(self, expressions) except -1:
        cdef Expression* expression
        self.made.expression_count = len(expressions)
        expression = <Expression*>arena_zeroed(&self.arena, (len(expressions) + 1) * sizeof(Expression))
        self.made.expressions = expression
        for source in expressions:
            make_expression(
                expression, &self.fields, &self.arena, self.kept, &self.memos, self.numbers, source
            )
            self.made.asks_scope |= any(fact.level == SCOPE_LEVEL for fact in source.facts)
            expression += 1
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
        step.key = keep_text(self.kept, source.key)
        step.source = keep_text(self.kept, source.source)
        step.value = keep_text(self.kept, source.value)
        step.names = make_memo(&self.arena, self.kept, &self.memos, source.names)
        step.values = make_memo(&self.arena, self.kept, &self.memos, source.values)
        if step.values != NULL:
            step.values.algorithm = source.algorithm
        step.groups = keep_texts(&self.arena, self.kept, source.groups)
        step.group_count = len(source.groups)
        step.expression = source.expression
        step.signal = source.signal
        if source.sampler is not None:
            self._make_sampler(step, source.sampler)
        if source.scrubber is not None:
            self._make_scrubbing(step, source.scrubber)
        self.tally_count += is_dropping(step)
        return 0

    cdef int _make_keys(self, keys) except -1:
        """Know which attributes of items the program may have to do with; None stands for any."""
        cdef Text text
        self.made.asks_names = keys is None
        table_make(&self.made.keys, &self.arena, len(keys or ()))
        for key in keys or ():
            text = keep_text(self.kept, key)
            table_put(&self.made.keys, mark_of(text), text, 0)
        return 0

    cdef int _make_sampler(self, Step* step, source) except -1:
        cdef Sampler* sampler = <Sampler*>arena_zeroed(&self.arena, sizeof(Sampler))
        step.sampler = sampler
        sampler.mode = source.mode
        sampler.threshold = source.threshold
        sampler.ratio = source.ratio
        sampler.precision = source.precision
        sampler.seed = source.seed
        sampler.fail_closed = source.fail_closed
        sampler.from_trace_id = source.from_trace_id
        sampler.attribute = keep_text(self.kept, source.attribute)
        sampler.priority = keep_text(self.kept, source.priority)
        sampler.span_priority = keep_text(self.kept, SPAN_PRIORITY)
        sampler.threshold_key = keep_text(self.kept, LOG_THRESHOLD)
        sampler.randomness_key = keep_text(self.kept, LOG_RANDOMNESS)
        sampler.text_of = keep_object(self.kept, source.text)
        sampler.span_trace_id = self._want("span.trace_id")
        sampler.span_state = self.made.numbers.trace_state = self._want("span.trace_state")
        sampler.log_trace_id = self._want("log.trace_id")
        return 0

    cdef int _make_scrubbing(self, Step* step, Scrubber scrubber) except -1:
        step.scrubber = keep_object(self.kept, scrubber)
        self.made.scrubbing_count += 1
        self.made.places |= scrubber.places
        self.made.numbers.span_kind = self._want("span.kind")
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
                if is_taken_at(source.operation, source.level, level):
                    order = &self.made.orders[level]
                    order.steps[order.count] = index
                    order.count += 1
                    order.acts |= source.operation != DECIDE and source.operation != CAPTURE
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

    cdef int _begin(self, Run* run, int signal, bytes payload, list slots, bint hurried) except -1:
        cdef size_t index
        memcpy(run, &self.made, sizeof(Run))
        run.signal = signal
        run.patience = HURRIED_NANOSECONDS if hurried else INT64_MAX
        run.scrubbing_count = 0
        run.facts.is_span = signal == TRACES
        run.facts.is_log = signal == LOGS
        run.steps = <Step*>arena_take(&run.arena, (run.step_count + 1) * sizeof(Step))
        memcpy(run.steps, self.made.steps, run.step_count * sizeof(Step))
        run.selections = <Selection*>arena_take(&run.arena, (run.selection_count + 1) * sizeof(Selection))
        memcpy(run.selections, self.made.selections, run.selection_count * sizeof(Selection))
        run.raws = <Raw*>arena_zeroed(&run.arena, (self.fields.field_count + 1) * sizeof(Raw))
        run.expressions = <Expression*>arena_take(&run.arena, (run.expression_count + 1) * sizeof(Expression))
        memcpy(run.expressions, self.made.expressions, run.expression_count * sizeof(Expression))
        for index in range(run.expression_count):
            begin_expression(&run.expressions[index], &run.arena)
            run.expressions[index].patience = &run.patience
        self._begin_steps(run)
        self._take_slots(run, slots, payload)
        return self._begin_scrubbing(run, HURRIED_WORK if hurried else SIZE_MAX)

    cdef int _begin_scrubbing(self, Run* run, size_t work) except -1:
        """Tell each scrubber that a run begins; `scrubbing_count` says how many know."""
        cdef size_t count = self.made.scrubbing_count
        cdef Scrubbing* scrubbing = <Scrubbing*>arena_zeroed(&run.arena, count * sizeof(Scrubbing) + 8)
        cdef size_t index
        run.messages.entry = child_message(root_message(run.signal), FIRST)
        run.messages.resource = child_message(run.messages.entry, FIRST)
        run.messages.scope_entry = child_message(run.messages.entry, SECOND)
        run.messages.scope = child_message(run.messages.scope_entry, FIRST)
        run.messages.child = child_message(run.messages.scope_entry, SECOND)
        run.scrubbings = scrubbing
        for index in range(run.step_count):
            if run.steps[index].operation != SCRUB:
                continue
            run.steps[index].scrubbing = scrubbing
            scrubbing.scrubber = run.steps[index].scrubber
            scrubbing.places = (<Scrubber>scrubbing.scrubber).places
            scrubbing.scene.arena = &run.arena
            scrubbing.scene.signal = run.signal
            scrubbing.scene.work = work
            run.scrubbing_count += 1
            (<Scrubber>scrubbing.scrubber).begin(&scrubbing.scene)
            scrubbing += 1
        return 0

    cdef int _end_scrubbing(self, Run* run, bint finished) except -1:
        cdef Scrubbing* scrubbing
        cdef size_t index
        for index in range(run.scrubbing_count):
            scrubbing = &run.scrubbings[index]
            attributes_free(&scrubbing.inner)
            splices_free(&scrubbing.values)
            splices_free(&scrubbing.messages)
            scrubbing.scene.finished = finished
            (<Scrubber>scrubbing.scrubber).end(&scrubbing.scene)
        return 0

    cdef int _begin_steps(self, Run* run) except -1:
        """Leave out the steps that are for other signals, give the others what they count in, find what drops where."""
        cdef uint64_t* tally = <uint64_t*>arena_zeroed(&run.arena, (self.tally_count + 1) * TALLY * sizeof(uint64_t))
        cdef Step* step
        cdef size_t index
        cdef int level
        for level in range(LEVELS):
            run.first_below[level] = NOBODY
        for index in range(run.step_count):
            step = &run.steps[index]
            step.enabled = step.signal < 0 or step.signal == run.signal
            if not is_dropping(step):
                continue
            step.tally = tally
            tally += TALLY
            if step.enabled:
                for level in range(step.level):
                    run.first_below[level] = min(run.first_below[level], index)
        return 0

    cdef list _tallies(self, Run* run):
        """What the steps counted that drop something, in their order."""
        cdef Step* step
        cdef size_t index
        cdef int place
        tallies = []
        if self.tally_count == 0:
            return tallies
        for index in range(run.step_count):
            step = &run.steps[index]
            if is_dropping(step):
                if step.expression >= 0:
                    step.tally[1] = run.expressions[step.expression].failures
                tallies.append(tuple([step.tally[place] for place in range(TALLY)]))
        return tallies

    cdef int _walk_asking(self, Run* run, bytes_at start, bytes_at end, bint hurried) except -1:
        if hurried and end - start <= RELEASE_ABOVE:
            return walk(run, start, end)  # taking the GIL for each question would cost more
        with nogil:
            return walk(run, start, end)

    def run(self, int signal, bytes payload not None, list slots not None, bint hurried=False):
        """The payload after all steps, the same object where nothing changed, and the tallies of those that drop.

        `slots` has an entry for each slot. Raises `LongWork` where the run is `hurried` and takes some milliseconds.
        """
        cdef Run run
        cdef int level
        cdef bint finished = False
        cdef bytes_at start = <bytes_at>PyBytes_AS_STRING(payload)
        cdef bytes_at end = start + len(payload)
        cdef bytes edited
        memset(&run, 0, sizeof(Run))
        try:
            self._begin(&run, signal, payload, slots, hurried)
            if self.asks:
                with self.alone:
                    self._walk_asking(&run, start, end, hurried)
            else:
                with nogil:
                    walk(&run, start, end)
            edited = spliced(&run.splices, payload)
            finished = True
            return edited, self._tallies(&run)
        finally:
            self._end_scrubbing(&run, finished)
            for level in range(LEVELS):
                parts_free(&run.parts[level])
            parts_free(&run.metric_parts)
            attributes_free(&run.metadata)
            attributes_free(&run.resource)
            attributes_free(&run.scope)
            attributes_free(&run.item)
            attributes_free(&run.event)
            splices_free(&run.splices)
            arena_free(&run.arena)
