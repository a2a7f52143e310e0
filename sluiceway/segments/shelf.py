"""Logs as somebody sees them who has none of them open: what is in them, and moving or deleting it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from sluiceway.segments.cursor import forget_segments, read_cursor
from sluiceway.segments.files import FILES, LockedError
from sluiceway.segments.frames import BEGIN, Found, Record, Totals, scan
from sluiceway.segments.keyring import Keyring, MissingKeyError
from sluiceway.segments.log import INCOMING, SEGMENT_BYTES
from sluiceway.segments.owner import as_owner
from sluiceway.segments.reader import QUARANTINE
from sluiceway.segments.segment import SUFFIX, Segment, Tail, number_of

__all__ = ["QUEUE", "Shelf", "TwiceError", "is_wanted", "shelves", "waiting_queues"]

QUEUE: Final = ".queue"
DEAD: Final = ".dead"
WANTED: Final = "wanted"
"""The file by which a collector is asked to let go of its dead letters."""
PATIENCE: Final = 15.0
"""Seconds that this may take."""


class TwiceError(OSError):
    """Records are where they were to go, and some may still be where they were."""


class Shelf:
    """One log, a queue or dead letters, as it was when this was made. Looking disturbs nobody who works with it.

    Root does everything here as the owner of the folder.
    """

    def __init__(self, folder: Path, keyring: Keyring | None) -> None:
        self.folder = folder
        self.name = folder.name
        self.is_dead = folder.suffix == DEAD
        self.signal = folder.stem.rpartition("_")[2]
        self.segments: list[Segment] = []
        self.unreadable: list[str] = []
        self.quarantined: list[str] = []
        """Files with something in them that cannot be read, which `replay` and `purge` have put aside."""
        self.keyring = keyring
        with as_owner(folder):
            self._look()

    def _look(self) -> None:
        """See what is there now."""
        folder, keyring = self.folder, self.keyring
        self.segments.clear()
        self.unreadable.clear()
        known = read_cursor(folder / "cursor", FILES)
        for path in (*_segments(folder), *_segments(folder / INCOMING)):
            number = number_of(path.name) or 0
            try:
                self.segments.append(Segment.open(number, path, FILES, keyring, known))
            except FileNotFoundError:
                continue  # it was delivered meanwhile
            except (MissingKeyError, ValueError) as error:
                self.unreadable.append(f"{path.name}: {error}")

    def totals(self) -> Totals:
        """What is in it and was not acknowledged."""
        totals = Totals()
        for segment in self.segments:
            totals.include(segment.expected)
        return totals

    def is_in_use(self) -> bool:
        """Whether a collector has it open."""
        try:
            with as_owner(self.folder):
                FILES.close(FILES.lock(self.folder / "lock", patience=0))
        except LockedError:
            return True
        except OSError:  # a file system that is mounted for reading only: nobody writes there
            return False
        return False

    def records(self) -> Iterator[Record]:
        """Its records, oldest first."""
        for segment in self.segments:
            try:
                with as_owner(self.folder):
                    content = FILES.read(segment.path, BEGIN)
            except FileNotFoundError:
                continue
            for found in scan(segment.header, content, BEGIN):
                if isinstance(found, Found) and found.number not in segment.acknowledged:
                    yield found.record

    def replay(self, into: Shelf | None = None) -> tuple[int, int]:
        """Put the dead letters back into their queue, whether a collector has that open or not: records and items.

        With `into` they go to another queue, and so does all that a queue holds which no exporter has any more.
        What is damaged goes to the folder `quarantine`, with the whole file. They count as accepted now. Raises
        `LockedError` where a collector does not let go of them, or `OSError`, and then they are where they were, or
        `TwiceError`.
        """
        incoming = (self.folder.with_suffix(QUEUE) if into is None else into.folder) / INCOMING
        keyring = self.keyring if into is None else into.keyring
        totals = Totals()
        with self._taken():
            FILES.make_folders(incoming.parent)  # by itself: the parents of a folder get other rights
            FILES.make_folders(incoming)
            moved: list[Path] = []
            try:
                for group in _groups(self.records()):
                    moved.append(incoming / f"{time.time_ns()}.part")
                    tail = Tail(0, moved[-1], FILES, keyring, fsync=True)
                    tail.append(group)
                    tail.seal()
                    for record in group:
                        totals.add(record)
            except OSError:
                for part in moved:
                    FILES.delete(part)
                raise
            try:
                for part in moved:
                    FILES.rename(part, part.with_suffix(SUFFIX))
                FILES.sync_folder(incoming)
                self._delete()
            except OSError as error:
                raise TwiceError(error.errno, error.strerror, error.filename) from error
        return totals.records, totals.items

    def purge(self) -> None:
        """Delete all that can be read; what cannot goes to the quarantine.

        Raises `LockedError` where a collector does not let go of it.
        """
        with self._taken():
            self._delete()
            for text in self.unreadable:
                self._set_aside(self.folder / text.partition(":")[0])

    @contextmanager
    def _taken(self) -> Iterator[None]:
        """Have the folder. A collector that puts dead letters there is asked for it, and lets go soon."""
        with as_owner(self.folder):
            wanted = self.folder / WANTED
            if self.is_dead and self.is_in_use():
                wanted.touch()
            try:
                lock = FILES.lock(self.folder / "lock", patience=PATIENCE if self.is_dead else 0.3)
            finally:
                wanted.unlink(missing_ok=True)
            try:
                self._look()
                yield
            finally:
                FILES.close(lock)

    def _delete(self) -> None:
        """Delete the files; those with damages in them go to the quarantine."""
        forget_segments(self.folder / "cursor", FILES)
        for segment in self.segments:
            segment.count(FILES.read(segment.path, BEGIN), None)
            if segment.is_damaged:
                self._set_aside(segment.path)
            else:
                FILES.delete(segment.path)
        FILES.sync_folder(self.folder)

    def _set_aside(self, path: Path) -> None:
        """Keep a file that has something in it that cannot be read."""
        FILES.make_folders(self.folder / QUARANTINE)
        # Numbers begin anew where a folder was empty: what is there must not make way for another file of the name.
        FILES.rename(path, self.folder / QUARANTINE / f"{time.time_ns()}-{path.name}")
        self.quarantined.append(path.name)


def is_wanted(folder: Path) -> bool:
    """Whether somebody waits for a folder of dead letters; who has died meanwhile does not wait for ever."""
    try:
        return time.time() - (folder / WANTED).stat().st_mtime < 2 * PATIENCE
    except OSError:
        return False


def _segments(folder: Path) -> list[Path]:
    """The segments in a folder, oldest first."""
    return sorted(
        (folder / name for name in FILES.names(folder) if number_of(name) is not None),
        key=lambda path: number_of(path.name) or 0,
    )


def _groups(records: Iterator[Record]) -> Iterator[list[Record]]:
    """Records as they go back, by segments."""
    group: list[Record] = []
    size, now = 0, int(time.time())
    for record in records:
        notes = {key: value for key, value in record.notes.items() if key not in ("reason", "error")}
        group.append(replace(record, notes=notes, seconds=now))
        size += record.weight
        if size >= SEGMENT_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def shelves(directory: Path, keyring: Keyring | None) -> Iterator[Shelf]:
    """All queues and dead letters in a directory of `file_storage`."""
    for folder in sorted(directory.iterdir()):
        if folder.suffix in (QUEUE, DEAD) and folder.is_dir():
            yield Shelf(folder, keyring)


def waiting_queues(directory: Path) -> Iterator[Path]:
    """The queues in a directory of `file_storage` that have files, whatever is in them."""
    for folder in sorted(directory.glob(f"*{QUEUE}")):
        if _segments(folder) or _segments(folder / INCOMING):
            yield folder
