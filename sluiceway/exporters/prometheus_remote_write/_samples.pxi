"""From points to samples of series: deltas are added up, and distributions taken apart."""


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
    cdef int64_t time = milliseconds(point.time if stream == NULL else stream.now.time)
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
        add_sample(self, shape, shape.parts[0], time, start, bits(value_of(point, stream)))
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


cdef int add_up(RemoteWriteEncoder self, Shape* shape) except -1 nogil:
    """Add a delta point to the sum of its series, and make that samples."""
    cdef Accumulator* stream = shape.accumulator
    if is_taken(self, shape):
        return OTHER_TYPE
    if stream == NULL or shape.generation != self.streams.generation:
        stream = stream_of(self, shape)
        if stream == NULL:
            return TOO_MANY
        shape.accumulator, shape.generation = stream, self.streams.generation
    if self.point.time > stream.now.time:
        touch(&self.streams, stream, self.epoch, self.now, shape.group)
        add_delta(&stream.now, &self.point, self.member >> 3)
    elif not self.again or (self.member == HISTOGRAM and not same_bounds(&stream.now.distribution, &self.point)):
        if stream.epoch == self.epoch and stream.before.time < self.point.time < stream.now.time:
            self.disordered = True
        return TOO_OLD
    self.current.stream = stream
    return add_point(self, shape, stream)


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


cdef void move_series(Series* series, Group* group) noexcept nogil:
    """Have a series in the group of the metric that has it now."""
    cdef Series** link = &series.group.parts
    while link[0] != series:
        link = &link[0].next
    link[0] = series.next
    series.next = group.parts
    group.parts = series
    series.group = group


cdef void touch_series(RemoteWriteEncoder self, Shape* shape, Series* series) noexcept nogil:
    cdef Group* group = shape.group
    if series.epoch == self.epoch:
        return
    if series.group != group:
        move_series(series, group)
    series.epoch, series.family = self.epoch, shape.family
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


cdef Sample* add_sample(
    RemoteWriteEncoder self, Shape* shape, Series* series, int64_t time, int64_t start, uint64_t value
) except NULL nogil:
    cdef Sample* sample = <Sample*>arena_zeroed(&self.arena, sizeof(Sample))
    touch_series(self, shape, series)
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
                add_sample(self, shape, series, time, 0, STALE)
            series = series.next
    else:
        for i in range(shape.count):
            add_sample(self, shape, shape.parts[i], time, 0, STALE)
    return CARRIED


cdef int add_buckets_of(
    RemoteWriteEncoder self, Shape* shape, const Distribution* d, int64_t time, int64_t start
) except -1 nogil:
    """The series of a histogram: one for each bound, with all that is not above it; then all, their sum and number."""
    cdef Series** parts = shape.parts
    cdef uint64_t below = 0
    cdef uint32_t i
    for i in range(d.bound_count):
        below += d.buckets[0][i]
        add_sample(self, shape, parts[i], time, start, bits(<double>below))
    add_sample(self, shape, parts[d.bound_count], time, start, bits(<double>d.count))
    if d.has_sum:
        add_sample(self, shape, parts[d.bound_count + 1], time, start, bits(d.sum))
    add_sample(self, shape, parts[d.bound_count + 2], time, start, bits(<double>d.count))
    return 0


cdef int add_quantiles(
    RemoteWriteEncoder self, Shape* shape, const Distribution* d, int64_t time, int64_t start
) except -1 nogil:
    cdef uint32_t i
    for i in range(d.bound_count):
        add_sample(self, shape, shape.parts[i], time, start, bits(d.values[i]))
    add_sample(self, shape, shape.parts[d.bound_count], time, start, bits(d.sum))
    add_sample(self, shape, shape.parts[d.bound_count + 1], time, start, bits(<double>d.count))
    return 0


cdef int add_native(
    RemoteWriteEncoder self, Shape* shape, const Distribution* d, int64_t time, int64_t start
) except -1 nogil:
    """A sample that is a native histogram: the fields of a `Histogram` but for its times."""
    cdef Sample* sample = add_sample(self, shape, shape.parts[0], time, start, 0)
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
        if series.group.told:
            series.last.time = series.told = max(time, series.told)
        return 0
    if series.told and series.told - FORGIVEN <= time < series.told + TOLD_EVERY:
        return 0
    touch_group(self, shape.group, True)
    self.current = &self.nobody
    add_sample(self, shape, series, time, 0, bits(1.0))
    series.told = time
    return 0
