"""Logs as somebody sees them who has none of them open: what is in them, and moving or deleting it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from sluiceway.segments.cursor import read_cursor
from sluiceway.segments.files import FILES, LockedError
from sluiceway.segments.frames import BEGIN, Found, Record, Totals, scan
from sluiceway.segments.keyring import Keyring, MissingKeyError
from sluiceway.segments.log import INCOMING
from sluiceway.segments.segment import SUFFIX, Segment, Tail, number_of

__all__ = ["Shelf", "shelves"]

QUEUE: Final = ".queue"
DEAD: Final = ".dead"


class Shelf:
    """One log, a queue or dead letters, as it was when this was made. Looking disturbs nobody who works with it."""

    def __init__(self, folder: Path, keyring: Keyring | None) -> None:
        self.folder = folder
        self.name = folder.name
        self.is_dead = folder.suffix == DEAD
        self.signal = folder.stem.rpartition("_")[2]
        self.segments: list[Segment] = []
        self.unreadable: list[str] = []
        self._keyring = keyring
        known = read_cursor(folder / "cursor", FILES)
        for number in sorted(n for name in FILES.names(folder) if (n := number_of(name)) is not None):
            path = folder / f"{number:016}{SUFFIX}"
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
            FILES.close(FILES.lock(self.folder / "lock"))
        except LockedError:
            return True
        return False

    def records(self) -> Iterator[Record]:
        """Its records, oldest first."""
        for segment in self.segments:
            try:
                content = FILES.read(segment.path, BEGIN)
            except FileNotFoundError:
                continue
            for found in scan(segment.header, content, BEGIN):
                if isinstance(found, Found) and found.number not in segment.acknowledged:
                    yield found.record

    def replay(self) -> tuple[int, int]:
        """Put the dead letters back into their queue, whether a collector has that open or not: records and items.

        Raises `LockedError` while a collector puts dead letters there.
        """
        incoming = self.folder.with_suffix(QUEUE) / INCOMING
        lock = FILES.lock(self.folder / "lock")
        try:
            FILES.make_folders(incoming)
            moment = time.time_ns()
            part = incoming / f"{moment}.{os.getpid()}.part"
            tail = Tail(0, part, FILES, self._keyring, fsync=True)
            totals = Totals()
            for record in self.records():
                notes = {key: value for key, value in record.notes.items() if key not in ("reason", "error")}
                tail.append([replace(record, notes=notes)])
                totals.add(record)
            tail.seal()
            if totals.records:
                FILES.rename(part, incoming / f"{moment}{SUFFIX}")
                FILES.sync_folder(incoming)
            else:
                FILES.delete(part)
            self._delete()
        finally:
            FILES.close(lock)
        return totals.records, totals.items

    def purge(self) -> None:
        """Delete all that can be read. Raises `LockedError` while a collector has it open."""
        lock = FILES.lock(self.folder / "lock")
        try:
            self._delete()
        finally:
            FILES.close(lock)

    def _delete(self) -> None:
        for segment in self.segments:
            FILES.delete(segment.path)
        FILES.sync_folder(self.folder)


def shelves(directory: Path, keyring: Keyring | None) -> Iterator[Shelf]:
    """All queues and dead letters in a directory of `file_storage`."""
    for folder in sorted(directory.iterdir()):
        if folder.suffix in (QUEUE, DEAD) and folder.is_dir():
            yield Shelf(folder, keyring)
