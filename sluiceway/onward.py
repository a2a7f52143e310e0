"""What a connector makes of what it was given, handed on to the pipeline behind it."""

from __future__ import annotations

from sluiceway.component import Consumer, Context, Status, reason_of
from sluiceway.errors import RefusedError, RetryableError, SluicewayError
from sluiceway.otlp import Batch

__all__ = ["Onward"]


class Onward:
    """Hands on batches, and tells when the pipeline begins to refuse them and when it takes them again."""

    def __init__(self, context: Context, next: Consumer) -> None:
        self._context = context
        self._next = next
        self._refused = False

    async def send(self, batch: Batch, *, last: bool) -> bool:
        """Hand on a batch; say whether it is done with: taken, or lost and counted. Else it may come again.

        What is refused at the `last` flush is lost, too. A cancellation comes through, and nothing is counted.
        """
        try:
            await self._next.consume(batch)
        except SluicewayError as error:
            self._tell(error)
            if isinstance(error, RefusedError | RetryableError) and not last:
                return False
            self._context.drop(batch.items, reason_of(error))
        except Exception as error:  # a fault of ours must not end the task that flushes
            self._context.drop(batch.items, reason_of(error))
            self._context.logger.exception("Sending failed")
        else:
            self._tell(None)
        return True

    def _tell(self, error: SluicewayError | None) -> None:
        if error is None:
            if self._refused:
                self._context.logger.info("What is sent is taken again")
            self._context.report(Status.OK)
        else:
            if not self._refused:
                self._context.logger.warning("What was sent was refused", extra={"error": str(error)})
            self._context.report(Status.RECOVERABLE_ERROR, f"what was sent was refused: {error}")
        self._refused = error is not None
