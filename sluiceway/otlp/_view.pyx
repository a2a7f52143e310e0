# cython: boundscheck=False, wraparound=False, cdivision=True
"""A batch as objects that read and write its bytes: what is not touched is not decoded.

A `Draft` holds the bytes and what has been changed so far; views are thin and find their fields when they are asked.
`sluiceway.otlp.view` declares, with the descriptors that stand here, which fields each kind of view has.

Memory: views keep their draft, and the draft its bytes, so that a view that outlives the call raises and does no harm.
Everything happens under the GIL and in one piece, but for the last walk, before which the draft is closed. What user
code may do in the middle of (values of foreign types, finalisers) comes before any pointer is taken.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeUTF8
from libc.math cimport isnan
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from sluiceway.otlp._anyvalue cimport (
    ARRAY, BOOL, BOOL_TAG, BYTES, DOUBLE, DOUBLE_TAG, INT, INT_TAG, KVLIST, STRING, STRING_TAG, AnyValue, malformed,
    read_any,
)
from sluiceway.otlp._arena cimport Arena, arena_free, arena_take, arena_zeroed
from sluiceway.otlp._attributes cimport REMOVED, Text, attributes_free, find, remove_all
from sluiceway.otlp._containers cimport (
    EXPONENTIAL_HISTOGRAM, GAUGE, HISTOGRAM, METRICS, SUM, SUMMARY, TRACES,
)
from sluiceway.otlp._message cimport (
    Message, emit_message, find_attribute, find_field, gather_attributes, list_repeated, nested, next_field,
    set_attribute, set_field, sized_field, joined,
)
from sluiceway.otlp._proto cimport (
    RELEASE_ABOVE, WIRE_BYTES, WIRE_FIXED32, WIRE_FIXED64, WIRE_VARINT, bytes_at, read_varint, write_varint,
)
from sluiceway.otlp._spine cimport (
    BATCH, DATA, ENTRY, ITEM, METRIC, NOWHERE, SCOPE, Node, Spine, drop, list_children, prune, spine_free, touch,
)
from sluiceway.otlp._splice cimport Opened, Splices, close_message, open_message, splice, spliced, splices_free

from sluiceway.otlp.anyvalue import decode_value, encode_value

KINDS = (
    "Resource", "Scope", "Metric", "Span", "LogRecord", "NumberPoint", "HistogramPoint", "ExponentialHistogramPoint",
    "SummaryPoint",
)

cdef enum Kind:  # the places of the classes above
    RESOURCE_KIND = 0
    SCOPE_KIND
    METRIC_KIND
    SPAN_KIND
    LOG_KIND
    NUMBER_KIND
    HISTOGRAM_KIND
    EXPONENTIAL_KIND
    SUMMARY_KIND

Found = object  # for annotations: what a value that was read can be

cdef tuple NO_ARGUMENTS = ()
cdef object LOWEST = -0x8000000000000000
cdef object HIGHEST = 0x7FFFFFFFFFFFFFFF

cdef extern from *:
    """
    /* Make an instance of a class whose __init__ refuses to. */
    static PyObject *new_instance(PyObject *kind, PyObject *arguments) {
        return ((PyTypeObject *)kind)->tp_new((PyTypeObject *)kind, arguments, NULL);
    }
    """
    object new_instance(object kind, tuple arguments)


cdef class Draft:
    """The bytes of a batch with what has been changed so far."""

    cdef readonly bytes payload
    cdef readonly bint closed
    cdef int signal
    cdef Arena arena
    cdef Spine spine
    cdef Message* edited
    cdef tuple classes
    cdef dict handed  # arrays and maps that were handed out, and how they looked then

    def __cinit__(self, int signal, bytes payload not None, tuple classes not None):
        cdef bytes_at start = <bytes_at>PyBytes_AS_STRING(payload)
        cdef bytes_at end = start + PyBytes_GET_SIZE(payload)
        self.payload = payload
        self.signal = signal
        self.classes = classes
        if len(classes) != len(KINDS) or not all(issubclass(kind, View) for kind in classes):
            raise TypeError("a class of views is needed for each kind")
        self.handed = {}
        if end - start > RELEASE_ABOVE:
            with nogil:
                list_children(&self.spine, start, end, NOWHERE, BATCH, signal == METRICS)
        else:
            list_children(&self.spine, start, end, NOWHERE, BATCH, signal == METRICS)

    def __dealloc__(self):
        cdef Message* message = self.edited
        while message != NULL:
            attributes_free(&message.attributes)
            message = message.edited
        spine_free(&self.spine)
        arena_free(&self.arena)

    def __len__(self):
        return self.spine.items - self.spine.dropped

    def close(self):
        """Make all views raise from now on."""
        self.closed = True

    def finish(self):
        """Close, and give the bytes with all changes (the same object where there are none) and their items."""
        self.require_open()
        self.write_back()
        self.closed = True
        cdef Splices splices
        memset(&splices, 0, sizeof(Splices))
        try:
            if len(self.payload) > RELEASE_ABOVE:
                with nogil:
                    self.emit_all(&splices)
            else:
                self.emit_all(&splices)
            return spliced(&splices, self.payload), self.spine.items - self.spine.dropped
        finally:
            splices_free(&splices)

    def views(self, int part):
        """All that are still there of resources (1), scopes (2), metrics (3) or items (5)."""
        self.require_open()
        return make_views(self, 0, self.spine.count, part)

    def read(self, tuple fields not None, int part, str key=None):
        """One value for each item: of a field, chosen by the item's kind, of the item or what it lies in."""
        cdef list values = []
        cdef uint32_t index, place
        cdef uint32_t last = NOWHERE
        cdef object value = None
        cdef Message* message
        cdef Field field
        for index in range(self.spine.count):
            if self.spine.nodes[index].part != ITEM or self.spine.nodes[index].dropped:
                continue
            self.require_open()
            place = self.above(index, part)
            if place == NOWHERE:
                value = None
            elif part == ITEM or place != last:
                message = self.message_at(place)
                field = <Field?>fields[message.kind] if fields[message.kind] is not None else None
                value = None if field is None else field.read(self, message) if key is None else (
                    (<AttributesOf?>field).look_up(self, message, key, None)
                )
            last = place
            values.append(value)
        return values

    def write(self, tuple fields not None, values, str key=None):
        """Set a field, or an attribute, of each item to its value; None leaves the item as it is."""
        cdef uint32_t index
        cdef Message* message
        cdef Field field
        values = iter(values)
        for index in range(self.spine.count):
            if self.spine.nodes[index].part != ITEM or self.spine.nodes[index].dropped:
                continue
            value = next(values)
            self.require_open()
            if value is None:
                continue
            message = self.message_at(index)
            if fields[message.kind] is None:
                raise AttributeError("an item has no such field")
            field = <Field?>fields[message.kind]
            if key is None:
                field.write(self, message, value)
            else:
                (<AttributesOf?>field).put(self, message, key, value)

    def keep(self, bytes mask not None):
        """Drop the items whose byte in `mask` is zero."""
        cdef uint32_t index
        cdef Py_ssize_t place = 0
        cdef const char* wanted = PyBytes_AS_STRING(mask)
        self.require_open()
        if <uint32_t>len(mask) != self.spine.items - self.spine.dropped:
            raise ValueError(f"the mask has {len(mask)} places for {len(self)} items")
        for index in range(self.spine.count):
            if self.spine.nodes[index].part == ITEM and not self.spine.nodes[index].dropped:
                if not wanted[place]:
                    drop(&self.spine, index)
                place += 1

    cdef int require_open(self) except -1:
        if self.closed:
            raise RuntimeError("this view belongs to a batch whose call is over: keep values, not views")
        return 0

    cdef uint32_t above(self, uint32_t index, int part) noexcept:
        while index != NOWHERE and self.spine.nodes[index].part != part:
            index = self.spine.nodes[index].parent
        return index

    cdef Message* message_at(self, uint32_t index) except NULL:
        cdef Node* node = &self.spine.nodes[index]
        if node.message == NULL:
            node.message = <Message*>arena_zeroed(&self.arena, sizeof(Message))
            node.message.content = Text(node.body, node.end - node.body)
            node.message.node = index
            node.message.kind = self.kind_of(node)
        return node.message

    cdef uint8_t kind_of(self, Node* node) noexcept:
        """The kind of view that shows a node; that of the data of a metric means nothing, for none does."""
        cdef uint8_t data
        if node.part != ITEM:
            return <uint8_t>(node.part - ENTRY)
        if self.signal != METRICS:
            return SPAN_KIND if self.signal == TRACES else LOG_KIND
        data = self.spine.nodes[node.parent].tag
        if data == HISTOGRAM:
            return HISTOGRAM_KIND
        if data == EXPONENTIAL_HISTOGRAM:
            return EXPONENTIAL_KIND
        return SUMMARY_KIND if data == SUMMARY else NUMBER_KIND

    cdef View view_at(self, uint32_t index):
        cdef Message* message = self.message_at(index)
        if self.spine.nodes[index].part == DATA:
            raise ValueError("the data of a metric has no view")
        return make_view(self.classes[message.kind], self, message)

    cdef int change(self, Message* message, uint32_t numbers, uint32_t number, Text written) except -1:
        """Put a whole field in place of those of some numbers. Of what a caller does, only this comes last."""
        set_field(message, &self.arena, numbers, number, written)
        return self.mark(message)

    cdef int mark(self, Message* message) except -1:
        """Note that a message has changed, and so has all that it lies in."""
        cdef uint32_t node = message.node
        while message != NULL:
            message.dirty = True
            message = message.parent
        touch(&self.spine, node)
        return 0

    cdef object value_of(self, Message* message, uint32_t number, bytes key, Text content):
        """What an `AnyValue` holds. Of an array or map the same object each time, so that it can be edited in place."""
        cdef AnyValue value
        cdef double real
        read_any(content.data, content.size, &value)
        if value.kind == STRING:
            return PyUnicode_DecodeUTF8(<const char*>value.data, value.size, "replace")
        if value.kind == INT:
            return <int64_t>value.number
        if value.kind == BOOL:
            return value.number != 0
        if value.kind == DOUBLE:
            memcpy(&real, &value.number, 8)
            return real
        if value.kind == BYTES:
            return PyBytes_FromStringAndSize(<const char*>value.data, value.size)
        if value.kind != ARRAY and value.kind != KVLIST:
            return None
        place = (<size_t>message, number, key)
        handed = self.handed.get(place)
        if handed is None:
            found = decode_value(PyBytes_FromStringAndSize(<const char*>content.data, content.size))
            handed = self.handed[place] = (found, repr(found))
        return handed[0]

    cdef int forget(self, Message* message, uint32_t number, bytes key) except -1:
        """A value is replaced: what was handed out of it is nobody's any more."""
        if self.handed:
            self.handed.pop((<size_t>message, number, key), None)
        return 0

    cdef int write_back(self) except -1:
        """Write the arrays and maps that were edited in place."""
        cdef Message* message
        cdef Text content
        cdef Text name
        for (place, number, key), (value, before) in list(self.handed.items()):
            if repr(value) == before:
                continue
            encode(self, value, &content)
            message = <Message*><size_t>place
            if number:
                write_nested(self, message, number, content)
            else:
                name = Text(<bytes_at>PyBytes_AS_STRING(key), len(key))
                copy_text(self, &name)
                write_attribute(self, message, name, content)
        return 0

    cdef int emit_all(self, Splices* splices) except -1 nogil:
        cdef uint32_t index = 0
        prune(&self.spine)
        while index < self.spine.count:
            if self.spine.nodes[index].touched:
                self.emit_node(index, splices)
            index = self.spine.nodes[index].after
        return 0

    cdef int emit_node(self, uint32_t index, Splices* splices) except -1 nogil:
        cdef Node* node = &self.spine.nodes[index]
        cdef Opened opened
        if node.dropped:
            return splice(splices, node.field, node.end - node.field, NULL, 0)
        open_message(splices, node.prefix, &opened)
        if node.part == ITEM:
            emit_message(node.message, splices, &self.arena)
        else:
            self.emit_container(index, splices)
        close_message(splices, &opened, node.body - node.prefix, node.end - node.body)
        return 0

    cdef int emit_container(self, uint32_t index, Splices* splices) except -1 nogil:
        """Report what changed of a container itself and of what lies in it.

        Of what stands at one place, what is reported first comes first: what is added at the end of something inside
        must not come behind what changes right after it. In front of it all, it may be reported first, which spares
        the sorting.
        """
        cdef Node* node = &self.spine.nodes[index]
        cdef Splices own
        cdef uint32_t inner = index + 1
        cdef bint waits
        memset(&own, 0, sizeof(Splices))
        try:
            if node.message != NULL and node.message.dirty:
                emit_message(node.message, &own, &self.arena)
            waits = own.count > 0 and inner < node.after and own.list[own.count - 1].at > self.spine.nodes[inner].field
            if not waits:
                append_splices(splices, &own)
            while inner < node.after:
                if self.spine.nodes[inner].touched:
                    self.emit_node(inner, splices)
                inner = self.spine.nodes[inner].after
            if waits:
                append_splices(splices, &own)
            return 0
        finally:
            splices_free(&own)


