"""What became of what a receiver pushed: the metrics that every receiver shows, under the Collector's names."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Final

from sluiceway.component import Consumer, Context, PartialSuccess, reason_of
from sluiceway.errors import DeliveryError, RefusedError, RetryableError, SenderError, SluicewayError, TooLargeError
from sluiceway.otlp import Batch, Signal, split

__all__ = ["Counts", "Received"]

DELAY: Final = 1.0
"""Seconds before a batch is offered again, where the refusal names none."""

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


class Received:
    """Counts items and requests of one receiver that come by one transport.

    What is lost is counted as dropped. It is logged when losses begin, when their cause changes, and when they end.

    A receiver that says by a status of its own why a request is not taken counts it with `note`.
    """

    def __init__(self, context: Context, transport: str = "") -> None:
        self._counts = {signal: Counts() for signal in Signal}
        self._requests = {"success": 0, "refused": 0, "failure": 0}
        self._context = context
        self._lost_by = ""
        self._publish(context, {"receiver": context.id, "transport": transport})

    async def push(self, batch: Batch, consumer: Consumer) -> PartialSuccess | None:
        """Hand a batch on and count what becomes of its items; a batch without any is nobody's business."""
        counts, items = self._counts[batch.signal], batch.items
        answer = None
        try:
            if items:
                answer = await consumer.consume(batch)
        except (RefusedError, DeliveryError, SenderError, asyncio.CancelledError):
            counts.refused += items
            raise
        except BaseException:
            counts.failed += items
            raise
        counts.accepted += items
        return answer

    async def keep_pushing(self, batch: Batch, consumer: Consumer) -> bool:
        """Hand a batch on, again and again while it is refused for now; for sources that can wait, such as a file.

        Returns whether all of it was taken. What is refused for good is dropped and counted; a batch that is larger
        than a queue may hold goes in halves. A cancellation comes through: what was not taken yet comes again.
        """
        while True:
            try:
                await self.push(batch, consumer)
            except (RefusedError, RetryableError) as error:
                await self._context.clock.sleep(error.retry_after or DELAY)
            except TooLargeError as error:
                if batch.items < 2:
                    self._lose(batch, error)
                    return False
                taken = [await self.keep_pushing(part, consumer) for part in split(batch, (batch.items + 1) // 2)]
                return all(taken)
            except SluicewayError as error:
                self._lose(batch, error)
                return False
            else:
                self._keep()
                return True

    async def push_once(self, batch: Batch, consumer: Consumer) -> bool:
        """Hand a batch on, and drop and count it when it is refused: for sources that cannot wait, such as a scrape.

        Returns whether it was taken.
        """
        try:
            await self.push(batch, consumer)
        except SluicewayError as error:
            self._lose(batch, error)
            return False
        self._keep()
        return True

    def _lose(self, batch: Batch, error: SluicewayError) -> None:
        self._context.drop(batch.items, reason_of(error))
        if (cause := str(error)) != self._lost_by:
            self._lost_by = cause
            text = "%d %s were refused and dropped: %s; while this goes on, more are counted and not logged"
            self._context.logger.warning(text, batch.items, batch.signal.items, cause)

    def _keep(self) -> None:
        if self._lost_by:
            self._lost_by = ""
            self._context.logger.info("The pipeline takes what is offered again")

    def note(self, error: BaseException | None = None) -> None:
        """Count a request by its outcome: pressure and a backend's answer refuse it, all else is a failure."""
        if error is None:
            self._requests["success"] += 1
        elif isinstance(error, RefusedError | DeliveryError | asyncio.CancelledError):
            self._requests["refused"] += 1
        else:
            self._requests["failure"] += 1

    def _publish(self, context: Context, names: dict[str, str]) -> None:
        scope = context.telemetry
        for signal in context.signals:
            for name, text in _TEXTS.items():
                read = partial(getattr, self._counts[signal], name)
                scope.counter(f"otelcol_receiver_{name}_{signal.items}", read, signal.unit, text, **names)
        for outcome in self._requests:
            read = partial(self._requests.__getitem__, outcome)
            scope.counter(
                "otelcol_receiver_requests", read, "{request}", "Requests by outcome.", outcome=outcome, **names
            )
