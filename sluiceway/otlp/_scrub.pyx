# cython: boundscheck=False, wraparound=False, cdivision=True
"""How a scrubber is led through the messages of a batch: the schema says where text can stand.

What the edit kernel does not edit itself (texts, bodies, events, links, exemplars) it hands over as parts: fields of
the item at hand, each with its content as the scrubbers before have left it. Values are rewritten in place by splices
on their content, so that nesting costs no copies. protobuf merges a message that comes in pieces, and of several
members of a oneof the last one counts: what does not count any more is cut out unseen, as nobody can be shown it.
"""

from libc.stdint cimport int64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

from sluiceway.otlp._anyvalue cimport (
    ARRAY, ARRAY_TAG, BOOL_TAG, BYTES_TAG, DOUBLE_TAG, ENTRY_TAG, INT_TAG, KEY, KVLIST, KVLIST_TAG, STRING_INDEX_TAG,
    STRING_TAG, VALUE, malformed, read_any,
)
from sluiceway.otlp._arena cimport arena_take, out_of_memory
from sluiceway.otlp._attributes cimport (
    REMOVED, attributes_begin, content, emit, gather, put_text, remove, rename_attribute, set_value, tidy,
)
from sluiceway.otlp._splice cimport (
    Opened, close_message, open_message, order_since, splice, splices_begin, withdraw_message, write_spliced,
)

from sluiceway.otlp import places

include "_schema.pxi"

# ---- the places

cdef uint8_t PLACE_OF[LAST_MESSAGE + 1][LAST_FIELD + 1]  # of a text, a value or a list of attributes; or PLACES
cdef uint32_t WITHIN[LAST_MESSAGE + 1][LAST_FIELD + 1]  # the bits of all places in a field


cdef uint32_t _find_within(int message, int depth) except? 0:
    cdef uint32_t found = 0
    cdef int number
    cdef Field* field
    for number in range(LAST[message] + 1):
        field = &FIELDS[message][number]
        if PLACE_OF[message][number] < PLACES:
            WITHIN[message][number] = 1 << PLACE_OF[message][number]
            if field.kind == MESSAGE and field.message == _NUMBERS["KeyValue"] or PLACE_OF[message][number] == IN_BODY:
                WITHIN[message][number] |= 1 << IN_KEYS
        elif field.kind == MESSAGE and depth < 9:
            WITHIN[message][number] |= _find_within(field.message, depth + 1)
        found |= WITHIN[message][number]
    return found


def _load_places():
    """Turn the table into arrays, once at import."""
    for message in range(LAST_MESSAGE + 1):
        for number in range(LAST_FIELD + 1):
            PLACE_OF[<int>message][<int>number] = PLACES
    for name, fields in schema.MESSAGES.items():
        for field in fields:
            if (name, field.name) in places.FIELDS:
                PLACE_OF[<int>_NUMBERS[name]][<int>field.number] = places.PLACES.index(places.FIELDS[name, field.name])
    for code in range(3):
        _find_within(ROOT[<int>code], 0)


_load_places()


cdef int root_message(int signal) noexcept nogil:
    """The number of the outermost message."""
    return ROOT[signal]


cdef int child_message(int message, uint32_t tag) noexcept nogil:
    """The number of the message that stands in a field."""
    return FIELDS[message][tag >> 3].message if tag >> 3 <= LAST_FIELD else 0


cdef int place_of(int message, uint32_t tag) noexcept nogil:
    return PLACE_OF[message][tag >> 3]


cdef const uint32_t* bits_within(int message) noexcept nogil:
    """For each field of a message, by its number, the bits of all places in it."""
    return WITHIN[message]


# ---- the scrubber

class LongWork(Exception):
    """A run in a hurry met what takes long to look at. Call `rest` where nobody waits for the thread."""


cdef int spend(Scene* scene, size_t work) except -1 nogil:
    """Scrubbers call it before work that takes long, told in bytes to be looked at; in a hurry it raises `LongWork`."""
    if work <= scene.work:
        scene.work -= work
        return 0
    return too_long()


cdef int too_long() except -1 with gil:
    raise LongWork


cdef class Scrubber:

    cdef int begin(self, Scene* scene) except -1:
        return 0

    cdef int end(self, Scene* scene) except -1:
        return 0

    cdef int resource(self, Scene* scene, Attributes* attributes) except -1 nogil:
        return 0

    cdef int enter(self, Scene* scene, int place, Attributes* attributes) except -1 nogil:
        return 0

    cdef int leave(self, Scene* scene, int place, Attributes* attributes) except -1 nogil:
        return 0

    cdef int key(self, Scene* scene, int place, Text key) except -1 nogil:
        return LOOK

    cdef int whole(self, Scene* scene, int place, Text key, Text content, Text* answer) except -1 nogil:
        return KEEP

    cdef int rename(self, Scene* scene, int place, Text key, Text* answer) except -1 nogil:
        return KEEP

    cdef int value(self, Scene* scene, int place, Text key, AnyValue* value, Text* answer) except -1 nogil:
        return KEEP

    cdef int text(self, Scene* scene, int place, Text text, Text* answer) except -1 nogil:
        return KEEP