cdef int append_splices(Splices* splices, Splices* more) except -1 nogil:
    cdef size_t index
    for index in range(more.count):
        splice(splices, more.list[index].at, more.list[index].removed, more.list[index].insert, more.list[index].inserted)
    return 0


cdef class View:
    """A message of a batch, for as long as the call lasts."""

    cdef Draft draft
    cdef Message* message

    def __init__(self):
        raise TypeError(f"a {type(self).__name__} is made by its batch")

    def __eq__(self, other):
        return isinstance(other, View) and (<View>other).message == self.message and (<View>other).draft is self.draft

    def __hash__(self):
        return hash(<size_t>self.message)

    cdef int require_open(self) except -1:
        if self.draft is None:
            raise TypeError("a view is made by its batch")
        return self.draft.require_open()


cdef class Part(View):
    """A view that can be taken out of its batch."""

    @property
    def dropped(self):
        """Whether it was taken out, or what it lies in was."""
        cdef Message* message = self.message
        self.require_open()
        if message.dropped or self.draft.spine.nodes[message.node].dropped:
            return True
        return False

    def drop(self):
        """Take it out, with all that it holds. It can still be read until the call is over."""
        self.require_open()
        if self.message.parent == NULL:
            drop(&self.draft.spine, self.message.node)
        elif not self.message.dropped:
            self.message.dropped = True
            self.draft.mark(self.message)


