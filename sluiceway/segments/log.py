"""A log: records are appended at its end, read from its beginning, and forgotten once they were acknowledged."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from sluiceway.segments.cursor import Cursor
from sluiceway.segments.files import FILES, Files
from sluiceway.segments.frames import BEGIN, Damage, Found, Record, Totals, scan
from sluiceway.segments.keyring import Keyring, MissingKeyError
from sluiceway.segments.segment import SUFFIX, Segment, Tail, number_of

__all__ = ["INCOMING", "QUARANTINE", "SEGMENT_BYTES", "Log", "Position", "Stored"]

SEGMENT_BYTES: Final = 16 * 1024 * 1024
INCOMING: Final = "incoming"
"""The folder in a log's folder into which others put whole segments for it to take over."""
QUARANTINE: Final = "quarantine"
_CURSOR_INTERVAL: Final = 1.0
"""Seconds between two syncs of the cursor; a power cut makes what was acknowledged since then come again."""
_MOST_QUARANTINED: Final = 64 * 1024 * 1024

_log = logging.getLogger("sluiceway.segments")


class Position(NamedTuple):
    """Where a record is: which segment of this log, and its number there."""

    segment: Segment
    number: int

    @property
    def name(self) -> bytes:
        """Twelve bytes that no other record has, here or elsewhere."""
        return self.segment.header.id + self.number.to_bytes(4, "big")


class Stored(NamedTuple):
    """A record with its position, and where the next one begins."""

    record: Record
    position: Position
    end: int


