"""From the bytes of a batch to its points: what belongs to them, and whether they can be carried."""


cdef int run(RemoteWriteEncoder self, bytes_at p, size_t size) except -1 nogil:
    cdef bytes_at end = p + size
    cdef bytes_at body = NULL
    cdef uint32_t tag = 0
    while p < end:
        p = enter_field(p, end, &tag, &body)
        if p == NULL:
            malformed()
        if tag == FIRST:
            add_resource(self, body, p)
    return write_all(self)


cdef Entry* header(RemoteWriteEncoder self, Buffer* content) except NULL nogil:
    return index_put(
        &self.headers, &self.cache, hash_of(content.data, content.size, self.seed), content.data, content.size
    )


cdef int add_resource(RemoteWriteEncoder self, bytes_at start, bytes_at end) except -1 nogil:
    cdef bytes_at p = start
    cdef uint32_t tag = 0
    cdef Text value
    self.resource_bytes.size = 0
    put_byte(&self.resource_bytes, FIRST)
    while p < end:
        p = next_field(p, end, &tag, &value)
        if tag == FIRST:
            put(&self.resource_bytes, value.data, value.size)
    self.resource = header(self, &self.resource_bytes)
    self.latest = 0
    p = start
    while p < end:
        p = next_field(p, end, &tag, &value)
        if tag == SECOND:
            add_scope(self, value.data, value.data + value.size)
    if self.latest:
        tell_resource(self)
    return 0


cdef int add_scope(RemoteWriteEncoder self, bytes_at start, bytes_at end) except -1 nogil:
    cdef bytes_at p = start
    cdef uint32_t tag = 0
    cdef Text value
    self.scope_bytes.size = 0
    self.schema_url = Text(end, 0)
    put_byte(&self.scope_bytes, SECOND)
    while p < end:
        p = next_field(p, end, &tag, &value)
        if tag == FIRST:
            put(&self.scope_bytes, value.data, value.size)
        elif tag == 0x1A:
            self.schema_url = value
    self.scope_size = self.scope_bytes.size
    put_text(&self.scope_bytes, SECOND, self.schema_url)
    self.scope = header(self, &self.scope_bytes)
    p = start
    while p < end:
        p = next_field(p, end, &tag, &value)
        if tag == SECOND:
            add_metric(self, value.data, value.data + value.size)
    return 0


cdef int add_metric(RemoteWriteEncoder self, bytes_at start, bytes_at end) except -1 nogil:
    cdef bytes_at p = start
    cdef bytes_at counted = start  # where the last run of the member that counts begins
    cdef bytes_at field
    cdef uint32_t tag = 0
    cdef Text value
    self.name = self.unit = self.description = Text(end, 0)
    self.member = 0
    while p < end:
        field = p
        p = next_field(p, end, &tag, &value)
        if tag == 0x0A:
            self.name = value
        elif tag == 0x12:
            self.description = value
        elif tag == 0x1A:
            self.unit = value
        elif is_data(tag):
            if tag != self.member:
                self.member, counted = tag, field
                self.temporality = self.monotonic = 0
            read_data(self, value)
    if self.member == 0:
        return 0
    self.key.size = 0
    put_byte(&self.key, self.member)
    put_byte(&self.key, <uint8_t>(self.temporality << 1 | (self.monotonic != 0)))
    put_text(&self.key, 0x0A, self.name)
    put_text(&self.key, 0x1A, self.unit)
    put_text(&self.key, 0x12, self.description)
    self.metric = header(self, &self.key)
    p = counted
    while p < end:
        p = next_field(p, end, &tag, &value)
        if tag == self.member:
            add_points(self, value.data, value.data + value.size)
    return 0


cdef int read_data(RemoteWriteEncoder self, Text content) except -1 nogil:
    cdef bytes_at p = content.data
    cdef bytes_at end = p + content.size
    cdef uint32_t tag = 0
    cdef Text value
    if self.member == GAUGE or self.member == SUMMARY:
        return 0
    while p < end:
        p = next_field(p, end, &tag, &value)
        if tag == 0x10:
            self.temporality = varint(value)
        elif tag == 0x18:
            self.monotonic = varint(value)
    return 0


cdef int add_points(RemoteWriteEncoder self, bytes_at p, bytes_at end) except -1 nogil:
    cdef uint32_t tag = 0
    cdef int outcome
    cdef Text value
    cdef Shape* shape
    cdef Group* group
    while p < end:
        p = next_field(p, end, &tag, &value)
        if tag != FIRST:
            continue
        read_point(&self.point, self.member >> 3, value.data, value.data + value.size)
        shape = NULL
        outcome = judge(self)
        if outcome == CARRIED:
            shape = shape_of(self)
            outcome = NO_NAME if shape == NULL else add_point(self, shape)
        group = NULL
        if outcome == CARRIED:
            group = shape.group
            self.latest = max(self.latest, self.point.time)
        else:
            self.rejected[outcome] += 1
        put(&self.owners, &group, sizeof(Group*))
    return 0


cdef int judge(RemoteWriteEncoder self) noexcept nogil:
    """Whether a point can be carried, as far as it says itself."""
    cdef Point* point = &self.point
    cdef bint stale = point.flags & NO_RECORDED_VALUE != 0
    cdef size_t buckets, bounds
    if point.time == 0:
        return NO_TIME
    if point.bounds.size // 8 > MOST_BOUNDS:
        return ODD_BUCKETS
    if self.member == GAUGE or self.member == SUM:
        if not point.has_value and not stale:
            return NO_VALUE
    if self.member == HISTOGRAM:
        buckets, bounds = point.counts[0].size // 8, point.bounds.size // 8
        if not (buckets == bounds + 1 or (stale and buckets == 0) or (buckets == 0 and bounds == 0)):
            return ODD_BUCKETS
        if not ascending(self):
            return ODD_BUCKETS
    if self.member == EXPONENTIAL_HISTOGRAM and point.scale < COARSEST:
        return TOO_COARSE
    if not stale and not makes_sense(self):
        return NO_VALUE if self.member == GAUGE or self.member == SUM else ODD_BUCKETS
    if self.member != GAUGE and self.member != SUMMARY and self.temporality != 2:
        if self.temporality != 1:
            return NO_TEMPORALITY
        if not self.accumulates:
            return IS_DELTA
    return CARRIED


cdef bint makes_sense(RemoteWriteEncoder self) noexcept nogil:
    """Deltas must be numbers that can be added up: one NaN would stay for ever, and a counter does not fall."""
    cdef Point* point = &self.point
    if self.temporality != 1 or self.member == GAUGE or self.member == SUMMARY:
        return True
    if self.member != SUM:
        return not point.has_sum or isfinite(point.sum)
    if point.is_integer:
        return point.integer >= 0 or not self.monotonic
    return isfinite(point.number) and (point.number >= 0 or not self.monotonic)


cdef bint ascending(RemoteWriteEncoder self) noexcept nogil:
    cdef double* bounds = <double*>self.point.bounds.data
    cdef size_t i
    cdef size_t count = self.point.bounds.size // 8
    if count and not bounds[0] == bounds[0]:
        return False
    for i in range(1, count):
        if not bounds[i] > bounds[i - 1]:
            return False
    return True


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
