"""The attributes in which `redaction` says what it did to a resource, scope, span, event, record or point.

They are the Collector's: for each category a count and, where names are told, the sorted names with commas between.
What an earlier `redaction` has left there is added to. The names of a category take a bounded number of bytes; where
there are more, `…` stands behind them.
"""

from libc.stdint cimport uint8_t
from libc.stdlib cimport qsort
from libc.string cimport memcmp, memcpy, strlen

from sluiceway.otlp._anyvalue cimport INT, INT_TAG, STRING, STRING_TAG, AnyValue, read_any
from sluiceway.otlp._arena cimport Arena, arena_take
from sluiceway.otlp._attributes cimport Attributes, Text, add, content, find, put_text, same, set_value
from sluiceway.otlp._proto cimport bytes_at, write_varint
from sluiceway.otlp._scrub cimport Scene

cdef enum:
    REDACTED = 0
    MASKED = 1
    ALLOWED = 2
    IGNORED = 3
    CATEGORIES = 4

cdef enum:
    NAMES_SIZE = 4096  # bytes that the names of a category take at most, with a byte between


cdef struct Names:
    Text* list
    size_t count
    size_t capacity
    size_t size  # of all, with a byte behind each
    bint cut  # there were more


cdef struct Summary:
    size_t counts[CATEGORIES]
    Names names[CATEGORIES]
    bint any


cdef inline void summary_begin(Summary* summary) noexcept nogil:
    cdef int category
    if summary.any:
        for category in range(CATEGORIES):
            summary.counts[category] = summary.names[category].count = summary.names[category].size = 0
            summary.names[category].cut = False
        summary.any = False


cdef inline int add_name(Names* names, Arena* arena, Text name) except -1 nogil:
    cdef Text* more
    if names.count == names.capacity:
        names.capacity = max(2 * names.capacity, <size_t>8)
        more = <Text*>arena_take(arena, names.capacity * sizeof(Text))
        memcpy(more, names.list, names.count * sizeof(Text))
        names.list = more
    names.list[names.count] = name
    names.count += 1
    names.size += name.size + 1
    return 0


cdef inline int digits(size_t number, uint8_t* out) noexcept nogil:
    """Write a number in decimal, and answer how many digits it has."""
    cdef uint8_t reversed[20]
    cdef int count = 0
    cdef int index
    while True:
        reversed[count] = 48 + number % 10
        count += 1
        number //= 10
        if number == 0:
            break
    for index in range(count):
        out[index] = reversed[count - 1 - index]
    return count


cdef inline size_t path_size(Scene* scene, Text top) noexcept nogil:
    """How many bytes the way to what is shown takes at most."""
    cdef size_t size = top.size + 4
    cdef int index
    for index in range(scene.depth):
        size += scene.way[index].key.size + (1 if scene.way[index].key.data != NULL else 23)
    return size


cdef inline int path_to(Scene* scene, Text top, Text* path) except -1 nogil:
    """The way to what is shown: keys and `[0]`, with dots between; `body` for a plain body."""
    cdef int index
    cdef uint8_t* start
    cdef uint8_t* out
    start = out = arena_take(scene.arena, path_size(scene, top))
    if top.data != NULL:
        memcpy(out, top.data, top.size)
        out += top.size
    elif scene.depth == 0:
        memcpy(out, b"body", 4)
        out += 4
    for index in range(scene.depth):
        if top.data != NULL or index > 0:
            out[0] = 46  # a dot
            out += 1
        if scene.way[index].key.data != NULL:
            memcpy(out, scene.way[index].key.data, scene.way[index].key.size)
            out += scene.way[index].key.size
        else:
            out[0] = 91  # [
            out += 1 + digits(scene.way[index].index, out + 1)
            out[0] = 93  # ]
            out += 1
    path[0] = Text(start, out - start)
    return 0


cdef inline int by_bytes(const void* left, const void* right) noexcept nogil:
    cdef const Text* a = <const Text*>left
    cdef const Text* b = <const Text*>right
    cdef int order = memcmp(a.data, b.data, min(a.size, b.size))
    if order == 0:
        return (a.size > b.size) - (a.size < b.size)
    return order


