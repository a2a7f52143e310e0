"""From samples of series to requests, none larger than it may be but those of a single group."""


cdef int begin_request(RemoteWriteEncoder self) except -1 nogil:
    self.body.size = self.symbol_bytes.size = 0
    self.samples = self.histograms = self.exemplars = 0
    self.mark += 1
    if self.second:  # the first symbol is the empty one
        put_byte(&self.symbol_bytes, 0x22)
        put_byte(&self.symbol_bytes, 0)
    self.symbol_count = 1
    return 0


cdef int finish_request(RemoteWriteEncoder self, bint has_points) except -1 with gil:
    cdef bytes content = PyBytes_FromStringAndSize(NULL, self.symbol_bytes.size + self.body.size)
    cdef uint8_t* place = <uint8_t*>PyBytes_AS_STRING(content)
    if self.symbol_bytes.size:
        memcpy(place, self.symbol_bytes.data, self.symbol_bytes.size)
    memcpy(place + self.symbol_bytes.size, self.body.data, self.body.size)
    self.requests.append((content, self.samples, self.histograms, self.exemplars, has_points))
    self.number += 1
    return begin_request(self)


cdef int write_all(RemoteWriteEncoder self) except -1 nogil:
    """Points first. What tells of resources stands apart: others may have told of them later, and then it is refused."""
    self.number = 0
    write_groups(self, False)
    return write_groups(self, True)


cdef int write_groups(RemoteWriteEncoder self, bint told) except -1 nogil:
    cdef Group* group = self.first_group
    cdef size_t body, symbols
    cdef uint32_t samples, histograms, exemplars
    while group != NULL:
        if group.told == told:
            body, symbols = self.body.size, self.symbol_bytes.size
            samples, histograms, exemplars = self.samples, self.histograms, self.exemplars
            write_group(self, group)
            if body and self.body.size + self.symbol_bytes.size > self.largest:
                self.body.size, self.symbol_bytes.size = body, symbols
                self.samples, self.histograms, self.exemplars = samples, histograms, exemplars
                finish_request(self, not told)
                write_group(self, group)
            group.request = self.number
        group = group.touched
    if self.body.size:
        finish_request(self, not told)
    return 0


cdef int write_group(RemoteWriteEncoder self, Group* group) except -1 nogil:
    cdef Series* series = group.first
    cdef Family* family
    while series != NULL:
        if series.first == NULL:  # its points are lost
            series = series.touched
            continue
        family = series.family
        if self.with_metadata and not self.second and family.mark != self.mark:
            family.mark = self.mark
            put_text(&self.body, 0x1A, family.metadata)
        self.line.size = 0
        if self.second:
            write_symbols(self, series.symbols, series.symbol_count)
            write_samples(self, series, 0x1A)
            write_exemplars(self, series, 0x22)
            write_family(self, family)
            put_text(&self.body, 0x2A, Text(self.line.data, self.line.size))
        else:
            put(&self.line, series.labels.data, series.labels.size)
            write_samples(self, series, 0x22)
            write_exemplars(self, series, 0x1A)
            put_text(&self.body, 0x0A, Text(self.line.data, self.line.size))
        series = series.touched
    return 0


cdef int write_samples(RemoteWriteEncoder self, Series* series, uint8_t native_tag) except -1 nogil:
    cdef Sample* sample = series.first
    while sample != NULL:
        write_sample(self, sample, native_tag)
        sample = sample.next
    return 0


