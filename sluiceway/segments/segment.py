"""One file of records: what is known of it, and writing to the youngest."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from sluiceway.segments.cursor import Acknowledged, Left
from sluiceway.segments.files import Files, write_all
from sluiceway.segments.frames import BEGIN, Damage, Header, Record, Totals, encode, encode_seal, read_seal, scan
from sluiceway.segments.keyring import Keyring

__all__ = ["SUFFIX", "Segment", "Tail", "number_of"]

SUFFIX: Final = ".segment"
_SEAL_BYTES: Final = 64 * 1024


def number_of(name: str) -> int | None:
    """The place of a segment among the others, by its file's name; None where that is no segment."""
    stem = name.removesuffix(SUFFIX)
    return int(stem) if name.endswith(SUFFIX) and stem.isascii() and stem.isdigit() else None


class Segment:
    """A file of records, up to `size`; `expected` are those not acknowledged when it was opened, and those since.

    Records are handed out by one thread, and acknowledged by another one.
    """

    def __init__(self, number: int, path: Path, header: Header, size: int) -> None:
        self.number = number
        self.path = path
        self.header = header
        self.size = size
        self.resume = BEGIN
        """Where reading goes on."""
        self.expected = Totals()
        self.acknowledged = Acknowledged()
        self.is_sealed = True
        """Whether nothing will be added."""
        self.is_read = False
        """Whether all of its records were handed out."""
        self.is_damaged = False
        self.is_aside = False
        """Whether it cannot be read at the moment."""
        self.latest = 0
        """When the record was accepted that was handed out last, in seconds since 1970: what comes is no older."""
        self._given = Totals()
        self._done = Totals()
        self._told = (0, 0, b"")
        self._out: dict[int, Totals] = {}
        self._mutex = threading.Lock()

    @property
    def is_done(self) -> bool:
        """Whether it may be deleted: all was handed out, and none of it is still to be acknowledged."""
        with self._mutex:
            return self.is_sealed and self.is_read and not self._out

    @property
    def is_waiting(self) -> bool:
        """Whether there is something in it that was not handed out."""
        return not self.is_read and not self.is_aside and self.size > self.resume

    def give_out(self, number: int, record: Record) -> None:
        """A record is handed out."""
        given = Totals.of(record)
        with self._mutex:
            self._out[number] = given
            self._given.include(given)
            self.latest = record.seconds

    def acknowledge(self, number: int) -> None:
        """One record that was handed out has been seen to."""
        with self._mutex:
            self.acknowledged.add(number)
            self._done.include(self._out.pop(number))

    def grow(self, records: Sequence[Record], size: int) -> None:
        """More records are in it, which is of this size now."""
        with self._mutex:
            for record in records:
                self.expected.add(record)
            self.size = size

    def write_off(self) -> Totals:
        """What was expected of it up to `resume`, and never handed out: it is lost, and not expected any more."""
        with self._mutex:
            if self.resume < self.size:
                return Totals()  # more was written meanwhile
            lost = self.expected.less(self._given)
            self.expected = self.expected.less(lost)
            return lost

    def expect(self, left: Totals) -> None:
        """So much was left in it when that was put down; where less is found, the rest is missing."""
        if left.records > self.expected.records:
            self.expected = left

    def left(self) -> bytes:
        """How much is in it that was not acknowledged, as the cursor keeps it; empty where nothing is."""
        with self._mutex:
            state = (self.expected.records, self._done.records)
            if state != self._told[:2]:  # most have not changed since they were asked the last time
                left = self.expected.less(self._done)
                told = Left(self.header.id, self.number, left).encode() if left.records else b""
                self._told = (*state, told)
            return self._told[2]

    @classmethod
    def open(
        cls, number: int, path: Path, files: Files, keyring: Keyring | None, known: Mapping[bytes, Acknowledged]
    ) -> Self:
        """Look at a file of an earlier run.

        Raises `ValueError` where it is no segment, `MissingKeyError` where it cannot be read, or `OSError`.
        """
        size = files.size(path)
        header = Header.decode(files.read(path, 0, BEGIN), keyring)
        segment = cls(number, path, header, size)
        segment.acknowledged = known.get(header.id) or Acknowledged()
        totals = read_seal(header, files.read(path, max(BEGIN, size - _SEAL_BYTES), _SEAL_BYTES))
        if totals is None or segment.acknowledged:
            totals = segment.count(files.read(path, BEGIN), totals)
        segment.expected = totals
        return segment

    def count(self, content: bytes, sealed: Totals | None) -> Totals:
        """Add up what is in it and was not acknowledged; what its end tells, and is not there, counts as well."""
        found, done = Totals(), Totals()
        for part in scan(self.header, content, BEGIN):
            if isinstance(part, Damage):
                self.is_damaged = True
            else:
                (done if part.number in self.acknowledged else found).add(part.record)
        return found if sealed is None else sealed.less(done)


class Tail:
    """The segment that is written to. After any failure it is ended, and must not be used again."""

    def __init__(self, number: int, path: Path, files: Files, keyring: Keyring | None, *, fsync: bool) -> None:
        """Make the file, with nothing in it that anybody would miss. Raises `OSError`, and then it is not there."""
        self.terms = (keyring, fsync)
        """How its records are kept: with these keys, and synced or not."""
        self._files = files
        self._fsync = fsync
        self._next = 0
        self._is_known = False
        self._descriptor = files.create(path)
        self.segment = Segment(number, path, Header.make(keyring), BEGIN)
        self.segment.is_sealed = False
        try:
            write_all(files, self._descriptor, self.segment.header.encode())
        except BaseException:
            self._discard()
            raise

    def append(self, records: Sequence[Record]) -> list[tuple[int, int]]:
        """Have records on the disk; the number of each, and where its frame ends.

        Raises `OSError`, also where somebody has deleted the file or cut it off: nobody would find them there.
        """
        segment, places = self.segment, []
        try:
            self._check()
        except OSError:
            self._close()
            raise
        pieces: list[bytes] = []
        end, first = segment.size, self._next
        self._next += len(records)  # whatever becomes of them: with encryption a number must not come twice
        for number, record in enumerate(records, first):
            frame = encode(segment.header, number, record)
            end += sum(map(len, frame))
            pieces += frame
            places.append((number, end))
        try:
            write_all(self._files, self._descriptor, b"".join(pieces))
            self._sync()
        except BaseException:
            self._give_up()
            raise
        segment.grow(records, end)
        return places

    def seal(self) -> None:
        """End it in order. What fails is of no consequence: it is then read to its end when it is opened."""
        with suppress(OSError):
            self._check()
            write_all(self._files, self._descriptor, encode_seal(self.segment.header, self.segment.expected))
            self._sync()
        self._close()

    def _check(self) -> None:
        self._files.check(self._descriptor, self.segment.path, self.segment.size)

    def _sync(self) -> None:
        if not self._fsync:
            return
        self._files.sync(self._descriptor)
        if not self._is_known:
            self._files.sync_folder(self.segment.path.parent)
            self._is_known = True

    def _give_up(self) -> None:
        """End it where it was good; a file without any record goes."""
        if self.segment.size == BEGIN:
            self._discard()
            return
        with suppress(OSError):
            self._files.truncate(self._descriptor, self.segment.size)
        self._close()

    def _discard(self) -> None:
        self._close()
        with suppress(OSError):
            self._files.delete(self.segment.path)

    def _close(self) -> None:
        self.segment.is_sealed = True
        with suppress(OSError):
            self._files.close(self._descriptor)
