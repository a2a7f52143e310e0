r"""Regular expressions that can be matched without ever trying again, which most of those for log lines are.

`^(?P<time>\S+) (?P<level>[A-Z]+) (?P<message>.*)$` is a sequence of characters and repeated classes from the beginning
of the text on. No repeated class has a character with which the rest may begin, so that there is but one place where
each can end: it is found in one walk, at a tenth of what RE2 takes. Any other pattern is left to RE2, which has the
last word on what a pattern means: https://github.com/google/re2/wiki/Syntax.
"""

from __future__ import annotations

import re
import string
from typing import Final, NamedTuple

from sluiceway.stanza._sequence import Sequence

__all__ = ["sequence"]

_MOST: Final = 256
"""Parts of a pattern; longer ones are left to RE2."""
_ASCII: Final = frozenset(range(128))
_OTHERS: Final = frozenset(range(128, 256))
"""The bytes of all characters beyond ASCII."""
_DIGIT: Final = frozenset(string.digits.encode())
_WORD: Final = frozenset((string.ascii_letters + string.digits + "_").encode())
_SPACE: Final = frozenset(b"\t\n\f\r ")
_EVERY: Final = _ASCII | _OTHERS
_CLASSES: Final = {
    "d": _DIGIT, "D": _EVERY - _DIGIT, "w": _WORD, "W": _EVERY - _WORD, "s": _SPACE, "S": _EVERY - _SPACE,
}  # fmt: skip
_CONTROLS: Final = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13}
_GROUP: Final = re.compile(r"\((?:\?P<(\w+)>|(\?:))?(?!\?)", re.ASCII)
_TIMES: Final = re.compile(r"\{(\d{1,4})(,(\d{1,4})?)?\}", re.ASCII)


class _Part(NamedTuple):
    """Bytes that belong to a class, and how often it comes, -1 for any number of times."""

    members: frozenset[int]
    low: int
    high: int


class _OtherError(Exception):
    """The pattern is none of these."""


def sequence(pattern: str) -> Sequence | None:
    """What matches a pattern that RE2 takes, or None where it takes RE2 to do that."""
    try:
        return _Reader(pattern).read()
    except _OtherError:
        return None


class _Reader:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 1
        self._parts: list[_Part] = []

    def read(self) -> Sequence:
        pattern = self._pattern
        if pattern[:1] != "^" or not pattern.isascii():
            raise _OtherError
        groups: dict[str, tuple[int, int]] = {}
        begun: list[tuple[str, int]] = []
        while self._at < len(pattern) and pattern[self._at :] != "$":
            match pattern[self._at]:
                case "(":
                    opening = _GROUP.match(pattern, self._at)
                    if opening is None:
                        raise _OtherError
                    begun.append((opening[1] or "", len(self._parts)))
                    if opening[1]:
                        groups[opening[1]] = (0, 0)  # which keeps their order
                    self._at = opening.end()
                case ")":
                    self._at += 1
                    if self._times() is not None:
                        raise _OtherError
                    name, start = begun.pop()
                    if name:
                        groups[name] = (start, len(self._parts))
                case _:
                    members = self._members()
                    self._parts.append(_Part(members, *(self._times() or (1, 1))))
        self._check()
        parts = [(bytes(byte in part.members for byte in range(256)), part.low, part.high) for part in self._parts]
        named = tuple((name, start, end) for name, (start, end) in groups.items())
        return Sequence(parts, named, self._at < len(pattern))

    def _check(self) -> None:
        """Where a part may end at more than one place, this is a pattern for RE2."""
        if len(self._parts) > _MOST:
            raise _OtherError
        following: frozenset[int] = frozenset()
        for part in reversed(self._parts):
            if part.low != part.high and part.members & following:
                raise _OtherError
            following = part.members | following if part.low == 0 else part.members

    def _times(self) -> tuple[int, int] | None:
        """How often what was just read comes, where that is said."""
        pattern = self._pattern
        sign = pattern[self._at : self._at + 1]
        if sign == "{":
            counts = _TIMES.match(pattern, self._at)
            if counts is None:
                raise _OtherError
            self._at = counts.end()
            low = int(counts[1])
            times = (low, low if counts[2] is None else int(counts[3]) if counts[3] else -1)
        elif sign and sign in "*+?":
            self._at += 1
            times = {"*": (0, -1), "+": (1, -1), "?": (0, 1)}[sign]
        else:
            return None
        if pattern[self._at : self._at + 1] in ("*", "+", "?", "{"):
            raise _OtherError
        return times

    def _members(self) -> frozenset[int]:
        """One character, or a class of them."""
        sign = self._pattern[self._at]
        self._at += 1
        if sign == ".":
            return _EVERY - {10}
        if sign == "[":
            return self._class()
        if sign == "\\":
            return self._escaped()
        if sign in "^$*+?{|":
            raise _OtherError
        return frozenset({ord(sign)})

    def _escaped(self) -> frozenset[int]:
        sign = self._pattern[self._at : self._at + 1]
        self._at += 1
        if sign in _CLASSES:
            return _CLASSES[sign]
        if sign in _CONTROLS:
            return frozenset({_CONTROLS[sign]})
        if sign and sign in string.punctuation:
            return frozenset({ord(sign)})
        raise _OtherError

    def _class(self) -> frozenset[int]:
        """`[a-z_]`, `[^]]`, behind its first bracket."""
        pattern = self._pattern
        is_negated = pattern[self._at] == "^"
        self._at += is_negated
        members: set[int] = set()
        is_first = True
        while pattern[self._at] != "]" or is_first:
            is_first = False
            low = self._one()
            if pattern[self._at] == "-" and pattern[self._at + 1] != "]":
                self._at += 1
                high = self._one()
                if len(low) != 1 or len(high) != 1:
                    raise _OtherError
                members |= set(range(min(low), min(high) + 1))
            else:
                members |= low
        self._at += 1
        return _EVERY - members if is_negated else frozenset(members)

    def _one(self) -> frozenset[int]:
        sign = self._pattern[self._at]
        self._at += 1
        if sign == "[" and self._pattern[self._at] in ":.=":
            raise _OtherError
        return self._escaped() if sign == "\\" else frozenset({ord(sign)})
