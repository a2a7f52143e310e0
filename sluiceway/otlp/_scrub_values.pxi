# How a scrubber is led through the values of attributes and bodies, nested ones in place; included by `_scrub`.

cdef struct Survey:
    # What counts of an AnyValue: the members of its oneof from `start` on, all of which are of one kind.
    int kind
    bytes_at start
    size_t members
    size_t elements  # of an array, that were walked so far


cdef inline bint is_member(uint32_t tag) noexcept nogil:
    return (
        tag == STRING_TAG or tag == BOOL_TAG or tag == INT_TAG or tag == DOUBLE_TAG or tag == ARRAY_TAG
        or tag == KVLIST_TAG or tag == BYTES_TAG or tag == STRING_INDEX_TAG
    )


cdef inline bint is_nested(int kind) noexcept nogil:
    return kind == ARRAY or kind == KVLIST


cdef inline bytes_at tag_at(bytes_at p, bytes_at end, uint32_t* tag) except NULL nogil:
    p = read_tag(p, end, tag)
    if p == NULL:
        malformed()
    return p


cdef inline bytes_at enter(bytes_at p, bytes_at end, size_t* size) except NULL nogil:
    p = read_length(p, end, size)
    if p == NULL:
        malformed()
    return p


cdef inline bytes_at skip(bytes_at p, bytes_at end, uint32_t tag) except NULL nogil:
    p = skip_value(p, end, tag, 0)
    if p == NULL:
        malformed()
    return p


cdef int survey(bytes_at p, bytes_at end, Survey* found) except -1 nogil:
    """Go on with a survey. The pieces of one value come in the order in which they stand in the source."""
    cdef bytes_at field
    cdef uint32_t tag = 0
    while p < end:
        field = p
        p = skip(tag_at(p, end, &tag), end, tag)
        if is_member(tag):
            found.members += 1
            if <int>(tag >> 3) != found.kind or not is_nested(found.kind):
                found.kind = tag >> 3
                found.start = field
    return 0


cdef inline int ask_value(
    Scrubbing* scrubbing, int place, Text key, AnyValue* value, Text* answer
) except -1 nogil:
    if not scrubbing.places >> place & 1:
        return KEEP  # only keys are wanted here
    return (<Scrubber>scrubbing.scrubber).value(&scrubbing.scene, place, key, value, answer)


cdef int walk_scalar(
    Scrubbing* scrubbing, Splices* splices, int place, Text key, bytes_at field, bytes_at end
) except -1 nogil:
    cdef AnyValue value
    cdef Text answer
    cdef int verdict
    read_any(field, end - field, &value)
    verdict = ask_value(scrubbing, place, key, &value, &answer)
    if verdict == REPLACE:
        splice(splices, field, end - field, answer.data, answer.size)
    return verdict


cdef int walk_any(
    Scrubbing* scrubbing, Splices* splices, int place, Text key, bytes_at p, bytes_at end, Survey* found
) except -1 nogil:
    """One piece of a value. DROP means that the whole value has to go; what was spliced in it is then taken back."""
    cdef bytes_at field
    cdef bytes_at prefix
    cdef uint32_t tag = 0
    cdef size_t size = 0
    cdef int verdict = KEEP
    cdef Opened opened
    while p < end:
        field = p
        prefix = tag_at(p, end, &tag)
        p = skip(prefix, end, tag)
        if not is_member(tag):
            continue
        if field < found.start:
            splice(splices, field, p - field, NULL, 0)
        elif is_nested(found.kind):
            field = enter(prefix, end, &size)
            open_message(splices, prefix, &opened)
            if found.kind == ARRAY:
                verdict = walk_array(scrubbing, splices, place, key, field, p, found)
            else:
                verdict = walk_map(scrubbing, splices, place, field, p)
            close_message(splices, &opened, field - prefix, size)
        else:
            verdict = walk_scalar(scrubbing, splices, place, key, field, p)
        if verdict == DROP:
            return DROP
    return KEEP


