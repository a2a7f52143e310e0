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


ctypedef int (*Visit)(Run*, bytes_at, bytes_at) except -1 nogil


cdef inline bytes_at visit_message(
    Run* run, bytes_at field, bytes_at p, bytes_at end, Visit visit, Left* left
) except NULL nogil:
    """Visit the message whose length stands at `p`; see to it that the length stays right, or that it goes."""
    cdef bytes_at prefix = p
    cdef size_t size = 0
    cdef Opened opened
    p = enter(p, end, &size)
    open_message(&run.splices, prefix, &opened)
    if visit(run, p, p + size) == GONE:
        withdraw_message(&run.splices, &opened, field, p + size - field)
        left.gone += 1
    else:
        close_message(&run.splices, &opened, p - prefix, size)
        left.kept += 1
    return p + size


cdef bytes_at scrub_url(Run* run, bytes_at p, bytes_at end) except NULL nogil:
    """Show the scrubbers the schema URL whose length stands at `p`."""
    cdef bytes_at prefix = p
    cdef size_t size = 0
    cdef size_t index
    cdef Text text
    cdef Opened opened
    p = enter(p, end, &size)
    text = Text(p, size)
    for index in range(run.scrubbing_count):
        scrub_text(&run.scrubbings[index], IN_SCHEMA_URL, &text)
    if text.data != p or text.size != size:
        open_message(&run.splices, prefix, &opened)
        splice(&run.splices, p, size, text.data, text.size)
        close_message(&run.splices, &opened, p - prefix, size)
    return p + size


cdef inline int each_child(Run* run, bytes_at p, bytes_at end, uint32_t wanted, int depth, Visit visit) except -1 nogil:
    """Visit the messages in the field `wanted`; GONE where some went and none is left.

    `depth` is that of the message which holds them.
    """
    cdef uint32_t tag = 0
    cdef bytes_at field
    cdef Left left = Left(0, 0)
    cdef bint urls = run.places >> IN_SCHEMA_URL & 1 and wanted == SECOND and run.doom == NOBODY
    while p < end:
        field = p
        p = tag_at(p, end, &tag)
        if tag == wanted:
            p = visit_message(run, field, p, end, visit, &left)
        elif urls and tag == SCHEMA_URL:
            p = scrub_url(run, p, end)
        else:
            p = skip(p, end, tag, depth)
    return GONE if left.gone and not left.kept else STAYS


cdef inline int is_counted(Run* run, int level, int64_t items) except -1 nogil:
    """Credit what is at hand to the step that drops it, unless steps before that are to look below first."""
    if run.doom == NOBODY or run.first_below[level] < run.doom:
        return 0
    if items < 0:
        malformed()
    run.steps[run.doom].tally[0] += <uint64_t>items
    return 1


# ---- items

cdef int walk_event(Run* run, bytes_at p, bytes_at end) except -1 nogil:
    cdef bytes_at start = p
    cdef bytes_at field
    cdef uint32_t tag = 0
    cdef size_t size = 0
    cdef uint8_t wish
    cdef size_t doom = run.doom
    attributes_begin(&run.event)
    fields_begin(run.fields, run.raws, Message.EVENT, start)
    while p < end:
        field = p
        p = tag_at(p, end, &tag)
        wish = wish_for(run.fields, Message.EVENT, tag)
        if tag == EVENT_ATTRIBUTES:
            p = enter(p, end, &size)
            gather(&run.event, &run.arena, field, p, size, 0)
            p += size
        elif wish:
            p = read_fields(run.fields, run.raws, &run.arena, wish, field, p, end, tag)
        else:
            p = skip(p, end, tag, 4)
    take_steps(run, EVENT_LEVEL, &run.event, EVENT_ATTRIBUTES)
    if run.doom == doom:
        return STAYS
    run.doom = doom
    return GONE


cdef inline void set_facts(Run* run) noexcept nogil:
    """Tell selections what was read of an item."""
    cdef Raw* raws = run.raws
    run.facts.name = raws[run.numbers.span_name].text
    run.facts.kind = raws[run.numbers.span_kind].number
    run.facts.body = raws[run.numbers.log_body].text
    run.facts.severity_text = raws[run.numbers.severity_text].text
    run.facts.severity = <int32_t>raws[run.numbers.severity].number


