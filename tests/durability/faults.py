"""File operations that fail, once or from some moment on, and a disk that is full."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sluiceway.segments import Files, Log
from tests.segments.records import Unsynced, numbers, opened, record

CHANGING = ("create", "open_for_update", "write", "write_at", "sync", "sync_folder", "check", "truncate", "delete",
            "rename", "make_folders", "read", "names", "size", "lock", "close")  # fmt: skip
STEPS = 14


class Failing(Files):
    """Files whose n-th operation fails, and with `lasting` all after it, too; writes may fail half-way."""

    def __init__(self, number: int, error: int, *, lasting: bool = False) -> None:
        self.count = 0
        self.failed = ""
        for name in CHANGING:
            setattr(self, name, self._failing(name, getattr(super(), name), number, error, lasting))

    def _failing(self, name: str, do: Callable[..., Any], number: int, error: int, lasting: bool) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            self.count += 1
            if self.count == number or (lasting and self.count > number):
                self.failed = self.failed or name
                if name == "write" and len(arguments[1]) > 1:  # a part of it arrives
                    do(arguments[0], arguments[1][: len(arguments[1]) // 2])
                if name == "close":  # the descriptor is gone all the same
                    do(*arguments)
                raise OSError(error, os.strerror(error))
            return do(*arguments)

        return call


def run(folder: Path, files: Files) -> tuple[set[int], set[int], set[int]]:
    """A scripted life of a log: the numbers that were kept, those that were tried, and those that were seen to."""
    kept: set[int] = set()
    tried: set[int] = set()
    seen: set[int] = set()
    log = Log(folder, files=files, segment_bytes=300)
    is_open = False
    for step in range(STEPS):
        try:
            if not is_open:
                log.open()
                is_open = True
            group = [record(10 * step + n) for n in range(2)]
            tried |= {10 * step, 10 * step + 1}
            log.append(group)
            kept |= {10 * step, 10 * step + 1}
        except OSError:
            pass
        if not is_open:
            continue
        try:
            found = log.read(30)
        except OSError:
            continue
        if step % 3:
            seen |= {stored.record.notes["n"] for stored in found}
            log.acknowledge([stored.position for stored in found])
        log.save(now=bool(step % 2))
    if is_open:
        log.close()
    return kept, tried, seen


def each_operation_fails(folder: Path, *, lasting: bool) -> str:
    """Whichever operation fails: nothing that was kept is lost, nothing else is there, and the log goes on."""
    places: dict[str, int] = {}
    for error in (errno.EIO, errno.ENOSPC):
        number = 0
        while True:
            number += 1
            files = Failing(number, error, lasting=lasting)
            kept, tried, seen = run(folder, files)
            if files.count < number:
                break
            places[files.failed] = places.get(files.failed, 0) + 1
            if not lasting:
                assert len(kept) >= 2 * STEPS - 4, f"{files.failed} ({number}) kept the log from going on"
            again = opened(folder, files=Unsynced())
            found = numbers(again)
            assert not again.lost, f"{files.failed} ({number}): missed, and nobody took it away"
            assert kept - seen <= set(found), f"{files.failed} ({number}) lost {sorted(kept - seen - set(found))}"
            assert set(found) <= tried
            shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
    return f"{sum(places.values())} operations: " + ", ".join(f"{name} {n}" for name, n in sorted(places.items()))


def full_disk(folder: Path) -> str:
    """A small file system is filled up, again and again: what does not fit is refused, and delivering makes room."""
    if os.geteuid():
        return "skipped: only root may mount a tmpfs"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], check=False)
    if mounted.returncode:
        return "skipped: no tmpfs can be mounted here"
    refused = 0
    try:
        log = Log(folder / "q", segment_bytes=16_000)
        log.open()
        number = 0
        expected: list[int] = []
        for _ in range(10):
            while True:
                try:
                    log.append([record(number, 900)])
                except OSError as error:
                    assert error.errno == errno.ENOSPC  # noqa: PT017 - only one of the calls fails
                    refused += 1
                    break
                expected.append(number)
                number += 1
            number += 1
            stored = log.read(10**7)
            assert [s.record.notes["n"] for s in stored] == expected[: len(stored)]
            expected = expected[len(stored) :]
            log.acknowledge([s.position for s in stored])
            log.save()
            log.append([record(number, 900)])
            expected.append(number)
            number += 1
        log.close()
        assert numbers(opened(folder / "q")) == expected
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
    return f"filled up {refused} times"
