"""Values that live in files, such as certificates and tokens, and follow them when they change."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Generic, TypeVar

from sluiceway.clock import Clock, SystemClock
from sluiceway.errors import ConfigError

__all__ = ["FileBacked", "Logger", "Stamp", "stamp_of"]

T = TypeVar("T")
Logger = logging.Logger | logging.LoggerAdapter[logging.Logger]
Stamp = tuple[tuple[int, int, int] | None, ...]
"""Inode, size and modification time of each file; None for one that cannot be looked at."""

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