cdef int write_trace_state(Run* run, Raw* raw, bytes_at end) except -1 nogil:
    """Put what samplers made of a span's tracestate into its place, or at the end of the span."""
    cdef uint8_t* place = arena_take(&run.arena, raw.text.size + 11)
    cdef uint8_t* out
    place[0] = TRACE_STATE
    out = write_varint(place + 1, raw.text.size)
    memcpy(out, raw.text.data, raw.text.size)
    out += raw.text.size
    return splice(&run.splices, raw.field.data if raw.field.size else end, raw.field.size, place, out - place)


cdef inline bint is_meant(Run* run, bytes_at p, size_t size) noexcept nogil:
    """Whether the program has to do with an attribute, by the key of its KeyValue; also where that is of odd shape."""
    cdef bytes_at end = p + size
    cdef bytes_at value
    cdef Text key
    if run.asks_names or size < 4 or p[0] != KEY or p[1] >= 0x80 or <size_t>p[1] + 4 > size:
        return True
    key = Text(p + 2, p[1])
    value = key.data + key.size
    if value[0] != VALUE:
        return True
    value = read_length(value + 1, end, &size)
    if value == NULL or value + size != end:
        return True
    return table_get(&run.keys, mark_of(key), key) >= 0


cdef int walk_item(Run* run, bytes_at p, bytes_at end) except -1 nogil:
    """A span, a log record or a data point."""
    cdef bytes_at start = p
    cdef bytes_at field
    cdef uint32_t tag = 0
    cdef size_t size = 0
    cdef uint8_t attribute_tag = run.attribute_tag
    cdef int message = run.message
    cdef uint8_t wish
    cdef Raw* state
    cdef size_t doom = run.doom
    cdef bytes_at content
    cdef Parts* parts = &run.parts[ITEM_LEVEL]
    cdef const uint32_t* within = bits_within(run.messages.item)
    cdef size_t first = run.splices.count
    cdef bint unordered = run.splices.unordered
    attributes_begin(&run.item)
    parts_begin(parts)
    fields_begin(run.fields, run.raws, message, start)
    while p < end:
        field = p
        p = tag_at(p, end, &tag)
        wish = wish_for(run.fields, message, tag)
        if tag == attribute_tag:
            p = enter(p, end, &size)
            if is_meant(run, p, size):
                gather(&run.item, &run.arena, field, p, size, 0)
            p += size
            continue
        if holds(within, tag, run.places):
            content = enter(p, end, &size)
            gather_part(parts, run.messages.item, field, tag, Text(content, size), 0)
        if wish:
            p = read_fields(run.fields, run.raws, &run.arena, wish, field, p, end, tag)
        else:
            p = skip(p, end, tag, 3)
    set_facts(run)
    take_steps(run, ITEM_LEVEL, &run.item, attribute_tag)
    if run.doom != NOBODY:
        run.steps[run.doom].tally[0] += 1
        run.doom = doom
        return GONE
    state = &run.raws[run.numbers.trace_state]
    if state.number and state.field.size:
        write_trace_state(run, state, end)
    if run.item.dirty:
        emit(&run.item, &run.splices, &run.arena, attribute_tag, 0, end, True)
    if state.number and not state.field.size:
        write_trace_state(run, state, end)
    if parts.dirty:
        emit_parts(parts, &run.splices, &run.arena, 0)
    order_since(&run.splices, first, unordered)
    if run.signal == TRACES and run.orders[EVENT_LEVEL].enabled:
        each_child(run, start, end, SPAN_EVENT, 3, walk_event)
    return STAYS


# ---- metrics

cdef inline uint8_t point_attribute_tag(uint32_t metric_tag) noexcept nogil:
    """The tag of the attributes of a data point, by the tag of the data it is in; 0 for a field that is no data."""
    if metric_tag == GAUGE or metric_tag == SUM:
        return NUMBER_ATTRIBUTES
    if metric_tag == HISTOGRAM:
        return HISTOGRAM_ATTRIBUTES
    if metric_tag == SUMMARY:
        return SUMMARY_ATTRIBUTES
    return EXPONENTIAL_HISTOGRAM_ATTRIBUTES if metric_tag == EXPONENTIAL_HISTOGRAM else 0


