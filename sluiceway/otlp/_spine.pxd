"""Where the containers and items of a batch lie in its bytes: a flat list of nodes, each before what it holds.

Resource entries, scope entries, metrics, the data of metrics, and items. What they hold besides is not looked at.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport free, realloc
from libc.string cimport memset

from sluiceway.otlp._anyvalue cimport malformed
from sluiceway.otlp._arena cimport out_of_memory
from sluiceway.otlp._containers cimport FIRST, METRICS, SECOND, is_data
from sluiceway.otlp._message cimport Message
from sluiceway.otlp._proto cimport WIRE_BYTES, bytes_at, read_length, read_tag, skip_value

cdef enum Part:  # what a node is
    BATCH = 0
    ENTRY = 1
    SCOPE = 2
    METRIC = 3
    DATA = 4
    ITEM = 5

cdef enum:
    NOWHERE = 0xFFFFFFFFU


cdef struct Node:
    bytes_at field  # where its field begins, where its length stands, where its content begins and ends
    bytes_at prefix
    bytes_at body
    bytes_at end
    Message* message  # what was looked at or changed of it
    uint32_t parent
    uint32_t after  # the first node that does not lie in it
    uint8_t part
    uint8_t tag  # of the field
    bint touched  # it or something in it has changed
    bint dropped


cdef struct Spine:
    # Zero it to begin; give it back with `spine_free`.
    Node* nodes
    uint32_t count
    uint32_t capacity
    uint32_t items
    uint32_t dropped  # items
    bint lossy  # something was dropped


cdef inline void spine_free(Spine* spine) noexcept nogil:
    free(spine.nodes)
    spine.nodes = NULL


cdef inline Node* new_node(Spine* spine) except NULL nogil:
    cdef Node* nodes
    cdef uint32_t capacity
    if spine.count == spine.capacity:
        capacity = max(2 * spine.capacity, <uint32_t>128)
        nodes = <Node*>realloc(spine.nodes, capacity * sizeof(Node))
        if nodes == NULL:
            out_of_memory()
            return NULL
        spine.nodes = nodes
        spine.capacity = capacity
    spine.count += 1
    memset(&spine.nodes[spine.count - 1], 0, sizeof(Node))
    return &spine.nodes[spine.count - 1]


cdef inline bint is_child(uint8_t part, uint32_t tag) noexcept nogil:
    """Whether a field of a container holds what lies below it."""
    if part == METRIC:
        return is_data(tag)
    return tag == (FIRST if part == BATCH or part == DATA else SECOND)


cdef inline uint8_t part_below(uint8_t part, bint is_metrics) noexcept nogil:
    if part == SCOPE and not is_metrics:
        return ITEM
    return part + 1


cdef inline void forget_other_member(Spine* spine, uint32_t metric, uint32_t tag) noexcept nogil:
    """Another member of a metric's data takes the place of what was there: its points are no items."""
    cdef uint32_t index
    if spine.count == metric + 1 or spine.nodes[metric + 1].tag == tag:
        return
    for index in range(metric + 1, spine.count):
        spine.items -= spine.nodes[index].part == ITEM
    spine.count = metric + 1


cdef inline int list_children(
    Spine* spine, bytes_at p, bytes_at end, uint32_t parent, uint8_t part, bint is_metrics
) except -1 nogil:
    """Add the nodes below a container, whose content begins at `p`."""
    cdef uint32_t tag = 0
    cdef size_t size = 0
    cdef uint32_t index
    cdef bytes_at field
    cdef Node* node
    cdef uint8_t below = part_below(part, is_metrics)
    while p < end:
        field = p
        p = read_tag(p, end, &tag)
        if p == NULL:
            malformed()
        if not is_child(part, tag):
            p = skip_value(p, end, tag, 0)
            if p == NULL:
                malformed()
            continue
        if part == METRIC:
            forget_other_member(spine, parent, tag)
        node = new_node(spine)
        index = spine.count - 1
        node.field = field
        node.prefix = p
        p = node.body = read_length(p, end, &size)
        if p == NULL:
            malformed()
        p = node.end = p + size
        node.parent = parent
        node.part = below
        node.tag = <uint8_t>tag
        if below == ITEM:
            spine.items += 1
        else:
            list_children(spine, node.body, p, index, below, is_metrics)
        spine.nodes[index].after = spine.count
    return 0


cdef inline void touch(Spine* spine, uint32_t index) noexcept nogil:
    """Note that a node has changed, and with it all that it lies in."""
    while index != NOWHERE and not spine.nodes[index].touched:
        spine.nodes[index].touched = True
        index = spine.nodes[index].parent


cdef inline void drop(Spine* spine, uint32_t index) noexcept nogil:
    """Take a node out, with all that lies in it."""
    cdef uint32_t inner
    touch(spine, index)
    spine.lossy = True
    for inner in range(index, spine.nodes[index].after):
        if spine.nodes[inner].part == ITEM and not spine.nodes[inner].dropped:
            spine.dropped += 1
        spine.nodes[inner].dropped = True


cdef inline void prune(Spine* spine) noexcept nogil:
    """Take out resources, scopes and metrics that have lost something and hold no item any more."""
    cdef uint32_t index = spine.count
    cdef Node* node
    while spine.lossy and index > 0:
        index -= 1
        node = &spine.nodes[index]
        if node.part <= METRIC and node.touched and not node.dropped:
            node.dropped = is_spent(spine, index)


cdef inline bint is_spent(Spine* spine, uint32_t index) noexcept nogil:
    cdef uint32_t inner
    cdef bint lost = False
    for inner in range(index + 1, spine.nodes[index].after):
        if spine.nodes[inner].dropped:
            lost = True
        elif spine.nodes[inner].part == ITEM:
            return False
    return lost
