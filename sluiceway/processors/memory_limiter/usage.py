"""How much memory this process uses, how much it may use, and how to give some back."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Final, Protocol

__all__ = ["Memory", "ProcessMemory"]


class Memory(Protocol):
    """What a limiter must know of memory, in bytes."""

    def used(self) -> int:
        """How much is in use now."""

    def total(self) -> int:
        """How much there is at most."""

    def free(self) -> None:
        """Give back what is not needed."""


class ProcessMemory:
    """The memory of this process: its resident set, within the limits of its cgroups. `root` is that of the files."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._statm = root / "proc/self/statm"
        self._page: Final = os.sysconf("SC_PAGE_SIZE")

    def used(self) -> int:
        """Return the resident set; takes about ten microseconds."""
        try:
            return int(self._statm.read_bytes().split()[1]) * self._page
        except FileNotFoundError:
            import psutil  # not Linux

            return int(psutil.Process().memory_info().rss)

    def total(self) -> int:
        """Return the lowest of the machine's memory and the limits of all cgroups around the process."""
        return min(os.sysconf("SC_PHYS_PAGES") * self._page, *self._cgroup_limits(), 1 << 62)

    def free(self) -> None:
        """Collect garbage, and have the C library return free pages, or the resident set would not shrink."""
        gc.collect()
        with suppress(OSError, AttributeError):
            import ctypes

            ctypes.CDLL(None).malloc_trim(0)

    def _cgroup_limits(self) -> Iterator[int]:
        with suppress(OSError):
            for line in (self._root / "proc/self/cgroup").read_text().splitlines():
                _, controllers, group = line.split(":", 2)
                if not controllers:
                    yield from _limits(self._root / "sys/fs/cgroup", group, "memory.max")
                elif "memory" in controllers.split(","):
                    yield from _limits(self._root / "sys/fs/cgroup/memory", group, "memory.limit_in_bytes")


def _limits(mount: Path, group: str, name: str) -> Iterator[int]:
    """The limits of a group and of all groups around it; inside a container the group's own path may not be there."""
    inner = PurePosixPath(group.lstrip("/"))
    for part in (inner, *inner.parents):
        with suppress(OSError, ValueError):
            yield int((mount / part / name).read_text())