cdef inline int message_of_points(uint32_t metric_tag) noexcept nogil:
    if metric_tag == HISTOGRAM:
        return Message.HISTOGRAM
    if metric_tag == EXPONENTIAL_HISTOGRAM:
        return Message.EXPONENTIAL_HISTOGRAM
    return Message.SUMMARY if metric_tag == SUMMARY else Message.NUMBER


cdef inline void forget_data(Run* run) noexcept nogil:
    """Other data takes the place of what was there: so do the fields that lie in it."""
    cdef Fields* fields = run.fields
    cdef size_t index
    cdef Raw* raw
    for index in range(fields.count[<int>Message.METRIC]):
        if not fields.applies[<int>Message.METRIC][index]:
            raw = &run.raws[fields.wanted[<int>Message.METRIC][index]]
            raw.number = 0
            raw.applies = False


cdef bytes_at read_metric(Run* run, bytes_at p, bytes_at end) except NULL nogil:
    """Read what is asked about a metric; the answer is where its data begins, that which counts."""
    cdef bytes_at live = end
    cdef bytes_at field
    cdef uint32_t tag = 0
    cdef uint32_t member = 0
    cdef uint8_t wish
    fields_begin(run.fields, run.raws, Message.METRIC, p)
    while p < end:
        field = p
        p = tag_at(p, end, &tag)
        if is_data(tag) and tag != member:
            member = tag
            live = field
            forget_data(run)
        wish = wish_for(run.fields, Message.METRIC, tag)
        if wish:
            p = read_fields(run.fields, run.raws, &run.arena, wish, field, p, end, tag)
        else:
            p = skip(p, end, tag, 3)
    run.facts.metric = run.raws[run.numbers.metric_name].text
    return live


cdef int walk_points(Run* run, bytes_at p, bytes_at end) except -1 nogil:
    """The points of one piece of a metric's data, which stays even when they go."""
    cdef uint32_t tag = 0
    cdef bytes_at field
    while p < end:
        field = p
        p = tag_at(p, end, &tag)
        if tag == FIRST:
            p = visit_message(run, field, p, end, walk_item, &run.points)
        else:
            p = skip(p, end, tag, 2)
    return STAYS


cdef int walk_data(Run* run, bytes_at p, bytes_at end) except -1 nogil:
    """The data of a metric from where it counts on; GONE where points went and none is left."""
    cdef uint32_t tag = 0
    cdef bytes_at field
    cdef Left pieces = Left(0, 0)
    run.points = Left(0, 0)
    while p < end:
        field = p
        p = tag_at(p, end, &tag)
        run.attribute_tag = point_attribute_tag(tag)
        if run.attribute_tag:
            run.message = message_of_points(tag)
            run.messages.item = child_message(child_message(run.messages.child, tag), FIRST)
            p = visit_message(run, field, p, end, walk_points, &pieces)
        else:
            p = skip(p, end, tag, 3)
    return GONE if run.points.gone and not run.points.kept else STAYS


cdef int gather_metric(Run* run, bytes_at p, bytes_at end) except -1 nogil:
    """Gather what a metric says of itself."""
    cdef const uint32_t* within = bits_within(run.messages.child)
    cdef bytes_at field
    cdef uint32_t tag = 0
    cdef size_t size = 0
    attributes_begin(&run.metadata)
    parts_begin(&run.metric_parts)
    while p < end:
        field = p
        p = tag_at(p, end, &tag)
        if not holds(within, tag, run.places) or place_of(run.messages.child, tag) == PLACES:
            p = skip(p, end, tag, 3)
            continue
        p = enter(p, end, &size)
        if tag == METADATA:
            gather(&run.metadata, &run.arena, field, p, size, 0)
        else:
            gather_part(&run.metric_parts, run.messages.child, field, tag, Text(p, size), 0)
        p += size
    return 0


cdef int scrub_metric(Run* run, bytes_at p, bytes_at end) except -1 nogil:
    cdef size_t index
    gather_metric(run, p, end)
    for index in range(run.scrubbing_count):
        scrub_message(&run.scrubbings[index], IN_METADATA, &run.metadata, &run.metric_parts)
    return 0


