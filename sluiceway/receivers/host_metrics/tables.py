"""What /proc says of one process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sluiceway.receivers.host_metrics.files import Files, Folder

__all__ = ["Stat", "processes", "stat"]

COLUMNS: Final = (4, 10, 12, 14, 15, 20, 22, 23, 24, 42)
"""Where proc(5) has what follows the name in `Stat`."""
FIRST: Final = 3
"""The column after the name."""


@dataclass(frozen=True, slots=True)
class Stat:
    """/proc/PID/stat, proc(5): times in ticks, of which `start` counts from when the machine was started."""

    name: str
    parent: int
    minor_faults: int
    major_faults: int
    user: int
    system: int
    threads: int
    start: int
    virtual: int
    """Bytes."""
    resident: int
    """Pages."""
    wait: int
    """Ticks that it waited for block devices; 0 unless the kernel was started with `delayacct`."""

    @property
    def ticks(self) -> tuple[int, int, int]:
        """In its own code, in the kernel, and waiting."""
        return self.user, self.system, self.wait


def stat(data: bytes) -> Stat:
    """Read /proc/PID/stat. Its second column is a name, which may hold anything. Raises `ValueError`, `IndexError`."""
    before, _, after = data.rpartition(b")")
    columns = after.split()
    name = before.partition(b"(")[2].decode(errors="replace")
    return Stat(name, *(int(columns[at - FIRST]) for at in COLUMNS))


def processes(files: Files) -> Iterator[tuple[int, Folder, Stat]]:
    """All processes that can be seen, each with its folder, which is open for as long as it is its turn.

    Those that end meanwhile, or are hidden, are passed over. Raises `OSError` when there is no /proc.
    """
    for name in files.names("proc"):
        if not name.isdecimal():
            continue
        try:
            folder = files.folder(f"proc/{name}")
        except OSError:
            continue
        with folder:
            try:
                found = stat(folder.read("stat"))
            except (OSError, ValueError, IndexError):
                continue
            yield int(name), folder, found
