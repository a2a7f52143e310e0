"""Working in somebody else's folder as root: it is theirs, and so are the links that they have put there."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["as_owner"]


@contextmanager
def as_owner(folder: Path) -> Iterator[None]:
    """As root, be whoever has a folder, for the whole process: what is made is theirs, and no link leads beyond them.

    Whoever has the folder above it decides what stands in it, so they count first, where they are not root.
    """
    status = folder.parent.stat() if folder.parent.stat().st_uid else folder.lstat()
    if os.geteuid() or not status.st_uid:
        yield
        return
    before, groups = os.getegid(), os.getgroups()
    os.setgroups(_groups_of(status.st_uid, status.st_gid))
    try:
        os.setegid(status.st_gid)
        os.seteuid(status.st_uid)
        yield
    finally:
        os.seteuid(0)
        os.setegid(before)
        os.setgroups(groups)


def _groups_of(user: int, group: int) -> list[int]:
    try:
        return os.getgrouplist(pwd.getpwuid(user).pw_name, group)
    except KeyError:  # as in a container, where they have no name
        return [group]
