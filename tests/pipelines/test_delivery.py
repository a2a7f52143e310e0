"""The part that calls the exporter."""

from __future__ import annotations

import pytest

from sluiceway.component import PartialSuccess, Reason
from sluiceway.errors import PermanentError, RetryableError
from tests.pipelines.around import set_up, traces


async def test_success_is_settled() -> None:
    """Delivered items are in the ledger and in the metrics."""
    setup = set_up("{}")
    await setup.outlet.consume(traces(3))
    assert setup.account.delivered == 3
    assert setup.metric("sent_spans") == 3


async def test_partial_success_drops_what_was_rejected(caplog: pytest.LogCaptureFixture) -> None:
    """Rejected items are dropped, warned about and not sent again; nonsense counts are bounded by the batch."""
    setup = set_up("{}", PartialSuccess(2, "too old"), PartialSuccess(-5, "careful"), PartialSuccess(99))
    async with setup.wrapped:
        for _ in range(3):
            await setup.outlet.consume(traces(3))
    assert (setup.account.delivered, setup.lost) == (1 + 3 + 0, {Reason.REJECTED: 2 + 3})
    assert (setup.metric("sent_spans"), setup.metric("send_failed_spans")) == (4, 5)
    assert [(r.message, r.error, r.dropped_items) for r in caplog.records] == [
        ("Partial success response", "too old", 2),
        ("Partial success response", "no reason given", 3),
    ]


@pytest.mark.parametrize(
    ("raised", "code"), [(ConnectionError("away"), "UNAVAILABLE"), (TimeoutError(), "DEADLINE_EXCEEDED")]
)
async def test_errors_of_the_operating_system_may_be_retried(raised: OSError, code: str) -> None:
    """A plain exporter need not translate them."""
    setup = set_up("{}", raised)
    with pytest.raises(RetryableError) as caught:
        await setup.outlet.consume(traces())
    assert caught.value.code == code


async def test_without_a_queue_failures_are_the_callers() -> None:
    """Errors go to the sender, and nothing is settled."""
    setup = set_up("{}", PermanentError("bad"))
    with pytest.raises(PermanentError):
        await setup.outlet.consume(traces(2))
    assert (setup.account.delivered, setup.account.held, setup.lost) == (0, 0, {})
    assert setup.metric("send_failed_spans") == 2
