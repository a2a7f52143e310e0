"""Which files there are, which of them were known before under another name, and where each is read on."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

from sluiceway.escape import escape
from sluiceway.stanza.files.matching import compile_glob, find
from sluiceway.stanza.files.ordering import ordered
from sluiceway.stanza.files.positions import Position, is_copy, read_position
from sluiceway.stanza.files.settings import FileSettings
from sluiceway.stanza.files.sources import LockedError, Source, open_source
from sluiceway.stanza.files.tracked import Heads, Lost, Tracked

__all__ = ["Tracking", "problem"]

_LINGER: Final = 10.0
"""Seconds that a file without a name of ours stays open after it was last written to."""
_CLAIM: Final = 60.0
"""Seconds in which a file that is gone may come back as a copy, such as one that was compressed."""
_REMEMBERED: Final = 1000
"""Files that are gone and of which the position is kept."""
_CROWD: Final = 50
"""New files at a time, beyond which none is compared with all others."""


class Tracking:
    """All files that are read. Its calls block; they are made by one thread at a time.

    `changed` gathers what is to be written of positions, by name, None for those that are forgotten.
    """

    def __init__(self, settings: FileSettings) -> None:
        self._settings = settings
        self.files: dict[tuple[int, int], Tracked] = {}
        self.changed: dict[str, Position | None] = {}
        self.problems: dict[str, str] = {}
        self._excluded = [compile_glob(pattern) for pattern in settings.exclude]
        self._open: OrderedDict[tuple[int, int], Tracked] = OrderedDict()
        self._lost: dict[str, Lost] = {}
        self._truncated: list[Lost] = []  # since the last look
        self._heads = Heads((), ())
        self._is_crowd = False
        self._names = 0
        self._is_first = True
        self._now = 0.0

    @property
    def open_files(self) -> int:
        """How many files are open."""
        return len(self._open)

    def load(self, kept: dict[str, bytes], now: float) -> None:
        """Begin with the positions of the last run. Raises `ValueError`."""
        for name, value in kept.items():
            if not name.isdigit():
                continue
            self._lost[name] = Lost(name, read_position(value), now, is_near=True)
            self._names = max(self._names, int(name))
        self._is_first = not kept

    def close(self) -> None:
        """Close all files."""
        for tracked in self._open.values():
            if tracked.source is not None:
                tracked.source.close()
                tracked.source = None
        self._open.clear()

    def look(self, now: float, wall: float) -> None:
        """Find what is new, what was renamed, what grew and what is gone."""
        self._now = now
        self.problems.clear()
        found: dict[tuple[int, int], str] = {}
        fresh: list[tuple[tuple[int, int], str]] = []
        for path, status in self._matches(wall):
            key = (status.st_dev, status.st_ino)
            if key in found:
                continue
            found[key] = path
            tracked = self.files.get(key)
            if tracked is None or not self._meet(tracked, path, status):
                fresh.append((key, path))
        for key in [key for key in self.files if key not in found]:
            self._miss(self.files[key])
        self._greet(fresh)
        self._look_beside()
        self._forget()
        self._truncated.clear()
        self._is_first = False

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

    def truncated(self, tracked: Tracked) -> None:
        """Give up a file that became shorter or another: it is met anew, and what it was may turn up as a copy."""
        self._drop(tracked)
        lost = Lost(tracked.name, tracked.position, self._now, is_deleted=True)
        self._lose(lost)
        self._truncated.append(lost)

    def _release(self, tracked: Tracked, *, is_near: bool) -> None:
        """Close a file that is gone, and remember where its reading stood."""
        self._drop(tracked)
        self._lose(Lost(tracked.name, tracked.position, self._now, tracked.is_deleted, is_near))

    def _drop(self, tracked: Tracked) -> None:
        key = tracked.position.key
        self.files.pop(key, None)
        self._open.pop(key, None)
        if tracked.source is not None:
            tracked.source.close()
            tracked.source = None

    def _note_problem(self, path: str, error: OSError) -> None:
        if text := problem(path, error):
            self.problems[path] = text

    def _matches(self, wall: float) -> Iterator[tuple[str, os.stat_result]]:
        settings = self._settings
        paths = dict.fromkeys(path for pattern in settings.include for path in find(pattern))
        chosen = [path for path in paths if not any(pattern.fullmatch(path) for pattern in self._excluded)]
        if settings.ordering_criteria is not None:
            chosen = ordered(chosen, settings.ordering_criteria)
        for path in chosen:
            try:
                status = Path(path).stat()
            except OSError as error:
                self._note_problem(path, error)
                continue
            if not stat.S_ISREG(status.st_mode):
                continue
            if settings.exclude_older_than and wall - status.st_mtime > settings.exclude_older_than:
                continue
            yield path, status

    def _meet(self, tracked: Tracked, path: str, status: os.stat_result) -> bool:
        """A file that is known is there, maybe under another name; whether it can still be the same."""
        if status.st_size < tracked.position.offset and not self._settings.compression:
            self.truncated(tracked)
            return False
        if tracked.path != path or not tracked.attributes:
            tracked.path = path
            tracked.attributes = self._named(path, status)
        tracked.is_gone = False
        self._note(tracked, status)
        return True

    def _note(self, tracked: Tracked, status: os.stat_result) -> None:
        version = (status.st_size, status.st_mtime_ns)
        if version != tracked.version:
            tracked.version = version
            tracked.grown_at = self._now
        period = self._settings.force_flush_period
        is_old = bool(period) and self._now - tracked.grown_at >= period
        tracked.flush = tracked.rest and version == tracked.seen and (is_old or self._settings.delete_after_read)

    def _miss(self, tracked: Tracked) -> None:
        """A file that is known has no name of ours any more: it is read to its end, and then some while longer."""
        if tracked.source is None:
            self._release(tracked, is_near=True)
            return
        status = tracked.source.status()
        if not tracked.is_gone:
            tracked.is_gone = True
            tracked.grown_at = self._now
        tracked.is_deleted = status.st_nlink == 0
        self._note(tracked, status)
        if self._now - tracked.grown_at >= _LINGER and not tracked.has_more:
            self._release(tracked, is_near=False)

    def _greet(self, fresh: list[tuple[tuple[int, int], str]]) -> None:
        """Find out which files they are that were not there before; first those whose inode is known."""
        if not fresh:
            return
        self._heads = Heads((), self._lost.values())
        rest = [(key, path) for key, path in fresh if not self._greet_one(key, path, self._by_inode)]
        self._is_crowd = self._is_first or len(rest) > _CROWD
        if rest and not self._is_crowd:
            rest += self._catch_up()
        self._heads = Heads(self.files.values(), self._lost.values())
        for key, path in rest:
            self._greet_one(key, path, self._by_content)

    def _catch_up(self) -> list[tuple[tuple[int, int], str]]:
        """Look at the files that changed, so that copies of them are known; give those that are others now."""
        others = []
        for tracked in list(self.files.values()):
            if tracked.source is None or tracked.version == tracked.seen:
                continue
            if tracked.position.fits(tracked.source):
                tracked.position = tracked.position.known(tracked.source, self._settings.fingerprint_size)
            else:
                others.append((tracked.position.key, tracked.path))
                self.truncated(tracked)
        return others

    def _greet_one(self, key: tuple[int, int], path: str, claim: Any) -> bool:
        try:
            source = open_source(path, self._settings)
        except OSError as error:
            self._note_problem(path, error)
            return False
        try:
            tracked: Tracked | None = claim(key, path, source)
        except OSError as error:
            source.close()
            self._note_problem(path, error)
            return False
        if tracked is None:
            source.close()
            return False
        tracked.source = source
        status = source.status()
        tracked.attributes = self._named(path, status)
        tracked.version, tracked.grown_at = (status.st_size, status.st_mtime_ns), self._now
        self.files[key] = tracked
        self.changed[tracked.name] = tracked.position
        self._hold(tracked)
        return True

    def _by_inode(self, key: tuple[int, int], path: str, source: Source) -> Tracked | None:
        for lost in self._heads.by_inode.get(key, ()):
            if lost.name in self._lost and not lost.is_deleted and lost.position.fits(source):
                del self._lost[lost.name]
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
            is_fresh = lost.name in self._lost and self._now - lost.since < _CLAIM
            if is_fresh and old.key != key and is_copy(source, old, None):
                del self._lost[lost.name]
                return Tracked(lost.name, path, self._taken_over(key, path, old, source))
        return None

    def _shortly_gone(self) -> list[Lost]:
        """Those that may have been copied when they were shorter: truncated since the last look, or meanwhile."""
        return self._truncated + list(islice((lost for lost in self._lost.values() if lost.is_near), _CROWD))

    def _is_beginning(self, key: tuple[int, int], source: Source) -> bool:
        """Whether a short file is the beginning of another one: a copy that has just been begun."""
        if source.reaches(self._settings.fingerprint_size):
            return False
        data = source.read(0, self._settings.fingerprint_size)
        for tracked in self.files.values():
            position, original = tracked.position, tracked.source
            if original is None or position.head_size <= len(data) or position.key == key:
                continue
            if original.read(0, len(data)) == data:
                return True
        return False

    def _is_twin(self, tracked: Tracked, source: Source) -> bool:
        position = tracked.position
        try:
            original = self.opened(tracked)
        except OSError:
            return False
        if not position.fits(original):
            self.truncated(tracked)
            return False
        return is_copy(source, position, original)

    def _instead(self, other: Tracked, key: tuple[int, int], path: str, source: Source) -> Tracked | None:
        """Of a file and its copy the longer one is read on: the other one waits until it differs."""
        original = other.source
        if original is None or source.is_compressed or original.is_compressed:
            return None
        if source.status().st_size <= original.status().st_size:
            return None
        self._drop(other)
        return Tracked(other.name, path, self._taken_over(key, path, other.position, source))

    def _taken_over(self, key: tuple[int, int], path: str, old: Position, source: Source) -> Position:
        """The place in a copy; one that was made before we read on has nothing new."""
        place = replace(old, device=key[0], inode=key[1], path=path, head_size=0, head="")
        offset = old.offset if source.reaches(old.offset) else source.status().st_size
        return place.moved(source, offset).known(source, self._settings.fingerprint_size)

    def _new(self, key: tuple[int, int], path: str, source: Source) -> Tracked:
        position = Position(*key, path)
        is_cut = self._settings.on_truncate == "read_new" and any(key == lost.position.key for lost in self._truncated)
        if is_cut or (self._is_first and self._settings.start_at == "end"):
            position = self._at_end(position, source)
        return Tracked(self._name(), path, position.known(source, self._settings.fingerprint_size))

    def _at_end(self, position: Position, source: Source) -> Position:
        if not source.is_compressed:
            return position.moved(source, source.status().st_size)
        offset = 0
        while data := source.read(offset, 1 << 20):
            offset += len(data)
        return position.moved(source, offset)

    def _look_beside(self) -> None:
        """Look for files that are gone in their folders: they may have been renamed out of the pattern."""
        folders: dict[str, dict[tuple[int, int], str]] = {}
        for lost in list(self._lost.values()):
            if not lost.is_near:
                continue
            lost.is_near = False
            folder = str(Path(lost.position.path).parent)
            if folder not in folders:
                folders[folder] = _inodes(folder)
            path = folders[folder].get(lost.position.key)
            if path is not None and path != lost.position.path and lost.position.key not in self.files:
                self._greet_one(lost.position.key, path, self._by_inode)

    def _hold(self, tracked: Tracked) -> None:
        """Count a file as open, and close the one that was not read for longest if there are too many."""
        key = tracked.position.key
        self._open[key] = tracked
        self._open.move_to_end(key)
        while len(self._open) > self._settings.max_concurrent_files:
            _, idle = self._open.popitem(last=False)
            if idle.source is not None:
                idle.source.close()
                idle.source = None

    def _lose(self, lost: Lost) -> None:
        self._lost.pop(lost.name, None)
        self._lost[lost.name] = lost

    def _forget(self) -> None:
        """Keep no more than is useful of what is gone."""
        for lost in list(self._lost.values()):
            too_many = len(self._lost) > _REMEMBERED
            if too_many or (lost.is_deleted and self._now - lost.since >= _CLAIM):
                del self._lost[lost.name]
                self.changed[lost.name] = None

    def _name(self) -> str:
        self._names += 1
        return str(self._names)

    def _named(self, path: str, status: os.stat_result) -> dict[str, Any]:
        """The attributes that tell about a file."""
        settings = self._settings
        real = os.path.realpath(path) if _asks_for_real(settings) else ""
        wanted: tuple[tuple[bool, str, Callable[[], str]], ...] = (
            (settings.include_file_name, "log.file.name", lambda: Path(path).name),
            (settings.include_file_path, "log.file.path", lambda: path),
            (settings.include_file_name_resolved, "log.file.name_resolved", lambda: Path(real).name),
            (settings.include_file_path_resolved, "log.file.path_resolved", lambda: real),
            (settings.include_file_owner_name, "log.file.owner.name", lambda: _user(status.st_uid)),
            (settings.include_file_owner_group_name, "log.file.owner.group.name", lambda: _group(status.st_gid)),
            (settings.include_file_permissions, "log.file.permissions", lambda: f"{status.st_mode & 0o777:03o}"),
        )
        return {name: told() for is_wanted, name, told in wanted if is_wanted}


def _asks_for_real(settings: FileSettings) -> bool:
    return settings.include_file_name_resolved or settings.include_file_path_resolved


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


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


def problem(path: str, error: OSError) -> str:
    """What is said about a file that cannot be read; nothing where it is just gone, or somebody else's turn."""
    if isinstance(error, FileNotFoundError | LockedError):
        return ""
    return f"cannot read {escape(path)}: {error.strerror or error}"
