"""Spans counted into series, in one walk over the bytes; at each flush the series are written as `MetricsData`.

A series is found by a key that is its data point's attributes as they will be written, behind the number of its
resource. Memory has a bound: `max_bytes` for keys, histograms and exemplars together, beyond which what is new goes to
the series `otel.metric.overflow=true` of its resource. No Python object is made for a span.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.math cimport ceil, frexp, ldexp, log2
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memmove, memset

from sluiceway.otlp._anyvalue cimport BOOL, BYTES, DOUBLE, INT, STRING, AnyValue, malformed, read_any
from sluiceway.otlp._arena cimport Arena, arena_free, out_of_memory
from sluiceway.otlp._attributes cimport (
    Attribute, Attributes, Text, attributes_begin, attributes_free, content, find, gather, join_text, same,
)
from sluiceway.otlp._proto cimport (
    Buffer, buffer_free, buffer_put, buffer_put_varint, bytes_at, read_length, read_tag, read_varint, skip_value,
    varint_size, write_varint,
)

cdef enum:
    CALLS = 0
    DURATION = 1
    EVENTS = 2
    METRICS = 3
    LONGEST_KEY = 8192  # bytes of a series' attributes; a longer one overflows
    LONGEST_VALUE = 256  # bytes of a value that a bounded dimension learns
    MOST_GLOBBED = 64  # attributes of a span that patterns make dimensions of; those that come first by name
    MAX_SCALE = 20  # of an exponential histogram, as the SDK specification has it
    MIN_SCALE = -10

cdef bytes _OVERFLOW = b"\x0a\x14otel.metric.overflow\x12\x02\x10\x01"
_KINDS = (b"UNSPECIFIED", b"INTERNAL", b"SERVER", b"CLIENT", b"PRODUCER", b"CONSUMER")
_CODES = (b"UNSET", b"OK", b"ERROR")
cdef Text KIND_TEXTS[6]
cdef Text CODE_TEXTS[3]
cdef list _texts = [b"SPAN_KIND_" + name for name in _KINDS] + [b"STATUS_CODE_" + name for name in _CODES]
cdef Text OTHER = Text(<bytes_at><const char*>b"_OTHER", 6)

for _number in range(9):
    if _number < 6:
        KIND_TEXTS[_number] = Text(<bytes_at>PyBytes_AS_STRING(_texts[_number]), len(_texts[_number]))
    else:
        CODE_TEXTS[_number - 6] = Text(<bytes_at>PyBytes_AS_STRING(_texts[_number]), len(_texts[_number]))


cdef struct Exemplar:
    uint64_t time
    double value
    uint8_t trace_id[16]
    uint8_t span_id[8]


cdef struct Series:
    Series* next  # in the list of all
    Series* chain  # in its hash bucket
    uint64_t hash
    uint32_t group
    size_t key_size
    size_t held  # bytes
    uint8_t* key
    uint64_t start
    uint64_t seen
    uint64_t count
    double sum
    double least
    double most
    uint64_t* buckets
    uint64_t zeros
    int32_t scale
    int32_t offset
    uint32_t used
    Exemplar* exemplars
    uint32_t exemplar_count


cdef struct Dimension:
    Text key
    Text default  # the content of an AnyValue; NULL where there is none
    uint32_t metrics  # for which, as bits
    bint bounded
    uint32_t value_count
    uint32_t max_values
    Text* values


cdef struct Glob:
    Text pattern
    uint32_t metrics  # for which, as bits


cdef struct Span:
    Text name
    Text trace_id
    Text span_id
    uint64_t kind
    uint64_t status
    uint64_t start
    uint64_t end


cdef bint matches(Text pattern, Text text) noexcept nogil:
    """Whether `*`, any number of bytes, and `?`, one character of UTF-8, stand for all that differs.

    After a `*` the shortest stretch that works is enough, so that only the last one is ever tried again.
    """
    cdef size_t p = 0
    cdef size_t t = 0
    cdef size_t behind_star = 0
    cdef size_t tried = 0
    cdef bint has_star = False
    while t < text.size:
        if p < pattern.size and pattern.data[p] == 0x2A:  # *
            p += 1
            has_star, behind_star, tried = True, p, t
        elif p < pattern.size and (pattern.data[p] == 0x3F or pattern.data[p] == text.data[t]):  # ?
            t += 1
            if pattern.data[p] == 0x3F:
                while t < text.size and text.data[t] & 0xC0 == 0x80:
                    t += 1
            p += 1
        elif has_star:
            tried += 1
            p, t = behind_star, tried
        else:
            return False
    while p < pattern.size and pattern.data[p] == 0x2A:
        p += 1
    return p == pattern.size


cdef inline int order_of(Text left, Text right) noexcept nogil:
    cdef int order = memcmp(left.data, right.data, min(left.size, right.size))
    return order if order else (left.size > right.size) - (left.size < right.size)


cdef inline uint64_t hash_of(const uint8_t* p, size_t size, uint64_t seed) noexcept nogil:
    cdef uint64_t word
    cdef uint64_t h = seed ^ size * 0x9E3779B97F4A7C15ULL
    while size >= 8:
        memcpy(&word, p, 8)
        h = (h ^ word) * 0xFF51AFD7ED558CCDULL
        h ^= h >> 32
        p += 8
        size -= 8
    word = 0
    memcpy(&word, p, size)
    h = (h ^ word) * 0xC4CEB9FE1A85EC53ULL
    return h ^ h >> 29


cdef inline bint put_field(Buffer* out, uint8_t tag, Text text) noexcept nogil:
    return buffer_put(out, &tag, 1) and buffer_put_varint(out, text.size) and buffer_put(out, text.data, text.size)


cdef inline bint put_fixed(Buffer* out, uint8_t tag, const void* value) noexcept nogil:
    return buffer_put(out, &tag, 1) and buffer_put(out, value, 8)


cdef inline bint put_pair(Buffer* out, Text key, Text value) noexcept nogil:
    """A KeyValue, as an element `0A`; `value` is an AnyValue's content."""
    cdef size_t size = 2 + varint_size(key.size) + key.size + varint_size(value.size) + value.size
    cdef uint8_t tag = 0x0A
    return (
        buffer_put(out, &tag, 1) and buffer_put_varint(out, size)
        and put_field(out, 0x0A, key) and put_field(out, 0x12, value)
    )


