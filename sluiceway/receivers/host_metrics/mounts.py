"""What is mounted where, and how much room it has."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Final, TypeAlias

__all__ = ["Mount", "Rooms", "mounts", "unescape"]

AT_ONCE: Final = 16
"""File systems that are asked at the same time."""
PATIENCE: Final = 5.0
"""Seconds that a file system may take to answer."""
_ESCAPED: Final = re.compile(rb"\\([0-7]{3})")

Room: TypeAlias = "os.statvfs_result | OSError"


@dataclass(frozen=True, slots=True)
class Mount:
    """One file system at one place."""

    device: str
    point: str
    type: str
    mode: str
    """`ro` or `rw`."""

    @property
    def is_local(self) -> bool:
        """Whether the kernel itself knows how much room there is, so that nobody has to be waited for."""
        return self.device.startswith("/dev/") and not self.type.startswith("fuse")


def mounts(data: bytes) -> list[Mount]:
    """What /proc/PID/mountinfo says, proc(5); of what is mounted upon each other only the uppermost, which is seen.

    Raises `ValueError`, `IndexError`.
    """
    found: dict[str, Mount] = {}
    for line in data.splitlines():
        about, _, source = line.partition(b" - ")
        point, options = about.split()[4:6]
        kind, device, *_ = source.split()
        mount = Mount(unescape(device), unescape(point), unescape(kind), "ro" if b"ro" in options.split(b",") else "rw")
        found[mount.point] = mount
    return list(found.values())


def unescape(text: bytes) -> str:
    """A name in which the kernel has written blanks as octal numbers."""
    return os.fsdecode(_ESCAPED.sub(lambda match: bytes((int(match[1], 8) & 0xFF,)), text))


class Rooms:
    """Asks how much room file systems have.

    Those that others serve may never answer: they are asked in threads, and one that is silent is not asked again
    before its answer has come. The threads do not keep the process from ending.
    """

    def __init__(self) -> None:
        self._silent: set[str] = set()
        self._late: SimpleQueue[str] = SimpleQueue()

    def ask(self, paths: Iterable[str], patience: float = PATIENCE) -> Iterator[tuple[str, Room]]:
        """Each path with its answer, as they come; an error where there was none."""
        while not self._late.empty():
            self._silent.discard(self._late.get())
        wanted: SimpleQueue[str] = SimpleQueue()
        answers: SimpleQueue[tuple[str, Room]] = SimpleQueue()
        missing = set()
        for path in paths:
            if path in self._silent:
                yield path, TimeoutError("still no answer")
            else:
                missing.add(path)
                wanted.put(path)
        for _ in range(min(len(missing), AT_ONCE)):
            threading.Thread(target=self._work, args=(wanted, answers), name="statvfs", daemon=True).start()
        deadline = time.monotonic() + patience
        while missing:
            try:
                path, answer = answers.get(timeout=max(deadline - time.monotonic(), 0))
            except Empty:
                break
            missing.remove(path)
            yield path, answer
        self._silent |= missing
        for path in missing:
            yield path, TimeoutError(f"no answer within {patience:g}s")

    def _work(self, wanted: SimpleQueue[str], answers: SimpleQueue[tuple[str, Room]]) -> None:
        while True:
            try:
                path = wanted.get_nowait()
            except Empty:
                return
            answers.put((path, room(path)))
            self._late.put(path)


def room(path: str) -> Room:
    """How much room there is, or why that is not known."""
    try:
        return os.statvfs(path)
    except OSError as error:
        return error
