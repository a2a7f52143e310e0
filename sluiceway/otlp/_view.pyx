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


# ---- values on the wire

cdef int copy_text(Draft draft, Text* text) except -1:
    """Have a text stand in the draft's arena, where it stays."""
    cdef uint8_t* place = arena_take(&draft.arena, text.size + 1)
    memcpy(place, text.data, text.size)
    text.data = place
    return 0


cdef int text_of(object value, Text* text) except -1:
    """The UTF-8 of a string, which lives as long as the string does."""
    cdef Py_ssize_t size = 0
    text.data = <bytes_at>PyUnicode_AsUTF8AndSize(value, &size)
    text.size = size
    return 0


cdef int encode(Draft draft, object value, Text* content) except -1:
    """Write the content of an `AnyValue` into the arena. Raises `ValueError` for what OTLP cannot hold."""
    cdef object kind = type(value)
    cdef uint8_t* place
    cdef double real
    cdef Text text
    cdef bytes encoded
    if kind is str:
        text_of(value, &text)
        return sized_field(&draft.arena, STRING_TAG, text, content)
    if kind is bool:
        place = arena_take(&draft.arena, 2)
        place[0] = BOOL_TAG
        place[1] = value is True
        content[0] = Text(place, 2)
        return 0
    if kind is float and not isnan(<double>value):
        real = value
        place = arena_take(&draft.arena, 9)
        place[0] = DOUBLE_TAG
        memcpy(place + 1, &real, 8)
        content[0] = Text(place, 9)
        return 0
    if kind is int and LOWEST <= value <= HIGHEST:
        place = arena_take(&draft.arena, 11)
        place[0] = INT_TAG
        content[0] = Text(place, write_varint(place + 1, <uint64_t><int64_t>value) - place)
        return 0
    if kind.__module__ == "numpy":
        value = value.tolist()  # a scalar becomes Python's own, an array a list
    encoded = encode_value(value)
    draft.require_open()  # the value's own code has run
    content[0] = Text(<bytes_at>PyBytes_AS_STRING(encoded), len(encoded))
    return copy_text(draft, content)


cdef int write_attribute(Draft draft, Message* message, Text name, Text content) except -1:
    gather_attributes(message, &draft.arena, &draft.edited)
    set_attribute(message, name, content)
    if message.attributes.dirty:
        draft.mark(message)
    return 0


cdef int write_nested(Draft draft, Message* message, uint32_t number, Text content) except -1:
    cdef Text written
    sized_field(&draft.arena, number << 3 | WIRE_BYTES, content, &written)
    return draft.change(message, <uint32_t>1 << number, number, written)


cdef int write_number(
    Draft draft, Message* message, uint32_t numbers, uint32_t number, int wire, uint64_t value
) except -1:
    """Set a number by its bits."""
    cdef uint8_t* place = arena_take(&draft.arena, 20)
    cdef uint8_t* out = write_varint(place, number << 3 | wire)
    if wire == WIRE_VARINT:
        out = write_varint(out, value)
    elif wire == WIRE_FIXED64:
        memcpy(out, &value, 8)
        out += 8
    else:
        memcpy(out, &value, 4)
        out += 4
    return draft.change(message, numbers, number, Text(place, out - place))


cdef uint64_t bits_of(uint32_t tag, Text value) noexcept:
    """A number as it stands, whatever its wire type."""
    cdef uint64_t bits = 0
    if tag & 7 == WIRE_VARINT:
        read_varint(value.data, value.data + value.size, &bits)
    else:
        memcpy(&bits, value.data, min(value.size, <size_t>8))
    return bits


# ---- views

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
    cdef uint32_t at
    cdef int part

    def __init__(self):
        raise TypeError("a sequence of views is made by its batch")

    def __iter__(self):
        self.require_open()
        return make_views(self.draft, self.start, self.stop, self.part)

    def __next__(self):
        self.require_open()
        cdef uint32_t index = self.at
        while index < self.stop:
            if self.is_one(index):
                self.at = index + 1
                return self.draft.view_at(index)
            index += 1
        self.at = index
        raise StopIteration

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


cdef Views make_views(Draft draft, uint32_t start, uint32_t stop, int part):
    cdef Views views = Views.__new__(Views)
    views.draft = draft
    views.start = views.at = start
    views.stop = stop
    views.part = part
    return views


# ---- fields

