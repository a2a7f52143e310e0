"""Log lines about losses."""

from __future__ import annotations

import logging

import pytest

from sluiceway.component import Context, Kind
from sluiceway.pipelines.losses import INTERVAL, LossLog
from sluiceway.testing import ManualClock


async def test_losses_soon_after_one_another_are_added_up(caplog: pytest.LogCaptureFixture) -> None:
    """The first is told at once, the next ones together, and none is left untold."""
    clock = ManualClock()
    log = LossLog("Dropping data.", logging.ERROR, Context("out", Kind.EXPORTER, clock=clock))
    for items in (5, 2, 3):
        log.note(items, "away")
    assert [(r.dropped_items, r.error) for r in caplog.records] == [(5, "away")]
    await clock.advance(INTERVAL)
    assert [(r.dropped_items, r.error) for r in caplog.records] == [(5, "away"), (5, "away")]
    log.note(4, "gone")
    log.tell()
    log.tell()
    await clock.advance(3 * INTERVAL)
    assert [(r.dropped_items, r.error) for r in caplog.records[2:]] == [(4, "gone")]
