"""What happened, as log records: handed on after the measurement that found it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import Final

from sluiceway.component import Consumer, Context, Reason, reason_of
from sluiceway.errors import RefusedError, RetryableError, SluicewayError
from sluiceway.otlp import Batch, Origin, Signal
from sluiceway.received import Received
from sluiceway.stanza import Entry, encode

__all__ = ["Events"]

MOST_WAITING: Final = 10_000
"""Records that wait for the pipeline to take them; the oldest are dropped and counted when there are more."""


class Events:
    """Pushes records, each once. A source tells an event once, so what is refused for now waits for the next time."""

    def __init__(self, context: Context, received: Received, next: Consumer) -> None:
        self._context = context
        self._received = received
        self._next = next
        self._waiting: deque[Entry] = deque()

    def add(self, entries: Iterable[Entry]) -> None:
        """Take records; they wait for the next push."""
        if Signal.LOGS in self._context.signals:
            self._waiting.extend(entries)
            self._drop(len(self._waiting) - MOST_WAITING, Reason.QUEUE_FULL)

    async def push(self) -> None:
        """Hand on what waits."""
        waiting = self._waiting
        if not waiting:
            return
        offered = len(waiting)
        batch = Batch(Signal.LOGS, encode(list(islice(waiting, offered))), offered, Origin(self._context.clock.now()))
        try:
            await self._received.push(batch, self._next)
        except (RefusedError, RetryableError) as error:
            self._context.logger.debug("%d log records wait: %s", offered, error)
        except SluicewayError as error:
            self._context.logger.warning("%d log records were refused: %s", offered, error)
            self._drop(offered, reason_of(error))
        else:
            waiting.clear()

    def close(self) -> None:
        """Drop and count what still waits."""
        self._drop(len(self._waiting), Reason.SHUTDOWN)

    def _drop(self, items: int, reason: Reason) -> None:
        if items > 0:
            for _ in range(items):
                self._waiting.popleft()
            self._context.drop(items, reason)
