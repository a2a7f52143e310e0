"""What is read of the journal."""

from __future__ import annotations

import re
from typing import Final, Literal

from pydantic import Field, field_validator

from sluiceway.config.types import Settings, StringList

__all__ = ["JournalSettings"]

_FIELD: Final = re.compile(r"[_A-Z0-9]+")
_PRIORITIES: Final = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")


class JournalSettings(Settings):
    """Which entries are read, as journalctl knows it."""

    directory: str = ""
    """A directory with journal files; the system's own unless set."""
    files: StringList = ()
    """Journal files to read, where no directory is named; patterns are allowed."""
    start_at: Literal["beginning", "end"] = "end"
    """Where to begin as long as no place is known: with all there is, or with what comes."""
    units: StringList = ()
    """Only entries of these systemd units."""
    identifiers: StringList = ()
    """Only entries with these syslog identifiers."""
    priority: str = "info"
    """Only entries of this priority or worse, by name or number, or of a range (`emerg..err`)."""
    matches: tuple[dict[str, str], ...] = ()
    """Only entries that one of these fits; it fits when all its fields are equal (`_UID: "0"`)."""
    grep: str = ""
    """Only entries whose message this regular expression (PCRE2) finds something in."""
    dmesg: bool = False
    """Only messages of the kernel, of this boot."""
    all: bool = False
    """Whether fields are read in full that are long or cannot be printed."""
    merge: bool = False
    """Whether the journals of all machines found are read."""
    namespace: str = ""
    """The journal namespace."""
    root_path: str = ""
    """A directory to change the root to before journalctl is started, as of the host in a container."""
    journalctl_path: str = Field(default="journalctl", min_length=1)
    """The program, by name or path (inside of `root_path`)."""

    @field_validator("priority")
    @classmethod
    def _check_priority(cls, priority: str) -> str:
        first, dots, last = priority.partition("..")
        for word in (first, last) if dots else (first,):
            if word not in _PRIORITIES and word not in map(str, range(8)):
                raise ValueError(
                    f'"{priority}" is no priority: expected one of {", ".join(_PRIORITIES)}, 0 to 7, or a range'
                )
        return priority

    @field_validator("matches")
    @classmethod
    def _check_matches(cls, matches: tuple[dict[str, str], ...]) -> tuple[dict[str, str], ...]:
        for name in (name for match in matches for name in match):
            if not _FIELD.fullmatch(name):
                raise ValueError(f"'{name}' is not a valid Systemd field name")
        return matches
