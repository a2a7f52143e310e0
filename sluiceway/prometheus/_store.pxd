"""The store of series: reads batches, and says which value a series has."""

from libc.stdint cimport uint32_t, uint64_t

from sluiceway.otlp._anyvalue cimport AnyValue
from sluiceway.otlp._arena cimport Arena
from sluiceway.otlp._attributes cimport Attributes, Text
from sluiceway.otlp._proto cimport Buffer, bytes_at
from sluiceway.prometheus._aliases cimport Aliases
from sluiceway.prometheus._points cimport Point
from sluiceway.prometheus._series cimport Series, Stream
from sluiceway.prometheus._shelf cimport Shelf


cdef struct Metric:
    int family  # negative: its points are refused, for the reason of that number
    int kind
    bint is_delta
    bint is_counter
    bint is_unknown  # what it is was not known when it was scraped


cdef class Store(Shelf):
    cdef object names
    cdef Metric* metrics
    cdef uint32_t metric_count
    cdef list free_metrics
    cdef size_t max_series
    cdef readonly size_t most_bytes
    cdef size_t known_bytes  # bytes of resources, scopes and metrics, with those that no stream has any more
    cdef size_t known_most  # before they are looked through
    cdef bint untidy  # since somebody was reading
    cdef bint with_exemplars
    cdef dict metric_ids
    cdef dict metric_sizes
    cdef dict resource_ids
    cdef dict scope_ids
    cdef Aliases metric_aliases
    cdef Aliases resource_aliases
    cdef Aliases scope_aliases
    cdef dict resources
    cdef dict scopes
    cdef dict targets
    cdef uint64_t next_id
    cdef Point point
    cdef Arena arena
    cdef Attributes attributes
    cdef Buffer canonical
    cdef Buffer labels
    cdef uint64_t wall
    cdef dict outcome

    cdef int add_resource(self, bytes_at start, bytes_at end) except -1
    cdef int add_scope(self, bytes_at start, bytes_at end, uint64_t resource) except -1
    cdef int add_metric(self, bytes_at start, bytes_at end, uint64_t resource, uint64_t scope) except -1
    cdef uint64_t resource_of(self, bytes raw) except 0
    cdef uint64_t scope_of(self, bytes raw, bytes url) except 0
    cdef uint32_t metric_of(self, bytes key, bytes name, bytes unit, bytes description, Metric* told) except? 0xFFFFFFFF
    cdef int tell(self, object number, dict sizes, size_t size) except -1
    cdef int note(self, str what) except -1
    cdef int add_point(self, uint32_t metric, uint64_t resource, uint64_t scope) except -1
    cdef int apply(self, Metric* metric, Stream* stream) except -1
    cdef int take(self, Metric* metric, Series* series) except -1
    cdef int keep_value(self, Metric* metric, Series* series) except -1
    cdef bint has_room(self, Series* series)
    cdef int add_up(self, Metric* metric, Series* series) except -1
    cdef int take_exemplars(self, Metric* metric, Series* series) except -1
    cdef int take_exemplar(self, Metric* metric, Series* series, bytes_at p, bytes_at end) except -1
    cdef bytes exemplar_labels(self, bytes trace_id, bytes span_id)
    cdef Stream* stream_of(self, uint32_t metric, uint64_t resource, uint64_t scope, bint make) except? NULL
    cdef bint attach_safely(self, Stream* stream, list pairs) except? False
    cdef Stream* overflow_of(self, uint32_t metric) except? NULL
    cdef int attach(self, Stream* stream, list pairs, int kind) except -1
    cdef list gathered(self)
    cdef bytes key_value(self, bytes key, AnyValue* any, Text value)
    cdef list read_message(self, bytes raw, uint32_t wanted)
    cdef list read_attributes(self, bytes_at p, bytes_at end)
    cdef int touch(self, uint64_t resource) except -1
    cdef int tidy(self) except -1
    cdef int tidy_metrics(self) except -1
