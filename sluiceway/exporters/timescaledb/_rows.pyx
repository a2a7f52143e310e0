"""Rows for PostgreSQL's binary COPY, made of the bytes of a batch in one walk; no object is built for any item.

What PostgreSQL would refuse for sure (a NUL in a text or a key, a value beyond the size limit) is left out and marked.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int16_t, uint16_t
from libc.stdlib cimport calloc, free
from libc.string cimport memchr, memcmp, memset

from sluiceway.exporters.timescaledb._jsonb cimport *
from sluiceway.otlp._arena cimport arena_free
from sluiceway.otlp._containers cimport FIRST, METRICS, SECOND, TOP, count, is_data
from sluiceway.otlp._proto cimport RELEASE_ABOVE, buffer_free

cdef extern from *:
    uint32_t __builtin_bswap32(uint32_t) nogil
    uint64_t __builtin_bswap64(uint64_t) nogil
    uint16_t __builtin_bswap16(uint16_t) nogil

cdef enum:  # as `columns.Level` has them
    ITEM = 0
    DATA = 1
    METRIC = 2
    SCOPE = 3
    SCOPE_ENTRY = 4
    RESOURCE = 5
    RESOURCE_ENTRY = 6
    LEVELS = 7
    SECTIONS = 4

cdef enum:  # as `columns.Op` has them
    TEXT = 1
    BYTEA = 2
    INT4 = 3
    SINT4 = 4
    UINT32 = 5
    INT8 = 6
    NANO = 7
    FLOAT8 = 8
    OPTIONAL_FLOAT8 = 9
    BOOLEAN = 10
    TIME = 11
    DURATION = 12
    VALUE = 13
    INT_VALUE = 14
    ATTRIBUTES = 15
    ATTRIBUTE = 16
    BODY_TEXT = 17
    BODY_JSON = 18
    EVENTS = 19
    LINKS = 20
    EXEMPLARS = 21
    INT8_ARRAY = 22
    FLOAT8_ARRAY = 23
    QUANTILES = 24
    OVERFLOW = 25

cdef enum:
    LARGEST_COMMON = 262144  # bytes that each row may repeat of its resource, its scope or its metric

cdef enum:
    INT8_OID = 20
    FLOAT8_OID = 701

cdef uint64_t EPOCH = 946684800000000  # microseconds from 1970 to 2000, where PostgreSQL's time begins
cdef bytes _HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)

cdef struct Column:
    uint8_t op
    uint8_t level
    uint8_t number
    uint8_t second
    uint8_t within
    const char* name
    size_t name_size
    const char* key
    size_t key_size

cdef struct Table:
    Column* columns
    uint16_t count
    uint16_t borders[SECTIONS + 1]  # where the columns of each section begin
    uint32_t tag

cdef struct Sheet:
    # The rows of one table.
    Buffer out
    uint64_t rows

cdef struct Walk:
    Table* tables
    Sheet* sheets
    uint32_t table  # the one of the items that are looked at
    bint is_metrics
    uint64_t low, high, now  # nanoseconds: the window, and what is taken where no time is said
    size_t largest
    size_t most, taken  # bytes of rows in all tables, as many as may be and as there are
    Arena arena
    Arena short  # of one item
    Level levels[LEVELS]
    Level nested
    uint8_t nested_in
    Buffer sections[SECTIONS]
    uint8_t faults[SECTIONS]
    Buffer overflow
    bint has_clamped
    uint8_t* mask
    uint64_t item
    uint64_t clamped
    uint64_t rejected[3]


cdef class Layout:
    """The columns of the tables of one signal, as the kernel reads them."""

    cdef Table* tables
    cdef readonly int count
    cdef list kept

    def __cinit__(self, tables):
        self.count = len(tables)
        self.kept = []
        self.tables = <Table*>calloc(self.count + 1, sizeof(Table))
        if self.tables == NULL:
            raise MemoryError
        for place, table in enumerate(tables):
            self.load(&self.tables[<int>place], table)

    def __dealloc__(self):
        cdef int place
        if self.tables != NULL:
            for place in range(self.count):
                free(self.tables[place].columns)
        free(self.tables)

    cdef int load(self, Table* table, described) except -1:
        cdef int section = 0
        cdef int number = 0
        cdef Column* column
        table.tag = described.tag
        table.count = len(described.columns)
        table.columns = <Column*>calloc(table.count, sizeof(Column))
        if table.columns == NULL:
            raise MemoryError
        for number, each in enumerate(described.columns):
            column = &table.columns[number]
            column.op, column.level, column.number = each.op, each.level, each.number
            column.second, column.within = each.second, each.within
            name, key = each.name.encode(), each.key.encode()
            self.kept += [name, key]
            column.name, column.name_size = PyBytes_AS_STRING(name), len(name)
            column.key, column.key_size = PyBytes_AS_STRING(key), len(key)
            while section < section_of(column.level):
                section += 1
                table.borders[section] = number
            if section > section_of(column.level):
                raise ValueError(f"{each.name} stands behind the columns of what its level lies in")
        while section < SECTIONS:
            section += 1
            table.borders[section] = table.count
        return 0


cdef int section_of(uint8_t level) noexcept nogil:
    return (level + 1) // 2


class SizeError(Exception):
    """The rows of a batch take more bytes than they may."""


def rows(Layout layout not None, int signal_code, bytes payload not None, uint64_t low, uint64_t high, uint64_t now,
         size_t largest, size_t most):
    """The rows of a batch, with the mask of those items that have none.

    Returns for each table the COPY data and its rows, the mask (a byte an item; None where all have a row), how many
    times were moved into the window from `low` to `high`, and how many items were left out for a NUL and for a size.
    Raises `SizeError` where the rows of all tables take more than `most`: each repeats its resource.
    """
    cdef Walk walk
    cdef Range whole
    cdef int64_t items
    cdef int place
    cdef bytes mask
    memset(&walk, 0, sizeof(Walk))
    whole.start = <bytes_at>PyBytes_AS_STRING(payload)
    whole.end = whole.start + len(payload)
    walk.tables = layout.tables
    walk.is_metrics = signal_code == METRICS
    walk.low, walk.high, walk.now = low, high, now
    walk.largest = largest
    walk.most = most
    items = count(TOP, whole.start, whole.end, walk.is_metrics)
    if items < 0:
        malformed()
    mask = bytes(items)
    walk.mask = <uint8_t*>PyBytes_AS_STRING(mask)
    walk.sheets = <Sheet*>calloc(layout.count, sizeof(Sheet))
    if walk.sheets == NULL:
        raise MemoryError
    try:
        for place in range(layout.count):
            put(&walk.sheets[place].out, PyBytes_AS_STRING(_HEADER), len(_HEADER))
        if len(payload) > RELEASE_ABOVE // 4:
            with nogil:
                walk_batch(&walk, whole)
        else:
            walk_batch(&walk, whole)
        return (
            [_sheet(&walk.sheets[place]) for place in range(layout.count)],
            mask if walk.rejected[NUL] or walk.rejected[SIZE] else None,
            walk.clamped, walk.rejected[NUL], walk.rejected[SIZE],
        )
    finally:
        for place in range(layout.count):
            buffer_free(&walk.sheets[place].out)
        free(walk.sheets)
        for place in range(SECTIONS):
            buffer_free(&walk.sections[place])
        buffer_free(&walk.overflow)
        arena_free(&walk.arena)
        arena_free(&walk.short)


cdef tuple _sheet(Sheet* sheet):
    put16(&sheet.out, <uint16_t>-1)
    return PyBytes_FromStringAndSize(<char*>sheet.out.data, sheet.out.size), sheet.rows


def row(bytes data not None, uint64_t number):
    """COPY data with only the one row of this number, counted from zero. `data` must come from `rows`."""
    cdef bytes_at start = <bytes_at>PyBytes_AS_STRING(data)
    cdef bytes_at p = start + len(_HEADER)
    cdef bytes_at end = start + len(data)
    cdef bytes_at begin = p
    cdef int16_t fields
    cdef int32_t size
    while True:
        if end - p < 2:
            raise IndexError(number)
        begin = p
        fields = <int16_t>read16(p)
        p += 2
        if fields < 0:
            raise IndexError(number)
        while fields > 0:
            if end - p < 4:
                raise IndexError(number)
            size = <int32_t>read32(p)
            p += 4
            if size > end - p:
                raise IndexError(number)
            p += max(size, 0)
            fields -= 1
        if number == 0:
            return _HEADER + data[begin - start : p - start] + b"\xff\xff"
        number -= 1


cdef inline uint16_t read16(bytes_at p) noexcept nogil:
    cdef uint16_t value
    memcpy(&value, p, 2)
    return __builtin_bswap16(value)


cdef inline uint32_t read32(bytes_at p) noexcept nogil:
    cdef uint32_t value
    memcpy(&value, p, 4)
    return __builtin_bswap32(value)


# ---- the walk: from the batch down to the items

cdef int walk_batch(Walk* walk, Range batch) except -1 nogil:
    cdef bytes_at p = batch.start
    cdef uint32_t tag = 0
    cdef Range entry
    while p < batch.end:
        p = next_field(p, batch.end, &tag, &entry)
        if tag == FIRST:
            walk_entry(walk, entry)
    return 0


cdef int walk_entry(Walk* walk, Range entry) except -1 nogil:
    """One `ResourceSpans` or the like. The resource may stand behind what belongs to it."""
    cdef bytes_at p = entry.start
    cdef uint32_t tag = 0
    cdef Range content
    enter(walk, RESOURCE_ENTRY, entry, RESOURCE)
    write_section(walk, 3)
    while p < entry.end:
        p = next_field(p, entry.end, &tag, &content)
        if tag == SECOND:
            walk_scope(walk, content)
    return 0


cdef int walk_scope(Walk* walk, Range entry) except -1 nogil:
    cdef bytes_at p = entry.start
    cdef uint32_t tag = 0
    cdef Range content
    enter(walk, SCOPE_ENTRY, entry, SCOPE)
    write_section(walk, 2)
    while p < entry.end:
        p = next_field(p, entry.end, &tag, &content)
        if tag != SECOND:
            continue
        if walk.is_metrics:
            walk_metric(walk, content)
        else:
            write_row(walk, content)
    return 0


cdef int enter(Walk* walk, int outer, Range entry, int inner) except -1 nogil:
    cdef Range content
    look(&walk.levels[outer], entry)
    joined(&walk.arena, entry, 1, &content)
    return look(&walk.levels[inner], content)


cdef int walk_metric(Walk* walk, Range metric) except -1 nogil:
    """The points of the member of `data` that counts; its pieces are one message."""
    cdef bytes_at p = metric.start
    cdef bytes_at live = metric.end
    cdef bytes_at field
    cdef uint32_t tag = 0
    cdef uint32_t member = 0
    cdef uint32_t place = 0
    cdef Range content
    cdef Range rest
    while p < metric.end:
        field = p
        p = next_field(p, metric.end, &tag, &content)
        if is_data(tag) and tag != member:
            member = tag
            live = field
    if member == 0:
        return 0
    while walk.tables[place].tag != member:
        place += 1
    walk.table = place
    look(&walk.levels[METRIC], metric)
    rest.start = live
    rest.end = metric.end
    joined(&walk.arena, rest, member >> 3, &content)
    look(&walk.levels[DATA], content)
    write_section(walk, 1)
    p = content.start
    while p < content.end:
        p = next_field(p, content.end, &tag, &metric)
        if tag == FIRST:
            write_row(walk, metric)
    return 0


cdef int write_section(Walk* walk, int section) except -1 nogil:
    """Encode what all items below have in common."""
    cdef Writing to
    to.out = &walk.sections[section]
    to.out.size = 0
    to.arena = &walk.arena
    to.fault = FINE
    write_columns(walk, section, &to)
    if to.fault == FINE and to.out.size > LARGEST_COMMON:
        to.fault = SIZE
    walk.faults[section] = to.fault
    return 0


cdef int write_row(Walk* walk, Range item) except -1 nogil:
    cdef Sheet* sheet = &walk.sheets[walk.table]
    cdef size_t before = sheet.out.size
    cdef Writing to
    cdef int section
    to.out = &sheet.out
    to.arena = &walk.short
    to.fault = FINE
    for section in range(1, SECTIONS):
        to.fault = max(to.fault, walk.faults[section])
    if to.fault == FINE:
        look(&walk.levels[ITEM], item)
        walk.nested_in = 0
        walk.overflow.size = 0
        walk.has_clamped = False
        put16(to.out, walk.tables[walk.table].count)
        write_columns(walk, 0, &to)
    if walk.short.newest != NULL:
        arena_free(&walk.short)
    if to.fault != FINE:
        sheet.out.size = before
        walk.mask[walk.item] = 1
        walk.rejected[to.fault] += 1
    else:
        for section in range(1, SECTIONS):
            put(to.out, walk.sections[section].data, walk.sections[section].size)
        sheet.rows += 1
        walk.clamped += walk.has_clamped
        walk.taken += sheet.out.size - before
        if walk.taken > walk.most:
            too_many()
    walk.item += 1
    return 0


cdef int too_many() except -1 nogil:
    with gil:
        raise SizeError


# ---- columns

cdef int write_columns(Walk* walk, int section, Writing* to) except -1 nogil:
    cdef Table* table = &walk.tables[walk.table]
    cdef int number
    cdef size_t before
    for number in range(table.borders[section], table.borders[section + 1]):
        before = to.out.size
        write_column(walk, &table.columns[number], to)
        if to.out.size - before > walk.largest:
            to.fault = SIZE
        if to.fault != FINE:
            return 0
    return 0


cdef Level* level_of(Walk* walk, const Column* column) except NULL nogil:
    cdef Range content
    cdef Level* level = &walk.levels[column.level]
    if column.within == 0:
        return level
    if walk.nested_in != column.within:
        joined(&walk.short, level.content, column.within, &content)
        look(&walk.nested, content)
        walk.nested_in = column.within
    return &walk.nested


cdef int write_column(Walk* walk, const Column* column, Writing* to) except -1 nogil:
    cdef Buffer* out = to.out
    cdef uint8_t op = column.op
    cdef Level* level = level_of(walk, column)
    cdef const Seen* seen = &level.seen[column.number]
    cdef uint64_t bits = seen.bits if seen.count else 0
    if op == TEXT or op == BYTEA:
        if seen.count == 0 or seen.start == seen.end:
            return put32(out, <uint32_t>-1)
        if op == TEXT and memchr(seen.start, 0, seen.end - seen.start) != NULL:
            to.fault = NUL
        return put_sized(out, seen.start, seen.end - seen.start)
    if op == INT4 or op == SINT4:
        put32(out, 4)
        if op == SINT4:
            bits = (<uint32_t>bits >> 1) ^ (0 - (bits & 1))
        return put32(out, <uint32_t>bits)
    if op == UINT32:
        return put_number(out, <uint32_t>bits)
    if op == INT8 or op == NANO:
        if op == NANO and bits == 0:
            return put32(out, <uint32_t>-1)
        if bits >> 63:
            begin_overflow(walk, column)
            json_integer(&walk.overflow, bits, False)
            return put32(out, <uint32_t>-1)
        return put_number(out, bits)
    if op == FLOAT8 or op == OPTIONAL_FLOAT8:
        if op == OPTIONAL_FLOAT8 and seen.count == 0:
            return put32(out, <uint32_t>-1)
        return put_number(out, bits)
    if op == BOOLEAN:
        put32(out, 1)
        return put_byte(out, bits != 0)
    if op == TIME:
        return write_time(walk, level, column, out)
    if op == DURATION:
        return write_duration(walk, level, column, out)
    if op == VALUE or op == INT_VALUE:
        return write_value(level, column, out)
    if op == INT8_ARRAY:
        return write_integers(walk, level, column, out)
    if op == FLOAT8_ARRAY or op == QUANTILES:
        return write_doubles(level, column, out)
    if op == ATTRIBUTE:
        return write_attribute(level, column, to)
    if op == BODY_TEXT:
        return write_body(level, column, to)
    return write_json(walk, level, column, to)


cdef int write_time(Walk* walk, const Level* level, const Column* column, Buffer* out) except -1 nogil:
    """The time, moved into the window; what it was is kept where it was moved."""
    cdef uint64_t time = level.seen[column.number].bits if level.seen[column.number].count else 0
    if time == 0 and column.second and level.seen[column.second].count:
        time = level.seen[column.second].bits
    if time == 0:
        time = walk.now
    elif time < walk.low or time > walk.high:
        begin_overflow(walk, column)
        json_integer(&walk.overflow, time, False)
        walk.has_clamped = True
        time = walk.low if time < walk.low else walk.high
    return put_number(out, time // 1000 - EPOCH)


cdef int write_duration(Walk* walk, const Level* level, const Column* column, Buffer* out) except -1 nogil:
    cdef uint64_t start = level.seen[column.number].bits if level.seen[column.number].count else 0
    cdef uint64_t end = level.seen[column.second].bits if level.seen[column.second].count else 0
    if start == 0 or end == 0:
        return put32(out, <uint32_t>-1)
    if (end - start if end >= start else start - end) >> 63:
        begin_overflow(walk, column)
        json_integer(&walk.overflow, end - start, end < start)
        return put32(out, <uint32_t>-1)
    return put_number(out, end - start)


cdef int write_value(const Level* level, const Column* column, Buffer* out) except -1 nogil:
    """A number that is a double or an integer, whichever comes last."""
    cdef const Seen* real = &level.seen[column.number]
    cdef const Seen* whole = &level.seen[column.second]
    cdef uint64_t bits = 0
    cdef double number
    cdef bint is_whole = whole.count > 0 and (real.count == 0 or whole.start > real.start)
    if is_whole:
        bits = whole.bits
        if column.op == VALUE:
            number = <double><int64_t>bits
            memcpy(&bits, &number, 8)
    elif real.count == 0 or column.op == INT_VALUE:
        return put32(out, <uint32_t>-1)
    else:
        bits = real.bits
    return put_number(out, bits)


cdef int write_attribute(const Level* level, const Column* column, Writing* to) except -1 nogil:
    """The text of the first attribute of a name."""
    cdef bytes_at p = level.content.start
    cdef bytes_at end = level.content.end
    cdef uint32_t tag = 0
    cdef Range pair, key, value
    cdef AnyValue found
    while p < end:
        p = next_field(p, end, &tag, &pair)
        if tag != (<uint32_t>column.number << 3 | WIRE_BYTES):
            continue
        read_pair(to.arena, pair, &key, &value)
        if <size_t>(key.end - key.start) != column.key_size or memcmp(key.start, column.key, column.key_size) != 0:
            continue
        read_any(value.start, value.end - value.start, &found)
        return put_text(to, &found)
    return put32(to.out, <uint32_t>-1)


cdef int write_body(const Level* level, const Column* column, Writing* to) except -1 nogil:
    cdef AnyValue found
    cdef Range value
    joined(to.arena, level.content, column.number, &value)
    read_any(value.start, value.end - value.start, &found)
    return put_text(to, &found)


cdef int put_text(Writing* to, const AnyValue* found) except -1 nogil:
    if found.kind != STRING:
        return put32(to.out, <uint32_t>-1)
    if found.size and memchr(found.data, 0, found.size) != NULL:
        to.fault = NUL
    return put_sized(to.out, found.data, found.size)


cdef int write_integers(Walk* walk, const Level* level, const Column* column, Buffer* out) except -1 nogil:
    """64-bit numbers, packed or one by one: eight bytes each at field 6, else varints."""
    cdef bytes_at p = level.content.start
    cdef uint32_t tag = 0
    cdef uint64_t bits = 0
    cdef uint32_t length = 0
    cdef bint too_large = False
    cdef bint is_fixed = column.within == 0
    cdef size_t before = out.size
    cdef size_t written
    cdef Range value
    if level.seen[column.number].count == 0:
        return put32(out, <uint32_t>-1)
    begin_array(out, INT8_OID)
    while p < level.content.end:
        p = next_field(p, level.content.end, &tag, &value)
        if tag >> 3 != column.number:
            continue
        while value.start < value.end:
            value.start = read_number(value, is_fixed, &bits)
            too_large |= bits >> 63
            length += 1
            put_number(out, bits)
    end_array(out, before, length)
    if not too_large:
        return 0
    begin_overflow(walk, column)
    put_byte(&walk.overflow, c'[')
    written = before + 24
    while written < out.size:
        memcpy(&bits, out.data + written + 4, 8)
        if written > before + 24:
            put_byte(&walk.overflow, c',')
        json_integer(&walk.overflow, __builtin_bswap64(bits), False)
        written += 12
    put_byte(&walk.overflow, c']')
    out.size = before
    return put32(out, <uint32_t>-1)


cdef bytes_at read_number(Range value, bint is_fixed, uint64_t* bits) except NULL nogil:
    cdef bytes_at p = value.start
    if not is_fixed:
        p = read_varint(p, value.end, bits)
        if p == NULL:
            malformed()
        return p
    if value.end - p < 8:
        malformed()
    memcpy(bits, p, 8)
    return p + 8


cdef int write_doubles(const Level* level, const Column* column, Buffer* out) except -1 nogil:
    """Doubles, packed or one by one; or those in the field `second` of each message."""
    cdef bytes_at p = level.content.start
    cdef bytes_at inner
    cdef uint32_t tag = 0
    cdef uint64_t bits = 0
    cdef uint32_t length = 0
    cdef size_t before = out.size
    cdef Range value, field
    if level.seen[column.number].count == 0:
        return put32(out, <uint32_t>-1)
    begin_array(out, FLOAT8_OID)
    while p < level.content.end:
        p = next_field(p, level.content.end, &tag, &value)
        if tag >> 3 != column.number:
            continue
        if column.op == FLOAT8_ARRAY:
            while value.start < value.end:
                value.start = read_number(value, True, &bits)
                length += 1
                put_number(out, bits)
            continue
        inner = value.start
        bits = 0
        while inner < value.end:
            inner = next_field(inner, value.end, &tag, &field)
            if tag == (<uint32_t>column.second << 3 | WIRE_FIXED64):
                memcpy(&bits, field.start, 8)
        length += 1
        put_number(out, bits)
    return end_array(out, before, length)


# ---- jsonb: a version and the text

cdef int write_json(Walk* walk, const Level* level, const Column* column, Writing* to) except -1 nogil:
    cdef Buffer* out = to.out
    cdef size_t before = out.size
    cdef AnyValue found
    cdef Range value
    cdef uint32_t length
    if (walk.overflow.size if column.op == OVERFLOW else level.seen[column.number].count) == 0:
        return put32(out, <uint32_t>-1)
    put32(out, 0)
    put_byte(out, 1)
    if column.op == ATTRIBUTES:
        json_attributes(to, level.content, column.number)
    elif column.op == OVERFLOW:
        put(out, walk.overflow.data, walk.overflow.size)
        put_byte(out, c'}')
    elif column.op == BODY_JSON:
        joined(to.arena, level.content, column.number, &value)
        read_any(value.start, value.end - value.start, &found)
        if found.kind == STRING or found.kind == EMPTY:
            out.size = before
            return put32(out, <uint32_t>-1)
        json_any(to, value, 0)
    else:
        json_messages(to, level.content, column)
    length = __builtin_bswap32(<uint32_t>(out.size - before - 4))
    memcpy(out.data + before, &length, 4)
    return 0


cdef int begin_overflow(Walk* walk, const Column* column) except -1 nogil:
    """Begin an entry of what did not fit: `{"name":` or `,"name":`; the column closes the object."""
    put(&walk.overflow, b',"' if walk.overflow.size else b'{"', 2)
    put(&walk.overflow, column.name, column.name_size)
    return put(&walk.overflow, b'":', 2)


cdef int json_messages(Writing* to, Range content, const Column* column) except -1 nogil:
    """Events, links or exemplars."""
    cdef bytes_at p = content.start
    cdef uint32_t tag = 0
    cdef Range message
    cdef Level level
    cdef bint first = True
    put_byte(to.out, c'[')
    while p < content.end:
        p = next_field(p, content.end, &tag, &message)
        if tag != (<uint32_t>column.number << 3 | WIRE_BYTES):
            continue
        put_byte(to.out, c'{' if first else c',')
        if not first:
            put_byte(to.out, c'{')
        first = False
        look(&level, message)
        if column.op == EVENTS:
            json_event(to, &level)
        elif column.op == LINKS:
            json_link(to, &level)
        else:
            json_exemplar(to, &level)
        put_byte(to.out, c'}')
    return put_byte(to.out, c']')


cdef int json_event(Writing* to, Level* event) except -1 nogil:
    put(to.out, b'"time_unix_nano":', 17)
    json_integer(to.out, event.seen[1].bits if event.seen[1].count else 0, False)
    put(to.out, b',"name":', 8)
    json_field(to, &event.seen[2])
    json_tail(to, event, 3)
    return json_count(to, &event.seen[4])


cdef int json_link(Writing* to, Level* link) except -1 nogil:
    put(to.out, b'"trace_id":', 11)
    json_id(to, &link.seen[1])
    put(to.out, b',"span_id":', 11)
    json_id(to, &link.seen[2])
    put(to.out, b',"trace_state":', 15)
    json_field(to, &link.seen[3])
    put(to.out, b',"flags":', 9)
    json_integer(to.out, <uint32_t>link.seen[6].bits if link.seen[6].count else 0, False)
    json_tail(to, link, 4)
    return json_count(to, &link.seen[5])


cdef int json_exemplar(Writing* to, Level* exemplar) except -1 nogil:
    cdef const Seen* real = &exemplar.seen[3]
    cdef const Seen* whole = &exemplar.seen[6]
    cdef double number
    put(to.out, b'"time_unix_nano":', 17)
    json_integer(to.out, exemplar.seen[2].bits if exemplar.seen[2].count else 0, False)
    put(to.out, b',"value":', 9)
    if whole.count and (real.count == 0 or whole.start > real.start):
        json_integer(to.out, whole.bits, <int64_t>whole.bits < 0)
    elif real.count:
        memcpy(&number, &real.bits, 8)
        json_double(to.out, number)
    else:
        put(to.out, b"null", 4)
    put(to.out, b',"trace_id":', 12)
    json_id(to, &exemplar.seen[5])
    put(to.out, b',"span_id":', 11)
    json_id(to, &exemplar.seen[4])
    return json_tail(to, exemplar, 7)


cdef int json_tail(Writing* to, Level* level, uint32_t number) except -1 nogil:
    put(to.out, b',"attributes":', 14)
    return json_attributes(to, level.content, number)


cdef int json_count(Writing* to, const Seen* seen) except -1 nogil:
    put(to.out, b',"dropped_attributes_count":', 28)
    return json_integer(to.out, <uint32_t>seen.bits if seen.count else 0, False)


cdef int json_field(Writing* to, const Seen* seen) except -1 nogil:
    if seen.count == 0:
        return put(to.out, b'""', 2)
    return json_text(to, seen.start, seen.end)


cdef int json_id(Writing* to, const Seen* seen) except -1 nogil:
    if seen.count == 0:
        return put(to.out, b'""', 2)
    return written(write_hex(to.out, seen.start, seen.end))


# ---- PostgreSQL's binary form: big-endian, each value behind its length

cdef inline int put16(Buffer* out, uint16_t value) except -1 nogil:
    value = __builtin_bswap16(value)
    return put(out, &value, 2)


cdef inline int put32(Buffer* out, uint32_t value) except -1 nogil:
    value = __builtin_bswap32(value)
    return put(out, &value, 4)


cdef inline int put_number(Buffer* out, uint64_t bits) except -1 nogil:
    """Eight bytes behind their length."""
    put32(out, 8)
    bits = __builtin_bswap64(bits)
    return put(out, &bits, 8)


cdef inline int put_sized(Buffer* out, bytes_at data, size_t size) except -1 nogil:
    put32(out, <uint32_t>size)
    return put(out, data, size)


cdef int begin_array(Buffer* out, uint32_t oid) except -1 nogil:
    """The head of an array of one dimension: its size, dimensions, whether it holds NULLs, the type, length, bound."""
    put32(out, 0)
    put32(out, 1)
    put32(out, 0)
    put32(out, oid)
    put32(out, 0)
    return put32(out, 1)


cdef int end_array(Buffer* out, size_t before, uint32_t length) except -1 nogil:
    cdef uint32_t value
    if length == 0:  # an array without elements has no dimension
        memset(out.data + before + 4, 0, 4)
        out.size = before + 16
    value = __builtin_bswap32(<uint32_t>(out.size - before - 4))
    memcpy(out.data + before, &value, 4)
    if length:
        value = __builtin_bswap32(length)
        memcpy(out.data + before + 16, &value, 4)
    return 0