cdef class Field:
    """A field of a view. With `inside`, of the singular message in that field of it."""

    cdef uint32_t number
    cdef uint8_t inside
    cdef str name

    def __set_name__(self, owner, str name):
        self.name = f"{owner.__name__}.{name}"

    def __get__(self, view, owner):
        if view is None:
            return self
        (<View?>view).require_open()
        return self.read((<View>view).draft, (<View>view).message)

    def __set__(self, view, value):
        (<View?>view).require_open()
        self.write((<View>view).draft, (<View>view).message, value)

    cdef object read(self, Draft draft, Message* message):
        raise NotImplementedError

    cdef int write(self, Draft draft, Message* message, object value) except -1:
        raise AttributeError(f"{self.name} cannot be set")

    cdef Message* target(self, Draft draft, Message* message) except NULL:
        return nested(message, &draft.arena, self.inside) if self.inside else message

    cdef int require(self, object value, object kind) except -1:
        if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
            raise TypeError(f"{self.name} must be {kind.__name__}, not {type(value).__name__}")
        return 0


cdef class TextField(Field):
    """A string; empty where it is absent."""

    def __init__(self, uint32_t number, *, uint8_t inside=0):
        self.number = number
        self.inside = inside

    cdef object read(self, Draft draft, Message* message):
        cdef Text text
        message = self.target(draft, message)
        if find_field(message, <uint32_t>1 << self.number, &text) == 0:
            return ""
        return PyUnicode_DecodeUTF8(<const char*>text.data, text.size, "replace")

    cdef int write(self, Draft draft, Message* message, object value) except -1:
        cdef Text text
        self.require(value, str)
        text_of(value, &text)
        draft.require_open()
        message = self.target(draft, message)
        if text.size:
            return write_nested(draft, message, self.number, text)
        return draft.change(message, <uint32_t>1 << self.number, self.number, Text(NULL, 0))


cdef class IdField(Field):
    """An id of 16 or 8 bytes as lower-case hexadecimal digits; empty where it is absent."""

    cdef Py_ssize_t size

    def __init__(self, uint32_t number, Py_ssize_t size):
        self.number = number
        self.size = size

    cdef object read(self, Draft draft, Message* message):
        cdef Text text
        if find_field(message, <uint32_t>1 << self.number, &text) == 0:
            return ""
        return PyBytes_FromStringAndSize(<const char*>text.data, text.size).hex()

    cdef int write(self, Draft draft, Message* message, object value) except -1:
        cdef bytes raw
        self.require(value, str)
        raw = bytes.fromhex(value)
        if len(raw) not in (0, self.size):
            raise ValueError(f"{self.name} must have {2 * self.size} hexadecimal digits")
        draft.require_open()
        return write_nested(draft, message, self.number, Text(<bytes_at>PyBytes_AS_STRING(raw), len(raw)))


cdef class IntField(Field):
    """An integer; 0 where it is absent. `kind` is its type in the schema."""

    cdef int wire
    cdef bint zigzag
    cdef bint is_signed
    cdef object lowest
    cdef object highest

    def __init__(self, uint32_t number, str kind, *, uint8_t inside=0):
        self.number = number
        self.inside = inside
        self.wire = {"fixed64": WIRE_FIXED64, "fixed32": WIRE_FIXED32}.get(kind, WIRE_VARINT)
        self.zigzag = kind == "sint32"
        self.is_signed = kind in ("enum", "int32", "sint32")
        self.lowest = -0x80000000 if self.is_signed else 0
        self.highest = 0x7FFFFFFF if self.is_signed else 0xFFFFFFFF if kind != "fixed64" else 0xFFFFFFFFFFFFFFFF

    cdef object read(self, Draft draft, Message* message):
        cdef Text text
        cdef uint64_t bits
        message = self.target(draft, message)
        cdef uint32_t tag = find_field(message, <uint32_t>1 << self.number, &text)
        if tag == 0:
            return 0
        bits = bits_of(tag, text)
        if self.zigzag:
            return <int32_t>((bits >> 1) ^ -(bits & 1))
        if self.is_signed:
            return <int32_t>bits
        return bits if self.wire == WIRE_FIXED64 else <uint32_t>bits

    cdef int write(self, Draft draft, Message* message, object value) except -1:
        cdef int64_t number
        cdef uint64_t bits
        self.require(value, int)
        if not self.lowest <= value <= self.highest:
            raise ValueError(f"{self.name} must be from {self.lowest} to {self.highest}")
        if self.is_signed:
            number = value
            bits = <uint64_t>((number << 1) ^ (number >> 63)) if self.zigzag else <uint64_t>number
        else:
            bits = value
        draft.require_open()
        message = self.target(draft, message)
        if bits == 0:
            return draft.change(message, <uint32_t>1 << self.number, self.number, Text(NULL, 0))
        return write_number(draft, message, <uint32_t>1 << self.number, self.number, self.wire, bits)


