"""Where streams and series are, and how they are found."""

from libc.stdint cimport uint32_t, uint64_t

from sluiceway.otlp._proto cimport Buffer
from sluiceway.prometheus._series cimport Series, Stream


cdef struct Family:
    # All series of one name. A series that is gone leaves a hole, which is closed while nobody reads.
    Series** series
    uint32_t count  # with holes
    uint32_t capacity
    uint32_t live
    size_t weight  # bytes of what is told of it
    bint collided  # that was told


cdef class Shelf:
    cdef readonly list families  # what is told of each, None where the number is free
    cdef Family* family
    cdef uint32_t family_count
    cdef list free_families
    cdef Stream** streams
    cdef size_t stream_buckets
    cdef readonly size_t stream_count
    cdef size_t variant_count
    cdef size_t variant_bytes
    cdef readonly size_t weight  # bytes of all that is live: streams, series, families, resources and scopes
    cdef readonly size_t overflow_count
    cdef Series** table
    cdef size_t series_buckets
    cdef readonly size_t series_count
    cdef dict uses  # how many streams have a resource or scope
    cdef dict sizes  # bytes of each resource and scope
    cdef public uint32_t readers
    cdef uint64_t seed
    cdef double now

    cdef int close_family(self, uint32_t number) except -1
    cdef Stream* find_stream(
        self, uint32_t metric, uint64_t resource, uint64_t scope, const Buffer* key
    ) noexcept nogil
    cdef Stream* make_stream(
        self, uint32_t metric, uint64_t resource, uint64_t scope, const Buffer* key
    ) except NULL
    cdef Series* series_at(self, uint32_t number, const Buffer* labels) except NULL
    cdef Stream* make_variant(self, Stream* stream, const Buffer* key) except NULL
    cdef void drop_stream(self, Stream* stream) noexcept
    cdef void drop_series(self, Series* series) noexcept
    cdef void end_stream(self, Stream* ended) noexcept
    cdef int drop_old(self, double limit, double variants) except -1
    cdef void close_holes(self) noexcept


cdef size_t weight_of(Series* series) noexcept nogil
