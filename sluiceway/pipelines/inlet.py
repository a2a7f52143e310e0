"""The door of a pipeline, and the links between its components."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from sluiceway.caller import CALLER, Caller
from sluiceway.component import Clock, Consumer, Reason
from sluiceway.errors import RetryableError
from sluiceway.otlp import Batch
from sluiceway.pipelines.flow import Flow
from sluiceway.pipelines.ledger import PipelineLedger

__all__ = ["PATIENCE", "Inlet", "Link"]

PATIENCE: Final = 30.0
"""Seconds that an attempt may go on whose sender has gone; the exporter's own `timeout` is mostly shorter."""


class Link:
    """A connection between two components that a reload can point elsewhere; it counts at both of its ends."""

    def __init__(self, target: Consumer | None = None) -> None:
        self.target = target
        self.out_of = Flow()
        self.into = Flow()

    async def consume(self, batch: Batch) -> None:
        """Hand the batch on to whatever the link points at now."""
        assert self.target is not None, "a graph is connected before it is started"  # noqa: S101 - our own invariant
        await self.target.consume(batch)
        self.out_of.outgoing += batch.items
        self.into.incoming += batch.items


class Inlet:
    """The door of a pipeline: what it lets in is accepted, what raises was refused and is still the sender's.

    With `shielded` a cancellation, which could strike after somebody has taken the batch, only says that the sender has
    gone: nobody waits for a backend on its behalf any more, and an attempt that is under way comes to its end. Then
    `consume` does, so that what bounds the number of senders counts those who have gone. The default path, exporters
    with queues, can do without.
    """

    def __init__(self, ledger: PipelineLedger, clock: Clock) -> None:
        self.name = ledger.pipeline
        self.ledger = ledger
        self.target: Consumer | None = None
        self.into = Flow()
        self.shielded = False
        self._clock = clock
        self._under_way: set[asyncio.Task[None]] = set()
        self._seen_out: set[asyncio.Task[None]] = set()

    async def consume(self, batch: Batch) -> None:
        """Take the batch through the pipeline. Where a cancellation is held up, a second one is not."""
        if not self.shielded:
            await self._take(batch)
            return
        caller = Caller(CALLER.get())
        task = asyncio.get_running_loop().create_task(self._take_for(caller, batch))
        self._under_way.add(task)
        task.add_done_callback(self._done)
        if caller.has_gone:
            self._see_out(task)
        else:
            caller.bells.append(lambda: self._see_out(task))
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            caller.hang_up()
            await asyncio.wait([task])
            if not _is_being_cancelled():
                raise RetryableError("the delivery was interrupted") from None
            raise

    def give_up(self, batch: Batch, reason: Reason) -> None:
        """Count the batch as accepted by the receiver and lost before this pipeline."""
        self.ledger.refused -= batch.items
        self.ledger.accepted += batch.items
        self.ledger.drop("receiver", batch.items, reason)

    async def drained(self) -> None:
        """Wait for what is still under way for senders that went away."""
        try:
            while self._under_way:
                await asyncio.wait(self._under_way)
        except asyncio.CancelledError:
            for task in self._under_way:
                task.cancel()
            raise

    async def _take_for(self, caller: Caller, batch: Batch) -> None:
        CALLER.set(caller)
        try:
            await self._take(batch)
        finally:
            caller.answered()

    async def _take(self, batch: Batch) -> None:
        assert self.target is not None, "a graph is connected before it is started"  # noqa: S101 - our own invariant
        try:
            await self.target.consume(batch)
        except BaseException:
            self.ledger.refused += batch.items
            raise
        self.ledger.accepted += batch.items
        self.into.incoming += batch.items

    def _see_out(self, task: asyncio.Task[None]) -> None:
        watch = asyncio.get_running_loop().create_task(self._interrupt_late(task))
        self._seen_out.add(watch)
        watch.add_done_callback(self._seen_out.discard)

    async def _interrupt_late(self, task: asyncio.Task[None]) -> None:
        with suppress(TimeoutError):
            async with self._clock.timeout(PATIENCE):
                await asyncio.wait([task])
        task.cancel()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # told to whoever waited; nobody may be waiting any more


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
