"""Group commit: what is to be kept at the same time goes to the disk by one write and one sync."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from sluiceway.errors import RefusedError
from sluiceway.pipelines.request import Request
from sluiceway.pipelines.uninterrupted import to_its_end
from sluiceway.segments import Record

__all__ = ["GROUP_BYTES", "Commits", "Waiting"]

RETRY_AFTER: Final = 1.0
"""Seconds after which a sender may come again."""
GROUP_BYTES: Final = 8 * 1024 * 1024
"""What goes to the disk by one write, at most, but for a single request that is larger."""


@dataclass(slots=True, eq=False)
class Waiting:
    """A request that is to be kept, and who waits for that."""

    request: Request
    record: Record
    done: asyncio.Future[None]


Write: TypeAlias = Callable[[list[Waiting]], Awaitable[None]]


class Commits:
    """Hands what waits to `write`, group by group, which says of each what became of it by `done`."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._pending: list[Waiting] = []
        self._work = asyncio.Event()
        self._at_rest = asyncio.Event()
        self._at_rest.set()

    async def keep(self, request: Request, record: Record) -> None:
        """Return when the record was kept, or raise `RefusedError`.

        Being cancelled counts when that is known: what was kept has been taken, and must not be taken for lost. Then
        this returns, and the cancellation strikes at the next wait, unless it was for this call alone.
        """
        done = asyncio.get_running_loop().create_future()
        self._pending.append(Waiting(request, record, done))
        self._at_rest.clear()
        self._work.set()
        try:
            await to_its_end(done)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if done.exception() is not None or task is None:
                raise
            asyncio.get_running_loop().call_soon(_cancel_again, task)

    def wake(self) -> None:
        """Call `write` soon, be it with nothing."""
        self._work.set()

    async def quiet(self) -> None:
        """Return when nobody waits; whoever comes meanwhile is waited for as well."""
        await self._at_rest.wait()

    async def write_on(self) -> None:
        """Write, for as long as this task lives."""
        while True:
            await self._work.wait()
            self._work.clear()
            group = self._next_group()
            await self._write(group)
            for waiting in group:
                if not waiting.done.done():
                    waiting.done.set_exception(RefusedError("the queue on disk has failed", RETRY_AFTER))
            if not self._pending:
                self._at_rest.set()

    def _next_group(self) -> list[Waiting]:
        size = 0
        for number, waiting in enumerate(self._pending):
            size += waiting.record.weight
            if size > GROUP_BYTES and number:
                group, self._pending = self._pending[:number], self._pending[number:]
                self._work.set()
                return group
        group, self._pending = self._pending, []
        return group


def _cancel_again(task: asyncio.Task[object]) -> None:
    """Deliver what was held up, unless who cancelled has taken it back: a timeout around what has ended meanwhile."""
    if task.cancelling():
        task.uncancel()
        task.cancel()
