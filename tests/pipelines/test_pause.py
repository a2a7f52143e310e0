"""Waits that can be cut short."""

from __future__ import annotations

import asyncio
import math

from sluiceway.pipelines.pause import pause
from sluiceway.testing import ManualClock, settle


async def test_a_pause_ends_with_time_or_with_its_event() -> None:
    """Whichever comes first; without an end in time only the event ends it."""
    clock, event = ManualClock(), asyncio.Event()
    by_time = asyncio.create_task(pause(clock, 5, event))
    await clock.advance(5)
    assert by_time.done()
    by_event = [asyncio.create_task(pause(clock, seconds, event)) for seconds in (5, math.inf)]
    await settle()
    assert not any(task.done() for task in by_event)
    event.set()
    await asyncio.gather(*by_event)
