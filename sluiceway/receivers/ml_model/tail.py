"""Reading a file that grows, line by line. It is held open, so that what it is renamed to does not matter."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

__all__ = ["Piece", "Tail"]

CHUNK: Final = 1 << 20
"""Bytes that are read at a time."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Whole lines, and where the next piece begins."""

    lines: bytes
    offset: int
    skipping: bool = False
    """Whether the next piece begins within a line that is too long, whose rest is passed over."""
    too_long: int = 0
    more: bool = False
    """Whether there may be more by now."""


class Tail:
    """A file, and how far it was read. Reading changes nothing until `advance`, and so may be given up."""

    def __init__(self, path: str, *, offset: int | None, longest: int) -> None:
        """Open a file, to be read from an offset, or from its end when that is None; raises `OSError`."""
        self.path = path
        self._chunk = max(CHUNK, longest + 1)
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        size = os.fstat(self._file).st_size
        self.offset = size if offset is None else offset
        self._skipping = offset is None and size > 0 and os.pread(self._file, 1, size - 1) != b"\n"

    def read(self, *, last: bool = False) -> Piece:
        """The lines from the offset on. A line without an end is left for later, unless it is the `last` time."""
        offset, skipping = self.offset, self._skipping
        if os.fstat(self._file).st_size < offset:
            offset, skipping = 0, False  # it was emptied
        data = os.pread(self._file, self._chunk, offset)
        full = len(data) == self._chunk
        if skipping:
            end = data.find(b"\n") + 1
            if end == 0:
                return Piece(b"", offset + len(data), True, more=full)
            data, offset = data[end:], offset + end
        end = data.rfind(b"\n") + 1
        if end:
            return Piece(data[:end], offset + end, more=full or last)
        if full:
            return Piece(b"", offset + len(data), True, 1, more=True)
        if last:
            return Piece(data, offset + len(data))
        return Piece(b"", offset, more=False)

    def advance(self, piece: Piece) -> None:
        """Go on behind a piece."""
        self.offset, self._skipping = piece.offset, piece.skipping

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
