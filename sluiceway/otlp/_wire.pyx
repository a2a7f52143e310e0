"""The door: check the structure of OTLP bytes once, count their items, repair text that is not UTF-8."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.string cimport memmove

from sluiceway.otlp._anyvalue cimport BOOL_TAG, DOUBLE_TAG, INT_TAG, KEY, STRING_TAG, VALUE

include "_schema.pxi"

from sluiceway.errors import DecodeError, TooLargeError

cdef enum:
    LONGEST = 0x7FFFFFFF  # bytes of one protobuf message

cdef enum Fault:
    FINE = 0
    MALFORMED
    WRONG_WIRE_TYPE
    WRONG_ID
    TOO_DEEP
    TOO_MANY_ITEMS
    TOO_MANY_MESSAGES
    TOO_MANY_ENTRIES

cdef struct Walk:
    uint64_t items
    uint64_t messages
    uint64_t max_items
    uint64_t max_messages
    uint64_t max_entries
    uint64_t broken_texts

cdef uint8_t IS_ITEM[LAST_MESSAGE + 1]
cdef int METRIC = _NUMBERS["Metric"]
cdef int KEY_VALUE = _NUMBERS["KeyValue"]
cdef uint64_t _repaired_texts = 0

for _item in schema.ITEMS:
    IS_ITEM[<int>_NUMBERS[_item]] = True

_TEXTS = {
    MALFORMED: "not a protobuf message",
    WRONG_WIRE_TYPE: "a field has the wrong wire type",
    WRONG_ID: "a trace id is not of 16 bytes or a span id not of 8",
    TOO_DEEP: "messages are nested too deeply",
    TOO_MANY_ITEMS: "too many items in one request",
    TOO_MANY_MESSAGES: "too many nested messages in one request",
    TOO_MANY_ENTRIES: "too many resources in one request or attributes in one message",
}


def accept(int signal_code, raw, uint64_t max_items, uint64_t max_messages, uint64_t max_entries):
    """Check `raw` against the schema and count: the bytes (the same object if they are `bytes` and sound) and their items.

    `max_messages` bounds nested messages and repeated texts, `max_entries` the resource entries of the request and the
    attributes of each single message.
    """
    if signal_code < 0 or signal_code > 2:
        raise ValueError("no such signal")
    cdef bytes payload = raw if type(raw) is bytes else bytes(memoryview(raw))
    cdef bytes_at start = <bytes_at>PyBytes_AS_STRING(payload)
    cdef bytes_at end = start + len(payload)
    cdef int root = ROOT[signal_code]
    cdef Walk walk
    cdef int fault
    walk.items = walk.messages = walk.broken_texts = 0
    walk.max_items = max_items
    walk.max_messages = max_messages
    walk.max_entries = max_entries
    if end - start > LONGEST:
        raise TooLargeError("the message is too large")
    if end - start > RELEASE_ABOVE:
        with nogil:
            fault = check(root, start, end, 0, &walk)
    else:
        fault = check(root, start, end, 0, &walk)
    if fault != FINE:
        raise (TooLargeError if fault >= TOO_MANY_ITEMS else DecodeError)(_TEXTS[fault])
    if walk.broken_texts:
        payload = _repaired(root, payload, walk.broken_texts)
    return payload, walk.items


def repaired_texts():
    """How many string fields were repaired since the process began."""
    return _repaired_texts


cdef bytes _repaired(int root, bytes payload, uint64_t texts):
    global _repaired_texts
    cdef bytes_at start = <bytes_at>PyBytes_AS_STRING(payload)
    cdef bytes_at end = start + len(payload)
    cdef Buffer out
    cdef bint done
    out.data = NULL
    out.size = out.capacity = 0
    try:
        with nogil:
            done = buffer_reserve(&out, end - start + 4 * texts) and repair(root, start, end, &out)
        if not done:
            raise MemoryError
        if out.size > LONGEST:
            raise TooLargeError("the message is too large")
        _repaired_texts += texts
        return PyBytes_FromStringAndSize(<char*>out.data, out.size)
    finally:
        buffer_free(&out)


cdef int check(int message, bytes_at p, bytes_at end, int depth, Walk* walk) noexcept nogil:
    """Walk one message. `depth` is how many enclose it."""
    cdef const Field* fields = FIELDS[message]
    cdef const Field* field
    cdef uint32_t tag = 0
    cdef size_t size = 0
    cdef bytes_at inner
    cdef int fault
    cdef uint32_t member = 0  # of the metric's data: which was seen last, and what it has counted
    cdef uint64_t member_items = 0
    cdef uint64_t before = 0
    cdef uint64_t entries = 0
    cdef bint is_data
    while p < end:
        p = read_tag(p, end, &tag)
        if p == NULL:
            return MALFORMED
        if tag >> 3 > LAST_FIELD or fields[tag >> 3].kind == NOTHING:
            p = skip_value(p, end, tag, depth)
            if p == NULL:
                return MALFORMED
            continue
        field = &fields[tag >> 3]
        if tag & 7 != field.wire:
            if not field.repeated or tag & 7 != WIRE_BYTES:
                return WRONG_WIRE_TYPE
            p = skip_packed(p, end, field.wire)
            if p == NULL:
                return MALFORMED
            continue
        if field.wire != WIRE_BYTES:
            p = skip_scalar(p, end, tag)
            if p == NULL:
                return MALFORMED
            continue
        inner = read_length(p, end, &size)
        if inner == NULL:
            return MALFORMED
        p = inner + size
        if field.kind == STRING:
            walk.messages += field.repeated
            walk.broken_texts += not is_utf8(inner, p)
        elif field.kind != MESSAGE:
            if size != 0 and field.id_size != 0 and size != field.id_size:
                return WRONG_ID
        elif field.message == KEY_VALUE and depth < MAX_DEPTH - 2 and is_plain_pair(inner, p):
            walk.messages += 2
            entries += 1
        else:
            if depth == MAX_DEPTH:
                return TOO_DEEP
            walk.messages += 1
            entries += depth == 0 or field.message == KEY_VALUE
            if walk.messages > walk.max_messages:
                return TOO_MANY_MESSAGES
            if IS_ITEM[field.message]:
                walk.items += 1
                if walk.items > walk.max_items:
                    return TOO_MANY_ITEMS
            is_data = field.oneof and message == METRIC
            if is_data:
                if member != tag:  # another member of the oneof takes the place of what was there
                    walk.items -= member_items
                    member = tag
                    member_items = 0
                before = walk.items
            if size != 0:
                fault = check(field.message, inner, p, depth + 1, walk)
                if fault != FINE:
                    return fault
            if is_data:
                member_items += walk.items - before
    if entries > walk.max_entries:
        return TOO_MANY_ENTRIES
    return FINE if walk.messages <= walk.max_messages else TOO_MANY_MESSAGES


cdef inline bint is_plain_pair(bytes_at p, bytes_at end) noexcept nogil:
    """Whether this is a `KeyValue` in the form nearly all have: a short key, then a value of one short scalar.

    False only means that the general walk has to look.
    """
    cdef bytes_at key_end
    if end - p < 4 or p[0] != KEY or p[1] >= 0x80:
        return False
    key_end = p + 2 + p[1]
    if end - key_end < 4 or key_end[0] != VALUE or key_end[1] >= 0x80 or key_end + 2 + key_end[1] != end:
        return False
    if not is_ascii(p + 2, key_end):
        return False
    p = key_end + 2
    if p[0] == STRING_TAG:
        return p[1] < 0x80 and p + 2 + p[1] == end and is_ascii(p + 2, end)
    if p[0] == BOOL_TAG or p[0] == INT_TAG:
        return skip_varint(p + 1, end) == end
    return p[0] == DOUBLE_TAG and end - p == 9


cdef inline bint is_ascii(bytes_at p, bytes_at end) noexcept nogil:
    cdef uint64_t word = 0
    cdef uint64_t tail = 0
    cdef uint32_t half = 0
    cdef uint32_t quarter = 0
    if end - p >= 8:
        memcpy(&tail, end - 8, 8)
        while end - p > 8:
            memcpy(&word, p, 8)
            tail |= word
            p += 8
        return tail & 0x8080808080808080ULL == 0
    if end - p >= 4:
        memcpy(&half, p, 4)
        memcpy(&quarter, end - 4, 4)
        return (half | quarter) & 0x80808080U == 0
    while p < end:
        if p[0] >= 0x80:
            return False
        p += 1
    return True


cdef bytes_at skip_packed(bytes_at p, bytes_at end, uint8_t wire) noexcept nogil:
    cdef size_t size = 0
    p = read_length(p, end, &size)
    if p == NULL:
        return NULL
    if wire == WIRE_FIXED64:
        if size % 8:
            return NULL
        return p + size
    end = p + size
    while p != NULL and p < end:
        p = skip_varint(p, end)
    return p


cdef bint repair(int message, bytes_at p, bytes_at end, Buffer* out) noexcept nogil:
    """Append a checked message to `out` with all its texts made UTF-8; False where memory is out."""
    cdef const Field* field
    cdef bytes_at start
    cdef bytes_at inner
    cdef uint32_t tag = 0
    cdef size_t size = 0
    cdef size_t mark
    cdef bint done
    while p < end:
        start = p
        p = read_tag(p, end, &tag)
        field = &FIELDS[message][tag >> 3 if tag >> 3 <= LAST_FIELD else 0]
        if field.kind != MESSAGE and field.kind != STRING:
            p = skip_value(p, end, tag, 0)
            done = buffer_put(out, start, p - start)
        else:
            done = buffer_put(out, start, p - start)
            inner = read_length(p, end, &size)
            p = inner + size
            mark = out.size
            done = done and buffer_put_varint(out, size)
            if field.kind == MESSAGE:
                done = done and repair(field.message, inner, p, out)
            else:
                done = done and put_repaired(inner, p, out)
            done = done and mend_length(out, mark, varint_size(size))
        if not done:
            return False
    return True


cdef bint put_repaired(bytes_at p, bytes_at end, Buffer* out) noexcept nogil:
    """Append a text with U+FFFD in place of each maximal subpart that is ill-formed, as `bytes.decode` does."""
    cdef bytes_at start = p
    cdef int size
    while p < end:
        p = skip_ascii(p, end)
        if p >= end:
            break
        size = utf8_sequence(p, end)
        if size > 0:
            p += size
            continue
        if not (buffer_put(out, start, p - start) and buffer_put(out, b"\xEF\xBF\xBD", 3)):
            return False
        p -= size
        start = p
    return buffer_put(out, start, p - start)


cdef bint mend_length(Buffer* out, size_t mark, size_t prefix) noexcept nogil:
    """Write the length of what follows the prefix at `mark` into it, and make the prefix as long as that needs."""
    cdef size_t size = out.size - mark - prefix
    cdef size_t needed = varint_size(size)
    if needed != prefix:
        if not buffer_reserve(out, needed):
            return False
        memmove(out.data + mark + needed, out.data + mark + prefix, size)
        out.size = mark + needed + size
    write_varint(out.data + mark, size)
    return True
