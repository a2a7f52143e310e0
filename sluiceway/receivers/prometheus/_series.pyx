# cython: boundscheck=False, wraparound=False, cdivision=True
"""The two loops over samples: lines of an exposition into series that are known, and these into OTLP points."""

from operator import attrgetter

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.math cimport INFINITY
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memchr, memcpy

cdef extern from "Python.h":
    double PyOS_string_to_double(const char *text, char **end, object overflow) except? -1.0
    ctypedef struct PyObject
    PyObject *PyDict_GetItemWithError(object mapping, object key) except? NULL

cdef double[16] TENS
cdef int _power
TENS[0] = 1.0
for _power in range(1, 16):
    TENS[_power] = TENS[_power - 1] * 10.0

BUCKET = 1
COUNT = 2
SUM = 3
QUANTILE = 4


_BOUND = attrgetter("bound")


cdef class Series:
    """One series of a target: what the last scrape said of it. Part of `whole` where that is a distribution."""

    cdef public int64_t seen, time, start
    cdef public double value, bound, last
    cdef public bint live, cumulative, timed
    cdef public bytes tail
    cdef public object exemplar, whole, native, metric
    cdef public list keys

    def __init__(self, bytes tail=b"", bint cumulative=False, object whole=None, double bound=0.0):
        self.tail = tail
        self.cumulative = cumulative
        self.whole = whole
        self.bound = bound
        self.seen = -1
        self.keys = []


cdef class Whole:
    """A histogram or summary: the series of its buckets or quantiles in order, of its count and of its sum."""

    cdef public list parts
    cdef public Series count, sum, created
    cdef public bytes tail
    cdef public bint live
    cdef public int64_t start
    cdef public double last
    cdef public object metric
    cdef public bint empty
    cdef bint mixed

    def __init__(self, bytes tail):
        self.tail = tail
        self.parts = []

    def put(self, Series part):
        """Add a bucket or quantile."""
        if self.parts and (<Series>self.parts[len(self.parts) - 1]).bound > part.bound:
            self.mixed = True
        self.parts.append(part)

    cdef void order(self):
        """Have the parts in the order of their bounds."""
        if self.mixed:
            self.parts.sort(key=_BOUND)
            self.mixed = False


cdef class Reading:
    """What one scrape has brought so far."""

    cdef public int64_t number, time, scraped, kept, repeated
    cdef public bint honor_timestamps, track

    def __init__(self, int64_t number, int64_t time, bint honor_timestamps, bint track=False):
        self.number = number
        self.time = time
        self.honor_timestamps = honor_timestamps
        self.track = track

    cpdef void take(self, Series series, double value, object timestamp, object exemplar=None, object native=None):
        """Note a sample; `timestamp` is nanoseconds or None. A series that comes twice keeps what came first."""
        self.scraped += 1
        if series is None:
            return
        self.kept += 1
        if series.seen == self.number:
            self.repeated += 1
            return
        series.seen = self.number
        series.value = value
        series.exemplar = exemplar
        series.native = native
        series.timed = self.honor_timestamps and timestamp is not None
        series.time = timestamp if series.timed else self.time
        series.timed = series.timed and not self.track


cdef inline bint _number(const char *text, const char *end, double *value) except -1:
    """Read a number that fills the whole text; false for what is none."""
    cdef const char *at = text
    cdef uint64_t digits = 0
    cdef int count = 0, places = -1
    cdef bint negative = False
    cdef char *stop
    if at < end and at[0] == b"-":
        negative = True
        at += 1
    while at < end and count < 16:
        if 48 <= at[0] <= 57:
            digits = digits * 10 + <uint64_t>(at[0] - 48)
            count += 1
            places += places >= 0
        elif at[0] == b"." and places < 0:
            places = 0
        else:
            break
        at += 1
    if at == end and 0 < count < 16:
        value[0] = <double>digits / TENS[places if places > 0 else 0]
        if negative:
            value[0] = -value[0]
        return True
    try:
        value[0] = PyOS_string_to_double(text, &stop, OverflowError)
    except (OverflowError, ValueError):
        return False
    return stop == end


