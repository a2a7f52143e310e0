"""The time that stopping may take."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from sluiceway.component import Clock

__all__ = ["Deadline"]

_log = logging.getLogger("sluiceway.pipelines")


class Deadline:
    """One deadline for several steps, one after the other or together, that can be brought forward."""

    def __init__(self, clock: Clock) -> None:
        self.given_up = False
        """Whether somebody asked not to wait any longer."""
        self._clock = clock
        self._end = 0.0
        self._scopes: set[asyncio.Timeout] = set()

    def start(self, seconds: float) -> None:
        """Begin anew: the steps from here on have `seconds` together."""
        self._end = self._clock.now() + seconds

    def expire(self) -> None:
        """Stop waiting, also for the steps that are under way."""
        self.given_up = True
        for scope in self._scopes:
            if not scope.expired():  # else the step is being cancelled, and comes to an end that it must come to
                scope.reschedule(asyncio.get_running_loop().time())

    async def bound(self, step: Coroutine[Any, Any, None], what: str) -> None:
        """Await one step, cancelling it at the deadline."""
        left = 0.0 if self.given_up else max(0.0, self._end - self._clock.now())
        try:
            async with self._clock.timeout(left) as scope:
                self._scopes.add(scope)
                try:
                    await step
                finally:
                    self._scopes.discard(scope)
        except TimeoutError:
            _log.warning("%s did not stop in time; what it held in memory is dropped", what)
