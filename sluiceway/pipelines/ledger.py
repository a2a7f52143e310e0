"""The ledger: accepted + recovered = delivered + dropped + held, to the item, for every pipeline and exporter.

`accepted`, `delivered` and `dropped` are counted where they happen; `held` is asked of those who hold (a batch
processor, a queue), so the equation is a check and not a definition. It is exact at every quiet point, that is when
no `consume` is under way. A refused item was never accepted, and a retry is no drop.

What a receiver drops of its own accord was never accepted by any pipeline, so it is no part of the equation: it is
counted beside it, in `Ledger.outside`, as is what a connector could not hand to the pipelines that it feeds.

`recovered` is what a queue on disk had held when the process began: an earlier run had accepted it, and its ledger
shows it as held.

A reload may attach an exporter to a running pipeline or take one away. `passed` counts what left the processors and
`offered` what one exporter was given of it, so that each exporter answers only for its own time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass

from sluiceway.component import Reason
from sluiceway.otlp import Signal
from sluiceway.telemetry import Scope

__all__ = ["Account", "Balance", "Drop", "Drops", "Ledger", "PipelineLedger"]


@dataclass(frozen=True, slots=True)
class Drop:
    """One kind of loss: which component, why, whether the configuration asked for it, and whose items they were.

    `tenant` is empty where the component does not know or does not tell.
    """

    component: str
    reason: Reason
    intended: bool
    tenant: str = ""


class Drops(Counter[Drop]):
    """Lost items by kind of loss; each kind is a series of `sluiceway_dropped_items` from its first item on.

    Those that were lost outside of any pipeline have an empty `pipeline`, which their series leaves out.
    """

    def __init__(self, pipeline: str, scope: Scope) -> None:
        super().__init__()
        self._pipeline = pipeline
        self._scope = scope

    def add(self, drop: Drop, items: int) -> None:
        """Count items as lost."""
        if not items:
            return
        if drop not in self:
            self._show(drop)
        self[drop] += items

    def _show(self, drop: Drop) -> None:
        self._scope.counter(
            "sluiceway_dropped_items",
            lambda: self[drop],
            "{item}",
            "Items lost, by pipeline, component and reason.",
            component=drop.component,
            reason=drop.reason.value,
            intended=str(drop.intended).lower(),
            **({"pipeline": self._pipeline} if self._pipeline else {}),
            **({"tenant": drop.tenant} if drop.tenant else {}),
        )


class Account:
    """What one exporter (or connector) did with the items of one pipeline.

    `offered` counts what the pipeline's end handed over, including what it gave up for this exporter. `held` are the
    items in the exporter's queue or under way from it: whoever takes or settles them moves this number.
    """

    def __init__(self, pipeline: str, exporter: str, scope: Scope | None = None) -> None:
        scope = scope or Scope()
        self.pipeline = pipeline
        self.exporter = exporter
        self.offered = 0
        self.delivered = 0
        self.held = 0
        self.recovered = 0
        self.dropped = Drops(pipeline, scope)
        names = {"pipeline": pipeline, "exporter": exporter}
        text = "Items that an exporter delivered for a pipeline."
        scope.counter("sluiceway_pipeline_delivered_items", lambda: self.delivered, "{item}", text, **names)
        text = "Items of a pipeline in an exporter's queue or under way from it."
        scope.gauge("sluiceway_pipeline_queued_items", lambda: self.held, "{item}", text, **names)
        text = "Items that an exporter's queue on disk had kept from earlier runs."
        scope.counter("sluiceway_pipeline_recovered_items", lambda: self.recovered, "{item}", text, **names)

    def recover(self, items: int) -> None:
        """Count items that an earlier run had accepted, and that are now held."""
        self.recovered += items
        self.held += items

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
    recovered: int = 0

    @property
    def missing(self) -> int:
        """Items that nobody accounts for: zero at every quiet point, or Sluiceway has a bug."""
        return self.accepted + self.recovered - self.delivered - sum(self.dropped.values()) - self.held


class PipelineLedger:
    """The counts of one pipeline."""

    def __init__(self, pipeline: str, signal: Signal, scope: Scope | None = None) -> None:
        self._scope = scope or Scope()
        self.pipeline = pipeline
        self.signal = signal
        self.accepted = 0
        self.refused = 0
        self.passed = 0
        self.dropped = Drops(pipeline, self._scope)
        self.accounts: dict[str, Account] = {}
        self.holders: dict[Hashable, Callable[[], int]] = {}
        """By processor instance: how many items it holds back at the moment."""
        self._show()

    def account(self, exporter: str) -> Account:
        """The account of one exporter, opened on first use; it survives reloads."""
        if exporter not in self.accounts:
            self.accounts[exporter] = Account(self.pipeline, exporter, self._scope)
        return self.accounts[exporter]

    def drop(self, component: str, items: int, reason: Reason, *, intended: bool = False, tenant: str = "") -> None:
        """Count items as lost before any exporter saw them."""
        self.dropped.add(Drop(component, reason, intended, tenant), items)

    def balances(self) -> Iterator[Balance]:
        """One balance for every exporter of the pipeline."""
        held = self._held()
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
                recovered=account.recovered,
            )

    def _held(self) -> int:
        return sum(read() for read in self.holders.values())

    def _show(self) -> None:
        scope, unit = self._scope, "{item}"
        names = {"pipeline": self.pipeline, "otel.signal": self.signal.value}
        text = "Items that a pipeline took from its receivers."
        scope.counter("sluiceway_pipeline_accepted_items", lambda: self.accepted, unit, text, **names)
        text = "Items that a pipeline refused: their senders still have them."
        scope.counter("sluiceway_pipeline_refused_items", lambda: self.refused, unit, text, **names)
        text = "Items that a pipeline's processors hold."
        scope.gauge("sluiceway_pipeline_held_items", self._held, unit, text, **names)


class Ledger:
    """The counts of all pipelines of one collector, shown as metrics in `scope`."""

    def __init__(self, scope: Scope | None = None) -> None:
        self.pipelines: dict[str, PipelineLedger] = {}
        self._scope = scope or Scope()
        self.outside = Drops("", self._scope)
        """What receivers and connectors lost of items that no pipeline had taken."""

    def pipeline(self, name: str, signal: Signal) -> PipelineLedger:
        """The counts of the pipeline called `name`, opened on first use; they survive reloads."""
        if name not in self.pipelines:
            self.pipelines[name] = PipelineLedger(name, signal, self._scope)
        return self.pipelines[name]

    def balances(self) -> list[Balance]:
        """Every pipeline as each of its exporters sees it."""
        return [balance for pipeline in self.pipelines.values() for balance in pipeline.balances()]
