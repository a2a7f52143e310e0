"""The ledger: accepted = delivered + dropped + held, to the item, for every pipeline and each of its exporters.

`accepted`, `delivered` and `dropped` are counted where they happen; `held` is asked of those who hold (a batch
processor, a queue), so the equation is a check and not a definition. It is exact at every quiet point, that is when
no `consume` is under way. A refused item was never accepted, and a retry is no drop.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from sluiceway.component import Reason
from sluiceway.otlp import Signal

__all__ = ["Account", "Balance", "Drop", "Ledger", "PipelineLedger"]


@dataclass(frozen=True, slots=True)
class Drop:
    """One kind of loss: which component, why, and whether the configuration asked for it."""

    component: str
    reason: Reason
    intended: bool


@dataclass(slots=True)
class Account:
    """What one exporter (or connector) did with the items of one pipeline."""

    pipeline: str
    exporter: str
    delivered: int = 0
    dropped: Counter[Drop] = field(default_factory=Counter)
    held: int = 0
    """Items in the exporter's queue or under way from it; whoever takes or settles them moves this number."""

    def drop(self, items: int, reason: Reason, *, intended: bool = False) -> None:
        """Count items as lost at this exporter."""
        if items:
            self.dropped[Drop(self.exporter, reason, intended)] += items


@dataclass(frozen=True, slots=True)
class Balance:
    """One line of the summary: a pipeline as one of its exporters sees it, in items."""

    pipeline: str
    exporter: str
    signal: Signal
    accepted: int
    refused: int
    delivered: int
    dropped: dict[Drop, int]
    held: int

    @property
    def missing(self) -> int:
        """Items that nobody accounts for: zero at every quiet point, or Sluiceway has a bug."""
        return self.accepted - self.delivered - sum(self.dropped.values()) - self.held


class PipelineLedger:
    """The counts of one pipeline."""

    def __init__(self, pipeline: str, signal: Signal) -> None:
        self.pipeline = pipeline
        self.signal = signal
        self.accepted = 0
        self.refused = 0
        self.dropped: Counter[Drop] = Counter()
        self.accounts: dict[str, Account] = {}
        self.holders: dict[str, Callable[[], int]] = {}
        """By processor id: how many items it holds back at the moment."""

    def account(self, exporter: str) -> Account:
        """The account of one exporter, opened on first use; it survives reloads."""
        return self.accounts.setdefault(exporter, Account(self.pipeline, exporter))

    def drop(self, component: str, items: int, reason: Reason, *, intended: bool = False) -> None:
        """Count items as lost in a processor, before any exporter saw them."""
        if items:
            self.dropped[Drop(component, reason, intended)] += items

    def balances(self) -> Iterator[Balance]:
        """One balance for every exporter of the pipeline."""
        held = sum(read() for read in self.holders.values())
        for account in self.accounts.values():
            yield Balance(
                self.pipeline, account.exporter, self.signal, self.accepted, self.refused, account.delivered,
                dict(self.dropped + account.dropped), held + account.held,
            )  # fmt: skip


class Ledger:
    """The counts of all pipelines of one collector."""

    def __init__(self) -> None:
        self.pipelines: dict[str, PipelineLedger] = {}

    def pipeline(self, name: str, signal: Signal) -> PipelineLedger:
        """The counts of the pipeline called `name`, opened on first use; they survive reloads."""
        return self.pipelines.setdefault(name, PipelineLedger(name, signal))

    def balances(self) -> list[Balance]:
        """Every pipeline as each of its exporters sees it."""
        return [balance for pipeline in self.pipelines.values() for balance in pipeline.balances()]
