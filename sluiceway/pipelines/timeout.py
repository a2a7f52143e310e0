"""A deadline for each attempt."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from sluiceway.component import Clock
from sluiceway.config.types import format_duration
from sluiceway.errors import RetryableError
from sluiceway.pipelines.request import Request, Sender

__all__ = ["Timeout"]


class Timeout:
    """Cancels an attempt that takes longer than `seconds`, which must be positive. Each attempt has all of them.

    All attempts have the same time, so they expire in the order in which they began: one task watches the oldest, which
    costs a tenth of a timer for each. Entering starts that task. `missing` says what did not come.
    """

    def __init__(self, sender: Sender, seconds: float, clock: Clock, missing: str = "no answer") -> None:
        self._next = sender
        self._seconds = seconds
        self._clock = clock
        self._missing = missing
        self._under_way: dict[_Attempt, None] = {}
        self._has_begun = asyncio.Event()
        self._tasks = AsyncExitStack()

    async def __aenter__(self) -> Self:
        tasks = await self._tasks.enter_async_context(asyncio.TaskGroup())
        watch = tasks.create_task(self._watch(), name="export-timeout")
        self._tasks.callback(watch.cancel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._tasks.aclose()

    async def send(self, request: Request) -> None:
        """Send on, or raise `RetryableError` (DEADLINE_EXCEEDED): whether the backend has the data is then unknown."""
        attempt = _Attempt(asyncio.current_task(), self._clock.now() + self._seconds)
        self._under_way[attempt] = None
        self._has_begun.set()
        try:
            await self._next.send(request)
        except BaseException as error:
            if attempt.end() and isinstance(error, asyncio.CancelledError):
                within = format_duration(self._seconds)
                text, cause = f"request timed out after {within}", f"{self._missing} within {within}"
                raise RetryableError(text, code="DEADLINE_EXCEEDED", cause=cause) from error
            raise
        else:
            attempt.end()
        finally:
            self._under_way.pop(attempt, None)

    async def _watch(self) -> None:
        while True:
            await self._has_begun.wait()
            self._has_begun.clear()
            await self._clock.sleep(self._expire())
            if self._under_way:
                self._has_begun.set()

    def _expire(self) -> float:
        """Cancel the attempts whose time is over, and return the seconds in which no other one can end."""
        now = self._clock.now()
        for attempt in tuple(self._under_way):
            if attempt.deadline > now:
                return attempt.deadline - now
            del self._under_way[attempt]
            attempt.expire()
        return self._seconds


class _Attempt:
    """One call under way, in whichever task it is."""

    __slots__ = ("_cancelled_before", "_is_expired", "_task", "deadline")

    def __init__(self, task: asyncio.Task[None] | None, deadline: float) -> None:
        assert task is not None  # noqa: S101 - a coroutine runs in a task
        self._task = task
        self._cancelled_before = task.cancelling()
        self._is_expired = False
        self.deadline = deadline

    def expire(self) -> None:
        """Cancel the call."""
        self._is_expired = True
        self._task.cancel()

    def end(self) -> bool:
        """Take our cancellation back, and say whether it was the only one."""
        return self._is_expired and self._task.uncancel() <= self._cancelled_before
