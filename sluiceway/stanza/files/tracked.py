"""A file that is read, one that is gone, and the table by which a copy finds its original."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from sluiceway.stanza.files.positions import Position, digest
from sluiceway.stanza.files.sources import Source

__all__ = ["UNSEEN", "Heads", "Lost", "Tracked"]

UNSEEN: Final = (-1, 0)
"""The version of a file that was not read to its end."""


@dataclass(slots=True, eq=False)
class Tracked:
    """A file that is read. `name` is that of its checkpoint.

    `version` is its size and the time of its last change when it was last looked at, `seen` the version of which all
    was read, up to a `rest` that is no whole record.
    """

    name: str
    path: str
    position: Position
    source: Source | None = None
    version: tuple[int, int] = (0, 0)
    seen: tuple[int, int] = UNSEEN
    rest: bool = False
    grown_at: float = 0.0
    is_gone: bool = False
    is_deleted: bool = False
    flush: bool = False
    problem: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def has_more(self) -> bool:
        """Whether reading it may give something."""
        return self.flush or self.version != self.seen


@dataclass(slots=True)
class Lost:
    """A file that is gone, or was truncated. `is_deleted` says that its inode may be another file's by now."""

    name: str
    position: Position
    since: float
    is_deleted: bool = False
    is_near: bool = False
    """Whether it may have been renamed while nobody looked."""


class Heads:
    """Files by their first bytes."""

    def __init__(self, files: Iterable[Tracked], lost: Iterable[Lost]) -> None:
        self._by_head: dict[int, dict[str, list[Tracked | Lost]]] = {}
        for tracked in files:
            self.add(tracked)
        for gone in lost:
            self.add(gone)

    def add(self, file: Tracked | Lost) -> None:
        """Put a file into the table, unless nothing of it is known."""
        position = file.position
        if position.head_size:
            self._by_head.setdefault(position.head_size, {}).setdefault(position.head, []).append(file)

    def like(self, source: Source) -> list[Tracked | Lost]:
        """The files that begin as this one does."""
        found: list[Tracked | Lost] = []
        for size, files in self._by_head.items():
            data = source.read(0, size)
            if len(data) == size:
                found += files.get(digest(data), ())
        return found