include "_scrub_values.pxi"

# ---- lists of attributes

cdef inline int scrub_attribute(Scrubbing* scrubbing, int place, Attributes* attributes, size_t index) except -1 nogil:
    cdef Text key = attributes.list[index].key
    cdef Text value = content(&attributes.list[index])
    cdef int verdict
    scrubbing.scene.depth = 0
    verdict = ask_key(scrubbing, place, key)
    if verdict == LOOK:
        verdict = scrub_value(scrubbing, place, key, &value)
    elif verdict == WHOLE:
        verdict = ask_whole(scrubbing, place, key, value, &value)
    if verdict == DROP:
        remove(attributes, index)
        return 0
    if verdict == REPLACE:
        set_value(attributes, index, value, Text(NULL, 0))
    scrubbing.scene.depth = 0
    if ask_name(scrubbing, place, &key) == REPLACE:
        rename_attribute(attributes, index, key)
    return 0


cdef int scrub_list(Scrubbing* scrubbing, int place, Attributes* attributes) except -1 nogil:
    cdef size_t index
    if not scrubbing.places & (1 << place | 1 << IN_KEYS):
        return 0
    for index in range(attributes.count):
        if attributes.list[index].state != REMOVED:
            tidy(attributes, index)
            scrub_attribute(scrubbing, place, attributes, index)
    return 0


# ---- texts and messages

cdef int scrub_text(Scrubbing* scrubbing, int place, Text* text) except -1 nogil:
    """REPLACE, or KEEP where it stays as it is."""
    cdef Text answer = text[0]
    cdef int verdict
    if text.size == 0 or not scrubbing.places >> place & 1:
        return KEEP
    verdict = (<Scrubber>scrubbing.scrubber).text(&scrubbing.scene, place, text[0], &answer)
    if verdict == KEEP:
        return KEEP
    text[0] = answer if verdict == REPLACE else Text(text.data, 0)
    return REPLACE


cdef int walk_text(Scrubbing* scrubbing, Splices* splices, int place, bytes_at prefix, Text text) except -1 nogil:
    cdef Opened opened
    cdef Text source = text
    if scrub_text(scrubbing, place, &text) == REPLACE:
        open_message(splices, prefix, &opened)
        splice(splices, source.data, source.size, text.data, text.size)
        close_message(splices, &opened, source.data - prefix, source.size)
    return 0


cdef int finish_list(
    Scrubbing* scrubbing, Splices* splices, int message, uint32_t tag, bytes_at end
) except -1 nogil:
    """The attributes of an event, link or exemplar, which stands alone."""
    cdef Attributes* attributes = &scrubbing.inner
    cdef int place = place_of(message, tag)
    scrubbing.scene.attributes = attributes
    (<Scrubber>scrubbing.scrubber).enter(&scrubbing.scene, place, attributes)
    scrub_list(scrubbing, place, attributes)
    (<Scrubber>scrubbing.scrubber).leave(&scrubbing.scene, place, attributes)
    if attributes.dirty:
        emit(attributes, splices, scrubbing.scene.arena, tag, 0, end, True)
    return 0


cdef int walk_message(Scrubbing* scrubbing, Splices* splices, int message, bytes_at p, bytes_at end) except -1 nogil:
    """A message below an item: event, link, status, exemplar, or an entity reference. None holds lists in lists."""
    cdef bytes_at field
    cdef bytes_at prefix
    cdef uint32_t tag = 0
    cdef uint32_t listed = 0
    cdef size_t size = 0
    cdef size_t first = splices.count
    cdef bint unordered = splices.unordered
    attributes_begin(&scrubbing.inner)
    while p < end:
        field = p
        prefix = tag_at(p, end, &tag)
        if not holds(WITHIN[message], tag, scrubbing.places):
            p = skip(prefix, end, tag)
            continue
        p = enter(prefix, end, &size)
        if FIELDS[message][tag >> 3].kind == STRING:
            walk_text(scrubbing, splices, place_of(message, tag), prefix, Text(p, size))
        else:
            listed = tag
            gather(&scrubbing.inner, scrubbing.scene.arena, field, p, size, 0)
        p += size
    if listed:
        finish_list(scrubbing, splices, message, listed, end)
    order_since(splices, first, unordered)
    return 0


# ---- parts

cdef void parts_begin(Parts* parts) noexcept nogil:
    parts.count = parts.emitted = parts.bodies = 0
    parts.dirty = False


cdef void parts_free(Parts* parts) noexcept nogil:
    free(parts.list)
    parts.list = NULL


