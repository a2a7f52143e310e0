"""A clock moved by hand, so that tests of timeouts take no time."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from sluiceway.clock import Timer

__all__ = ["ManualClock", "settle"]


async def settle(rounds: int = 50) -> None:
    """Let every task run until it waits for something that only time or I/O can bring."""
    for _ in range(rounds):
        await asyncio.sleep(0)


class ManualClock:
    """A clock that stands still until `advance` moves it. Sleepers wake in the order in which they are due."""

    def __init__(self, now: float = 1_000.0, wall: float = 1_700_000_000.0) -> None:
        self._now = now
        self._wall = wall - now
        self._timers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def now(self) -> float:
        """Seconds on a monotonic clock."""
        return self._now

    def time_ns(self) -> int:
        """Nanoseconds since the Unix epoch."""
        return int((self._wall + self._now) * 1e9)

    @property
    def sleepers(self) -> int:
        """How many waits are under way."""
        return sum(not timer.done() for _, _, timer in self._timers)

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been moved by `seconds`."""
        if seconds <= 0:
            await asyncio.sleep(0)
        else:
            await self._timer(seconds)

    @asynccontextmanager
    async def timeout(self, seconds: float | None) -> AsyncIterator[asyncio.Timeout]:
        """As `asyncio.timeout`, on this clock."""
        async with asyncio.timeout(None) as scope:
            timer = self._timer(seconds) if seconds is not None else None
            if timer is not None:
                if seconds is not None and seconds <= 0:
                    timer.set_result(None)
                timer.add_done_callback(
                    lambda t: None if t.cancelled() else scope.reschedule(asyncio.get_running_loop().time())
                )
            try:
                yield scope
            finally:
                if timer is not None:
                    timer.cancel()

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call a function once the clock has been moved by `seconds`."""
        timer = self._timer(seconds)
        timer.add_done_callback(lambda done: None if done.cancelled() else callback())
        return timer

    async def advance(self, seconds: float) -> None:
        """Move the clock, waking on the way whatever becomes due, and let all that woke run."""
        end = self._now + seconds
        await settle()
        while self._timers and self._timers[0][0] <= end:
            due, _, timer = heapq.heappop(self._timers)
            if timer.done():
                continue
            self._now = max(self._now, due)
            timer.set_result(None)
            await settle()
        self._now = end
        await settle()

    def _timer(self, seconds: float) -> asyncio.Future[None]:
        timer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._timers, (self._now + seconds, self._count, timer))
        return timer
