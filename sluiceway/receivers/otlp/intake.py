"""From a request's bytes to the pipeline: bounds what is in flight, checks the bytes, counts what became of them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sluiceway.component import Consumer, Context, Identity
from sluiceway.errors import RefusedError
from sluiceway.otlp import Batch, Limits, Origin, Signal, accept
from sluiceway.received import Received
from sluiceway.receivers.otlp.answers import Answer, answer_to, answer_to_bug

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

__all__ = ["LARGE", "Intake", "Room"]

LARGE: Final = 1024 * 1024
"""Bodies of at least this many bytes are worked on in a thread, so that they do not hold up everybody else."""

_NO_HEADERS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({})


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
        self._received = Received(context, transport)

    def origin(
        self,
        peer: str,
        identity: Identity | None = None,
        headers: Mapping[str, tuple[str, ...]] = _NO_HEADERS,
        causes: tuple[SpanContext, ...] = (),
    ) -> Origin:
        """Note how a request came: from where, by whom as far as that was proved, and the headers that are kept."""
        received = self.context.clock.now()
        if identity is None:
            return Origin(received, peer, self.transport, headers=headers, causes=causes)
        return Origin(received, peer, self.transport, identity.subject, identity.attributes, headers, causes)

    async def take(self, signal: Signal, raw: bytes, origin: Origin) -> None:
        """Check the bytes and hand them on; raise what the pipeline raises, or `RefusedError` without room."""
        size = len(raw)
        if not self.room.take(size, 1):
            refusal = RefusedError("too many requests in flight")
            self._received.note(refusal)
            raise refusal
        try:
            await self._received.push(await self._accept(signal, raw, origin), self.consumer)
        except BaseException as error:
            self._received.note(error)
            raise
        finally:
            self.room.give_back(size, 1)
        self._received.note()

    async def _accept(self, signal: Signal, raw: bytes, origin: Origin) -> Batch:
        if len(raw) < LARGE:
            return accept(signal, raw, origin, self.limits)
        return await asyncio.to_thread(accept, signal, raw, origin, self.limits)

    def answer(self, error: BaseException) -> Answer:
        """Find the answer to what `take` raised; an error that nobody foresaw is logged, under the id it is told by."""
        answer = answer_to(error)
        if answer is None:
            reference = secrets.token_hex(4)
            self.context.logger.error("internal error %s while a request was taken in", reference, exc_info=error)
            answer = answer_to_bug(reference)
        return answer
