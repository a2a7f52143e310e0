"""What points become: their series, whose names are asked of Python once for each set of labels and bounds."""


cdef Shape* shape_of(RemoteWriteEncoder self) except? NULL nogil:
    """What a point becomes; NULL where it cannot be named."""
    cdef Entry* entry
    cdef Shape* shape
    cdef uint64_t h
    cdef uint32_t bounds = <uint32_t>self.point.bounds.size
    self.key.size = 0
    put(&self.key, &self.resource.id, 4)
    put(&self.key, &self.scope.id, 4)
    put(&self.key, &self.metric.id, 4)
    put(&self.key, &bounds, 4)
    put(&self.key, self.point.bounds.data, bounds)
    put(&self.key, self.point.key.data, self.point.key.size)
    h = hash_of(self.key.data, self.key.size, self.seed)
    entry = index_find(&self.shapes, h, self.key.data, self.key.size)
    if entry == NULL:
        shape = make_shape(self, self.member)
        entry = index_add(&self.shapes, &self.cache, h, self.key.data, self.key.size)
        entry.value = shape
    return <Shape*>entry.value


cdef Series* series_of(RemoteWriteEncoder self, Group* group, Family* family, tuple labels) except NULL:
    """The series that has these labels, names and values by turns; made in the group where there is none."""
    cdef Entry* entry
    cdef Series* series
    cdef bytes text
    cdef uint32_t i
    self.line.size = 0
    write_labels(&self.line, labels)
    entry = index_put(
        &self.series_by_labels, &self.cache, hash_of(self.line.data, self.line.size, self.seed), self.line.data,
        self.line.size,
    )
    if entry.value != NULL:
        return <Series*>entry.value
    series = <Series*>arena_zeroed(&self.cache, sizeof(Series))
    series.group, series.family = group, family
    series.labels = Text(entry.key, entry.size)
    if self.second:
        series.symbol_count = <uint32_t>len(labels)
        series.symbols = <Entry**>arena_take(&self.cache, sizeof(Entry*) * len(labels))
        for i, text in enumerate(labels):
            series.symbols[i] = symbol(self, text)
    series.next = group.parts
    group.parts = series
    entry.value = series
    return series


cdef int write_labels(Buffer* out, tuple labels) except -1:
    """Labels as fields of the first message."""
    cdef bytes name, value
    cdef size_t i
    for i in range(0, len(labels), 2):
        name, value = labels[i], labels[i + 1]
        put_byte(out, 0x0A)
        put_varint(out, 2 + varint_size(len(name)) + len(name) + varint_size(len(value)) + len(value))
        put_text(out, 0x0A, text_of(name))
        put_text(out, 0x12, text_of(value))
    return 0


cdef inline Text text_of(bytes text):
    return Text(<bytes_at>PyBytes_AS_STRING(text), len(text))


cdef Entry* symbol(RemoteWriteEncoder self, bytes text) except NULL:
    cdef bytes_at p = <bytes_at>PyBytes_AS_STRING(text)
    return index_put(&self.symbols, &self.cache, hash_of(p, len(text), self.seed), p, len(text))


cdef bytes bytes_of(Text text):
    return PyBytes_FromStringAndSize(<const char*>text.data, text.size)


cdef Shape* make_shape(RemoteWriteEncoder self, uint32_t member) except? NULL with gil:
    """Ask what a point of this kind is called; once for each set of labels and bounds."""
    cdef Buffer* bounds = &self.point.bounds
    cdef tuple values = ()
    cdef bytes attributes = b""
    cdef tuple parts, base
    cdef Shape* shape
    cdef Entry* entry
    cdef uint32_t i
    if member != INFO:
        values = tuple([(<double*>bounds.data)[i] for i in range(bounds.size // 8)])
        attributes = bytes_of(Text(self.point.key.data, self.point.key.size))
    found = self.describe(
        bytes_of(Text(self.resource_bytes.data + 1, self.resource_bytes.size - 1)),
        bytes_of(Text(self.scope_bytes.data + 1, self.scope_size - 1)) if member != INFO else b"",
        bytes_of(self.schema_url) if member != INFO else b"",
        (bytes_of(self.name), bytes_of(self.unit), bytes_of(self.description)) if member != INFO else (b"", b"", b""),
        member, self.monotonic != 0, attributes, values,
    )
    if found is None:
        return NULL
    base, parts = found[0], tuple(found[2])
    shape = <Shape*>arena_zeroed(&self.cache, sizeof(Shape))
    shape.family = family_of(self, found[1], member == EXPONENTIAL_HISTOGRAM)
    self.line.size = 0
    write_labels(&self.line, base)
    entry = index_put(
        &self.groups, &self.cache, hash_of(self.line.data, self.line.size, self.seed), self.line.data, self.line.size
    )
    if entry.value == NULL:
        entry.value = arena_zeroed(&self.cache, sizeof(Group))
    shape.identity, shape.group, shape.count = entry, <Group*>entry.value, <uint32_t>len(parts)
    shape.parts = <Series**>arena_take(&self.cache, sizeof(Series*) * len(parts))
    for i in range(shape.count):
        shape.parts[i] = series_of(self, shape.group, shape.family, parts[i])
    return shape


cdef Family* family_of(RemoteWriteEncoder self, tuple metadata, bint native) except NULL:
    """Type, name, help and unit of a metric, as Prometheus has them."""
    cdef int kind = metadata[0]
    cdef bytes name = metadata[1]
    cdef bytes description = metadata[2]
    cdef bytes unit = metadata[3]
    cdef Family* family
    cdef Entry* entry
    self.line.size = 0
    put_byte(&self.line, 0x08)
    put_varint(&self.line, kind)
    put_text(&self.line, 0x12, text_of(name))
    put_text(&self.line, 0x22, text_of(description))
    put_text(&self.line, 0x2A, text_of(unit))
    put_byte(&self.line, native)
    entry = index_put(
        &self.families, &self.cache, hash_of(self.line.data, self.line.size, self.seed), self.line.data, self.line.size
    )
    if entry.value == NULL:
        family = <Family*>arena_zeroed(&self.cache, sizeof(Family))
        family.type = kind
        family.kind = kind_of(self, kind, native, unit)
        family.metadata = Text(entry.key, entry.size - 1)
        if self.second:
            family.help, family.unit = symbol(self, description), symbol(self, unit)
        entry.value = family
    return <Family*>entry.value


cdef Entry* kind_of(RemoteWriteEncoder self, int type, bint native, bytes unit) except NULL:
    """One entry for each type and unit."""
    self.line.size = 0
    put_byte(&self.line, 0)  # as no family begins
    put_byte(&self.line, <uint8_t>type)
    put_byte(&self.line, native)
    put_text(&self.line, 0x2A, text_of(unit))
    return index_put(
        &self.families, &self.cache, hash_of(self.line.data, self.line.size, self.seed), self.line.data, self.line.size
    )
