"""From points to samples of series: names are asked of Python, deltas added up, distributions taken apart."""


cdef Series* series_of(RemoteWriteEncoder self, Group* group, Family* family, tuple labels, bint native) except NULL:
    """The series that has these labels, names and values by turns; made in the group where there is none."""
    cdef Entry* entry
    cdef Series* series
    cdef bytes text
    cdef uint32_t i
    self.line.size = 0
    write_labels(&self.line, labels)
    put_byte(&self.line, native)
    entry = index_put(
        &self.series_by_labels, &self.cache, hash_of(self.line.data, self.line.size, self.seed), self.line.data,
        self.line.size,
    )
    if entry.value != NULL:
        return <Series*>entry.value
    series = <Series*>arena_zeroed(&self.cache, sizeof(Series))
    series.group, series.family, series.native = group, family, native
    series.labels = Text(entry.key, entry.size - 1)
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
    shape.family = family_of(self, found[1])
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
        shape.parts[i] = series_of(self, shape.group, shape.family, parts[i], member == EXPONENTIAL_HISTOGRAM)
    return shape


cdef Family* family_of(RemoteWriteEncoder self, tuple metadata) except NULL:
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
    entry = index_put(
        &self.families, &self.cache, hash_of(self.line.data, self.line.size, self.seed), self.line.data, self.line.size
    )
    if entry.value == NULL:
        family = <Family*>arena_zeroed(&self.cache, sizeof(Family))
        family.type = kind
        family.metadata = Text(entry.key, entry.size)
        if self.second:
            family.help, family.unit = symbol(self, description), symbol(self, unit)
        entry.value = family
    return <Family*>entry.value


cdef int add_point(RemoteWriteEncoder self, Shape* shape) except -1 nogil:
    """Make a point samples, or say why it cannot be carried."""
    cdef Point* point = &self.point
    cdef int64_t time = milliseconds(point.time)
    cdef int64_t start = 0
    cdef uint64_t began = point.start
    cdef Accumulator* stream = NULL
    cdef int outcome
    if point.flags & NO_RECORDED_VALUE:
        touch_group(self, shape.group)
        return add_stale(self, shape, time)
    if self.temporality == 1 and self.member != GAUGE and self.member != SUMMARY:
        outcome = accumulate(self, shape, &stream)
        if outcome != CARRIED:
            return outcome
        began = stream.now.start
    touch_group(self, shape.group)
    if began and self.member != GAUGE and (self.member != SUM or self.monotonic):
        start = max(milliseconds(began), 1)  # zero would say that it is not known
    if self.member == GAUGE or self.member == SUM:
        add_sample(self, shape.parts[0], time, start, bits(value_of(point) if stream == NULL else stream.now.value))
    elif self.member == HISTOGRAM:
        add_buckets_of(self, shape, stream, time, start)
    elif self.member == SUMMARY:
        add_quantiles(self, shape, time, start)
    elif stream == NULL:
        add_native(self, shape.parts[0], time, start, point)
    else:
        add_native_sum(self, shape.parts[0], time, start, stream)
    if self.member != GAUGE and (self.member != SUM or self.monotonic):
        add_exemplars(self, shape, time)
    return CARRIED


cdef inline double value_of(const Point* point) noexcept nogil:
    return <double>point.integer if point.is_integer else point.number


cdef int accumulate(RemoteWriteEncoder self, Shape* shape, Accumulator** found) except -1 nogil:
    """Add a delta point to the sum of its series."""
    cdef Accumulator* stream = shape.accumulator
    cdef Point* point = &self.point
    cdef bint adds = True
    if stream == NULL or shape.generation != self.streams.generation:
        stream = stream_of(self, shape)
        if stream == NULL:
            return TOO_MANY
        shape.accumulator, shape.generation = stream, self.streams.generation
    if point.time <= stream.now.time:
        return TOO_OLD
    touch(&self.streams, stream, self.epoch, self.now)
    if self.member == SUM:
        add_number(&stream.now, point)
    elif self.member == HISTOGRAM:
        add_histogram(&stream.now, point)
    else:
        adds = add_exponential(&stream.now, point)
    found[0] = stream
    return CARRIED if adds else ODD_BUCKETS


cdef Accumulator* stream_of(RemoteWriteEncoder self, Shape* shape) except? NULL nogil:
    """By what the series is called, however its points wrote that; for a histogram by its bounds as well."""
    self.key.size = 0
    put_byte(&self.key, <uint8_t>self.member)
    put_text(&self.key, 0x0A, Text(shape.identity.key, shape.identity.size))
    put(&self.key, self.point.bounds.data, self.point.bounds.size)
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


cdef int touch_series(RemoteWriteEncoder self, Series* series) except -1 nogil:
    cdef Group* group = series.group
    if series.epoch == self.epoch:
        return 0
    if group.epoch != self.epoch:  # the point is of another, of which a series has the same name
        touch_group(self, group)
    series.epoch = self.epoch
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
    RemoteWriteEncoder self, Series* series, int64_t time, int64_t start, uint64_t value
) except NULL nogil:
    cdef Sample* sample = <Sample*>arena_zeroed(&self.arena, sizeof(Sample))
    touch_series(self, series)
    sample.time, sample.start, sample.value, sample.number = time, start, value, series.count
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
    cdef uint32_t i
    cdef Series* series = shape.group.parts
    cdef Buckets none
    cdef double stale
    memset(&none, 0, sizeof(Buckets))
    memcpy(&stale, &STALE, 8)
    if self.member == HISTOGRAM and self.point.bounds.size == 0:
        while series != NULL:
            if not series.native:
                add_sample(self, series, time, 0, STALE)
            series = series.next
        return CARRIED
    for i in range(shape.count):
        if shape.parts[i].native:
            self.native.size = 0
            put_histogram(&self.native, &self.scratch, 0, 0, stale, 0, 0, &none, &none)
            add_native_sample(self, shape.parts[i], time, 0)
        else:
            add_sample(self, shape.parts[i], time, 0, STALE)
    return CARRIED


