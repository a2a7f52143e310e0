"""What a preset is: the lines of one program, and how each becomes an event."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from sluiceway.receivers.security_log.header import Header
from sluiceway.receivers.security_log.ocsf import Event

__all__ = ["Parse", "Preset"]

Parse: TypeAlias = Callable[[str, Header], Event | None]
"""From a message, whose control characters are escaped, and the header that stood before it, to its event; None where
the preset does not know it. It may raise `ValueError`, `LookupError` or `TypeError` for what only looks like its own.
"""


@dataclass(frozen=True, slots=True)
class Preset:
    """`programs` are those that a syslog header names; `()` is all. `whole` lines have no such header."""

    name: str
    parse: Parse
    programs: tuple[str, ...]
    whole: bool = False
