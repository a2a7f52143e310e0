"""Values that live in files, such as certificates and tokens, and follow them when they change."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar, runtime_checkable

from sluiceway.clock import Clock, SystemClock
from sluiceway.errors import ConfigError

__all__ = ["FileBacked", "Logger", "Stamp", "Writes", "Written", "stamp_of"]

T = TypeVar("T")
Logger = logging.Logger | logging.LoggerAdapter[logging.Logger]
Stamp = tuple[tuple[int, int, int] | None, ...]
"""Inode, size and modification time of each file; None for one that cannot be looked at."""

_SHARED: Final = ("/dev/", "/proc/")
"""Where devices and pipes lie, such as `/dev/stdout`, which take what several write to them."""

_log = logging.getLogger("sluiceway.config")


def stamp_of(files: Iterable[str]) -> Stamp:
    """Describe the state of the files, so that two equal stamps mean: nothing has changed."""
    return tuple(_stamp(file) for file in files if file)


def _stamp(file: str) -> tuple[int, int, int] | None:
    try:
        stat = Path(file).stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


class FileBacked(Generic[T]):
    """A value that `load` makes from `files`, made anew when one of them has changed.

    The files are looked at no more often than every `interval` seconds, None for never again. The constructor raises
    what `load` raises; afterwards a `ConfigError` is logged once for each state of the files and the old value stays.
    """

    def __init__(
        self,
        load: Callable[[], T],
        files: Iterable[str],
        *,
        interval: float | None = 1.0,
        clock: Clock | None = None,
        logger: Logger = _log,
    ) -> None:
        self._load = load
        self._logger = logger
        self._files = tuple(file for file in files if file)
        self._interval = interval
        self._clock = clock or SystemClock()
        self._looked = self._clock.now()
        self._stamp = stamp_of(self._files)
        self._value = load()

    def current(self) -> T:
        """Return the value, from the newest state of the files that could be used."""
        if self._interval is not None and self._files:
            now = self._clock.now()
            if now - self._looked >= self._interval:
                self._looked = now
                self._reload()
        return self._value

    def _reload(self) -> None:
        stamp = stamp_of(self._files)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._value = self._load()
        except ConfigError as error:
            self._logger.warning(
                "a change of %s cannot be used, what was there before stays in force: %s", self._names, error
            )
        else:
            self._logger.info("reloaded %s", self._names)

    @property
    def _names(self) -> str:
        return ", ".join(self._files)


@dataclass(frozen=True, slots=True)
class Written:
    """What settings write to: the file of a path, or with `star` those with any name in the place of its `*`."""

    path: str
    star: bool = False

    def overlaps(self, other: Written) -> bool:
        """Whether there can be a file of both. Nothing is looked up: two names of one file are not found."""
        if other.star and not self.star:
            return other.overlaps(self)
        before, after = self._parts()
        begin, end = other._parts()
        if not self.star:
            return begin == before and not begin.startswith(_SHARED)
        if not other.star:
            name = begin[len(before) : len(begin) - len(after)]
            return len(begin) >= len(before + after) and begin == f"{before}{name}{after}" and "/" not in name
        same_folders = (before.count("/"), after.count("/")) == (begin.count("/"), end.count("/"))
        begins_alike = before.startswith(begin) or begin.startswith(before)
        return same_folders and begins_alike and (after.endswith(end) or end.endswith(after))

    def _parts(self) -> tuple[str, str]:
        """What stands before the star, and what behind it."""
        path = os.path.abspath(self.path)  # noqa: PTH100 - links are not followed
        before, _, after = path.partition("*") if self.star else (path, "", "")
        return before, after


@runtime_checkable
class Writes(Protocol):
    """Settings with the key of a path that their component writes to, by which two of them in one graph are found."""

    @property
    def writes_to(self) -> tuple[str, Written]: ...