cdef int gather_part(
    Parts* parts, int message, bytes_at field, uint32_t tag, Text content, uint32_t piece
) except -1 nogil:
    """Note a field beside the attributes; `piece` is that of the message it stands in."""
    cdef size_t capacity
    cdef Part* place
    if parts.count == parts.capacity:
        capacity = max(2 * parts.capacity, <size_t>8)
        place = <Part*>realloc(parts.list, capacity * sizeof(Part))
        if place == NULL:
            out_of_memory()
        parts.list = place
        parts.capacity = capacity
    place = &parts.list[parts.count]
    place[0] = Part(message, tag, piece, parts.count, False, Text(field, content.data + content.size - field), content)
    if place_of(message, tag) == IN_BODY:
        place.owner = parts.body if parts.bodies else parts.count
        parts.body = place.owner
        parts.bodies += 1
    parts.count += 1
    return 0


cdef int join_bodies(Parts* parts, Arena* arena) except -1 nogil:
    """Merge the pieces of a body into its first."""
    cdef Part* part
    cdef size_t index
    cdef size_t size = 0
    cdef uint8_t* out
    cdef uint8_t* start
    for index in range(parts.body, parts.count):
        if parts.list[index].owner == parts.body:
            size += parts.list[index].content.size
    start = out = arena_take(arena, size)
    for index in range(parts.body, parts.count):
        part = &parts.list[index]
        if part.owner == parts.body:
            memcpy(out, part.content.data, part.content.size)
            out += part.content.size
    parts.list[parts.body].content = Text(start, size)
    parts.bodies = 1
    return 0


cdef int scrub_part(Scrubbing* scrubbing, Part* part) except -1 nogil:
    """A text or a body."""
    cdef int place = place_of(part.message, part.tag)
    cdef int verdict
    if place != IN_BODY:
        return scrub_text(scrubbing, place, &part.content)
    scrubbing.scene.depth = 0
    verdict = scrub_value(scrubbing, place, Text(part.content.data, 0), &part.content)
    if verdict == DROP:
        part.content.size = 0
    return REPLACE if verdict == DROP else verdict


cdef int scrub_submessage(Scrubbing* scrubbing, Part* part) except -1 nogil:
    cdef Splices* splices = &scrubbing.messages
    cdef bytes_at start = part.content.data
    splices_begin(splices)
    walk_message(
        scrubbing, splices, child_message(part.message, part.tag), start, start + part.content.size
    )
    return written(scrubbing, splices, &part.content)


cdef int scrub_parts(Scrubbing* scrubbing, Parts* parts, bint messages) except -1 nogil:
    cdef size_t index
    cdef Part* part
    cdef bint is_message
    for index in range(parts.count):
        part = &parts.list[index]
        is_message = FIELDS[part.message][part.tag >> 3].kind == MESSAGE and place_of(part.message, part.tag) == PLACES
        if is_message != messages or part.owner != index or not holds(WITHIN[part.message], part.tag, scrubbing.places):
            continue
        if (scrub_submessage if messages else scrub_part)(scrubbing, part) == REPLACE:
            part.changed = True
            parts.dirty = True
    return 0


cdef int scrub_message(Scrubbing* scrubbing, int place, Attributes* attributes, Parts* parts) except -1 nogil:
    """Show a resource, scope, metric or item: what has lists of its own, then its attributes, then its texts."""
    if parts.bodies > 1:
        join_bodies(parts, scrubbing.scene.arena)
    scrub_parts(scrubbing, parts, True)
    scrubbing.scene.attributes = attributes
    (<Scrubber>scrubbing.scrubber).enter(&scrubbing.scene, place, attributes)
    scrub_list(scrubbing, place, attributes)
    scrub_parts(scrubbing, parts, False)
    (<Scrubber>scrubbing.scrubber).leave(&scrubbing.scene, place, attributes)
    return 0


cdef int emit_part(Parts* parts, Part* part, Splices* splices, Arena* arena) except -1 nogil:
    cdef size_t head = varint_size(part.tag)
    cdef uint8_t* place
    cdef uint8_t* out
    if part != &parts.list[part.owner]:
        return splice(splices, part.field.data, part.field.size, NULL, 0)
    place = arena_take(arena, part.content.size + 10)
    out = write_varint(place, part.content.size)
    memcpy(out, part.content.data, part.content.size)
    out += part.content.size
    return splice(splices, part.field.data + head, part.field.size - head, place, out - place)


cdef int emit_parts(Parts* parts, Splices* splices, Arena* arena, uint32_t piece) except -1 nogil:
    """Report the changes in one piece; pieces come in order."""
    cdef Part* part
    while parts.emitted < parts.count and parts.list[parts.emitted].piece == piece:
        part = &parts.list[parts.emitted]
        if parts.list[part.owner].changed:
            emit_part(parts, part, splices, arena)
        parts.emitted += 1
    return 0
