# cython: boundscheck=False, wraparound=False, cdivision=True
"""The store of series: the last value of each, from batches of OTLP metrics, without a Python object for a point.

A data point finds its stream by the bytes of its attributes, with the numbers of its metric, resource and scope; Python
runs only when one of these has not been seen before. A stream belongs to the series with the labels under which it is
shown; where several streams have the same labels the newest point wins, except that deltas add up.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.math cimport isnan
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcmp, memcpy, memset

from sluiceway.otlp._anyvalue cimport BOOL, DOUBLE, INT, STRING, AnyValue, malformed, read_any
from sluiceway.otlp._arena cimport Arena, arena_free, out_of_memory
from sluiceway.otlp._attributes cimport Attribute, Text, attributes_begin, attributes_free, content, gather
from sluiceway.otlp._proto cimport (
    Buffer, buffer_free, buffer_put, buffer_put_varint, bytes_at, read_length, read_tag, read_varint, skip_value,
)
from sluiceway.prometheus._aliases cimport Aliases
from sluiceway.prometheus._checks cimport prepare
from sluiceway.prometheus._exemplars cimport oldest, read_exemplar
from sluiceway.prometheus._points cimport (
    EXPONENTIAL, GAUGE, HISTOGRAM, NO_RECORDED_VALUE, SUM, SUMMARY, Point, keep, point_free, read_point,
)
from sluiceway.prometheus._series cimport MOST_EXEMPLARS, Exemplar, Series, Stream, is_new, set_distribution
from sluiceway.prometheus._shelf cimport Shelf, weight_of
from sluiceway.prometheus._values cimport add_buckets, add_exponential, add_number, room, same_bounds

from sluiceway.prometheus.labels import exemplar_labels, text_of

cdef enum:
    LONGEST_LABELS = 65536  # bytes of a series' labels
    LONGEST_KEY = 131072  # bytes of a point's attributes as they come
    LONGEST_NAME = 1024  # bytes of a metric's name or unit; OpenTelemetry has 255 and 63 characters
    MOST_OVERFLOWS = 1000  # overflow series
    OBJECTS = 500  # bytes of Python's objects for a resource, scope or metric, besides their texts
    EACH = 4096  # bytes that there are for each series
    AT_LEAST = 67108864  # bytes that there are in any case

cdef enum:  # why points are refused, negated
    CONFLICT = 1
    UNSUPPORTED = 2
    NAMELESS = 3
    MALFORMED = 4

REFUSALS = ("", "conflict", "unsupported", "nameless", "malformed", "no_room")
cdef bytes UNKNOWN_TYPE = b"\x0a\x0fprometheus.type\x12\x09\x0a\x07unknown"  # a metric's metadata
TARGET = 0  # the family and the metric `target_info`


cdef inline bytes bytes_of(Text text):
    return PyBytes_FromStringAndSize(<char*>text.data, text.size)


cdef inline bytes joined(bytes so_far, bytes_at p, size_t size):
    """Pieces of one message, which protobuf defines as parsing them one after the other."""
    cdef bytes piece = PyBytes_FromStringAndSize(<char*>p, size)
    return piece if not so_far else so_far + piece


cdef class Store(Shelf):
    """The series of one endpoint. `add` takes a batch, `expire` removes what is old; `_page.Page` shows them.

    `names` makes names and labels (see `sluiceway.prometheus.translation`). Not thread-safe.
    """

    def __cinit__(self):
        self.free_metrics = []
        self.metric_ids, self.resource_ids, self.scope_ids, self.metric_sizes = {}, {}, {}, {}
        self.resources, self.scopes, self.targets = {}, {}, {}
        self.outcome = {}

    def __init__(self, names, *, size_t max_series, bint with_exemplars, uint64_t seed):
        self.names, self.max_series, self.with_exemplars, self.seed = names, max_series, with_exemplars, seed
        self.next_id = 1
        self.most_bytes = max(EACH * max_series, <size_t>AT_LEAST)
        self.known_most = self.most_bytes // 8
        self.metric_aliases = Aliases(self.most_bytes // 8)
        self.resource_aliases = Aliases(self.most_bytes // 8)
        self.scope_aliases = Aliases(self.most_bytes // 8)
        cdef Metric target = Metric(0, GAUGE, False, False, False)
        target.family = self.open_family(names.target_family())
        self.metric_of(b"", None, None, None, &target)

    def __dealloc__(self):
        free(self.metrics)
        point_free(&self.point)
        arena_free(&self.arena)
        attributes_free(&self.attributes)
        buffer_free(&self.canonical)
        buffer_free(&self.labels)

    def add(self, bytes payload, double now, uint64_t wall):
        """Take a `MetricsData` at `now`, seconds of the monotonic clock and `wall`, nanoseconds since the epoch.

        Answers how many points were special, by why: `conflict`, `unsupported`, `nameless`, `malformed` and `no_room`
        were refused; `duplicate` had been counted before, `late` came after a newer one, `collision` took a series from
        another stream, `overflow` went to an overflow series.
        """
        cdef bytes_at p = <bytes_at>PyBytes_AS_STRING(payload)
        cdef bytes_at end = p + len(payload)
        cdef uint32_t tag = 0
        cdef size_t size = 0
        self.now, self.wall, self.outcome = now, wall, {}
        if self.known_bytes > self.known_most:
            self.tidy()
        while p < end:
            p = read_tag(p, end, &tag)
            if p != NULL and tag == 0x0A:
                p = read_length(p, end, &size)
                if p == NULL:
                    malformed()
                self.add_resource(p, p + size)
                p += size
            elif p != NULL:
                p = skip_value(p, end, tag, 0)
            if p == NULL:
                malformed()
        return self.outcome

    cdef int add_resource(self, bytes_at start, bytes_at end) except -1:
        cdef bytes_at p = start
        cdef uint32_t tag = 0
        cdef size_t size = 0
        cdef bytes raw = b""
        cdef uint64_t resource
        while p < end:
            p = read_tag(p, end, &tag)
            if p != NULL and tag == 0x0A:
                p = read_length(p, end, &size)
                if p == NULL:
                    malformed()
                raw = joined(raw, p, size)
                p += size
            elif p != NULL:
                p = skip_value(p, end, tag, 1)
            if p == NULL:
                malformed()
        resource = self.resource_of(raw)
        self.touch(resource)
        p = start
        while p < end:
            p = read_tag(p, end, &tag)
            if tag == 0x12:
                p = read_length(p, end, &size)
                self.add_scope(p, p + size, resource)
                p += size
            else:
                p = skip_value(p, end, tag, 1)
        return 0

    cdef int add_scope(self, bytes_at start, bytes_at end, uint64_t resource) except -1:
        cdef bytes_at p = start
        cdef uint32_t tag = 0
        cdef size_t size = 0
        cdef bytes raw = b""
        cdef bytes url = b""
        cdef uint64_t scope
        while p < end:
            p = read_tag(p, end, &tag)
            if p != NULL and (tag == 0x0A or tag == 0x1A):
                p = read_length(p, end, &size)
                if p == NULL:
                    malformed()
                if tag == 0x0A:
                    raw = joined(raw, p, size)
                else:
                    url = PyBytes_FromStringAndSize(<char*>p, size)
                p += size
            elif p != NULL:
                p = skip_value(p, end, tag, 2)
            if p == NULL:
                malformed()
        scope = self.scope_of(raw, url)
        p = start
        while p < end:
            p = read_tag(p, end, &tag)
            if tag == 0x12:
                p = read_length(p, end, &size)
                self.add_metric(p, p + size, resource, scope)
                p += size
            else:
                p = skip_value(p, end, tag, 2)
        return 0

    cdef int add_metric(self, bytes_at start, bytes_at end, uint64_t resource, uint64_t scope) except -1:
        """Read what a metric is, and then its points: those of the data that was set last, as protobuf has it."""
        cdef bytes_at p = start
        cdef bytes_at data = end
        cdef bytes_at field
        cdef bytes_at stop
        cdef uint32_t tag = 0
        cdef uint32_t kind = 0
        cdef uint32_t metric
        cdef uint64_t temporality = 0
        cdef uint64_t monotonic = 0
        cdef size_t size = 0
        cdef Text name = Text(p, 0)
        cdef Text unit = Text(p, 0)
        cdef Text description = Text(p, 0)
        cdef Metric told
        cdef bytes key
        cdef bytes metadata = b""
        while p < end:
            field = p
            p = read_tag(p, end, &tag)
            if p != NULL and tag & 7 == 2:
                p = read_length(p, end, &size)
                if p == NULL:
                    malformed()
                if tag == 0x0A:
                    name = Text(p, size)
                elif tag == 0x12:
                    description = Text(p, size)
                elif tag == 0x1A:
                    unit = Text(p, size)
                elif tag == 0x62:
                    metadata = joined(metadata, p, size)
                elif tag >> 3 in (GAUGE, SUM, HISTOGRAM, EXPONENTIAL, SUMMARY) and tag >> 3 != kind:
                    kind, data = tag >> 3, field
                p += size
            elif p != NULL:
                p = skip_value(p, end, tag, 3)
            if p == NULL:
                malformed()
        if kind == 0:
            return 0
        if kind != GAUGE and kind != SUMMARY:
            p = data
            while p < end:
                p = read_tag(p, end, &tag)
                if tag == (kind << 3 | 2):
                    p = read_length(p, end, &size)
                    stop = p + size
                    while p < stop:
                        p = read_tag(p, stop, &tag)
                        if p != NULL and tag == 0x10:
                            p = read_varint(p, stop, &temporality)
                        elif p != NULL and tag == 0x18 and kind == SUM:
                            p = read_varint(p, stop, &monotonic)
                        elif p != NULL:
                            p = skip_value(p, stop, tag, 4)
                        if p == NULL:
                            malformed()
                else:
                    p = skip_value(p, end, tag, 3)
        told.kind = kind
        told.is_delta = temporality == 1
        told.is_counter = kind == SUM and monotonic != 0
        told.is_unknown = kind == GAUGE and metadata == UNKNOWN_TYPE
        told.family = 0
        if name.size > LONGEST_NAME or unit.size > LONGEST_NAME:
            name.size, unit.size, told.family = min(name.size, LONGEST_NAME), min(unit.size, LONGEST_NAME), -MALFORMED
        if kind in (SUM, HISTOGRAM, EXPONENTIAL) and temporality not in (1, 2):
            told.family = -UNSUPPORTED
        elif kind == SUM and told.is_delta and not told.is_counter:
            told.family = -UNSUPPORTED
        key = (
            bytes((kind, told.is_delta, told.is_counter, told.is_unknown, told.family == 0))
            + b"%d:" % unit.size + bytes_of(unit) + bytes_of(name)
        )
        metric = self.metric_of(key, bytes_of(name), bytes_of(unit), bytes_of(description), &told)
        p = data
        while p < end:
            p = read_tag(p, end, &tag)
            if tag == (kind << 3 | 2):
                p = read_length(p, end, &size)
                stop = p + size
                while p < stop:
                    p = read_tag(p, stop, &tag)
                    if p != NULL and tag == 0x0A:
                        p = read_length(p, stop, &size)
                        if p == NULL:
                            malformed()
                        read_point(&self.point, kind, p, p + size)
                        self.add_point(metric, resource, scope)
                        p += size
                    elif p != NULL:
                        p = skip_value(p, stop, tag, 4)
                    if p == NULL:
                        malformed()
            else:
                p = skip_value(p, end, tag, 3)
        return 0

    cdef uint64_t resource_of(self, bytes raw) except 0:
        cdef object known = self.resource_aliases.find(raw)
        if known is not None:
            return known
        pairs = tuple([(key, text) for key, text, _ in self.read_message(raw, 0x0A)])
        known = self.resource_ids.get(pairs)
        if known is None:
            known = self.next_id
            self.next_id += 1
            self.resources[known] = self.names.resource(dict(pairs))
            self.resource_ids[pairs] = known
            self.tell(known, self.sizes, 3 * sum([100 + len(key) + len(text) for key, text in pairs]))
        self.resource_aliases.remember(raw, known)
        return known

    cdef uint64_t scope_of(self, bytes raw, bytes url) except 0:
        cdef object known = self.scope_aliases.find((raw, url))
        cdef bytes name = b""
        cdef bytes version = b""
        if known is not None:
            return known
        for tag, text in fields_of(raw):
            if tag == 0x0A:
                name = text
            elif tag == 0x12:
                version = text
        pairs = tuple([(key, text) for key, text, _ in self.read_message(raw, 0x1A)])
        told = (name, version, url, pairs)
        known = self.scope_ids.get(told)
        if known is None:
            known = self.next_id
            self.next_id += 1
            self.scopes[known] = self.names.scope(name, version, url, dict(pairs))
            self.scope_ids[told] = known
            size = len(name) + len(version) + len(url) + sum([100 + len(key) + len(text) for key, text in pairs])
            self.tell(known, self.sizes, 2 * size)
        self.scope_aliases.remember((raw, url), known)
        return known

    cdef uint32_t metric_of(self, bytes key, bytes name, bytes unit, bytes description, Metric* told) except? 0xFFFFFFFF:
        """The number of a metric; what it is called and how it is shown is decided when it is new."""
        cdef object known = self.metric_aliases.find((key, description)) if name is not None else None
        cdef uint32_t number
        if known is not None:
            return known
        known = self.metric_ids.get(key)
        if told.family == 0 and name is not None:
            told.family = self.names.family(self, name, unit, description, told.kind, told.is_counter, told.is_unknown)
        if known is None:
            if self.free_metrics:
                number = self.free_metrics.pop()
            else:
                number = self.metric_count
                self.metrics = <Metric*>room(self.metrics, (number + 1) * sizeof(Metric))
                self.metric_count += 1
            self.metrics[number] = told[0]
            known = self.metric_ids[key] = number
            self.tell(known, self.metric_sizes, 3 * len(key) + len(description or b""))
        if name is not None:
            self.metric_aliases.remember((key, description), known)
        return known

    cdef int tell(self, object number, dict sizes, size_t size) except -1:
        """Note how many bytes are needed for a resource, scope or metric."""
        sizes[number] = size + OBJECTS
        self.known_bytes += size + OBJECTS
        return 0

    cdef int note(self, str what) except -1:
        self.outcome[what] = self.outcome.get(what, 0) + 1
        return 0

    cdef int add_point(self, uint32_t metric, uint64_t resource, uint64_t scope) except -1:
        cdef Metric* told = &self.metrics[metric]
        cdef Stream* stream
        if told.family < 0:
            return self.note(REFUSALS[-told.family])
        if self.point.flags & NO_RECORDED_VALUE:
            stream = self.stream_of(metric, resource, scope, False)
            if stream == NULL:
                return 0
            if stream.series.has_value and 0 < self.point.time < stream.series.time:
                return self.note("late")
            self.end_stream(stream)
            return 0
        if not prepare(&self.point, told.kind, told.is_delta):
            return self.note(REFUSALS[MALFORMED])
        if self.point.time == 0:
            self.point.time = self.wall
        stream = self.stream_of(metric, resource, scope, True)
        if stream == NULL:
            return 0  # it was noted why
        return self.apply(&self.metrics[metric], stream)

    cdef int apply(self, Metric* metric, Stream* stream) except -1:
        cdef Series* series = stream.series
        cdef Point* point = &self.point
        if metric.is_delta and not stream.overflow and not is_new(stream, point.start, point.time):
            stream.seen = series.seen = self.now
            return self.note("duplicate")
        stream.seen = series.seen = self.now
        if series.owner != stream:
            if series.owner != NULL:
                self.note("collision")
                if not self.family[series.family].collided:
                    self.family[series.family].collided = True
                    self.names.collided(self.families[series.family])
            if metric.is_delta or not series.has_value or point.time >= series.time:
                series.owner = stream
        if not metric.is_delta and series.has_value and point.time < series.time:
            return self.note("late")
        if (metric.kind == GAUGE or metric.kind == SUM) and not point.exemplars.size:
            return self.keep_value(metric, series)
        if not self.has_room(series):
            return self.note("no_room")
        self.weight -= weight_of(series)
        try:
            return self.keep_value(metric, series)
        finally:
            self.weight += weight_of(series)

    cdef int keep_value(self, Metric* metric, Series* series) except -1:
        return self.add_up(metric, series) if metric.is_delta else self.take(metric, series)

    cdef bint has_room(self, Series* series):
        """Whether the point's buckets may take memory, where they need more than the series has."""
        cdef Point* point = &self.point
        cdef size_t size = point.bounds.size + point.values.size + point.counts[0].size + point.counts[1].size
        return size == 0 or self.weight + size <= self.most_bytes + weight_of(series)

    cdef int take(self, Metric* metric, Series* series) except -1:
        """Let the point be the series' value."""
        cdef Point* point = &self.point
        series.time, series.start = point.time, point.start
        series.is_integer, series.integer, series.number = point.is_integer, point.integer, point.number
        if metric.kind != GAUGE and metric.kind != SUM:
            set_distribution(series, point, metric.kind)
        series.kind, series.has_value, series.adds_up = metric.kind, True, metric.is_delta
        if self.with_exemplars and point.exemplars.size:
            self.take_exemplars(metric, series)
        return 0

    cdef int add_up(self, Metric* metric, Series* series) except -1:
        """Add the point, a delta, to the series' value; what has other buckets begins anew."""
        cdef Point* point = &self.point
        if not series.has_value or not series.adds_up or series.kind != metric.kind:
            return self.take(metric, series)
        if metric.kind == HISTOGRAM and not same_bounds(series.distribution, point):
            return self.take(metric, series)
        series.time = max(series.time, point.time)
        if metric.kind == SUM:
            add_number(&series.is_integer, &series.integer, &series.number, point)
        elif metric.kind == HISTOGRAM:
            add_buckets(series.distribution, point)
        else:
            add_exponential(series.distribution, point)
        if self.with_exemplars and point.exemplars.size:
            self.take_exemplars(metric, series)
        return 0

    cdef int take_exemplars(self, Metric* metric, Series* series) except -1:
        cdef Text* texts = <Text*>self.point.exemplars.data
        cdef size_t i
        cdef uint32_t wanted = 1
        if metric.kind == GAUGE or (metric.kind == SUM and not metric.is_counter):
            return 0
        if metric.kind == HISTOGRAM:
            wanted = series.distribution.bound_count + 1
        elif metric.kind == EXPONENTIAL:
            wanted = MOST_EXEMPLARS
        if series.exemplar_count != wanted:
            for i in range(series.exemplar_count):
                free(series.exemplars[i])
            series.exemplar_count = 0
            series.exemplars = <Exemplar**>room(series.exemplars, wanted * sizeof(Exemplar*))
            memset(series.exemplars, 0, wanted * sizeof(Exemplar*))
            series.exemplar_count = wanted
        for i in range(self.point.exemplars.size // sizeof(Text)):
            self.take_exemplar(metric, series, texts[i].data, texts[i].data + texts[i].size)
        return 0

    cdef int take_exemplar(self, Metric* metric, Series* series, bytes_at p, bytes_at end) except -1:
        """Keep an exemplar in its bucket: the newest, and of those of one point the largest."""
        cdef Exemplar told
        cdef Exemplar* made
        cdef Text trace_id
        cdef Text span_id
        cdef bytes labels
        cdef uint32_t place = 0
        if not read_exemplar(p, end, &told.value, &told.time, &trace_id, &span_id, &self.canonical):
            return 0
        if isnan(told.value):
            return 0
        if metric.kind == HISTOGRAM:
            while place < series.distribution.bound_count and told.value > series.distribution.bounds[place]:
                place += 1
        elif metric.kind == EXPONENTIAL:
            place = oldest(series)
        if series.exemplars[place] != NULL and metric.kind == HISTOGRAM and (
            series.exemplars[place].time >= told.time and series.exemplars[place].value > told.value
        ):
            return 0
        labels = self.exemplar_labels(bytes_of(trace_id), bytes_of(span_id))
        told.size = len(labels)
        made = <Exemplar*>room(series.exemplars[place], sizeof(Exemplar) + told.size)
        made[0] = told
        memcpy(<char*>made + sizeof(Exemplar), PyBytes_AS_STRING(labels), told.size)
        series.exemplars[place] = made
        return 0

    cdef bytes exemplar_labels(self, bytes trace_id, bytes span_id):
        """The ids, and as many of the attributes as OpenMetrics has room for."""
        cdef list told = self.read_attributes(self.canonical.data, self.canonical.data + self.canonical.size)
        cdef dict labels = exemplar_labels(trace_id, span_id, [(key, text) for key, text, _ in told])
        return encode_labels(&self.labels, labels)

    cdef Stream* stream_of(self, uint32_t metric, uint64_t resource, uint64_t scope, bint make) except? NULL:
        """The stream that the point belongs to; NULL where there is none, or no room for a new one, which is noted."""
        cdef Stream* stream = self.find_stream(metric, resource, scope, &self.point.key)
        cdef list told
        cdef bint in_order
        if stream != NULL:
            stream.seen = self.now
            return stream.main
        if self.point.key.size > LONGEST_KEY:
            if make:
                self.note(REFUSALS[MALFORMED])
            return NULL
        told = self.read_attributes(self.point.key.data, self.point.key.data + self.point.key.size)
        self.canonical.size = 0
        for _, _, raw in told:
            put_sized(&self.canonical, 0x0A, raw)
        in_order = self.canonical.size == self.point.key.size and (
            memcmp(self.canonical.data, self.point.key.data, self.canonical.size) == 0
        )
        if not in_order:
            stream = self.find_stream(metric, resource, scope, &self.canonical)
        if stream == NULL:
            if not make:
                return NULL
            if self.stream_count >= self.max_series or self.weight > self.most_bytes:
                return self.overflow_of(metric)
            stream = self.make_stream(metric, resource, scope, &self.canonical)
            if not self.attach_safely(stream, [(key, text) for key, text, _ in told]):
                self.note(REFUSALS[MALFORMED])
                return NULL
        if not in_order and self.variant_count < self.max_series and self.variant_bytes < self.most_bytes // 8:
            self.make_variant(stream, &self.point.key)
        return stream

    cdef bint attach_safely(self, Stream* stream, list pairs) except? False:
        try:
            self.attach(stream, pairs, self.metrics[stream.metric].kind)
        except BaseException as error:
            self.drop_stream(stream)
            if isinstance(error, OverflowError):
                return False
            raise
        return True

    cdef Stream* overflow_of(self, uint32_t metric) except? NULL:
        """The stream of all that has no room: deltas add up there, anything else would make no sense."""
        cdef Stream* stream
        if not self.metrics[metric].is_delta:
            self.note("no_room")
            return NULL
        self.canonical.size = 0
        stream = self.find_stream(metric, 0, 0, &self.canonical)
        if stream == NULL:
            if self.overflow_count >= MOST_OVERFLOWS:
                self.note("no_room")
                return NULL
            stream = self.make_stream(metric, 0, 0, &self.canonical)
            self.stream_count -= 1
            self.overflow_count += 1
            stream.overflow = True
            if not self.attach_safely(stream, [(b"otel.metric.overflow", b"true")]):
                self.note(REFUSALS[MALFORMED])
                return NULL
        self.note("overflow")
        return stream

    cdef int attach(self, Stream* stream, list pairs, int kind) except -1:
        """Find or make the series with the labels that a stream is shown under."""
        cdef dict own = {} if stream.metric == TARGET else dict(self.names.constant)
        cdef dict labels
        cdef Series* series
        if stream.resource and stream.metric != TARGET:
            own.update(self.resources[stream.resource][0])
            own.update(self.scopes[stream.scope])
        labels = self.names.labels(pairs, own, kind)
        encode_labels(&self.labels, labels)
        if self.labels.size > LONGEST_LABELS:
            raise OverflowError
        series = self.series_at(self.metrics[stream.metric].family, &self.labels)
        series.is_legacy = all([self.names.is_legacy(name) for name in labels])
        stream.series = series
        stream.sibling = series.streams
        series.streams = stream
        return 0

    cdef list gathered(self):
        """Key, text and KeyValue of each attribute, by key; of a repeated one the first counts.

        The KeyValue is in the one form that nearly all senders write, however it came.
        """
        cdef Attribute* attribute
        cdef AnyValue any
        cdef size_t i
        cdef dict found = {}
        cdef Text value
        for i in range(self.attributes.count):
            attribute = &self.attributes.list[i]
            key = bytes_of(attribute.key)
            if key in found:
                continue
            value = content(attribute)
            read_any(value.data, value.size, &any)
            if any.kind == STRING:
                text = PyBytes_FromStringAndSize(<char*>any.data, any.size)
            elif any.kind == BOOL:
                text = b"true" if any.number else b"false"
            elif any.kind == INT:
                text = b"%d" % <int64_t>any.number
            else:
                text = text_of(bytes_of(value))
            found[key] = (key, text, self.key_value(key, &any, value))
        return [found[key] for key in sorted(found)]

    cdef bytes key_value(self, bytes key, AnyValue* any, Text value):
        cdef Buffer* out = &self.labels
        cdef uint8_t tag
        out.size = 0
        if any.kind == STRING:
            put_sized(out, 0x0A, PyBytes_FromStringAndSize(<char*>any.data, any.size))
        elif any.kind == BOOL or any.kind == INT:
            tag = <uint8_t>(any.kind << 3)
            keep(buffer_put(out, &tag, 1) and buffer_put_varint(out, any.number))
        elif any.kind == DOUBLE:
            tag = 0x21
            keep(buffer_put(out, &tag, 1) and buffer_put(out, &any.number, 8))
        else:
            keep(buffer_put(out, value.data, value.size))
        content = PyBytes_FromStringAndSize(<char*>out.data, out.size)
        out.size = 0
        put_sized(out, 0x0A, key)
        put_sized(out, 0x12, content)
        return PyBytes_FromStringAndSize(<char*>out.data, out.size)

    cdef list read_attributes(self, bytes_at p, bytes_at end):
        """The elements of a KeyValueList."""
        cdef uint32_t tag = 0
        cdef size_t size = 0
        attributes_begin(&self.attributes)
        while p < end:
            p = read_tag(p, end, &tag)
            if p == NULL:
                malformed()
            p = read_length(p, end, &size)
            if p == NULL:
                malformed()
            gather(&self.attributes, &self.arena, p, p, size, 0)
            p += size
        told = self.gathered()
        arena_free(&self.arena)
        return told

    cdef list read_message(self, bytes raw, uint32_t wanted):
        """The attributes in a message, whose fields have this tag."""
        self.canonical.size = 0
        for tag, text in fields_of(raw):
            if tag == wanted:
                put_sized(&self.canonical, 0x0A, text)
        return self.read_attributes(self.canonical.data, self.canonical.data + self.canonical.size)

    cdef int touch(self, uint64_t resource) except -1:
        """Show what is told of a resource as `target_info`: one series for each job and instance, of the newest."""
        cdef Stream* stream
        cdef Stream* old
        _, identity, told = self.resources[resource]
        if not told:
            return 0
        self.canonical.size = 0
        stream = self.find_stream(TARGET, resource, 0, &self.canonical)
        if stream == NULL:
            if self.stream_count >= self.max_series or self.weight > self.most_bytes:
                return 0
            former = self.targets.get(identity)
            if former is not None:
                old = self.find_stream(TARGET, former, 0, &self.canonical)
                if old != NULL:
                    self.drop_series(old.series)
            stream = self.make_stream(TARGET, resource, 0, &self.canonical)
            if not self.attach_safely(stream, told):
                self.resources[resource] = (self.resources[resource][0], identity, ())
                return 0
            self.targets[identity] = resource
            stream.series.owner, stream.series.has_value, stream.series.kind = stream, True, GAUGE
            stream.series.is_integer, stream.series.integer = True, 1
        stream.seen = stream.series.seen = self.now
        return 0

    def left(self):
        """Learn that somebody who read is done."""
        self.readers -= 1
        if self.readers == 0 and self.untidy:
            self.tidy()

    def expire(self, double limit, double variants):
        """Remove what has not been seen since `limit`, seconds of the monotonic clock; answers how many series.

        Other orders of attributes in which streams came are forgotten when not seen since `variants`.
        """
        cdef size_t before = self.series_count
        self.drop_old(limit, variants)
        self.untidy = True
        if self.readers == 0:
            self.tidy()
        return before - self.series_count

    cdef int tidy(self) except -1:
        """Close holes, and forget resources, scopes, metrics and families that no stream has."""
        cdef uint32_t number
        cdef dict uses = self.uses
        self.resource_ids = {told: number for told, number in self.resource_ids.items() if number in uses}
        self.resources = {number: told for number, told in self.resources.items() if number in uses}
        self.targets = {told: number for told, number in self.targets.items() if number in uses}
        self.scope_ids = {told: number for told, number in self.scope_ids.items() if number in uses}
        self.scopes = {number: told for number, told in self.scopes.items() if number in uses}
        self.sizes = {number: size for number, size in self.sizes.items() if number in uses}
        self.resource_aliases.keep_only(uses)
        self.scope_aliases.keep_only(uses)
        if not self.readers:
            self.untidy = False
            self.close_holes()
            self.tidy_metrics()
        self.known_bytes = <size_t>sum(self.sizes.values()) + <size_t>sum(self.metric_sizes.values())
        self.known_most = 2 * self.known_bytes + self.most_bytes // 8  # so that looking through costs each of them little
        return 0

    cdef int tidy_metrics(self) except -1:
        cdef uint32_t number
        for number in range(1, self.family_count):
            if self.family[number].live == 0 and self.families[number] is not None:
                self.names.forget(self.families[number])
                self.close_family(number)
        gone = {
            told for told in range(1, self.metric_count)
            if self.metrics[told].family < 0 or self.families[self.metrics[told].family] is None
        }.difference(self.free_metrics)
        if gone:
            self.metric_ids = {told: number for told, number in self.metric_ids.items() if number not in gone}
            self.metric_sizes = {number: size for number, size in self.metric_sizes.items() if number not in gone}
            self.metric_aliases.keep_only(self.metric_sizes)
            self.free_metrics.extend(gone)
        return 0


cdef list fields_of(bytes raw):
    """Tag and bytes of each field of a message that has a length."""
    cdef bytes_at p = <bytes_at>PyBytes_AS_STRING(raw)
    cdef bytes_at end = p + len(raw)
    cdef uint32_t tag = 0
    cdef size_t size = 0
    found = []
    while p < end:
        p = read_tag(p, end, &tag)
        if p != NULL and tag & 7 == 2:
            p = read_length(p, end, &size)
            if p == NULL:
                malformed()
            found.append((tag, PyBytes_FromStringAndSize(<char*>p, size)))
            p += size
        elif p != NULL:
            p = skip_value(p, end, tag, 3)
        if p == NULL:
            malformed()
    return found


cdef int put_sized(Buffer* out, uint8_t tag, bytes text) except -1:
    if tag:
        keep(buffer_put(out, &tag, 1))
    keep(buffer_put_varint(out, len(text)) and buffer_put(out, PyBytes_AS_STRING(text), len(text)))
    return 0


cdef bytes encode_labels(Buffer* out, dict labels):
    """Names and values in turn, in the order of the names, each with its length in front."""
    out.size = 0
    for name in sorted(labels):
        put_sized(out, 0, name)
        put_sized(out, 0, labels[name])
    return PyBytes_FromStringAndSize(<char*>out.data, out.size)
