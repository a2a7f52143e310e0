"""A log: records are appended at its end, read from its beginning, and forgotten once they were acknowledged."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from sluiceway.segments.cursor import Acknowledged, Cursor, Left
from sluiceway.segments.files import FILES, Files
from sluiceway.segments.frames import BEGIN, Record, Totals
from sluiceway.segments.keyring import Keyring, MissingKeyError
from sluiceway.segments.reader import Reader
from sluiceway.segments.segment import SUFFIX, Segment, Tail, number_of

__all__ = ["INCOMING", "SEGMENT_BYTES", "GoneError", "Log", "Position", "Stored"]

SEGMENT_BYTES: Final = 16 * 1024 * 1024
INCOMING: Final = "incoming"
"""The folder in a log's folder into which others put whole segments for it to take over."""
CURSOR_INTERVAL: Final = 1.0
"""Seconds between two syncs of the cursor; a power cut makes what was acknowledged since then come again."""

_log = logging.getLogger("sluiceway.segments")


class GoneError(OSError):
    """Somebody deleted the folder, or put another one in its place: nothing can be kept there any more."""


class Position(NamedTuple):
    """Where a record is: which segment of this log, and its number there."""

    segment: Segment
    number: int

    @property
    def name(self) -> bytes:
        """Twelve bytes that no other record has, here or elsewhere."""
        return self.segment.header.id + self.number.to_bytes(4, "big")


class Stored(NamedTuple):
    """A record with its position, and for one that was just appended where the next one begins."""

    record: Record
    position: Position
    end: int = 0


