# Included by `_edit.pyx`: how a run goes through the messages of a batch, from the resources down to events and points.
# Each visit gathers what the steps are about, has them done, and emits what changed; `GONE` takes the message out.

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
