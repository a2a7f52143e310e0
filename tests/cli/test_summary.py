"""The summary at the end of a run."""

from sluiceway.cli.summary import summary
from sluiceway.component import Reason
from sluiceway.otlp import Signal
from sluiceway.pipelines.ledger import Balance, Drop


def test_the_summary():
    """One line an exporter, numbers to the right, drops by reason, and the verdict."""
    dropped = {Drop("otlp", Reason.QUEUE_FULL, False): 900, Drop("filter", Reason.FILTERED, True): 100}
    balances = [
        Balance("traces", "otlp", Signal.TRACES, 12_000, 5, 11_000, dropped, 0),
        Balance("logs/eu", "debug", Signal.LOGS, 0, 0, 0, {}, 0),
    ]
    assert summary(balances, {}).splitlines() == [
        "pipeline  exporter  accepted  refused  delivered                                  dropped  held",
        "traces    otlp        12,000        5     11,000  900 queue_full, 100 filtered (intended)     0",
        "logs/eu   debug            0        0          0                                        0     0",
        "balances: accepted = delivered + dropped + held",
    ]


def test_the_summary_says_when_items_are_missing():
    """What nobody accounts for is a bug, and is called one."""
    text = summary([Balance("traces", "otlp", Signal.TRACES, 10, 0, 8, {}, 0)], {})
    assert text.splitlines()[-1] == "does NOT balance, which is a bug: +2 in traces -> otlp"


def test_the_summary_says_what_receivers_dropped():
    """What no pipeline has seen has a line for each component that dropped it, below the table."""
    balances = [Balance("logs", "debug", Signal.LOGS, 7, 0, 7, {}, 0)]
    outside = {Drop("file_log", Reason.REJECTED, True): 2, Drop("file_log", Reason.FILTERED, True): 1_000}
    assert summary(balances, outside).splitlines()[2:] == [
        "dropped by file_log before any pipeline: 1,000 filtered (intended), 2 rejected (intended)",
        "balances: accepted = delivered + dropped + held",
    ]
