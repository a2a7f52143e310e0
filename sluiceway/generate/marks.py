"""Places in a payload that get a new value for each request, and how they are found again in its bytes."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["Id", "Mark", "Marks", "Number", "Time"]

_ID = b"\xf3\x9c\x0e\xd7\x81\xb2"
_TIME = b"\xf3\x9c\x0e\xd7\x81\xb3"
_BEGINNING = re.compile(rb"\xf3\x9c\x0e\xd7\x81[\xb2\xb3]")
"""What every id and time begins with in protobuf."""

_FIRST_TIME = 0x0E00
_LAST_TIME = 0x7FFF
_NUMBER = "918273645509"
_QUOTED = re.compile(rb'"([A-Za-z0-9+/=]{12,24})"')


@dataclass(frozen=True, slots=True)
class Id:
    """Random bytes; places with the same serial get the same."""

    serial: int
    length: int


@dataclass(frozen=True, slots=True)
class Time:
    """A moment, so many nanoseconds from that of sending."""

    offset: int


@dataclass(frozen=True, slots=True)
class Number:
    """The number of the request, in twelve digits."""


Mark = Id | Time | Number


@dataclass(slots=True)
class Marks:
    """Makes marks, values that occur nowhere else, and finds them in what was serialised."""

    _binary: dict[bytes, Mark] = field(default_factory=dict)
    _text: dict[bytes, Mark] = field(default_factory=dict)
    _times: dict[int, int] = field(default_factory=dict)
    _ids: int = 0

    def id(self, length: int) -> bytes:
        """A mark for a trace id (16 bytes) or span id (8 bytes). There are 65,536 of them."""
        mark = _ID + self._ids.to_bytes(2, "big") + bytes(length - 8)
        self._binary[mark] = self._text[b64encode(mark)] = Id(self._ids, length)
        self._ids += 1
        return mark

    def time(self, offset: int) -> int:
        """A mark for a moment, the same for equal offsets, of which there are 29,000: a number of nineteen digits."""
        if offset not in self._times:
            serial = _FIRST_TIME + len(self._times)
            if serial > _LAST_TIME:
                raise ValueError("too many different times in one payload")
            self._times[offset] = mark = serial << 48 | int.from_bytes(_TIME, "little")
            self._binary[mark.to_bytes(8, "little")] = self._text[str(mark).encode()] = Time(offset)
        return self._times[offset]

    def number(self) -> str:
        """The mark for the number of the request."""
        self._text[_NUMBER.encode()] = Number()
        return _NUMBER

    def in_protobuf(self, raw: bytes) -> Iterator[tuple[int, int, Mark]]:
        """Start, end and mark of every place in a serialised message."""
        number = raw.find(_NUMBER.encode())
        for found in _BEGINNING.finditer(raw):
            start = found.start()
            if 0 <= number < start:
                yield number, number + len(_NUMBER), Number()
                number = -1
            length = 16 if raw[start : start + 16] in self._binary else 8
            yield start, start + length, self._binary[raw[start : start + length]]
        if number >= 0:
            yield number, number + len(_NUMBER), Number()

    def in_json(self, raw: bytes) -> Iterator[tuple[int, int, Mark]]:
        """Start, end and mark of every place in protobuf's JSON."""
        for found in _QUOTED.finditer(raw):
            mark = self._text.get(found[1])
            if mark is not None:
                yield found.start(1), found.end(1), mark
