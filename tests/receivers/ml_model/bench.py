"""The receiver `ml_model` from YAML, measured by hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from sluiceway.component import SystemClock
from sluiceway.receivers.ml_model import COMPONENT
from sluiceway.testing import ManualClock
from tests.receivers import measuring
from tests.receivers.measuring import Points, ReceiverBench

__all__ = ["Bench", "Points", "counts", "rejected", "settings", "total"]

PATIENCE = 30.0
"""Seconds that anything here may take."""


def settings(yaml: str) -> Any:
    """What YAML gives."""
    return measuring.settings(COMPONENT, yaml)


class Bench(ReceiverBench):
    """A receiver that runs, whose measurements are asked for by `measure`."""

    def __init__(self, yaml: str, clock: SystemClock | None = None) -> None:
        super().__init__(COMPONENT, yaml, clock)

    async def until(self, happens: Callable[[Points], Any]) -> Points:
        """Let sources poll and measure, again and again, until something holds of what was measured."""
        deadline = time.monotonic() + PATIENCE
        while True:
            if isinstance(self.clock, ManualClock):
                await self.clock.advance(1)
            found = await self.measure()
            if happens(found):
                return found
            assert time.monotonic() < deadline, (self.statuses[-1], rejected(found), counts(found))
            await asyncio.sleep(0.01)


def counts(found: Points, name: str = "ml.predictions") -> dict[str, Any]:
    """The values of a metric by the model's name."""
    return {point["attributes"].get("ml.model.name", ""): point["value"] for point in found.get(name, [])}


def rejected(found: Points) -> dict[str, int]:
    """How many records were left out, by the reason; without reasons for which none were."""
    return {
        point["attributes"]["reason"]: point["value"]
        for point in found.get("ml.records.rejected", [])
        if point["value"]
    }


def total(found: Points, name: str = "ml.predictions") -> int:
    """The sum of a metric's points."""
    return sum(point["value"] for point in found.get(name, []))
