"""Where a pipeline meets an exporter that it may share with others."""

from __future__ import annotations

from typing import Protocol

from sluiceway.otlp import Batch
from sluiceway.pipelines.ledger import Account
from sluiceway.pipelines.request import Request, Sender

__all__ = ["Outlet"]


class Chain(Sender, Protocol):
    """What `wrap` makes of an exporter."""

    takes_at_once: bool


class Outlet:
    """The consumer at the end of one pipeline: sends batches on in the name of its account."""

    def __init__(self, chain: Chain, account: Account) -> None:
        self._chain = chain
        self._account = account
        self.takes_at_once = chain.takes_at_once
        """Whether `consume` never waits, so that it cannot be cancelled half-way."""

    async def consume(self, batch: Batch) -> None:
        """Return when the batch was delivered or is in the queue; when it raises, nothing was settled."""
        await self._chain.send(Request(batch, ((self._account, batch.items),)))
