"""Scrubbing: every place of a batch that can hold text is shown to a `Scrubber`, which keeps, replaces or drops it.

The walk is the edit's own, and a scrubber is asked in its place among the other actions. What it is shown is what those
before it have left. It is asked without the GIL and takes it where it needs Python.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from sluiceway.otlp._anyvalue cimport AnyValue
from sluiceway.otlp._arena cimport Arena
from sluiceway.otlp._attributes cimport Attributes, Text
from sluiceway.otlp._proto cimport bytes_at
from sluiceway.otlp._splice cimport Splices

cdef enum Place:
    # Where something stands; their bits are what `Scrubber.places` holds. The names are those of `where` in `places`.
    IN_RESOURCE = 0  # attributes and entity references
    IN_SCOPE = 1  # name, version, attributes
    IN_NAME = 2  # of a span
    IN_ATTRIBUTES = 3  # of spans, log records and data points
    IN_KEYS = 4  # of all attributes, nested ones as well
    IN_BODY = 5
    IN_EVENTS = 6  # names and attributes
    IN_LINKS = 7
    IN_STATUS = 8
    IN_TRACE_STATE = 9  # of spans and links
    IN_EXEMPLARS = 10
    IN_METRIC = 11  # name, description, unit
    IN_METADATA = 12  # of a metric
    IN_SEVERITY = 13
    IN_EVENT_NAME = 14  # of a log record
    IN_SCHEMA_URL = 15
    PLACES = 16

cdef enum Verdict:
    KEEP = 0
    REPLACE = 1
    DROP = 2
    LOOK = 3  # of a key: ask about the value, or about each in it
    WHOLE = 4  # of a key: ask about the value as a whole, of whatever kind it is

cdef enum:
    DEEPEST = 64  # how many maps and arrays a value may be nested in; what lies deeper is dropped


cdef struct Way:
    Text key  # of an entry of a map; NULL for an element of an array
    size_t index  # of the element


cdef struct Scene:
    # What a scrubber may know beyond what it is asked about. It lasts for one run of the plan, as does the arena.
    Arena* arena  # for answers
    void* state  # the scrubber's own
    int signal
    size_t work  # how much longer the run may take: see `spend`
    bint finished  # in `end`: the run came to its end, and will not be made again
    uint64_t kind  # of the span at hand, when its name is shown
    Attributes* attributes  # the list at hand: of the item whose body or name is shown, too
    Way way[DEEPEST]  # from the value of an attribute, or from the body, to what is shown
    int depth  # how much of `way` there is; 0: it is the value itself


cdef class Scrubber:
    """Answers for what the walk shows. Derive from it in compiled code; what is not overridden keeps everything.

    Threads may share one: what it changes belongs into `Scene.state`, which `begin` makes. An answer is a `Text` that
    stays where it is for the run: in the arena, in the source, or kept by the scrubber.
    """

    cdef readonly uint32_t places  # a bit for each `Place` that it wants to be shown

    # A run begins and ends; with the GIL. `end` is called whenever `begin` was.
    cdef int begin(self, Scene* scene) except -1
    cdef int end(self, Scene* scene) except -1

    # A resource entry begins, with its attributes as they are before this scrubber has seen them.
    cdef int resource(self, Scene* scene, Attributes* attributes) except -1 nogil

    # The list of attributes of a message, before anything of the message is shown and after all is, but for the messages
    # in it that have lists of their own: they come before. The list may be added to in `leave`.
    cdef int enter(self, Scene* scene, int place, Attributes* attributes) except -1 nogil
    cdef int leave(self, Scene* scene, int place, Attributes* attributes) except -1 nogil

    # What becomes of an attribute or of an entry of a map, by its key: LOOK, WHOLE, KEEP or DROP.
    cdef int key(self, Scene* scene, int place, Text key) except -1 nogil

    # What becomes of a whole value, given as the content of its `AnyValue`: KEEP, REPLACE by another, or DROP.
    cdef int whole(self, Scene* scene, int place, Text key, Text content, Text* answer) except -1 nogil

    # What the key becomes, where IN_KEYS is wanted and the attribute stays: KEEP, or REPLACE. Two keys that become the
    # same both stay.
    cdef int rename(self, Scene* scene, int place, Text key, Text* answer) except -1 nogil

    # What becomes of a string, number, boolean or bytes: KEEP, REPLACE by the `AnyValue` that is answered, or DROP: the
    # attribute, the entry of a map or the element of an array then goes, a body is left empty. `key` is that of the
    # attribute or of the innermost map; empty in a body outside of maps.
    cdef int value(self, Scene* scene, int place, Text key, AnyValue* value, Text* answer) except -1 nogil

    # What becomes of a text that is no attribute: KEEP, REPLACE by the text that is answered, or DROP (it is left empty).
    cdef int text(self, Scene* scene, int place, Text text, Text* answer) except -1 nogil


cdef int spend(Scene* scene, size_t work) except -1 nogil
cdef int too_long() except -1 with gil


cdef inline int use_up(int64_t* patience, int64_t nanoseconds) except -1 nogil:
    """Take a rough estimate of a time from what a run may take; raise `LongWork` where nothing is left of that."""
    patience[0] -= nanoseconds
    if patience[0] < 0:
        too_long()
    return 0


# ---- for the edit kernel

cdef struct Scrubbing:
    # One scrubber in one run.
    void* scrubber  # borrowed
    uint32_t places
    Scene scene
    Attributes inner  # of the event, link or exemplar at hand
    Splices values  # of the value at hand
    Splices messages  # of the event, link, status, exemplar or entity reference at hand


cdef struct Part:
    # A field that a scrubber is shown and that is none of the message's attributes.
    int message
    uint32_t tag
    uint32_t piece
    size_t owner  # the part that this one was merged into, or its own place
    bint changed
    Text field  # all of it, in the source
    Text content


cdef struct Parts:
    # Zero it to begin; give it back with `parts_free`.
    Part* list
    size_t count
    size_t capacity
    size_t emitted
    size_t body  # the first piece of the body, where there is one
    size_t bodies
    bint dirty


cdef enum:
    HIGHEST_FIELD = 16


cdef inline bint holds(const uint32_t* within, uint32_t tag, uint32_t places) noexcept nogil:
    """Whether anything in a field stands in one of the places; `within` are the `bits_within` its message."""
    return tag >> 3 <= HIGHEST_FIELD and within[tag >> 3] & places != 0


cdef int root_message(int signal) noexcept nogil
cdef int child_message(int message, uint32_t tag) noexcept nogil
cdef const uint32_t* bits_within(int message) noexcept nogil
cdef int place_of(int message, uint32_t tag) noexcept nogil
cdef int gather_part(
    Parts* parts, int message, bytes_at field, uint32_t tag, Text content, uint32_t piece
) except -1 nogil
cdef int scrub_message(Scrubbing* scrubbing, int place, Attributes* attributes, Parts* parts) except -1 nogil
cdef int scrub_text(Scrubbing* scrubbing, int place, Text* text) except -1 nogil
cdef int emit_parts(Parts* parts, Splices* splices, Arena* arena, uint32_t piece) except -1 nogil
cdef void parts_begin(Parts* parts) noexcept nogil
cdef void parts_free(Parts* parts) noexcept nogil
