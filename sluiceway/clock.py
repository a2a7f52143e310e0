"""Where time comes from: the machine, or in tests a clock that is moved by hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

__all__ = ["Clock", "SystemClock", "Timer"]


class Timer(Protocol):
    """Something that will happen, unless it is cancelled before."""

    def cancel(self) -> object:
        """Have it not happen."""


class Clock(Protocol):
    """Where time comes from. Tests give a clock that they move by hand."""

    def now(self) -> float:
        """Seconds on a monotonic clock."""

    def time_ns(self) -> int:
        """Nanoseconds since the Unix epoch."""

    async def sleep(self, seconds: float) -> None:
        """Wait; zero lets other tasks run."""

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[asyncio.Timeout]:
        """As `asyncio.timeout`: cancel the body after `seconds` and raise `TimeoutError`; None never does.

        Entering gives an `asyncio.Timeout`: who holds it may end the wait early by `reschedule`.
        """

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Have a short function called when so many seconds have passed."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        return time.monotonic()

    def time_ns(self) -> int:
        return time.time_ns()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[asyncio.Timeout]:
        return asyncio.timeout(seconds)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        return asyncio.get_running_loop().call_later(seconds, callback)
