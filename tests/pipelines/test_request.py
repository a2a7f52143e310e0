"""Requests: whose items they hold, joined and divided."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from sluiceway.component import Reason
from sluiceway.otlp import Origin
from sluiceway.pipelines.ledger import Account, Drop
from sluiceway.pipelines.request import Request, divide, join_requests
from tests.pipelines.around import names, request, traces


def test_a_request_alone_is_passed_on_untouched() -> None:
    """Joining one request copies nothing."""
    alone = request(3)
    assert join_requests([alone]) is alone


def test_joining_keeps_the_order_of_items_and_shares() -> None:
    """Payloads and shares are concatenated; neighbours of one account become one share."""
    ours, theirs = Account("traces", "out"), Account("traces/2", "out")
    parts = [request(2, ours), request(1, ours), request(3, theirs)]
    joined = join_requests(parts)
    assert names(joined.batch) == [name for part in parts for name in names(part.batch)]
    assert [(account.pipeline, items) for account, items in joined.shares] == [("traces", 3), ("traces/2", 3)]


def test_joining_keeps_of_the_origins_what_they_have_in_common() -> None:
    """No data goes out under the name of another sender."""
    account = Account("traces", "out")
    one, two = (
        replace(
            traces(),
            origin=Origin(7.0, "10.0.0.1", "grpc", subject, {"aud": "x"}, {"tenant": ("a",), "user": (subject,)}),
        )
        for subject in ("alice", "bob")
    )
    origin = join_requests([Request(one, ((account, 1),)), Request(two, ((account, 1),))]).batch.origin
    assert origin == Origin(7.0, "10.0.0.1", "grpc", None, {"aud": "x"}, {"tenant": ("a",)})


def test_rejected_items_are_taken_from_the_shares_in_order() -> None:
    """The backend does not say whose items it rejected."""
    ours, theirs = Account("traces", "out"), Account("traces/2", "out")
    Request(traces(5), ((ours, 2), (theirs, 3))).deliver(rejected=3)
    assert (ours.delivered, theirs.delivered) == (0, 2)
    assert ours.dropped[Drop("out", Reason.REJECTED, False)] == 2
    assert theirs.dropped[Drop("out", Reason.REJECTED, False)] == 1


@given(st.lists(st.integers(0, 20), min_size=1, max_size=8), st.data())
def test_dividing_conserves_items(items: list[int], data: st.DataObject) -> None:
    """Whatever the pieces, each owner keeps the number of items, and their order."""
    shares = list(enumerate(items))
    total, sizes = sum(items), []
    while total:
        sizes.append(data.draw(st.integers(1, total)))
        total -= sizes[-1]
    pieces = divide(shares, sizes)
    assert [sum(count for _, count in piece) for piece in pieces] == sizes
    flat = [owner for piece in pieces for owner, count in piece for _ in range(count)]
    assert flat == [owner for owner, count in shares for _ in range(count)]
