# cython: boundscheck=False, wraparound=False, cdivision=True
"""What a text holds, whatever it is hidden under: the detectors over the text and over its copies."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

from sluiceway.otlp._arena cimport Arena, arena_free, arena_take, out_of_memory
from sluiceway.otlp._attributes cimport Text
from sluiceway.otlp._proto cimport bytes_at, skip_ascii
from sluiceway.personal._copies cimport Copy, Folding, copy_free, decode, fold, origin_of
from sluiceway.personal._scan cimport (
    BLANK, BRACKET, CAPITAL, COLON, CREDIT_CARD, DOT, EMAIL, EQUALS, FIGURE, IBAN, IP, JWT, KINDS, LINE, PHONE, PLUS, SECRET,
    SIGN, SMALL, find_next,
)
from sluiceway.personal._secret cimport search
from sluiceway.personal._text cimport Scan

from sluiceway.personal.folding import folded_pages

cdef Arena _kept
cdef Folding _folding


cdef int _load_folding() except -1:
    """Make the table of code points, once."""
    cdef uint32_t* page
    pages, texts = folded_pages()
    made = {}
    _folding.pages = <uint32_t**>arena_take(&_kept, len(pages) * sizeof(void*))
    for number, entries in enumerate(pages):
        if entries not in made:
            page = <uint32_t*>arena_take(&_kept, 256 * sizeof(uint32_t))
            for index in range(256):
                page[<Py_ssize_t>index] = entries[index]
            made[entries] = <size_t>page
        _folding.pages[<Py_ssize_t>number] = <uint32_t*><size_t>made[entries]
    _folding.texts = arena_take(&_kept, len(texts) + 1)
    memcpy(_folding.texts, PyBytes_AS_STRING(texts), len(texts))
    return 0


cdef Finding* _another(Sight* sight) except NULL nogil:
    cdef size_t capacity
    cdef Finding* list
    if sight.count == sight.capacity:
        capacity = max(2 * sight.capacity, <size_t>16)
        list = <Finding*>realloc(sight.list, capacity * sizeof(Finding))
        if list == NULL:
            out_of_memory()
            return NULL
        sight.list = list
        sight.capacity = capacity
    sight.count += 1
    return sight.list + sight.count - 1


cdef int _place(Finding* finding, bytes_at text, const uint32_t* origin, bytes_at first, bytes_at last) noexcept nogil:
    """Say where in the original text that stands which was found in a copy: whole characters of it."""
    cdef size_t index = last - text
    cdef uint32_t place
    finding.plain = first
    finding.plain_size = last - first
    finding.first = origin_of(origin, first - text)
    finding.last = origin_of(origin, index)
    if origin != NULL:
        place = origin[index - 1]
        while origin[index] == place:
            index += 1
        finding.last = origin[index]
    return 0


cdef Order _EQUAL  # all zero


cdef inline int _rank(const Order* order, int kind) noexcept nogil:
    """The lower one counts: what drops the text, then what comes first."""
    return -1 if order.dropped >> kind & 1 else order.by_kind[kind]


cdef void _unite(Sight* sight, Finding* last, Finding* next, bint later) noexcept nogil:
    """Make one of two findings that overlap; `next` does not begin before `last`.

    One that is kept counts only where it covers all of the other and has the earlier rule, else the other does. Of two
    alike a later layer knows better what it covers.
    """
    cdef const Order* order = sight.order if sight.order != NULL else &_EQUAL
    cdef int difference = _rank(order, next.kind) - _rank(order, last.kind)
    cdef bint covers = next.first == last.first and next.last >= last.last
    cdef bint last_kept = order.kept >> last.kind & 1
    cdef bint next_kept = order.kept >> next.kind & 1
    if last_kept and not next_kept:
        if difference <= 0 or next.last > last.last:
            last[0] = next[0]
    elif next_kept and not last_kept:
        if difference < 0 and covers:
            last[0] = next[0]
    else:
        if last_kept:
            difference = -difference  # together they are kept no longer than each
        if difference < 0 or difference == 0 and later and covers:
            last.plain, last.plain_size, last.kind = next.plain, next.plain_size, next.kind
        last.last = max(last.last, next.last)


cdef int _merge(Sight* sight, size_t before) except -1 nogil:
    """Put the findings of one more layer among those before it."""
    cdef size_t i = 0
    cdef size_t j = before
    cdef size_t count = 0
    cdef Finding* next
    cdef Finding* last
    cdef void* grown
    if sight.merged_capacity < sight.count:
        grown = realloc(sight.merged, sight.capacity * sizeof(Finding))
        if grown == NULL:
            out_of_memory()
        sight.merged = <Finding*>grown
        sight.merged_capacity = sight.capacity
    while i < before or j < sight.count:
        if j == sight.count or i < before and sight.list[i].first <= sight.list[j].first:
            next = sight.list + i
            i += 1
        else:
            next = sight.list + j
            j += 1
        last = sight.merged + count - 1
        if count and next.first < last.last:
            _unite(sight, last, next, next >= sight.list + before)
        else:
            sight.merged[count] = next[0]
            count += 1
    memcpy(sight.list, sight.merged, count * sizeof(Finding))
    sight.count = count
    return 0


cdef int _scan(
    Sight* sight, const uint8_t* triggers, uint32_t wanted, bytes_at text, size_t size, const uint32_t* origin
) except -1 nogil:
    """Look through one layer."""
    cdef Scan scan
    cdef bytes_at place = text
    cdef size_t before = sight.count
    cdef int kind
    scan.start = scan.floor = text
    scan.mark = scan.sign = NULL
    scan.end = text + size
    scan.wanted = wanted
    while True:
        kind = find_next(&scan, &place, triggers)
        if kind < 0:
            break
        _place(_another(sight), text, origin, scan.first, scan.last)
        sight.list[sight.count - 1].kind = kind
    return _merge(sight, before) if before and sight.count > before else 0


cdef int _hide(Sight* sight, bytes_at text, size_t size) except -1 nogil:
    """Say that all of the text must be treated."""
    sight.count = 0
    cdef Finding* finding = _another(sight)
    finding[0] = Finding(0, size, text, size, HIDDEN)
    return 1


cdef void sight_free(Sight* sight) noexcept nogil:
    cdef int layer
    for layer in range(LAYERS):
        copy_free(&sight.copies[layer])
    free(sight.list)
    free(sight.merged)
    memset(sight, 0, sizeof(Sight))


cdef class Detectors:
    """The detectors whose bits are set in `wanted`, with `decodes` through two layers of encoding as well.

    One's own `patterns` are pairs: bytes that every match holds, and RE2's `finditer` for bytes. Their bits come from 16 on.
    """

    def __cinit__(self, uint32_t wanted, bint decodes=False, patterns=()):
        if _folding.pages == NULL:
            _load_folding()
        self.folding = _folding
        self.wanted = wanted
        self.decodes = decodes
        self.kept = [literal for literal, _ in patterns]
        self.patterns = [finditer for _, finditer in patterns]
        for index, literal in enumerate(self.kept):
            self.literals[<Py_ssize_t>index] = Text(<bytes_at>PyBytes_AS_STRING(literal), len(<bytes>literal))
            self.wanted |= 1 << <uint32_t>(FIRST_PATTERN + index)
        self._arm(EMAIL, b"@", SIGN)
        self._arm(EMAIL, b":", COLON)
        self._arm(CREDIT_CARD, b"0123456789", FIGURE)
        self._arm(IBAN, b"0123456789", FIGURE)
        self._arm(PHONE, b"0123456789", FIGURE)
        self._arm(PHONE, b"+", PLUS)
        self._arm(PHONE, b"(", BRACKET)
        self._arm(IP, b"0123456789", FIGURE)
        self._arm(IP, b":", COLON)
        self._arm(JWT, b"yw", SMALL)
        self._arm(SECRET, b":", COLON)
        self._arm(SECRET, b"_-", LINE)
        self._arm(SECRET, b".", DOT)
        self._arm(SECRET, b"=", EQUALS)
        self._arm(SECRET, b" ", BLANK)
        self._arm(SECRET, b"IK", CAPITAL)

    cdef int _arm(self, int kind, bytes characters, uint8_t trigger) except -1:
        cdef uint8_t character
        if self.wanted >> kind & 1:
            for character in characters:
                self.triggers[character] = trigger
        return 0

    cdef int _ask(
        self, Sight* sight, uint32_t wanted, bytes_at text, size_t size, const uint32_t* origin
    ) except -1 nogil:
        """Ask those of the own patterns that may match."""
        cdef int index
        cdef Text literal
        wanted >>= FIRST_PATTERN
        for index in range(MOST_PATTERNS):
            literal = self.literals[index]
            if wanted >> index & 1 and (
                literal.size == 0 or search(text, text + size, <const char*>literal.data, literal.size) != NULL
            ):
                self._ask_one(sight, index, text, size, origin)
        return 0

    cdef int _ask_one(self, Sight* sight, int pattern, bytes_at text, size_t size, const uint32_t* origin) except -1 with gil:
        cdef size_t before = sight.count
        cdef Py_ssize_t first
        cdef Py_ssize_t last
        for match in self.patterns[pattern](PyBytes_FromStringAndSize(<const char*>text, size)):
            first, last = match.span()
            if last > first:
                _place(_another(sight), text, origin, text + first, text + last)
                sight.list[sight.count - 1].kind = FIRST_PATTERN + pattern
        return _merge(sight, before) if before and sight.count > before else 0

    cdef int detect(self, Sight* sight, bytes_at text, size_t size, uint32_t wanted) except -1 nogil:
        """Find what is wanted, in order and without overlaps, in `sight.list`; answer how many there are."""
        cdef int layer = 0
        cdef const uint32_t* origin = NULL
        cdef bytes_at start = text
        cdef size_t whole = size
        cdef Copy* copy
        cdef uint32_t again
        sight.count = 0
        wanted &= self.wanted
        again = wanted & sight.order.kept & 1 << SECRET if sight.order != NULL else 0  # they may hold what others find
        while True:
            if skip_ascii(text, text + size) != text + size:
                copy = &sight.copies[layer]
                if not fold(&self.folding, copy, text, size, origin):
                    return _hide(sight, start, whole)
                text, size, origin = copy.data, copy.size, copy.origin
            _scan(sight, self.triggers, wanted & ~again, text, size, origin)
            if again:
                _scan(sight, self.triggers, wanted & (again | 1 << JWT), text, size, origin)
            if wanted >> FIRST_PATTERN:
                self._ask(sight, wanted, text, size, origin)
            if not self.decodes or layer >= LAYERS - 2:
                break
            copy = &sight.copies[layer + 1]
            if not decode(copy, text, size, origin):
                break
            text, size, origin = copy.data, copy.size, copy.origin
            layer += 2
        return <int>sight.count

    def find(self, bytes text not None, wanted=None):
        """What is in a text: for each finding its start, its end, its kind and what it says when folded and decoded."""
        cdef Sight sight
        cdef size_t index
        cdef Finding* finding
        cdef bytes_at start = <bytes_at>PyBytes_AS_STRING(text)
        cdef size_t size = len(text)
        cdef uint32_t bits = self.wanted if wanted is None else wanted
        memset(&sight, 0, sizeof(Sight))
        try:
            with nogil:
                self.detect(&sight, start, size, bits)
            found = []
            for index in range(sight.count):
                finding = sight.list + index
                plain = PyBytes_FromStringAndSize(<const char*>finding.plain, finding.plain_size)
                found.append((finding.first, finding.last, finding.kind, plain))
            return found
        finally:
            sight_free(&sight)
