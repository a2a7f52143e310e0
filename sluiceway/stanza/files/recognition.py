"""Which file a new one is: one that was renamed, a copy of one that is known, or really new."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Final, TypeAlias

from sluiceway.stanza.files.describing import describe
from sluiceway.stanza.files.positions import Position, is_copy
from sluiceway.stanza.files.registry import CLAIM, Registry
from sluiceway.stanza.files.settings import FileSettings
from sluiceway.stanza.files.sources import Source, open_source
from sluiceway.stanza.files.tracked import Heads, Lost, Tracked

__all__ = ["Recognition"]

_CROWD: Final = 50
"""New files at a time, beyond which none is compared with all others."""

_Claim: TypeAlias = Callable[[tuple[int, int], str, Source], Tracked | None]


class Recognition:
    """Makes files that were found ones that are read. `problem` is told what cannot be opened."""

    def __init__(self, settings: FileSettings, registry: Registry, problem: Callable[[str, OSError], None]) -> None:
        self._settings = settings
        self._registry = registry
        self._problem = problem
        self._gone: dict[tuple[int, int], list[Lost]] = {}
        self._heads = Heads((), ())
        self._is_crowd = False
        self._is_first = False

    def greet(self, fresh: list[tuple[tuple[int, int], str]], *, is_first: bool) -> None:
        """Find out which files they are that were not there before; first those whose inode is known."""
        if not fresh:
            return
        self._is_first = is_first
        self._gone = self._registry.by_inode()
        rest = [(key, path) for key, path in fresh if not self._greet_one(key, path, self._by_inode)]
        self._is_crowd = self._is_first or len(rest) > _CROWD
        if rest and not self._is_crowd:
            rest += self._catch_up()
        self._heads = Heads(self._registry.files.values(), self._registry.lost.values())
        for key, path in rest:
            self._greet_one(key, path, self._by_content)

    def _catch_up(self) -> list[tuple[tuple[int, int], str]]:
        """Look at the files that changed, so that copies of them are known; give those that are others now."""
        others = []
        for tracked in list(self._registry.files.values()):
            if tracked.source is None or tracked.version == tracked.seen:
                continue
            try:
                is_same = tracked.position.fits(tracked.source)
                if is_same:
                    tracked.position = tracked.position.known(tracked.source, self._settings.fingerprint_size)
            except OSError:  # whoever reads it will say so
                continue
            if not is_same:
                others.append((tracked.position.key, tracked.path))
                self._registry.truncate(tracked)
        return others

    def _greet_one(self, key: tuple[int, int], path: str, claim: _Claim) -> bool:
        try:
            source = open_source(path, self._settings)
        except OSError as error:
            self._problem(path, error)
            return False
        try:
            tracked = claim(key, path, source)
        except OSError as error:
            source.close()
            self._problem(path, error)
            return False
        if tracked is None:
            source.close()
            return False
        tracked.source = source
        status = source.status()
        tracked.attributes = describe(path, status, self._settings)
        tracked.version, tracked.grown_at = (status.st_size, status.st_mtime_ns), self._registry.now
        self._registry.add(tracked)
        return True

    def _by_inode(self, key: tuple[int, int], path: str, source: Source) -> Tracked | None:
        for lost in self._gone.get(key, ()):
            if lost.name in self._registry.lost and not lost.is_deleted and lost.position.fits(source):
                del self._registry.lost[lost.name]
                return Tracked(lost.name, path, lost.position)
        return None

    def _by_content(self, key: tuple[int, int], path: str, source: Source) -> Tracked | None:
        if not source.reaches(1):
            return None  # it may become a copy
        alike = self._heads.like(source)
        gone = sorted((other for other in alike if isinstance(other, Lost)), key=lambda lost: -lost.since)
        if (claimed := self._claim(gone, key, path, source)) is not None:
            return claimed
        for other in alike:
            if isinstance(other, Tracked) and other.position.key != key and self._is_twin(other, source):
                return self._instead(other, key, path, source)
        if not self._is_crowd and self._is_beginning(key, source):
            return None
        if (claimed := self._claim(self._shortly_gone(), key, path, source)) is not None:
            return claimed
        tracked = self._new(key, path, source)
        self._heads.add(tracked)
        return tracked

    def _claim(self, gone: list[Lost], key: tuple[int, int], path: str, source: Source) -> Tracked | None:
        """Go on in a file that is a copy of one that is gone."""
        for lost in gone:
            old = lost.position
            is_fresh = lost.name in self._registry.lost and self._registry.now - lost.since < CLAIM
            if is_fresh and old.key != key and is_copy(source, old, None):
                del self._registry.lost[lost.name]
                return Tracked(lost.name, path, self._taken_over(key, path, old, source))
        return None

    def _shortly_gone(self) -> list[Lost]:
        """Those that may have been copied when shorter: truncated since the last look, or while we were away."""
        return self._registry.cut + list(
            islice((lost for lost in self._registry.lost.values() if lost.is_near), _CROWD)
        )

    def _is_beginning(self, key: tuple[int, int], source: Source) -> bool:
        """Whether a short file is the beginning of another one: a copy that has just been begun."""
        if source.reaches(self._settings.fingerprint_size):
            return False
        data = source.read(0, self._settings.fingerprint_size)
        for tracked in self._registry.files.values():
            position, original = tracked.position, tracked.source
            if original is None or position.head_size <= len(data) or position.key == key:
                continue
            if original.read(0, len(data)) == data:
                return True
        return False

    def _is_twin(self, tracked: Tracked, source: Source) -> bool:
        position = tracked.position
        try:
            original = self._registry.opened(tracked)
        except OSError:
            return False
        if not position.fits(original):
            self._registry.truncate(tracked)
            return False
        return is_copy(source, position, original)

    def _instead(self, other: Tracked, key: tuple[int, int], path: str, source: Source) -> Tracked | None:
        """Of a file and its copy the longer one is read on: the other one waits until it differs."""
        original = other.source
        if original is None or source.is_compressed or original.is_compressed:
            return None
        if source.status().st_size <= original.status().st_size:
            return None
        self._registry.drop(other)
        return Tracked(other.name, path, self._taken_over(key, path, other.position, source))

    def _taken_over(self, key: tuple[int, int], path: str, old: Position, source: Source) -> Position:
        """The place in a copy; one that was made before we read on has nothing new."""
        place = replace(old, device=key[0], inode=key[1], path=path, head_size=0, head="")
        offset = old.offset if source.reaches(old.offset) else source.status().st_size
        return place.moved(source, offset).known(source, self._settings.fingerprint_size)

    def _new(self, key: tuple[int, int], path: str, source: Source) -> Tracked:
        position = Position(*key, path)
        is_cut = self._settings.on_truncate == "read_new" and any(
            key == lost.position.key for lost in self._registry.cut
        )
        if is_cut or (self._is_first and self._settings.start_at == "end"):
            position = self._at_end(position, source)
        return Tracked(self._registry.name(), path, position.known(source, self._settings.fingerprint_size))

    def _at_end(self, position: Position, source: Source) -> Position:
        if not source.is_compressed:
            return position.moved(source, source.status().st_size)
        offset = 0
        while data := source.read(offset, 1 << 20):
            offset += len(data)
        return position.moved(source, offset)

    def look_beside(self) -> None:
        """Look for files that are gone in their folders: they may have been renamed out of the pattern."""
        self._gone = self._registry.by_inode()
        folders: dict[str, dict[tuple[int, int], str]] = {}
        for lost in list(self._registry.lost.values()):
            if not lost.is_near:
                continue
            lost.is_near = False
            folder = str(Path(lost.position.path).parent)
            if folder not in folders:
                folders[folder] = _inodes(folder)
            path = folders[folder].get(lost.position.key)
            if path is not None and path != lost.position.path and lost.position.key not in self._registry.files:
                self._greet_one(lost.position.key, path, self._by_inode)


def _inodes(folder: str) -> dict[tuple[int, int], str]:
    """The files in a folder by device and inode."""
    found: dict[tuple[int, int], str] = {}
    try:
        with os.scandir(folder or ".") as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    status = entry.stat(follow_symlinks=False)
                    found[status.st_dev, status.st_ino] = entry.path
    except OSError:
        return {}
    return found
