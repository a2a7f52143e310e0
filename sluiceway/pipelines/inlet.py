"""The two ends of a pipeline: the inlet that receivers push to, and the outfall that fans out to exporters."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from sluiceway.component import Consumer, Reason
from sluiceway.errors import PermanentError, RefusedError, RetryableError
from sluiceway.otlp import Batch
from sluiceway.pipelines.ledger import Account, PipelineLedger

__all__ = ["Branch", "FanOut", "Inlet", "Link", "Outfall"]

_log = logging.getLogger("sluiceway.pipelines")


class Link:
    """A connection between two components that a reload can point elsewhere."""

    def __init__(self, target: Consumer | None = None) -> None:
        self.target = target

    async def consume(self, batch: Batch) -> None:
        """Hand the batch on to whatever the link points at now."""
        assert self.target is not None, "a graph is connected before it is started"  # noqa: S101 - our own invariant
        await self.target.consume(batch)


class Branch(Consumer, Protocol):
    """One of several consumers of the same batch, which can be given up when its siblings took it."""

    name: str

    def give_up(self, batch: Batch, reason: Reason) -> None:
        """Account for a batch that this branch did not take and that will not come again."""


class FanOut:
    """Gives each batch to every branch at the same time.

    When all of them fail the sender is told to come again. When only some do it must not be, or the others would
    receive everything twice: the batch is then dropped for those branches, with its reason, and the ledger knows.
    """

    def __init__(self, branches: Sequence[Branch]) -> None:
        self.branches = tuple(branches)

    async def consume(self, batch: Batch) -> None:
        """Return when at least one branch has taken the batch."""
        if len(self.branches) == 1:
            await self.branches[0].consume(batch)
            return
        outcomes = await asyncio.gather(*(branch.consume(batch) for branch in self.branches), return_exceptions=True)
        errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if len(errors) == len(self.branches):
            raise _worst(errors)
        for branch, outcome in zip(self.branches, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                _log.warning("%s refused %d items that others took: %s", branch.name, batch.items, outcome)
                branch.give_up(batch, _reason(outcome))


class Outfall:
    """The end of one pipeline, before one of its exporters: counts what that exporter is offered."""

    def __init__(self, consumer: Consumer, account: Account) -> None:
        self.name = account.exporter
        self.consumer = consumer
        self.account = account

    async def consume(self, batch: Batch) -> None:
        """Hand the batch to the exporter."""
        await self.consumer.consume(batch)
        self.account.offered += batch.items

    def give_up(self, batch: Batch, reason: Reason) -> None:
        """Count the batch as offered and lost."""
        self.account.offered += batch.items
        self.account.drop(batch.items, reason)


class Passed:
    """Counts what left a pipeline's processors, after its exporters took it."""

    def __init__(self, consumer: Consumer, ledger: PipelineLedger) -> None:
        self.consumer = consumer
        self.ledger = ledger

    async def consume(self, batch: Batch) -> None:
        """Hand the batch to the fan-out."""
        await self.consumer.consume(batch)
        self.ledger.passed += batch.items


class Inlet:
    """The door of a pipeline: what it lets in is accepted, what raises was refused and is still the sender's.

    With `shielded` a batch is seen through even when its sender goes away: needed wherever a cancellation could strike
    after somebody has taken the batch. The default path, one exporter with a queue, can do without.
    """

    def __init__(self, ledger: PipelineLedger) -> None:
        self.name = ledger.pipeline
        self.ledger = ledger
        self.target: Consumer | None = None
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

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # told to whoever waited; nobody may be waiting any more


def _reason(error: BaseException) -> Reason:
    match error:
        case RefusedError():
            return Reason.QUEUE_FULL
        case RetryableError():
            return Reason.RETRIES_EXHAUSTED
        case PermanentError():
            return Reason.PERMANENT_ERROR
        case asyncio.CancelledError():
            return Reason.SHUTDOWN
        case _:
            return Reason.INTERNAL_ERROR


def _worst(errors: Sequence[BaseException]) -> BaseException:
    """The error that asks the sender to come again, with the longest delay, or else the first."""
    again = [error for error in errors if isinstance(error, RefusedError | RetryableError)]
    return max(again, key=lambda error: error.retry_after or 0.0) if again else errors[0]
