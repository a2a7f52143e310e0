"""gRPC calls whose message has not come whole yet: how long they may take, and how many may take long."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING, Final

import grpc

from sluiceway.component import Clock
from sluiceway.errors import DecodeError, RefusedError

if TYPE_CHECKING:
    Call = grpc.aio.ServicerContext[bytes, bytes]

__all__ = ["Arrivals"]

LONGEST: Final = 60.0
"""Seconds in which a message has to come."""
HASTE: Final = 1.0
"""Seconds in which it has to come when more arrive than there is room for."""
CHECK_EVERY: Final = 0.25
AT_ONCE: Final = 128
"""Calls ended in one check: each costs work, and others are to be served meanwhile."""


class Arrivals:
    """Reads the messages of calls. gRPC holds what has come of each, so those that stay half sent are bounded.

    `room` is how many of the largest messages may be half sent at the same time. When there are more, the oldest are
    told to come again, unless they have only just begun.
    """

    def __init__(self, room: int, clock: Clock) -> None:
        self._room = room
        self._clock = clock
        self._under_way: dict[asyncio.Timeout, float] = {}

    async def read(self, call: Call) -> bytes:
        """Wait for the message of a call; raise `RefusedError` when it takes too long."""
        try:
            async with asyncio.timeout(None) as scope:
                self._under_way[scope] = self._clock.now()
                try:
                    message: bytes | None = await call.read()
                finally:
                    del self._under_way[scope]
        except TimeoutError as error:
            raise RefusedError("the message did not arrive in time") from error
        if not isinstance(message, bytes):
            raise DecodeError("a call without a message")
        return message

    async def watch(self) -> None:
        """End what takes too long, for ever."""
        while True:
            await self._clock.sleep(CHECK_EVERY)
            now, excess = self._clock.now(), len(self._under_way) - self._room
            for scope, began in tuple(islice(self._under_way.items(), AT_ONCE)):  # the oldest comes first
                if now - began < (HASTE if excess > 0 else LONGEST):
                    break
                excess -= 1
                scope.reschedule(asyncio.get_running_loop().time())