cdef int walk_array(
    Scrubbing* scrubbing, Splices* splices, int place, Text key, bytes_at p, bytes_at end, Survey* array
) except -1 nogil:
    cdef Scene* scene = &scrubbing.scene
    cdef bytes_at field
    cdef bytes_at prefix
    cdef uint32_t tag = 0
    cdef size_t size = 0
    cdef Opened opened
    cdef Survey found
    if scene.depth == DEEPEST:
        return DROP
    scene.depth += 1
    while p < end:
        field = p
        prefix = tag_at(p, end, &tag)
        if tag != ENTRY_TAG:
            p = skip(prefix, end, tag)
            continue
        p = enter(prefix, end, &size)
        scene.way[scene.depth - 1] = Way(Text(NULL, 0), array.elements)
        array.elements += 1
        found = Survey(0, p, 0, 0)
        survey(p, p + size, &found)
        open_message(splices, prefix, &opened)
        if walk_any(scrubbing, splices, place, key, p, p + size, &found) == DROP:
            withdraw_message(splices, &opened, field, p + size - field)
        else:
            close_message(splices, &opened, p - prefix, size)
        p += size
    scene.depth -= 1
    return KEEP


cdef int walk_map(Scrubbing* scrubbing, Splices* splices, int place, bytes_at p, bytes_at end) except -1 nogil:
    cdef Scene* scene = &scrubbing.scene
    cdef bytes_at field
    cdef bytes_at prefix
    cdef uint32_t tag = 0
    cdef size_t size = 0
    cdef Opened opened
    if scene.depth == DEEPEST:
        return DROP
    scene.depth += 1
    while p < end:
        field = p
        prefix = tag_at(p, end, &tag)
        if tag != ENTRY_TAG:
            p = skip(prefix, end, tag)
            continue
        p = enter(prefix, end, &size)
        open_message(splices, prefix, &opened)
        if walk_entry(scrubbing, splices, place, p, p + size) == DROP:
            withdraw_message(splices, &opened, field, p + size - field)
        else:
            close_message(splices, &opened, p - prefix, size)
        p += size
    scene.depth -= 1
    return KEEP


cdef struct Entry:
    # A KeyValue in a map: its key, what counts of its value, and what becomes of them.
    Text key
    Survey value
    int verdict
    Text name
    Text answer  # for REPLACE
    bint placed


cdef int read_entry(bytes_at p, bytes_at end, Entry* entry) except -1 nogil:
    cdef uint32_t tag = 0
    cdef size_t size = 0
    entry.key = Text(p, 0)
    entry.value = Survey(0, p, 0, 0)
    entry.placed = False
    while p < end:
        p = tag_at(p, end, &tag)
        if tag != KEY and tag != VALUE:
            p = skip(p, end, tag)
            continue
        p = enter(p, end, &size)
        if tag == KEY:
            entry.key = Text(p, size)
        else:
            survey(p, p + size, &entry.value)
        p += size
    return 0


cdef inline int ask_key(Scrubbing* scrubbing, int place, Text key) except -1 nogil:
    if not scrubbing.places >> place & 1:
        return LOOK  # for the keys of maps
    return (<Scrubber>scrubbing.scrubber).key(&scrubbing.scene, place, key)


cdef inline int ask_whole(Scrubbing* scrubbing, int place, Text key, Text value, Text* answer) except -1 nogil:
    return (<Scrubber>scrubbing.scrubber).whole(&scrubbing.scene, place, key, value, answer)


cdef inline int ask_name(Scrubbing* scrubbing, int place, Text* key) except -1 nogil:
    cdef Text answer
    if key.size == 0 or not scrubbing.places >> IN_KEYS & 1:
        return KEEP
    if (<Scrubber>scrubbing.scrubber).rename(&scrubbing.scene, place, key[0], &answer) == KEEP:
        return KEEP
    key[0] = answer
    return REPLACE


cdef Text join_values(Scrubbing* scrubbing, bytes_at p, bytes_at end) except * nogil:
    """The value of an entry, whose pieces are put together."""
    cdef uint8_t* start = arena_take(scrubbing.scene.arena, end - p)
    cdef uint8_t* out = start
    cdef uint32_t tag = 0
    cdef size_t size = 0
    while p < end:
        p = tag_at(p, end, &tag)
        if tag != VALUE:
            p = skip(p, end, tag)
            continue
        p = enter(p, end, &size)
        memcpy(out, p, size)
        out += size
        p += size
    return Text(start, out - start)


cdef int walk_entry(Scrubbing* scrubbing, Splices* splices, int place, bytes_at p, bytes_at end) except -1 nogil:
    cdef Entry entry
    read_entry(p, end, &entry)
    scrubbing.scene.way[scrubbing.scene.depth - 1] = Way(entry.key, 0)
    entry.verdict = ask_key(scrubbing, place, entry.key)
    if entry.verdict == WHOLE:
        entry.verdict = ask_whole(scrubbing, place, entry.key, join_values(scrubbing, p, end), &entry.answer)
    if entry.verdict == DROP:
        return DROP
    entry.name = entry.key
    ask_name(scrubbing, place, &entry.name)
    return rewrite_entry(scrubbing, splices, place, p, end, &entry)


