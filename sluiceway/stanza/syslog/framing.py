"""Where messages begin and end in a stream: RFC 6587."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

__all__ = ["Counted", "Framing", "Trailed", "Whole"]

_LONGEST_COUNT: Final = 10


class Framing(Protocol):
    """Takes a stream as it comes; holds no more than one message."""

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are complete now."""

    def end(self) -> list[bytes]:
        """What is left when the stream ends."""

    @property
    def held(self) -> int:
        """Bytes of a message that is not complete."""

    @property
    def broken(self) -> str:
        """Why the stream cannot be followed any further; empty as long as it can."""


class Trailed:
    """Messages that end with a line feed or a zero byte. What is longer than `longest` bytes is cut there."""

    broken = ""

    def __init__(self, trailer: bytes, longest: int) -> None:
        self._trailer = trailer
        self._longest = longest
        self._rest = bytearray()
        self._skipping = False

    @property
    def held(self) -> int:
        """Bytes of a message that is not complete."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are complete now."""
        *whole, rest = data.split(self._trailer)
        if whole:
            if self._skipping:
                whole[0], self._skipping = b"", False
            elif self._rest:
                whole[0] = bytes(self._rest) + whole[0]
            self._rest.clear()
        found = [message[: self._longest] for message in whole if message]
        if self._skipping:
            return found
        self._rest += rest
        if len(self._rest) > self._longest:
            found.append(bytes(self._rest[: self._longest]))
            self._rest.clear()
            self._skipping = True
        return found

    def end(self) -> list[bytes]:
        """What is left when the stream ends."""
        left = bytes(self._rest)
        self._rest.clear()
        return [left] if left else []


class Counted:
    """Messages with their number of bytes in front: `5 hello`, which stays a part of the message.

    One of more than `longest` bytes is passed over and told by `too_long`.
    """

    def __init__(self, longest: int, too_long: Callable[[], None]) -> None:
        self._longest = longest
        self._too_long = too_long
        self._rest = bytearray()
        self._skip = 0
        self.broken = ""

    @property
    def held(self) -> int:
        """Bytes of a message that is not complete."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are complete now, up to where no number stands: there it is `broken`."""
        self._rest += data
        found: list[bytes] = []
        at, end = 0, len(self._rest)
        while at < end:
            if self._skip:
                passed = min(self._skip, end - at)
                self._skip -= passed
                at += passed
                continue
            if self._rest[at] == 0x0A:  # some senders put both
                at += 1
                continue
            space = self._rest.find(b" ", at, at + _LONGEST_COUNT + 1)
            digits = bytes(self._rest[at : space if space >= 0 else end])
            if not digits.isdigit() or digits[:1] == b"0" or len(digits) > _LONGEST_COUNT:
                self.broken = "a message does not begin with its number of bytes"
                break
            if space < 0:
                break
            behind = space + 1 + int(digits)
            if int(digits) > self._longest:
                self._too_long()
                self._skip = behind - at
            elif behind > end:
                break
            else:
                found.append(bytes(self._rest[at:behind]))
                at = behind
        del self._rest[:at]
        return found

    def end(self) -> list[bytes]:
        """Nothing: a message that is not complete is none."""
        return []


class Whole:
    """All that one connection sends is one message, up to `longest` bytes."""

    broken = ""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._rest = bytearray()

    @property
    def held(self) -> int:
        """Bytes of a message that is not complete."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[bytes]:
        """Nothing as yet."""
        self._rest += data[: self._longest - len(self._rest)]
        return []

    def end(self) -> list[bytes]:
        """The message."""
        return [bytes(self._rest)] if self._rest else []
