"""The ledger counts where things happen, and shows all of it as metrics."""

from __future__ import annotations

from sluiceway.component import Reason
from sluiceway.otlp import Signal
from sluiceway.pipelines.ledger import Drop, Ledger
from sluiceway.telemetry import Metrics, Scope


def test_what_processors_hold_and_drop_counts_for_every_exporter() -> None:
    """A balance has the pipeline's own drops and holdings beside those of the exporter."""
    ledger = Ledger()
    pipeline = ledger.pipeline("traces", Signal.TRACES)
    account = pipeline.account("otlp")
    pipeline.holders["batch"] = lambda: 3
    pipeline.accepted, pipeline.passed, account.offered = 10, 5, 5
    pipeline.drop("filter", 2, Reason.FILTERED, intended=True)
    account.drop(1, Reason.REJECTED)
    account.delivered, account.held = 3, 1
    (balance,) = ledger.balances()
    assert (balance.accepted, balance.delivered, balance.held, balance.missing) == (10, 3, 4, 0)
    assert balance.dropped == {Drop("filter", Reason.FILTERED, True): 2, Drop("otlp", Reason.REJECTED, False): 1}


def test_an_item_that_nobody_accounts_for_is_missing() -> None:
    """The equation is a check: what was accepted and is nowhere shows."""
    ledger = Ledger()
    pipeline = ledger.pipeline("logs", Signal.LOGS)
    account = pipeline.account("otlp")
    pipeline.accepted = pipeline.passed = account.offered = 5
    account.delivered = 4
    (balance,) = ledger.balances()
    assert balance.missing == 1


def test_the_ledger_is_in_the_metrics() -> None:
    """Accepted, refused, held, queued, delivered and dropped items are series of their own."""
    metrics = Metrics()
    pipeline = Ledger(Scope(metrics)).pipeline("traces", Signal.TRACES)
    account = pipeline.account("otlp")
    pipeline.accepted, pipeline.refused = 9, 4
    pipeline.holders["batch"] = lambda: 3
    account.delivered, account.held = 5, 1
    account.drop(2, Reason.PERMANENT_ERROR)
    account.drop(1, Reason.PERMANENT_ERROR)
    names = ("pipeline_accepted", "pipeline_refused", "pipeline_held", "pipeline_queued", "pipeline_delivered")
    assert [metrics.read(f"sluiceway_{name}_items", pipeline="traces") for name in names] == [9, 4, 3, 1, 5]
    assert metrics.read("sluiceway_dropped_items", reason="permanent_error", intended="false") == 3


def test_dropping_nothing_is_no_drop() -> None:
    """A loss of zero items opens no line."""
    pipeline = Ledger().pipeline("traces", Signal.TRACES)
    pipeline.drop("filter", 0, Reason.FILTERED)
    assert not pipeline.dropped


def test_losses_are_told_apart_by_tenant_where_it_is_known() -> None:
    """In the balance and as series; what has no tenant has no such label."""
    metrics = Metrics()
    ledger = Ledger(Scope(metrics)).pipeline("logs", Signal.LOGS)
    ledger.account("out")
    ledger.drop("rate_limiter", 3, Reason.RATE_LIMITED, intended=True, tenant="acme")
    ledger.drop("rate_limiter", 4, Reason.RATE_LIMITED, intended=True)
    (balance,) = ledger.balances()
    assert {drop.tenant: items for drop, items in balance.dropped.items()} == {"acme": 3, "": 4}
    assert metrics.read("sluiceway_dropped_items", tenant="acme") == 3
    assert metrics.read("sluiceway_dropped_items", reason="rate_limited") == 7


def test_what_is_lost_outside_of_pipelines_is_a_series_without_one() -> None:
    """A receiver's own drops are no pipeline's: they are in the metrics, and in no balance."""
    metrics = Metrics()
    ledger = Ledger(Scope(metrics))
    ledger.pipeline("logs", Signal.LOGS).account("out")
    ledger.outside.add(Drop("file_log", Reason.FILTERED, True), 3)
    (family,) = [family for family in metrics.families() if family.name == "sluiceway_dropped_items"]
    assert list(family.values()) == [({"component": "file_log", "reason": "filtered", "intended": "true"}, 3)]
    assert ledger.balances()[0].dropped == {}