class Log:
    """The records in one folder, whose only user it is.

    The methods block, and several threads may call them: `append` and `save` one, `read` another, and `hand_out` and
    `acknowledge`, which do not block, a third.
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
        self.made_from = (folder, fsync, segment_bytes, keyring)
        """Logs of equal origin are interchangeable."""
        self.damaged_bytes = 0
        """Bytes that are no records, of which there are copies in `quarantine`."""
        self.lost: list[Totals] = []
        """What is known to have been in segments and was not found there, as it is noticed."""
        self.unreadable: list[str] = []
        """What is wrong with segments that were left alone."""
        self._left_alone: set[int] = set()
        self._keyring = keyring
        self._fsync = fsync
        self._files = files
        self._segment_bytes = segment_bytes
        self._segments: dict[int, Segment] = {}
        self._tail: Tail | None = None
        self._cursor: Cursor | None = None
        self._lock: int | None = None
        self._next_number = 1
        self._is_dirty = False
        self._saved = 0.0
        self._place: Segment | None = None
        self._offset = BEGIN
        self._ahead: Iterator[Found | Damage] = iter(())
        self._loaded = 0
        self._mutex = threading.Lock()
        """Guards the counts of records that are out, which decide whether a file may be deleted."""

    def open(self) -> Totals:
        """Take the folder, and look at what is there; the totals of what is to be read.

        Raises `LockedError` where another process has it, or `OSError`; then it is as it was and may be tried again.
        """
        self._files.make_folders(self.folder)
        self._lock = self._files.lock(self.folder / "lock")
        try:
            self._cursor = Cursor(self.folder / "cursor", self._files)
            totals = self.adopt()
            self.save(now=True)
        except BaseException:
            self._leave()
            raise
        return totals

    def adopt(self) -> Totals:
        """Take over the segments that others put into `incoming`, behind those that are there; what is in them."""
        incoming = self.folder / INCOMING
        names = sorted(name for name in self._files.names(incoming) if number_of(name) is not None)
        numbers = [number for name in self._files.names(self.folder) if (number := number_of(name)) is not None]
        self._next_number = max([self._next_number - 1, *numbers]) + 1
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
            if self._place is not None and self._offset >= self._place.size:
                self._finish(self._place)
            self.save(now=True)
        self._leave()

    def _leave(self) -> None:
        """Give the folder free, whatever has been done in it."""
        if self._cursor is not None:
            with suppress(OSError):
                self._cursor.close()
            self._cursor = None
        if self._lock is not None:
            with suppress(OSError):
                self._files.close(self._lock)
            self._lock = None
        self._segments.clear()
        self._place = None

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
        group = list(records)
        if self._tail is not None and self._tail.segment.size >= self._segment_bytes:
            self._end_tail()
        fresh = self._tail is None
        tail = self._tail or self._new_tail()
        try:
            places = tail.append(group)
        except OSError:
            self._drop_tail()
            if fresh:
                raise
            # The file had records before, and may have been the trouble: a file that failed is not trusted again.
            tail = self._new_tail()
            try:
                places = tail.append(group)
            except OSError:
                self._drop_tail()
                raise
        segment = tail.segment
        for record in group:
            segment.expect(record)
        pairs = zip(group, places, strict=True)
        return [Stored(record, Position(segment, number), end) for record, (number, end) in pairs]

    def _new_tail(self) -> Tail:
        path = self.folder / f"{self._next_number:016}{SUFFIX}"
        tail = Tail(self._next_number, path, self._files, self._keyring, fsync=self._fsync)
        self._next_number += 1
        self._tail = tail
        self._segments[tail.segment.number] = tail.segment
        return tail

    def _drop_tail(self) -> None:
        """Forget a tail that failed: what it had before is read as ever."""
        assert self._tail is not None  # noqa: S101 - only called behind its failure
        segment = self._tail.segment
        self._tail = None
        if segment.size == BEGIN:
            del self._segments[segment.number]

    def _end_tail(self) -> None:
        assert self._tail is not None  # noqa: S101 - the callers have looked
        self._tail.seal()
        self._tail = None

    # Reading

    @property
    def has_more(self) -> bool:
        """Whether there is something that was neither read nor handed out."""
        for segment in tuple(self._segments.values()):
            if segment.is_read or (self._place is not None and segment.number < self._place.number):
                continue
            if segment.size > (self._offset if segment is self._place else BEGIN):
                return True
        return False

    def hand_out(self, stored: Stored) -> None:
        """Count the oldest record that is there as read: the caller still has it from appending it."""
        segment = stored.position.segment
        if segment is not self._place:
            self._pass_by(segment.number)
            self._place = segment
        self._offset = self._loaded = stored.end
        self._ahead = iter(())
        with self._mutex:
            segment.give_out(stored.record)

    def read(self, size: int) -> list[Stored]:
        """The next records: about so many bytes, at least one where there is one; those acknowledged are left out."""
        found: list[Stored] = []
        while size > 0:
            stored = self._next()
            if stored is None:
                break
            found.append(stored)
            size -= stored.record.weight + 1
        return found

    def rewind(self) -> None:
        """Have everything read again that was not acknowledged."""
        self._leave_place()
        for segment in tuple(self._segments.values()):
            segment.rewind()

    def _next(self) -> Stored | None:
        while True:
            segment = self._place
            if segment is None:
                segment = self._following()
                if segment is None:
                    return None
                self._enter(segment)
            for found in self._ahead:
                self._offset = found.end
                if isinstance(found, Damage):
                    self._damaged(segment, found)
                elif found.number not in segment.acknowledged:
                    with self._mutex:
                        segment.give_out(found.record)
                    return Stored(found.record, Position(segment, found.number), found.end)
            if self._loaded < segment.size:
                self._load(segment)
                continue
            if not segment.is_sealed:
                return None
            self._leave_place()
            self._finish(segment)

    def _enter(self, segment: Segment) -> None:
        self._leave_place()
        self._place = segment

    def _leave_place(self) -> None:
        self._place, self._offset, self._loaded, self._ahead = None, BEGIN, BEGIN, iter(())

    def _finish(self, segment: Segment) -> None:
        """All that a segment has was handed out; what it was known to have and is not there is lost."""
        lost = segment.missing()
        if lost.records:
            self.lost.append(lost)
        segment.is_read = True
        self._is_dirty = True

    def _load(self, segment: Segment) -> None:
        begin, size = self._offset, segment.size
        data = self._files.read(segment.path, begin, size - begin)
        self._ahead, self._loaded = scan(segment.header, data, begin), size

    def _following(self) -> Segment | None:
        return next((segment for segment in tuple(self._segments.values()) if not segment.is_read), None)

    def _pass_by(self, number: int) -> None:
        """Everything before a segment was handed out."""
        for segment in tuple(self._segments.values()):
            if segment.number < number and not segment.is_read:
                self._finish(segment)

    def _damaged(self, segment: Segment, damage: Damage) -> None:
        size = damage.end - damage.start
        self.damaged_bytes += size
        is_torn_end = damage.end >= segment.size
        text = "ends with %d bytes of a write that was cut off" if is_torn_end else "is damaged: %d bytes are no record"
        _log.warning(f"%s {text}; they are kept in %s", segment.path, size, self.folder / QUARANTINE)
        with suppress(OSError):
            folder = self.folder / QUARANTINE
            self._files.make_folders(folder)
            kept = folder / f"{segment.path.stem}-{damage.start}"
            if sum(self._files.size(folder / name) for name in self._files.names(folder)) < _MOST_QUARANTINED:
                content = self._files.read(segment.path, damage.start, size)
                descriptor = self._files.create(kept)
                try:
                    self._files.write(descriptor, memoryview(content))
                finally:
                    self._files.close(descriptor)

    # Forgetting

    def forget_oldest(self, most: int) -> int:
        """Delete whole segments, the oldest first, until the others have at most so many bytes; how many records went.

        For logs that nobody reads while they are written: dead letters.
        """
        forgotten = 0
        for number, segment in tuple(self._segments.items()):
            if self.bytes_on_disk <= most or not segment.is_sealed:
                break
            with suppress(FileNotFoundError):
                self._files.size(segment.path)
                forgotten += segment.expected.records
            self._files.delete(segment.path)
            del self._segments[number]
        return forgotten

    def acknowledge(self, positions: Sequence[Position]) -> None:
        """Records that were read or handed out have been seen to, and are not to come again."""
        with self._mutex:
            for segment, number in positions:
                segment.acknowledge(number)
        self._is_dirty = self._is_dirty or bool(positions)

    def save(self, *, now: bool = False) -> None:
        """Put down what was acknowledged, and delete the segments that are done.

        What fails is tried again with the next call: the price is that records come twice after a crash.
        """
        if not self._is_dirty and not now:
            return
        with self._mutex:
            done = [segment for segment in self._segments.values() if segment.is_done]
        is_due = now or time.monotonic() - self._saved >= _CURSOR_INTERVAL
        with suppress(OSError):
            self._save(sync=is_due or bool(done))
        with suppress(OSError):
            for segment in done:
                self._files.delete(segment.path)
                del self._segments[segment.number]
            if done and self._fsync:
                self._files.sync_folder(self.folder)

    def _save(self, *, sync: bool) -> None:
        if self._cursor is None:
            return
        known = {segment.header.id: segment.acknowledged for segment in self._segments.values()}
        # What is known of segments that are left alone stays known: they may be read again one day.
        others = self._cursor.state if self._left_alone else {}
        self._cursor.write({id: numbers for id, numbers in {**others, **known}.items() if numbers})
        if sync and self._fsync:
            self._cursor.sync()
        if sync:
            self._saved = time.monotonic()
            self._is_dirty = False

    # Opening

    def _look(self) -> Totals:
        """Take in the segments that are not known yet: what they have that was not acknowledged."""
        totals = Totals()
        numbers = sorted(n for name in self._files.names(self.folder) if (n := number_of(name)) is not None)
        for number in numbers:
            if number not in self._segments and number not in self._left_alone:
                self._look_at(number)
                if number in self._segments:
                    totals.include(self._segments[number].expected)
        return totals

    def _look_at(self, number: int) -> None:
        assert self._cursor is not None  # noqa: S101 - opening has made it
        path = self.folder / f"{number:016}{SUFFIX}"
        try:
            segment = Segment.open(number, path, self._files, self._keyring, self._cursor.state)
        except MissingKeyError as error:
            self._leave_alone(number, path, str(error))
        except ValueError as error:
            if self._files.size(path) <= BEGIN:  # made, and never written to
                self._files.delete(path)
            else:
                self._leave_alone(number, path, str(error))
        else:
            if segment.expected.records or (segment.size > BEGIN and not segment.acknowledged):
                self._segments[number] = segment
            else:
                self._files.delete(path)

    def _leave_alone(self, number: int, path: Path, why: str) -> None:
        self._left_alone.add(number)
        self.unreadable.append(f"{path.name}: {why}")
        _log.error("%s cannot be read and is left alone: %s", path, why)
