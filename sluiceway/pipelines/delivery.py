"""The innermost part around an exporter: calls it, and counts what it delivered."""

from __future__ import annotations

import logging

from sluiceway.component import Consumer, Context, PartialSuccess
from sluiceway.errors import RetryableError
from sluiceway.pipelines.losses import LossLog
from sluiceway.pipelines.observation import Counts
from sluiceway.pipelines.request import Letter, Request

__all__ = ["Delivery"]


class Delivery:
    """Gives each request to the exporter and settles success in the ledger.

    With `keeps_letters` a request of which the exporter names and rejects items is settled by the queue, which finds
    them in the request's `letter`.

    Nothing is awaited between the exporter's answer and the ledger, so a cancellation cannot come between. Errors of
    the operating system become `RetryableError`, since an exporter in one plain class raises them as they come.
    """

    def __init__(self, exporter: Consumer, counts: Counts, context: Context, *, keeps_letters: bool = False) -> None:
        self._keeps_letters = keeps_letters
        self._exporter = exporter
        self._counts = counts
        self._rejections = LossLog("Partial success response", logging.WARNING, context)

    async def send(self, request: Request) -> None:
        """Export once. Items that the backend rejected are dropped and never sent again."""
        try:
            partial = await self._exporter.consume(request.batch)
        except OSError as error:
            code = "DEADLINE_EXCEEDED" if isinstance(error, TimeoutError) else "UNAVAILABLE"
            raise RetryableError(f"{type(error).__name__}: {error}", code=code) from error
        rejected = 0 if partial is None else self._reject(partial, request)
        if partial is not None and partial.batch is not None and rejected and self._keeps_letters:
            request.letter = Letter(partial.batch, rejected, partial.message)
        else:
            request.deliver(rejected)
        self._counts.sent += request.batch.items - rejected
        if rejected:
            self._counts.fail(rejected, "_OTHER", permanent=True)
        if request.span is not None:
            request.span.set_attributes({"items.sent": request.batch.items - rejected, "items.failed": rejected})

    def tell_losses(self) -> None:
        """Log the rejections that have not been logged yet."""
        self._rejections.tell()

    def _reject(self, partial: PartialSuccess, request: Request) -> int:
        rejected = min(max(partial.rejected, 0), request.batch.items)
        if rejected or partial.message:
            self._rejections.note(rejected, partial.message or "no reason given")
        return rejected