cdef int replace_value(Scrubbing* scrubbing, Splices* splices, Entry* entry, bytes_at at, size_t size) except -1 nogil:
    """Put the answer in place of a value of `size` bytes, or of one of its pieces after the first nothing."""
    cdef uint8_t* place
    cdef uint8_t* out
    if entry.placed:
        return splice(splices, at, size, NULL, 0)
    entry.placed = True
    place = arena_take(scrubbing.scene.arena, entry.answer.size + 11)
    out = put_text(place, VALUE, entry.answer)
    return splice(splices, at, size, place, out - place)


cdef int rewrite_entry(
    Scrubbing* scrubbing, Splices* splices, int place, bytes_at p, bytes_at end, Entry* entry
) except -1 nogil:
    """Splice what became of an entry: only its last key counts, and its values are pieces of one."""
    cdef bytes_at field
    cdef bytes_at prefix
    cdef uint32_t tag = 0
    cdef size_t size = 0
    cdef Opened opened
    while p < end:
        field = p
        prefix = tag_at(p, end, &tag)
        if tag != KEY and tag != VALUE:
            p = skip(prefix, end, tag)
            continue
        p = enter(prefix, end, &size)
        if tag == KEY:
            if p != entry.key.data:
                splice(splices, field, p + size - field, NULL, 0)
            elif entry.name.data != p:
                open_message(splices, prefix, &opened)
                splice(splices, p, size, entry.name.data, entry.name.size)
                close_message(splices, &opened, p - prefix, size)
        elif entry.verdict == REPLACE:
            replace_value(scrubbing, splices, entry, field, p + size - field)
        elif entry.verdict == LOOK:
            open_message(splices, prefix, &opened)
            if walk_any(scrubbing, splices, place, entry.key, p, p + size, &entry.value) == DROP:
                return DROP
            close_message(splices, &opened, p - prefix, size)
        p += size
    if entry.verdict == REPLACE and not entry.placed:
        replace_value(scrubbing, splices, entry, end, 0)
    return KEEP


cdef int scrub_odd_value(Scrubbing* scrubbing, int place, Text key, Text* value) except -1 nogil:
    """A value that is no short string alone."""
    cdef Splices* splices = &scrubbing.values
    cdef Survey counts
    cdef bytes_at p = value.data
    counts = Survey(0, p, 0, 0)
    survey(p, p + value.size, &counts)
    if counts.members == 0:
        return KEEP
    splices_begin(splices)
    scrubbing.scene.depth = 0
    if walk_any(scrubbing, splices, place, key, p, p + value.size, &counts) == DROP:
        return DROP
    return written(scrubbing, splices, value)


cdef int scrub_number(Scrubbing* scrubbing, int place, Text key, Text* value) except -1 nogil:
    """An integer or a boolean alone."""
    cdef AnyValue found
    cdef Text answer
    cdef int verdict
    read_any(value.data, value.size, &found)
    verdict = ask_value(scrubbing, place, key, &found, &answer)
    if verdict == REPLACE:
        value[0] = answer
    return verdict


cdef inline int scrub_value(Scrubbing* scrubbing, int place, Text key, Text* value) except -1 nogil:
    """What becomes of the content of an AnyValue."""
    cdef AnyValue found
    cdef Text answer
    cdef int verdict
    cdef bytes_at p = value.data
    if value.size >= 2 and p[0] == STRING_TAG and p[1] < 0x80 and <size_t>p[1] + 2 == value.size:
        found = AnyValue(STRING_TAG >> 3, 0, p + 2, p[1])
        verdict = ask_value(scrubbing, place, key, &found, &answer)
        if verdict == REPLACE:
            value[0] = answer
        return verdict
    if value.size >= 2 and (p[0] == INT_TAG or p[0] == BOOL_TAG) and skip_varint(p + 1, p + value.size) == p + value.size:
        return scrub_number(scrubbing, place, key, value)
    return scrub_odd_value(scrubbing, place, key, value)


cdef int written(Scrubbing* scrubbing, Splices* splices, Text* text) except -1 nogil:
    """Put a text with its splices in the place of the text."""
    cdef size_t size = <size_t>(<int64_t>text.size + splices.growth)
    cdef uint8_t* out
    if splices.count == 0:
        return KEEP
    out = arena_take(scrubbing.scene.arena, size)
    write_spliced(splices, text.data, text.data + text.size, out)
    text[0] = Text(out, size)
    return REPLACE
