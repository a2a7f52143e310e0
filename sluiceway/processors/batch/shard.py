"""One stream of batches that may be joined with each other, with the task that sends them on."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from sluiceway.component import Consumer, Context, Reason, Status, reason_of
from sluiceway.errors import PermanentError, RefusedError, RetryableError, SenderError
from sluiceway.otlp import Batch, Origin, causes_of, join, split
from sluiceway.processors.batch.room import Room

__all__ = ["Sends", "Shard", "Trigger"]

_FIRST_DELAY: Final = 0.1
_LAST_DELAY: Final = 5.0
"""Seconds between attempts when nobody says when to come again; doubled from the first to the last."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """When a shard sends: at `size` items or after `timeout` seconds, never more than `max_size` items (0: any)."""

    size: int
    max_size: int
    timeout: float

    @property
    def is_immediate(self) -> bool:
        """Whether nothing is ever waited for."""
        return self.size == 0 or self.timeout == 0


class Sends:
    """What all shards of a processor have sent, as the Collector's metrics."""

    def __init__(self, context: Context) -> None:
        self.by_size = 0
        self.by_timeout = 0
        name, scope = "otelcol_processor_batch", context.telemetry
        scope.counter(
            f"{name}_batch_size_trigger_send", lambda: self.by_size, "{time}",
            "Batches sent because they were large enough.", processor=context.id,
        )  # fmt: skip
        scope.counter(
            f"{name}_timeout_trigger_send", lambda: self.by_timeout, "{time}",
            "Batches sent because the time was over.", processor=context.id,
        )  # fmt: skip
        self._items = scope.histogram(
            f"{name}_batch_send_size", "{unit}", "Items in a batch that was sent.", processor=context.id
        )
        self._bytes = scope.histogram(
            f"{name}_batch_send_size_bytes", "By", "Bytes in a batch that was sent.", processor=context.id
        )

    def record(self, batch: Batch, *, by_timeout: bool) -> None:
        """Count a batch that is about to be sent."""
        self.by_timeout += by_timeout
        self.by_size += not by_timeout
        self._items.record(batch.items)
        self._bytes.record(len(batch.payload))


