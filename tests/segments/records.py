"""What tests of logs share: records that say which they are."""

from __future__ import annotations

import os
from pathlib import Path

from sluiceway.segments import Files, Keyring, Log, Record

KEYS = {"new": bytes(range(32)), "old": bytes(32)}


OPENED: list[Log] = []
"""What was opened, and is to be closed some time."""


class Unsynced(Files):
    """Files that leave it to the system when the disk learns of what was written: fast, and no promise at all."""

    def sync(self, descriptor: int) -> None:
        """Nothing."""

    def sync_folder(self, path: Path) -> None:
        """Nothing."""


def record(number: int, size: int = 20) -> Record:
    """A record that holds its number."""
    payload = b"%d:" % number
    return Record(payload.ljust(size, b"."), number + 1, (("traces", number + 1),), 1_700_000_000, {"n": number})


def abandon(log: Log) -> None:
    """Leave a log as a crash does: nothing is put in order, and the folder is free."""
    os.close(log._lock)
    log._lock = None
    OPENED.remove(log)


def numbers(log: Log) -> list[int]:
    """The numbers of all records that a log gives, to its end."""
    found = []
    while batch := log.read(1000):
        for stored in batch:
            number = int(stored.record.payload.split(b":")[0])
            assert stored.record == record(number, len(stored.record.payload))
            found.append(number)
    return found


def opened(folder: Path, *, files: Files | None = None, keys: dict[str, bytes] | None = None, size: int = 2_000) -> Log:
    """A log with small segments, opened."""
    log = Log(folder, files=files or Files(), keyring=None if keys is None else Keyring(keys), segment_bytes=size)
    OPENED.append(log)
    log.open()
    return log