cdef class FlagField(Field):
    """True or false."""

    def __init__(self, uint32_t number):
        self.number = number

    cdef object read(self, Draft draft, Message* message):
        cdef Text text
        cdef uint32_t tag = find_field(message, <uint32_t>1 << self.number, &text)
        return tag != 0 and bits_of(tag, text) != 0


cdef class RealField(Field):
    """A double; 0.0 where it is absent."""

    cdef bint optional

    def __init__(self, uint32_t number):
        self.number = number

    cdef object read(self, Draft draft, Message* message):
        cdef Text text
        cdef double value = 0
        cdef uint64_t bits
        cdef uint32_t tag = find_field(message, <uint32_t>1 << self.number, &text)
        if tag == 0:
            return None if self.optional else 0.0
        bits = bits_of(tag, text)
        memcpy(&value, &bits, 8)
        return value

    cdef int write(self, Draft draft, Message* message, object value) except -1:
        cdef double real
        cdef uint64_t bits
        if value is None and self.optional:
            draft.require_open()
            return draft.change(message, <uint32_t>1 << self.number, self.number, Text(NULL, 0))
        self.require(value, (float if isinstance(value, float) else int))
        real = value
        memcpy(&bits, &real, 8)
        draft.require_open()
        return write_number(draft, message, <uint32_t>1 << self.number, self.number, WIRE_FIXED64, bits)


cdef class OptionalRealField(RealField):
    """A double; None where it is absent, and None clears it."""

    def __cinit__(self, uint32_t number):
        self.optional = True


cdef class NumberField(Field):
    """An int or a float, in two fields of which one is there; None where neither is."""

    cdef uint32_t ints
    cdef uint32_t reals

    def __init__(self, uint32_t ints, uint32_t reals):
        self.ints = ints
        self.reals = reals

    cdef object read(self, Draft draft, Message* message):
        cdef Text text
        cdef double real = 0
        cdef uint64_t bits
        cdef uint32_t tag = find_field(message, (<uint32_t>1 << self.ints) | (<uint32_t>1 << self.reals), &text)
        if tag == 0:
            return None
        bits = bits_of(tag, text)
        if tag >> 3 == self.ints:
            return <int64_t>bits
        memcpy(&real, &bits, 8)
        return real

    cdef int write(self, Draft draft, Message* message, object value) except -1:
        cdef uint32_t numbers = (<uint32_t>1 << self.ints) | (<uint32_t>1 << self.reals)
        cdef double real
        cdef uint64_t bits
        if isinstance(value, float):
            real = value
            memcpy(&bits, &real, 8)
            draft.require_open()
            return write_number(draft, message, numbers, self.reals, WIRE_FIXED64, bits)
        self.require(value, int)
        bits = <uint64_t><int64_t>value
        draft.require_open()
        return write_number(draft, message, numbers, self.ints, WIRE_FIXED64, bits)


cdef class AnyField(Field):
    """A value of any kind; None where it is absent, and None clears it. Arrays and maps can be edited in place."""

    def __init__(self, uint32_t number):
        self.number = number

    cdef object read(self, Draft draft, Message* message):
        cdef Text content
        cdef bint present = False
        joined(message, &draft.arena, self.number, &content, &present)
        return draft.value_of(message, self.number, None, content) if present else None

    cdef int write(self, Draft draft, Message* message, object value) except -1:
        cdef Text content = Text(NULL, 0)
        if value is not None:
            encode(draft, value, &content)
        draft.forget(message, self.number, None)
        draft.require_open()
        if value is not None:
            return write_nested(draft, message, self.number, content)
        return draft.change(message, <uint32_t>1 << self.number, self.number, content)


cdef class SpanOfTime(Field):
    """The time from one field to another, in their unit; it cannot be set."""

    cdef IntField start
    cdef IntField end

    def __init__(self, IntField start not None, IntField end not None):
        self.start = start
        self.end = end

    cdef object read(self, Draft draft, Message* message):
        return self.end.read(draft, message) - self.start.read(draft, message)


