"""Files that are put aside: their names, which are the Collector's, and which of them are deleted."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from sluiceway.exporters.file.settings import Rotation

__all__ = ["prune", "put_aside"]

_FORMAT: Final = "%Y-%m-%dT%H-%M-%S"
_MIDDLE: Final = re.compile(r"-(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d)\.(\d{3})(?:-[a-z]+)?")
"""The time in a name, and why it was put aside, as newer Collectors add (`-size`)."""


def put_aside(path: str, rotation: Rotation, now_ns: int) -> None:
    """Rename a file; never to a name that is there. Raises `OSError`."""
    milliseconds = now_ns // 1_000_000
    while os.path.lexists(name := _name(path, rotation, milliseconds)):
        milliseconds += 1
    os.rename(path, name)  # noqa: PTH104 - names are texts here


def prune(path: str, rotation: Rotation, now_ns: int) -> None:
    """Delete those that are too many or too old; what cannot be deleted stays. Raises `OSError`."""
    found = sorted(_put_aside(path), reverse=True)
    if rotation.localtime:
        now = datetime.fromtimestamp(now_ns / 1e9).astimezone().replace(tzinfo=None)
    else:
        now = datetime.fromtimestamp(now_ns / 1e9, UTC).replace(tzinfo=None)
    oldest = now - timedelta(days=rotation.max_days) if rotation.max_days else None
    for place, (when, name) in enumerate(found):
        if (rotation.max_backups and place >= rotation.max_backups) or (oldest and when < oldest):
            Path(name).unlink(missing_ok=True)


def _name(path: str, rotation: Rotation, milliseconds: int) -> str:
    when = datetime.fromtimestamp(milliseconds // 1000, UTC)
    if rotation.localtime:
        when = when.astimezone()
    stem, extension = os.path.splitext(path)  # noqa: PTH122 - names are texts here
    return f"{stem}-{when.strftime(_FORMAT)}.{milliseconds % 1000:03d}{extension}"


def _put_aside(path: str) -> Iterator[tuple[datetime, str]]:
    """The files that were put aside, with the time in their names."""
    folder, name = os.path.split(path)
    stem, extension = os.path.splitext(name)  # noqa: PTH122
    with os.scandir(folder or ".") as entries:
        for entry in entries:
            if not (entry.name.startswith(stem) and entry.name.endswith(extension)):
                continue
            found = _MIDDLE.fullmatch(entry.name[len(stem) : len(entry.name) - len(extension)])
            if found is not None and entry.is_file(follow_symlinks=False):
                try:
                    when = datetime.strptime(found[1], _FORMAT)  # noqa: DTZ007 - compared with others of its kind
                except ValueError:
                    continue
                yield when + timedelta(milliseconds=int(found[2])), entry.path