class Log:
    """The records in one folder, whose only user it is.

    The methods block. Three threads may call them: one writes (`open`, `append`, `adopt`, `save`, `close`, of which no
    two are under way), one reads (`read`), and one calls `hand_out` and `acknowledge`, which take no time. `hand_out`
    must not be called while there is more to read, or a reading under way.
    """

    def __init__(
        self,
        folder: Path,
        *,
        keyring: Keyring | None = None,
        fsync: bool = True,
        files: Files = FILES,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self.folder = folder
        self.keyring = keyring
        """What records are encrypted with. It and `fsync` may be changed, and count for all that is appended then."""
        self.fsync = fsync
        self._files = files
        self.segment_bytes = segment_bytes
        """What a segment has, but for a last record that goes beyond."""
        self._segments: dict[int, Segment] = {}
        self._reader = Reader(folder, self._segments, files)
        self._unreadable: dict[int, str] = {}
        self._tail: Tail | None = None
        self._cursor: Cursor | None = None
        self._known: dict[bytes, Acknowledged] = {}
        self._left: dict[bytes, Left] = {}
        """What was left in segments when that was put down the last time by an earlier run."""
        self._lock: int | None = None
        self._next_number = 1
        self._is_dirty = False
        self._saved = 0.0

    def open(self) -> Totals:
        """Take the folder, and look at what is there; the totals of what is to be read.

        Raises `LockedError` where another process has it, or `OSError`; then it is as it was and may be tried again.
        """
        self._files.make_folders(self.folder)
        self._lock = self._files.lock(self.folder / "lock")
        try:
            self._cursor = Cursor(self.folder / "cursor", self._files)
            self._known, self._left = dict(self._cursor.state), dict(self._cursor.left)
            totals = self.adopt()
            self._miss(totals)
        except BaseException:
            self._leave()
            raise
        return totals

    def adopt(self) -> Totals:
        """Take over the segments that others put into `incoming`, behind those that are there; what is in them.

        Segments that could not be read are tried again.
        """
        self._check()
        self._reader.retry()
        numbers = [number for name in self._files.names(self.folder) if (number := number_of(name)) is not None]
        self._next_number = max([self._next_number - 1, *numbers]) + 1
        incoming = self.folder / INCOMING
        with suppress(OSError):  # whatever fails is tried again; what has been renamed is there
            names = sorted(name for name in self._files.names(incoming) if number_of(name) is not None)
            if names and self._tail is not None:
                self._end_tail()
            for name in names:
                self._files.rename(incoming / name, self.folder / f"{self._next_number:016}{SUFFIX}")
                self._next_number += 1
            if names:
                self._files.sync_folder(self.folder)
        return self._look()

    def close(self) -> None:
        """End the youngest segment, and give the folder free."""
        with suppress(OSError):
            if self._tail is not None:
                self._end_tail()
            self._reader.finish_place()
            self.save(now=True)
        self._leave()

    @property
    def lost(self) -> list[Totals]:
        """What is known to have been in segments and was not found there, as it is noticed; take it out."""
        return self._reader.lost

    @property
    def damaged_bytes(self) -> int:
        """Bytes that are no records, of which there are copies in `quarantine`."""
        return self._reader.damaged_bytes

    @property
    def unreadable(self) -> list[str]:
        """What is wrong with segments that were left alone."""
        return list(self._unreadable.values())

    @property
    def bytes_on_disk(self) -> int:
        """The bytes of all segments."""
        return sum(segment.size for segment in tuple(self._segments.values()))

    @property
    def segments(self) -> int:
        """How many files there are."""
        return len(self._segments)

    # Writing

    def append(self, records: Sequence[Record]) -> list[Stored]:
        """Have records on the disk, in order. Raises `OSError`, and then none of them counts as being there."""
        if self._tail is not None:
            is_full = self._tail.segment.size - BEGIN >= self.segment_bytes
            if is_full or self._tail.terms != (self.keyring, self.fsync):
                self._end_tail()
        if self._tail is not None:
            with suppress(OSError):
                return self._append(self._tail, records)
            # The file had records before, and may have been the trouble: one that failed is not trusted again.
        stored = self._append(self._new_tail(), records)
        self._is_dirty = True  # a segment more, which is to be missed should somebody delete it
        return stored

    def _append(self, tail: Tail, records: Sequence[Record]) -> list[Stored]:
        segment = tail.segment
        try:
            places = tail.append(records)
        except OSError:
            self._tail = None
            if segment.size == BEGIN:
                del self._segments[segment.number]
            raise
        pairs = zip(records, places, strict=True)
        return [Stored(record, Position(segment, number), end) for record, (number, end) in pairs]

    def _new_tail(self) -> Tail:
        path = self.folder / f"{self._next_number:016}{SUFFIX}"
        tail = Tail(self._next_number, path, self._files, self.keyring, fsync=self.fsync)
        self._next_number += 1
        self._tail = tail
        self._segments[tail.segment.number] = tail.segment
        return tail

    def _end_tail(self) -> None:
        assert self._tail is not None  # noqa: S101 - the callers have looked
        self._tail.seal()
        self._tail = None

    # Reading

    @property
    def has_more(self) -> bool:
        """Whether there is something that was neither read nor handed out."""
        return self._reader.has_more

    @property
    def oldest(self) -> int:
        """When the oldest record was accepted that was not handed out, or before; in seconds since 1970, 0 for none."""
        segments = tuple(self._segments.values())
        return next((max(s.expected.oldest, s.latest) for s in segments if s.is_waiting), 0)

    def has_read(self, stored: Stored) -> bool:
        """Whether a record was read before who has appended it could hand it out."""
        return stored.position.segment.resume >= stored.end

    def hand_out(self, stored: Stored) -> None:
        """Count the oldest record that is there as read: the caller still has it from appending it."""
        segment = stored.position.segment
        segment.give_out(stored.position.number, stored.record)
        self._reader.pass_by(segment, stored.end)

    def read(self, size: int) -> list[Stored]:
        """The next records: about so many bytes, at least one where there is one; those acknowledged are left out.

        A segment that cannot be read is passed over until the next `adopt`. Raises `OSError` for it, where there is
        nothing to give.
        """
        return [Stored(record, Position(segment, number)) for segment, number, record in self._reader.read(size)]

    # Forgetting

    def acknowledge(self, positions: Sequence[Position]) -> None:
        """Records that were read or handed out have been seen to, and are not to come again."""
        for segment, number in positions:
            segment.acknowledge(number)
        self._is_dirty = self._is_dirty or bool(positions)

    def save(self, *, now: bool = False) -> None:
        """Put down what was acknowledged, and delete the segments that are done.

        What fails is tried again with the next call: the price is that records come twice after a crash. A disk that
        is full or broken is drained all the same.
        """
        done = [segment for segment in tuple(self._segments.values()) if segment.is_done]
        if self._cursor is None or not (self._is_dirty or done or now):
            return
        is_due = now or bool(done) or time.monotonic() - self._saved >= CURSOR_INTERVAL
        with suppress(OSError):
            self._put_down(sync=is_due, some_go=bool(done))
            for segment in done:
                self._files.delete(segment.path)
                del self._segments[segment.number]
                self._known.pop(segment.header.id, None)
            if done and self.fsync:
                self._files.sync_folder(self.folder)

    def _put_down(self, *, sync: bool, some_go: bool) -> None:
        """Write the cursor. Where that fails before segments go, it goes first: it would have them missed."""
        try:
            self._write_cursor(sync=sync)
        except OSError:
            if not some_go:
                raise
            self._files.delete(self.folder / "cursor")

    def _write_cursor(self, *, sync: bool) -> None:
        assert self._cursor is not None  # noqa: S101 - the caller has looked
        self._is_dirty = not sync  # before it is looked at: what is acknowledged meanwhile is put down next
        for segment in tuple(self._segments.values()):
            if segment.acknowledged:
                self._known[segment.header.id] = segment.acknowledged
        try:
            self._cursor.write(self._known, self._what_is_left())
            if sync and self.fsync:
                self._cursor.sync()
        except OSError:
            self._is_dirty = True
            raise
        if sync:
            self._saved = time.monotonic()

    def _what_is_left(self) -> Iterator[bytes]:
        for segment in tuple(self._segments.values()):
            if left := segment.left():
                yield left
        yield from (left.encode() for left in self._left.values() if left.number in self._unreadable)

    def forget_oldest(self, most: int) -> int:
        """Delete whole segments, the oldest first, until the others have at most so many bytes; how many records went.

        For logs that nobody reads while they are written: dead letters.
        """
        forgotten = []
        for number, segment in tuple(self._segments.items()):
            if self.bytes_on_disk <= most or not segment.is_sealed:
                break
            forgotten.append(self._segments.pop(number))
        if not forgotten:
            return 0
        with suppress(OSError):
            self._put_down(sync=True, some_go=True)
        there = set(self._files.names(self.folder))
        for segment in forgotten:
            self._files.delete(segment.path)
        return sum(segment.expected.records for segment in forgotten if segment.path.name in there)

    # Opening and leaving

    def _check(self) -> None:
        """Look whether the folder and the cursor are still those that were opened. Raises `GoneError`."""
        assert self._lock is not None  # noqa: S101 - it is open
        try:
            self._files.check(self._lock, self.folder / "lock")
        except OSError:
            raise GoneError(errno.ESTALE, f"{self.folder} was deleted or replaced while it was in use") from None
        if self._cursor is not None and not self._cursor.is_there():
            with suppress(OSError):  # it is tried again with the next look
                before, self._cursor = self._cursor, Cursor(self.folder / "cursor", self._files)
                self._is_dirty = True
                before.close()

    def _look(self) -> Totals:
        """Take in the segments that are not known yet: what they have that was not acknowledged."""
        totals = Totals()
        numbers = sorted(n for name in self._files.names(self.folder) if (n := number_of(name)) is not None)
        for number in numbers:
            if number not in self._segments:
                self._look_at(number)
                if number in self._segments:
                    totals.include(self._segments[number].expected)
        if not self._unreadable:  # else it may be one of those
            there = {segment.header.id for segment in self._segments.values()}
            self._known = {id: numbers for id, numbers in self._known.items() if id in there}
        return totals

    def _miss(self, totals: Totals) -> None:
        """Count as lost what was left in segments that are not there any more."""
        there = {segment.header.id for segment in self._segments.values()}
        for left in self._left.values():
            if left.id in there or left.number in self._unreadable:
                continue
            name = f"{left.number:016}{SUFFIX}"
            _log.error("%s is gone, with %d records: somebody deleted it", self.folder / name, left.totals.records)
            self._reader.lost.append(left.totals)
            totals.include(left.totals)
        if self._reader.lost:
            self.save(now=True)

    def _look_at(self, number: int) -> None:
        path = self.folder / f"{number:016}{SUFFIX}"
        try:
            segment = Segment.open(number, path, self._files, self.keyring, self._known)
            if segment.header.id in self._left:
                segment.expect(self._left[segment.header.id].totals)
            if segment.size < BEGIN:
                _log.error("%s was cut off: nothing of it is left", path)
            if segment.expected.records or segment.is_damaged or not (segment.acknowledged or segment.size <= BEGIN):
                self._segments[number] = segment
            else:
                self._files.delete(path)
        except FileNotFoundError:
            return
        except (MissingKeyError, OSError) as error:
            self._leave_alone(number, path, str(error))
        except ValueError as error:
            self._judge(number, path, str(error))
        else:
            self._unreadable.pop(number, None)

    def _judge(self, number: int, path: Path, why: str) -> None:
        """A file that is no segment is left alone, unless it was made and never written to."""
        with suppress(OSError):
            if self._files.size(path) <= BEGIN:
                self._files.delete(path)
                return
        self._leave_alone(number, path, why)

    def _leave_alone(self, number: int, path: Path, why: str) -> None:
        text = f"{path.name}: {why}"
        if self._unreadable.get(number) != text:
            _log.error("%s cannot be read and is left alone: %s", path, why)
        self._unreadable[number] = text

    def _leave(self) -> None:
        """Give the folder free, whatever has been done in it."""
        for descriptor in (self._cursor, self._lock):
            with suppress(OSError):
                if isinstance(descriptor, Cursor):
                    descriptor.close()
                elif descriptor is not None:
                    self._files.close(descriptor)
        self._cursor = self._lock = None
        self._segments.clear()
        self._unreadable.clear()
        self._reader.leave()
