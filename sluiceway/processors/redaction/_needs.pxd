"""A quick look at a text: whether any of some patterns may be found in it, by the bytes that they cannot do without.

Texts that pass are few; it is they that RE2 is asked about.
"""

from libc.stdint cimport SIZE_MAX, uint8_t, uint64_t

from sluiceway.otlp._proto cimport bytes_at

cdef enum:
    MOST_PATTERNS = 64
    MOST_CLASSES = 64
    WORDS = 16  # for four rows each
    ROW_BITS = 16


cdef struct Need:
    size_t size  # bytes in all
    uint64_t classes  # one byte of each of these
    uint64_t row  # the bit in its word that tells that the row was found; 0 where there is no row


cdef struct Rows:
    # Rows of classes, found by shifting: a bit for each place of each row (Baeza-Yates and Gonnet, "A new approach to
    # text searching", 1992).
    uint64_t starts
    uint64_t places[256]  # where a byte may stand


cdef struct Needs:
    bint any_text  # nothing is known: any text may match
    size_t size  # of the pattern that needs least
    size_t count
    uint64_t classes[256]  # those that a byte is in
    Need list[MOST_PATTERNS]
    Rows rows[WORDS]  # those of the first four patterns, and so on


cdef inline uint64_t rows_found(Rows* rows, bytes_at p, size_t size) noexcept nogil:
    cdef uint64_t state = 0
    cdef uint64_t found = 0
    cdef size_t index
    for index in range(size):
        state = (state << 1 | rows.starts) & rows.places[p[index]]
        found |= state
    return found


cdef inline uint64_t classes_in(Needs* needs, bytes_at p, size_t size) noexcept nogil:
    cdef uint64_t seen = 0
    cdef uint64_t more = 0
    cdef bytes_at end = p + size
    while end - p >= 4:
        seen |= needs.classes[p[0]] | needs.classes[p[1]]
        more |= needs.classes[p[2]] | needs.classes[p[3]]
        p += 4
    while p < end:
        seen |= needs.classes[p[0]]
        p += 1
    return seen | more


cdef inline bint may_match(Needs* needs, bytes_at p, size_t size) noexcept nogil:
    cdef uint64_t seen
    cdef size_t index
    cdef Need* need
    if needs.any_text:
        return True
    if size < needs.size:
        return False
    seen = classes_in(needs, p, size)
    for index in range(needs.count):
        need = &needs.list[index]
        if size >= need.size and seen & need.classes == need.classes:
            if need.row == 0 or rows_found(&needs.rows[index >> 2], p, size) & need.row:
                return True
    return False


cdef inline int load_needs(Needs* needs, found) except -1:
    """Take what each pattern needs, as `needs.Need`; None where anything may match."""
    needs.any_text = found is None or len(found) > MOST_PATTERNS
    if needs.any_text:
        return 0
    needs.count = len(found)
    needs.size = min([need.size for need in found]) if found else SIZE_MAX
    numbers = {}
    for index, need in enumerate(found):
        needs.list[<int>index].size = need.size
        _load_classes(needs, &needs.list[<int>index], need.classes, numbers)
        _load_row(needs, index, need.row)
    return 0


cdef inline int _load_classes(Needs* needs, Need* need, classes, dict numbers) except -1:
    for chosen in classes:
        if chosen not in numbers and len(numbers) < MOST_CLASSES:
            for byte in chosen:
                needs.classes[<int>byte] |= 1ULL << <int>len(numbers)
            numbers[chosen] = len(numbers)
        if chosen in numbers:
            need.classes |= 1ULL << <int>numbers[chosen]
    return 0


cdef inline int _load_row(Needs* needs, int index, row) except -1:
    cdef Rows* rows = &needs.rows[index >> 2]
    cdef int first = (index & 3) * ROW_BITS
    cdef int place
    if not row:
        return 0
    rows.starts |= 1ULL << first
    for place, chosen in enumerate(row):
        for byte in chosen:
            rows.places[<int>byte] |= 1ULL << (first + place)
    needs.list[index].row = 1ULL << (first + len(row) - 1)
    return 0