class Shard:
    """Keeps batches in order until there are enough of them, then sees each joined batch through."""

    def __init__(
        self, trigger: Trigger, headers: Mapping[str, tuple[str, ...]], room: Room, sends: Sends, context: Context,
        next: Consumer,
    ) -> None:  # fmt: skip
        self._trigger = trigger
        self._headers = headers
        self._room = room
        self._sends = sends
        self._context = context
        self._next = next
        self._waiting: deque[tuple[float, Batch]] = deque()
        self._waiting_items = 0
        self._outgoing: deque[Batch] = deque()
        self._refused_until = 0.0
        self._is_urgent = False
        self._wake = asyncio.Event()
        self._finish = asyncio.Event()

    @property
    def refused_for(self) -> float:
        """Seconds until the next attempt, while the next component refuses; else zero."""
        return max(0.0, self._refused_until - self._context.clock.now())

    def put(self, batch: Batch) -> None:
        """Add a batch for which there is room."""
        self._waiting.append((self._context.clock.now(), batch))
        self._waiting_items += batch.items
        if len(self._waiting) == 1 or self._waiting_items >= self._trigger.size:
            self._wake.set()

    def hurry(self) -> None:
        """Send what waits without waiting for more: its room is needed."""
        self._is_urgent = bool(self._waiting)
        self._wake.set()

    def finish(self) -> None:
        """Send all that waits, and then end `run`."""
        self._finish.set()
        self._wake.set()

    async def run(self) -> None:
        """Send until `finish`, and then all that is left."""
        while await self._is_due():
            self._is_urgent = False
            while self._outgoing:
                await self._deliver(self._outgoing[0])
                self._room.release(self._outgoing.popleft())

    def abandon(self) -> None:
        """Drop and count what is left, which is nothing unless `run` was cancelled."""
        for batch in (*self._outgoing, *(batch for _, batch in self._waiting)):
            self._context.drop(batch.items, Reason.SHUTDOWN)
            self._room.release(batch)
        self._outgoing.clear()
        self._waiting.clear()

    async def _is_due(self) -> bool:
        """Wait until something is to be sent, and make it `_outgoing`; False when nothing will come any more."""
        while not self._waiting or not self._is_enough():
            if not self._waiting and self._finish.is_set():
                return False
            self._wake.clear()
            try:
                async with self._context.clock.timeout(self._remaining()):
                    await self._wake.wait()
            except TimeoutError:
                self._cut(by_timeout=True)
                return True
        self._cut(by_timeout=False)
        return True

    def _is_enough(self) -> bool:
        return (
            self._waiting_items >= self._trigger.size
            or self._trigger.is_immediate
            or self._is_urgent
            or self._finish.is_set()
        )

    def _remaining(self) -> float | None:
        if not self._waiting:
            return None
        return max(0.0, self._waiting[0][0] + self._trigger.timeout - self._context.clock.now())

    def _cut(self, *, by_timeout: bool) -> None:
        """Move whole requests from waiting to outgoing, until they are enough, joined and split to size."""
        is_all = by_timeout or self._trigger.is_immediate or self._is_urgent or self._finish.is_set()
        taken: list[Batch] = []
        items, arrival = 0, 0.0
        while self._waiting and (items < self._trigger.size or self._trigger.is_immediate):
            arrival, batch = self._waiting.popleft()
            taken.append(batch)
            items += batch.items
        self._waiting_items -= items
        pieces = list(self._pieces(taken))
        if not is_all and pieces[-1].items < self._trigger.size:
            rest = pieces.pop()
            self._waiting.appendleft((arrival, rest))
            self._waiting_items += rest.items
        for piece in pieces:
            self._sends.record(piece, by_timeout=by_timeout)
        self._outgoing.extend(pieces)

    def _pieces(self, taken: list[Batch]) -> Iterator[Batch]:
        causes = causes_of([batch.origin for batch in taken])
        origin = Origin(received=taken[0].origin.received, headers=self._headers, causes=causes)
        joined = replace(join(taken) if len(taken) > 1 else taken[0], origin=origin)
        is_large = 0 < self._trigger.max_size < joined.items
        for batch in taken:
            self._room.release(batch)
        for piece in split(joined, items=self._trigger.max_size) if is_large else [joined]:
            self._room.take(piece)
            yield piece

    async def _deliver(self, batch: Batch) -> None:
        """Return when the batch was delivered, or dropped because it never can be."""
        delay = _FIRST_DELAY
        while True:
            try:
                await self._next.consume(batch)
            except (RefusedError, RetryableError) as error:
                await self._wait_out(delay if error.retry_after is None else error.retry_after, error)
                delay = min(2 * delay, _LAST_DELAY)
                continue
            except (PermanentError, SenderError) as error:
                self._context.logger.warning("Sender failed; %d items are dropped: %s", batch.items, error)
                self._context.drop(batch.items, reason_of(error))
            except Exception:
                self._context.logger.exception("Sender failed; %d items are dropped", batch.items)
                self._context.drop(batch.items, Reason.INTERNAL_ERROR)
            self._be_well()
            return

    async def _wait_out(self, delay: float, error: Exception) -> None:
        """Wait before the next attempt. A stop ends the wait once, to try again at once; then delays hold again."""
        delay = max(_FIRST_DELAY, delay)
        clock = self._context.clock
        if not self._refused_until:
            self._context.logger.warning("Sender failed; the batch is kept and tried again in %.1f s: %s", delay, error)
            self._context.report(Status.RECOVERABLE_ERROR, "the next component refuses batches")
        self._refused_until = clock.now() + delay
        if self._finish.is_set():
            await clock.sleep(delay)
            return
        try:
            async with clock.timeout(delay):
                await self._finish.wait()
        except TimeoutError:
            return

    def _be_well(self) -> None:
        if self._refused_until:
            self._refused_until = 0.0
            self._context.report(Status.OK)
