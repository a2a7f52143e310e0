# cython: boundscheck=False, wraparound=False, cdivision=True
"""The scrubber of `redaction`: asks the rules about each key and text once, remembers, counts, and sums up.

What the rules said is remembered by tenant. Where nothing new is to be asked, the GIL is not taken.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, strlen

from sluiceway.otlp._anyvalue cimport (
    BOOL, BYTES, BYTES_TAG, DOUBLE, DOUBLE_TAG, INT, STRING, STRING_TAG, AnyValue,
)
from sluiceway.otlp._arena cimport Arena, arena_take, arena_zeroed
from sluiceway.otlp._attributes cimport Attributes, Text, content, find, mark_of, put_text, same
from sluiceway.otlp._memo cimport MEMO_LARGEST, Answer, Memo, Remembered, hash_bytes, memo_find, memo_keep
from sluiceway.otlp._proto cimport bytes_at, write_varint
from sluiceway.otlp._scrub cimport (
    DEEPEST, DROP, IN_ATTRIBUTES, IN_BODY, IN_EVENTS, IN_EXEMPLARS, IN_KEYS, IN_LINKS, IN_METADATA, IN_NAME, IN_RESOURCE, IN_SCOPE,
    KEEP, LOOK, PLACES, REPLACE, WHOLE, Scene, Scrubber, spend,
)
from sluiceway.otlp._tenants cimport MemoPool, TenantMemos

from sluiceway.processors.redaction._needs cimport Needs, load_needs, may_match
from sluiceway.processors.redaction._summary cimport (
    ALLOWED, IGNORED, MASKED, NAMES_SIZE, REDACTED, Names, Summary, add_name, path_size, path_to, summary_begin,
    write_summary,
)

cdef enum:  # what the rules say of a key; behind it stands the key's new name, if it gets one
    KEY_IGNORED = 1
    KEY_REDACTED = 2
    KEY_MASKED = 4
    KEY_SANITIZED = 8  # by its name, the value is a URL or a query

cdef enum:  # what the rules say of a text; behind it stands the new text
    SAYS_ALLOWED = 97  # "a"
    SAYS_MASKED = 109  # "m"

cdef enum:  # what is asked, each remembered apart
    ABOUT_KEY = 0
    ABOUT_TEXT = 1
    ABOUT_NAME = 2
    ABOUT_CASE = 3
    QUESTIONS = 4

cdef enum:  # which case is asked about: what else than a text's own words decides
    CASE_MASKED = 87  # "W": the value of a key that is masked
    CASE_OTHER = 79  # "O": a value that is no string, as an AnyValue
    CASE_ATTRIBUTE = 65  # "A": the text of a sanitized key
    CASE_BODY = 66  # "B"
    CASE_NAME = 78  # "N": the name of a span


cdef enum:
    SANITIZING = 4  # how much longer it takes to read a byte in Python than in RE2
    FAMILIAR = 256  # keys that a run has at hand
    NEAR = 4  # how many places a key may have


cdef struct Familiar:
    # A key that was met in this run, and what the rules said.
    uint64_t mark
    Text key
    Text said


cdef struct State:
    PyObject* lent
    Memo* memos
    Familiar familiar[FAMILIAR]
    Text said  # of the key that was met last
    Summary attributes
    Summary body
    uint8_t keys[DEEPEST + 1]  # what was said of the key at each depth
    Text top  # the attribute's key
    Text system  # what kind of database the item at hand is about
    int http  # whether it is about HTTP; -1: not known yet


cdef uint32_t LISTS = (
    1 << IN_RESOURCE | 1 << IN_SCOPE | 1 << IN_ATTRIBUTES | 1 << IN_BODY | 1 << IN_EVENTS | 1 << IN_LINKS
    | 1 << IN_EXEMPLARS | 1 << IN_METADATA
)


cdef inline State* state_of(Scene* scene) noexcept nogil:
    return <State*>scene.state


cdef class Redactor(Scrubber):
    """Redacts by `rules`, which are asked as `Rules` says; `level` is 0: no summary, 1: counts, 2: names as well."""

    cdef object rules
    cdef MemoPool pool
    cdef int level
    cdef size_t price  # of a question, beside the bytes that it is about
    cdef bint all_types
    cdef bint looks_at_keys
    cdef bint sanitizes_bodies
    cdef bint sanitizes_names
    cdef bint knows_systems
    cdef Needs needs
    cdef Text nothing  # what becomes of a value that is no string, where only strings count
    cdef uint8_t nothing_says
    cdef list kept

    def __init__(self, rules, int level):
        self.rules = rules
        self.level = level
        self.price = rules.price
        self.pool = MemoPool(QUESTIONS)
        self.places = (1 << PLACES) - 1 if rules.looks_at_texts else LISTS
        if not rules.renames_keys:
            self.places &= ~(1 << IN_KEYS)
        self.all_types = rules.all_types
        self.looks_at_keys = rules.looks_at_keys
        self.sanitizes_bodies = rules.sanitizes_bodies
        self.sanitizes_names = rules.sanitizes_names
        self.knows_systems = rules.knows_systems
        load_needs(&self.needs, rules.needs(counting=level > 0))
        answer = rules.text(b"") or b"\0"
        self.kept = [answer]
        self.nothing_says = answer[0]
        self.nothing = Text(<bytes_at>PyBytes_AS_STRING(answer) + 1, len(answer) - 1)

    cdef int begin(self, Scene* scene) except -1:
        cdef State* state = <State*>arena_zeroed(scene.arena, sizeof(State))
        cdef TenantMemos lent = self.pool.lend()
        Py_INCREF(lent)
        state.lent = <PyObject*>lent
        state.memos = lent.of(Text(NULL, 0))
        scene.state = state
        return 0

    cdef int end(self, Scene* scene) except -1:
        cdef TenantMemos lent
        if scene.state != NULL:
            lent = <TenantMemos>state_of(scene).lent
            self.pool.take_back(lent)
            Py_DECREF(lent)
        return 0

    cdef int resource(self, Scene* scene, Attributes* attributes) except -1 nogil:
        cdef State* state = state_of(scene)
        state.memos = (<TenantMemos>state.lent).of(self.pool.tenant(attributes))
        return 0

    cdef int enter(self, Scene* scene, int place, Attributes* attributes) except -1 nogil:
        cdef State* state = state_of(scene)
        summary_begin(&state.attributes)
        summary_begin(&state.body)
        state.http = -1
        if self.knows_systems:
            state.system = system_of(attributes)
        return 0

    cdef int leave(self, Scene* scene, int place, Attributes* attributes) except -1 nogil:
        cdef State* state = state_of(scene)
        if self.level:
            write_summary(&state.attributes, attributes, scene.arena, self.level == 2, False)
            write_summary(&state.body, attributes, scene.arena, self.level == 2, True)
        return 0

    # ---- asking

    cdef int ask(self, Scene* scene, int question, Text about, Answer* answer) except -1 nogil:
        spend(scene, about.size * (SANITIZING if question == ABOUT_CASE else 1) + self.price)
        return self.ask_rules(scene, question, about, answer)

    cdef int ask_rules(self, Scene* scene, int question, Text about, Answer* answer) except -1 with gil:
        cdef bytes given = PyBytes_FromStringAndSize(<const char*>about.data, about.size)
        cdef object said
        if question == ABOUT_KEY:
            said = self.rules.key(given)
        elif question == ABOUT_TEXT:
            said = self.rules.text(given)
        elif question == ABOUT_NAME:
            said = self.rules.name(given)
        else:
            said = self.rules.case(given)
        answer.size = -1
        answer.data = about.data
        if said is not None:
            answer.size = len(<bytes>said)
            answer.data = arena_take(scene.arena, answer.size)
            memcpy(<uint8_t*>answer.data, PyBytes_AS_STRING(said), answer.size)
        return 0

    cdef int recall(self, Scene* scene, int question, Text about, Answer* answer) except -1 nogil:
        """What the rules say. The answer stands where it is only until the next question, unless it is new."""
        cdef Memo* memo = &state_of(scene).memos[question]
        cdef uint64_t key
        cdef Remembered* entry
        if about.size > MEMO_LARGEST:
            return self.ask(scene, question, about, answer)
        key = hash_bytes(about.data, about.size)
        entry = memo_find(memo, key, about.data, about.size)
        if entry != NULL:
            answer.data = entry.data + entry.size
            answer.size = entry.answer_size
            return 0
        self.ask(scene, question, about, answer)
        return memo_keep(memo, key, about.data, about.size, answer)

    # ---- keys

    cdef int meet(self, Scene* scene, Text key) except -1 nogil:
        """Know what the rules say of a key: most keys of a batch come again and again."""
        cdef State* state = state_of(scene)
        cdef uint64_t mark = mark_of(key)
        cdef size_t place = (mark * 0x9FB21C651E98DF25ULL) >> 56
        cdef Familiar* familiar
        cdef Answer answer
        cdef int step
        for step in range(NEAR):
            familiar = &state.familiar[(place + step) & (FAMILIAR - 1)]
            if familiar.said.data == NULL:
                break
            if familiar.mark == mark and same(familiar.key, key):
                state.said = familiar.said
                return 0
        self.recall(scene, ABOUT_KEY, key, &answer)
        familiar.mark = mark
        keep_text(scene.arena, key, &familiar.key)
        keep_text(scene.arena, Text(answer.data, answer.size), &familiar.said)
        state.said = familiar.said
        return 0

    cdef int key(self, Scene* scene, int place, Text key) except -1 nogil:
        cdef State* state = state_of(scene)
        cdef uint8_t said
        if scene.depth == 0:
            state.top = key
        if not self.looks_at_keys:
            return LOOK
        self.meet(scene, key)
        said = state.said.data[0]
        state.keys[scene.depth] = said
        if said & KEY_IGNORED:
            self.note(scene, place, IGNORED)
            return KEEP
        if said & KEY_REDACTED:
            self.note(scene, place, REDACTED)
            return DROP
        return WHOLE if said & KEY_MASKED else LOOK

    cdef int rename(self, Scene* scene, int place, Text key, Text* answer) except -1 nogil:
        cdef State* state = state_of(scene)
        if not may_match(&self.needs, key.data, key.size):
            return KEEP
        self.meet(scene, key)
        if state.said.size <= 1:
            return KEEP
        answer[0] = Text(state.said.data + 1, state.said.size - 1)
        return REPLACE

    # ---- values

    cdef int whole(self, Scene* scene, int place, Text key, Text value, Text* answer) except -1 nogil:
        return self.decide_case(scene, CASE_MASKED, place == IN_BODY, place, Text(NULL, 0), value, answer)

    cdef int value(self, Scene* scene, int place, Text key, AnyValue* value, Text* answer) except -1 nogil:
        cdef Text text = Text(value.data, value.size)
        if value.kind != STRING:
            return self.other(scene, place, value, answer)
        if place == IN_BODY:
            if self.sanitizes_bodies:
                return self.decide_case(scene, CASE_BODY, 0, place, Text(NULL, 0), text, answer)
        elif self.said_of_key(scene) & KEY_SANITIZED:
            return self.decide_case(scene, CASE_ATTRIBUTE, 0, place, key, text, answer)
        if not may_match(&self.needs, text.data, text.size):
            return KEEP
        return self.decide(scene, place, text, ABOUT_TEXT, answer)

    cdef uint8_t said_of_key(self, Scene* scene) noexcept nogil:
        """What the rules said of the key that the value at hand stands under."""
        cdef int depth = scene.depth
        if not self.looks_at_keys:
            return 0
        while depth > 0 and scene.way[depth - 1].key.data == NULL:
            depth -= 1
        return state_of(scene).keys[depth]

    cdef int other(self, Scene* scene, int place, AnyValue* value, Text* answer) except -1 nogil:
        """A number, a boolean or bytes."""
        cdef Text whole
        if self.all_types or place == IN_BODY:
            encode(scene.arena, value, &whole)
            return self.decide_case(scene, CASE_OTHER, place == IN_BODY, place, Text(NULL, 0), whole, answer)
        if self.nothing_says == 0:
            return KEEP
        return self.conclude(scene, place, self.nothing_says, self.nothing, answer)

    cdef int decide_case(
        self, Scene* scene, uint8_t case, uint8_t more, int place, Text key, Text text, Text* answer
    ) except -1 nogil:
        cdef Text about
        put_case(scene, case, more, key, text, &about)
        return self.decide(scene, place, about, ABOUT_CASE, answer)

    cdef int decide(self, Scene* scene, int place, Text about, int question, Text* answer) except -1 nogil:
        cdef Answer said
        self.recall(scene, question, about, &said)
        if said.size < 0:
            return KEEP
        return self.conclude(scene, place, said.data[0], Text(said.data + 1, said.size - 1), answer)

    cdef int conclude(self, Scene* scene, int place, uint8_t said, Text text, Text* answer) except -1 nogil:
        cdef uint8_t* out
        if said == SAYS_ALLOWED:
            if place != IN_BODY or scene.depth > 0:  # the Collector's summary is silent about an allowed plain body
                self.note(scene, place, ALLOWED)
            return KEEP
        self.note(scene, place, MASKED)
        out = arena_take(scene.arena, text.size + 11)
        answer[0] = Text(out, put_text(out, STRING_TAG, text) - out)
        return REPLACE

    cdef int note(self, Scene* scene, int place, int category) except -1 nogil:
        """Count what is shown; where names are told, remember the way to it, with what is to be masked in it masked."""
        cdef State* state = state_of(scene)
        cdef Summary* summary = &state.body if place == IN_BODY else &state.attributes
        cdef Names* names = &summary.names[category]
        cdef Text top = Text(NULL, 0) if place == IN_BODY else state.top
        cdef Text path
        cdef Answer said
        if self.level == 0:
            return 0
        summary.any = True
        summary.counts[category] += 1
        if self.level == 1 or category == IGNORED:
            return 0
        if names.size + path_size(scene, top) > NAMES_SIZE:
            names.cut = True
            return 0
        path_to(scene, top, &path)
        self.recall(scene, ABOUT_NAME, path, &said)
        if said.size >= 0 and said.data[0] == SAYS_MASKED:
            keep_text(scene.arena, Text(said.data + 1, said.size - 1), &path)
        return add_name(names, scene.arena, path)

    # ---- texts

    cdef int text(self, Scene* scene, int place, Text text, Text* answer) except -1 nogil:
        cdef State* state = state_of(scene)
        cdef Answer said
        cdef Text about = text
        cdef uint8_t more
        if place == IN_NAME and self.sanitizes_names:
            if state.http < 0:
                state.http = has_http(scene.attributes)
            more = <uint8_t>(min(scene.kind, <uint64_t>7) | <uint64_t>state.http << 3)
            put_case(scene, CASE_NAME, more, Text(NULL, 0), text, &about)
            self.recall(scene, ABOUT_CASE, about, &said)
        elif not may_match(&self.needs, text.data, text.size):
            return KEEP
        else:
            self.recall(scene, ABOUT_NAME, about, &said)
        if said.size < 0 or said.data[0] == SAYS_ALLOWED:
            return KEEP
        keep_text(scene.arena, Text(said.data + 1, said.size - 1), answer)
        return REPLACE


cdef inline int keep_text(Arena* arena, Text text, Text* kept) except -1 nogil:
    cdef uint8_t* place = arena_take(arena, text.size)
    memcpy(place, text.data, text.size)
    kept[0] = Text(place, text.size)
    return 0


cdef inline uint8_t* put_plain(uint8_t* out, Text text) noexcept nogil:
    out = write_varint(out, text.size)
    memcpy(out, text.data, text.size)
    return out + text.size


cdef int put_case(Scene* scene, uint8_t case, uint8_t more, Text key, Text text, Text* about) except -1 nogil:
    """A question with all that its answer depends on: the case, more of it, the key, the database system, and the text."""
    cdef Text system = state_of(scene).system
    cdef uint8_t* start = arena_take(scene.arena, 24 + key.size + system.size + text.size)
    cdef uint8_t* out
    start[0] = case
    start[1] = more
    out = put_plain(put_plain(start + 2, key), system)
    memcpy(out, text.data, text.size)
    about[0] = Text(start, out + text.size - start)
    return 0


cdef int encode(Arena* arena, AnyValue* value, Text* content) except -1 nogil:
    """The content of an `AnyValue` that holds a number, a boolean, bytes, or nothing that is known."""
    cdef uint8_t* start = arena_take(arena, 16 + value.size)
    cdef uint8_t* out = start
    if value.kind == DOUBLE:
        start[0] = DOUBLE_TAG
        memcpy(start + 1, &value.number, 8)
        out = start + 9
    elif value.kind == BYTES:
        out = put_text(start, BYTES_TAG, Text(value.data, value.size))
    elif value.kind == BOOL or value.kind == INT:
        start[0] = value.kind << 3
        out = write_varint(start + 1, value.number)
    content[0] = Text(start, out - start)
    return 0


cdef inline Text named(const char* name) noexcept nogil:
    return Text(<bytes_at>name, strlen(name))


cdef Text system_of(Attributes* attributes) noexcept nogil:
    """The text of `db.system.name`, or else of `db.system`."""
    cdef Text system = text_of(attributes, named("db.system.name"))
    return system if system.size else text_of(attributes, named("db.system"))


cdef Text text_of(Attributes* attributes, Text key) noexcept nogil:
    cdef Py_ssize_t index = find(attributes, key, 0)
    cdef Text value
    if index >= 0:
        value = content(&attributes.list[index])
        if value.size >= 2 and value.data[0] == STRING_TAG and value.data[1] + 2 == value.size:
            return Text(value.data + 2, value.size - 2)
    return Text(NULL, 0)


cdef bint has_http(Attributes* attributes) noexcept nogil:
    """Whether an item says that it is about HTTP, in the old conventions or the new ones."""
    return (
        find(attributes, named("http.route"), 0) >= 0
        or find(attributes, named("http.request.method"), 0) >= 0
        or find(attributes, named("http.request.method_original"), 0) >= 0
        or find(attributes, named("http.response.status_code"), 0) >= 0
        or find(attributes, named("url.full"), 0) >= 0
        or find(attributes, named("http.scheme"), 0) >= 0
        or find(attributes, named("http.target"), 0) >= 0
        or find(attributes, named("http.method"), 0) >= 0
        or find(attributes, named("http.url"), 0) >= 0
    )
