"""Sending again what failed: exponential backoff with jitter, as the Collector's `retry_on_failure` does it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, TypeAlias

from sluiceway.caller import while_waited_for
from sluiceway.component import Context
from sluiceway.config.exporter import RetryOnFailure
from sluiceway.config.types import format_duration
from sluiceway.errors import PermanentError, RefusedError, RetryableError
from sluiceway.pipelines.gate import BreakerGate
from sluiceway.pipelines.observation import Health, describe, needs_help
from sluiceway.pipelines.pause import pause
from sluiceway.pipelines.request import Request, Sender

__all__ = ["Backoff", "Retry"]

SHORTEST_WAIT: Final = 0.01
"""Intervals of zero must not turn a dead backend into a busy loop."""
REMINDER: Final = 300.0
"""Seconds after which an error that an operator must mend is logged as one again; until then each retry is `info`."""

_RETRYING: Final = "Exporting failed. Will retry the request after interval."

Failure: TypeAlias = RetryableError | RefusedError


class Backoff:
    """The waits of one request: each longer than the one before up to a limit, and varied at random."""

    def __init__(self, settings: RetryOnFailure, random: Callable[[], float]) -> None:
        self._settings = settings
        self._random = random
        self._interval = min(settings.initial_interval, settings.max_interval)

    def next(self) -> float:
        """Seconds until the next attempt."""
        spread = self._settings.randomization_factor * (2 * self._random() - 1)
        wait = self._interval * (1 + spread)
        self._interval = min(self._interval * self._settings.multiplier, self._settings.max_interval)
        return max(wait, SHORTEST_WAIT)


class Retry:
    """Repeats an export until it succeeds, fails for good or runs out of time.

    Setting `stop` ends the waits: each request is then tried once more, and not again. When nobody waits any more for
    the outcome of a request, the attempt that is under way is its last.
    What can be repeated is raised as `RetryableError`, so that a sender who waits may come again; what cannot, as
    `PermanentError`; a request that is too old for another attempt as `ExpiredError`. `gate` is a circuit breaker to
    wait for before each attempt: that wait counts neither as an attempt nor towards `max_elapsed_time`. `random` gives
    numbers between zero and one. `is_durable` says that requests are on disk.
    """

    def __init__(
        self,
        sender: Sender,
        settings: RetryOnFailure,
        context: Context,
        health: Health,
        *,
        stop: asyncio.Event,
        random: Callable[[], float],
        gate: BreakerGate | None = None,
        is_durable: bool = False,
    ) -> None:
        self._patience = settings.patience(is_durable=is_durable)
        self._next = sender
        self._settings = settings
        self._clock = context.clock
        self._logger = context.logger
        self._health = health
        self._stop = stop
        self._random = random
        self._gate = gate
        self._told = ""
        """The last advice that was logged as an error, which is not repeated for a while."""
        self._quiet_until = 0.0

    async def send(self, request: Request) -> None:
        """Send on, again and again if need be. Cancellation ends it at once and leaves the request unsettled."""
        spent = 0.0
        backoff: Backoff | None = None
        while True:
            if self._gate is not None:
                await self._gate.passable(request)
            began = self._clock.now()
            request.require_fresh(began)
            is_last = self._stop.is_set()
            try:
                return await self._next.send(request)
            except PermanentError as error:
                raise PermanentError(f"not retryable error: {error}", code=error.code) from error
            except (RetryableError, RefusedError) as error:
                failure = error
            backoff = backoff or Backoff(self._settings, self._random)
            wait = max(backoff.next(), failure.retry_after or 0.0)
            spent += self._clock.now() - began + wait
            self._judge(request, spent, failure, is_last=is_last)
            if request.span is not None:
                request.span.add_event(_RETRYING, {"error": describe(failure), "interval": format_duration(wait)})
            await self._wait(request, wait, failure)

    def _judge(self, request: Request, spent: float, failure: Failure, *, is_last: bool) -> None:
        """Raise if there is no next attempt, which would begin when `spent` seconds have passed.

        The last one is that which began after the stop: what was under way then may have met a backend that is back.
        """
        if is_last:
            raise _given_up("interrupted due to shutdown", failure)
        if request.is_abandoned:
            raise _given_up("the sender has gone", failure)
        if 0 < self._patience < spent:
            raise _given_up("no more retries left", failure)

    async def _wait(self, request: Request, wait: float, failure: Failure) -> None:
        self._health.troubled(f"{describe(failure)}, retrying")
        self._logger.log(
            self._level(failure), _RETRYING, extra={"error": str(failure), "interval": format_duration(wait)}
        )
        async with while_waited_for(request.callers):
            await pause(self._clock, min(wait, request.expires - self._clock.now()), self._stop)
        if request.is_abandoned:
            raise _given_up("the sender has gone", failure)

    def _level(self, failure: Failure) -> int:
        """What only an operator can mend is an error, told when it is new and now and then."""
        if not needs_help(failure):
            return logging.INFO
        now = self._clock.now()
        if failure.advice == self._told and now < self._quiet_until:
            return logging.INFO
        self._told, self._quiet_until = failure.advice, now + REMINDER
        return logging.ERROR


def _given_up(why: str, failure: Failure) -> RetryableError:
    code = failure.code if isinstance(failure, RetryableError) else ""
    advice = failure.advice if isinstance(failure, RetryableError) else ""
    error = RetryableError(f"{why}: {failure}", retry_after=failure.retry_after, code=code, advice=advice)
    error.__cause__ = failure
    return error