cdef int write_sample(RemoteWriteEncoder self, const Sample* sample, uint8_t native_tag) except -1 nogil:
    cdef size_t size = 1 + varint_size(<uint64_t>sample.time)
    cdef bint tells_start = self.second and sample.start
    if sample.native.data != NULL:
        self.histograms += 1
        size += sample.native.size + (2 + varint_size(<uint64_t>sample.start) if tells_start else 0)
        put_byte(&self.line, native_tag)
        put_varint(&self.line, size)
        put(&self.line, sample.native.data, sample.native.size)
        put_byte(&self.line, 0x78)
        put_varint(&self.line, <uint64_t>sample.time)
        if tells_start:
            put_varint(&self.line, 0x88)
            put_varint(&self.line, <uint64_t>sample.start)
        return 0
    self.samples += 1
    size += 9 + (1 + varint_size(<uint64_t>sample.start) if tells_start else 0)
    put_byte(&self.line, 0x12)
    put_varint(&self.line, size)
    put_byte(&self.line, 0x09)
    put(&self.line, &sample.value, 8)
    put_byte(&self.line, 0x10)
    put_varint(&self.line, <uint64_t>sample.time)
    if tells_start:
        put_byte(&self.line, 0x18)
        put_varint(&self.line, <uint64_t>sample.start)
    return 0


cdef int write_exemplars(RemoteWriteEncoder self, Series* series, uint8_t tag) except -1 nogil:
    cdef Exemplar* exemplar = series.exemplars
    cdef uint64_t value
    cdef Text name, content
    cdef uint32_t i
    while exemplar != NULL:
        self.exemplars += 1
        self.scratch.size = 0
        if self.second:
            self.refs.size = 0
            for i in range(exemplar.count):
                put_varint(&self.refs, place_of(self, fresh_symbol(self, exemplar.texts[i])))
            if self.refs.size:
                put_text(&self.scratch, 0x0A, Text(self.refs.data, self.refs.size))
        else:
            for i in range(0, exemplar.count, 2):
                name, content = exemplar.texts[i], exemplar.texts[i + 1]
                put_byte(&self.scratch, 0x0A)
                put_varint(
                    &self.scratch,
                    2 + varint_size(name.size) + name.size + varint_size(content.size) + content.size,
                )
                put_text(&self.scratch, 0x0A, name)
                put_text(&self.scratch, 0x12, content)
        value = bits(exemplar.value)
        put_byte(&self.scratch, 0x11)
        put(&self.scratch, &value, 8)
        put_byte(&self.scratch, 0x18)
        put_varint(&self.scratch, <uint64_t>exemplar.time)
        put_text(&self.line, tag, Text(self.scratch.data, self.scratch.size))
        exemplar = exemplar.next
    return 0


cdef int write_symbols(RemoteWriteEncoder self, Entry** symbols, uint32_t count) except -1 nogil:
    cdef uint32_t i
    self.refs.size = 0
    for i in range(count):
        put_varint(&self.refs, place_of(self, symbols[i]))
    return put_text(&self.line, 0x0A, Text(self.refs.data, self.refs.size))


cdef int write_family(RemoteWriteEncoder self, Family* family) except -1 nogil:
    cdef uint32_t description = place_of(self, family.help)
    cdef uint32_t unit = place_of(self, family.unit)
    self.scratch.size = 0
    put_byte(&self.scratch, 0x08)
    put_varint(&self.scratch, family.type)
    put_byte(&self.scratch, 0x18)
    put_varint(&self.scratch, description)
    put_byte(&self.scratch, 0x20)
    put_varint(&self.scratch, unit)
    return put_text(&self.line, 0x2A, Text(self.scratch.data, self.scratch.size))


cdef Entry* fresh_symbol(RemoteWriteEncoder self, Text text) except NULL nogil:
    """A symbol that is kept no longer than its batch, where it is not known for good."""
    cdef uint64_t h = hash_of(text.data, text.size, self.seed)
    cdef Entry* known = index_find(&self.symbols, h, text.data, text.size)
    return known if known != NULL else index_put(&self.fresh, &self.arena, h, text.data, text.size)


cdef uint32_t place_of(RemoteWriteEncoder self, Entry* entry) except? 0 nogil:
    """Where a symbol stands in the request that is being written; it is put there if need be."""
    if entry.size == 0:
        return 0
    if entry.mark != self.mark:
        entry.mark = self.mark
        entry.value = <void*><size_t>self.symbol_count
        self.symbol_count += 1
        put_text(&self.symbol_bytes, 0x22, Text(entry.key, entry.size))
    return <uint32_t><size_t>entry.value
