# cython: boundscheck=False, wraparound=False, cdivision=True
"""All series as one page: Prometheus' text, OpenMetrics, or delimited protobuf, a slice at a time.

Between two slices the store may take more data: each series is written whole, as it is at that moment.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free
from libc.math cimport INFINITY, isinf, isnan, signbit
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdio cimport snprintf
from libc.string cimport memcpy, strlen

from sluiceway.otlp._proto cimport Buffer, buffer_free, buffer_put, buffer_put_varint, bytes_at, read_varint
from sluiceway.prometheus._native cimport put_spans, zero_threshold
from sluiceway.prometheus._points cimport EXPONENTIAL, GAUGE, HISTOGRAM, SUM, SUMMARY, keep
from sluiceway.prometheus._series cimport Distribution, Exemplar, Series, bound_of
from sluiceway.prometheus._shelf cimport Family
from sluiceway.prometheus._store cimport Store

from sluiceway.prometheus.families import Format
from sluiceway.prometheus.naming import is_legacy, without_utf8

cdef extern from "Python.h":
    int Py_DTSF_ADD_DOT_0
    char* PyOS_double_to_string(double value, char format_code, int precision, int flags, int* type) except NULL

cdef enum:
    TEXT = 0
    OPENMETRICS = 1
    PROTOBUF = 2

cdef enum:  # types of `io.prometheus.client`
    COUNTER = 0
    UNTYPED = 3

cdef enum:
    MOST_BYTES = 262144  # that a part grows by before others have their turn

cdef uint64_t MILLION = 1_000_000
cdef uint64_t BILLION = 1_000_000_000


cdef inline int put(Buffer* out, const void* data, size_t size) except -1:
    return keep(buffer_put(out, data, size))


cdef inline int put_bytes(Buffer* out, bytes text) except -1:
    return put(out, PyBytes_AS_STRING(text), len(text))


cdef inline int put_escaped(Buffer* out, bytes_at p, size_t size) except -1:
    """What stands between quotes."""
    cdef size_t i
    cdef size_t begin = 0
    cdef uint8_t c
    for i in range(size):
        c = p[i]
        if c == 0x5C or c == 0x22 or c == 0x0A:
            put(out, p + begin, i - begin)
            put(out, b"\\\\" if c == 0x5C else b"\\\"" if c == 0x22 else b"\\n", 2)
            begin = i + 1
    return put(out, p + begin, size - begin)


cdef inline int put_integer(Buffer* out, int64_t value) except -1:
    cdef char room[24]
    cdef int size = snprintf(room, 24, "%lld", <long long>value)
    return put(out, room, size)


cdef inline int put_unsigned(Buffer* out, uint64_t value) except -1:
    cdef char room[24]
    cdef int size = snprintf(room, 24, "%llu", <unsigned long long>value)
    return put(out, room, size)


cdef int put_double(Buffer* out, double value, bint with_point) except -1:
    """A float in the fewest digits that read back as itself; `with_point` writes `1.0` for `1`."""
    cdef char* text
    if isnan(value):
        return put(out, b"NaN", 3)
    if isinf(value):
        return put(out, b"+Inf" if value > 0 else b"-Inf", 4)
    if -1e15 < value < 1e15 and value == <double><int64_t>value and not (value == 0 and signbit(value)):
        put_integer(out, <int64_t>value)
        return put(out, b".0", 2) if with_point else 0
    text = PyOS_double_to_string(value, c"r", 0, Py_DTSF_ADD_DOT_0 if with_point else 0, NULL)
    try:
        return put(out, text, strlen(text))
    finally:
        PyMem_Free(text)


cdef int put_bound(Buffer* out, double value, bint with_point) except -1:
    """A bound or quantile as a label's value, as Go writes it: from a million on with an exponent.

    Whoever tells it in another way makes other series of the same buckets.
    """
    cdef char* text
    cdef char digits[24]
    cdef char exponent[8]
    cdef int i = 0
    cdef int count = 0
    cdef int whole = -1  # digits in front of the point
    if isinf(value) or isnan(value) or -1e6 < value < 1e6 or value >= 1e16 or value <= -1e16:
        return put_double(out, value, with_point and -1e16 < value < 1e16)
    text = PyOS_double_to_string(value, c"r", 0, 0, NULL)
    try:
        if text[0] == c"-":
            put(out, b"-", 1)
            i = 1
        while text[i]:
            if text[i] == c".":
                whole = count
            else:
                digits[count] = text[i]
                count += 1
            i += 1
    finally:
        PyMem_Free(text)
    if whole < 0:
        whole = count
    while count > 1 and digits[count - 1] == c"0":
        count -= 1
    put(out, digits, 1)
    if count > 1:
        put(out, b".", 1)
        put(out, digits + 1, count - 1)
    return put(out, exponent, snprintf(exponent, 8, "e+%02d", whole - 1))


cdef inline int put_tag(Buffer* out, uint64_t tag, uint64_t value) except -1:
    return keep(buffer_put_varint(out, tag) and buffer_put_varint(out, value))


cdef inline int put_fixed(Buffer* out, uint8_t tag, double value) except -1:
    put(out, &tag, 1)
    return put(out, &value, 8)


cdef inline int put_sized(Buffer* out, uint64_t tag, const Buffer* text) except -1:
    put_tag(out, tag, text.size)
    return put(out, text.data, text.size)


cdef inline uint64_t zigzagged(int64_t value) noexcept:
    return (<uint64_t>value << 1) ^ <uint64_t>(value >> 63)


cdef int put_time(Buffer* out, uint64_t tag, uint64_t time) except -1:
    """A `google.protobuf.Timestamp`."""
    cdef Buffer inner
    inner.data, inner.size, inner.capacity = NULL, 0, 0
    try:
        put_tag(&inner, 0x08, time // BILLION)
        if time % BILLION:
            put_tag(&inner, 0x10, time % BILLION)
        return put_sized(out, tag, &inner)
    finally:
        buffer_free(&inner)


cdef int put_label_pairs(Buffer* out, bytes_at p, bytes_at end) except -1:
    """The messages `LabelPair` of labels, as field 1."""
    cdef uint64_t name = 0
    cdef uint64_t value = 0
    cdef bytes_at name_at
    cdef Buffer inner
    inner.data, inner.size, inner.capacity = NULL, 0, 0
    try:
        while p < end:
            p = name_at = read_varint(p, end, &name)
            p = read_varint(p + name, end, &value)
            inner.size = 0
            put_tag(&inner, 0x0A, name)
            put(&inner, name_at, name)
            put_tag(&inner, 0x12, value)
            put(&inner, p, value)
            put_sized(out, 0x0A, &inner)
            p += value
        return 0
    finally:
        buffer_free(&inner)


cdef class Page:
    """What a scrape shows. `slice` gives one part after the other, None at the end; `close` must be called then.

    A part is a bounded piece of work, also where series have many buckets.

    Series that have not been seen since `limit`, seconds of the monotonic clock, are left out. `claims` are the names
    that families have taken up. Without `utf8` names are written by Prometheus' old rules.
    """

    cdef Store store
    cdef int format
    cdef bint utf8, timestamps, closed, begun, done, is_quoted, is_typed
    cdef bint below_zero  # one of the buckets of a series
    cdef int type  # its number in protobuf
    cdef double limit, last_bound
    cdef uint32_t number, place
    cdef Buffer out, body, labels, metric, inner, deep
    cdef bytes name, created
    cdef object claims
    cdef set shown
    cdef size_t full
    cdef readonly size_t written

    def __init__(self, Store store, object claims, format, *, bint utf8, bint timestamps, double limit):
        self.store, self.claims, self.format, self.utf8, self.timestamps = store, claims, format, utf8, timestamps
        self.limit, self.shown = limit, set()
        store.readers += 1

    def __dealloc__(self):
        buffer_free(&self.out)
        buffer_free(&self.body)
        buffer_free(&self.labels)
        buffer_free(&self.metric)
        buffer_free(&self.inner)
        buffer_free(&self.deep)

    def close(self):
        """Let the store tidy up again. Closing again does nothing."""
        if not self.closed:
            self.closed = True
            self.store.left()

    def slice(self, uint32_t most):
        """The next part, of at most so many series; it may be empty. None when all was given."""
        cdef bytes part
        if self.closed:
            raise ValueError("this page is closed")
        if self.done:
            return None
        self.full = self.out.size + self.body.size + MOST_BYTES
        while most and self.number < self.store.family_count and self.out.size + self.body.size < self.full:
            most = self.fill(most)
        if self.number >= self.store.family_count:
            self.done = True
            if self.format == OPENMETRICS:
                put(&self.out, b"# EOF\n", 6)
        part = PyBytes_FromStringAndSize(<char*>self.out.data, self.out.size)
        self.out.size = 0
        return part

    cdef uint32_t fill(self, uint32_t most) except? 0xFFFFFFFF:
        """Write series of one family, and answer how many more may be written."""
        cdef Family* family = &self.store.family[self.number]
        cdef Series* series
        while most and self.place < family.count and self.out.size + self.body.size < self.full:
            series = family.series[self.place]
            self.place += 1
            most -= 1
            if series == NULL or not series.has_value or series.seen < self.limit:
                continue
            if not self.begun and not self.begin():
                self.place = family.count
                break
            self.write(series)
            self.written += 1
        if self.place >= family.count:
            if self.begun and self.format == PROTOBUF:  # a message stands behind its length, known only now
                keep(buffer_put_varint(&self.out, self.body.size))
                put(&self.out, self.body.data, self.body.size)
                self.body.size = 0
            self.begun = False
            self.number += 1
            self.place = 0
        return most

    cdef bint begin(self) except? False:
        """Write what stands above a family; False where it cannot be shown beside another one."""
        record = self.store.families[self.number]
        head = record.head(Format(self.format), self.claims, utf8=self.utf8)
        if head is None or head.name in self.shown:
            return False
        text, name, self.created, self.is_quoted, self.is_typed = head
        if not self.utf8:
            self.shown.add(name)
        self.name, self.type, self.begun = name, record.type.value[1], True
        put_bytes(&self.body if self.format == PROTOBUF else &self.out, text)
        return True

    cdef int write(self, Series* series) except -1:
        cdef bytes kept
        cdef bytes_at labels = series.labels
        cdef size_t size = series.label_size
        if not self.utf8 and not series.is_legacy:
            kept = by_old_rules(PyBytes_FromStringAndSize(<char*>labels, size))
            labels, size = <bytes_at>PyBytes_AS_STRING(kept), len(kept)
        if self.format == PROTOBUF:
            return self.write_message(series, labels, labels + size)
        self.labels.size = 0
        self.below_zero = False
        put_label_text(&self.labels, labels, labels + size, self.utf8 and not series.is_legacy)
        if series.kind == HISTOGRAM:
            self.write_histogram(series)
        elif series.kind == EXPONENTIAL:
            self.write_exponential(series)
        elif series.kind == SUMMARY:
            self.write_summary(series)
        elif self.is_shown(series.integer if series.is_integer else series.number):
            self.begin_line(b"", b"", 0, 0)
            self.put_number(series)
            self.end_line(series, series.exemplars[0] if series.exemplar_count else NULL)
        else:
            return 0
        if self.created and series.start:
            self.write_created(series)
        return 0

    cdef bint is_shown(self, double number) noexcept:
        """Whether a number can be shown: in OpenMetrics a counter cannot be below zero, nor NaN."""
        return self.format != OPENMETRICS or not self.is_typed or self.type != COUNTER or number >= 0

    cdef int begin_line(self, bytes suffix, bytes label, double bound, bint bounded) except -1:
        """The name of a sample and its labels, with one more that has a number where it is `bounded`."""
        cdef Buffer* out = &self.out
        cdef bint some = self.labels.size > 0
        if self.is_quoted:
            put(out, b'{"', 2)
            put_escaped(out, <bytes_at>PyBytes_AS_STRING(self.name), len(self.name))
            put_bytes(out, suffix)
            put(out, b'",' if some or bounded else b'"}', 2)
        else:
            put_bytes(out, self.name)
            put_bytes(out, suffix)
            if some or bounded:
                put(out, b"{", 1)
        put(out, self.labels.data, self.labels.size)
        if bounded:
            put(out, b",", 1 if some else 0)
            put_bytes(out, label)
            put(out, b'="', 2)
            put_bound(out, bound, self.format == OPENMETRICS)
            put(out, b'"', 1)
        return put(out, b"} ", 2) if some or bounded else put(out, b" ", 1)

    cdef int put_number(self, Series* series) except -1:
        if series.is_integer:
            return put_integer(&self.out, series.integer)
        return put_double(&self.out, series.number, False)

    cdef int end_line(self, Series* series, Exemplar* exemplar) except -1:
        cdef Buffer* out = &self.out
        if self.timestamps and series.time:
            put(out, b" ", 1)
            self.put_moment(series.time)
        if exemplar != NULL and self.format == OPENMETRICS and self.is_typed:
            put(out, b" # {", 4)
            put_label_text(out, labels_of(exemplar), labels_of(exemplar) + exemplar.size, False)
            put(out, b"} ", 2)
            put_double(out, exemplar.value, False)
            if exemplar.time:
                put(out, b" ", 1)
                self.put_moment(exemplar.time)
        return put(out, b"\n", 1)

    cdef int put_moment(self, uint64_t time) except -1:
        """Milliseconds; in OpenMetrics seconds with three decimals."""
        cdef char room[32]
        cdef int size
        if self.format == TEXT:
            return put_unsigned(&self.out, time // MILLION)
        size = snprintf(
            room, 32, "%llu.%03llu", <unsigned long long>(time // BILLION),
            <unsigned long long>(time % BILLION // MILLION),
        )
        return put(&self.out, room, size)

    cdef int write_created(self, Series* series) except -1:
        cdef bytes name = self.name
        self.name = self.created
        self.begin_line(b"", b"", 0, 0)
        self.name = name
        self.put_moment(series.start)
        return self.end_line(series, NULL)

    cdef int write_bucket(self, Series* series, double bound, uint64_t count, Exemplar* exemplar) except -1:
        if bound < 0:
            self.below_zero = True
        self.begin_line(b"_bucket", b"le", bound, True)
        put_unsigned(&self.out, count)
        return self.end_line(series, exemplar)

    cdef int write_totals(self, Series* series) except -1:
        """Sum and count. What observations below zero are part of is no sum in OpenMetrics, and without it is no count."""
        cdef Distribution* d = series.distribution
        cdef bint has_sum = d.has_sum or series.kind == SUMMARY
        if self.format == OPENMETRICS:
            if not d.sum >= 0:
                has_sum = False
            if series.kind != SUMMARY and (self.below_zero or not has_sum):
                return 0
        if has_sum:
            self.begin_line(b"_sum", b"", 0, False)
            put_double(&self.out, d.sum, False)
            self.end_line(series, NULL)
        self.begin_line(b"_count", b"", 0, False)
        put_unsigned(&self.out, d.count)
        return self.end_line(series, NULL)

    cdef int write_histogram(self, Series* series) except -1:
        cdef Distribution* d = series.distribution
        cdef uint64_t below = 0
        cdef uint32_t i
        for i in range(d.sizes[0]):
            below += d.buckets[0][i]
            self.write_bucket(
                series, d.bounds[i] if i < d.bound_count else INFINITY, below, exemplar_in(series, i),
            )
        return self.write_totals(series)

    cdef int write_summary(self, Series* series) except -1:
        cdef Distribution* d = series.distribution
        cdef uint32_t i
        for i in range(d.bound_count):
            if d.values[i] < 0 and self.format == OPENMETRICS:
                continue
            self.begin_line(b"", b"quantile", d.bounds[i], True)
            put_double(&self.out, d.values[i], False)
            self.end_line(series, NULL)
        return self.write_totals(series)

    cdef int write_exponential(self, Series* series) except -1:
        """As a classic histogram: its buckets joined to powers of two, so that a change of scale keeps them.

        Each bucket that holds something has a line at its upper and at its lower bound.
        """
        cdef Distribution* d = series.distribution
        cdef int shift = <int>max(d.scale, <int64_t>0)
        cdef int64_t scale = d.scale - shift
        cdef int64_t index
        cdef uint64_t below = 0
        cdef uint64_t inside = 0
        cdef uint32_t i
        self.last_bound = -INFINITY
        for i in range(d.sizes[1]):  # the most negative bucket is the last one
            index = (d.offsets[1] + d.sizes[1] - 1 - i) >> shift
            inside += d.buckets[1][d.sizes[1] - 1 - i]
            if i + 1 < d.sizes[1] and (d.offsets[1] + d.sizes[1] - 2 - i) >> shift == index:
                continue
            if inside:
                self.write_edge(series, -bound_of(index + 1, scale), below)
                below += inside
                self.write_edge(series, -bound_of(index, scale), below)
            inside = 0
        if d.zeros:
            below += d.zeros
            if d.sizes[0] == 0 or d.threshold < bound_of((d.offsets[0] >> shift) + 1, scale):
                self.write_edge(series, d.threshold, below)
        for i in range(d.sizes[0]):
            index = (d.offsets[0] + i) >> shift
            inside += d.buckets[0][i]
            if i + 1 < d.sizes[0] and (d.offsets[0] + i + 1) >> shift == index:
                continue
            if inside:
                self.write_edge(series, bound_of(index, scale), below)
                below += inside
                self.write_edge(series, bound_of(index + 1, scale), below)
            inside = 0
        self.write_bucket(series, INFINITY, d.count, self.exemplar_between(series, self.last_bound, INFINITY))
        return self.write_totals(series)

    cdef int write_edge(self, Series* series, double bound, uint64_t count) except -1:
        """A bucket's line, unless its bound is no step further."""
        cdef double last = self.last_bound
        if not last < bound < INFINITY:
            return 0
        self.last_bound = bound
        return self.write_bucket(series, bound, count, self.exemplar_between(series, last, bound))

    cdef Exemplar* exemplar_between(self, Series* series, double low, double high) noexcept:
        """The largest exemplar in a bucket."""
        cdef Exemplar* found = NULL
        cdef Exemplar* other
        cdef uint32_t i
        for i in range(series.exemplar_count):
            other = series.exemplars[i]
            if other != NULL and low < other.value <= high and (found == NULL or other.value > found.value):
                found = other
        return found

    cdef int write_message(self, Series* series, bytes_at labels, bytes_at end) except -1:
        """The message `Metric`, as a field of the family."""
        cdef Buffer* out = &self.metric
        cdef Buffer* inner = &self.inner
        out.size = inner.size = 0
        put_label_pairs(out, labels, end)
        if series.kind == HISTOGRAM or series.kind == EXPONENTIAL:
            self.put_histogram(series)
            put_sized(out, 0x3A, inner)
        elif series.kind == SUMMARY:
            self.put_summary(series)
            put_sized(out, 0x22, inner)
        else:
            put_fixed(inner, 0x09, <double>series.integer if series.is_integer else series.number)
            if self.type == UNTYPED:
                put_sized(out, 0x2A, inner)
            elif self.type == COUNTER:
                if series.exemplar_count and series.exemplars[0] != NULL:
                    self.put_exemplar(inner, 0x12, series.exemplars[0])
                if series.start:
                    put_time(inner, 0x1A, series.start)
                put_sized(out, 0x1A, inner)
            else:
                put_sized(out, 0x12, inner)
        if self.timestamps and series.time:
            put_tag(out, 0x30, series.time // MILLION)
        return put_sized(&self.body, 0x22, out)

    cdef int put_exemplar(self, Buffer* out, uint64_t tag, Exemplar* exemplar) except -1:
        self.deep.size = 0
        put_label_pairs(&self.deep, labels_of(exemplar), labels_of(exemplar) + exemplar.size)
        put_fixed(&self.deep, 0x11, exemplar.value)
        if exemplar.time:
            put_time(&self.deep, 0x1A, exemplar.time)
        return put_sized(out, tag, &self.deep)

    cdef int put_summary(self, Series* series) except -1:
        cdef Buffer* out = &self.inner
        cdef Distribution* d = series.distribution
        cdef uint32_t i
        put_tag(out, 0x08, d.count)
        put_fixed(out, 0x11, d.sum)
        for i in range(d.bound_count):
            self.deep.size = 0
            put_fixed(&self.deep, 0x09, d.bounds[i])
            put_fixed(&self.deep, 0x11, d.values[i])
            put_sized(out, 0x1A, &self.deep)
        if series.start:
            put_time(out, 0x22, series.start)
        return 0

    cdef int put_histogram(self, Series* series) except -1:
        cdef Buffer* out = &self.inner
        cdef Distribution* d = series.distribution
        cdef uint32_t i
        put_tag(out, 0x08, d.count)
        if d.has_sum:
            put_fixed(out, 0x11, d.sum)
        if series.kind == HISTOGRAM:
            self.put_buckets(series)
        else:
            put_tag(out, 0x28, zigzagged(d.scale))
            put_fixed(out, 0x31, zero_threshold(d.threshold))
            put_tag(out, 0x38, d.zeros)
            put_spans(out, &self.deep, 0x4A, 0x52, d.offsets[1], d.buckets[1], d.sizes[1])
            put_spans(out, &self.deep, 0x62, 0x6A, d.offsets[0], d.buckets[0], d.sizes[0])
            for i in range(series.exemplar_count):
                if series.exemplars[i] != NULL and series.exemplars[i].time:
                    self.put_exemplar(out, 0x82, series.exemplars[i])
        if series.start:
            put_time(out, 0x7A, series.start)
        return 0

    cdef int put_buckets(self, Series* series) except -1:
        cdef Distribution* d = series.distribution
        cdef uint64_t below = 0
        cdef uint32_t i
        cdef Buffer bucket
        bucket.data, bucket.size, bucket.capacity = NULL, 0, 0
        try:
            for i in range(d.sizes[0]):
                below += d.buckets[0][i]
                bucket.size = 0
                put_tag(&bucket, 0x08, below)
                put_fixed(&bucket, 0x11, d.bounds[i] if i < d.bound_count else INFINITY)
                if exemplar_in(series, i) != NULL:
                    self.put_exemplar(&bucket, 0x1A, exemplar_in(series, i))
                put_sized(&self.inner, 0x1A, &bucket)
            return 0
        finally:
            buffer_free(&bucket)


cdef inline bytes_at labels_of(Exemplar* exemplar) noexcept:
    return <bytes_at>exemplar + sizeof(Exemplar)


cdef inline Exemplar* exemplar_in(Series* series, uint32_t bucket) noexcept:
    """The exemplar of a histogram's bucket, unless it is from a time when the bounds were others."""
    cdef Distribution* d = series.distribution
    cdef Exemplar* found
    if bucket >= series.exemplar_count or series.exemplars[bucket] == NULL:
        return NULL
    found = series.exemplars[bucket]
    if bucket < d.bound_count and found.value > d.bounds[bucket]:
        return NULL
    return NULL if bucket and found.value <= d.bounds[bucket - 1] else found


cdef int put_label_text(Buffer* out, bytes_at p, bytes_at end, bint may_quote) except -1:
    """Labels as text; names that are none by the old rules stand in quotes where they may be there."""
    cdef uint64_t name = 0
    cdef uint64_t value = 0
    cdef bytes_at name_at
    cdef bint first = True
    cdef bint quoted
    while p < end:
        p = name_at = read_varint(p, end, &name)
        p = read_varint(p + name, end, &value)
        if not first:
            put(out, b",", 1)
        first = False
        quoted = may_quote and not is_legacy(
            PyBytes_FromStringAndSize(<char*>name_at, name).decode(errors="replace"), label=True
        )
        if quoted:
            put(out, b'"', 1)
            put_escaped(out, name_at, name)
            put(out, b'"', 1)
        else:
            put(out, name_at, name)
        put(out, b'="', 2)
        put_escaped(out, p, value)
        put(out, b'"', 1)
        p += value
    return 0


cdef bytes by_old_rules(bytes labels):
    """The labels with names for scrapers that take no UTF-8; of names that become equal the values are joined.

    None becomes one of Prometheus' own, which begin with `__`: it would hide the name of the metric.
    """
    cdef bytes_at p = <bytes_at>PyBytes_AS_STRING(labels)
    cdef bytes_at end = p + len(labels)
    cdef uint64_t size = 0
    cdef Buffer out
    cdef dict found = {}
    while p < end:
        p = read_varint(p, end, &size)
        name = without_utf8(PyBytes_FromStringAndSize(<char*>p, size).decode(errors="replace"), label=True).encode()
        p = read_varint(p + size, end, &size)
        value = PyBytes_FromStringAndSize(<char*>p, size)
        if name.startswith(b"__"):
            name = b"key" + name
        found[name] = found[name] + b";" + value if name in found else value
        p += size
    out.data, out.size, out.capacity = NULL, 0, 0
    try:
        for name in sorted(found):
            keep(buffer_put_varint(&out, len(name)))
            put_bytes(&out, name)
            keep(buffer_put_varint(&out, len(found[name])))
            put_bytes(&out, found[name])
        return PyBytes_FromStringAndSize(<char*>out.data, out.size)
    finally:
        buffer_free(&out)
