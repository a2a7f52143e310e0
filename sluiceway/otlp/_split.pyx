"""Cut an accepted batch into pieces, by items, bytes or trace, or keep a part of its items. Bytes are copied once.

Of an item nothing is looked at but the trace it belongs to, and that only to sample or to sort by it.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdlib cimport qsort
from libc.string cimport memcmp, memset

from sluiceway.otlp._containers cimport *

from sluiceway.errors import DecodeError

cdef enum:
    SPAN_TRACE = 0x0A
    LOG_TRACE = 0x4A

cdef uint64_t ONE = 1 << 32

cdef struct Container:
    # What is repeated in every piece that holds a part of a resource entry, a scope or a metric: its fields but the
    # children, and of a metric also those of its data. The bytes lie in `Cut.headers`.
    size_t header
    size_t header_size
    size_t data
    size_t data_size
    uint32_t data_tag

cdef struct Segment:
    # A run of the payload's own bytes, and the containers (or -1) it stands in.
    int64_t within[3]
    bytes_at start
    bytes_at end

cdef struct Piece:
    size_t first_segment
    uint64_t items

cdef struct State:
    # The piece being filled: its size had it been written, innermost containers still open.
    int64_t open[3]
    size_t size[4]
    uint64_t items
    bint is_empty

cdef enum:  # by what items are chosen
    ALL = 0
    NUMBER = 1
    SHARE = 2
    MASK = 3
    TRACE = 4  # all of them, each marked with its trace

cdef struct Choice:
    int by
    uint64_t left  # how many more are wanted, by NUMBER
    uint64_t share  # of ONE, by SHARE
    uint64_t carried  # what of ONE the items without a trace have added up to
    uint32_t trace_tag
    bytes_at mask  # by MASK, a byte for each item from here on

cdef struct Mark:
    # Of which trace the items of a segment are; zeros for none. Each segment has one, in their order.
    uint8_t trace[16]
    size_t segment
    uint64_t items

cdef struct Cut:
    bint is_metrics
    Choice choice
    uint64_t max_items
    uint64_t max_bytes
    uint64_t budget  # bytes of headers that may still be repeated
    Buffer headers
    Buffer containers
    Buffer segments
    Buffer pieces
    Buffer marks
    State state


def split(int signal_code, bytes payload, uint64_t max_items, uint64_t max_bytes):
    """Pieces of at most so many items and bytes (0: no limit) that together are the payload, each with its items.

    Resource, scope and metric headers are repeated. A single item that is too large is a piece of its own. Where
    repeating headers would cost more than eight times the payload, the rest stays in one piece.
    """
    cdef bytes_at start = <bytes_at>PyBytes_AS_STRING(payload)
    cdef bytes_at end = start + len(payload)
    cdef int64_t items = _count(payload, signal_code == METRICS)
    cdef int64_t outside[3]
    cdef Cut cut
    cdef bint done
    if (not max_items or <uint64_t>items <= max_items) and (not max_bytes or <uint64_t>len(payload) <= max_bytes):
        return [(payload, items)]
    begin(&cut, signal_code == METRICS, max_items, max_bytes, len(payload))
    outside[0] = outside[1] = outside[2] = -1
    try:
        if end - start > RELEASE_ABOVE:
            with nogil:
                done = divide(&cut, TOP, start, end, outside)
        else:
            done = divide(&cut, TOP, start, end, outside)
        if not done:
            raise MemoryError
        return [(payload, items)] if piece_count(&cut) < 2 else _pieces(&cut)
    finally:
        finish(&cut)


def take(int signal_code, bytes payload, uint64_t items):
    """The payload with only its first `items`, and how many there are."""
    cdef Choice choice
    memset(&choice, 0, sizeof(Choice))
    choice.by = NUMBER
    choice.left = items
    return _chosen(signal_code, payload, choice)


def sample(int signal_code, bytes payload, uint64_t share, uint64_t start):
    """The payload with only a share (of 2**32) of its items, and how many there are.

    A trace is kept or left out as a whole, by a hash of its id. Items without one are taken evenly, the first when
    `start` (of 2**32) and the shares add up to a whole.
    """
    cdef Choice choice
    memset(&choice, 0, sizeof(Choice))
    choice.by = SHARE
    choice.share = share
    choice.carried = start
    choice.trace_tag = SPAN_TRACE if signal_code == TRACES else LOG_TRACE if signal_code == LOGS else 0
    return _chosen(signal_code, payload, choice)


def pick(int signal_code, bytes payload, bytes mask not None):
    """The payload with only those items whose byte in `mask` is not zero, and how many there are."""
    cdef Choice choice
    if _count(payload, signal_code == METRICS) != len(mask):
        raise ValueError("the mask is not as long as there are items")
    memset(&choice, 0, sizeof(Choice))
    choice.by = MASK
    choice.mask = <bytes_at>PyBytes_AS_STRING(mask)
    return _chosen(signal_code, payload, choice)


def by_trace(int signal_code, bytes payload):
    """The payload as one piece for each trace, in the order of their ids: the id, the piece and its items.

    What belongs to no trace, or to one whose id is zero, is a piece of its own with an empty id. Metrics are one piece.
    """
    cdef bytes_at start = <bytes_at>PyBytes_AS_STRING(payload)
    cdef bytes_at end = start + len(payload)
    cdef int64_t items = _count(payload, signal_code == METRICS)
    cdef int64_t outside[3]
    cdef Cut cut
    cdef bint done
    cdef Mark* mark
    cdef size_t i
    if signal_code == METRICS or items == 0:
        return [(b"", payload, items)]
    begin(&cut, False, 0, 0, len(payload))
    cut.choice.by = TRACE
    cut.choice.trace_tag = SPAN_TRACE if signal_code == TRACES else LOG_TRACE
    outside[0] = outside[1] = outside[2] = -1
    try:
        with nogil:
            done = divide(&cut, TOP, start, end, outside) and sort_by_trace(&cut)
        if not done:
            raise MemoryError
        if piece_count(&cut) == 1:
            return [(_trace_id(<Mark*>cut.marks.data), payload, items)]
        result = []
        for i, (piece, count) in enumerate(_pieces(&cut)):
            mark = <Mark*>cut.marks.data + (<Piece*>cut.pieces.data)[i].first_segment
            result.append((_trace_id(mark), piece, count))
        return result
    finally:
        finish(&cut)


cdef bytes _trace_id(const Mark* mark):
    cdef bytes trace = PyBytes_FromStringAndSize(<const char*>mark.trace, 16)
    return trace if trace.count(0) < 16 else b""


cdef tuple _chosen(int signal_code, bytes payload, Choice choice):
    cdef bytes_at start = <bytes_at>PyBytes_AS_STRING(payload)
    cdef bytes_at end = start + len(payload)
    cdef int64_t outside[3]
    cdef Piece piece
    cdef Cut cut
    cdef bint done
    _count(payload, signal_code == METRICS)
    begin(&cut, signal_code == METRICS, 0, 0, len(payload))
    cut.choice = choice
    outside[0] = outside[1] = outside[2] = -1
    piece.first_segment = piece.items = 0
    try:
        done = buffer_put(&cut.pieces, &piece, sizeof(Piece))
        if done and end - start > RELEASE_ABOVE:
            with nogil:
                done = divide(&cut, TOP, start, end, outside)
        elif done:
            done = divide(&cut, TOP, start, end, outside)
        if not done:
            raise MemoryError
        return _pieces(&cut)[0]
    finally:
        finish(&cut)


cdef int64_t _count(bytes payload, bint is_metrics) except -1:
    cdef bytes_at start = <bytes_at>PyBytes_AS_STRING(payload)
    cdef bytes_at end = start + len(payload)
    cdef int64_t items
    if end - start > RELEASE_ABOVE:
        with nogil:
            items = count(TOP, start, end, is_metrics)
    else:
        items = count(TOP, start, end, is_metrics)
    if items < 0:
        raise DecodeError("not a protobuf message")
    return items


# First half: which run of bytes goes into which piece. False means that memory is out.


cdef void begin(Cut* cut, bint is_metrics, uint64_t max_items, uint64_t max_bytes, size_t size) noexcept nogil:
    memset(cut, 0, sizeof(Cut))
    cut.is_metrics = is_metrics
    cut.max_items = max_items
    cut.max_bytes = max_bytes
    cut.budget = 8 * size + (1 << 20)
    renew(&cut.state)


cdef void finish(Cut* cut) noexcept nogil:
    buffer_free(&cut.headers)
    buffer_free(&cut.containers)
    buffer_free(&cut.segments)
    buffer_free(&cut.pieces)
    buffer_free(&cut.marks)


cdef void renew(State* state) noexcept nogil:
    memset(state, 0, sizeof(State))
    state.open[0] = state.open[1] = state.open[2] = -1
    state.is_empty = True


cdef bint divide(Cut* cut, int level, bytes_at p, bytes_at end, const int64_t* within) noexcept nogil:
    """Place the children of a container that does not fit as a whole."""
    cdef uint32_t child = FIRST if level == TOP else SECOND
    cdef uint32_t tag = 0
    cdef bytes_at start
    cdef bytes_at body = NULL
    while p < end:
        start = p
        p = enter_field(p, end, &tag, &body)
        if tag == child:
            if not place_child(cut, level, start, body, p, within):
                return False
        elif level == TOP and not place(cut, within, start, p, 0):
            return False
    return True


cdef bint place_child(
    Cut* cut, int level, bytes_at start, bytes_at body, bytes_at end, const int64_t* within
) noexcept nogil:
    """Place a child of a container of `level`: whole where it fits or has nothing to be cut between, else in parts."""
    cdef int64_t inside[3]
    cdef int64_t items
    cdef bint is_divisible
    if level < SCOPE:
        items = count(level + 1, body, end, cut.is_metrics)
        is_divisible = has_children(body, end)
    else:
        items = count_metric(body, end) if cut.is_metrics else 1
        is_divisible = items > 1
    if not is_divisible or (fits(cut, within, end - start, items) and is_chosen_whole(cut, items)):
        return place(cut, within, start, end, items)
    memcpy(inside, within, sizeof(inside))
    inside[level] = cut.containers.size // sizeof(Container)
    if level == SCOPE:
        return keep_metric_header(cut, body, end) and divide_metric(cut, body, end, inside)
    return keep_header(cut, body, end) and divide(cut, level + 1, body, end, inside)


cdef bint has_children(bytes_at p, bytes_at end) noexcept nogil:
    cdef uint32_t tag = 0
    cdef bytes_at body = NULL
    while p < end:
        p = enter_field(p, end, &tag, &body)
        if tag == SECOND:
            return True
    return False


cdef bint divide_metric(Cut* cut, bytes_at p, bytes_at end, const int64_t* within) noexcept nogil:
    cdef uint32_t tag = 0
    cdef bytes_at body = NULL
    cdef bytes_at inner = NULL
    cdef bytes_at start
    cdef bytes_at data_end
    cdef uint32_t member = container_at(cut, within[2]).data_tag
    p = live_data(p, end)
    while p < end:
        p = enter_field(p, end, &tag, &body)
        data_end = p
        while tag == member and body < data_end:
            start = body
            body = enter_field(body, data_end, &tag, &inner)
            if tag == FIRST and not place(cut, within, start, body, 1):
                return False
            tag = member
    return True


cdef bytes_at live_data(bytes_at p, bytes_at end) noexcept nogil:
    """Where the data that counts begins: a member of the oneof takes the place of another one that came before it."""
    cdef uint32_t tag = 0
    cdef uint32_t member = 0
    cdef bytes_at body = NULL
    cdef bytes_at start
    cdef bytes_at live = p
    while p < end:
        start = p
        p = enter_field(p, end, &tag, &body)
        if is_data(tag) and tag != member:
            member = tag
            live = start
    return live


cdef bint keep_header(Cut* cut, bytes_at p, bytes_at end) noexcept nogil:
    """Note a container: all its fields but the children."""
    cdef Container container
    cdef uint32_t tag = 0
    cdef bytes_at body = NULL
    cdef bytes_at start
    memset(&container, 0, sizeof(Container))
    container.header = cut.headers.size
    while p < end:
        start = p
        p = enter_field(p, end, &tag, &body)
        if tag != SECOND and not buffer_put(&cut.headers, start, p - start):
            return False
    container.header_size = cut.headers.size - container.header
    return buffer_put(&cut.containers, &container, sizeof(Container))


cdef bint keep_metric_header(Cut* cut, bytes_at p, bytes_at end) noexcept nogil:
    """Note a metric: all its fields but the data, and all fields of the data that counts but the points."""
    cdef Container container
    cdef uint32_t tag = 0
    cdef bytes_at body = NULL
    cdef bytes_at inner = NULL
    cdef bytes_at start
    cdef bytes_at data_end
    cdef bytes_at live = live_data(p, end)
    memset(&container, 0, sizeof(Container))
    container.header = cut.headers.size
    while p < end:
        start = p
        p = enter_field(p, end, &tag, &body)
        if is_data(tag):
            container.data_tag = tag
        elif not buffer_put(&cut.headers, start, p - start):
            return False
    container.data = cut.headers.size
    container.header_size = container.data - container.header
    p = live
    while p < end:
        p = enter_field(p, end, &tag, &body)
        data_end = p
        while is_data(tag) and body < data_end:
            start = body
            body = enter_field(body, data_end, &tag, &inner)
            if tag != FIRST and not buffer_put(&cut.headers, start, body - start):
                return False
            tag = container.data_tag
    container.data_size = cut.headers.size - container.data
    return buffer_put(&cut.containers, &container, sizeof(Container))


cdef inline Container* container_at(const Cut* cut, int64_t which) noexcept nogil:
    return <Container*>cut.containers.data + which


cdef bint fits(const Cut* cut, const int64_t* within, size_t size, int64_t items) noexcept nogil:
    cdef State next = cut.state
    add(cut, &next, within, size, items)
    return is_allowed(cut, &next)


cdef bint is_allowed(const Cut* cut, const State* state) noexcept nogil:
    cdef State closed
    if cut.max_items and state.items > cut.max_items:
        return False
    if not cut.max_bytes:
        return True
    closed = state[0]
    close(cut, &closed, 0)
    return closed.size[TOP] <= cut.max_bytes


cdef bint place(Cut* cut, const int64_t* within, bytes_at start, bytes_at end, int64_t items) noexcept nogil:
    """Put a run of bytes into the present piece, or begin another one with it, unless it is not wanted."""
    cdef State next = cut.state
    if cut.choice.by == TRACE:
        return put_marked(cut, within, start, end, items)
    if cut.choice.by != ALL and items > 0 and not is_chosen(&cut.choice, start, end, items):
        return True
    add(cut, &next, within, end - start, items)
    if not cut.state.is_empty and not is_allowed(cut, &next) and afford(cut, within):
        if not end_piece(cut):
            return False
        next = cut.state
        add(cut, &next, within, end - start, items)
    cut.state = next
    return put_segment(cut, within, start, end)


cdef bint afford(Cut* cut, const int64_t* within) noexcept nogil:
    """Whether the headers that a new piece repeats are within the budget; if not, there are no limits any more."""
    cdef size_t repeated = 0
    cdef Container* container
    for level in range(3):
        if within[level] >= 0 and within[level] == cut.state.open[level]:
            container = container_at(cut, within[level])
            repeated += container.header_size + container.data_size
    if repeated > cut.budget:
        cut.max_items = cut.max_bytes = 0
        return False
    cut.budget -= repeated
    return True


cdef void add(const Cut* cut, State* state, const int64_t* within, size_t size, int64_t items) noexcept nogil:
    """Note that `size` bytes come next in these containers, closing and opening what that needs."""
    cdef int shared = 0
    cdef int level
    while shared < 3 and state.open[shared] == within[shared]:
        shared += 1
    close(cut, state, shared)
    for level in range(3):
        if level >= shared and within[level] >= 0:
            state.open[level] = within[level]
            state.size[level + 1] = container_at(cut, within[level]).header_size if level < 2 else 0
    level = 3
    while level > 0 and within[level - 1] < 0:
        level -= 1
    state.size[level] += size
    state.items += items
    state.is_empty = False


cdef void close(const Cut* cut, State* state, int level) noexcept nogil:
    """Close the containers from the innermost one down to `level`: their bytes now belong to what is around them."""
    cdef int inner = 2
    while inner >= level:
        if state.open[inner] >= 0:
            state.size[inner] += framed(container_size(cut, state.open[inner], inner, state.size[inner + 1]))
            state.open[inner] = -1
        inner -= 1


cdef inline size_t container_size(const Cut* cut, int64_t which, int level, size_t inside) noexcept nogil:
    """The content of a container that holds `inside` bytes, which count the header already unless it is a metric."""
    cdef Container* container = container_at(cut, which)
    if level < 2:
        return inside
    return container.header_size + framed(container.data_size + inside)


cdef inline size_t framed(size_t size) noexcept nogil:
    return 1 + varint_size(size) + size


cdef bint end_piece(Cut* cut) noexcept nogil:
    cdef Piece piece
    cdef size_t pieces = cut.pieces.size // sizeof(Piece)
    if pieces == 0:
        piece.first_segment = 0
        if not buffer_put(&cut.pieces, &piece, sizeof(Piece)):
            return False
        pieces = 1
    (<Piece*>cut.pieces.data)[pieces - 1].items = cut.state.items
    piece.first_segment = cut.segments.size // sizeof(Segment)
    piece.items = 0
    renew(&cut.state)
    return buffer_put(&cut.pieces, &piece, sizeof(Piece))


cdef bint put_segment(Cut* cut, const int64_t* within, bytes_at start, bytes_at end) noexcept nogil:
    """Note the run, as part of the one before it where that ends here and is in the same containers and piece."""
    cdef Segment segment
    cdef Segment* last
    cdef size_t segments = cut.segments.size // sizeof(Segment)
    cdef size_t pieces = cut.pieces.size // sizeof(Piece)
    if segments > ((<Piece*>cut.pieces.data)[pieces - 1].first_segment if pieces else 0):
        last = <Segment*>cut.segments.data + segments - 1
        if last.end == start and memcmp(last.within, within, sizeof(last.within)) == 0:
            last.end = end
            return True
    memcpy(segment.within, within, sizeof(segment.within))
    segment.start = start
    segment.end = end
    return buffer_put(&cut.segments, &segment, sizeof(Segment))


# Which items are wanted, where not all are.


cdef bint is_chosen_whole(const Cut* cut, int64_t items) noexcept nogil:
    """Whether a container need not be looked into: its items share one fate."""
    if cut.choice.by == NUMBER:
        return cut.choice.left == 0 or items <= <int64_t>cut.choice.left
    return cut.choice.by == ALL


cdef bint is_chosen(Choice* choice, bytes_at start, bytes_at end, int64_t items) noexcept nogil:
    """Decide on one item, or by NUMBER on some that fit."""
    cdef bytes_at trace
    if choice.by == NUMBER:
        if choice.left == 0:
            return False
        choice.left -= items
        return True
    if choice.by == MASK:
        choice.mask += 1
        return choice.mask[-1] != 0
    trace = trace_of(choice, start, end)
    if trace != NULL:
        return spread(trace) >> 32 < choice.share
    choice.carried += choice.share
    if choice.carried < ONE:
        return False
    choice.carried -= ONE
    return True


cdef bytes_at trace_of(const Choice* choice, bytes_at p, bytes_at end) noexcept nogil:
    """Where the trace id of an item stands, NULL where it has none. The last one counts, as in protobuf."""
    cdef uint32_t tag = 0
    cdef bytes_at body = NULL
    cdef bytes_at found = NULL
    if choice.trace_tag == 0:
        return NULL
    enter_field(p, end, &tag, &p)
    while p != NULL and p < end:
        p = enter_field(p, end, &tag, &body)
        if p != NULL and tag == choice.trace_tag:
            found = body if p - body == 16 else NULL
    return found


cdef uint64_t spread(bytes_at trace) noexcept nogil:
    """A hash of a trace id.

    Not the id's own random bits, by which others sample: what an earlier sampler let through is not spread over them.
    """
    cdef uint64_t halves[2]
    cdef int i
    halves[0] = halves[1] = 0
    for i in range(16):
        halves[i >> 3] = halves[i >> 3] << 8 | trace[i]
    return mixed(mixed(halves[0]) ^ halves[1])


cdef inline uint64_t mixed(uint64_t word) noexcept nogil:
    """The finalizer of MurmurHash3 with 64 bits."""
    word = (word ^ word >> 33) * <uint64_t>0xFF51AFD7ED558CCD
    word = (word ^ word >> 33) * <uint64_t>0xC4CEB9FE1A85EC53
    return word ^ word >> 33


# Sorting by trace: every segment is marked, and pieces are runs of the segments in the order of their marks.


cdef bint put_marked(Cut* cut, const int64_t* within, bytes_at start, bytes_at end, int64_t items) noexcept nogil:
    """Note an item with its trace. What holds no item goes with the one before it, or else with the first."""
    cdef Segment segment
    cdef Segment* last_segment
    cdef Mark mark
    cdef Mark* last
    cdef size_t marks = cut.marks.size // sizeof(Mark)
    cdef size_t i
    cdef bytes_at trace
    memset(&mark, 0, sizeof(Mark))
    if items:
        trace = trace_of(&cut.choice, start, end)
        if trace != NULL:
            memcpy(mark.trace, trace, 16)
        if cut.state.is_empty:  # what came before holds no item, and goes with this one
            cut.state.is_empty = False
            for i in range(marks):
                memcpy((<Mark*>cut.marks.data + i).trace, mark.trace, 16)
    elif marks:
        memcpy(mark.trace, (<Mark*>cut.marks.data + marks - 1).trace, 16)
    if marks:
        last = <Mark*>cut.marks.data + marks - 1
        last_segment = <Segment*>cut.segments.data + marks - 1
        if (
            last_segment.end == start
            and memcmp(last_segment.within, within, sizeof(segment.within)) == 0
            and memcmp(last.trace, mark.trace, 16) == 0
        ):
            last_segment.end = end
            last.items += items
            return True
    mark.segment = marks
    mark.items = items
    memcpy(segment.within, within, sizeof(segment.within))
    segment.start = start
    segment.end = end
    return buffer_put(&cut.segments, &segment, sizeof(Segment)) and buffer_put(&cut.marks, &mark, sizeof(Mark))


cdef int by_mark(const void* one, const void* other) noexcept nogil:
    cdef const Mark* a = <const Mark*>one
    cdef const Mark* b = <const Mark*>other
    cdef int order = memcmp(a.trace, b.trace, 16)
    return order if order else (a.segment > b.segment) - (a.segment < b.segment)


cdef bint sort_by_trace(Cut* cut) noexcept nogil:
    """Bring the segments into the order of their traces, and begin a piece with each trace.

    Once the budget for repeated headers is spent, what is left is one piece that counts as of no trace.
    """
    cdef size_t count = cut.marks.size // sizeof(Mark)
    cdef Mark* marks = <Mark*>cut.marks.data
    cdef Segment* segments = <Segment*>cut.segments.data
    cdef Buffer ordered
    cdef bint is_last = False
    cdef size_t spent = 0
    cdef size_t i
    memset(&ordered, 0, sizeof(Buffer))
    qsort(marks, count, sizeof(Mark), by_mark)
    for i in range(count):
        if not buffer_put(&ordered, segments + marks[i].segment, sizeof(Segment)):
            buffer_free(&ordered)
            return False
    buffer_free(&cut.segments)
    cut.segments = ordered
    segments = <Segment*>cut.segments.data
    for i in range(count):
        if i == 0 or (not is_last and memcmp(marks[i].trace, marks[i - 1].trace, 16) != 0):
            if not begin_piece(cut, i):
                return False
            if spent > cut.budget:
                is_last = True
                memset(marks[i].trace, 0, 16)
            spent += headers_of(cut, segments[i].within)
        elif not is_last and memcmp(segments[i].within, segments[i - 1].within, sizeof(segments[i].within)) != 0:
            spent += headers_of(cut, segments[i].within)
        (<Piece*>cut.pieces.data + piece_count(cut) - 1).items += marks[i].items
    cut.state.items = (<Piece*>cut.pieces.data + piece_count(cut) - 1).items
    return True


cdef bint begin_piece(Cut* cut, size_t segment) noexcept nogil:
    cdef Piece piece
    piece.first_segment = segment
    piece.items = 0
    return buffer_put(&cut.pieces, &piece, sizeof(Piece))


cdef size_t headers_of(const Cut* cut, const int64_t* within) noexcept nogil:
    """The bytes of the headers around a segment."""
    cdef size_t size = 0
    cdef int level
    for level in range(2):
        if within[level] >= 0:
            size += container_at(cut, within[level]).header_size
    return size


# Second half: write the pieces, each into bytes of exactly its size.


cdef size_t piece_count(const Cut* cut) noexcept nogil:
    return cut.pieces.size // sizeof(Piece)


cdef list _pieces(Cut* cut):
    cdef list result = []
    cdef size_t i, size, first, last
    cdef Piece* pieces = <Piece*>cut.pieces.data
    cdef bytes payload
    cdef uint8_t* out
    pieces[piece_count(cut) - 1].items = cut.state.items
    for i in range(piece_count(cut)):
        first = pieces[i].first_segment
        last = pieces[i + 1].first_segment if i + 1 < piece_count(cut) else cut.segments.size // sizeof(Segment)
        size = measure(cut, 0, first, last)
        payload = PyBytes_FromStringAndSize(NULL, size)
        out = <uint8_t*>PyBytes_AS_STRING(payload)
        with nogil:
            write(cut, 0, first, last, out)
        result.append((payload, pieces[i].items))
    return result


cdef size_t group_end(const Cut* cut, int level, size_t first, size_t last) noexcept nogil:
    """The end of the segments, from `first` on, that share its container of `level`."""
    cdef Segment* segments = <Segment*>cut.segments.data
    cdef size_t i = first + 1
    while i < last and segments[i].within[level] == segments[first].within[level]:
        i += 1
    return i


cdef size_t measure(const Cut* cut, int level, size_t first, size_t last) noexcept nogil:
    """The bytes that segments take inside a container of `level`."""
    cdef Segment* segments = <Segment*>cut.segments.data
    cdef size_t size = 0
    cdef size_t next
    while first < last:
        if level == 3 or segments[first].within[level] < 0:
            size += segments[first].end - segments[first].start
            first += 1
        else:
            next = group_end(cut, level, first, last)
            size += framed(measure_container(cut, level, first, next))
            first = next
    return size


cdef size_t measure_container(const Cut* cut, int level, size_t first, size_t last) noexcept nogil:
    cdef int64_t which = (<Segment*>cut.segments.data)[first].within[level]
    cdef size_t inside = measure(cut, level + 1, first, last)
    if level < 2:
        inside += container_at(cut, which).header_size
    return container_size(cut, which, level, inside)


cdef inline uint8_t* copy(uint8_t* out, const void* data, size_t size) noexcept nogil:
    if size:  # there may be no headers at all, and then no place to copy them from
        memcpy(out, data, size)
    return out + size


cdef uint8_t* write(const Cut* cut, int level, size_t first, size_t last, uint8_t* out) noexcept nogil:
    cdef Segment* segments = <Segment*>cut.segments.data
    cdef size_t next
    while first < last:
        if level == 3 or segments[first].within[level] < 0:
            out = copy(out, segments[first].start, segments[first].end - segments[first].start)
            first += 1
        else:
            next = group_end(cut, level, first, last)
            out = write_container(cut, level, first, next, out)
            first = next
    return out


cdef uint8_t* write_container(const Cut* cut, int level, size_t first, size_t last, uint8_t* out) noexcept nogil:
    cdef Container* container = container_at(cut, (<Segment*>cut.segments.data)[first].within[level])
    out[0] = FIRST if level == TOP else SECOND
    out = write_varint(out + 1, measure_container(cut, level, first, last))
    out = copy(out, cut.headers.data + container.header, container.header_size)
    if level == 2:
        out[0] = <uint8_t>container.data_tag
        out = write_varint(out + 1, container.data_size + measure(cut, 3, first, last))
        out = copy(out, cut.headers.data + container.data, container.data_size)
    return write(cut, level + 1, first, last, out)
