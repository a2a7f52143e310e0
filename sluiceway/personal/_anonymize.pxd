"""The scrubber that finds what is personal and does with it what the rules say."""

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t

from sluiceway.otlp._anyvalue cimport AnyValue
from sluiceway.otlp._arena cimport Arena
from sluiceway.otlp._attributes cimport Attributes, Text
from sluiceway.otlp._memo cimport Memo
from sluiceway.otlp._proto cimport Buffer, bytes_at
from sluiceway.otlp._scrub cimport Scene, Scrubber
from sluiceway.otlp._tenants cimport MemoPool
from sluiceway.personal._detect cimport Detectors, Finding, Order, Sight
from sluiceway.personal._hmac cimport Hmac
from sluiceway.personal._treat cimport Treatment

cdef enum:
    KINDS_AND_MORE = 32
    BY_KEY = 14  # the kind of what is treated for its key alone
    KEY_SETS = 1024  # of the table of decisions
    KEY_WAYS = 4  # how many are kept in each; a new one then takes the place of an old one
    LONGEST_KEY = 512  # bytes; what is decided about longer ones is not kept
    LONGEST_WAY = 256  # bytes; of the keys around another no more is looked at


cdef struct Decision:
    # What becomes of the values of one key.
    uint8_t path[512]  # the keys of the maps around it and its own, with dots between them; or how that begins
    size_t size  # of the path
    size_t own  # how much of the path is its own
    int whole  # the treatment of the whole value; -1: what is found in it is treated
    uint32_t wanted  # a bit for each detector
    uint32_t earlier  # those whose rules stand before that of the whole
    Order order  # the treatments of what each detector finds
    int number  # the same for decisions that differ in the key alone
    bint renames  # something is found in the key
    Decision* next  # the one that came after it the last time


cdef struct State:
    # What a run of the plan needs to itself. There are as many as there were runs at one time.
    State* next
    Scene* scene
    Sight sight
    Buffer out
    Buffer path
    Decision* decisions[4096]  # set by set
    size_t turn
    Decision passing[65]  # those that are not kept, by depth
    Decision* levels[65]  # by the depth of the map that is being walked
    bytes_at shown[65]  # the keys that `levels` are about
    int wholes[65]
    Decision* last  # of an attribute
    uint64_t treated  # what was done to the value at hand: kind and action, a byte each, the last four of them
    bint fresh  # it would be done differently the next time
    PyObject* lent  # the memos of all tenants
    Memo* memo  # of the tenant at hand
    uint64_t counts[32][8]


@cython.final
cdef class Anonymizer(Scrubber):
    cdef readonly Detectors detectors
    cdef object rules
    cdef size_t rule_count
    cdef object cipher
    cdef list kept
    cdef Text names[32]
    cdef Treatment* treatments
    cdef Arena arena
    cdef Hmac hmac
    cdef State* idle
    cdef size_t idle_count
    cdef Decision keyless
    cdef dict numbers
    cdef MemoPool pool
    cdef size_t least_remembered  # bytes; shorter texts are looked through again
    cdef uint64_t counts[32][8]

    cdef int _fill(self, Decision* decision, str path, str own) except -1
    cdef int _make(self, State* state, Decision* decision, Text path, size_t own) except -1 with gil
    cdef Decision* _place_for(self, State* state, Text path, size_t first, int depth) except NULL nogil
    cdef Decision* _decide(self, State* state, Scene* scene, Text key, int depth) except NULL nogil
    cdef Decision* _attribute(self, State* state, Scene* scene, Text key) except NULL nogil
    cdef bint _stays(self, State* state, Scene* scene) noexcept nogil
    cdef int _encrypt(self, State* state, bytes_at text, size_t size) except -1 with gil
    cdef int _treat(self, State* state, int treatment, int kind, bytes_at text, size_t size) except -1 nogil
    cdef inline int _detect(self, State* state, Decision* decision, uint32_t wanted, bytes_at text, size_t size) except -1 nogil
    cdef int _compose(self, State* state, Decision* decision, bytes_at text, size_t size) except -1 nogil
    cdef int _scrub(self, State* state, Decision* decision, uint32_t wanted, bytes_at text, size_t size) except -1 nogil
    cdef int _recall(self, State* state, Decision* decision, bytes_at text, size_t size) except -1 nogil
    cdef int _remember(self, State* state, uint64_t hash, int verdict, bytes_at text, size_t size) except -1 nogil
    cdef int _whole(self, State* state, Decision* decision, int whole, AnyValue* value) except -1 nogil
    cdef inline int _parts(self, State* state, Decision* decision, uint32_t wanted, AnyValue* value) except -1 nogil
    cdef int _number(self, State* state, Decision* decision, uint32_t wanted, AnyValue* value) except -1 nogil
    cdef size_t _spell(self, AnyValue* value, uint8_t* out) except? 0 with gil
    cdef void _count(self, State* state) noexcept nogil
