"""The room in a queue: a bound in two units at once, and the line of those who wait for some."""

from __future__ import annotations

import asyncio
from collections import deque

__all__ = ["Room"]


class Room:
    """Counts what is taken of `capacity`, in any unit, and of `max_bytes`.

    Those who wait are served in the order in which they came, also when a later one would fit where the first does not.
    """

    def __init__(self, capacity: int, max_bytes: int) -> None:
        self.capacity = capacity
        self.max_bytes = max_bytes
        self.size = 0
        self.bytes = 0
        self.peak = 0
        self._line: deque[asyncio.Future[None]] = deque()
        self._is_closed = False

    @property
    def waiting(self) -> int:
        """How many wait for room."""
        return len(self._line)

    def could_hold(self, size: int, weight: int) -> bool:
        """Whether it would fit if nothing else were there."""
        return size <= self.capacity and weight <= self.max_bytes

    def is_free(self, size: int, weight: int) -> bool:
        """Whether there is room, and nobody who came earlier waits for it."""
        return not self._line and self._fits(size, weight)

    def take(self, size: int, weight: int) -> None:
        """Take room that is free."""
        self.size += size
        self.bytes += weight
        if self.size > self.peak:
            self.peak = self.size

    def set(self, size: int, weight: int) -> None:
        """Learn how much is taken in all."""
        self.size = size
        self.bytes = weight
        self.peak = max(self.peak, size)
        self._call_first()

    def give_back(self, size: int, weight: int) -> None:
        """Free room, and let the first in line look whether it is enough."""
        self.size -= size
        self.bytes -= weight
        self._call_first()

    async def wait(self, size: int, weight: int) -> bool:
        """Return True in the moment in which there is room, to be taken at once, or False when the room is closed."""
        place = self._new_place()
        self._line.append(place)
        try:
            while not self._is_closed and (self._line[0] is not place or not self._fits(size, weight)):
                await place
                position = self._line.index(place)
                place = self._line[position] = self._new_place()
        finally:
            # Whoever leaves the line, served or cancelled, lets the next one look.
            self._line.remove(place)
            self._call_first()
        return not self._is_closed

    def close(self) -> None:
        """Send everybody in line away."""
        self._is_closed = True
        self._call_first()

    def _fits(self, size: int, weight: int) -> bool:
        return self.size + size <= self.capacity and self.bytes + weight <= self.max_bytes

    def _call_first(self) -> None:
        if self._line and not self._line[0].done():
            self._line[0].set_result(None)

    def _new_place(self) -> asyncio.Future[None]:
        return asyncio.get_running_loop().create_future()
