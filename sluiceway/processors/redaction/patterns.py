"""Lists of RE2 patterns: whether any is found in a text, and the text with all that they match masked.

A text costs time in proportion to its length, whoever wrote it. What would cost more is not read to its end but masked:
a text that is too long for so many patterns whole, and one in which too many parts match from there on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sluiceway.otlp.selecting import check_characters
from sluiceway.processors.redaction.masks import Mask

if TYPE_CHECKING:
    import re2

__all__ = ["Patterns", "check_pattern"]

_IN_A_SET = 256
"""How many patterns are looked for at once."""
_MEMORY = 256 << 20, 64 << 20, 8 << 20
"""Bytes that RE2 may take for all sets, and for one at most and at least: caches, which bound themselves."""
_MOST_WORK = 1 << 30
"""Bytes times patterns that one text may cost, and bytes times passes over it."""
_MOST_SEARCHED = 1 << 29
"""Bytes that all searches for the next match in one text may have before them."""
_INSIDE = frozenset(bytes((byte,)) for byte in range(0x80, 0xC0))
"""Bytes inside a character."""


class Patterns:
    """Patterns in their order. Raises `ValueError` with RE2's reason for one that is not RE2."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self.texts = tuple(patterns)
        self._patterns = [_compile(pattern) for pattern in patterns]
        starts = range(0, len(self._patterns), _IN_A_SET)
        memory = _memory(len(starts))
        self._sets = [_Set(self._patterns[start : start + _IN_A_SET], memory) for start in starts]

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def find(self, text: bytes, unread: bool) -> bool:
        """Whether any pattern is found in the text; `unread` for one that is too long for so many."""
        return unread if self._is_too_much(text) else next(self._found(text, 0), None) is not None

    def replace(self, text: bytes, mask: Mask) -> bytes:
        """The text with what each pattern matches masked, one pattern after the other on what the last has left."""
        if self._is_too_much(text):
            return mask(text)
        place, work = next(self._found(text, 0), None), 0
        while place is not None:
            work += len(text)
            if work > _MOST_WORK:
                return mask(text)
            text = _replace(self._patterns[place], text, mask)
            place = next(self._found(text, place + 1), None)
        return text

    def _is_too_much(self, text: bytes) -> bool:
        return len(text) * len(self._patterns) > _MOST_WORK

    def _found(self, text: bytes, start: int) -> Iterator[int]:
        """The places of patterns from `start` on that are found in the text, in order."""
        for number, chosen in enumerate(self._sets):
            first = number * _IN_A_SET
            if first + _IN_A_SET > start:
                yield from (first + place for place in chosen.found(text) if first + place >= start)


class _Set:
    """Some patterns, looked for in one pass.

    A pattern that is found everywhere is among them: RE2 says "nothing found" when its memory is out, and is not
    believed then.
    """

    def __init__(self, patterns: Sequence[re2._Regexp], memory: int) -> None:
        import re2

        self._patterns = patterns
        self._set = re2.Set.SearchSet(_options(memory))
        for pattern in patterns:
            self._set.Add(pattern.pattern)
        self._everywhere = self._set.Add(b"")
        try:
            self._set.Compile()
        except re2.error:
            self._set = None

    def found(self, text: bytes) -> list[int]:
        """The places of the patterns that are found."""
        if self._set is not None:
            places = self._set.Match(text) or ()
            if self._everywhere in places:
                return sorted(place for place in places if place != self._everywhere)
        return [place for place, pattern in enumerate(self._patterns) if pattern.search(text)]


def _memory(sets: int) -> int:
    total, most, least = _MEMORY
    return max(least, min(most, total // max(sets, 1)))


def _options(memory: int | None = None) -> re2.Options:
    import re2

    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    if memory is not None:
        options.max_mem = memory
    return options


def _compile(pattern: str) -> re2._Regexp:
    import re2

    check_characters(pattern)
    try:
        return re2.compile(pattern.encode(), _options())
    except (re2.error, UnicodeEncodeError) as error:
        reason = error.args[0] if error.args else "not valid"
        reason = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise ValueError(f'invalid pattern "{pattern[:200]}": {reason}') from None


def _replace(pattern: re2._Regexp, text: bytes, mask: Mask) -> bytes:
    """Mask each match, as Go does: an empty one right behind another match, or inside a character, does not count."""
    pieces: list[bytes] = []
    copied = searched = 0
    behind = -1
    for match in pattern.finditer(text):
        start, end = match.span()
        if end <= behind or text[start : start + 1] in _INSIDE:
            continue
        pieces += (text[copied:start], mask(text[start:end]))
        searched += len(text) - copied
        copied = behind = end
        if searched > _MOST_SEARCHED:
            return b"".join((*pieces, mask(text[end:])))
    return b"".join((*pieces, text[copied:]))


def check_pattern(pattern: str) -> str:
    """The pattern, where RE2 takes it. Raises `ValueError` with RE2's reason."""
    _compile(pattern)
    return pattern