cdef class NumbersField(Field):
    """A tuple of numbers (`fixed64`, `uint64` or `double`), packed or not; it cannot be set."""

    cdef bint are_real
    cdef bint are_varints

    def __init__(self, uint32_t number, str kind):
        self.number = number
        self.are_real = kind == "double"
        self.are_varints = kind == "uint64"

    cdef object read(self, Draft draft, Message* message):
        cdef bytes_at p = message.content.data
        cdef bytes_at end = p + message.content.size
        cdef uint32_t tag = 0
        cdef Text value
        cdef list found = []
        while p < end:
            p = next_field(p, end, &tag, &value)
            if tag >> 3 == self.number:
                self.add(found, value.data, value.data + value.size)
        return tuple(found)

    cdef int add(self, list found, bytes_at p, bytes_at end) except -1:
        cdef uint64_t bits = 0
        cdef double real
        while p < end:
            if self.are_varints:
                p = read_varint(p, end, &bits)
            elif end - p < 8:
                p = NULL
            else:
                memcpy(&bits, p, 8)
                p += 8
            if p == NULL:
                malformed()
            memcpy(&real, &bits, 8)
            found.append(real if self.are_real else bits)
        return 0


cdef class OneOf(Field):
    """The singular message in a field, as a view of its class; its fields have their defaults where it is absent."""

    cdef readonly object kind

    def __init__(self, uint32_t number, kind):
        if not issubclass(kind, View):
            raise TypeError("a class of views is needed")
        self.number = number
        self.kind = kind

    cdef object read(self, Draft draft, Message* message):
        return make_view(self.kind, draft, nested(message, &draft.arena, <uint8_t>self.number))


cdef class ManyOf(Field):
    """The messages in a repeated field that are still there, as a tuple of views."""

    cdef object kind

    def __init__(self, uint32_t number, kind):
        if not issubclass(kind, View):
            raise TypeError("a class of views is needed")
        self.number = number
        self.kind = kind

    cdef object read(self, Draft draft, Message* message):
        cdef list found = []
        list_repeated(message, &draft.arena, <uint8_t>self.number)
        cdef Message* child = message.first
        while child != NULL:
            if child.number == self.number and child.field.data != NULL and not child.dropped:
                found.append(make_view(self.kind, draft, child))
            child = child.next
        return tuple(found)


cdef class AboveField(Field):
    """The container that a view lies in: its resource (1), scope (2) or metric (3)."""

    cdef int part

    def __init__(self, int part):
        self.part = part

    cdef object read(self, Draft draft, Message* message):
        cdef uint32_t index = draft.above(message.node, self.part)
        return None if index == NOWHERE else draft.view_at(index)


cdef class BelowField(Field):
    """What a container holds of scopes (2), metrics (3) or items (5), as a sequence of views."""

    cdef int part

    def __init__(self, int part):
        self.part = part

    cdef object read(self, Draft draft, Message* message):
        return make_views(draft, message.node + 1, draft.spine.nodes[message.node].after, self.part)


cdef class InsideField(Field):
    """A field of the singular message in another field: for columns."""

    cdef Field field

    def __init__(self, OneOf outer not None, Field field not None):
        self.inside = <uint8_t>outer.number
        self.field = field

    cdef object read(self, Draft draft, Message* message):
        return self.field.read(draft, self.target(draft, message))

    cdef int write(self, Draft draft, Message* message, object value) except -1:
        return self.field.write(draft, self.target(draft, message), value)


cdef dict TYPES = {
    GAUGE: "gauge", SUM: "sum", HISTOGRAM: "histogram", EXPONENTIAL_HISTOGRAM: "exponential_histogram",
    SUMMARY: "summary",
}


cdef class TypeField(Field):
    """What kind of data a metric has; None for none."""

    cdef object read(self, Draft draft, Message* message):
        return TYPES.get(data_of(draft, message))


cdef class DataField(Field):
    """A number of a metric's data; of several pieces the last that has it. It cannot be set."""

    def __init__(self, uint32_t number):
        self.number = number

    cdef object read(self, Draft draft, Message* message):
        return <int32_t>self.bits(draft, message)

    cdef uint64_t bits(self, Draft draft, Message* message) except? 0:
        cdef uint32_t index = message.node + 1
        cdef Text text
        cdef uint32_t tag
        cdef uint64_t bits = 0
        while index < draft.spine.nodes[message.node].after:
            tag = find_field(draft.message_at(index), <uint32_t>1 << self.number, &text)
            if tag:
                bits = bits_of(tag, text)
            index = draft.spine.nodes[index].after
        return bits


cdef class SumFlagField(DataField):
    """A flag of the data of a sum; False for other data."""

    cdef object read(self, Draft draft, Message* message):
        return data_of(draft, message) == SUM and self.bits(draft, message) != 0


cdef uint8_t data_of(Draft draft, Message* metric) noexcept:
    """The tag of a metric's data; 0 for none."""
    cdef uint32_t index = metric.node + 1
    return 0 if index == draft.spine.nodes[metric.node].after else draft.spine.nodes[index].tag


# ---- attributes

