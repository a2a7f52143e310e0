"""The receive buffer of one connection: bodies land in it whole, and it never grows ahead of what has come."""

from __future__ import annotations

from typing import Final

from sluiceway.receivers.otlp.head import BadRequest
from sluiceway.receivers.otlp.intake import Room

__all__ = ["ReceiveBuffer"]

BASE: Final = 64 * 1024
KEPT: Final = 256 * 1024
"""Up to this size a buffer stays with its connection and is not charged to the receiver's room."""


class ReceiveBuffer:
    """Bytes from `start` to `end` have come and are not yet used; `free` is where the next ones go."""

    def __init__(self, room: Room) -> None:
        self.data = bytearray(BASE)
        self.start = 0
        self.end = 0
        self._room = room
        self._charged = 0

    def __len__(self) -> int:
        return self.end - self.start

    @property
    def is_full(self) -> bool:
        """Whether nothing more can be received before something is moved, grown or used."""
        return self.end == len(self.data)

    def free(self) -> memoryview:
        """Return the free part."""
        return memoryview(self.data)[self.end :]

    def take(self, size: int) -> bytes:
        """Copy `size` bytes out and use them up."""
        stop = self.start + size
        with memoryview(self.data) as view:
            taken = bytes(view[self.start : stop])
        self.start = stop
        if stop == self.end:
            self.start = self.end = 0
        return taken

    def clear(self) -> None:
        """Forget everything."""
        self.start = self.end = 0

    def make_space(self, wanted: int = 0) -> None:
        """Move what is there to the front, into a buffer up to four times as large when `wanted` bytes will be needed.

        Raises `BadRequest` with 503 when the receiver has no room for that.
        """
        have, kept = len(self), len(self.data)
        size = max(kept, min(wanted, _power_of_two(4 * have)))
        self.charge(size)
        moved = bytearray(size) if size > kept else self.data
        with memoryview(self.data) as here, memoryview(moved) as there:
            there[:have] = here[self.start : self.end]  # between views, as a bytearray would copy it twice
        self.data, self.start, self.end = moved, 0, have

    def shrink(self, largest: int = KEPT) -> None:
        """Give memory back when the buffer is larger than `largest`, and all that was charged."""
        if len(self.data) > largest:
            rest = self.take(len(self))
            self.data = bytearray(max(BASE, _power_of_two(len(rest) + 1)))
            self.data[: len(rest)] = rest
            self.end = len(rest)
        self._room.give_back(self._charged)
        self._charged = 0

    def charge(self, size: int) -> None:
        """Take room for `size` bytes held, less what is free of charge; raise `BadRequest` with 503 without it."""
        more = size - KEPT - self._charged
        if more > 0:
            if not self._room.take(more):
                raise BadRequest(503)
            self._charged += more


def _power_of_two(size: int) -> int:
    return 1 << (size - 1).bit_length()
