"""From points to samples of series: names are asked of Python, deltas added up, distributions taken apart."""


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


cdef bint is_taken(RemoteWriteEncoder self, Shape* shape) noexcept nogil:
    """Whether a metric of another type or unit came first to one of the series."""
    cdef Series* series
    cdef uint32_t i
    for i in range(shape.count):
        series = shape.parts[i]
        if series.epoch == self.epoch and series.family.kind != shape.family.kind:
            return True
    return False


cdef int add_point(RemoteWriteEncoder self, Shape* shape, Accumulator* stream) except -1 nogil:
    """Make a point samples, or what it was added to, or say why it cannot be carried."""
    cdef Point* point = &self.point
    cdef int64_t time = milliseconds(point.time)
    cdef int64_t start = 0
    cdef uint64_t began = point.start if stream == NULL else stream.now.start
    cdef Distribution told
    cdef const Distribution* distribution = &told if stream == NULL else &stream.now.distribution
    if stream == NULL and is_taken(self, shape):
        return OTHER_TYPE
    touch_group(self, shape.group)
    if point.flags & NO_RECORDED_VALUE:
        return add_stale(self, shape, time)
    if began and self.member != GAUGE and (self.member != SUM or self.monotonic):
        start = max(milliseconds(began), 1)  # zero would say that it is not known
    if self.member == GAUGE or self.member == SUM:
        add_sample(self, shape.family, shape.parts[0], time, start, bits(value_of(point, stream)))
        if not (self.member == SUM and self.monotonic):
            return CARRIED
    else:
        if stream == NULL:
            told = as_distribution(point)
        if self.member == HISTOGRAM:
            add_buckets_of(self, shape, distribution, time, start)
        elif self.member == SUMMARY:
            add_quantiles(self, shape, distribution, time, start)
        else:
            add_native(self, shape, distribution, time, start)
    add_exemplars(self, shape, time)
    return CARRIED


cdef inline double value_of(const Point* point, const Accumulator* stream) noexcept nogil:
    if stream != NULL:
        return <double>stream.now.integer if stream.now.is_integer else stream.now.number
    return <double>point.integer if point.is_integer else point.number


cdef int accumulate(RemoteWriteEncoder self, Shape* shape) except -1 nogil:
    """Add a delta point to the sum of its series."""
    cdef Accumulator* stream = shape.accumulator
    if is_taken(self, shape):
        return OTHER_TYPE
    if stream == NULL or shape.generation != self.streams.generation:
        stream = stream_of(self, shape)
        if stream == NULL:
            return TOO_MANY
        shape.accumulator, shape.generation = stream, self.streams.generation
    if self.point.time <= stream.now.time:
        return TOO_OLD
    touch(&self.streams, stream, self.epoch, self.now, shape.group)
    add_delta(&stream.now, &self.point, self.member >> 3)
    self.current.stream = stream
    return CARRIED


cdef Accumulator* stream_of(RemoteWriteEncoder self, Shape* shape) except? NULL nogil:
    """By what the series is called, however its points wrote that."""
    self.key.size = 0
    put_byte(&self.key, <uint8_t>self.member)
    put_text(&self.key, 0x0A, Text(shape.identity.key, shape.identity.size))
    return accumulator(
        &self.streams, hash_of(self.key.data, self.key.size, self.seed), self.key.data, self.key.size
    )


cdef int touch_group(RemoteWriteEncoder self, Group* group, bint told=False) except -1 nogil:
    """Have a group written; one that is only `told` of goes in a request of its own."""
    if group.epoch == self.epoch:
        group.told = group.told and told
        return 0
    group.epoch = self.epoch
    group.told = told
    group.first = group.last = NULL
    group.touched = NULL
    if self.first_group == NULL:
        self.first_group = group
    else:
        self.last_group.touched = group
    self.last_group = group
    return 0


cdef int touch_series(RemoteWriteEncoder self, Family* family, Series* series) except -1 nogil:
    cdef Group* group = series.group
    if series.epoch == self.epoch:
        return 0
    if group.epoch != self.epoch:  # the point is of another, of which a series has the same name
        touch_group(self, group)
    series.epoch, series.family = self.epoch, family
    series.first = series.last = NULL
    series.exemplars = series.last_exemplar = NULL
    series.count = 0
    series.unsorted = False
    series.touched = NULL
    series.told_before = series.told
    if group.first == NULL:
        group.first = series
    else:
        group.last.touched = series
    group.last = series
    return 0


