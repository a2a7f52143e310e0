# Descriptors of fields that hold a value; part of _view.pyx.

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
