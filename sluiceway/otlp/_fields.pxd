"""Fields of messages that conditions ask about: read where the walk meets them, by a table of tags."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from sluiceway.otlp._anyvalue cimport malformed
from sluiceway.otlp._arena cimport Arena
from sluiceway.otlp._attributes cimport Text, join_text
from sluiceway.otlp._proto cimport (
    WIRE_BYTES, WIRE_FIXED32, WIRE_FIXED64, WIRE_VARINT, bytes_at, read_length, read_tag, read_varint, skip_value,
)

cdef enum Message:
    RESOURCE = 0
    SCOPE = 1
    SPAN = 2
    LOG = 3
    METRIC = 4
    NUMBER = 5
    HISTOGRAM = 6
    EXPONENTIAL_HISTOGRAM = 7
    SUMMARY = 8
    EVENT = 9
    MESSAGES = 10

cdef enum:
    MOST_FIELDS = 63
    TAGS = 256  # those of all fields that can be asked about are smaller
    MOST_WISHES = 255


cdef struct Raw:
    # What stood in a field of the message at hand, the last time it came.
    uint64_t number
    Text text
    uint32_t tag  # 0: it did not come
    bint applies  # whether the message can have it
    Text field  # all of it, from its tag on
    bint apart  # the text is put together from pieces


cdef struct Listed:
    uint8_t number
    uint8_t inner  # the tag in the message that stands in the field; 0: the field itself
    bint joins  # several occurrences are one, as of a message


cdef struct Wish:
    uint8_t number  # of the field
    uint8_t next  # another wish with the same tag; 0: none


cdef struct Fields:
    # Which fields a program wants; fields and wishes are numbered from 1.
    uint8_t first[MESSAGES][TAGS]  # the wish that a tag fulfils; 0: nobody asks
    Wish wishes[MOST_WISHES + 1]
    size_t wish_count
    Listed listed[MOST_FIELDS + 1]
    size_t field_count
    uint8_t wanted[MESSAGES][MOST_FIELDS + 1]
    bint applies[MESSAGES][MOST_FIELDS + 1]
    size_t count[MESSAGES]


cdef inline void fields_begin(Fields* fields, Raw* raws, int message, bytes_at start) noexcept nogil:
    """Forget what was read of the message before."""
    cdef size_t index
    cdef uint8_t number
    for index in range(fields.count[message]):
        number = fields.wanted[message][index]
        raws[number] = Raw(0, Text(start, 0), 0, fields.applies[message][index], Text(start, 0), False)


cdef inline uint8_t wish_for(Fields* fields, int message, uint32_t tag) noexcept nogil:
    """What a tag of a message fulfils; 0: nothing."""
    return fields.first[message][tag] if tag < TAGS else 0


cdef inline bytes_at read_value(bytes_at p, bytes_at end, uint32_t tag, Raw* value) except NULL nogil:
    """The value of a field after its tag."""
    cdef uint32_t wire = tag & 7
    cdef uint32_t word = 0
    cdef bytes_at start = p
    if wire == WIRE_VARINT:
        p = read_varint(p, end, &value.number)
    elif wire == WIRE_BYTES:
        p = read_length(p, end, &value.text.size)
        if p != NULL:
            value.text.data = p
            p += value.text.size
    else:
        p = skip_value(p, end, tag, 3)
        if p != NULL and wire == WIRE_FIXED64:
            memcpy(&value.number, start, 8)
        elif p != NULL and wire == WIRE_FIXED32:
            memcpy(&word, start, 4)
            value.number = word
    if p == NULL:
        malformed()
    return p


cdef inline int read_inner(Raw* raw, uint8_t inner, Text message) except -1 nogil:
    cdef bytes_at p = message.data
    cdef bytes_at end = p + message.size
    cdef uint32_t tag = 0
    while p < end:
        p = read_tag(p, end, &tag)
        if p == NULL:
            malformed()
        if tag == inner:
            p = read_value(p, end, tag, raw)
        else:
            p = skip_value(p, end, tag, 4)
            if p == NULL:
                malformed()
    return 0


cdef inline bytes_at read_fields(
    Fields* fields, Raw* raws, Arena* arena, uint8_t wish, bytes_at field, bytes_at p, bytes_at end, uint32_t tag
) except NULL nogil:
    """Read a field that is wanted, for all who want it. `field` is where its tag stands, `p` what follows the tag."""
    cdef Raw value
    cdef Raw* raw
    cdef uint8_t number
    value.number = 0
    value.text = Text(p, 0)
    p = read_value(p, end, tag, &value)
    while wish:
        number = fields.wishes[wish].number
        raw = &raws[number]
        raw.tag = tag
        raw.applies = True
        raw.field = Text(field, p - field)
        if fields.listed[number].inner:
            read_inner(raw, fields.listed[number].inner, value.text)
        elif fields.listed[number].joins and raw.text.size:
            join_text(arena, &raw.text, value.text, end - value.text.data, &raw.apart)
        else:
            raw.number = value.number
            raw.text = value.text
        wish = fields.wishes[wish].next
    return p