def number(bytes text):
    """The number that a text is; raises `ValueError`."""
    cdef double value = 0.0
    cdef const char *begin = PyBytes_AS_STRING(text)
    if not _number(begin, begin + PyBytes_GET_SIZE(text), &value):
        raise ValueError("not a number")
    return value


cdef int64_t _time(const char *text, const char *end, bint seconds) except -2:
    """A time in nanoseconds, of milliseconds or seconds; -1 for what is not simply one."""
    cdef double value = 0.0
    cdef const char *at = text
    if at == end or end - at > 14:
        return -1
    while at < end:
        if not (48 <= at[0] <= 57 or (seconds and at[0] == b".")):
            return -1
        at += 1
    if not _number(text, end, &value) or value >= (9e9 if seconds else 9e12):
        return -1
    return <int64_t>(value * 1000.0 if seconds else value) * 1_000_000


cdef const char *_last_brace(const char *begin, const char *end) noexcept:
    while end > begin:
        end -= 1
        if end[0] == b"}":
            return end
    return NULL


def read(bytes body, Reading reading, dict known, object admit, object comment, object careful, bint exemplars):
    """Take every line of a text.

    `known` has the series by the text in front of the value, None for those that are dropped; `admit(key)` is called
    for those that are not there, and puts them there. Lines that begin with `#` go to `comment(line)`, and what is not
    simply a series, a blank and a number to `careful(line)`. Either returns true to end the reading; what they raise
    comes through.
    """
    cdef const char *at = PyBytes_AS_STRING(body)
    cdef const char *end = at + PyBytes_GET_SIZE(body)
    cdef const char *line_end
    cdef const char *split
    cdef const char *value_at
    cdef const char *value_end
    cdef int64_t timestamp
    cdef double value = 0.0
    cdef bytes key
    cdef PyObject *found
    cdef Series series
    while at < end:
        line_end = <const char *>memchr(at, b"\n", end - at)
        if line_end == NULL:
            line_end = end
        if at[0] == b"#":
            if comment(at[: line_end - at]):
                return <Py_ssize_t>(line_end - PyBytes_AS_STRING(body))
            at = line_end + 1
            continue
        split = _last_brace(at, line_end)
        split = <const char *>memchr(at, b" ", line_end - at) if split == NULL else split + 1
        if split == NULL or split == line_end or split[0] != b" " or (
            exemplars and memchr(at, b"#", line_end - at) != NULL
        ):
            careful(at[: line_end - at])
            at = line_end + 1
            continue
        value_at = split + 1
        while value_at < line_end and value_at[0] == b" ":
            value_at += 1
        timestamp = -1
        value_end = <const char *>memchr(value_at, b" ", line_end - value_at)
        if value_end == NULL:
            value_end = line_end
        else:
            timestamp = _time(value_end + 1, line_end, exemplars)
        if (value_end < line_end and timestamp < 0) or value_at == value_end or not _number(
            value_at, value_end, &value
        ):
            careful(at[: line_end - at])
            at = line_end + 1
            continue
        key = PyBytes_FromStringAndSize(at, split - at)
        found = PyDict_GetItemWithError(known, key)
        series = admit(key) if found == NULL else <object>found
        reading.scraped += 1
        at = line_end + 1
        if series is None:
            continue
        reading.kept += 1
        if series.seen == reading.number:
            reading.repeated += 1
            continue
        series.seen = reading.number
        series.value = value
        if timestamp >= 0 and reading.honor_timestamps:
            series.time = timestamp
            series.timed = not reading.track
        else:
            series.time = reading.time
            series.timed = False
        if series.exemplar is not None or series.native is not None:
            series.exemplar = series.native = None
    return <Py_ssize_t>(end - PyBytes_AS_STRING(body))


