# Attribute values and numbers between Python and the wire; part of _view.pyx.

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
