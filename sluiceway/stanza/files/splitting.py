"""Where records begin and end in the bytes of a file."""

from __future__ import annotations

from itertools import accumulate
from typing import Any, Final, NamedTuple, Protocol

from sluiceway.otlp.selecting import compile_pattern
from sluiceway.stanza.files.encodings import NOP, codec, width
from sluiceway.stanza.files.settings import FileSettings

__all__ = ["Bounded", "Cut", "Splitter", "splitter"]

_OVERLAP: Final = 4096
"""Bytes of a match that reaches over two reads."""


class Cut(NamedTuple):
    """The records that are complete, and the place behind each, separator included."""

    pieces: list[bytes]
    ends: list[int]


class Splitter(Protocol):
    """Cuts what was read from the beginning of a record on."""

    def cut(self, data: bytes) -> Cut:
        """The records that are complete. What is behind the last of them has no end yet."""

    def last(self, data: bytes) -> bytes:
        """The record in what has no end, and is not waited for any longer."""

    def skip(self, data: bytes) -> tuple[int, bool]:
        """How much of `data` belongs to a record that began before it, and whether that ends there."""


def splitter(settings: FileSettings) -> Splitter:
    """What the settings ask for."""
    if settings.encoding == NOP:
        return _Everything()
    multiline = settings.multiline
    if multiline is None:
        return _Lines() if width(settings.encoding) == 1 else _WideLines(settings.encoding)
    pattern = multiline.line_start_pattern or multiline.line_end_pattern
    found = _Found(pattern, settings.encoding)
    kind = _Starting if multiline.line_start_pattern else _Ending
    return kind(found, multiline.omit_pattern)


class _Plainly:
    """The last record is what is there."""

    def last(self, data: bytes) -> bytes:
        return data

    def skip(self, data: bytes) -> tuple[int, bool]:
        ends = self.cut(data).ends
        return (ends[0], True) if ends else (len(data), False)

    def cut(self, data: bytes) -> Cut:
        raise NotImplementedError


class _Lines(_Plainly):
    """Lines, in an encoding in which the byte 10 is nothing but a line feed."""

    def cut(self, data: bytes) -> Cut:
        pieces = data.split(b"\n")
        pieces.pop()
        return Cut(pieces, list(accumulate(len(piece) + 1 for piece in pieces)))


class _WideLines(_Plainly):
    """Lines in UTF-16 or UTF-32, where a line feed stands at a multiple of its width."""

    def __init__(self, encoding: str) -> None:
        self._newline = "\n".encode(codec(encoding))

    def skip(self, data: bytes) -> tuple[int, bool]:
        passed, is_over = super().skip(data)
        return passed - passed % len(self._newline), is_over

    def cut(self, data: bytes) -> Cut:
        newline, width = self._newline, len(self._newline)
        found = Cut([], [])
        start = at = 0
        while (place := data.find(newline, at)) >= 0:
            if place % width:
                at = place + 1
                continue
            found.pieces.append(data[start:place])
            start = at = place + width
            found.ends.append(start)
        return found


class _Everything(_Plainly):
    """No records at all: what is there is one."""

    def cut(self, data: bytes) -> Cut:
        return Cut([data], [len(data)]) if data else Cut([], [])


class _Found:
    """The places of a pattern's matches, in bytes."""

    def __init__(self, pattern: str, encoding: str) -> None:
        self._pattern = compile_pattern(f"(?m){pattern}")
        self._encoding = codec(encoding)
        self._is_wide = width(encoding) > 1

    def __call__(self, data: bytes) -> list[tuple[int, int]]:
        if not self._is_wide:
            return [match.span() for match in self._pattern.finditer(data)]
        text = data.decode(self._encoding, "replace")
        raw = text.encode()
        return [(self._size(raw[:start]), self._size(raw[:end])) for start, end in _spans(self._pattern, raw)]

    def _size(self, raw: bytes) -> int:
        """Bytes in the file of what is `raw` in UTF-8."""
        return len(raw.decode(errors="replace").encode(self._encoding, "replace"))


def _spans(pattern: Any, raw: bytes) -> list[tuple[int, int]]:
    return [match.span() for match in pattern.finditer(raw)]


class _Starting:
    """A record begins where the pattern matches; what is in front of the first match is one, too."""

    def __init__(self, found: _Found, omit: bool) -> None:
        self._found = found
        self._omit = omit

    def cut(self, data: bytes) -> Cut:
        cut = Cut([], [])
        start = begin = 0
        for place, end in self._found(data):
            if place > start:
                cut.pieces.append(data[begin:place])
                cut.ends.append(place)
            start, begin = place, end if self._omit else place
        return cut

    def last(self, data: bytes) -> bytes:
        found = self._found(data) if self._omit else []
        return data[found[0][1] :] if found and not found[0][0] else data

    def skip(self, data: bytes) -> tuple[int, bool]:
        places = [place for place, _ in self._found(data) if place]  # `^` matches at 0, wherever in a line that is
        return (places[0], True) if places else (_half_seen(data), False)


class _Ending:
    """A record ends where the pattern matches. At the end of what was read a match might not be whole yet."""

    def __init__(self, found: _Found, omit: bool) -> None:
        self._found = found
        self._omit = omit

    def cut(self, data: bytes) -> Cut:
        cut = Cut([], [])
        start = 0
        for place, end in self._found(data):
            if start < end < len(data):
                cut.pieces.append(data[start : place if self._omit else end])
                cut.ends.append(end)
                start = end
        return cut

    def last(self, data: bytes) -> bytes:
        found = self._found(data) if self._omit else []
        return data[: found[-1][0]] if found and found[-1][1] == len(data) else data

    def skip(self, data: bytes) -> tuple[int, bool]:
        ends = [end for _, end in self._found(data) if end]
        return (ends[0], True) if ends else (_half_seen(data), False)


def _half_seen(data: bytes) -> int:
    """Where what is looked at again begins, as it may be the first half of a match."""
    passed = max(len(data) - _OVERLAP, 0)
    return passed - passed % 4


class Bounded:
    """A splitter whose records are no longer than allowed: longer ones become several, or are cut."""

    def __init__(self, inner: Splitter, longest: int, *, truncate: bool) -> None:
        self._inner = inner
        self._longest = longest
        self._truncate = truncate

    def cut(self, data: bytes) -> Cut:
        """The complete records; also the beginning of one that is too long, whose end is then not known."""
        cut = self._inner.cut(data)
        if len(data) <= self._longest:
            return cut
        if max(map(len, cut.pieces), default=0) > self._longest:
            cut = self._shorten(cut)
        return cut

    def _shorten(self, cut: Cut) -> Cut:
        longest, short = self._longest, Cut([], [])
        start = 0
        for piece, end in zip(*cut, strict=True):
            begin, start = start, end
            if len(piece) <= longest or self._truncate:
                short.pieces.append(piece[:longest])
                short.ends.append(end)
                continue
            parts = [piece[at : at + longest] for at in range(0, len(piece), longest)]
            short.pieces.extend(parts)
            short.ends.extend(begin + at for at in range(longest, len(piece), longest))
            short.ends.append(end)
        return short