cdef class _Out:
    cdef char *data
    cdef Py_ssize_t size, room

    def __cinit__(self):
        self.room = 4096
        self.data = <char *>malloc(self.room)
        if self.data == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.data)

    cdef char *more(self, Py_ssize_t count) except NULL:
        """Room for so many bytes, which the caller fills."""
        cdef char *grown
        cdef char *place
        if self.size + count > self.room:
            self.room = 2 * (self.size + count)
            grown = <char *>realloc(self.data, self.room)
            if grown == NULL:
                raise MemoryError
            self.data = grown
        place = self.data + self.size
        self.size += count
        return place

    cdef bytes done(self):
        return PyBytes_FromStringAndSize(self.data, self.size)


cdef inline Py_ssize_t _varint_size(uint64_t value) noexcept:
    cdef Py_ssize_t size = 1
    while value >= 0x80:
        value >>= 7
        size += 1
    return size


cdef inline char *_varint(char *at, uint64_t value) noexcept:
    while value >= 0x80:
        at[0] = <char>(value & 0x7F | 0x80)
        at += 1
        value >>= 7
    at[0] = <char>value
    return at + 1


cdef inline char *_fixed(char *at, uint8_t tag, int64_t value) noexcept:
    at[0] = <char>tag
    memcpy(at + 1, &value, 8)
    return at + 9


cdef inline char *_double(char *at, uint8_t tag, double value) noexcept:
    at[0] = <char>tag
    memcpy(at + 1, &value, 8)
    return at + 9


cdef inline char *_bytes(char *at, bytes content) noexcept:
    cdef Py_ssize_t size = PyBytes_GET_SIZE(content)
    memcpy(at, PyBytes_AS_STRING(content), size)
    return at + size


def numbers(list series_of, int64_t number, int64_t now, object exemplar_field, dict created):
    """The points of a gauge or sum, as fields of the message `Gauge` or `Sum`, and how many they are.

    Series that were there before and are not in scrape `number` give a point without value, at `now`. `created` has the
    series that say when others began, by the attributes of these.
    """
    cdef _Out out = _Out()
    cdef Series series
    cdef bytes extra
    cdef Py_ssize_t size
    cdef char *at
    cdef int64_t points = 0
    cdef bint here
    cdef object began
    for series in series_of:
        here = series.seen == number
        if not here:
            if not series.live:
                continue
            series.live = False
        else:
            if series.cumulative and (not series.start or series.value < series.last):
                series.start = series.time
            if created and (began := created.get(series.tail)) is not None and (<Series>began).seen == number:
                series.start = <int64_t>((<Series>began).value * 1e3) * 1_000_000
            series.last = series.value
            series.live = not series.timed
        extra = b"" if not here or series.exemplar is None else exemplar_field(0x2A, series.exemplar)
        size = (18 if here else 11) + PyBytes_GET_SIZE(series.tail) + PyBytes_GET_SIZE(extra)
        size += 9 if series.cumulative else 0
        at = out.more(1 + _varint_size(size) + size)
        at[0] = 0x0A
        at = _varint(at + 1, size)
        if series.cumulative:
            at = _fixed(at, 0x11, series.start)
        at = _fixed(at, 0x19, series.time if here else now)
        if here:
            at = _double(at, 0x21, series.value)
        at = _bytes(at, series.tail)
        if not here:
            at[0] = 0x40
            at[1] = 0x01
            at += 2
        _bytes(at, extra)
        points += 1
    return out.done(), points


cdef inline uint64_t _whole(double value) noexcept:
    return <uint64_t>value if 0.0 < value < 1.8e19 else 0


