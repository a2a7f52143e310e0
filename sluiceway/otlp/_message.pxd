"""One message of a batch as somebody looks at it: its fields are found in the bytes when they are asked for.

What is changed is noted and reported as splices. A singular message that stands in several pieces, which protobuf
merges, is looked at as the concatenation of its pieces, which means the same.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport malloc, qsort
from libc.string cimport memcpy

from sluiceway.otlp._anyvalue cimport KEY, VALUE, malformed
from sluiceway.otlp._arena cimport Arena, arena_take, arena_zeroed
from sluiceway.otlp._attributes cimport (
    REMOVED, Attribute, Attributes, Text, attributes_free, emit, find, gather, join_text, read_odd,
    remove_all, same, set_value,
)
from sluiceway.otlp._attributes cimport add as add_attribute
from sluiceway.otlp._attributes cimport content as content_of
from sluiceway.otlp._proto cimport WIRE_BYTES, bytes_at, read_length, read_tag, skip_value, varint_size, write_varint
from sluiceway.otlp._splice cimport Splice, Splices, by_place, splice, splices_free, write_spliced


cdef enum:
    ENOUGH = 12  # attributes for which memory is taken at once


cdef struct Change:
    Change* next
    uint32_t number
    Text written  # the whole field as it becomes; empty where it is cleared
    bint placed


cdef struct Message:
    Text content
    Text field  # the whole field in the parent's content; NULL for nodes, and for a message that stands in pieces
    Message* parent
    Message* first  # messages in it that were looked at
    Message* last
    Message* next
    Message* edited  # the next of those whose attributes were gathered
    Attributes attributes
    Change* changes
    uint32_t changed  # the numbers of the fields that are not as in the content any more, as bits
    uint32_t listed  # the numbers of the repeated messages that were looked at
    uint32_t node
    uint8_t kind
    uint8_t number  # of the field that it stands in
    uint8_t attribute_tag
    bint gathered
    bint dirty
    bint dropped


cdef inline bytes_at next_field(bytes_at p, bytes_at end, uint32_t* tag, Text* value) except NULL nogil:
    """Read the field at `p`; `value` is its content, without its length where it has one."""
    cdef size_t size = 0
    p = read_tag(p, end, tag)
    if p == NULL:
        malformed()
    if tag[0] & 7 == WIRE_BYTES:
        p = read_length(p, end, &size)
        if p == NULL:
            malformed()
        value[0] = Text(p, size)
        return p + size
    value.data = p
    p = skip_value(p, end, tag[0], 0)
    if p == NULL:
        malformed()
    value.size = p - value.data
    return p


cdef inline bint is_among(uint32_t tag, uint32_t numbers) noexcept nogil:
    return tag < 256 and numbers >> (tag >> 3) & 1


# ---- reading

cdef inline uint32_t find_field(Message* message, uint32_t numbers, Text* value) except? 0 nogil:
    """The tag of the field that counts among those of these numbers, and its content; 0 where there is none."""
    cdef bytes_at p = message.content.data
    cdef bytes_at end = p + message.content.size
    cdef uint32_t tag = 0
    cdef uint32_t found = 0
    cdef Text content
    cdef Change* change = message.changes
    if message.changed & numbers:
        while change != NULL:
            if numbers >> change.number & 1 and change.written.size:
                next_field(change.written.data, change.written.data + change.written.size, &tag, value)
                return tag
            change = change.next
        return 0
    while p < end:
        p = next_field(p, end, &tag, &content)
        if is_among(tag, numbers):
            found = tag
            value[0] = content
    return found


cdef inline int joined(Message* message, Arena* arena, uint32_t number, Text* whole, bint* present) except -1 nogil:
    """The content of a singular message in this one, all its pieces one after the other."""
    cdef bytes_at p = message.content.data
    cdef bytes_at end = p + message.content.size
    cdef uint32_t tag = 0
    cdef Text piece
    cdef bint apart = False
    whole[0] = Text(end, 0)
    present[0] = False
    if message.changed >> number & 1:
        present[0] = find_field(message, <uint32_t>1 << number, whole) != 0
        return 0
    while p < end:
        p = next_field(p, end, &tag, &piece)
        if tag != (number << 3 | WIRE_BYTES):
            continue
        if not present[0]:
            whole[0] = piece
        else:
            join_text(arena, whole, piece, end - piece.data, &apart)
        present[0] = True
    return 0


cdef inline Message* new_child(Message* parent, Arena* arena, Text content, Text field, uint8_t number) except NULL nogil:
    cdef Message* child = <Message*>arena_zeroed(arena, sizeof(Message))
    child.content = content
    child.field = field
    child.parent = parent
    child.node = parent.node
    child.number = number
    if parent.first == NULL:
        parent.first = child
    else:
        parent.last.next = child
    parent.last = child
    return child


cdef inline Message* nested(Message* message, Arena* arena, uint8_t number) except NULL nogil:
    """The singular message in the field `number`, which need not be there."""
    cdef Message* child = message.first
    cdef Text whole
    cdef bint present = False
    while child != NULL:
        if child.number == number and child.field.data == NULL:
            return child
        child = child.next
    joined(message, arena, number, &whole, &present)
    return new_child(message, arena, whole, Text(NULL, 0), number)


cdef inline int list_repeated(Message* message, Arena* arena, uint8_t number) except -1 nogil:
    """See to it that each message in the repeated field `number` is among the children."""
    cdef bytes_at p = message.content.data
    cdef bytes_at end = p + message.content.size
    cdef bytes_at field
    cdef uint32_t tag = 0
    cdef Text content
    if message.listed >> number & 1:
        return 0
    while p < end:
        field = p
        p = next_field(p, end, &tag, &content)
        if tag == (<uint32_t>number << 3 | WIRE_BYTES):
            new_child(message, arena, content, Text(field, p - field), number)
    message.listed |= <uint32_t>1 << number
    return 0


cdef inline bint find_attribute(Message* message, Arena* arena, Text key, Text* value) except -1 nogil:
    """The content of the first attribute that is called `key`."""
    cdef bytes_at p = message.content.data
    cdef bytes_at end = p + message.content.size
    cdef bytes_at inner
    cdef uint32_t tag = 0
    cdef size_t size = 0
    cdef Text pair
    cdef Attribute odd
    cdef Py_ssize_t index
    if message.gathered:
        index = find(&message.attributes, key, 0)
        if index < 0:
            return False
        value[0] = content_of(&message.attributes.list[index])
        return True
    while p < end:
        p = next_field(p, end, &tag, &pair)
        if tag != message.attribute_tag:
            continue
        inner = pair.data
        if pair.size >= 4 and inner[0] == KEY and inner[1] < 0x80 and <size_t>inner[1] + 4 <= pair.size:
            inner += 2 + inner[1]
            if inner[0] == VALUE:
                inner = read_length(inner + 1, p, &size)
                if inner != NULL and inner + size == p:
                    if same(Text(pair.data + 2, pair.data[1]), key):
                        value[0] = Text(inner, size)
                        return True
                    continue
        read_odd(&odd, arena, pair.data, p)
        if same(odd.key, key):
            value[0] = content_of(&odd)
            return True
    return False


cdef inline int gather_attributes(Message* message, Arena* arena, Message** edited) except -1 nogil:
    """List the attributes, once, and remember in `edited` that the list must be given back."""
    cdef bytes_at p = message.content.data
    cdef bytes_at end = p + message.content.size
    cdef bytes_at field
    cdef uint32_t tag = 0
    cdef Text pair
    if message.gathered:
        return 0
    message.gathered = True
    message.edited = edited[0]
    edited[0] = message
    message.attributes.list = <Attribute*>malloc(ENOUGH * sizeof(Attribute))
    if message.attributes.list != NULL:
        message.attributes.capacity = ENOUGH
    while p < end:
        field = p
        p = next_field(p, end, &tag, &pair)
        if tag == message.attribute_tag:
            gather(&message.attributes, arena, field, pair.data, pair.size, 0)
    return 0


# ---- writing

cdef inline int set_field(Message* message, Arena* arena, uint32_t numbers, uint32_t number, Text written) except -1 nogil:
    """Put the whole field `written` (empty: nothing) in place of all fields of these numbers."""
    cdef Change** link = &message.changes
    cdef Change* change
    while link[0] != NULL:
        if numbers >> link[0].number & 1:
            link[0] = link[0].next
        else:
            link = &link[0].next
    change = <Change*>arena_zeroed(arena, sizeof(Change))
    change.number = number
    change.written = written
    link[0] = change
    message.changed |= numbers
    message.dirty = True
    return 0


cdef inline int set_attribute(Message* message, Text key, Text value) except -1 nogil:
    cdef Py_ssize_t index = find(&message.attributes, key, 0)
    if index < 0:
        return add_attribute(&message.attributes, key, value, Text(NULL, 0))
    set_value(&message.attributes, index, value, Text(NULL, 0))
    remove_all(&message.attributes, key, index + 1)
    return 0


cdef inline int sized_field(Arena* arena, uint32_t tag, Text content, Text* written) except -1 nogil:
    """A whole field with its length, in the arena."""
    cdef uint8_t* place = arena_take(arena, 20 + content.size)
    cdef uint8_t* out = write_varint(write_varint(place, tag), content.size)
    memcpy(out, content.data, content.size)
    written[0] = Text(place, out + content.size - place)
    return 0


cdef inline int emit_changes(Message* message, Splices* splices) except -1 nogil:
    """Each changed field stands where it stood first, or at the end; what it replaces goes."""
    cdef bytes_at p = message.content.data
    cdef bytes_at end = p + message.content.size
    cdef bytes_at field
    cdef uint32_t tag = 0
    cdef Text value
    cdef Change* change
    while p < end:
        field = p
        p = next_field(p, end, &tag, &value)
        if not is_among(tag, message.changed):
            continue
        change = message.changes
        while change != NULL and (change.placed or change.number != tag >> 3):
            change = change.next
        if change == NULL:
            splice(splices, field, p - field, NULL, 0)
        else:
            change.placed = True
            splice(splices, field, p - field, change.written.data, change.written.size)
    change = message.changes
    while change != NULL:
        if not change.placed:
            splice(splices, end, 0, change.written.data, change.written.size)
        change = change.next
    return 0


cdef inline int emit_children(Message* message, Splices* splices, Arena* arena) except -1 nogil:
    cdef Message* child = message.first
    cdef Text content
    while child != NULL:
        if child.field.data == NULL or not child.dirty:
            pass
        elif child.dropped:
            splice(splices, child.field.data, child.field.size, NULL, 0)
        else:
            render(child, arena, &content)
            sized_field(arena, <uint32_t>child.number << 3 | WIRE_BYTES, content, &content)
            splice(splices, child.field.data, child.field.size, content.data, content.size)
        child = child.next
    return 0


cdef inline int emit_pieces(Message* message, Arena* arena) except -1 nogil:
    """A singular message that has changed becomes one field of this one, in place of all its pieces."""
    cdef Message* child = message.first
    cdef Text content
    cdef Text whole
    cdef bint present = False
    while child != NULL:
        if child.field.data == NULL and child.dirty:
            render(child, arena, &content)
            joined(message, arena, child.number, &whole, &present)
            if content.size or present:
                sized_field(arena, <uint32_t>child.number << 3 | WIRE_BYTES, content, &content)
                set_field(message, arena, <uint32_t>1 << child.number, child.number, content)
        child = child.next
    return 0


cdef inline int emit_message(Message* message, Splices* splices, Arena* arena) except -1 nogil:
    """Report all changes of a message and of those in it, in the order in which they stand."""
    cdef size_t start = splices.count
    cdef bint unordered = splices.unordered
    emit_pieces(message, arena)
    splices.unordered = False
    if message.gathered and message.attributes.dirty:
        emit(
            &message.attributes, splices, arena, message.attribute_tag, 0,
            message.content.data + message.content.size, True,
        )
    if message.changed:
        emit_changes(message, splices)
    emit_children(message, splices, arena)
    if splices.unordered:
        qsort(splices.list + start, splices.count - start, sizeof(Splice), by_place)
    splices.unordered = unordered
    return 0


cdef inline int render(Message* message, Arena* arena, Text* content) except -1 nogil:
    """The content of a message with its changes, in the arena."""
    cdef Splices splices
    cdef uint8_t* place
    splices.list = NULL
    splices.count = splices.capacity = 0
    splices.growth = 0
    splices.unordered = False
    try:
        emit_message(message, &splices, arena)
        content.size = message.content.size + splices.growth
        place = arena_take(arena, content.size + 1)
        write_spliced(&splices, message.content.data, message.content.data + message.content.size, place)
        content.data = place
        return 0
    finally:
        splices_free(&splices)
