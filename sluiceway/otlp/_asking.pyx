"""A scrubber that asks Python about everything: for tests, and for one's own scrubbers that are in no hurry."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from sluiceway.otlp._anyvalue cimport BOOL, BYTES, DOUBLE, INT, STRING, AnyValue
from sluiceway.otlp._arena cimport arena_take
from sluiceway.otlp._attributes cimport Text
from sluiceway.otlp._scrub cimport DROP, KEEP, LOOK, REPLACE, WHOLE, Scene, Scrubber

from sluiceway.otlp import places
from sluiceway.otlp.anyvalue import decode_value, encode_value

_VERDICTS = {"keep": KEEP, "drop": DROP, "look": LOOK, "whole": WHOLE}


cdef int _answer(Scene* scene, bytes given, Text* answer) except -1:
    cdef uint8_t* place = arena_take(scene.arena, len(given))
    memcpy(place, PyBytes_AS_STRING(given), len(given))
    answer[0] = Text(place, len(given))
    return REPLACE


cdef str _text(Text text):
    return PyBytes_FromStringAndSize(<const char*>text.data, text.size).decode()


cdef object _value(AnyValue* value):
    cdef double number
    if value.kind == STRING:
        return _text(Text(value.data, value.size))
    if value.kind == BYTES:
        return PyBytes_FromStringAndSize(<const char*>value.data, value.size)
    if value.kind == DOUBLE:
        memcpy(&number, &value.number, 8)
        return number
    if value.kind == INT:
        return <long long>value.number
    return bool(value.number) if value.kind == BOOL else None


cdef class AskingScrubber(Scrubber):
    """Asks `judge`, an object with the methods `key`, `whole`, `rename`, `value` and `text`.

    `key(place, key)` answers what becomes of an attribute: "keep", "look" at its value, take it as a "whole", "drop".
    `value(place, key, value)` and `whole(place, key, value)` answer the value, the same where it stays, or None where the
    attribute is to go; `rename(place, key)` the key; `text(place, text)` the text. Places are named as in
    `places.PLACES`. A value is a str, bool, int, float or bytes, a whole one any.
    """

    cdef readonly object judge
    cdef readonly tuple where

    def __init__(self, judge, where):
        self.judge = judge
        self.where = tuple(where)
        self.places = places.place_bits(where)

    cdef int key(self, Scene* scene, int place, Text key) except -1 with gil:
        return _VERDICTS[self.judge.key(places.PLACES[place], _text(key))]

    cdef int whole(self, Scene* scene, int place, Text key, Text content, Text* answer) except -1 with gil:
        old = decode_value(PyBytes_FromStringAndSize(<const char*>content.data, content.size))
        new = self.judge.whole(places.PLACES[place], _text(key), old)
        if new is None:
            return DROP
        return KEEP if new is old else _answer(scene, encode_value(new), answer)

    cdef int rename(self, Scene* scene, int place, Text key, Text* answer) except -1 with gil:
        cdef str old = _text(key)
        cdef str new = self.judge.rename(places.PLACES[place], old)
        return KEEP if new == old else _answer(scene, new.encode(), answer)

    cdef int value(self, Scene* scene, int place, Text key, AnyValue* value, Text* answer) except -1 with gil:
        cdef object old = _value(value)
        if old is None:
            return KEEP
        new = self.judge.value(places.PLACES[place], _text(key), old)
        if new is None:
            return DROP
        return KEEP if new is old else _answer(scene, encode_value(new), answer)

    cdef int text(self, Scene* scene, int place, Text text, Text* answer) except -1 with gil:
        cdef str old = _text(text)
        cdef str new = self.judge.text(places.PLACES[place], old)
        return KEEP if new == old else _answer(scene, new.encode(), answer)
