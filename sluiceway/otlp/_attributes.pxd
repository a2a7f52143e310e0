"""The attributes of one message, gathered from its bytes, edited as a list, and reported as splices.

A message that comes in several pieces (protobuf merges those) has one list over all of its pieces. Keys and values stay
in the source, in the arena or with the program; nothing is copied before a change is written.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcmp, memcpy

from sluiceway.otlp._anyvalue cimport KEY, VALUE, malformed
from sluiceway.otlp._arena cimport Arena, arena_take, out_of_memory
from sluiceway.otlp._proto cimport bytes_at, read_length, read_tag, skip_value, varint_size, write_varint
from sluiceway.otlp._splice cimport Splices, splice

cdef enum:
    AS_IT_WAS = 0
    CHANGED = 1
    ADDED = 2
    REMOVED = 3


cdef struct Text:
    bytes_at data
    size_t size


cdef struct Attribute:
    Text key
    uint64_t mark  # of the key
    Text value  # the content of the AnyValue; NULL where there is none
    Text field  # the whole field in the source; NULL for one that was added
    Text written  # the whole field as it becomes, where that is known already
    uint32_t piece
    uint8_t state
    bint plain  # it holds a key and a value once each, and nothing else


cdef struct Attributes:
    # Zero it to begin; give it back with `attributes_free`.
    Attribute* list
    size_t count
    size_t capacity
    size_t emitted
    bint dirty


cdef inline bint same(Text left, Text right) noexcept nogil:
    return left.size == right.size and memcmp(left.data, right.data, left.size) == 0


cdef inline uint64_t mark_of(Text text) noexcept nogil:
    """Equal texts have equal marks, and most others do not: the end of a key tells more than its beginning."""
    cdef uint64_t word = 0
    cdef uint32_t head
    cdef uint32_t tail
    if text.size >= 8:
        memcpy(&word, text.data + text.size - 8, 8)
    elif text.size >= 4:
        memcpy(&head, text.data, 4)
        memcpy(&tail, text.data + text.size - 4, 4)
        word = <uint64_t>head << 32 | tail
    elif text.size:
        word = <uint64_t>text.data[0] << 8 | text.data[text.size - 1]
    return word ^ <uint64_t>text.size << 56


cdef inline void attributes_begin(Attributes* attributes) noexcept nogil:
    attributes.count = 0
    attributes.emitted = 0
    attributes.dirty = False


cdef inline void attributes_free(Attributes* attributes) noexcept nogil:
    free(attributes.list)
    attributes.list = NULL


cdef inline Attribute* append(Attributes* attributes) except NULL nogil:
    cdef Attribute* place
    cdef size_t capacity
    if attributes.count == attributes.capacity:
        capacity = max(2 * attributes.capacity, <size_t>32)
        place = <Attribute*>realloc(attributes.list, capacity * sizeof(Attribute))
        if place == NULL:
            out_of_memory()
            return NULL
        attributes.list = place
        attributes.capacity = capacity
    place = &attributes.list[attributes.count]
    attributes.count += 1
    return place


cdef inline int join_text(Arena* arena, Text* so_far, Text more, size_t left, bint* apart) except -1 nogil:
    """Append a piece of a message, which protobuf defines as parsing all, one after the other.

    The first time they go where there is room for `left` bytes, which is for all pieces to come: then they are `apart`.
    """
    cdef uint8_t* place
    if not apart[0]:
        place = arena_take(arena, so_far.size + left)
        memcpy(place, so_far.data, so_far.size)
        so_far.data = place
        apart[0] = True
    memcpy(<uint8_t*>so_far.data + so_far.size, more.data, more.size)
    so_far.size += more.size
    return 0


cdef inline int read_odd(Attribute* attribute, Arena* arena, bytes_at p, bytes_at end) except -1 nogil:
    """Read a KeyValue of any shape: fields in any order, missing, repeated or unknown."""
    cdef uint32_t tag = 0
    cdef size_t size = 0
    cdef int keys = 0
    cdef int values = 0
    cdef int others = 0
    cdef bint apart = False
    attribute.key = Text(p, 0)
    attribute.value = Text(NULL, 0)
    while p < end:
        p = read_tag(p, end, &tag)
        if p == NULL:
            malformed()
        if tag == KEY or tag == VALUE:
            p = read_length(p, end, &size)
            if p == NULL:
                malformed()
            if tag == KEY:
                keys += 1
                attribute.key = Text(p, size)
            else:
                values += 1
                if values == 1:
                    attribute.value = Text(p, size)
                else:
                    join_text(arena, &attribute.value, Text(p, size), end - p, &apart)
            p += size
        else:
            others += 1
            p = skip_value(p, end, tag, 4)
            if p == NULL:
                malformed()
    attribute.mark = mark_of(attribute.key)
    attribute.plain = keys <= 1 and values <= 1 and others == 0
    return 0


cdef inline int gather(
    Attributes* attributes, Arena* arena, bytes_at field, bytes_at content, size_t size, uint32_t piece
) except -1 nogil:
    """Add the attribute whose field begins at `field`, and its KeyValue at `content`."""
    cdef Attribute* attribute = append(attributes)
    cdef bytes_at end = content + size
    cdef bytes_at p = content
    cdef size_t length
    attribute.field = Text(field, end - field)
    attribute.written = Text(NULL, 0)
    attribute.piece = piece
    attribute.state = AS_IT_WAS
    attribute.plain = True
    if size >= 4 and p[0] == KEY and p[1] < 0x80 and <size_t>p[1] + 4 <= size:
        attribute.key = Text(p + 2, p[1])
        p += 2 + p[1]
        if p[0] == VALUE:
            p = read_length(p + 1, end, &length)
            if p != NULL and p + length == end:
                attribute.mark = mark_of(attribute.key)
                attribute.value = Text(p, length)
                return 0
    return read_odd(attribute, arena, content, end)


cdef inline Py_ssize_t find(Attributes* attributes, Text key, size_t start) noexcept nogil:
    """The place of the first attribute from `start` on that is called `key`, or -1."""
    cdef uint64_t mark = mark_of(key)
    cdef size_t index
    cdef Attribute* attribute
    for index in range(start, attributes.count):
        attribute = &attributes.list[index]
        if attribute.mark == mark and attribute.state != REMOVED and same(attribute.key, key):
            return <Py_ssize_t>index
    return -1


cdef inline Text content(Attribute* attribute) noexcept nogil:
    """What its AnyValue holds; empty, not NULL, where there is none."""
    return attribute.value if attribute.value.data != NULL else Text(attribute.key.data, 0)


cdef inline void remove(Attributes* attributes, Py_ssize_t index) noexcept nogil:
    attributes.list[index].state = REMOVED
    attributes.dirty = True


cdef inline void remove_all(Attributes* attributes, Text key, size_t start) noexcept nogil:
    cdef Py_ssize_t index = find(attributes, key, start)
    while index >= 0:
        remove(attributes, index)
        index = find(attributes, key, index + 1)


cdef inline void set_value(Attributes* attributes, Py_ssize_t index, Text value, Text written) noexcept nogil:
    cdef Attribute* attribute = &attributes.list[index]
    if attribute.value.data != NULL and same(attribute.value, value):
        return
    attribute.value = value
    attribute.written = written if attribute.plain else Text(NULL, 0)
    if attribute.state == AS_IT_WAS:
        attribute.state = CHANGED
    attributes.dirty = True


cdef inline void change(Attributes* attributes, Py_ssize_t index) noexcept nogil:
    cdef Attribute* attribute = &attributes.list[index]
    attribute.written = Text(NULL, 0)
    if attribute.state == AS_IT_WAS:
        attribute.state = CHANGED
    attributes.dirty = True


cdef inline void rename_attribute(Attributes* attributes, Py_ssize_t index, Text key) noexcept nogil:
    attributes.list[index].key = key
    attributes.list[index].mark = mark_of(key)
    change(attributes, index)


cdef inline void tidy(Attributes* attributes, Py_ssize_t index) noexcept nogil:
    """See to it that one of an odd shape is written anew, so that what does not count of it is gone."""
    if not attributes.list[index].plain:
        change(attributes, index)


cdef inline int add(Attributes* attributes, Text key, Text value, Text written) except -1 nogil:
    cdef Attribute* attribute = append(attributes)
    attribute[0] = Attribute(key, mark_of(key), value, Text(NULL, 0), written, 0, ADDED, True)
    attributes.dirty = True
    return 0


cdef inline size_t keyvalue_size(Text key, Text value) noexcept nogil:
    return 2 + varint_size(key.size) + key.size + varint_size(value.size) + value.size


cdef inline uint8_t* put_text(uint8_t* out, uint8_t tag, Text text) noexcept nogil:
    out[0] = tag
    out = write_varint(out + 1, text.size)
    memcpy(out, text.data, text.size)
    return out + text.size


cdef inline int write_attribute(Arena* arena, uint8_t tag, Text key, Text value, Text* written) except -1 nogil:
    """The whole field for a key and a value, in the arena."""
    cdef size_t size = keyvalue_size(key, value)
    cdef uint8_t* place = arena_take(arena, 1 + varint_size(size) + size)
    cdef uint8_t* out = place
    out[0] = tag
    out = write_varint(out + 1, size)
    out = put_text(out, KEY, key)
    out = put_text(out, VALUE, value)
    written[0] = Text(place, out - place)
    return 0


cdef inline int rewrite_odd(Arena* arena, uint8_t tag, Attribute* attribute) except -1 nogil:
    """The whole field of an attribute that holds more than a key and a value: all else of it stays, in front."""
    cdef bytes_at p = attribute.field.data
    cdef bytes_at end = p + attribute.field.size
    cdef bytes_at field
    cdef uint32_t found = 0
    cdef size_t size = 0
    cdef uint8_t* content
    cdef uint8_t* out
    cdef uint8_t* place
    p = read_length(read_tag(p, end, &found), end, &size)
    content = out = arena_take(arena, size + attribute.key.size + attribute.value.size + 16)
    while p < end:
        field = p
        p = read_tag(p, end, &found)
        p = skip_value(p, end, found, 4)
        if found != KEY and found != VALUE:
            memcpy(out, field, p - field)
            out += p - field
    out = put_text(out, KEY, attribute.key)
    if attribute.value.data != NULL:
        out = put_text(out, VALUE, attribute.value)
    size = out - content
    place = arena_take(arena, size + 8)
    place[0] = tag
    out = write_varint(place + 1, size)
    memcpy(out, content, size)
    attribute.written = Text(place, out + size - place)
    return 0


cdef inline int settle(Arena* arena, uint8_t tag, Attribute* attribute) except -1 nogil:
    """Know what the field becomes."""
    if attribute.written.data != NULL:
        return 0
    if attribute.plain and attribute.value.data != NULL:
        return write_attribute(arena, tag, attribute.key, attribute.value, &attribute.written)
    return rewrite_odd(arena, tag, attribute)


cdef inline int emit(
    Attributes* attributes, Splices* splices, Arena* arena, uint8_t tag, uint32_t piece, bytes_at end, bint last
) except -1 nogil:
    """Report the changes in one piece, which ends at `end`; pieces come in order, and the last takes what was added."""
    cdef Attribute* attribute
    while attributes.emitted < attributes.count:
        attribute = &attributes.list[attributes.emitted]
        if attribute.field.data == NULL:
            if not last:
                break
            if attribute.state == ADDED:
                settle(arena, tag, attribute)
                splice(splices, end, 0, attribute.written.data, attribute.written.size)
        elif attribute.piece != piece:
            break
        elif attribute.state == REMOVED:
            splice(splices, attribute.field.data, attribute.field.size, NULL, 0)
        elif attribute.state == CHANGED:
            settle(arena, tag, attribute)
            splice(splices, attribute.field.data, attribute.field.size, attribute.written.data, attribute.written.size)
        attributes.emitted += 1
    return 0
