"""Samples of one series at one time, of which Prometheus keeps one: the newest point stays, the others are rejected."""


cdef int settle_clashes(RemoteWriteEncoder self) except -1 nogil:
    """Bring samples in order. A point that has lost one of its samples to a newer point loses all of them."""
    cdef Group* group = self.first_group
    cdef Series* series
    while group != NULL:
        series = group.first
        while series != NULL:
            if series.unsorted:
                sort_samples(self, series)
                find_clashes(self, series)
            series = series.touched
        group = group.touched
    if not self.clashes:
        return 0
    group = self.first_group
    while group != NULL:
        series = group.first
        while series != NULL:
            leave_out(series)
            series = series.touched
        group = group.touched
    return 0


cdef int sort_samples(RemoteWriteEncoder self, Series* series) except -1 nogil:
    cdef Sample** sorted = <Sample**>arena_take(&self.arena, sizeof(Sample*) * series.count)
    cdef Sample* sample = series.first
    cdef uint32_t i
    for i in range(series.count):
        sorted[i] = sample
        sample = sample.next
    qsort(sorted, series.count, sizeof(Sample*), by_time)
    for i in range(series.count - 1):
        sorted[i].next = sorted[i + 1]
    series.first, series.last = sorted[0], sorted[series.count - 1]
    series.last.next = NULL
    return 0


cdef int find_clashes(RemoteWriteEncoder self, Series* series) noexcept nogil:
    """Mark the points that are lost: not those that say the same, nor deltas, which are in the sum that stays."""
    cdef Sample* sample = series.first
    cdef Sample* newest
    while sample != NULL:
        newest = sample
        while newest.next != NULL and newest.next.time == sample.time:
            newest = newest.next
        while sample != newest:
            self.clashes = True
            if not sample.point.lost and not is_same(sample, newest) and (
                sample.point.stream == NULL or sample.point.stream != newest.point.stream
            ):
                sample.point.lost = True
                self.rejected[DUPLICATE] += 1
            sample = sample.next
        sample = sample.next
    return 0


cdef bint is_same(const Sample* one, const Sample* other) noexcept nogil:
    if one.native.size != other.native.size:
        return False
    if one.native.data == NULL:
        return one.value == other.value
    return memcmp(one.native.data, other.native.data, one.native.size) == 0


cdef void leave_out(Series* series) noexcept nogil:
    """Keep the samples of points that are not lost, the newest of each time."""
    cdef Sample** link = &series.first
    cdef Sample* sample = series.first
    cdef Sample* kept = NULL
    while sample != NULL:
        if not sample.point.lost:
            if kept != NULL and kept.time == sample.time:
                link[0] = sample  # in place of the one before
            else:
                if kept != NULL:
                    link = &kept.next
                link[0] = sample
            kept = sample
        sample = sample.next
    if kept == NULL:
        series.first = NULL
    else:
        kept.next = NULL
    series.last = kept
