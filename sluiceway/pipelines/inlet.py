"""The door of a pipeline, and the links between its components."""

from __future__ import annotations

import asyncio

from sluiceway.component import Consumer, Reason
from sluiceway.otlp import Batch
from sluiceway.pipelines.flow import Flow
from sluiceway.pipelines.ledger import PipelineLedger

__all__ = ["Inlet", "Link"]


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

    With `shielded` a batch is seen through even when its sender goes away: needed wherever a cancellation could strike
    after somebody has taken the batch. The default path, one exporter with a queue, can do without.
    """

    def __init__(self, ledger: PipelineLedger) -> None:
        self.name = ledger.pipeline
        self.ledger = ledger
        self.target: Consumer | None = None
        self.into = Flow()
        self.shielded = False
        self._under_way: set[asyncio.Task[None]] = set()

    async def consume(self, batch: Batch) -> None:
        """Take the batch through the pipeline."""
        if not self.shielded:
            await self._take(batch)
            return
        task = asyncio.get_running_loop().create_task(self._take(batch))
        self._under_way.add(task)
        task.add_done_callback(self._done)
        await asyncio.shield(task)

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

    async def _take(self, batch: Batch) -> None:
        assert self.target is not None, "a graph is connected before it is started"  # noqa: S101 - our own invariant
        try:
            await self.target.consume(batch)
        except BaseException:
            self.ledger.refused += batch.items
            raise
        self.ledger.accepted += batch.items
        self.into.incoming += batch.items

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # told to whoever waited; nobody may be waiting any more
