"""The ledger: accepted = delivered + dropped + held, to the item, for every pipeline and each of its exporters.

`accepted`, `delivered` and `dropped` are counted where they happen; `held` is asked of those who hold (a batch
processor, a queue), so the equation is a check and not a definition. It is exact at every quiet point, that is when
no `consume` is under way. A refused item was never accepted, and a retry is no drop.

A reload may attach an exporter to a running pipeline or take one away. `passed` counts what left the processors and
`offered` what one exporter was given of it, so that each exporter answers only for its own time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sluiceway.component import Reason
from sluiceway.otlp import Signal

__all__ = ["Account", "Balance", "Drop", "Drops", "Ledger", "OnNewDrop", "PipelineLedger"]


@dataclass(frozen=True, slots=True)
class Drop:
    """One kind of loss: which component, why, and whether the configuration asked for it."""

    component: str
    reason: Reason
    intended: bool


OnNewDrop = Callable[[str, Drop, Callable[[], int]], None]
"""Told once of every new kind of loss: the pipeline, the kind, and how to read its count."""


class Drops(Counter[Drop]):
    """Lost items by kind of loss."""

    def __init__(self, pipeline: str, on_new: OnNewDrop) -> None:
        super().__init__()
        self._pipeline = pipeline
        self._on_new = on_new

    def add(self, drop: Drop, items: int) -> None:
        """Count items as lost."""
        if not items:
            return
        if drop not in self:
            self._on_new(self._pipeline, drop, lambda: self[drop])
        self[drop] += items


def _untold(pipeline: str, drop: Drop, read: Callable[[], int]) -> None: ...


class Account:
    """What one exporter (or connector) did with the items of one pipeline.

    `offered` counts what the pipeline's end handed over, including what it gave up for this exporter. `held` are the
    items in the exporter's queue or under way from it: whoever takes or settles them moves this number.
    """

    def __init__(self, pipeline: str, exporter: str, on_new_drop: OnNewDrop = _untold) -> None:
        self.pipeline = pipeline
        self.exporter = exporter
        self.offered = 0
        self.delivered = 0
        self.held = 0
        self.dropped = Drops(pipeline, on_new_drop)

    def drop(self, items: int, reason: Reason, *, intended: bool = False) -> None:
        """Count items as lost at this exporter."""
        self.dropped.add(Drop(self.exporter, reason, intended), items)


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

    def __init__(self, pipeline: str, signal: Signal, on_new_drop: OnNewDrop = _untold) -> None:
        self.pipeline = pipeline
        self.signal = signal
        self.accepted = 0
        self.refused = 0
        self.passed = 0
        self.dropped = Drops(pipeline, on_new_drop)
        self._on_new_drop = on_new_drop
        self.accounts: dict[str, Account] = {}
        self.holders: dict[str, Callable[[], int]] = {}
        """By processor id: how many items it holds back at the moment."""

    def account(self, exporter: str) -> Account:
        """The account of one exporter, opened on first use; it survives reloads."""
        if exporter not in self.accounts:
            self.accounts[exporter] = Account(self.pipeline, exporter, self._on_new_drop)
        return self.accounts[exporter]

    def drop(self, component: str, items: int, reason: Reason, *, intended: bool = False) -> None:
        """Count items as lost before any exporter saw them."""
        self.dropped.add(Drop(component, reason, intended), items)

    def balances(self) -> Iterator[Balance]:
        """One balance for every exporter of the pipeline."""
        held = sum(read() for read in self.holders.values())
        for account in self.accounts.values():
            yield Balance(
                pipeline=self.pipeline,
                exporter=account.exporter,
                signal=self.signal,
                accepted=self.accepted - (self.passed - account.offered),
                refused=self.refused,
                delivered=account.delivered,
                dropped=dict(self.dropped + account.dropped),
                held=held + account.held,
            )


class Ledger:
    """The counts of all pipelines of one collector."""

    def __init__(self, on_new_drop: OnNewDrop = _untold) -> None:
        self.pipelines: dict[str, PipelineLedger] = {}
        self._on_new_drop = on_new_drop

    def pipeline(self, name: str, signal: Signal) -> PipelineLedger:
        """The counts of the pipeline called `name`, opened on first use; they survive reloads."""
        if name not in self.pipelines:
            self.pipelines[name] = PipelineLedger(name, signal, self._on_new_drop)
        return self.pipelines[name]

    def balances(self) -> list[Balance]:
        """Every pipeline as each of its exporters sees it."""
        return [balance for pipeline in self.pipelines.values() for balance in pipeline.balances()]
