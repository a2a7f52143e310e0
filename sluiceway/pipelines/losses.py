"""Log lines about lost data, at most one every ten seconds however much is lost."""

from __future__ import annotations

from typing import Final

from sluiceway.clock import Timer
from sluiceway.component import Context

__all__ = ["LossLog"]

INTERVAL: Final = 10.0
"""Seconds between two lines of the same text."""


class LossLog:
    """Says how many items were lost, under the name `counted`.

    The first loss is told at once, those soon after it together when the interval has passed, or at the end.
    """

    def __init__(self, message: str, level: int, context: Context, counted: str = "dropped_items") -> None:
        self._message = message
        self._counted = counted
        self._level = level
        self._logger = context.logger
        self._clock = context.clock
        self._untold = 0
        self._error = ""
        self._quiet_until = float("-inf")
        self._timer: Timer | None = None

    def note(self, items: int, error: str) -> None:
        """Add to what is lost, and tell unless that was done a moment ago."""
        self._untold += items
        self._error = error
        left = self._quiet_until - self._clock.now()
        if left <= 0:
            self.tell()
        elif self._timer is None:
            self._timer = self._clock.call_later(left, self.tell)

    def tell(self) -> None:
        """Tell what has not been told yet: called at the end, so that the lines add up to what was lost."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._error:
            self._logger.log(self._level, self._message, extra={"error": self._error, self._counted: self._untold})
            self._untold, self._error = 0, ""
            self._quiet_until = self._clock.now() + INTERVAL
