"""The names of users."""

from __future__ import annotations

import pwd
from math import inf
from time import monotonic
from typing import Final

from sluiceway.receivers.host_metrics.files import Files

__all__ = ["Users"]

_NAMELESS: Final = 300.0
"""Seconds after which a user without a name is asked for again."""


class Users:
    """Names by numbers: with a `root_path` from its etc/passwd, else from wherever this machine has its users.

    What was found is kept, as some machines ask a server for it; that there is no name, for some minutes.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self._names: dict[int, str] = {}
        self._nameless: dict[int, float] = {}

    def name(self, number: int) -> str:
        """The name of a user; its number as a text where there is none."""
        known = self._names.get(number)
        if known is not None:
            return known
        now = monotonic()
        if now - self._nameless.get(number, -inf) < _NAMELESS:
            return str(number)
        found = self._find(number)
        if found is None:
            self._nameless[number] = now
            return str(number)
        self._names[number] = found
        return found

    def _find(self, number: int) -> str | None:
        if not self._files.root:
            try:
                return pwd.getpwuid(number).pw_name
            except (KeyError, OverflowError):
                return None
        try:
            lines = self._files.read("etc/passwd").decode(errors="replace").splitlines()
        except OSError:
            return None
        users = (line.split(":") for line in lines)
        return next((user[0] for user in users if len(user) > 2 and user[2] == str(number)), None)
