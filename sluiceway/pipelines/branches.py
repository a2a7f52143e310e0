"""The end of a pipeline: its exporters and connectors, side by side."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from sluiceway.caller import CALLER
from sluiceway.component import Clock, Consumer, Context, Kind, Reason, SystemClock, reason_of
from sluiceway.errors import RefusedError, RetryableError
from sluiceway.otlp import Batch
from sluiceway.pipelines.ledger import Account, PipelineLedger
from sluiceway.pipelines.losses import LossLog
from sluiceway.pipelines.request import Request, Sender

__all__ = ["Branch", "ConnectorBranch", "ExporterBranch", "FanOut", "PassedCounter"]

_log = logging.getLogger("sluiceway.pipelines")


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

    def __init__(self, branches: Sequence[Branch], clock: Clock | None = None) -> None:
        self.branches = tuple(branches)
        context = Context("", Kind.EXPORTER, clock=clock or SystemClock(), logger=_log)
        self._losses = [
            LossLog(f"{b.name} refused items that others took", logging.WARNING, context) for b in self.branches
        ]

    async def consume(self, batch: Batch) -> None:
        """Return when at least one branch has taken the batch."""
        if len(self.branches) == 1:
            await self.branches[0].consume(batch)
            return
        outcomes = await self._outcomes(batch)
        errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if len(errors) == len(self.branches):
            raise _worst(errors)
        for branch, outcome, losses in zip(self.branches, outcomes, self._losses, strict=True):
            if isinstance(outcome, BaseException):
                losses.note(batch.items, str(outcome) or type(outcome).__name__)
                branch.give_up(batch, reason_of(outcome))

    def tell_losses(self) -> None:
        """Log what has not been logged yet: called at the end."""
        for losses in self._losses:
            losses.tell()

    async def _outcomes(self, batch: Batch) -> list[BaseException | None]:
        """What each branch raises. A task is made for those only that may wait."""
        found: list[BaseException | None] = [None] * len(self.branches)
        waiting = []
        for place, branch in enumerate(self.branches):
            if not getattr(branch, "takes_at_once", False):
                waiting.append(place)
                continue
            try:
                await branch.consume(batch)
            except Exception as error:
                found[place] = error
        if waiting:
            consumed = (self.branches[place].consume(batch) for place in waiting)
            for place, outcome in zip(waiting, await asyncio.gather(*consumed, return_exceptions=True), strict=True):
                found[place] = outcome if isinstance(outcome, BaseException) else None
        return found


class _Counted:
    """What exporters and connectors have in common at the end of a pipeline: the account."""

    def __init__(self, account: Account) -> None:
        self.name = account.exporter
        self.account = account

    def give_up(self, batch: Batch, reason: Reason) -> None:
        """Count the batch as offered and lost."""
        self.account.offered += batch.items
        self.account.drop(batch.items, reason)


class Chain(Sender, Protocol):
    """What `wrap` makes of an exporter."""

    takes_at_once: bool

    def lost(self, reason: Reason) -> None:
        """Learn that data was dropped in front of it, because it did not take what others did."""


class ExporterBranch(_Counted):
    """An exporter, which pipelines of one signal share, as one of them sees it: sends in the name of its account."""

    def __init__(self, chain: Chain, account: Account) -> None:
        super().__init__(account)
        self._chain = chain
        self.takes_at_once = chain.takes_at_once
        """Whether `consume` never waits, so that it cannot be cancelled half-way."""

    def give_up(self, batch: Batch, reason: Reason) -> None:
        """Count the batch as offered and lost, and have that told."""
        super().give_up(batch, reason)
        self._chain.lost(reason)

    async def consume(self, batch: Batch) -> None:
        """Return when the batch was delivered or is in the queue; when it raises, nothing was settled."""
        caller = None if self.takes_at_once else CALLER.get()
        await self._chain.send(Request(batch, ((self.account, batch.items),), () if caller is None else (caller,)))
        self.account.offered += batch.items


class ConnectorBranch(_Counted):
    """A connector: what the next pipeline accepts has been delivered."""

    takes_at_once = False

    def __init__(self, connectors: Sequence[Consumer], account: Account) -> None:
        super().__init__(account)
        self._connectors = tuple(connectors)

    async def consume(self, batch: Batch) -> None:
        """Hand the batch to each instance of the connector, one for each signal that it gives."""
        for connector in self._connectors:
            await connector.consume(batch)
        self.account.offered += batch.items
        self.account.delivered += batch.items


class PassedCounter:
    """Counts what left a pipeline's processors, after its branches took it."""

    def __init__(self, consumer: Consumer, ledger: PipelineLedger) -> None:
        self.consumer = consumer
        self.ledger = ledger

    async def consume(self, batch: Batch) -> None:
        """Hand the batch to the branches."""
        await self.consumer.consume(batch)
        self.ledger.passed += batch.items


def _worst(errors: Sequence[BaseException]) -> BaseException:
    """The error that asks the sender to come again, with the longest delay, or else the first."""
    again = [error for error in errors if isinstance(error, RefusedError | RetryableError)]
    return max(again, key=lambda error: error.retry_after or 0.0) if again else errors[0]
