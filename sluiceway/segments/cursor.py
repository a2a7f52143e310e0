"""Which segments are left, and which of their records were acknowledged, in a file of fixed size, written in place.

Two slots are written in turns, each with its length, a generation and a checksum: a torn write loses the newest state,
and what it knew is then delivered again. Nothing but the words of this file keeps a record from being delivered; they
name each segment by its random id. Behind them stands, as JSON, how much is left in each segment: by that a file is
missed that somebody has deleted or cut off. No space is needed once the file is there, so acknowledging goes on when
the disk is full.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import orjson
from isal.isal_zlib import crc32

from sluiceway.segments.files import Files
from sluiceway.segments.frames import Totals

__all__ = ["Acknowledged", "Cursor", "Left", "forget_segments", "read_cursor"]

SLOT: Final = 64 * 1024
"""Bytes of a slot: room for 8,000 gaps between records that were acknowledged out of their order."""
_HEAD: Final = struct.Struct("<IIQI")
_ENTRY: Final = struct.Struct("<8sII")
_RANGE: Final = struct.Struct("<II")


class Acknowledged:
    """The numbers of records that were acknowledged: all below `low`, and single ones beyond."""

    __slots__ = ("beyond", "low")

    def __init__(self, low: int = 0, beyond: Iterable[int] = ()) -> None:
        self.low = low
        self.beyond = set(beyond)

    def __contains__(self, number: int) -> bool:
        return number < self.low or number in self.beyond

    def __bool__(self) -> bool:
        return bool(self.low or self.beyond)

    def add(self, number: int) -> None:
        """One more."""
        self.beyond.add(number)
        while self.low in self.beyond:
            self.beyond.remove(self.low)
            self.low += 1

    def ranges(self) -> list[tuple[int, int]]:
        """Those beyond, as ranges without their ends, in order."""
        found: list[tuple[int, int]] = []
        for number in sorted(self.beyond):
            if found and found[-1][1] == number:
                found[-1] = (found[-1][0], number + 1)
            else:
                found.append((number, number + 1))
        return found


class Left(NamedTuple):
    """How much is left in a segment, which is known by its id, and by its number where its header cannot be read."""

    id: bytes
    number: int
    totals: Totals

    def encode(self) -> bytes:
        """Its bytes."""
        return orjson.dumps([self.id.hex(), self.number, self.totals])


def forget_segments(path: Path, files: Files) -> None:
    """Have nothing missed that is about to be deleted. Raises `OSError`."""
    if path.exists():
        cursor = Cursor(path, files)
        try:
            cursor.write(cursor.state)
            cursor.sync()
        finally:
            cursor.close()


def read_cursor(path: Path, files: Files) -> dict[bytes, Acknowledged]:
    """What the file says, for who only looks; nothing where it is missing."""
    try:
        return _newest(files.read(path))[1]
    except FileNotFoundError:
        return {}


class Cursor:
    """The file. Opening it makes it where it is missing, with all of its space."""

    def __init__(self, path: Path, files: Files) -> None:
        self._path = path
        self._files = files
        self._descriptor = files.open_for_update(path)
        try:
            data = files.read(path)
            self._generation, self.state, self.left = _newest(data)
            if len(data) < 2 * SLOT:
                self._grow()
        except BaseException:
            files.close(self._descriptor)
            raise

    def _grow(self) -> None:
        for slot in (0, SLOT):
            self._put(bytes(SLOT), slot)
        self.write({**self.state})
        self.write({**self.state})
        self._files.sync(self._descriptor)

    def write(self, state: Mapping[bytes, Acknowledged], left: Iterable[bytes] = ()) -> None:
        """Put down what was acknowledged of each segment, by its id, and how much is left in each.

        Of the former what does not fit comes again after a crash, of the latter it is not missed.
        """
        entries, room = [], SLOT - _HEAD.size
        for id, known in state.items():
            if room < _ENTRY.size:
                break
            room -= _ENTRY.size
            ranges = known.ranges()[: room // _RANGE.size]
            room -= len(ranges) * _RANGE.size
            entries.append(_ENTRY.pack(id, known.low, len(ranges)) + b"".join(_RANGE.pack(*pair) for pair in ranges))
        self._generation += 1
        body = b"".join(entries) + _fitting(left, room)
        content = _HEAD.pack(0, _HEAD.size + len(body), self._generation, len(entries)) + body
        self._put(crc32(content[4:]).to_bytes(4, "little") + content[4:], SLOT * (self._generation % 2))

    def is_there(self) -> bool:
        """Whether whoever comes next will find it."""
        try:
            self._files.check(self._descriptor, self._path)
        except OSError:
            return False
        return True

    def sync(self) -> None:
        """Return when the disk has it."""
        self._files.sync(self._descriptor)

    def close(self) -> None:
        """Close the file."""
        self._files.close(self._descriptor)

    def _put(self, content: bytes, offset: int) -> None:
        while content:
            written = self._files.write_at(self._descriptor, content, offset)
            content, offset = content[written:], offset + written


def _fitting(left: Iterable[bytes], room: int) -> bytes:
    """A JSON list of as many as there is room for."""
    room -= len(b"[]")
    fitting = []
    for entry in left:
        room -= len(entry) + 1
        if room < 0:
            break
        fitting.append(entry)
    return b"[" + b",".join(fitting) + b"]" if fitting else b""


def _newest(data: bytes) -> tuple[int, dict[bytes, Acknowledged], dict[bytes, Left]]:
    """The generation of the newest slot that is whole, and what it says."""
    newest: tuple[int, dict[bytes, Acknowledged], dict[bytes, Left]] = (0, {}, {})
    for content in (data[:SLOT], data[SLOT : 2 * SLOT]):
        if len(content) < SLOT:
            continue
        checksum, size, generation, number = _HEAD.unpack_from(content)
        if not _HEAD.size <= size <= SLOT or crc32(content[4:size]) != checksum:
            continue
        if generation > newest[0]:
            newest = generation, *_entries(content[:size], number)
    return newest


def _entries(content: bytes, number: int) -> tuple[dict[bytes, Acknowledged], dict[bytes, Left]]:
    state, place = {}, _HEAD.size
    for _ in range(number):
        id, low, ranges = _ENTRY.unpack_from(content, place)
        place += _ENTRY.size
        known = state[id] = Acknowledged(low)
        for _ in range(ranges):
            known.beyond.update(range(*_RANGE.unpack_from(content, place)))
            place += _RANGE.size
    told = orjson.loads(content[place:]) if place < len(content) else []
    left = (Left(bytes.fromhex(id), number, Totals(**totals)) for id, number, totals in told)
    return state, {entry.id: entry for entry in left}
