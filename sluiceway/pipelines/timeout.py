"""A deadline for each attempt."""

from __future__ import annotations

from sluiceway.component import Clock
from sluiceway.config.types import format_duration
from sluiceway.errors import RetryableError
from sluiceway.pipelines.request import Request, Sender

__all__ = ["Timeout"]


class Timeout:
    """Cancels an attempt that takes longer than `seconds`, which must be positive. Each attempt has all of them."""

    def __init__(self, sender: Sender, seconds: float, clock: Clock) -> None:
        self._next = sender
        self._seconds = seconds
        self._clock = clock

    async def send(self, request: Request) -> None:
        """Send on, or raise `RetryableError` (DEADLINE_EXCEEDED): whether the backend has the data is then unknown."""
        try:
            async with self._clock.timeout(self._seconds):
                await self._next.send(request)
        except TimeoutError as error:
            text = f"request timed out after {format_duration(self._seconds)}"
            raise RetryableError(text, code="DEADLINE_EXCEEDED") from error
