"""Where records begin and end: lines, or a length of four bytes in front of each."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Protocol

from sluiceway.receivers.file.records import ZSTD

__all__ = ["Cut", "Framing", "Lines", "Sized", "Taker"]

_STARTS: Final = rb"(?:\x0a|\x28\xb5\x2f\xfd|\{)"
"""How an OTLP message begins that has anything in it, a zstd frame, and JSON."""
_HEADER: Final = 4


class Taker(Protocol):
    """Makes something of records, and holds it."""

    @property
    def is_full(self) -> bool:
        """Whether it has enough for now."""

    def take(self, record: bytes) -> str:
        """Take a record; what is wrong with it, or nothing."""


@dataclass(slots=True)
class Cut:
    """What became of data: how far it was dealt with, what in it is damaged, and how much is needed to go on.

    `damaged` are place, size and reason. `skipping` says that the rest of a line that is too long follows.
    """

    end: int = 0
    records: int = 0
    damaged: list[tuple[int, int, str]] = field(default_factory=list)
    needs: int = 0
    skipping: bool = False


class Framing(Protocol):
    """Cuts data from the beginning of a record on and offers each record to a taker, until that is full.

    `is_all` says that nothing follows in the file, `is_last` that nothing ever will.
    """

    def cut(self, data: bytes, taker: Taker, *, is_all: bool, is_last: bool, skipping: bool) -> Cut:
        """Deal with the records that are complete."""


class Lines:
    """Each line is a record."""

    def __init__(self, limit: int) -> None:
        self._limit = limit

    def cut(self, data: bytes, taker: Taker, *, is_all: bool, is_last: bool, skipping: bool) -> Cut:
        cut = Cut()
        while (place := data.find(b"\n", cut.end)) >= 0:
            if taker.is_full:
                return cut
            line, skipped = data[cut.end : place], skipping
            if not skipped and line.strip():
                cut.records += 1
                if problem := self._take(line, taker):
                    cut.damaged.append((cut.end, len(line), problem))
            cut.end, skipping = place + 1, False
        rest = len(data) - cut.end
        if skipping or rest > self._limit:
            if not skipping:
                cut.damaged.append((cut.end, rest, "it is longer than max_record_size"))
            cut.end, cut.skipping = len(data), True
        elif rest and not is_all:
            cut.needs = 2 * len(data)
        elif rest and is_last and not taker.take(data[cut.end :]):
            cut.records += 1
            cut.end = len(data)
        return cut

    def _take(self, line: bytes, taker: Taker) -> str:
        return taker.take(line) if len(line) <= self._limit else "it is longer than max_record_size"


class Sized:
    """Each record has its length in front. Where a length is damaged, the next record is looked for."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        highest = re.escape(bytes([limit >> 24]))
        self._start = re.compile(rb"[\x00-" + highest + rb"](?=[\x00-\xff]{3}" + _STARTS + rb")", re.DOTALL)

    def cut(self, data: bytes, taker: Taker, *, is_all: bool, is_last: bool, skipping: bool) -> Cut:  # noqa: ARG002 - lines need it
        cut = Cut()
        while cut.end + _HEADER <= len(data) and not taker.is_full:
            begin = cut.end + _HEADER
            length = int.from_bytes(data[cut.end : begin], "big")
            end = begin + length
            if length <= self._limit and end > len(data):
                if is_last and self._take_next(cut, data, taker):
                    continue
                cut.needs = _HEADER + length
                break
            problem = taker.take(data[begin:end]) if length <= self._limit else "its length is that of no record"
            if not problem:
                cut.records += 1
                cut.end = end
            elif length <= self._limit and self._may_begin(data, end):
                cut.records += 1
                self._pass_over(cut, end, problem)
            elif (found := self._search(data, cut.end + 1)) is not None:
                self._pass_over(cut, found, problem)
            elif not is_all and len(data) < self._limit:
                cut.needs = 2 * len(data)
                break
            else:
                self._pass_over(cut, len(data), problem)
        return cut

    def _take_next(self, cut: Cut, data: bytes, taker: Taker) -> bool:
        """Take the next record that is sound, behind one that would be longer than the data; whether there is one.

        What only looks like a record does not count: it may stand in half a record whose rest is still to come.
        """
        place = cut.end + 1
        while (found := self._search(data, place)) is not None:
            begin = found + _HEADER
            end = begin + int.from_bytes(data[found:begin], "big")
            if not taker.take(data[begin:end]):
                self._pass_over(cut, found, "its length is that of no record")
                cut.records += 1
                cut.end = end
                return True
            place = found + 1
        return False

    def _pass_over(self, cut: Cut, end: int, problem: str) -> None:
        cut.damaged.append((cut.end, end - cut.end, problem))
        cut.end = end

    def _may_begin(self, data: bytes, place: int) -> bool:
        """Whether a record may begin there, as far as can be seen."""
        head = data[place : place + _HEADER + len(ZSTD)]
        if len(head) <= _HEADER:
            return place <= len(data)
        length = int.from_bytes(head[:_HEADER], "big")
        return length <= self._limit and re.match(_STARTS, head[_HEADER:]) is not None

    def _search(self, data: bytes, place: int) -> int | None:
        """Where the next record that is sound begins. It is not taken yet."""
        for match in self._start.finditer(data, place):
            begin = match.start()
            length = int.from_bytes(data[begin : begin + _HEADER], "big")
            end = begin + _HEADER + length
            if 0 < length <= self._limit and end <= len(data) and self._may_begin(data, end):
                return begin
        return None
