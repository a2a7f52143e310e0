"""The files that a source's patterns match."""

from __future__ import annotations

import glob
import stat
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeAlias

from sluiceway.receivers.ml_model.settings import FileSource

__all__ = ["Found", "Key", "find"]

Key: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Found:
    """A file that matches."""

    path: str
    key: Key
    """Its device and inode: it keeps them when it is renamed."""
    size: int
    changed: int


def find(source: FileSource) -> list[Found]:
    """The files that match, the oldest first; of too many the newest."""
    found: dict[Key, Found] = {}
    for pattern in source.include:
        for path in glob.iglob(pattern, recursive=True):  # noqa: PTH207 - patterns may be absolute
            if any(fnmatchcase(path, out) for out in source.exclude):
                continue
            try:
                known = Path(path).stat()
            except OSError:
                continue  # it has gone meanwhile
            if stat.S_ISREG(known.st_mode):
                key = (known.st_dev, known.st_ino)
                found[key] = Found(path, key, known.st_size, known.st_mtime_ns)
    return sorted(found.values(), key=lambda file: (file.changed, file.path))[-source.max_files :]
