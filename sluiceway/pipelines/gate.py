"""The circuit breaker before each attempt: who is let through, what counts as a failure, and who waits."""

from __future__ import annotations

import asyncio

from sluiceway.caller import while_waited_for
from sluiceway.circuit_breaker import Breaker, Call, Outcome, State, judge
from sluiceway.component import Context, Reason
from sluiceway.errors import RefusedError, RetryableError
from sluiceway.otlp import Signal
from sluiceway.pipelines.observation import Health
from sluiceway.pipelines.pause import pause
from sluiceway.pipelines.request import Request, Sender

__all__ = ["BreakerGate", "Patience"]


class BreakerGate:
    """Lets a request through while the breaker allows it, and refuses it, with the time to wait, when not.

    Nothing is dropped here. Whoever can wait calls `passable` first, which returns in the moment in which `send` will
    let one request through; so there must be no other wait between the two.
    """

    def __init__(
        self, sender: Sender, breaker: Breaker, context: Context, health: Health, *, stop: asyncio.Event
    ) -> None:
        self._next = sender
        self._breaker = breaker
        self._clock = context.clock
        self._logger = context.logger
        self._health = health
        self._stop = stop
        self._changed = asyncio.Event()

    def publish(self, context: Context, signal: Signal) -> None:
        """Make the state a metric."""
        context.telemetry.gauge(
            "otelcol_exporter_circuit_breaker_state", lambda: self._breaker.state.level, "1",
            "Closed 0, half-open 1, open 2.", exporter=context.id, data_type=signal.value,
        )  # fmt: skip

    async def passable(self, request: Request) -> None:
        """Wait until the request may be sent.

        Raise `RetryableError` when its sender has gone, and once `stop` is set rather than wait for a probe;
        `ExpiredError` when it has waited for too long.
        """
        while delay := self._breaker.delay():
            if self._stop.is_set() and self._breaker.state is State.OPEN:
                raise RetryableError("interrupted due to shutdown: circuit breaker is open", code="UNAVAILABLE")
            if request.is_abandoned:
                raise RetryableError("the sender has gone: circuit breaker is open", code="UNAVAILABLE")
            request.require_fresh(now := self._clock.now())
            async with while_waited_for(request.callers):
                await pause(self._clock, min(delay, request.expires - now), self._changed)

    async def send(self, request: Request) -> None:
        """Send on, or raise `RefusedError` while the breaker is open."""
        call = self._breaker.begin()
        if call is None:
            raise RefusedError("circuit breaker is open", self._breaker.retry_after(), reason=Reason.CIRCUIT_OPEN)
        try:
            await self._next.send(request)
        except BaseException as error:
            self._end(call, judge(error))
            raise
        self._end(call, Outcome.SUCCESS)

    def hasten(self) -> None:
        """Let a probe through now: called when `stop` is set, because what waits has no other chance."""
        self._breaker.hasten()
        self._announce()

    def _end(self, call: Call, outcome: Outcome) -> None:
        before = self._breaker.state
        if self._breaker.end(call, outcome):
            if self._breaker.state is not before:
                self._tell(self._breaker.state)
            self._announce()

    def _announce(self) -> None:
        """Wake all who wait, once."""
        self._changed.set()
        self._changed.clear()

    def _tell(self, state: State) -> None:
        if state is State.OPEN:
            delay = round(self._breaker.delay(), 3)
            self._health.troubled(f"circuit breaker is open, next attempt in {delay:g}s")
            self._logger.warning("Circuit breaker opened. Data waits.", extra={"interval": f"{delay:g}s"})
        else:
            self._logger.info("Circuit breaker closed.")


class Patience:
    """Waits at a gate before each request: the place of `Retry` in chains that do not retry."""

    def __init__(self, gate: BreakerGate) -> None:
        self._gate = gate

    async def send(self, request: Request) -> None:
        """Send on as soon as the gate is passable."""
        await self._gate.passable(request)
        await self._gate.send(request)
