"""The names of users."""

from __future__ import annotations

import pwd

from sluiceway.receivers.host_metrics.files import Files

__all__ = ["Users"]


class Users:
    """Names by numbers: with a `root_path` from its etc/passwd, else from wherever this machine has its users.

    A name that was found is kept, as some machines ask a server for it.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self._names: dict[int, str] = {}

    def name(self, number: int) -> str:
        """The name of a user; its number as a text where there is none."""
        known = self._names.get(number)
        if known is not None:
            return known
        found = self._find(number)
        if found is not None:
            self._names[number] = found
        return found or str(number)

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
