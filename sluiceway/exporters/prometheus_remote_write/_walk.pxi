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
    if self.disordered:
        return 0
    add_waiting(self)
    settle_clashes(self)
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
    cdef Carried* point
    while p < end:
        p = next_field(p, end, &tag, &value)
        if tag != FIRST:
            continue
        read_point(&self.point, self.member >> 3, value.data, value.data + value.size)
        outcome = judge(self)
        point = NULL
        if outcome == CARRIED:
            shape = shape_of(self)
            if shape == NULL:
                outcome = NO_NAME
            else:
                point = <Carried*>arena_zeroed(&self.arena, sizeof(Carried))
                point.group, point.time = shape.group, self.point.time
                point.number = <uint32_t>(self.carried.size // sizeof(Carried*))
                outcome = take_point(self, shape, point, value)
        if outcome == CARRIED:
            self.latest = max(self.latest, self.point.time)
        else:
            self.rejected[outcome] += 1
            point = NULL
        put(&self.carried, &point, sizeof(Carried*))
    return 0


cdef int take_point(RemoteWriteEncoder self, Shape* shape, Carried* point, Text content) except -1 nogil:
    """Make a point samples, or have it wait for its turn."""
    cdef Waiting waiting
    self.current = point
    if not is_delta(self) or self.point.flags & NO_RECORDED_VALUE:
        return add_point(self, shape, NULL)
    if not self.waits:
        return add_up(self, shape)
    waiting = Waiting(point, shape, content, self.member, self.monotonic)
    put(&self.waiting, &waiting, sizeof(Waiting))
    return CARRIED


cdef int add_waiting(RemoteWriteEncoder self) except -1 nogil:
    """Add up the deltas that had to wait, by the order of their times."""
    cdef Waiting* all = <Waiting*>self.waiting.data
    cdef size_t count = self.waiting.size // sizeof(Waiting)
    cdef Carried** carried = <Carried**>self.carried.data
    cdef Waiting* one
    cdef int outcome
    cdef size_t i
    for i in range(1, count):
        if all[i].point.time < all[i - 1].point.time:
            qsort(all, count, sizeof(Waiting), by_turn)
            break
    self.temporality = 1
    for i in range(count):
        one = &all[i]
        self.current, self.member, self.monotonic = one.point, one.member, one.monotonic
        read_point(&self.point, self.member >> 3, one.content.data, one.content.data + one.content.size)
        judge(self)  # it was carried before; this brings it into its form again
        outcome = add_up(self, one.shape)
        if outcome != CARRIED:
            self.rejected[outcome] += 1
            carried[one.point.number] = NULL
    return 0


cdef inline bint is_delta(RemoteWriteEncoder self) noexcept nogil:
    return self.temporality == 1 and self.member != GAUGE and self.member != SUMMARY


cdef int judge(RemoteWriteEncoder self) except -1 nogil:
    """Whether a point can be carried, as far as it says itself; its numbers are brought into the form they are kept in."""
    cdef Point* point = &self.point
    cdef bint stale = point.flags & NO_RECORDED_VALUE != 0
    cdef bint is_number = self.member == GAUGE or self.member == SUM
    cdef uint64_t none = 0
    cdef size_t i
    if point.time == 0:
        return NO_TIME
    if point.time > self.now + FARTHEST_AHEAD:
        return AHEAD
    if is_delta(self) and not self.accumulates:
        return IS_DELTA
    if self.member != GAUGE and self.member != SUMMARY and self.temporality != 1 and self.temporality != 2:
        return NO_TEMPORALITY
    if point.bounds.size // 8 > MOST_BOUNDS:
        return ODD_BUCKETS
    if self.member == EXPONENTIAL_HISTOGRAM and point.scale < MIN_SCALE:
        return TOO_COARSE
    if stale and self.member == HISTOGRAM and point.counts[0].size == 0:  # it need not say them
        for i in range(point.bounds.size // 8 + 1):
            put(&point.counts[0], &none, 8)
    if not (stale and is_number) and not prepare(
        point, self.member >> 3, is_delta(self) and not stale, not self.monotonic
    ):
        return NO_VALUE if is_number else ODD_QUANTILES if self.member == SUMMARY else ODD_BUCKETS
    return CARRIED
