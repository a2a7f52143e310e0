"""The tasks that take from what waits in a queue, and when they do."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Self

from sluiceway.component import Clock
from sluiceway.pipelines.waiting import Element, Lane, Policy, Waiting

__all__ = ["Consumers"]


class Consumers:
    """A fixed number of long-lived tasks that call `export` with one element after the other.

    Entering starts them. Leaving lets them export all that waits, each lane without further delay; being cancelled,
    then or before, cancels the exports, and what still waits is left to `clear`. An element that a task has taken is
    always given to `export`, which must not raise but for being cancelled.
    """

    def __init__(self, policy: Policy, export: Callable[[Element], Awaitable[None]], clock: Clock, number: int) -> None:
        self._waiting = Waiting(policy)
        self._export = export
        self._clock = clock
        self._number = number
        self._tasks = asyncio.TaskGroup()
        self._pacer: asyncio.Task[None] | None = None
        self._is_closed = False
        self._idle: list[asyncio.Future[None]] = []
        self._woken = 0
        self._due = math.inf
        """When the pacer looks at the lanes again."""
        self._sooner = asyncio.Event()
        self.in_flight = 0

    @property
    def partitions(self) -> int:
        """How many partitions have something waiting or under way."""
        return self._waiting.lanes

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        for number in range(self._number):
            self._tasks.create_task(self._consume(), name=f"export-{number}")
        self._pacer = self._tasks.create_task(self._pace(), name="export-pace")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_closed = True
        self._waiting.close()
        if self._pacer is not None:
            self._pacer.cancel()
        for turn in self._idle:
            if not turn.done():
                turn.set_result(None)
        self._idle.clear()
        if kind is not None and issubclass(kind, asyncio.CancelledError):
            await self._tasks.__aexit__(kind, error, trace)
        else:
            await self._tasks.__aexit__(None, None, None)

    def put(self, element: Element) -> None:
        """Have an element exported; must not be called after leaving has begun."""
        self._see_to(self._waiting.put(element, self._clock.now()))

    def withdraw(self, element: Element) -> bool:
        """Take an element out, and say whether nobody had begun with it."""
        return self._waiting.withdraw(element)

    def waiting(self) -> list[Element]:
        """What nobody has begun with."""
        return self._waiting.elements()

    def clear(self) -> Iterator[Element]:
        """Take out what nobody will export any more."""
        return self._waiting.clear()

    async def _consume(self) -> None:
        while True:
            taken = self._waiting.take(self._clock.now())
            if taken is not None:
                await self._go(*taken)
            elif self._is_closed:
                return
            else:
                turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._idle.append(turn)
                await turn
                self._woken -= 1

    async def _go(self, lane: Lane, element: Element) -> None:
        self._look_at(lane)
        self.in_flight += 1
        try:
            await self._export(element)
        finally:
            self.in_flight -= 1
            self._waiting.finish(lane)
            self._look_at(lane)

    def _look_at(self, lane: Lane) -> None:
        self._see_to(self._waiting.look_at(lane, self._clock.now()))

    def _see_to(self, due: float | None) -> None:
        """See to it that what waits will go: now, or when its time has come."""
        if due is None:
            self._wake()
        elif due < self._due:
            self._due = due
            self._sooner.set()

    def _wake(self) -> None:
        """Wake as many idle tasks as there are lanes to take from."""
        while self._idle and self._waiting.ready > self._woken:
            self._woken += 1
            self._idle.pop().set_result(None)

    async def _pace(self) -> None:
        """Make lanes ready when their time has come."""
        while True:
            now = self._clock.now()
            self._due = self._waiting.expire(now)
            self._wake()
            self._sooner.clear()
            with suppress(TimeoutError):
                async with self._clock.timeout(None if self._due == math.inf else self._due - now):
                    await self._sooner.wait()
