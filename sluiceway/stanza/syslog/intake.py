"""Between the sockets and the pipeline: what arrives while a batch is under way is the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, TypeAlias

from sluiceway.component import Context, Reason

__all__ = ["Intake", "Message", "Peer"]

_BYTES: Final = 16 * 1024 * 1024
_BATCH: Final = 2048

Peer: TypeAlias = "dict[str, str]"
"""The attributes that tell where a message came from."""


class Message(NamedTuple):
    """A message as it came, when (ns since the epoch), and from whom."""

    data: bytes
    observed: int
    peer: Peer


class Intake:
    """Holds messages up to a bound. `deliver` is handed all that waits, and returns when the pipeline has it.

    A connection waits until there is room (`put`); a packet for which there is none is dropped and counted (`offer`).
    """

    def __init__(self, context: Context, deliver: Callable[[list[Message]], Awaitable[None]], room: int) -> None:
        self._context = context
        self._deliver = deliver
        self._room = room
        self._waiting: list[Message] = []
        self._bytes = 0
        self._changed = asyncio.Condition()
        self._arrived = asyncio.Event()
        self._is_full = False

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            await self._arrived.wait()
            await self._deliver_some()

    async def empty(self) -> None:
        """Return when nothing waits any more."""
        while self._waiting:
            async with self._changed:
                await self._changed.wait()

    def lose(self) -> None:
        """Drop and count what is left."""
        if self._waiting:
            self._context.drop(len(self._waiting), Reason.SHUTDOWN)
            self._waiting.clear()

    async def put(self, messages: list[Message]) -> None:
        """Take messages once there is room for them, or when the call is cancelled: nobody else has them any more."""
        try:
            while self._waiting and (len(self._waiting) >= self._room or self._bytes >= _BYTES):
                async with self._changed:
                    await self._changed.wait()
        finally:
            self.keep(messages)

    def offer(self, messages: list[Message]) -> None:
        """Take messages if there is room, and drop and count them otherwise."""
        if len(self._waiting) + len(messages) > self._room or self._bytes >= _BYTES:
            self._context.drop(len(messages), Reason.QUEUE_FULL)
            if not self._is_full:
                self._is_full = True
                self._context.logger.warning("Packets come faster than the pipeline takes them; some are dropped")
            return
        self.keep(messages)

    def keep(self, messages: list[Message]) -> None:
        """Take messages, whether there is room or not."""
        if messages:
            self._waiting += messages
            self._bytes += sum(len(message.data) for message in messages)
            self._arrived.set()

    async def _deliver_some(self) -> None:
        """Hand on what waits. What is being handed on still takes up room."""
        batch = self._waiting[:_BATCH]
        await self._deliver(batch)
        del self._waiting[: len(batch)]
        self._bytes -= sum(len(message.data) for message in batch)
        if not self._waiting:
            self._arrived.clear()
            self._is_full = False
        async with self._changed:
            self._changed.notify_all()
