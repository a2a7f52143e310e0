# cython: boundscheck=False, wraparound=False, cdivision=True
"""The scrubber that finds what is personal and does with it what the rules say.

What becomes of the values of a key is asked of the rules once and kept; values are looked through without the GIL. Only
encryption and one's own patterns take it.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.math cimport floor
from libc.stdint cimport SIZE_MAX, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

from sluiceway.otlp._anyvalue cimport BOOL, BYTES, BYTES_TAG, DOUBLE, EMPTY, INT, STRING, STRING_TAG, AnyValue, read_any
from sluiceway.otlp._arena cimport Arena, arena_free, arena_take, out_of_memory
from sluiceway.otlp._attributes cimport Attributes, Text, content, find
from sluiceway.otlp._memo cimport MEMO_LARGEST, Answer, Memo, Remembered, hash_bytes, memo_find, memo_keep
from sluiceway.otlp._proto cimport Buffer, buffer_free, bytes_at, varint_size, write_varint
from sluiceway.otlp._scrub cimport DROP, IN_BODY, IN_KEYS, KEEP, LOOK, REPLACE, Scene, spend
from sluiceway.otlp._tenants cimport MemoPool, TenantMemos
from sluiceway.personal._card cimport may_be_card
from sluiceway.personal._copies cimport KEPT_CAPACITY
from sluiceway.personal._detect cimport FIRST_PATTERN, HIDDEN, LAYERS, Finding, sight_free
from sluiceway.personal._hmac cimport hmac_prepare
from sluiceway.personal._scan cimport CREDIT_CARD
from sluiceway.personal._treat cimport (
    ACTIONS, ENCRYPT, HASH, LEAVE, MASK, PSEUDONYMIZE, REMOVE, TRUNCATE, Treatment, put, put_hash, put_mask, put_network, put_token,
    reserve,
)

cdef size_t NOTHING = SIZE_MAX
cdef const char* ELLIPSIS = b"\xe2\x80\xa6"


cdef size_t _put_number(uint8_t* out, uint64_t number) noexcept nogil:
    """The decimal digits of a number; `out` has room for twenty."""
    cdef uint8_t digits[20]
    cdef size_t size = 0
    cdef size_t i
    while number or size == 0:
        digits[size] = <uint8_t>(c'0' + number % 10)
        number //= 10
        size += 1
    for i in range(size):
        out[i] = digits[size - 1 - i]
    return size


cdef int _answer(Arena* arena, uint8_t tag, Buffer* out, Text* answer) except -1 nogil:
    """What stands in `out`, kept for the run: as a value with this tag, or as it is where the tag is 0."""
    cdef uint8_t* place = arena_take(arena, out.size + 11)
    cdef uint8_t* end = place
    if tag:
        place[0] = tag
        end = write_varint(place + 1, out.size)
    if out.size:
        memcpy(end, out.data, out.size)
    answer[0] = Text(place, end + out.size - place)
    return 0


cdef inline int _level(Scene* scene, int depth) noexcept nogil:
    """The depth at which the innermost key around something at `depth` was shown; 0 for the attribute or the body itself."""
    while depth and scene.way[depth - 1].key.data == NULL:
        depth -= 1
    return depth


cdef inline uint32_t _earlier(Decision* decision, int whole) noexcept nogil:
    """The detectors whose rules stand before that of the whole value, which may be one about a key around it."""
    cdef uint32_t earlier = 0
    cdef int kind
    if whole == decision.whole:
        return decision.earlier
    for kind in range(KINDS_AND_MORE):
        earlier |= <uint32_t>(decision.order.by_kind[kind] < whole) << kind
    return earlier & decision.wanted


cdef enum:
    DECIDING = 64  # what deciding about a key costs, told in bytes that are looked at for long
    REMEMBERED = 9  # bytes in front of an answer: the verdict and what was done
    LONG_TEXT = 4096  # bytes; a text that is longer counts as work that takes long
    ENCRYPTION = 64  # what encrypting a value costs, told in bytes that are looked at for long
    IDLE = 2  # how many states are kept for runs to come


cdef int _state_free(State* state) except -1:
    cdef size_t place
    if state.lent != NULL:
        Py_DECREF(<object>state.lent)
    for place in range(KEY_SETS * KEY_WAYS):
        free(state.decisions[place])
    sight_free(&state.sight)
    buffer_free(&state.out)
    buffer_free(&state.path)
    free(state)
    return 0


cdef void _trim(State* state) noexcept nogil:
    """Give back what long texts took, which is many times their size."""
    cdef size_t size = state.out.capacity + state.path.capacity
    cdef int layer
    size += (state.sight.capacity + state.sight.merged_capacity) * sizeof(Finding)
    for layer in range(LAYERS):
        size += state.sight.copies[layer].capacity * (1 + sizeof(uint32_t))
    if size > KEPT_CAPACITY:
        sight_free(&state.sight)
        buffer_free(&state.out)
        buffer_free(&state.path)


cdef class Anonymizer(Scrubber):
    """Treats what `detectors` find, and what `rules` say of keys, in the places whose bits are set.

    `rules.decide(path, own)` answers with a `rules.Verdict`, `rules.treatments` are plain tuples, `rules.names` are the
    names of the kinds by their numbers. `hmac_key` has 64 bytes, or is empty where no rule needs it; `cipher` encrypts
    bytes to bytes. `tenant_key` is the resource attribute that names the tenant. Texts of fewer bytes than
    `least_remembered` are looked through each time, for that costs less than to remember them.
    """

    def __cinit__(self, Detectors detectors, rules, places, bytes hmac_key, cipher, str tenant_key, size_t least_remembered=64):
        cdef int kind
        self.detectors = detectors
        self.rules = rules
        self.rule_count = len(rules.rules)
        self.places = places
        self.cipher = cipher
        self.least_remembered = least_remembered
        self.numbers = {}
        self.kept = []
        self.pool = MemoPool(1, tenant_key)
        if hmac_key:
            hmac_prepare(&self.hmac, <const uint8_t*>PyBytes_AS_STRING(hmac_key))
        for kind, name in rules.names.items():
            self.kept.append(name)
            self.names[kind] = Text(<bytes_at>PyBytes_AS_STRING(name), len(<bytes>name))
        treatments = rules.treatments
        self.treatments = <Treatment*>arena_take(&self.arena, len(treatments) * sizeof(Treatment))
        for number, treatment in enumerate(treatments):
            action, first, last, four, six = treatment
            self.treatments[<Py_ssize_t>number] = Treatment(action, first, last, four, six)
        self._fill(&self.keyless, "", "")

    def __dealloc__(self):
        cdef State* state
        while self.idle != NULL:
            state = self.idle
            self.idle = state.next
            _state_free(state)
        arena_free(&self.arena)

    def count(self, int kind, int action):
        """How often an action was taken for a kind since the beginning, in runs that have ended."""
        return self.counts[kind & 31][action & 7]

    # ---- a run

    cdef int begin(self, Scene* scene) except -1:
        cdef State* state = self.idle
        cdef TenantMemos lent
        if state == NULL:
            lent = self.pool.lend()
            state = <State*>calloc(1, sizeof(State))
            if state == NULL:
                out_of_memory()
            Py_INCREF(lent)
            state.lent = <PyObject*>lent
        else:
            self.idle = state.next
            self.idle_count -= 1
        scene.state = state
        state.scene = scene
        memset(state.shown, 0, sizeof(state.shown))
        state.memo = (<TenantMemos>state.lent).of(Text(NULL, 0))
        return 0

    cdef int end(self, Scene* scene) except -1:
        cdef State* state = <State*>scene.state
        cdef int kind
        cdef int action
        if state == NULL:
            return 0
        for kind in range(KINDS_AND_MORE):
            for action in range(ACTIONS):
                self.counts[kind][action] += state.counts[kind][action] if scene.finished else 0
        memset(state.counts, 0, sizeof(state.counts))
        if self.idle_count == IDLE:
            return _state_free(state)
        _trim(state)
        state.next = self.idle
        self.idle = state
        self.idle_count += 1
        return 0

    cdef int resource(self, Scene* scene, Attributes* attributes) except -1 nogil:
        cdef State* state = <State*>scene.state
        state.memo = (<TenantMemos>state.lent).of(self.pool.tenant(attributes))
        return 0

    # ---- keys

    cdef int _fill(self, Decision* decision, str path, str own) except -1:
        """Ask the rules about a key."""
        verdict = self.rules.decide(path, own)
        cdef int kind
        cdef int treatment
        decision.whole = verdict.whole
        decision.wanted = verdict.wanted
        decision.earlier = verdict.earlier
        decision.order.kept = decision.order.dropped = 0
        for kind, treatment in enumerate(verdict.by_kind):
            decision.order.by_kind[kind] = treatment
            decision.order.kept |= <uint32_t>(self.treatments[treatment].action == LEAVE) << kind
            decision.order.dropped |= <uint32_t>(self.treatments[treatment].action == REMOVE) << kind
        decision.number = self.numbers.setdefault(verdict, len(self.numbers))
        return 0

    cdef int _make(self, State* state, Decision* decision, Text path, size_t own) except -1 with gil:
        cdef bytes text = PyBytes_FromStringAndSize(<const char*>path.data, path.size)
        cdef size_t way = path.size - own
        decision.own = NOTHING
        self._fill(decision, text.decode("utf-8", "replace"), text[way:].decode("utf-8", "replace"))
        decision.renames = False
        if self.places >> IN_KEYS & 1:
            decision.renames = self._scrub(state, &self.keyless, self.keyless.wanted, path.data + way, own) != KEEP
        memcpy(decision.path, path.data, min(path.size, <size_t>LONGEST_KEY))
        decision.size = path.size
        decision.own = own
        return 0

    cdef Decision* _place_for(self, State* state, Text path, size_t first, int depth) except NULL nogil:
        """Where a decision is kept: in place of an older one, but not of one about a key around its own."""
        cdef Decision** places = &state.decisions[first]
        cdef Decision* older
        cdef int level
        if path.size > LONGEST_KEY:
            return &state.passing[depth]
        for level in range(KEY_WAYS):
            if places[level] == NULL:
                places[level] = <Decision*>calloc(1, sizeof(Decision))
                if places[level] == NULL:
                    out_of_memory()
                return places[level]
        state.turn += 1
        older = places[state.turn % KEY_WAYS]
        for level in range(depth):
            if state.levels[level] == older:
                return &state.passing[depth]
        return older

    cdef Decision* _decide(self, State* state, Scene* scene, Text key, int depth) except NULL nogil:
        """What becomes of the values of a key that stands in so many maps and arrays."""
        cdef Decision* around = state.levels[_level(scene, depth - 1)] if depth else &self.keyless
        cdef Decision* decision
        cdef Text path = key
        cdef size_t first
        cdef int way
        if around != &self.keyless:
            state.path.size = 0
            put(&state.path, around.path, min(around.size, <size_t>LONGEST_WAY))
            if around.size > LONGEST_WAY:
                put(&state.path, ELLIPSIS, 3)
            put(&state.path, <const char*>b".", 1)
            put(&state.path, key.data, key.size)
            path = Text(state.path.data, state.path.size)
        first = hash_bytes(path.data, path.size) % KEY_SETS * KEY_WAYS
        for way in range(KEY_WAYS):
            decision = state.decisions[first + way]
            if decision == NULL:
                break
            if decision.size == path.size and decision.own == key.size and memcmp(decision.path, path.data, path.size) == 0:
                return decision
        spend(scene, DECIDING + self.rule_count + path.size)
        decision = self._place_for(state, path, first, depth)
        self._make(state, decision, path, key.size)
        return decision

    cdef Decision* _attribute(self, State* state, Scene* scene, Text key) except NULL nogil:
        """What becomes of the values of an attribute. Mostly they come in the same order as the last time."""
        cdef Decision* decision = state.last.next if state.last != NULL else NULL
        if (
            decision == NULL or decision.size != key.size or decision.own != key.size
            or memcmp(decision.path, key.data, key.size) != 0
        ):
            decision = self._decide(state, scene, key, 0)
            if decision == &state.passing[0]:
                return decision
            if state.last != NULL:
                state.last.next = decision
        state.last = decision
        return decision

    cdef int key(self, Scene* scene, int place, Text key) except -1 nogil:
        cdef State* state = <State*>scene.state
        cdef Decision* decision
        cdef int whole
        cdef int around = -1
        if place == IN_BODY and scene.depth and _level(scene, scene.depth - 1) == 0:
            state.levels[0] = &self.keyless
            state.wholes[0] = -1
        decision = self._decide(state, scene, key, scene.depth) if scene.depth else self._attribute(state, scene, key)
        whole = decision.whole
        if scene.depth:
            around = state.wholes[_level(scene, scene.depth - 1)]
        if around >= 0 and (whole < 0 or around < whole):
            whole = around
        state.levels[scene.depth] = decision
        state.shown[scene.depth] = key.data
        state.wholes[scene.depth] = whole
        if whole == 0 and self.treatments[whole].action == LEAVE:
            return KEEP  # any other rule may say something else of what is in a map
        if whole >= 0 and self.treatments[whole].action == REMOVE and _earlier(decision, whole) == 0:
            state.counts[BY_KEY][REMOVE] += 1
            return DROP
        return LOOK

    cdef bint _stays(self, State* state, Scene* scene) noexcept nogil:
        """Whether the key at hand stands in a map that is kept with its keys."""
        cdef int around = state.wholes[_level(scene, scene.depth - 1)]
        return around >= 0 and self.treatments[around].action == LEAVE and _earlier(&self.keyless, around) == 0

    cdef int rename(self, Scene* scene, int place, Text key, Text* answer) except -1 nogil:
        cdef State* state = <State*>scene.state
        cdef Decision* decision = state.levels[scene.depth]
        if state.shown[scene.depth] != key.data:
            decision = self._decide(state, scene, key, 0)
        elif scene.depth and self._stays(state, scene):
            return KEEP
        if not decision.renames:
            return KEEP
        self._scrub(state, &self.keyless, self.keyless.wanted, key.data, key.size)
        self._count(state)
        if state.out.size == 0:
            put(&state.out, <const char*>b"****", 4)
        _answer(scene.arena, 0, &state.out, answer)
        return REPLACE

    # ---- texts

    cdef int _encrypt(self, State* state, bytes_at text, size_t size) except -1 with gil:
        cdef bytes token = self.cipher.encrypt(PyBytes_FromStringAndSize(<const char*>text, size))
        return put(&state.out, PyBytes_AS_STRING(token), len(token))

    cdef int _treat(self, State* state, int treatment, int kind, bytes_at text, size_t size) except -1 nogil:
        """Write to `state.out` what becomes of what was found."""
        cdef Treatment* chosen = &self.treatments[treatment]
        cdef Text name = self.names[kind]
        state.treated = state.treated << 16 | <uint64_t>(kind << 8 | chosen.action + 1)
        if kind == HIDDEN or chosen.action == MASK:
            put_mask(&state.out, chosen, kind, text, size if kind != HIDDEN else 0)
        elif chosen.action == HASH:
            put_hash(&state.out, &self.hmac, text, size)
        elif chosen.action == PSEUDONYMIZE:
            put_token(&state.out, &self.hmac, kind, name.data, name.size, text, size)
        elif chosen.action == TRUNCATE:
            put_network(&state.out, chosen, text, size)
        elif chosen.action == ENCRYPT:
            state.fresh = True
            spend(state.scene, ENCRYPTION)
            self._encrypt(state, text, size)
        return 0

    cdef void _count(self, State* state) noexcept nogil:
        cdef uint64_t treated = state.treated
        while treated:
            state.counts[treated >> 8 & 31][(treated & 255) - 1] += 1
            treated >>= 16

    cdef inline int _detect(self, State* state, Decision* decision, uint32_t wanted, bytes_at text, size_t size) except -1 nogil:
        """Find what is wanted; where findings overlap the decision says which of them counts."""
        state.sight.order = &decision.order
        return self.detectors.detect(&state.sight, text, size, wanted)

    cdef int _compose(self, State* state, Decision* decision, bytes_at text, size_t size) except -1 nogil:
        """Write the text with all that was found in it treated: KEEP, REPLACE, or DROP where a rule says so."""
        cdef Finding* finding
        cdef size_t index
        cdef size_t done = 0
        cdef int treatment
        cdef int verdict = KEEP
        for index in range(state.sight.count):
            finding = state.sight.list + index
            treatment = decision.order.by_kind[finding.kind]
            if self.treatments[treatment].action == LEAVE:
                continue
            if self.treatments[treatment].action == REMOVE:
                state.treated = <uint64_t>(finding.kind << 8 | REMOVE + 1)
                state.out.size = 0
                return DROP
            if index >= 4:
                state.fresh = True
                self._count(state)
                state.treated = 0
            put(&state.out, text + done, finding.first - done)
            self._treat(state, treatment, finding.kind, finding.plain, finding.plain_size)
            done = finding.last
            verdict = REPLACE
        if verdict == REPLACE:
            put(&state.out, text + done, size - done)
        return verdict

    cdef int _scrub(self, State* state, Decision* decision, uint32_t wanted, bytes_at text, size_t size) except -1 nogil:
        """Look through a text. What becomes of it stands in `state.out`, what was done in `state.treated`."""
        state.out.size = 0
        state.treated = 0
        state.fresh = False
        if size > LONG_TEXT:
            spend(state.scene, size if self.detectors.wanted >> FIRST_PATTERN else size // 8)
        if self._detect(state, decision, wanted, text, size) == 0:
            return KEEP
        return self._compose(state, decision, text, size)

    cdef int _recall(self, State* state, Decision* decision, bytes_at text, size_t size) except -1 nogil:
        """As `_scrub`, for texts that may come again."""
        cdef uint64_t hash
        cdef Remembered* known
        cdef int verdict
        if size < self.least_remembered or size > MEMO_LARGEST:
            return self._scrub(state, decision, decision.wanted, text, size)
        hash = hash_bytes(text, size) + <uint64_t>decision.number * 0x9E3779B97F4A7C15ULL
        known = memo_find(state.memo, hash, text, size)
        if known != NULL:
            state.out.size = 0
            put(&state.out, known.data + size + REMEMBERED, known.answer_size - REMEMBERED)
            memcpy(&state.treated, known.data + size + 1, 8)
            return known.data[size]
        verdict = self._scrub(state, decision, decision.wanted, text, size)
        if not state.fresh:
            self._remember(state, hash, verdict, text, size)
        return verdict

    cdef int _remember(self, State* state, uint64_t hash, int verdict, bytes_at text, size_t size) except -1 nogil:
        """Keep a verdict, what was done and what became of the text."""
        cdef Answer answer
        cdef uint8_t* place = reserve(&state.path, state.out.size + REMEMBERED)
        place[0] = <uint8_t>verdict
        memcpy(place + 1, &state.treated, 8)
        if state.out.size:
            memcpy(place + REMEMBERED, state.out.data, state.out.size)
        answer.data = place
        answer.size = REMEMBERED + state.out.size
        return memo_keep(state.memo, hash, text, size, &answer)

    cdef int text(self, Scene* scene, int place, Text text, Text* answer) except -1 nogil:
        cdef State* state = <State*>scene.state
        cdef int verdict = self._recall(state, &self.keyless, text.data, text.size)
        if verdict == KEEP:
            return KEEP
        self._count(state)
        if verdict == REPLACE:
            _answer(scene.arena, 0, &state.out, answer)
        return verdict

    # ---- values

    cdef int _number(self, State* state, Decision* decision, uint32_t wanted, AnyValue* value) except -1 nogil:
        """A number that is a card's."""
        cdef uint8_t digits[20]
        cdef double number
        cdef uint64_t whole = value.number
        if value.kind == DOUBLE:
            memcpy(&number, &value.number, 8)
            if not 1e11 <= number < 1e19 or floor(number) != number:
                return KEEP
            whole = <uint64_t>number
        if not 100000000000ULL <= whole < 10000000000000000000ULL or not may_be_card(whole):
            return KEEP
        return self._scrub(state, decision, wanted & 1 << CREDIT_CARD, digits, _put_number(digits, whole))

    cdef int _whole(self, State* state, Decision* decision, int whole, AnyValue* value) except -1 nogil:
        """Treat all of a value for its key; for a rule that stands before, where it is all of what was found."""
        cdef Treatment* treatment = &self.treatments[whole]
        cdef uint32_t earlier = _earlier(decision, whole)
        cdef Finding* only
        cdef uint8_t* plain
        cdef Text text = Text(value.data, value.size)
        state.out.size = 0
        state.treated = 0
        if value.kind != STRING and value.kind != BYTES:
            plain = reserve(&state.path, 64)
            text = Text(plain, self._spell(value, plain))
        if value.kind == STRING and (earlier or treatment.action == PSEUDONYMIZE):
            if self._detect(state, decision, self.detectors.wanted, text.data, text.size) == 1:
                only = state.sight.list
                if only.first == 0 and only.last == text.size and only.kind != HIDDEN:
                    if earlier >> only.kind & 1:
                        return self._compose(state, decision, text.data, text.size)
                    if treatment.action == PSEUDONYMIZE:
                        self._treat(state, whole, only.kind, only.plain, only.plain_size)
                        return REPLACE
        if treatment.action == REMOVE:
            state.treated = BY_KEY << 8 | REMOVE + 1
            return DROP
        self._treat(state, whole, BY_KEY, text.data, text.size)
        return REPLACE

    cdef inline int _parts(self, State* state, Decision* decision, uint32_t wanted, AnyValue* value) except -1 nogil:
        """Treat what is found of the detectors that are wanted."""
        if value.kind == STRING:
            if wanted == decision.wanted:
                return self._recall(state, decision, value.data, value.size)
            return self._scrub(state, decision, wanted, value.data, value.size) if wanted else KEEP
        if value.kind == INT or value.kind == DOUBLE:
            return self._number(state, decision, wanted, value)
        return self._scrub(state, decision, wanted, value.data, value.size) if value.kind == BYTES and wanted else KEEP

    cdef int value(self, Scene* scene, int place, Text key, AnyValue* value, Text* answer) except -1 nogil:
        cdef State* state = <State*>scene.state
        cdef int level = _level(scene, scene.depth)
        cdef Decision* decision = &self.keyless
        cdef int whole = -1
        cdef int verdict
        if level or place != IN_BODY:
            decision = state.levels[level]
            whole = state.wholes[level]
        if whole < 0:
            verdict = self._parts(state, decision, decision.wanted, value)
        elif self.treatments[whole].action == LEAVE:
            verdict = self._parts(state, decision, _earlier(decision, whole), value)
            whole = -1
        else:
            verdict = self._whole(state, decision, whole, value) if value.kind != EMPTY else KEEP
            if self.treatments[whole].action == MASK:
                whole = -1  # what a mask shows of bytes need not be text
        if verdict == KEEP:
            return KEEP
        self._count(state)
        if verdict == REPLACE:
            _answer(scene.arena, BYTES_TAG if value.kind == BYTES and whole < 0 else STRING_TAG, &state.out, answer)
        return verdict

    cdef size_t _spell(self, AnyValue* value, uint8_t* out) except? 0 with gil:
        """The text of a number or a boolean."""
        cdef double number
        cdef bytes text
        if value.kind == DOUBLE:
            memcpy(&number, &value.number, 8)
            text = repr(number).encode()
        elif value.kind == INT:
            text = str(<int64_t>value.number).encode()
        else:
            text = b"true" if value.number else b"false"
        memcpy(out, PyBytes_AS_STRING(text), len(text))
        return len(text)


def token(bytes hmac_key not None, int kind, bytes name not None, bytes text not None):
    """The pseudonym of what a detector found, folded and decoded. The key has 64 bytes."""
    cdef Hmac hmac
    cdef Buffer out
    cdef bytes_at data = <bytes_at>PyBytes_AS_STRING(text)
    if len(hmac_key) != 64:
        raise ValueError("the key must have 64 bytes")
    hmac_prepare(&hmac, <const uint8_t*>PyBytes_AS_STRING(hmac_key))
    memset(&out, 0, sizeof(Buffer))
    try:
        put_token(&out, &hmac, kind, <bytes_at>PyBytes_AS_STRING(name), len(name), data, len(text))
        return PyBytes_FromStringAndSize(<const char*>out.data, out.size).decode()
    finally:
        buffer_free(&out)
