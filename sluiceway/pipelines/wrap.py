"""Puts around an exporter what its settings ask for.

    queue → trace → observation → retry → circuit breaker → timeout → delivery → exporter

Each part wraps the next and has one verb, `send`; where there is no queue, a passage has its place. Why the breaker
stands where it does is told in docs/decisions/0001-where-the-circuit-breaker-stands.md.
"""

from __future__ import annotations

import asyncio
import logging
import random as dice
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from pydantic import BaseModel

from sluiceway.circuit_breaker import Breaker
from sluiceway.component import Checked, Context, Destined, Lifecycle, Reason
from sluiceway.config.metadata import ReadsHeaders
from sluiceway.config.settings import walk
from sluiceway.parts import Parts
from sluiceway.pipelines.backend_check import BackendCheck
from sluiceway.pipelines.bisection import Bisection
from sluiceway.pipelines.delivery import Delivery
from sluiceway.pipelines.gate import BreakerGate, Patience
from sluiceway.pipelines.ledger import Account
from sluiceway.pipelines.losses import LossLog
from sluiceway.pipelines.observation import Counts, Health, Observation
from sluiceway.pipelines.passage import Passage
from sluiceway.pipelines.queue import SendingQueue
from sluiceway.pipelines.request import ExpiredError, Request, Sender
from sluiceway.pipelines.retry import Retry
from sluiceway.pipelines.storage import find_store
from sluiceway.pipelines.timeout import Timeout
from sluiceway.pipelines.traced import TracedExport
from sluiceway.telemetry import AttributeValue

__all__ = ["Wrapped", "wrap"]


class Wrapped:
    """An exporter for one signal with everything around it. Entering enters the exporter, leaving flushes first.

    Leaving lets each request that is still held be tried once more. When leaving is cancelled, what is left is dropped
    with reason SHUTDOWN.
    """

    def __init__(self, exporter: Any, delivery: Delivery, health: Health, stop: asyncio.Event) -> None:
        self.exporter = exporter
        self._health = health
        self.sender: Sender = delivery
        self.timeout: Timeout | None = None
        self.queue: SendingQueue | None = None
        self.passage: Passage | None = None
        """The place of the queue where there is none."""
        self.gate: BreakerGate | None = None
        self.check: BackendCheck | None = None
        """The question whether the backend is there, for exporters that can ask it."""
        self.at_the_end: list[Callable[[], None]] = [delivery.tell_losses]
        """What is to be said before the exporter is left."""
        self._stop = stop
        self._stack = AsyncExitStack()

    @property
    def takes_at_once(self) -> bool:
        """Whether `send` never waits, so that it cannot be cancelled half-way."""
        return self.queue is not None and self.queue.takes_at_once

    async def send(self, request: Request) -> None:
        """Return when the request was delivered or is in the queue."""
        await self.sender.send(request)

    def lost(self, reason: Reason) -> None:
        """Tell that data was dropped in front of the exporter, because it did not take what others did."""
        self._health.losing(f"data that other exporters took was dropped: {reason}")

    def hasten(self) -> None:
        """See that whoever waits for the outcome of a request hears it soon, because receivers are about to stop.

        Requests then have one attempt more, as when the exporter is left. What a queue has accepted goes on as before.
        """
        if self.queue is not None:
            self.queue.turn_away()
        if self.queue is None or self.queue.waits_for_results:
            self._last_attempts()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            if isinstance(self.exporter, Lifecycle):
                await stack.enter_async_context(self.exporter)
            for tell in self.at_the_end:
                stack.callback(tell)
            for part in (self.check, self.timeout, self.queue, self.passage):
                if part is not None:
                    await stack.enter_async_context(part)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._last_attempts()
        await self._stack.__aexit__(kind, error, trace)

    def _last_attempts(self) -> None:
        self._stop.set()
        if self.gate is not None:
            self.gate.hasten()


def wrap(
    exporter: Any,
    settings: BaseModel,
    context: Context,
    *,
    account: Callable[[str], Account] | None = None,
    random: Callable[[], float] = dice.random,
) -> Wrapped:
    """Build what stands around an exporter, from those of the settings that its model has.

    `context.signals` must hold one signal: an exporter is wrapped once for each. `account` finds the exporter's account
    of a pipeline, for what a queue on disk has kept. `random` gives numbers between zero and one, for jitter.
    """
    (signal,) = context.signals
    stop = asyncio.Event()
    queue = getattr(settings, "sending_queue", None)
    parts = Parts(context)
    store = None
    if queue and queue.storage:
        store = find_store(queue, signal, context, parts.part())
        health = Health(parts.part().report)
    else:
        health = Health(context.report)
    counts = Counts(by_error=context.telemetry.detailed)
    destination = exporter.destination if isinstance(exporter, Destined) else {}
    missing = _missing(destination)
    counts.publish(context, signal, destination)
    wrapped = Wrapped(
        exporter,
        Delivery(exporter, counts, context, keeps_letters=store is not None and store[1].letters is not None),
        health,
        stop,
    )
    if isinstance(exporter, Checked):
        wrapped.check = BackendCheck(exporter, counts, health, context, random, missing)
    sender = wrapped.sender
    if seconds := getattr(settings, "timeout", 0):
        wrapped.timeout = sender = Timeout(sender, seconds, context.clock, missing)
    if breaker := getattr(settings, "circuit_breaker", None):
        machine = Breaker(breaker, context.clock.now, random)
        wrapped.gate = sender = BreakerGate(sender, machine, context, health, stop=stop)
        wrapped.gate.publish(context, signal)
    if retry := getattr(settings, "retry_on_failure", None):
        sender = Retry(
            sender, retry, context, health,
            stop=stop, random=random, gate=wrapped.gate, is_durable=store is not None,
        )  # fmt: skip
    elif wrapped.gate and getattr(settings, "sending_queue", None):
        sender = Patience(wrapped.gate)
    bisection = Bisection(whole_senders=queue is not None and queue.wait_for_result)
    if queue:
        sender = Observation(
            sender, counts, health, lambda r, e: isinstance(e, ExpiredError) or bisection.applies(r, e)
        )
    else:
        # Without a queue the request is one sender's, who is told that it was refused.
        log = LossLog("Exporting failed. Rejecting data.", logging.ERROR, context, "rejected_items")
        sender = Observation(sender, counts, health, _never, log)
        wrapped.at_the_end.append(log.tell)
    if tracing := context.telemetry.tracing:
        sender = TracedExport(sender, context, signal, tracing)
    if queue:
        wrapped.queue = sender = SendingQueue(
            sender, queue, context, counts, health, bisection, _headers_read(settings), store, account
        )
        wrapped.queue.publish(context, signal)
    else:
        wrapped.passage = sender = Passage(sender)
    wrapped.sender = sender
    return wrapped


def _headers_read(settings: BaseModel) -> tuple[str, ...]:
    """The request headers that an exporter itself reads, which must not be lost as requests are joined."""
    parts = (part for _, part in walk(settings) if isinstance(part, ReadsHeaders))
    return tuple(dict.fromkeys(name.lower() for part in parts for _, name in part.headers_read))


def _never(_request: Request, _error: Exception) -> bool:
    return False


def _missing(destination: Mapping[str, AttributeValue]) -> str:
    """What a backend that hangs leaves out, with the place where it is."""
    host, port = destination.get("server.address"), destination.get("server.port")
    if host is None:
        return "no answer"
    return f"no answer from {host}" if port is None else f"no answer from {host}:{port}"