cdef Sample* add_sample(
    RemoteWriteEncoder self, Family* family, Series* series, int64_t time, int64_t start, uint64_t value
) except NULL nogil:
    cdef Sample* sample = <Sample*>arena_zeroed(&self.arena, sizeof(Sample))
    touch_series(self, family, series)
    sample.time, sample.start, sample.value, sample.point = time, start, value, self.current
    series.count += 1
    if series.last == NULL:
        series.first = sample
    else:
        if series.last.time >= time:
            series.unsorted = True
        series.last.next = sample
    series.last = sample
    return sample


cdef int add_stale(RemoteWriteEncoder self, Shape* shape, int64_t time) except -1 nogil:
    """A series that ends. A histogram that does not say its buckets ends with all that are known of it."""
    cdef Series* series = shape.group.parts
    cdef Distribution none
    cdef uint32_t i
    if self.member == EXPONENTIAL_HISTOGRAM:
        memset(&none, 0, sizeof(Distribution))
        memcpy(&none.sum, &STALE, 8)
        none.has_sum = True
        add_native(self, shape, &none, time, 0)
    elif self.member == HISTOGRAM and self.point.bounds.size == 0:
        while series != NULL:
            if series.family.kind == shape.family.kind:
                add_sample(self, shape.family, series, time, 0, STALE)
            series = series.next
    else:
        for i in range(shape.count):
            add_sample(self, shape.family, shape.parts[i], time, 0, STALE)
    return CARRIED


cdef int add_buckets_of(
    RemoteWriteEncoder self, Shape* shape, const Distribution* d, int64_t time, int64_t start
) except -1 nogil:
    """The series of a histogram: one for each bound, with all that is not above it; then all, their sum and number."""
    cdef Family* family = shape.family
    cdef Series** parts = shape.parts
    cdef uint64_t below = 0
    cdef uint32_t i
    for i in range(d.bound_count):
        below += d.buckets[0][i]
        add_sample(self, family, parts[i], time, start, bits(<double>below))
    add_sample(self, family, parts[d.bound_count], time, start, bits(<double>d.count))
    if d.has_sum:
        add_sample(self, family, parts[d.bound_count + 1], time, start, bits(d.sum))
    add_sample(self, family, parts[d.bound_count + 2], time, start, bits(<double>d.count))
    return 0


cdef int add_quantiles(
    RemoteWriteEncoder self, Shape* shape, const Distribution* d, int64_t time, int64_t start
) except -1 nogil:
    cdef uint32_t i
    for i in range(d.bound_count):
        add_sample(self, shape.family, shape.parts[i], time, start, bits(d.values[i]))
    add_sample(self, shape.family, shape.parts[d.bound_count], time, start, bits(d.sum))
    add_sample(self, shape.family, shape.parts[d.bound_count + 1], time, start, bits(<double>d.count))
    return 0


cdef int add_native(
    RemoteWriteEncoder self, Shape* shape, const Distribution* d, int64_t time, int64_t start
) except -1 nogil:
    """A sample that is a native histogram: the fields of a `Histogram` but for its times."""
    cdef Sample* sample = add_sample(self, shape.family, shape.parts[0], time, start, 0)
    cdef Buffer* out = &self.native
    cdef double threshold = zero_threshold(d.threshold)
    cdef uint8_t* place
    out.size = 0
    put_byte(out, 0x08)
    put_varint(out, d.count)
    put_byte(out, 0x19)
    put(out, &d.sum, 8)
    put_byte(out, 0x20)
    put_varint(out, to_zigzag(d.scale))
    put_byte(out, 0x29)
    put(out, &threshold, 8)
    put_byte(out, 0x30)
    put_varint(out, d.zeros)
    put_spans(out, &self.scratch, 0x42, 0x4A, d.offsets[1], d.buckets[1], d.sizes[1])
    put_spans(out, &self.scratch, 0x5A, 0x62, d.offsets[0], d.buckets[0], d.sizes[0])
    place = arena_take(&self.arena, out.size)
    memcpy(place, out.data, out.size)
    sample.native = Text(place, out.size)
    return 0


cdef int add_exemplars(RemoteWriteEncoder self, Shape* shape, int64_t time) except -1 nogil:
    cdef Text* contents = <Text*>self.point.exemplars.data
    cdef double* bounds = <double*>self.point.bounds.data
    cdef size_t count = self.point.exemplars.size // sizeof(Text)
    cdef Exemplar* exemplar
    cdef Series* series
    cdef uint32_t place
    cdef size_t i
    for i in range(count):
        exemplar = exemplar_of(self, contents[i], time)
        if exemplar == NULL:
            continue
        series = shape.parts[0]
        if self.member == HISTOGRAM:  # it goes to the bucket that it fell into
            place = 0
            while place < shape.count - 3 and not exemplar.value <= bounds[place]:
                place += 1
            series = shape.parts[place]
        if series.exemplars == NULL:
            series.exemplars = exemplar
        else:
            series.last_exemplar.next = exemplar
        series.last_exemplar = exemplar
    return 0


