"""What an edit changes in a run of bytes: a list of splices, written out in one pass.

A walk reports each change where it meets it. The length prefixes of the messages around a change are splices too: one
is opened on entering a message and gets its value on leaving, when it is known by how much the message grew.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, qsort, realloc
from libc.string cimport memcpy

from sluiceway.otlp._arena cimport out_of_memory
from sluiceway.otlp._proto cimport bytes_at, varint_size, write_varint


cdef struct Splice:
    bytes_at at  # where in the source
    size_t removed  # how many bytes of the source are left out there
    bytes_at insert  # what stands there instead; NULL means the varint `length`
    size_t inserted
    uint64_t length
    size_t order  # of those at one place


cdef struct Splices:
    # Zero it to begin; give it back with `splices_free`.
    Splice* list
    size_t count
    size_t capacity
    int64_t growth
    bint unordered


cdef inline void splices_begin(Splices* splices) noexcept nogil:
    splices.count = 0
    splices.growth = 0
    splices.unordered = False


cdef inline int splice(Splices* splices, bytes_at at, size_t removed, bytes_at insert, size_t inserted) except -1 nogil:
    """Put `insert`, which must stay where it is until all is written, in place of `removed` bytes of the source."""
    cdef Splice* entry
    cdef size_t capacity
    if splices.count == splices.capacity:
        capacity = max(2 * splices.capacity, <size_t>64)
        entry = <Splice*>realloc(splices.list, capacity * sizeof(Splice))
        if entry == NULL:
            out_of_memory()
        splices.list = entry
        splices.capacity = capacity
    entry = &splices.list[splices.count]
    if splices.count and entry[-1].at > at:
        splices.unordered = True
    entry.at = at
    entry.removed = removed
    entry.insert = insert
    entry.inserted = inserted
    entry.length = 0
    entry.order = splices.count
    splices.count += 1
    splices.growth += <int64_t>inserted - <int64_t>removed
    return 0


cdef struct Opened:
    size_t index
    int64_t growth


cdef inline int open_message(Splices* splices, bytes_at prefix, Opened* opened) except -1 nogil:
    """Begin a message whose length prefix stands at `prefix`."""
    opened.index = splices.count
    opened.growth = splices.growth
    return splice(splices, prefix, 0, NULL, 0)


cdef inline void close_message(Splices* splices, Opened* opened, size_t prefix_size, size_t length) noexcept nogil:
    """End it; `length` is what the prefix says in the source."""
    cdef Splice* entry
    if splices.count == opened.index + 1:
        splices.count = opened.index
    elif splices.growth != opened.growth:
        entry = &splices.list[opened.index]
        entry.length = <uint64_t>(<int64_t>length + splices.growth - opened.growth)
        entry.removed = prefix_size
        entry.inserted = varint_size(entry.length)
        splices.growth += <int64_t>entry.inserted - <int64_t>prefix_size


cdef inline int take_out(Splices* splices, bytes_at at, size_t size) except -1 nogil:
    """Leave out a run of bytes; one that follows another is the same run, if nothing is put in between."""
    cdef Splice* last
    if splices.count and not splices.unordered:
        last = &splices.list[splices.count - 1]
        if last.removed and last.inserted == 0 and last.at + last.removed == at:
            last.removed += size
            splices.growth -= <int64_t>size
            return 0
    return splice(splices, at, size, NULL, 0)


cdef inline int withdraw_message(Splices* splices, Opened* opened, bytes_at field, size_t size) except -1 nogil:
    """Forget what was changed in a message that was opened, and leave out its field."""
    splices.count = opened.index
    splices.growth = opened.growth
    return take_out(splices, field, size)


cdef inline int by_place(const void* left, const void* right) noexcept nogil:
    cdef const Splice* a = <const Splice*>left
    cdef const Splice* b = <const Splice*>right
    if a.at != b.at:
        return -1 if a.at < b.at else 1
    return -1 if a.order < b.order else 1


cdef inline void order_since(Splices* splices, size_t first, bint unordered) noexcept nogil:
    """Bring what was reported since there were `first` splices, which were `unordered` or not, into its order."""
    if splices.unordered and not unordered:
        qsort(splices.list + first, splices.count - first, sizeof(Splice), by_place)
        splices.unordered = False


cdef inline void write_spliced(Splices* splices, bytes_at source, bytes_at end, uint8_t* out) noexcept nogil:
    cdef Splice* entry = splices.list
    cdef Splice* last = entry + splices.count
    while entry < last:
        memcpy(out, source, entry.at - source)
        out += entry.at - source
        source = entry.at + entry.removed
        if entry.insert != NULL:
            memcpy(out, entry.insert, entry.inserted)
            out += entry.inserted
        elif entry.inserted:
            out = write_varint(out, entry.length)
        entry += 1
    memcpy(out, source, end - source)


cdef inline bytes spliced(Splices* splices, bytes source):
    """The bytes after all changes; the same object where there are none."""
    cdef bytes_at start = <bytes_at>PyBytes_AS_STRING(source)
    cdef bytes_at end = start + len(source)
    cdef bytes result
    cdef uint8_t* out
    if splices.count == 0:
        return source
    result = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>(end - start + splices.growth))
    out = <uint8_t*>PyBytes_AS_STRING(result)
    with nogil:
        if splices.unordered:
            qsort(splices.list, splices.count, sizeof(Splice), by_place)
        write_spliced(splices, start, end, out)
    return result


cdef inline void splices_free(Splices* splices) noexcept nogil:
    free(splices.list)
    splices.list = NULL
