"""Lines in front of a file that tell about all others."""

from __future__ import annotations

from typing import Any

from sluiceway.component import Context
from sluiceway.otlp.selecting import compile_pattern
from sluiceway.stanza.entry import Entry
from sluiceway.stanza.files.settings import Header
from sluiceway.stanza.program import compile_operators

__all__ = ["HeaderReader"]


class HeaderReader:
    """Takes the lines of a header, and makes attributes of them."""

    def __init__(self, header: Header, context: Context) -> None:
        self._pattern = compile_pattern(header.pattern)
        self._program = compile_operators(header.metadata_operators, context)

    def take(self, lines: list[bytes], now: int) -> tuple[int, dict[str, Any]]:
        """How many of the first lines belong to the header, and the attributes that they give; later ones win."""
        taken = 0
        while taken < len(lines) and self._pattern.search(lines[taken]):
            taken += 1
        found: dict[str, Any] = {}
        entries = [Entry(line.decode(errors="replace").strip(), now, {}, {}) for line in lines[:taken]]
        for entry in [*self._program.run(entries, now), *self._program.flush(now, force=True)]:
            found |= entry.attributes
        return taken, found
