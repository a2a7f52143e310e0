"""Which files there are, and what has become of those that were there."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import Final

from sluiceway.escape import escape
from sluiceway.stanza.files.describing import describe
from sluiceway.stanza.files.matching import compile_glob, find
from sluiceway.stanza.files.ordering import ordered
from sluiceway.stanza.files.recognition import Recognition
from sluiceway.stanza.files.registry import Registry
from sluiceway.stanza.files.settings import FileSettings
from sluiceway.stanza.files.sources import LockedError
from sluiceway.stanza.files.tracked import Tracked

__all__ = ["Tracking", "problem"]

_LINGER: Final = 10.0
"""Seconds that a file without a name of ours stays open after it was last written to."""


class Tracking:
    """Looks for files. Its calls block; they are made by one thread at a time, as those of its registry are."""

    def __init__(self, settings: FileSettings) -> None:
        self._settings = settings
        self.registry = Registry(settings)
        self.problems: dict[str, str] = {}
        self.found_any = False
        """Whether there was anything to read at the last look, be it readable or not."""
        self._recognition = Recognition(settings, self.registry, self._note_problem)
        self._excluded = [compile_glob(pattern) for pattern in settings.exclude]
        self._is_first = True

    def load(self, kept: dict[str, bytes], now: float) -> None:
        """Begin with the positions of the last run. Raises `ValueError`."""
        self.registry.load(kept, now)
        self._is_first = not kept

    def look(self, now: float, wall: float) -> None:
        """Find what is new, what was renamed, what grew and what is gone. `wall` is seconds since the epoch."""
        registry = self.registry
        registry.now = now
        self.problems.clear()
        found: dict[tuple[int, int], str] = {}
        fresh: list[tuple[tuple[int, int], str]] = []
        for path, status in self._matches(wall):
            key = (status.st_dev, status.st_ino)
            if key in found:
                continue
            found[key] = path
            tracked = registry.files.get(key)
            is_known = tracked is not None and self._meet(tracked, path, status)
            if not is_known and status.st_size:  # an empty one may yet become a copy
                fresh.append((key, path))
        for key in [key for key in registry.files if key not in found]:
            self._miss(registry.files[key])
        self._recognition.greet(fresh, is_first=self._is_first)
        self._recognition.look_beside()
        registry.forget()
        self._is_first = False

    def _note_problem(self, path: str, error: OSError) -> None:
        if text := problem(path, error):
            self.problems[path] = text

    def _matches(self, wall: float) -> Iterator[tuple[str, os.stat_result]]:
        settings = self._settings
        paths = dict.fromkeys(path for pattern in settings.include for path in find(pattern))
        chosen = list(paths)
        if self._excluded:
            chosen = [path for path in paths if not any(pattern.fullmatch(path) for pattern in self._excluded)]
        if settings.ordering_criteria is not None:
            chosen = ordered(chosen, settings.ordering_criteria, int(wall * 1e9))
        self.found_any = bool(self.registry.files)  # one that was renamed is still read for a while
        for path in chosen:
            try:
                status = os.stat(path)  # noqa: PTH116 - with thousands of files half the time
            except OSError as error:
                self._note_problem(path, error)
                self.found_any |= path in self.problems
                continue
            if not stat.S_ISREG(status.st_mode):
                continue
            self.found_any = True
            if settings.exclude_older_than and wall - status.st_mtime > settings.exclude_older_than:
                continue
            yield path, status

    def _meet(self, tracked: Tracked, path: str, status: os.stat_result) -> bool:
        """A file that is known is there, maybe under another name; whether it can still be the same."""
        if status.st_size < tracked.position.offset and not self._settings.compression:
            self.registry.truncate(tracked)
            return False
        if tracked.path != path or not tracked.attributes:
            tracked.path = path
            tracked.attributes = describe(path, status, self._settings)
        tracked.is_gone = False
        self._note(tracked, status)
        return True

    def _note(self, tracked: Tracked, status: os.stat_result) -> None:
        version = (status.st_size, status.st_mtime_ns)
        if version != tracked.version:
            tracked.version = version
            tracked.grown_at = self.registry.now
        period = self._settings.force_flush_period
        is_old = bool(period) and self.registry.now - tracked.grown_at >= period
        tracked.flush = tracked.rest and version == tracked.seen and (is_old or self._settings.delete_after_read)

    def _miss(self, tracked: Tracked) -> None:
        """A file that is known has no name of ours any more: it is read to its end, and then some while longer."""
        if tracked.source is None:
            self.registry.release(tracked, is_near=True)
            return
        try:
            status = tracked.source.status()
        except OSError:  # a file of a network that has forgotten it
            self.registry.release(tracked, is_near=True)
            return
        if not tracked.is_gone:
            tracked.is_gone = True
            tracked.grown_at = self.registry.now
        tracked.is_deleted = status.st_nlink == 0
        self._note(tracked, status)
        if self.registry.now - tracked.grown_at >= _LINGER and not tracked.has_more:
            self.registry.release(tracked, is_near=False)


def problem(path: str, error: OSError) -> str:
    """What is said about a file that cannot be read; nothing where it is just gone, or somebody else's turn."""
    if isinstance(error, FileNotFoundError | LockedError):
        return ""
    return f"cannot read {escape(path)}: {error.strerror or error}"