cdef inline bint put_text_pair(Buffer* out, Text key, Text text) noexcept nogil:
    cdef size_t inner = 1 + varint_size(text.size) + text.size
    cdef size_t size = 2 + varint_size(key.size) + key.size + varint_size(inner) + inner
    cdef uint8_t tag = 0x0A
    cdef uint8_t value = 0x12
    return (
        buffer_put(out, &tag, 1) and buffer_put_varint(out, size) and put_field(out, 0x0A, key)
        and buffer_put(out, &value, 1) and buffer_put_varint(out, inner) and put_field(out, 0x0A, text)
    )


cdef int32_t bucket_index(double value, int32_t scale) noexcept nogil:
    """The bucket (base**i, base**(i+1)] that holds a positive value, base = 2**(2**-scale).

    OpenTelemetry's data model, "Exponential Buckets"; powers of two are exact, being upper bounds of their bucket.
    """
    cdef int exponent = 0
    cdef double fraction = frexp(value, &exponent)
    if scale <= 0:
        return (exponent - (2 if fraction == 0.5 else 1)) >> -scale
    if fraction == 0.5:
        return ((exponent - 1) << scale) - 1
    return <int32_t>(((exponent - 1) << scale) + ceil(ldexp(log2(fraction * 2), scale)) - 1)


cdef void exponential_add(Series* series, double value, uint32_t max_size) noexcept nogil:
    cdef int32_t index, low, high, shift, old_high
    cdef uint32_t i, place
    if value <= 0:
        series.zeros += 1
        return
    index = bucket_index(value, series.scale)
    if series.used == 0:
        series.offset = index
        series.used = 1
        series.buckets[0] = 1
        return
    low = min(index, series.offset)
    high = max(index, series.offset + <int32_t>series.used - 1)
    shift = 0
    while high - low >= <int32_t>max_size and series.scale - shift > MIN_SCALE:
        low >>= 1
        high >>= 1
        shift += 1
    if shift:
        old_high = series.offset + <int32_t>series.used - 1
        place = 0
        for i in range(1, series.used):  # what was at offset + i goes to (offset + i) >> shift
            place = ((series.offset + <int32_t>i) >> shift) - (series.offset >> shift)
            if place != i:
                series.buckets[place] += series.buckets[i]
                series.buckets[i] = 0
        series.offset >>= shift
        series.used = (old_high >> shift) - series.offset + 1
        series.scale -= shift
        index >>= shift
    if high - low >= <int32_t>max_size:
        return
    if low < series.offset:
        place = series.offset - low
        memmove(series.buckets + place, series.buckets, series.used * sizeof(uint64_t))
        memset(series.buckets, 0, place * sizeof(uint64_t))
        series.offset = low
        series.used += place
    if high - low + 1 > <int32_t>series.used:
        series.used = high - low + 1
    series.buckets[index - series.offset] += 1


