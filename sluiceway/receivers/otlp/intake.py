"""From a request's bytes to the pipeline: bounds what is in flight, checks the bytes, counts what became of them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Final

from sluiceway.component import Consumer, Context, Identity
from sluiceway.errors import DeliveryError, RefusedError, SenderError
from sluiceway.otlp import Batch, Limits, Origin, Signal, accept
from sluiceway.receivers.otlp.answers import Answer, answer_to, answer_to_bug

__all__ = ["LARGE", "Counts", "Intake", "Room"]

LARGE: Final = 1024 * 1024
"""Bodies of at least this many bytes are worked on in a thread, so that they do not hold up everybody else."""

_UNITS: Final = {Signal.TRACES: "{span}", Signal.METRICS: "{datapoint}", Signal.LOGS: "{record}"}
_NO_HEADERS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({})
_TEXTS: Final = {
    "accepted": "Items pushed into the pipeline.",
    "refused": "Items that the pipeline did not take.",
    "failed": "Items that an internal error kept out of the pipeline.",
}


@dataclass(slots=True)
class Counts:
    """What became of the items of one signal that came by one transport."""

    accepted: int = 0
    refused: int = 0
    failed: int = 0


class Room:
    """How much may be in flight in one receiver: requests being worked on, and bytes held for them."""

    def __init__(self, requests: int, size: int) -> None:
        self.requests = requests
        self.size = size

    def take(self, size: int, requests: int = 0) -> bool:
        """Take space, or return False when there is not enough."""
        if self.requests < requests or self.size < size:
            return False
        self.requests -= requests
        self.size -= size
        return True

    def give_back(self, size: int, requests: int = 0) -> None:
        """Return what `take` took."""
        self.requests += requests
        self.size += size


class Intake:
    """Takes the requests of one transport to the next consumer, and finds the answer when that fails."""

    def __init__(self, transport: str, limits: Limits, room: Room, context: Context, consumer: Consumer) -> None:
        self.transport = transport
        self.limits = limits
        self.room = room
        self.context = context
        self.consumer = consumer
        self.counts = {signal: Counts() for signal in Signal}
        self.outcomes = {"success": 0, "refused": 0, "failure": 0}
        self._register()

    def origin(
        self, peer: str, identity: Identity | None = None, headers: Mapping[str, tuple[str, ...]] = _NO_HEADERS
    ) -> Origin:
        """Note how a request came: from where, by whom as far as that was proved, and the headers that are kept."""
        received = self.context.clock.now()
        if identity is None:
            return Origin(received, peer, self.transport, headers=headers)
        return Origin(received, peer, self.transport, identity.subject, identity.attributes, headers)

    async def take(self, signal: Signal, raw: bytes, origin: Origin) -> None:
        """Check the bytes and hand them on; raise what the pipeline raises, or `RefusedError` without room."""
        size = len(raw)
        if not self.room.take(size, 1):
            self.outcomes["refused"] += 1
            raise RefusedError("too many requests in flight")
        try:
            await self._consume(await self._accept(signal, raw, origin))
        except (RefusedError, DeliveryError, asyncio.CancelledError):
            self.outcomes["refused"] += 1
            raise
        except BaseException:
            self.outcomes["failure"] += 1
            raise
        finally:
            self.room.give_back(size, 1)

    async def _accept(self, signal: Signal, raw: bytes, origin: Origin) -> Batch:
        if len(raw) < LARGE:
            return accept(signal, raw, origin, self.limits)
        return await asyncio.to_thread(accept, signal, raw, origin, self.limits)

    async def _consume(self, batch: Batch) -> None:
        items, counts = batch.items, self.counts[batch.signal]
        try:
            if items:
                await self.consumer.consume(batch)
        except (RefusedError, DeliveryError, SenderError, asyncio.CancelledError):
            counts.refused += items
            raise
        except BaseException:
            counts.failed += items
            raise
        counts.accepted += items
        self.outcomes["success"] += 1

    def answer(self, error: BaseException) -> Answer:
        """Find the answer to what `take` raised; an error that nobody foresaw is logged, under the id it is told by."""
        answer = answer_to(error)
        if answer is None:
            reference = secrets.token_hex(4)
            self.context.logger.error("internal error %s while a request was taken in", reference, exc_info=error)
            answer = answer_to_bug(reference)
        return answer

    def _register(self) -> None:
        scope, labels = self.context.telemetry, {"receiver": self.context.id, "transport": self.transport}
        for signal in self.context.signals:
            for name, text in _TEXTS.items():
                read = partial(getattr, self.counts[signal], name)
                scope.counter(f"otelcol_receiver_{name}_{signal.items}", read, _UNITS[signal], text, **labels)
        for outcome in self.outcomes:
            read = partial(self.outcomes.__getitem__, outcome)
            scope.counter(
                "otelcol_receiver_requests", read, "{request}", "Requests by outcome.", outcome=outcome, **labels
            )
