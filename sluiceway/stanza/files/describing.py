"""The attributes that tell about a file."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Callable
from pathlib import Path

from sluiceway.stanza.files.settings import FileSettings

__all__ = ["describe"]


def describe(path: str, status: os.stat_result, settings: FileSettings) -> dict[str, str]:
    """The attributes that are asked for."""
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