cdef int add_buckets_of(
    RemoteWriteEncoder self, Shape* shape, Accumulator* stream, int64_t time, int64_t start
) except -1 nogil:
    """The series of a histogram: one for each bound, with all that is not above it; then all, their sum and number."""
    cdef Point* point = &self.point
    cdef uint32_t bounds = shape.count - 3
    cdef uint64_t below = 0
    cdef uint64_t count = point.count
    cdef bint has_sum = point.has_sum
    cdef double total = point.sum
    cdef Buckets buckets = buckets_of(point, 0)
    cdef int64_t place
    cdef uint32_t i
    if stream != NULL:
        buckets = stream.now.sides[EXPLICIT]
        count, has_sum, total = stream.now.count, stream.now.has_sum, stream.now.sum
    for i in range(bounds):
        place = <int64_t>i - buckets.offset
        if 0 <= place < <int64_t>buckets.size:
            below += buckets.counts[place]
        add_sample(self, shape.parts[i], time, start, bits(<double>below))
    add_sample(self, shape.parts[bounds], time, start, bits(<double>count))
    if has_sum:
        add_sample(self, shape.parts[bounds + 1], time, start, bits(total))
    add_sample(self, shape.parts[bounds + 2], time, start, bits(<double>count))
    return 0


cdef int add_quantiles(RemoteWriteEncoder self, Shape* shape, int64_t time, int64_t start) except -1 nogil:
    cdef double* values = <double*>self.point.values.data
    cdef uint32_t quantiles = shape.count - 2
    cdef uint32_t i
    for i in range(quantiles):
        add_sample(self, shape.parts[i], time, start, bits(values[i]))
    add_sample(self, shape.parts[quantiles], time, start, bits(self.point.sum))
    add_sample(self, shape.parts[quantiles + 1], time, start, bits(<double>self.point.count))
    return 0


cdef int add_native(
    RemoteWriteEncoder self, Series* series, int64_t time, int64_t start, Point* point
) except -1 nogil:
    cdef Buckets positive = buckets_of(point, 0)
    cdef Buckets negative = buckets_of(point, 1)
    self.native.size = 0
    put_histogram(
        &self.native, &self.scratch, point.scale, point.count, point.sum, point.zeros, point.threshold,
        &positive, &negative,
    )
    return add_native_sample(self, series, time, start)


cdef int add_native_sum(
    RemoteWriteEncoder self, Series* series, int64_t time, int64_t start, Accumulator* stream
) except -1 nogil:
    self.native.size = 0
    put_histogram(
        &self.native, &self.scratch, stream.now.scale, stream.now.count, stream.now.sum, stream.now.zero_count,
        stream.now.zero_threshold, &stream.now.sides[POSITIVE], &stream.now.sides[NEGATIVE],
    )
    return add_native_sample(self, series, time, start)


cdef int add_native_sample(RemoteWriteEncoder self, Series* series, int64_t time, int64_t start) except -1 nogil:
    """A sample that is the histogram just written."""
    cdef Sample* sample = add_sample(self, series, time, start, 0)
    cdef uint8_t* place = arena_take(&self.arena, self.native.size)
    memcpy(place, self.native.data, self.native.size)
    sample.native = Text(place, self.native.size)
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
        exemplar = read_exemplar(self, contents[i], time)
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


cdef Exemplar* read_exemplar(RemoteWriteEncoder self, Text content, int64_t time) except? NULL nogil:
    """An exemplar with its labels; NULL for one without a value."""
    cdef Exemplar* exemplar = <Exemplar*>arena_zeroed(&self.arena, sizeof(Exemplar))
    cdef bytes_at p = content.data
    cdef bytes_at end = p + content.size
    cdef uint32_t tag = 0
    cdef bint has_value = False
    cdef Text value
    cdef Text trace = Text(p, 0)
    cdef Text span = Text(p, 0)
    exemplar.time = time
    self.scratch.size = 0
    while p < end:
        p = next_field(p, end, &tag, &value)
        if tag == 0x11 and fixed64(value):
            exemplar.time = milliseconds(fixed64(value))
        elif tag == 0x19:
            has_value, exemplar.value = True, as_double(value)
        elif tag == 0x31:
            has_value, exemplar.value = True, <double><int64_t>fixed64(value)
        elif tag == 0x22:
            span = value
        elif tag == 0x2A:
            trace = value
        elif tag == 0x3A:
            put_text(&self.scratch, 0x0A, value)
    if not has_value:
        return NULL
    if self.scratch.size:
        label_by_python(self, exemplar, trace, span)
        return exemplar
    exemplar.texts = <Text*>arena_take(&self.arena, 4 * sizeof(Text))
    if span.size:
        exemplar.texts[0] = Text(<bytes_at><const char*>b"span_id", 7)
        put_hexadecimal(self, span, &exemplar.texts[1])
        exemplar.count = 2
    if trace.size:
        exemplar.texts[exemplar.count] = Text(<bytes_at><const char*>b"trace_id", 8)
        put_hexadecimal(self, trace, &exemplar.texts[exemplar.count + 1])
        exemplar.count += 2
    return exemplar


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
    if series.epoch == self.epoch and series.last != NULL and shape.group.told:
        series.last.time = series.told = max(time, series.told)
        return 0
    if series.told and series.told - FORGIVEN <= time < series.told + TOLD_EVERY:
        return 0
    touch_group(self, shape.group, True)
    add_sample(self, series, time, 0, bits(1.0))
    series.told = time
    return 0
