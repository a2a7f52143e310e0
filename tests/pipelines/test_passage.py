"""The door of an exporter without a queue."""

from __future__ import annotations

import asyncio

from sluiceway.testing import settle
from tests.pipelines.around import set_up, traces


async def test_an_exporter_is_not_left_while_a_request_is_under_way() -> None:
    """A reload that takes the exporter away would otherwise cut what the backend is about to answer."""
    setup = set_up("{}")
    setup.backend.gate.clear()
    await setup.wrapped.__aenter__()
    sending = asyncio.create_task(setup.outlet.consume(traces()))
    await settle()
    leaving = asyncio.create_task(setup.wrapped.__aexit__(None, None, None))
    await settle()
    assert not leaving.done()
    setup.backend.gate.set()
    await leaving
    await sending
    assert setup.account.delivered == 1
