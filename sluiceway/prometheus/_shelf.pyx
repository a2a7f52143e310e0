# cython: boundscheck=False, wraparound=False, cdivision=True
"""Where streams and series are: found by what they come from and by their labels, and removed when they are old."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset

from sluiceway.otlp._arena cimport out_of_memory
from sluiceway.otlp._proto cimport Buffer
from sluiceway.prometheus._series cimport Distribution, Exemplar, Series, Stream, room, series_free, stream_free


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


cdef inline uint64_t place_of(uint64_t seed, uint64_t metric, uint64_t resource, uint64_t scope) noexcept nogil:
    return seed ^ metric * 0x2545F4914F6CDD1DULL ^ resource * 0x9FB21C651E98DF25ULL ^ scope * 0xD6E8FEB86659FD93ULL


cdef size_t weight_of(Series* series) noexcept nogil:
    """Bytes of memory that a series has."""
    cdef size_t size = sizeof(Series) + series.label_size
    cdef Distribution* d = series.distribution
    cdef uint32_t i
    if d != NULL:
        size += sizeof(Distribution) + 8 * (<size_t>d.bound_count + d.sizes[0] + d.sizes[1])
        if d.values != NULL:
            size += 8 * <size_t>d.bound_count
    for i in range(series.exemplar_count):
        size += sizeof(Exemplar*)
        if series.exemplars[i] != NULL:
            size += sizeof(Exemplar) + series.exemplars[i].size
    return size


cdef class Shelf:
    """Streams by metric, resource, scope and attributes; series by family and labels, and in order in their families."""

    def __cinit__(self):
        self.families, self.free_families, self.uses, self.sizes = [], [], {}, {}
        self.stream_buckets = self.series_buckets = 1024
        self.streams = <Stream**>calloc(self.stream_buckets, sizeof(Stream*))
        self.table = <Series**>calloc(self.series_buckets, sizeof(Series*))
        if self.streams == NULL or self.table == NULL:
            raise MemoryError

    def __dealloc__(self):
        cdef Stream* stream
        cdef Series* series
        cdef size_t i
        for i in range(self.stream_buckets if self.streams != NULL else 0):
            while self.streams[i] != NULL:
                stream = self.streams[i]
                self.streams[i] = stream.chain
                stream_free(stream)
        for i in range(self.series_buckets if self.table != NULL else 0):
            while self.table[i] != NULL:
                series = self.table[i]
                self.table[i] = series.chain
                series_free(series)
        for i in range(self.family_count):
            free(self.family[i].series)
        free(self.streams)
        free(self.table)
        free(self.family)

    def __len__(self):
        return self.series_count

    def open_family(self, record):
        """Make room for a family of series, and answer its number; `record` is what `names` knows of it."""
        cdef uint32_t number
        if self.free_families:
            number = self.free_families.pop()
            self.families[number] = record
            self.family[number].collided = False
        else:
            number = self.family_count
            self.family = <Family*>room(self.family, (number + 1) * sizeof(Family))
            memset(&self.family[number], 0, sizeof(Family))
            self.family_count += 1
            self.families.append(record)
        self.family[number].weight = sizeof(Family) + 4 * len(record.name) + len(record.help)
        self.weight += self.family[number].weight
        return number

    cdef int close_family(self, uint32_t number) except -1:
        """Let somebody else have the number of a family that has no series."""
        self.weight -= self.family[number].weight
        self.families[number] = None
        self.free_families.append(number)
        return 0

    cdef Stream* find_stream(
        self, uint32_t metric, uint64_t resource, uint64_t scope, const Buffer* key
    ) noexcept nogil:
        """The stream with this key of a metric, resource and scope; NULL where there is none."""
        cdef uint64_t h = hash_of(key.data, key.size, place_of(self.seed, metric, resource, scope))
        cdef Stream* stream = self.streams[h & (self.stream_buckets - 1)]
        while stream != NULL:
            if (
                stream.hash == h and stream.key_size == key.size and stream.metric == metric
                and stream.resource == resource and stream.scope == scope
                and memcmp(stream.key, key.data, key.size) == 0
            ):
                return stream
            stream = stream.chain
        return NULL

    cdef Stream* make_stream(self, uint32_t metric, uint64_t resource, uint64_t scope, const Buffer* key) except NULL:
        """A new stream, which has no series yet."""
        cdef Stream* stream
        cdef Stream* other
        cdef Stream** table
        cdef size_t i, buckets
        if self.stream_count + self.variant_count >= self.stream_buckets:
            buckets = self.stream_buckets * 2
            table = <Stream**>calloc(buckets, sizeof(Stream*))
            if table != NULL:  # otherwise the chains grow longer
                for i in range(self.stream_buckets):
                    while self.streams[i] != NULL:
                        other = self.streams[i]
                        self.streams[i] = other.chain
                        other.chain = table[other.hash & (buckets - 1)]
                        table[other.hash & (buckets - 1)] = other
                free(self.streams)
                self.streams, self.stream_buckets = table, buckets
        stream = <Stream*>malloc(sizeof(Stream) + key.size)
        if stream == NULL:
            out_of_memory()
        memset(stream, 0, sizeof(Stream))
        stream.metric, stream.resource, stream.scope = metric, resource, scope
        stream.key_size, stream.seen, stream.main = key.size, self.now, stream
        memcpy(stream.key, key.data, key.size)
        stream.hash = hash_of(key.data, key.size, place_of(self.seed, metric, resource, scope))
        i = stream.hash & (self.stream_buckets - 1)
        stream.chain = self.streams[i]
        self.streams[i] = stream
        self.stream_count += 1
        self.weight += sizeof(Stream) + key.size
        for origin in (resource, scope):
            if origin not in self.uses:
                self.uses[origin] = 0
                self.weight += <size_t>self.sizes.get(origin, 0)
            self.uses[origin] += 1
        return stream

    cdef Stream* make_variant(self, Stream* stream, const Buffer* key) except NULL:
        """Let a stream be found by another key, too."""
        cdef Stream* variant = self.make_stream(stream.metric, stream.resource, stream.scope, key)
        self.stream_count -= 1
        self.variant_count += 1
        self.variant_bytes += sizeof(Stream) + key.size
        variant.main, variant.series = stream, stream.series
        variant.sibling = stream.series.streams
        stream.series.streams = variant
        return variant

    cdef Series* series_at(self, uint32_t number, const Buffer* labels) except NULL:
        """The series of a family with these labels, made where there is none."""
        cdef uint64_t h = hash_of(labels.data, labels.size, place_of(self.seed, number, 0, 0))
        cdef Series* series = self.table[h & (self.series_buckets - 1)]
        cdef Series* other
        cdef Series** table
        cdef Family* family = &self.family[number]
        cdef size_t i, buckets
        while series != NULL:
            if (
                series.hash == h and series.family == number and series.label_size == labels.size
                and memcmp(series.labels, labels.data, labels.size) == 0
            ):
                return series
            series = series.chain
        if self.series_count >= self.series_buckets:
            buckets = self.series_buckets * 2
            table = <Series**>calloc(buckets, sizeof(Series*))
            if table != NULL:
                for i in range(self.series_buckets):
                    while self.table[i] != NULL:
                        other = self.table[i]
                        self.table[i] = other.chain
                        other.chain = table[other.hash & (buckets - 1)]
                        table[other.hash & (buckets - 1)] = other
                free(self.table)
                self.table, self.series_buckets = table, buckets
        if family.count == family.capacity:
            buckets = max(2 * family.capacity, <uint32_t>4)
            family.series = <Series**>room(family.series, buckets * sizeof(Series*))
            family.capacity = <uint32_t>buckets
        series = <Series*>malloc(sizeof(Series) + labels.size)
        if series == NULL:
            out_of_memory()
        memset(series, 0, sizeof(Series))
        series.hash, series.family, series.place, series.label_size = h, number, family.count, labels.size
        memcpy(series.labels, labels.data, labels.size)
        series.seen = self.now
        i = h & (self.series_buckets - 1)
        series.chain = self.table[i]
        self.table[i] = series
        family.series[family.count] = series
        family.count += 1
        family.live += 1
        self.series_count += 1
        self.weight += weight_of(series)
        return series

    cdef void drop_stream(self, Stream* stream) noexcept:
        """Take a stream from its hash bucket and free it."""
        cdef Stream** link = &self.streams[stream.hash & (self.stream_buckets - 1)]
        while link[0] != stream:
            link = &link[0].chain
        link[0] = stream.chain
        for origin in (stream.resource, stream.scope):
            self.uses[origin] -= 1
            if self.uses[origin] == 0:
                del self.uses[origin]
                self.weight -= <size_t>self.sizes.get(origin, 0)
        self.weight -= sizeof(Stream) + stream.key_size
        if stream.overflow:
            self.overflow_count -= 1
        elif stream.main != stream:
            self.variant_count -= 1
            self.variant_bytes -= sizeof(Stream) + stream.key_size
        else:
            self.stream_count -= 1
        stream_free(stream)

    cdef void drop_series(self, Series* series) noexcept:
        """Remove a series with its streams."""
        cdef Series** link = &self.table[series.hash & (self.series_buckets - 1)]
        cdef Stream* stream
        while series.streams != NULL:
            stream = series.streams
            series.streams = stream.sibling
            self.drop_stream(stream)
        while link[0] != series:
            link = &link[0].chain
        link[0] = series.chain
        self.family[series.family].series[series.place] = NULL
        self.family[series.family].live -= 1
        self.series_count -= 1
        self.weight -= weight_of(series)
        series_free(series)

    cdef void end_stream(self, Stream* ended) noexcept:
        """Remove a stream, not a variant, whose source has said that it is over, and its series if that has no other.

        What deltas added up stays, for it is the others' as well; any other value was that of its owner alone.
        """
        cdef Series* series = ended.series
        cdef Stream** link = &series.streams
        cdef Stream* stream
        while link[0] != NULL:  # first the variants, while they can be asked
            stream = link[0]
            if stream.main == ended and stream != ended:
                link[0] = stream.sibling
                self.drop_stream(stream)
            else:
                link = &stream.sibling
        if series.streams == ended and ended.sibling == NULL:
            self.drop_series(series)
            return
        link = &series.streams
        while link[0] != ended:
            link = &link[0].sibling
        link[0] = ended.sibling
        if series.owner == ended:
            series.owner = NULL
            series.has_value = series.has_value and series.adds_up
        self.drop_stream(ended)

    cdef int drop_old(self, double limit, double variants) except -1:
        """Remove series, and streams of others, not seen since `limit`, and variants not seen since `variants`."""
        cdef uint32_t number, place
        cdef Series* series
        cdef Stream* stream
        cdef Stream** link
        for number in range(self.family_count):
            for place in range(self.family[number].count):
                series = self.family[number].series[place]
                if series == NULL:
                    continue
                if series.seen < limit:
                    self.drop_series(series)
                    continue
                if series.streams.sibling == NULL:
                    continue
                link = &series.streams
                while link[0] != NULL:  # first the variants of old ones, while these can be asked
                    stream = link[0]
                    if stream.main != stream and (stream.main.seen < limit or stream.seen < variants):
                        link[0] = stream.sibling
                        self.drop_stream(stream)
                    else:
                        link = &stream.sibling
                link = &series.streams
                while link[0] != NULL:
                    stream = link[0]
                    if stream.main == stream and stream.seen < limit:
                        link[0] = stream.sibling
                        if series.owner == stream:
                            series.owner = NULL
                        self.drop_stream(stream)
                    else:
                        link = &stream.sibling
        return 0

    cdef void close_holes(self) noexcept:
        """Move series together. Nobody may be reading, who would miss one that moved."""
        cdef uint32_t number, place, kept
        cdef Family* family
        for number in range(self.family_count):
            family = &self.family[number]
            if family.live == family.count:
                continue
            kept = 0
            for place in range(family.count):
                if family.series[place] != NULL:
                    family.series[kept] = family.series[place]
                    family.series[kept].place = kept
                    kept += 1
            family.count = kept
