"""Which files a configuration writes to, and whether two of its parts want the same one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sluiceway.config.files import Writes, Written
from sluiceway.config.model import Config, Mark
from sluiceway.config.settings import walk
from sluiceway.config.tree import join
from sluiceway.errors import Problem

__all__ = ["rivals"]


@dataclass(frozen=True, slots=True)
class _Writer:
    """Who writes where: its key path and the place where that was written."""

    files: Written
    path: str
    mark: Mark


def rivals(config: Config) -> Iterator[Problem]:
    """Find parts of a configuration that would write to the same file. Only what will run counts.

    A component writes wherever its settings hold a model that `Writes`; nothing is opened or looked up.
    """
    before: list[_Writer] = []
    for writer in _writers(config):
        first = next((other for other in before if other.files.overlaps(writer.files)), None)
        before.append(writer)
        if first is not None:
            mark = writer.mark
            text = f"cannot write to {writer.files.path}: {first.path} writes to {first.files.path}"
            yield Problem(text, writer.path, mark.file, mark.line, mark.column)


def _writers(config: Config) -> Iterator[_Writer]:
    for kind, entry in config.running():
        for path, part in walk(entry.settings):
            # A plain class may well have a setting of that name, which is a field and not meant.
            if isinstance(getattr(type(part), "writes_to", 0), property) and isinstance(part, Writes):
                key, files = part.writes_to
                place = (*path, key)
                yield _Writer(files, join((kind.section, entry.id, *place)), entry.mark_of(place))