cdef int cut_dead_data(Run* run, bytes_at p, bytes_at live) except -1 nogil:
    """Leave out the data of a metric that other data took the place of: no scrubber is shown it."""
    cdef bytes_at field
    cdef uint32_t tag = 0
    while p < live:
        field = p
        p = skip(tag_at(p, live, &tag), live, tag, 3)
        if is_data(tag):
            take_out(&run.splices, field, p - field)
    return 0


cdef int emit_metric(Run* run, bytes_at p, bytes_at live, bytes_at end) except -1 nogil:
    """Report what changed of a metric itself: after its points, as what is added at its end stands behind them."""
    cut_dead_data(run, p, live)
    if run.metadata.dirty:
        emit(&run.metadata, &run.splices, &run.arena, METADATA, 0, end, True)
    if run.metric_parts.dirty:
        emit_parts(&run.metric_parts, &run.splices, &run.arena, 0)
    return 0


cdef int walk_metric(Run* run, bytes_at p, bytes_at end) except -1 nogil:
    cdef bytes_at live = read_metric(run, p, end)
    cdef size_t doom = run.doom
    cdef int left = STAYS
    cdef size_t first = run.splices.count
    cdef bint unordered = run.splices.unordered
    cdef bint scrubs
    run.metric = Text(p, end - p)
    take_steps(run, METRIC_LEVEL, &run.item, 0)
    scrubs = run.places and run.doom == NOBODY
    if scrubs:
        scrub_metric(run, p, end)
    if not is_counted(run, METRIC_LEVEL, count_metric(p, end) if run.doom != NOBODY else 0):
        if run.orders[ITEM_LEVEL].enabled:
            left = walk_data(run, live, end)
    if scrubs:
        emit_metric(run, p, live, end)
    order_since(&run.splices, first, unordered)
    if run.doom != NOBODY:
        left = GONE
    run.doom = doom
    return left


# ---- scopes and resources

cdef int gather_pieces(
    Run* run, int level, Attributes* attributes, int message, bytes_at p, bytes_at end, uint8_t attribute_tag,
    uint32_t* pieces,
) except -1 nogil:
    """Gather the attributes of all occurrences of the field 1 (a resource or a scope), and its fields."""
    cdef bytes_at field
    cdef bytes_at stop
    cdef uint32_t tag = 0
    cdef size_t size = 0
    cdef uint8_t wish
    cdef bytes_at content
    cdef Parts* parts = &run.parts[level]
    cdef int number = run.messages.resource if level == RESOURCE_LEVEL else run.messages.scope
    cdef const uint32_t* within = bits_within(number)
    attributes_begin(attributes)
    parts_begin(parts)
    fields_begin(run.fields, run.raws, message, p)
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
            wish = wish_for(run.fields, message, tag)
            if tag == attribute_tag:
                p = enter(p, stop, &size)
                gather(attributes, &run.arena, field, p, size, pieces[0])
                p += size
                continue
            if holds(within, tag, run.places):
                content = enter(p, stop, &size)
                gather_part(parts, number, field, tag, Text(content, size), pieces[0])
            if wish:
                p = read_fields(run.fields, run.raws, &run.arena, wish, field, p, stop, tag)
            else:
                p = skip(p, stop, tag, 2)
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
    Run* run, int level, Attributes* attributes, bytes_at p, bytes_at end, uint8_t attribute_tag, uint32_t pieces
) except -1 nogil:
    """Report the changes of a resource or scope; what was added stands at the end of its last piece."""
    cdef bytes_at prefix
    cdef uint32_t tag = 0
    cdef uint32_t piece = 0
    cdef size_t size = 0
    cdef size_t first = run.splices.count
    cdef bint unordered = run.splices.unordered
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
        emit_parts(&run.parts[level], &run.splices, &run.arena, piece)
        close_message(&run.splices, &opened, p - prefix, size)
        p += size
        piece += 1
    order_since(&run.splices, first, unordered)
    return 0


cdef int walk_children(Run* run, bytes_at p, bytes_at end) except -1 nogil:
    """The metrics, spans or log records of a scope."""
    if not (touches(run, METRIC_LEVEL) or touches(run, ITEM_LEVEL) or touches(run, EVENT_LEVEL)):
        return STAYS
    if run.signal == METRICS:
        return each_child(run, p, end, SECOND, 2, walk_metric)
    run.attribute_tag = SPAN_ATTRIBUTES if run.signal == TRACES else LOG_ATTRIBUTES
    run.message = Message.SPAN if run.signal == TRACES else Message.LOG
    run.messages.item = run.messages.child
    return each_child(run, p, end, SECOND, 2, walk_item)


