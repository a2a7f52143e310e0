"""The text that INFO and CLUSTER INFO answer, and the numbers in it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Final

from sluiceway.escape import escape

__all__ = ["Info"]

MOST_ENTRIES: Final = 1000
"""Commands, databases, replicas or errors that are looked at."""
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,19}")
_DECIMAL: Final = re.compile(r"[+-]?[0-9]{1,300}\.[0-9]{0,300}(?:[eE][+-]?[0-9]{1,3})?")


class Info:
    """Fields by name, whatever the server calls itself: what is not known is left alone, what is missing is None.

    `wrong` are the names of fields that should be numbers and are not.
    """

    def __init__(self, text: bytes) -> None:
        lines = (line.rstrip("\r").partition(":") for line in text.decode(errors="replace").split("\n"))
        self._fields = {name: value for name, colon, value in lines if colon and not name.startswith("#")}
        self.wrong: dict[str, None] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    def text(self, name: str) -> str:
        """A field as it is; empty when it is missing."""
        return self._fields.get(name, "")

    def number(self, *names: str) -> float | None:
        """The first of these fields that there is; servers of different age call some differently."""
        for name in names:
            if name in self._fields:
                return self.read(name, self._fields[name])
        return None

    def read(self, name: str, text: str | None) -> float | None:
        """A number out of the field `name`: an int where it is written as one. None, and noted, when it is none."""
        if text is None:
            return None
        if _INTEGER.fullmatch(text) and -(2**63) <= int(text) < 2**63:
            return int(text)
        if _DECIMAL.fullmatch(text) and math.isfinite(number := float(text)) and abs(number) < 2**63:
            return number
        self.wrong[escape(name[:100])] = None
        return None

    def entries(self, prefix: str) -> Iterator[tuple[str, dict[str, str]]]:
        """Fields such as `db0:keys=1,expires=0`: what follows the prefix in their names, and their parts."""
        found = 0
        for name, value in self._fields.items():
            if name.startswith(prefix) and "=" in value and found < MOST_ENTRIES:
                found += 1
                parts = (part.partition("=") for part in value.split(","))
                yield name.removeprefix(prefix), {key: text for key, equals, text in parts if equals}