cdef class SpanSeries:
    """The series of one connector. `add` counts a batch of traces, `flush` writes all as metrics."""

    cdef Series* first
    cdef Series** table
    cdef size_t buckets
    cdef size_t count
    cdef readonly size_t held
    cdef size_t max_bytes
    cdef uint32_t max_groups
    cdef uint32_t limit
    cdef uint32_t* group_counts
    cdef uint64_t* group_seen
    cdef Dimension* dimensions
    cdef uint32_t dimension_count
    cdef Glob* globs
    cdef uint32_t glob_count
    cdef Text* reserved
    cdef uint32_t reserved_count
    cdef Text instance
    cdef uint32_t metrics  # which are made, as bits
    cdef uint32_t builtins  # service.name, span.name, span.kind, status.code as bits
    cdef double* bounds
    cdef uint32_t bound_count
    cdef uint32_t max_size
    cdef uint32_t max_exemplars
    cdef double scale
    cdef bint delta
    cdef uint64_t seed
    cdef uint64_t delta_start
    cdef bint whole_resource
    cdef dict groups
    cdef list names
    cdef frozenset key_attributes
    cdef frozenset scopes
    cdef str unit
    cdef list keep
    cdef Buffer key
    cdef Arena arena
    cdef Attributes attributes
    cdef Attributes resource
    cdef Attributes event
    cdef Text scope_name
    cdef Text scope_version
    cdef bint with_scope

    def __cinit__(self):
        self.groups = {}
        self.keep = []

    def __init__(
        self, *, str namespace, list dimensions, list globs, list reserved, bytes instance, uint32_t metrics,
        uint32_t builtins, bounds, uint32_t max_size, str unit,
        bint delta, uint32_t limit, uint32_t max_groups, uint32_t max_exemplars, bint whole_resource, key_attributes,
        scopes, size_t max_bytes, uint64_t seed,
    ):
        cdef uint32_t i, j
        cdef Dimension* dimension
        self.names = [f"{namespace}.{n}" if namespace else n for n in ("calls", "duration", "events")]
        self.metrics, self.builtins, self.max_size, self.unit = metrics, builtins, max_size, unit
        self.scale = 1e-6 if unit == "ms" else 1e-9
        self.delta, self.limit, self.max_groups, self.max_exemplars = delta, limit, max_groups, max_exemplars
        self.whole_resource, self.key_attributes = whole_resource, frozenset(key_attributes)
        self.scopes, self.max_bytes, self.seed = frozenset(scopes), max_bytes, seed
        self.buckets = 1024
        self.table = <Series**>calloc(self.buckets, sizeof(Series*))
        self.group_counts = <uint32_t*>calloc((max_groups + 1) * METRICS, sizeof(uint32_t))
        self.group_seen = <uint64_t*>calloc(max_groups + 1, sizeof(uint64_t))
        self.bound_count = len(bounds)
        self.bounds = <double*>calloc(len(bounds) + 1, sizeof(double))
        self.dimension_count = len(dimensions)
        self.dimensions = <Dimension*>calloc(len(dimensions) + 1, sizeof(Dimension))
        self.glob_count, self.reserved_count = len(globs), len(reserved)
        self.globs = <Glob*>calloc(len(globs) + 1, sizeof(Glob))
        self.reserved = <Text*>calloc(len(reserved) + 1, sizeof(Text))
        self.instance = self.hold(instance)
        if not (
            self.table and self.group_counts and self.group_seen and self.bounds and self.dimensions and self.globs
            and self.reserved
        ):
            raise MemoryError
        for i, (pattern, wanted) in enumerate(globs):
            self.globs[i] = Glob(self.hold(pattern), wanted)
        for i, name in enumerate(reserved):
            self.reserved[i] = self.hold(name)
        for i in range(self.bound_count):
            self.bounds[i] = bounds[i]
        for i, (key, default, wanted, values, most) in enumerate(dimensions):
            dimension = &self.dimensions[i]
            dimension.key = self.hold(key)
            dimension.default = Text(NULL, 0) if default is None else self.hold(default)
            dimension.metrics = wanted
            dimension.bounded = bool(values) or most > 0
            dimension.max_values = max(<uint32_t>len(values), <uint32_t>most)
            if dimension.bounded:
                dimension.values = <Text*>calloc(dimension.max_values, sizeof(Text))
                if dimension.values == NULL:
                    raise MemoryError
            for j, value in enumerate(values):
                dimension.values[j] = self.hold(value)
            dimension.value_count = len(values)

    def __dealloc__(self):
        cdef Series* series = self.first
        cdef Series* following
        cdef uint32_t i
        while series != NULL:
            following = series.next
            free_series(series)
            series = following
        if self.dimensions != NULL:
            for i in range(self.dimension_count):
                free(self.dimensions[i].values)
        free(self.dimensions)
        free(self.globs)
        free(self.reserved)
        free(self.table)
        free(self.group_counts)
        free(self.group_seen)
        free(self.bounds)
        buffer_free(&self.key)
        arena_free(&self.arena)
        attributes_free(&self.attributes)
        attributes_free(&self.resource)
        attributes_free(&self.event)

    def __len__(self):
        return self.count

    cdef Text hold(self, bytes text):
        self.keep.append(text)
        return Text(<bytes_at>PyBytes_AS_STRING(text), len(text))

    def add(self, bytes payload, uint64_t now):
        """Count the spans of a `TracesData`; `now` is nanoseconds of the wall clock."""
        cdef bytes_at p = <bytes_at>PyBytes_AS_STRING(payload)
        cdef bytes_at end = p + len(payload)
        cdef uint32_t tag = 0
        cdef size_t size = 0
        while p < end:
            p = read_tag(p, end, &tag)
            if p != NULL and tag == 0x0A:
                p = read_length(p, end, &size)
                if p == NULL:
                    malformed()
                self.add_resource(p, p + size, now)
                p += size
            elif p != NULL:
                p = skip_value(p, end, tag, 0)
            if p == NULL:
                malformed()

    cdef int add_resource(self, bytes_at start, bytes_at end, uint64_t now) except -1:
        cdef bytes_at p = start
        cdef uint32_t tag = 0
        cdef size_t size = 0
        cdef uint32_t group
        arena_free(&self.arena)
        memset(&self.arena, 0, sizeof(Arena))
        attributes_begin(&self.resource)
        while p < end:
            p = read_tag(p, end, &tag)
            if p == NULL:
                malformed()
            if tag == 0x0A:
                p = read_length(p, end, &size)
                if p == NULL:
                    malformed()
                gather_from(&self.resource, &self.arena, p, p + size, 0x0A)
                p += size
            else:
                p = skip_value(p, end, tag, 1)
            if p == NULL:
                malformed()
        group = self.group_of()
        self.group_seen[group] = now
        p = start
        while p < end:
            p = read_tag(p, end, &tag)
            if p == NULL:
                malformed()
            if tag == 0x12:
                p = read_length(p, end, &size)
                if p == NULL:
                    malformed()
                self.add_scope(p, p + size, group, now)
                p += size
            else:
                p = skip_value(p, end, tag, 1)
        return 0

    cdef uint32_t group_of(self) except? 0xFFFFFFFF:
        """The number of this resource; the last number stands for all beyond the limit, and has no attributes."""
        cdef size_t i
        cdef bytes content_bytes
        cdef list kept = []
        if not self.whole_resource:
            self.groups.setdefault(b"", 0)
            return 0
        for i in range(self.resource.count):
            pair = self.resource.list[i]
            key = pair.key.data[:pair.key.size]
            if not self.key_attributes or key in self.key_attributes:
                kept.append(pair.field.data[:pair.field.size])
        found = b"".join(sorted(kept))
        known = self.groups.get(found)
        if known is not None:
            return known[0]
        if len(self.groups) >= self.max_groups or len(found) > LONGEST_KEY:
            return self.max_groups
        used = {number for number, _ in self.groups.values()}
        number = next(n for n in range(self.max_groups) if n not in used)
        everything = b"".join(
            [self.resource.list[i].field.data[:self.resource.list[i].field.size] for i in range(self.resource.count)]
        )
        self.groups[found] = (number, everything if len(everything) <= LONGEST_KEY else found)
        return number

    cdef int add_scope(self, bytes_at start, bytes_at end, uint32_t group, uint64_t now) except -1:
        cdef bytes_at p = start
        cdef bytes_at inner
        cdef bytes_at inner_end
        cdef uint32_t tag = 0
        cdef size_t size = 0
        self.scope_name = self.scope_version = Text(start, 0)
        self.with_scope = False
        if self.scopes:
            while p < end:
                p = read_tag(p, end, &tag)
                if p == NULL:
                    malformed()
                if tag != 0x0A:
                    p = skip_value(p, end, tag, 2)
                    if p == NULL:
                        malformed()
                    continue
                inner = read_length(p, end, &size)
                if inner == NULL:
                    malformed()
                p = inner_end = inner + size
                while inner < inner_end:
                    inner = read_tag(inner, inner_end, &tag)
                    if inner == NULL:
                        malformed()
                    if tag == 0x0A or tag == 0x12:
                        inner = read_length(inner, inner_end, &size)
                        if inner == NULL:
                            malformed()
                        if tag == 0x0A:
                            self.scope_name = Text(inner, size)
                        else:
                            self.scope_version = Text(inner, size)
                        inner += size
                    else:
                        inner = skip_value(inner, inner_end, tag, 3)
                        if inner == NULL:
                            malformed()
            self.with_scope = self.scope_name.data[:self.scope_name.size] in self.scopes
        with nogil:
            p = start
            while p < end:
                p = read_tag(p, end, &tag)
                if p == NULL:
                    malformed()
                if tag == 0x12:
                    p = read_length(p, end, &size)
                    if p == NULL:
                        malformed()
                    self.add_span(p, p + size, group, now)
                    p += size
                else:
                    p = skip_value(p, end, tag, 2)
                if p == NULL:
                    malformed()
        return 0

    cdef int add_span(self, bytes_at start, bytes_at end, uint32_t group, uint64_t now) except -1 nogil:
        cdef bytes_at p = start
        cdef bytes_at field
        cdef uint32_t tag = 0
        cdef size_t size = 0
        cdef Span span
        cdef bint events = False
        memset(&span, 0, sizeof(Span))
        span.name = span.trace_id = span.span_id = Text(start, 0)
        attributes_begin(&self.attributes)
        while p < end:
            field = p
            p = read_tag(p, end, &tag)
            if p == NULL:
                malformed()
            if tag == 0x30:
                p = read_varint(p, end, &span.kind)
            elif (tag == 0x39 or tag == 0x41) and end - p >= 8:
                memcpy(&span.start if tag == 0x39 else &span.end, p, 8)
                p += 8
            elif tag & 7 != 2:
                p = skip_value(p, end, tag, 3)
            else:
                p = read_length(p, end, &size)
                if p == NULL:
                    malformed()
                if tag == 0x2A:
                    span.name = Text(p, size)
                elif tag == 0x4A:
                    gather(&self.attributes, &self.arena, field, p, size, 0)
                elif tag == 0x0A:
                    span.trace_id = Text(p, size)
                elif tag == 0x12:
                    span.span_id = Text(p, size)
                elif tag == 0x7A:
                    read_status(p, p + size, &span.status)
                elif tag == 0x5A:
                    events = True
                p += size
            if p == NULL:
                malformed()
        if self.metrics & 1 << CALLS:
            self.count_one(CALLS, &span, group, now)
        if self.metrics & 1 << DURATION:
            self.count_one(DURATION, &span, group, now)
        if events and self.metrics & 1 << EVENTS:
            p = start
            while p < end:
                p = read_tag(p, end, &tag)
                if tag == 0x5A:
                    p = read_length(p, end, &size)
                    attributes_begin(&self.event)
                    gather_from(&self.event, &self.arena, p, p + size, 0x1A)
                    self.count_one(EVENTS, &span, group, now)
                    p += size
                else:
                    p = skip_value(p, end, tag, 3)
        return 0

    cdef int build_key(self, int metric, Span* span) except -1 nogil:
        """The attributes of the series, as KeyValues behind a tag `0A` each."""
        cdef Buffer* key = &self.key
        cdef bint done = True
        cdef Py_ssize_t place
        cdef uint32_t i
        cdef Dimension* dimension
        cdef Attributes* source
        cdef Text service = Text(<bytes_at><const char*>b"service.name", 12)
        key.size = 0
        if self.builtins & 1:
            place = find(&self.resource, service, 0)
            if place >= 0:
                done = done and put_value(key, service, content(&self.resource.list[place]))
        if self.builtins & 2:
            done = done and put_text_pair(key, Text(<bytes_at><const char*>b"span.name", 9), span.name)
        if self.builtins & 4:
            done = done and put_text_pair(
                key, Text(<bytes_at><const char*>b"span.kind", 9), KIND_TEXTS[<uint32_t>span.kind if <uint32_t>span.kind < 6 else 0]
            )
        if self.builtins & 8:
            done = done and put_text_pair(
                key, Text(<bytes_at><const char*>b"status.code", 11), CODE_TEXTS[<uint32_t>span.status if <uint32_t>span.status < 3 else 0]
            )
        if self.instance.size:
            done = done and put_text_pair(key, Text(<bytes_at><const char*>b"collector.instance.id", 21), self.instance)
        if self.with_scope:
            done = done and put_text_pair(key, Text(<bytes_at><const char*>b"span.instrumentation.scope.name", 31), self.scope_name)
            done = done and put_text_pair(
                key, Text(<bytes_at><const char*>b"span.instrumentation.scope.version", 34), self.scope_version
            )
        for i in range(self.dimension_count):
            dimension = &self.dimensions[i]
            if not dimension.metrics & 1 << metric:
                continue
            source = &self.event
            place = find(source, dimension.key, 0) if metric == EVENTS else -1
            if place < 0:
                source = &self.attributes
                place = find(source, dimension.key, 0)
            if place < 0:
                source = &self.resource
                place = find(source, dimension.key, 0)
            if place >= 0:
                done = done and self.put_dimension(dimension, content(&source.list[place]))
            elif dimension.default.data != NULL:
                done = done and put_pair(key, dimension.key, dimension.default)
        for i in range(self.glob_count):
            if self.globs[i].metrics & 1 << metric:
                done = done and self.put_globbed(metric)
                break
        if not done:
            out_of_memory()
        return 0

    cdef bint put_globbed(self, int metric) noexcept nogil:
        """The attributes that a pattern names, in the order of their names: spans may bear them in any."""
        cdef Attribute* found[MOST_GLOBBED]
        cdef size_t count = 0
        cdef size_t at, i
        cdef int source
        cdef int order
        cdef Attributes* attributes
        cdef Attribute* attribute
        for source in range(0 if metric == EVENTS else 1, 3):
            attributes = &self.event if source == 0 else &self.attributes if source == 1 else &self.resource
            for i in range(attributes.count):
                attribute = &attributes.list[i]
                if not self.is_globbed(metric, attribute.key):
                    continue
                at, order = count, 1
                while at and order > 0:
                    order = order_of(found[at - 1].key, attribute.key)
                    at -= order > 0
                if at and order == 0:
                    continue  # one that is nearer to the span has the same name
                if at == MOST_GLOBBED:
                    continue
                count = min(count + 1, <size_t>MOST_GLOBBED)
                memmove(&found[at + 1], &found[at], (count - 1 - at) * sizeof(Attribute*))
                found[at] = attribute
        for i in range(count):
            if not put_value(&self.key, found[i].key, content(found[i])):
                return False
        return True

    cdef bint is_globbed(self, int metric, Text name) noexcept nogil:
        """Whether a pattern makes a dimension of the attribute, and nothing else has its name."""
        cdef uint32_t i
        cdef bint fits = False
        for i in range(self.glob_count):
            if self.globs[i].metrics & 1 << metric and matches(self.globs[i].pattern, name):
                fits = True
                break
        if not fits:
            return False
        for i in range(self.dimension_count):
            if self.dimensions[i].metrics & 1 << metric and same(self.dimensions[i].key, name):
                return False
        for i in range(self.reserved_count):
            if same(self.reserved[i], name):
                return False
        return True

    cdef bint put_dimension(self, Dimension* dimension, Text value) except? False nogil:
        cdef AnyValue any
        cdef Text text
        cdef uint32_t i
        cdef uint8_t* copy
        if not dimension.bounded:
            return put_value(&self.key, dimension.key, value)
        read_any(value.data, value.size, &any)
        text = Text(any.data, any.size)
        if any.kind != STRING or text.size > LONGEST_VALUE:
            return put_text_pair(&self.key, dimension.key, OTHER)
        for i in range(dimension.value_count):
            if same(dimension.values[i], text):
                return put_text_pair(&self.key, dimension.key, text)
        if dimension.value_count == dimension.max_values:
            return put_text_pair(&self.key, dimension.key, OTHER)
        with gil:  # at most `max_values` times in the life of the collector
            dimension.values[dimension.value_count] = self.hold(PyBytes_FromStringAndSize(<char*>text.data, text.size))
        dimension.value_count += 1
        return put_text_pair(&self.key, dimension.key, text)

    cdef int count_one(self, int metric, Span* span, uint32_t group, uint64_t now) except -1 nogil:
        cdef Series* series
        cdef double value
        cdef uint32_t low, high, middle
        self.build_key(metric, span)
        series = self.series_of(metric, group, now)
        series.seen = now
        series.count += 1
        if metric != DURATION:
            return 0
        value = <double>(span.end - span.start) * self.scale if span.end > span.start else 0.0
        if series.count == 1 or value < series.least:
            series.least = value
        if series.count == 1 or value > series.most:
            series.most = value
        series.sum += value
        if self.max_size:
            exponential_add(series, value, self.max_size)
        else:
            low = 0
            high = self.bound_count
            while low < high:
                middle = (low + high) >> 1
                if self.bounds[middle] < value:
                    low = middle + 1
                else:
                    high = middle
            series.buckets[low] += 1
        if series.exemplar_count < self.max_exemplars and span.trace_id.size == 16 and span.span_id.size == 8:
            series.exemplars[series.exemplar_count].time = span.end
            series.exemplars[series.exemplar_count].value = value
            memcpy(series.exemplars[series.exemplar_count].trace_id, span.trace_id.data, 16)
            memcpy(series.exemplars[series.exemplar_count].span_id, span.span_id.data, 8)
            series.exemplar_count += 1
        return 0

    cdef Series* series_of(self, int metric, uint32_t group, uint64_t now) except NULL nogil:
        cdef uint32_t place = group * METRICS + metric
        cdef Series* series = self.lookup(place)
        cdef size_t needed
        if series != NULL:
            return series
        needed = self.series_size(metric)
        if (
            self.key.size > LONGEST_KEY or (self.limit and self.group_counts[place] >= self.limit)
            or self.held + needed > self.max_bytes
        ):
            self.key.size = 0
            buffer_put(&self.key, <bytes_at>_OVERFLOW_AT, _OVERFLOW_SIZE)
            series = self.lookup(place)
            if series != NULL:
                return series
            needed = self.series_size(metric)
        else:
            self.group_counts[place] += 1
        return self.make(metric, place, needed, now)

    cdef size_t series_size(self, int metric) noexcept nogil:
        cdef size_t size = sizeof(Series) + self.key.size
        if metric == DURATION:
            size += (self.max_size or self.bound_count + 1) * sizeof(uint64_t) + self.max_exemplars * sizeof(Exemplar)
        return size

    cdef Series* lookup(self, uint32_t place) noexcept nogil:
        cdef uint64_t h = hash_of(self.key.data, self.key.size, self.seed ^ place * 0x2545F4914F6CDD1DULL)
        cdef Series* series = self.table[h & (self.buckets - 1)]
        while series != NULL:
            if (
                series.hash == h and series.group == place and series.key_size == self.key.size
                and memcmp(series.key, self.key.data, self.key.size) == 0
            ):
                return series
            series = series.chain
        return NULL

    cdef Series* make(self, int metric, uint32_t place, size_t size, uint64_t now) except NULL nogil:
        cdef Series* series = <Series*>calloc(1, sizeof(Series))
        if series == NULL:
            out_of_memory()
            return NULL
        series.key = <uint8_t*>malloc(self.key.size + 1)
        if metric == DURATION:
            series.buckets = <uint64_t*>calloc(self.max_size or self.bound_count + 1, sizeof(uint64_t))
            series.exemplars = <Exemplar*>calloc(self.max_exemplars + 1, sizeof(Exemplar))
        if series.key == NULL or (metric == DURATION and (series.buckets == NULL or series.exemplars == NULL)):
            free_series(series)
            out_of_memory()
            return NULL
        memcpy(series.key, self.key.data, self.key.size)
        series.key_size = self.key.size
        series.hash = hash_of(self.key.data, self.key.size, self.seed ^ place * 0x2545F4914F6CDD1DULL)
        series.group = place
        series.held = size
        series.scale = MAX_SCALE
        series.start = self.delta_start if self.delta and self.delta_start else now
        series.next = self.first
        self.first = series
        self.held += size
        self.count += 1
        if self.count > self.buckets:
            self.grow()
        series.chain = self.table[series.hash & (self.buckets - 1)]
        self.table[series.hash & (self.buckets - 1)] = series
        return series

    cdef void grow(self) noexcept nogil:
        """Twice as many buckets; where memory is out, the chains grow longer instead."""
        cdef Series** table = <Series**>calloc(self.buckets * 2, sizeof(Series*))
        cdef Series* series
        cdef size_t i
        if table == NULL:
            return
        free(self.table)
        self.table = table
        self.buckets *= 2
        series = self.first.next  # the first is being added
        while series != NULL:
            i = series.hash & (self.buckets - 1)
            series.chain = table[i]
            table[i] = series
            series = series.next

    def flush(self, uint64_t now):
        """All series as `MetricsData`, and the number of data points; with delta temporality they begin anew."""
        cdef Series* series = self.first
        cdef dict by_group = {}
        cdef size_t points = self.count
        while series != NULL:
            by_group.setdefault(series.group, []).append(point(self, series, now))
            series.exemplar_count = 0
            series = series.next
        resources = {0: b""}
        if self.whole_resource:
            resources = dict(self.groups.values())
        out = []
        for group in sorted({place // METRICS for place in by_group}):
            metrics = [
                field(0x12, self.metric(metric, by_group[group * METRICS + metric]))
                for metric in range(METRICS) if group * METRICS + metric in by_group
            ]
            scope = field(0x0A, field(0x0A, b"sluiceway/span_metrics"))
            out.append(field(0x0A, field(0x0A, resources.get(group, b"")) + field(0x12, scope + b"".join(metrics))))
        if self.delta:
            self.remove(0, 0, True)
            self.delta_start = now
        return b"".join(out), points

    cdef bytes metric(self, int metric, list points):
        data = b"".join(points) + (b"\x10\x01" if self.delta else b"\x10\x02")
        head = field(0x0A, (<str>self.names[metric]).encode())
        if metric != DURATION:
            return head + field(0x1A, b"1") + field(0x3A, data + b"\x18\x01")
        return head + field(0x1A, self.unit.encode()) + field(0x52 if self.max_size else 0x4A, data)

    def expire(self, uint64_t series_before, uint64_t groups_before):
        """Remove series not seen since, and those of resources not seen since: nanoseconds, 0 removes none."""
        self.remove(series_before, groups_before, False)
        if self.whole_resource:
            used = set()
            self.used_groups(used)
            self.groups = {key: known for key, known in self.groups.items() if known[0] in used}

    cdef int used_groups(self, set used) except -1:
        cdef Series* series = self.first
        while series != NULL:
            used.add(series.group // METRICS)
            series = series.next
        return 0

    cdef int remove(self, uint64_t series_before, uint64_t groups_before, bint everything) except -1:
        cdef Series* series = self.first
        cdef Series* following
        cdef Series** tail = &self.first
        memset(self.table, 0, self.buckets * sizeof(Series*))
        memset(self.group_counts, 0, (self.max_groups + 1) * METRICS * sizeof(uint32_t))
        while series != NULL:
            following = series.next
            if everything or series.seen < series_before or self.group_seen[series.group // METRICS] < groups_before:
                self.held -= series.held
                self.count -= 1
                free_series(series)
            else:
                series.chain = self.table[series.hash & (self.buckets - 1)]
                self.table[series.hash & (self.buckets - 1)] = series
                self.group_counts[series.group] += series.key_size != <size_t>_OVERFLOW_SIZE or (
                    memcmp(series.key, _OVERFLOW_AT, _OVERFLOW_SIZE) != 0
                )
                tail[0] = series
                tail = &series.next
            series = following
        tail[0] = NULL
        if everything:
            self.groups.clear()
        return 0


cdef bytes_at _OVERFLOW_AT
cdef size_t _OVERFLOW_SIZE
_overflow = b"\x0a" + bytes([len(_OVERFLOW)]) + _OVERFLOW
_OVERFLOW_AT = <bytes_at>PyBytes_AS_STRING(_overflow)
_OVERFLOW_SIZE = len(_overflow)


cdef void free_series(Series* series) noexcept nogil:
    free(series.key)
    free(series.buckets)
    free(series.exemplars)
    free(series)


cdef inline bint put_value(Buffer* out, Text key, Text value) except? False nogil:
    """A KeyValue; the value is written in one form, however it was encoded, or one value would have several series."""
    cdef AnyValue any
    cdef uint8_t room[16]
    cdef Text written
    written.data = &room[0]
    read_any(value.data, value.size, &any)
    if any.kind == STRING:
        return put_text_pair(out, key, Text(any.data, any.size))
    if any.kind == BOOL or any.kind == INT:
        room[0] = <uint8_t>(any.kind << 3)
        written.size = write_varint(&room[1], any.number) - &room[0]
        return put_pair(out, key, written)
    if any.kind == DOUBLE:
        room[0] = 0x21
        memcpy(&room[1], &any.number, 8)
        written.size = 9
        return put_pair(out, key, written)
    return put_pair(out, key, value)


cdef int gather_from(Attributes* attributes, Arena* arena, bytes_at p, bytes_at end, uint32_t wanted) except -1 nogil:
    cdef bytes_at start
    cdef uint32_t tag = 0
    cdef size_t size = 0
    while p < end:
        start = p
        p = read_tag(p, end, &tag)
        if p != NULL and tag == wanted:
            p = read_length(p, end, &size)
            if p == NULL:
                malformed()
            gather(attributes, arena, start, p, size, 0)
            p += size
        elif p != NULL:
            p = skip_value(p, end, tag, 3)
        if p == NULL:
            malformed()
    return 0


cdef int read_status(bytes_at p, bytes_at end, uint64_t* code) except -1 nogil:
    cdef uint32_t tag = 0
    while p < end:
        p = read_tag(p, end, &tag)
        if p != NULL:
            p = read_varint(p, end, code) if tag == 0x18 else skip_value(p, end, tag, 4)
        if p == NULL:
            malformed()
    return 0


cdef bytes field(int tag, bytes data):
    cdef uint8_t room[10]
    cdef uint8_t* end = write_varint(room, len(data))
    return bytes([tag]) + room[:end - room] + data


cdef bytes fixed(int tag, const void* value):
    return bytes([tag]) + PyBytes_FromStringAndSize(<char*>value, 8)


cdef bytes varint(uint64_t value):
    cdef uint8_t room[10]
    return room[:write_varint(room, value) - room]


cdef bytes point(SpanSeries self, Series* series, uint64_t now):
    """One data point, as an element of the field `data_points` (1) of its metric's data."""
    cdef int metric = series.group % METRICS
    cdef bytes key = PyBytes_FromStringAndSize(<char*>series.key, series.key_size)
    cdef bytes out
    cdef uint32_t i
    cdef int64_t zigzag
    if metric != DURATION:
        out = retagged(key, 0x3A) + fixed(0x11, &series.start) + fixed(0x19, &now) + fixed(0x31, &series.count)
        return field(0x0A, out)
    out = (key if self.max_size else retagged(key, 0x4A)) + fixed(0x11, &series.start) + fixed(0x19, &now)
    out += fixed(0x21, &series.count) + fixed(0x29, &series.sum)
    exemplars = b"".join([exemplar(&series.exemplars[i]) for i in range(series.exemplar_count)])
    if self.max_size:
        zigzag = series.scale
        out += b"\x30" + varint(<uint64_t>((zigzag << 1) ^ (zigzag >> 63))) + fixed(0x39, &series.zeros)
        if series.used:
            zigzag = series.offset
            counts = b"".join([varint(series.buckets[i]) for i in range(series.used)])
            out += field(0x42, b"\x08" + varint(<uint64_t>((zigzag << 1) ^ (zigzag >> 63))) + field(0x12, counts))
        out += b"".join(
            [b"\x5a" + exemplar(&series.exemplars[i])[1:] for i in range(series.exemplar_count)]
        )
        out += fixed(0x61, &series.least) + fixed(0x69, &series.most)
    else:
        out += field(0x32, PyBytes_FromStringAndSize(<char*>series.buckets, 8 * (self.bound_count + 1)))
        out += field(0x3A, PyBytes_FromStringAndSize(<char*>self.bounds, 8 * self.bound_count))
        out += exemplars + fixed(0x59, &series.least) + fixed(0x61, &series.most)
    return field(0x0A, out)


cdef bytes exemplar(Exemplar* e):
    return field(
        0x42,
        fixed(0x11, &e.time) + fixed(0x19, &e.value) + field(0x22, e.span_id[:8]) + field(0x2A, e.trace_id[:16]),
    )


cdef bytes retagged(bytes key, int tag):
    """The KeyValues with another tag in front of each."""
    cdef bytearray out = bytearray(key)
    cdef bytes_at start = <bytes_at>PyBytes_AS_STRING(key)
    cdef bytes_at end = start + len(key)
    cdef bytes_at p = start
    cdef size_t size = 0
    while p < end:
        out[p - start] = tag
        p = read_length(p + 1, end, &size)
        if p == NULL:
            malformed()
        p += size
    return bytes(out)