def histograms(list wholes, int64_t number, int64_t now, object exemplar_field):
    """As `numbers`, for histograms in explicit buckets. One without a count gives no point."""
    cdef _Out out = _Out()
    cdef Whole whole
    cdef Series part, count
    cdef bytes extra
    cdef Py_ssize_t size, bounds
    cdef char *at
    cdef char *counts
    cdef int64_t points = 0
    cdef bint here
    cdef double before
    cdef uint64_t value
    for whole in wholes:
        count = whole.count
        here = count is not None and count.seen == number
        if not here:
            whole.live, stale = False, whole.live
            if not stale:
                continue
        else:
            _begin(whole, count)
        extra = b""
        bounds = 0
        whole.order()
        for part in whole.parts:
            if part.seen != number and here:
                continue
            if part.bound < INFINITY:
                bounds += 1
            if here and part.exemplar is not None:
                extra += exemplar_field(0x42, part.exemplar)
        size = 18 + PyBytes_GET_SIZE(whole.tail) + PyBytes_GET_SIZE(extra)
        size += 1 + _varint_size(8 * (bounds + 1)) + 8 * (bounds + 1)
        if bounds:
            size += 1 + _varint_size(8 * bounds) + 8 * bounds
        size += 9 if here else 2
        if here and whole.sum is not None and whole.sum.seen == number:
            size += 9
        at = out.more(1 + _varint_size(size) + size)
        at[0] = 0x0A
        at = _varint(at + 1, size)
        at = _fixed(at, 0x11, whole.start)
        at = _fixed(at, 0x19, count.time if here else now)
        if here:
            at = _fixed(at, 0x21, <int64_t>_whole(count.value))
            if whole.sum is not None and whole.sum.seen == number:
                at = _double(at, 0x29, whole.sum.value)
        at[0] = 0x32
        counts = _varint(at + 1, 8 * (bounds + 1))
        at = counts + 8 * (bounds + 1)
        if bounds:
            at[0] = 0x3A
            at = _varint(at + 1, 8 * bounds)
        before = 0.0
        for part in whole.parts:
            if (part.seen != number and here) or not part.bound < INFINITY:
                continue
            value = _whole(part.value - before) if here else 0
            before = part.value
            memcpy(counts, &value, 8)
            counts += 8
            memcpy(at, &part.bound, 8)
            at += 8
        value = _whole(count.value - before) if here else 0
        memcpy(counts, &value, 8)
        at = _bytes(at, whole.tail)
        if not here:
            at[0] = 0x50
            at[1] = 0x01
            at += 2
        _bytes(at, extra)
        points += 1
    return out.done(), points


def summaries(list wholes, int64_t number, int64_t now, object exemplar_field):
    """As `histograms`, for summaries."""
    cdef _Out out = _Out()
    cdef Whole whole
    cdef Series part, count
    cdef Py_ssize_t size, parts
    cdef char *at
    cdef int64_t points = 0
    cdef bint here
    for whole in wholes:
        count = whole.count
        here = count is not None and count.seen == number
        parts = 0
        if not here:
            whole.live, stale = False, whole.live
            if not stale:
                continue
        else:
            _begin(whole, count)
        whole.order()
        for part in whole.parts:
            parts += part.seen == number or not here
        size = 18 + PyBytes_GET_SIZE(whole.tail) + 20 * parts + (18 if here else 2)
        at = out.more(1 + _varint_size(size) + size)
        at[0] = 0x0A
        at = _varint(at + 1, size)
        at = _fixed(at, 0x11, whole.start)
        at = _fixed(at, 0x19, count.time if here else now)
        if here:
            at = _fixed(at, 0x21, <int64_t>_whole(count.value))
            at = _double(at, 0x29, whole.sum.value if whole.sum is not None and whole.sum.seen == number else 0.0)
        for part in whole.parts:
            if part.seen == number or not here:
                at[0] = 0x32
                at[1] = 18
                at = _double(at + 2, 0x09, part.bound)
                at = _double(at, 0x11, part.value if here else 0.0)
        at = _bytes(at, whole.tail)
        if not here:
            at[0] = 0x40
            at[1] = 0x01
        points += 1
    return out.done(), points


cdef int _begin(Whole whole, Series count) except -1:
    if not whole.start or count.value < whole.last:
        whole.start = count.time
    if whole.created is not None and whole.created.seen == count.seen:
        whole.start = <int64_t>(whole.created.value * 1e3) * 1_000_000
    whole.last = count.value
    whole.live = not count.timed
    return 0
