# Descriptors of what a view holds or lies in; part of _view.pyx.

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
