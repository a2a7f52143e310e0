"""How far a file is known to hold whole messages, remembered with the file: a start looks at what came since.

It is an extended attribute, which goes where the file goes. It counts only while the message before it stands there as
it did: whoever empties a file and writes to it leaves the attribute behind. Where there are none nothing is remembered.
"""

from __future__ import annotations

import os
from contextlib import suppress
from hashlib import blake2b
from typing import Final

__all__ = ["Trail"]

EVERY: Final = 16 * 1024 * 1024
"""Bytes that may come before it is remembered how far the file has come."""
_NAME: Final = "user.sluiceway.end"
_SAMPLE: Final = 4096


class Trail:
    """What one process knows of the messages of a file that it writes to."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._end = 0
        """Where the messages end."""
        self._begin = -1
        """Where the last one begins; -1 where that is not known."""
        self._is_known = True
        """Whether up to there nobody else has written anything."""
        self._remembered = 0

    def recall(self) -> tuple[int, int]:
        """Begin and end of the last message that is remembered; twice 0 for none."""
        with suppress(OSError):
            noted = os.getxattr(self._descriptor, _NAME)
            begin, end = int.from_bytes(noted[:8], "big"), int.from_bytes(noted[8:16], "big")
            if begin < end <= os.fstat(self._descriptor).st_size and noted[16:] == self._digest(begin, end):
                self._begin = begin
                self._end = self._remembered = end
                return begin, end
        return 0, 0

    def extend(self, at: int, begin: int, end: int) -> None:
        """Take in messages that begin at a place, the last of which begins and ends there."""
        if at < self._remembered:  # somebody has cut the file
            self._forget()
        self._is_known = at == 0 or (self._is_known and at == self._end)
        self._begin, self._end = begin, end
        if end - self._remembered >= EVERY:
            self.keep()

    def cut(self, size: int) -> None:
        """The messages are about to end there."""
        if size < self._remembered:
            self._forget()
        if size < self._end:
            self._begin, self._end = -1, size

    def keep(self) -> None:
        """Remember the end."""
        if not self._is_known or self._begin < 0 or self._end <= self._remembered:
            return
        offsets = self._begin.to_bytes(8, "big") + self._end.to_bytes(8, "big")
        with suppress(OSError):
            os.setxattr(self._descriptor, _NAME, offsets + self._digest(self._begin, self._end))
        self._remembered = self._end

    def _forget(self) -> None:
        self._remembered = 0
        with suppress(OSError):
            os.removexattr(self._descriptor, _NAME)

    def _digest(self, begin: int, end: int) -> bytes:
        """Of the beginning of a message, where its length stands, and of its end."""
        size = min(end - begin, _SAMPLE)
        sample = os.pread(self._descriptor, size, begin) + os.pread(self._descriptor, size, end - size)
        return blake2b(sample, digest_size=16).digest()