cdef int walk_scope(Run* run, bytes_at p, bytes_at end) except -1 nogil:
    cdef uint32_t pieces = 0
    cdef size_t doom = run.doom
    cdef int left = STAYS
    if run.orders[SCOPE_LEVEL].acts or run.asks_scope:
        gather_pieces(run, SCOPE_LEVEL, &run.scope, Message.SCOPE, p, end, SCOPE_ATTRIBUTES, &pieces)
        run.facts.scope_name = run.raws[run.numbers.scope_name].text
        run.facts.scope_version = run.raws[run.numbers.scope_version].text
    take_steps(run, SCOPE_LEVEL, &run.scope, SCOPE_ATTRIBUTES)
    if run.scope.dirty or run.parts[SCOPE_LEVEL].dirty:
        emit_pieces(run, SCOPE_LEVEL, &run.scope, p, end, SCOPE_ATTRIBUTES, pieces)
        run.scope.dirty = False
    if not is_counted(run, SCOPE_LEVEL, count(SCOPE, p, end, run.signal == METRICS) if run.doom != NOBODY else 0):
        left = walk_children(run, p, end)
    if run.doom != NOBODY:
        left = GONE
    run.doom = doom
    return left


cdef void fill_slots(Run* run) noexcept nogil:
    """Give the steps the values of this batch, or of the resource entry at hand."""
    cdef size_t index
    cdef Step* step
    cdef Slot* slot
    cdef Order* order
    for index in range(LEVELS):
        run.orders[index].enabled = False
    if run.scrubbing_count:
        run.orders[RESOURCE_LEVEL].enabled = run.orders[SCOPE_LEVEL].enabled = run.orders[ITEM_LEVEL].enabled = True
    for index in range(run.step_count):
        step = &run.steps[index]
        if step.operation == DECIDE or step.operation == CAPTURE or step.operation == SCRUB:
            continue
        if step.slot >= 0:
            slot = &run.slots[step.slot]
            if slot.each or run.resource_index == 0:
                step.value = slot.values[run.resource_index if slot.each else 0]
                step.enabled = step.value.data != NULL
                memset(step.written, 0, sizeof(step.written))
        if step.enabled:
            run.orders[step.level].enabled = True


cdef inline bint goes_below_resources(Run* run) noexcept nogil:
    cdef int level
    for level in range(SCOPE_LEVEL, LEVELS):
        if run.orders[level].enabled:
            return True
    return False


cdef int walk_resource(Run* run, bytes_at p, bytes_at end) except -1 nogil:
    cdef uint32_t pieces = 0
    cdef int left = STAYS
    fill_slots(run)
    if run.orders[RESOURCE_LEVEL].count:
        gather_pieces(run, RESOURCE_LEVEL, &run.resource, Message.RESOURCE, p, end, FIRST, &pieces)
        take_steps(run, RESOURCE_LEVEL, &run.resource, FIRST)
        if run.resource.dirty or run.parts[RESOURCE_LEVEL].dirty:
            emit_pieces(run, RESOURCE_LEVEL, &run.resource, p, end, FIRST, pieces)
    if not is_counted(run, RESOURCE_LEVEL, count(ENTRY, p, end, run.signal == METRICS) if run.doom != NOBODY else 0):
        if goes_below_resources(run):
            left = each_child(run, p, end, SECOND, 1, walk_scope)
    if run.doom != NOBODY:
        left = GONE
    run.doom = NOBODY
    run.resource_index += 1
    return left


cdef int walk(Run* run, bytes_at p, bytes_at end) except -1 nogil:
    return each_child(run, p, end, FIRST, 0, walk_resource)


cdef size_t count_resources(bytes_at p, bytes_at end) except? 0 nogil:
    cdef uint32_t tag = 0
    cdef size_t entries = 0
    while p < end:
        p = tag_at(p, end, &tag)
        p = skip(p, end, tag, 0)
        entries += tag == FIRST
    return entries


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