cdef Exemplar* exemplar_of(RemoteWriteEncoder self, Text content, int64_t time) except? NULL nogil:
    """An exemplar with its labels; NULL for one without a value."""
    cdef Exemplar* exemplar = <Exemplar*>arena_zeroed(&self.arena, sizeof(Exemplar))
    cdef uint64_t nanoseconds = 0
    cdef Text trace, span
    if not read_exemplar(
        content.data, content.data + content.size, &exemplar.value, &nanoseconds, &trace, &span, &self.scratch
    ):
        return NULL
    exemplar.time = milliseconds(nanoseconds) if nanoseconds else time
    if self.scratch.size:
        label_by_python(self, exemplar, trace, span)
        return exemplar
    exemplar.texts = <Text*>arena_take(&self.arena, 4 * sizeof(Text))
    if is_id(span):
        exemplar.texts[0] = Text(<bytes_at><const char*>b"span_id", 7)
        put_hexadecimal(self, span, &exemplar.texts[1])
        exemplar.count = 2
    if is_id(trace):
        exemplar.texts[exemplar.count] = Text(<bytes_at><const char*>b"trace_id", 8)
        put_hexadecimal(self, trace, &exemplar.texts[exemplar.count + 1])
        exemplar.count += 2
    return exemplar


cdef inline bint is_id(Text id) noexcept nogil:
    """Whether there is one, and not of zeros."""
    cdef size_t i
    for i in range(id.size):
        if id.data[i]:
            return True
    return False


cdef int label_by_python(RemoteWriteEncoder self, Exemplar* exemplar, Text trace, Text span) except -1 with gil:
    cdef tuple labels = self.label_exemplar(
        bytes_of(Text(self.scratch.data, self.scratch.size)), bytes_of(trace), bytes_of(span)
    )
    cdef bytes text
    cdef uint8_t* place
    cdef uint32_t i
    exemplar.count = <uint32_t>len(labels)
    exemplar.texts = <Text*>arena_take(&self.arena, len(labels) * sizeof(Text) + 1)
    for i, text in enumerate(labels):
        place = arena_take(&self.arena, len(text) + 1)
        memcpy(place, PyBytes_AS_STRING(text), len(text))
        exemplar.texts[i] = Text(place, len(text))
    return 0


cdef int put_hexadecimal(RemoteWriteEncoder self, Text id, Text* text) except -1 nogil:
    cdef uint8_t* place = arena_take(&self.arena, 2 * id.size)
    cdef const char* digits = b"0123456789abcdef"
    cdef size_t i
    for i in range(id.size):
        place[2 * i] = digits[id.data[i] >> 4]
        place[2 * i + 1] = digits[id.data[i] & 15]
    text[0] = Text(place, 2 * id.size)
    return 0


cdef int tell_resource(RemoteWriteEncoder self) except -1 nogil:
    """The series that carries a resource's other attributes, at the time of its latest point, but not all the time."""
    cdef uint32_t none = NOWHERE
    cdef Entry* entry
    cdef Shape* shape
    cdef Series* series
    cdef int64_t time = milliseconds(self.latest)
    cdef uint64_t h
    self.key.size = 0
    put(&self.key, &self.resource.id, 4)
    put(&self.key, &none, 4)
    h = hash_of(self.key.data, self.key.size, self.seed)
    entry = index_find(&self.shapes, h, self.key.data, self.key.size)
    if entry == NULL:
        shape = make_shape(self, INFO)
        entry = index_add(&self.shapes, &self.cache, h, self.key.data, self.key.size)
        entry.value = shape
    shape = <Shape*>entry.value
    if shape == NULL:
        return 0
    series = shape.parts[0]
    if series.epoch == self.epoch:
        if shape.group.told:
            series.last.time = series.told = max(time, series.told)
        return 0
    if series.told and series.told - FORGIVEN <= time < series.told + TOLD_EVERY:
        return 0
    touch_group(self, shape.group, True)
    self.current = &self.nobody
    add_sample(self, shape.family, series, time, 0, bits(1.0))
    series.told = time
    return 0
