"""What was read, offered to the pipeline until it has answered."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Iterator
from typing import Final

from sluiceway.component import Consumer, Context, Reason, Status, reason_of
from sluiceway.errors import RefusedError, RetryableError, SluicewayError, TooLargeError
from sluiceway.otlp import Batch, split
from sluiceway.received import Received
from sluiceway.receivers.kafka.claim import Chunk, Claim, News
from sluiceway.receivers.kafka.health import Health
from sluiceway.receivers.kafka.settings import ErrorBackoff, KafkaReceiverConfig

__all__ = ["Abandoned", "Offers"]

_SHORTEST_WAIT: Final = 0.01
_QUIET: Final = 10.0
"""Seconds in which further losses are counted and not logged."""


class Abandoned(Exception):  # noqa: N818 - no error: somebody else reads on
    """The partition is no longer ours, so what was refused is not offered again."""


class Offers:
    """Offers batches until they are taken, or lost and counted; `news` has the claims that begin or end to wait."""

    def __init__(
        self, config: KafkaReceiverConfig, context: Context, next: Consumer, health: Health, news: News
    ) -> None:
        self._marking = config.message_marking
        self._backoff = config.error_backoff
        self._context = context
        self._next = next
        self._health = health
        self._news = news
        self._received = Received(context, "kafka")
        self._quiet_until = -math.inf

    async def settle(self, claim: Claim, batch: Batch) -> None:
        """Return once reading may go on behind the batch: it was taken, or lost and counted.

        Raises `Abandoned` where it was refused and the claim is over. A cancellation comes through, too. What was not
        taken then is read again by whoever has the partition next.
        """
        began, waits = self._context.clock.now(), _waits(self._backoff)
        while (refusal := await self._offer(batch)) is not None:
            if isinstance(refusal, TooLargeError) and batch.items > 1:
                for part in split(batch, (batch.items + 1) // 2):
                    await self.settle(claim, part)
                break
            if self._gives_up(refusal, began):
                self._lose(claim, batch.items, str(refusal), reason_of(refusal))
                break
            await self._wait(claim, refusal, next(waits))
        self._go_on(claim)

    async def unreadable(self, claim: Claim, chunk: Chunk) -> None:
        """Count a message that cannot be read as lost; where that is not wanted, hold up its partition for good."""
        text = f"the message at offset {chunk.offset - 1} cannot be read: {chunk.problem}"
        if not self._marking.on_permanent_error:
            self._health.refused(claim, text, Status.PERMANENT_ERROR)
            self._context.logger.error("Partition %s stands still: %s", claim, text)
            claim.is_refused = True
            self._news.tell(claim)
            await asyncio.Event().wait()
        self._lose(claim, 1, text, Reason.PERMANENT_ERROR)

    async def _offer(self, batch: Batch) -> Exception | None:
        """What speaks against the batch."""
        try:
            await self._received.push(batch, self._next)
        except SluicewayError as error:
            return error
        except Exception as error:
            self._context.logger.exception("The pipeline failed; what it was given is offered again")
            return RetryableError(f"internal error: {type(error).__name__}")
        return None

    def _gives_up(self, refusal: Exception, began: float) -> bool:
        if not isinstance(refusal, RefusedError | RetryableError):
            return self._marking.on_permanent_error
        if not self._marking.on_error:
            return False
        longest = self._backoff.max_elapsed_time if self._backoff.enabled else -1.0
        return longest < 0 or 0 < longest <= self._context.clock.now() - began

    async def _wait(self, claim: Claim, refusal: Exception, seconds: float) -> None:
        if claim.is_over:
            raise Abandoned
        status, asked = Status.PERMANENT_ERROR, None
        if isinstance(refusal, RefusedError | RetryableError):
            status, asked = Status.RECOVERABLE_ERROR, refusal.retry_after
        self._health.refused(claim, str(refusal), status)
        if not claim.is_refused:
            claim.is_refused = True
            self._news.tell(claim)
        await self._context.clock.sleep(asked or seconds)

    def _go_on(self, claim: Claim) -> None:
        if claim.is_refused:
            claim.is_refused = False
            self._health.taken(claim)
            self._news.tell(claim)

    def _lose(self, claim: Claim, items: int, why: str, reason: Reason) -> None:
        self._context.drop(items, reason)
        now = self._context.clock.now()
        if now >= self._quiet_until:
            self._quiet_until = now + _QUIET
            text = "Data of partition %s was dropped: %s; for 10s more is counted and not logged"
            self._context.logger.warning(text, claim, why)


def _waits(settings: ErrorBackoff) -> Iterator[float]:
    """Seconds to wait, each time longer."""
    wait = min(settings.initial_interval, settings.max_interval)
    while True:
        spread = settings.randomization_factor * random.uniform(-1, 1)  # noqa: S311 - no secret
        yield max(wait * (1 + spread), _SHORTEST_WAIT)
        wait = min(wait * settings.multiplier, settings.max_interval)