cdef class AttributesOf(Field):
    """The attributes of a view, as a mapping made by `kind`."""

    cdef object kind

    def __init__(self, uint32_t number, kind, *, uint8_t inside=0):
        if not issubclass(kind, AttributesView):
            raise TypeError("a class of attributes is needed")
        self.number = number
        self.inside = inside
        self.kind = kind

    cdef Message* holder(self, Draft draft, Message* message) except NULL:
        message = self.target(draft, message)
        message.attribute_tag = <uint8_t>(self.number << 3 | WIRE_BYTES)
        return message

    cdef object read(self, Draft draft, Message* message):
        return make_view(self.kind, draft, self.holder(draft, message))

    cdef int write(self, Draft draft, Message* message, object value) except -1:
        """Have these attributes and no others; so does `|=`, which gives a view what it holds already."""
        message = self.holder(draft, message)
        if isinstance(value, AttributesView) and (<AttributesView>value).message == message:
            return 0
        given = dict(value)
        draft.require_open()
        view = <AttributesView>make_view(self.kind, draft, message)
        for key, each in given.items():
            view[key] = each
        for key in view.keys() - given.keys():
            del view[key]
        return 0

    cdef object look_up(self, Draft draft, Message* message, str key, object default):
        return look_up(draft, self.holder(draft, message), key, default)

    cdef int put(self, Draft draft, Message* message, str key, object value) except -1:
        return put(draft, self.holder(draft, message), key, value)


cdef object look_up(Draft draft, Message* message, str key, object default):
    cdef Text name
    cdef Text content
    text_of(key, &name)
    if not find_attribute(message, &draft.arena, name, &content):
        return default
    return draft.value_of(message, 0, (<const char*>name.data)[:name.size], content)


cdef int put(Draft draft, Message* message, str key, object value) except -1:
    cdef Text name
    cdef Text content
    encode(draft, value, &content)
    text_of(key, &name)
    copy_text(draft, &name)
    draft.forget(message, 0, (<const char*>name.data)[:name.size])
    draft.require_open()
    return write_attribute(draft, message, name, content)


cdef class AttributesView(View):
    """A mapping over the attributes in the bytes. Of several with one key the first counts."""

    def __getitem__(self, str key not None):
        self.require_open()
        found = look_up(self.draft, self.message, key, NO_ARGUMENTS)
        if found is NO_ARGUMENTS:
            raise KeyError(key)
        return found

    def get(self, str key not None, default=None):
        """The value, or `default` where there is no such attribute."""
        self.require_open()
        return look_up(self.draft, self.message, key, default)

    def __contains__(self, key):
        cdef Text name
        cdef Text content
        self.require_open()
        if not isinstance(key, str):
            return False
        text_of(key, &name)
        return find_attribute(self.message, &self.draft.arena, name, &content)

    def __setitem__(self, str key not None, value):
        self.require_open()
        put(self.draft, self.message, key, value)

    def __delitem__(self, str key not None):
        cdef Text name
        cdef Message* message = self.message
        self.require_open()
        text_of(key, &name)
        self.draft.forget(message, 0, (<const char*>name.data)[:name.size])
        self.require_open()
        gather_attributes(message, &self.draft.arena, &self.draft.edited)
        if find(&message.attributes, name, 0) < 0:
            raise KeyError(key)
        remove_all(&message.attributes, name, 0)
        self.draft.mark(message)

    def __iter__(self):
        return iter(self.keys())

    def __len__(self):
        return len(self.keys())

    def keys(self):
        """The keys as they are now, in the order in which they stand."""
        self.require_open()
        return self.gathered(False).keys()

    def values(self):
        """The values as they are now."""
        return self.copy().values()

    def items(self):
        """Keys and values as they are now."""
        return self.copy().items()

    def copy(self):
        """A dictionary of all attributes as they are now."""
        self.require_open()
        return self.gathered(True)

    cdef dict gathered(self, bint decoded):
        cdef dict found = {}
        cdef Message* message = self.message
        cdef size_t index = 0
        cdef Text name
        cdef Text content
        gather_attributes(message, &self.draft.arena, &self.draft.edited)
        while index < message.attributes.count:
            if message.attributes.list[index].state != REMOVED:
                name = message.attributes.list[index].key
                content = message.attributes.list[index].value
                if content.data == NULL:
                    content = Text(name.data, 0)
                key = PyUnicode_DecodeUTF8(<const char*>name.data, name.size, "replace")
                if key not in found:
                    found[key] = self.draft.value_of(
                        message, 0, (<const char*>name.data)[:name.size], content
                    ) if decoded else None
            index += 1
        return found
