"""What a text must hold for an RE2 pattern to be found in it, so that most texts need not be shown to RE2.

A need is told in classes of bytes: which must occur at all, how many bytes there must be, and a sequence of classes
that must occur in a row. What is not understood of a pattern needs nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import NoReturn, TypeAlias

__all__ = ["Class", "Need", "needs"]

Class: TypeAlias = "frozenset[int]"
"""Bytes of which one stands in a place."""

LONGEST = 16
"""How many classes in a row are told at most."""

_ALL = frozenset(range(256))
_NOT_ASCII = frozenset(range(0x80, 256))
_DIGITS = frozenset(b"0123456789")
_WORD = _DIGITS | frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_SPACE = frozenset(b"\t\n\f\r ")
_CLASSES = {"d": _DIGITS, "w": _WORD, "s": _SPACE, "D": _ALL - _DIGITS, "W": _ALL - _WORD, "S": _ALL - _SPACE}
_CONTROLS = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13, "a": 7}
_DEEPEST = 50
_REPEAT = re.compile(r"\{([0-9]{1,4})(?:(,)([0-9]{0,4}))?\}", re.ASCII)
_FLAGS = re.compile(r"\(\?([imsU]*)(?:-([imsU]+))?([:)])")
_NAMED = re.compile(r"\(\?P?<[A-Za-z0-9_]+>")


@dataclass(frozen=True, slots=True)
class Need:
    """What any match of a pattern, or of a part of it, holds.

    It is `exact` where it matches nothing but the sequence, whole; else `first` and `last` are the classes that its
    matches begin and end with, as far as they are known.
    """

    size: int = 0
    classes: frozenset[Class] = frozenset()
    row: tuple[Class, ...] = ()
    first: tuple[Class, ...] = ()
    last: tuple[Class, ...] = ()
    exact: bool = False


_NOTHING = Need()
_EMPTY = Need(exact=True)


def needs(pattern: str) -> Need:
    """What a text needs to match the pattern, which RE2 has taken."""
    try:
        return _Parser(pattern).parse()
    except _NotUnderstoodError:
        return _NOTHING


class _NotUnderstoodError(Exception):
    """The pattern holds something whose meaning is not known here."""


def _give_up() -> NoReturn:
    raise _NotUnderstoodError


def _exact(row: tuple[Class, ...]) -> Need:
    if len(row) > LONGEST:
        return Need(len(row), frozenset(row), _best(row), row[:LONGEST], row[-LONGEST:])
    return Need(len(row), frozenset(row), row, row, row, exact=True)


def _weight(row: Iterable[Class]) -> float:
    """How much a sequence tells: classes of few bytes more than those of many."""
    return sum(math.log(256 / len(each)) for each in row)


def _best(row: Sequence[Class]) -> tuple[Class, ...]:
    """The part of a sequence that tells most."""
    windows = [tuple(row[start : start + LONGEST]) for start in range(max(len(row) - LONGEST, 0) + 1)]
    return max(windows, key=_weight)


def _then(left: Need, right: Need) -> Need:
    """One behind the other."""
    size, classes = left.size + right.size, left.classes | right.classes
    if left.exact and right.exact:
        return _exact(left.row + right.row)
    between = left.last + right.first
    row = max((left.row, right.row, _best(between)), key=_weight)
    first = (left.row + right.first)[:LONGEST] if left.exact else left.first
    last = (left.last + right.row)[-LONGEST:] if right.exact else right.last
    return Need(size, classes, row, first, last)


def _either(left: Need, right: Need) -> Need:
    """One or the other."""
    if left.exact and right.exact and len(left.row) == len(right.row):
        return _exact(tuple(a | b for a, b in zip(left.row, right.row, strict=True)))
    row = tuple(a | b for a, b in zip(left.row, right.row, strict=False))
    return Need(min(left.size, right.size), left.classes & right.classes, row)


def _repeated(need: Need, least: int, *, exactly: bool) -> Need:
    if least == 0:
        return _EMPTY if exactly else _NOTHING
    if need.exact:
        several = _exact(need.row * min(least, 2 * LONGEST))
        size = need.size * least
        if exactly and size == several.size:
            return several
        return Need(size, several.classes, several.row, several.first, several.last)
    row = max(need.row, _best(need.last + need.first), key=_weight) if least > 1 else need.row
    return Need(need.size * least, need.classes, row, need.first, need.last)


def _one(wanted: Class) -> Need:
    """A character, which is one byte where it can only be ASCII."""
    if wanted & _NOT_ASCII:
        return Need(1, frozenset({wanted}))
    return _exact((wanted,))


def _literal(character: str, *, folds: bool) -> Class:
    """The bytes of which a character has one at least. Some letters have a third form, and some forms are letters."""
    if not character.isascii():
        return _give_up() if folds else _NOT_ASCII
    if not folds:
        return frozenset({ord(character)})
    found = frozenset((character.lower() + character.upper()).encode())
    return found | _NOT_ASCII if character in "kKsS" else found


class _Parser:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._place = 0
        self._depth = 0

    def parse(self) -> Need:
        found = self._alternatives(folds=False)
        if self._place < len(self._pattern):
            _give_up()
        return found

    def _ahead(self, text: str) -> bool:
        return self._pattern.startswith(text, self._place)

    def _next(self) -> str:
        if self._place >= len(self._pattern):
            _give_up()
        self._place += 1
        return self._pattern[self._place - 1]

    def _alternatives(self, *, folds: bool) -> Need:
        """Alternatives up to the end of the group; a flag that is set in one holds in those behind it."""
        self._depth += 1
        if self._depth > _DEEPEST:
            _give_up()
        found, folds = self._sequence(folds=folds)
        while self._ahead("|"):
            self._place += 1
            other, folds = self._sequence(folds=folds)
            found = _either(found, other)
        self._depth -= 1
        return found

    def _sequence(self, *, folds: bool) -> tuple[Need, bool]:
        parts = [_EMPTY]
        while self._place < len(self._pattern) and self._pattern[self._place] not in "|)":
            flags = _FLAGS.match(self._pattern, self._place)
            if flags is None:
                parts.append(self._times(self._atom(folds=folds)))
                continue
            inside = (folds or "i" in flags[1]) and "i" not in (flags[2] or "")
            if flags[3] == ")":
                folds, self._place = inside, flags.end()
                if self._pattern[self._place : self._place + 1] in tuple("*+?{"):
                    _give_up()  # RE2 takes it for a repetition of what stands before the flag
            else:
                parts.append(self._times(self._group(flags.end(), folds=inside)))
        return reduce(_then, parts), folds

    def _group(self, inside: int, *, folds: bool) -> Need:
        self._place = inside
        found = self._alternatives(folds=folds)
        if self._next() != ")":
            _give_up()
        return found

    def _atom(self, *, folds: bool) -> Need:
        named = _NAMED.match(self._pattern, self._place)
        if named is not None:
            return self._group(named.end(), folds=folds)
        character = self._next()
        match character:
            case "(":
                return _give_up() if self._ahead("?") else self._group(self._place, folds=folds)
            case "^" | "$":
                return _EMPTY
            case ".":
                return Need(1)
            case "[":
                return _one(self._class(folds=folds))
            case "\\" if self._pattern[self._place : self._place + 1] in ("b", "B", "A", "z"):
                self._place += 1
                return _EMPTY
            case "\\":
                return _one(self._escape(folds=folds))
            case "*" | "+" | "?":
                return _give_up()
            case _:
                return _one(_literal(character, folds=folds))

    def _times(self, need: Need) -> Need:
        """What stands before a repetition, as often as it comes at least."""
        repeat = _REPEAT.match(self._pattern, self._place)
        if repeat is not None:
            self._place = repeat.end()
            least, exactly = int(repeat[1]), repeat[2] is None or repeat[3] == repeat[1]
        elif self._place < len(self._pattern) and self._pattern[self._place] in "*+?":
            least, exactly = int(self._next() == "+"), False
        else:
            return need
        if self._ahead("?"):
            self._place += 1
        return _repeated(need, least, exactly=exactly)

    def _escape(self, *, folds: bool) -> Class:
        character = self._next()
        if character in _CLASSES:
            return _CLASSES[character] | _NOT_ASCII if folds else _CLASSES[character]
        if character in _CONTROLS:
            return frozenset({_CONTROLS[character]})
        if character.isalnum() or not character.isascii():
            _give_up()
        return frozenset({ord(character)})

    def _class(self, *, folds: bool) -> Class:
        negated = self._ahead("^")
        self._place += negated
        found: set[int] = set()
        first = True
        while first or not self._ahead("]"):
            first = False
            if self._ahead("[:"):
                _give_up()
            found |= self._range(folds=folds)
        self._place += 1
        return (_ALL - found) | _NOT_ASCII if negated else frozenset(found)

    def _range(self, *, folds: bool) -> Class:
        character = self._next()
        if character == "\\":
            single = self._escape(folds=folds)
            if self._ahead("-") and not self._ahead("-]"):
                _give_up()
            return single
        if not self._ahead("-") or self._ahead("-]"):
            return _literal(character, folds=folds)
        self._place += 1
        last = self._next()
        if last == "\\" or not (character + last).isascii():
            _give_up()
        characters = map(chr, range(ord(character), ord(last) + 1))
        return frozenset().union(*(_literal(each, folds=folds) for each in characters))