cdef View make_view(object kind, Draft draft, Message* message):
    cdef View view = <View>new_instance(kind, NO_ARGUMENTS)
    view.draft = draft
    view.message = message
    return view


cdef class Views:
    """A sequence of what is still there."""

    cdef Draft draft
    cdef uint32_t start
    cdef uint32_t stop
    cdef int part

    def __init__(self):
        raise TypeError("a sequence of views is made by its batch")

    def __iter__(self):
        self.require_open()
        cdef ViewsIterator walk = ViewsIterator.__new__(ViewsIterator)
        walk.views = self
        walk.at = self.start
        return walk

    def __len__(self):
        self.require_open()
        cdef Py_ssize_t count = 0
        cdef uint32_t index
        for index in range(self.start, self.stop):
            count += self.is_one(index)
        return count

    def __getitem__(self, place):
        if isinstance(place, slice):
            return list(self)[place]
        cdef Py_ssize_t left = place
        if left < 0:
            left += len(self)
        self.require_open()
        cdef uint32_t index
        if left >= 0:
            for index in range(self.start, self.stop):
                if self.is_one(index):
                    if left == 0:
                        return self.draft.view_at(index)
                    left -= 1
        raise IndexError("there are not so many")

    cdef bint is_one(self, uint32_t index) noexcept:
        return self.draft.spine.nodes[index].part == self.part and not self.draft.spine.nodes[index].dropped

    cdef int require_open(self) except -1:
        if self.draft is None:
            raise TypeError("a sequence of views is made by its batch")
        return self.draft.require_open()


cdef class ViewsIterator:
    """Walks through a sequence of views, which may become shorter meanwhile."""

    cdef Views views
    cdef uint32_t at

    def __iter__(self):
        return self

    def __next__(self):
        cdef Views views = self.views
        if views is None:
            raise TypeError("it is made by its sequence")
        views.require_open()
        cdef uint32_t index = self.at
        while index < views.stop:
            if views.is_one(index):
                self.at = index + 1
                return views.draft.view_at(index)
            index += 1
        self.at = index
        raise StopIteration


cdef Views make_views(Draft draft, uint32_t start, uint32_t stop, int part):
    cdef Views views = Views.__new__(Views)
    views.draft = draft
    views.start = start
    views.stop = stop
    views.part = part
    return views


include "_view_values.pxi"
include "_view_fields.pxi"
include "_view_relations.pxi"
include "_view_attributes.pxi"