cdef inline int read_attribute(Attributes* attributes, Text key, AnyValue* value) except -1 nogil:
    """What an attribute holds, of kind 0 where there is none."""
    cdef Py_ssize_t index = find(attributes, key, 0)
    cdef Text found
    value.kind = 0
    if index >= 0:
        found = content(&attributes.list[index])
        read_any(found.data, found.size, value)
    return 0


cdef inline int put_attribute(Attributes* attributes, Text key, Text value) except -1 nogil:
    cdef Py_ssize_t index = find(attributes, key, 0)
    if index < 0:
        return add(attributes, key, value, Text(NULL, 0))
    set_value(attributes, index, value, Text(NULL, 0))
    return 0


cdef inline Text ellipsis() noexcept nogil:
    cdef const char* mark = b"\xe2\x80\xa6"
    return Text(<bytes_at>mark, 3)


cdef inline int split_names(Names* names, Arena* arena, Text text) except -1 nogil:
    cdef bytes_at start = text.data
    cdef bytes_at p = start
    cdef bytes_at end = start + text.size
    while p < end:
        if p[0] == 44:  # a comma
            add_name(names, arena, Text(start, p - start))
            start = p + 1
        p += 1
    if same(Text(start, end - start), ellipsis()):
        names.cut = True
        return 0
    return add_name(names, arena, Text(start, end - start))


cdef inline int write_names(Names* names, Attributes* attributes, Arena* arena, Text key) except -1 nogil:
    cdef AnyValue before
    cdef size_t index
    cdef uint8_t* start
    cdef uint8_t* out
    read_attribute(attributes, key, &before)
    if before.kind == STRING and before.size:
        split_names(names, arena, Text(before.data, before.size))
    qsort(names.list, names.count, sizeof(Text), by_bytes)
    if names.cut:
        add_name(names, arena, ellipsis())
    start = arena_take(arena, names.size + 11)
    start[0] = STRING_TAG
    out = write_varint(start + 1, names.size - 1)
    for index in range(names.count):
        if index:
            out[0] = 44
            out += 1
        memcpy(out, names.list[index].data, names.list[index].size)
        out += names.list[index].size
    return put_attribute(attributes, key, Text(start, out - start))


cdef inline int write_count(size_t count, Attributes* attributes, Arena* arena, Text key) except -1 nogil:
    cdef AnyValue before
    cdef uint8_t* start = arena_take(arena, 16)
    read_attribute(attributes, key, &before)
    if before.kind == INT:
        count += before.number
    start[0] = INT_TAG
    return put_attribute(attributes, key, Text(start, write_varint(start + 1, count) - start))


cdef inline Text name_of(int category, bint of_body, bint is_count, Arena* arena) except * nogil:
    """`redaction.masked.keys`, `redaction.body.ignored.count` and so on."""
    cdef const char* words[4]
    cdef uint8_t* start = arena_take(arena, 48)
    cdef uint8_t* out = start
    cdef int index
    words[0] = "redaction."
    words[1] = "body." if of_body else ""
    words[2] = "redacted" if category == REDACTED else "masked" if category == MASKED else (
        "allowed" if category == ALLOWED else "ignored"
    )
    words[3] = ".count" if is_count else ".keys"
    for index in range(4):
        memcpy(out, words[index], strlen(words[index]))
        out += strlen(words[index])
    return Text(start, out - start)


cdef inline int write_summary(
    Summary* summary, Attributes* attributes, Arena* arena, bint named, bint of_body
) except -1 nogil:
    cdef int category
    if not summary.any:
        return 0
    for category in range(CATEGORIES):
        if summary.counts[category] == 0:
            continue
        if named and category != IGNORED:
            write_names(&summary.names[category], attributes, arena, name_of(category, of_body, False, arena))
        write_count(summary.counts[category], attributes, arena, name_of(category, of_body, True, arena))
    return 0
