"""The end of a pipeline."""

from __future__ import annotations

import pytest

from sluiceway.pipelines.branches import ExporterBranch
from sluiceway.pipelines.ledger import Account
from sluiceway.testing import settle
from tests.pipelines.around import set_up, traces


async def test_pipelines_that_share_an_exporter_have_accounts_of_their_own() -> None:
    """Also when their batches went out as one request."""
    setup = set_up("sending_queue: ")
    ours, theirs = Account("traces", "out"), Account("traces/2", "out")
    async with setup.wrapped:
        setup.backend.gate.clear()
        for account in (ours, theirs, ours):
            await ExporterBranch(setup.wrapped, account).consume(traces(2))
            await settle()
        assert (ours.held, theirs.held) == (4, 2)
        setup.backend.gate.set()
    assert setup.backend.sizes == [2, 4]
    assert (ours.delivered, theirs.delivered) == (4, 2)


@pytest.mark.parametrize(("text", "at_once"), [("sending_queue: ", True), ("{}", False)])
def test_only_a_queue_takes_at_once(text: str, at_once: bool) -> None:
    """Without one the sender waits for the export."""
    assert set_up(text).outlet.takes_at_once is at_once
