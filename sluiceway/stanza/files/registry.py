"""What is known of files: those that are read, those that are gone, and which are open."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from sluiceway.stanza.files.positions import Position, read_position
from sluiceway.stanza.files.settings import FileSettings
from sluiceway.stanza.files.sources import Source, open_source
from sluiceway.stanza.files.tracked import UNSEEN, Lost, Tracked

__all__ = ["CLAIM", "Registry"]

CLAIM: Final = 60.0
"""Seconds in which a file that is gone may come back as a copy, such as one that was compressed."""
_REMEMBERED: Final = 1000
"""Files that are gone and of which the position is kept."""


class Registry:
    """Files by device and inode, and those that are gone by the names of their checkpoints.

    `changed` gathers what is to be written of positions, by name, None for those that are forgotten. `cut` are those
    that were truncated since the last look. `now` is when that was.
    """

    def __init__(self, settings: FileSettings) -> None:
        self._settings = settings
        self.files: dict[tuple[int, int], Tracked] = {}
        self.lost: dict[str, Lost] = {}
        self.cut: list[Lost] = []
        self.changed: dict[str, Position | None] = {}
        self.now = 0.0
        self.left: Callable[[Tracked], None] = _nothing
        """Told of each file that is given up, as it is gone or became another."""
        self._open: OrderedDict[tuple[int, int], Tracked] = OrderedDict()
        self._names = 0

    @property
    def open_files(self) -> int:
        """How many files are open."""
        return len(self._open)

    def load(self, kept: dict[str, bytes], now: float) -> None:
        """Begin with the positions of the last run. Raises `ValueError`."""
        for name, value in kept.items():
            if name.isdigit():
                self.lost[name] = Lost(name, read_position(value), now, is_near=True)
                self._names = max(self._names, int(name))

    def close(self) -> None:
        """Close all files."""
        for tracked in self._open.values():
            _close(tracked)
        self._open.clear()

    def add(self, tracked: Tracked) -> None:
        """Read a file from now on."""
        self.files[tracked.position.key] = tracked
        self.changed[tracked.name] = tracked.position
        self._hold(tracked)

    def opened(self, tracked: Tracked) -> Source:
        """The file, open. Raises `OSError`."""
        key = tracked.position.key
        if tracked.source is None:
            source = open_source(tracked.path, self._settings)
            status = source.status()
            if (status.st_dev, status.st_ino) != key:
                source.close()
                raise FileNotFoundError(0, "it was replaced")  # the next look finds out by what
            tracked.source = source
        self._hold(tracked)
        return tracked.source

    def move(self, tracked: Tracked, position: Position) -> None:
        """Note that the pipeline has what stands in front of a position."""
        tracked.position = position
        self.changed[tracked.name] = position

    def rewind(self) -> None:
        """Have all files read from their beginnings again."""
        for tracked in self.files.values():
            tracked.position = replace(tracked.position, offset=0, number=0, tail="", skipping=False)
            tracked.seen = UNSEEN

    def truncate(self, tracked: Tracked) -> None:
        """Give up a file that became shorter or another: it is met anew, and what it was may turn up as a copy."""
        self.drop(tracked)
        self.left(tracked)
        lost = Lost(tracked.name, tracked.position, self.now, is_deleted=True)
        self._lose(lost)
        self.cut.append(lost)

    def release(self, tracked: Tracked, *, is_near: bool) -> None:
        """Close a file that is gone, and remember where its reading stood."""
        self.drop(tracked)
        self.left(tracked)
        self._lose(Lost(tracked.name, tracked.position, self.now, tracked.is_deleted, is_near))

    def drop(self, tracked: Tracked) -> None:
        """Close a file that is not read any more."""
        key = tracked.position.key
        self.files.pop(key, None)
        self._open.pop(key, None)
        _close(tracked)

    def by_inode(self) -> dict[tuple[int, int], list[Lost]]:
        """Those that are gone, by device and inode."""
        found: dict[tuple[int, int], list[Lost]] = {}
        for lost in self.lost.values():
            found.setdefault(lost.position.key, []).append(lost)
        return found

    def name(self) -> str:
        """A name for another checkpoint."""
        self._names += 1
        return str(self._names)

    def forget(self) -> None:
        """Keep no more than is useful of what is gone."""
        for lost in list(self.lost.values()):
            too_many = len(self.lost) > _REMEMBERED
            if too_many or (lost.is_deleted and self.now - lost.since >= CLAIM):
                del self.lost[lost.name]
                self.changed[lost.name] = None
        self.cut.clear()

    def _hold(self, tracked: Tracked) -> None:
        """Count a file as open, and close the one that was not read for longest if there are too many."""
        key = tracked.position.key
        self._open[key] = tracked
        self._open.move_to_end(key)
        while len(self._open) > self._settings.max_concurrent_files:
            _, idle = self._open.popitem(last=False)
            _close(idle)

    def _lose(self, lost: Lost) -> None:
        self.lost.pop(lost.name, None)
        self.lost[lost.name] = lost


def _nothing(_tracked: Tracked) -> None: ...


def _close(tracked: Tracked) -> None:
    if tracked.source is not None:
        tracked.source.close()
        tracked.source = None
