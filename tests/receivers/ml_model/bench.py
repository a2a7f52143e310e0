"""The receiver `ml_model` from YAML, measured by hand."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from sluiceway.component import Context, Kind, Status, SystemClock
from sluiceway.config.decode import decode
from sluiceway.config.parse import parse
from sluiceway.otlp import Signal
from sluiceway.receivers.ml_model import COMPONENT, MlModelReceiver, MlModelSettings
from sluiceway.testing import ManualClock, MemorySink, points

Points = dict[str, list[dict[str, Any]]]
PATIENCE = 30.0
"""Seconds that anything here may take."""


def settings(yaml: str) -> MlModelSettings:
    """What YAML gives."""
    return decode(MlModelSettings, parse(yaml, "ml_model.yaml"))


class Bench:
    """A receiver that runs, whose measurements are asked for by `measure`."""

    def __init__(self, yaml: str, clock: SystemClock | None = None) -> None:
        self.clock: Any = clock or ManualClock()
        self.sink = MemorySink()
        self.statuses: list[tuple[Status, str]] = []
        context = Context(
            "ml_model",
            Kind.RECEIVER,
            COMPONENT.signals,
            clock=self.clock,
            logger=logging.getLogger("ml-model-test"),
            report=lambda status, text="": self.statuses.append((status, text)),
        )
        chosen = settings(yaml).model_copy(update={"initial_delay": 1e9})
        self.receiver: MlModelReceiver = COMPONENT.create(chosen, context, self.sink)

    async def __aenter__(self) -> Self:
        await self.receiver.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.receiver.__aexit__(kind, error, trace)

    async def measure(self) -> Points:
        """Measure once; the points of this measurement by their metrics' names."""
        before = len(self.sink.batches)
        assert self.receiver._scraping is not None
        await self.receiver._scraping.measure()
        return points(self.sink.batches[before:])

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

    async def records(self) -> list[Any]:
        """Measure once; the log records of this measurement."""
        before = len(self.sink.batches)
        await self.measure()
        return [
            record
            for batch in self.sink.batches[before:]
            if batch.signal is Signal.LOGS
            for resource in batch.proto().resource_logs  # type: ignore[attr-defined]
            for scope in resource.scope_logs
            for record in scope.log_records
        ]

    @property
    def status(self) -> tuple[Status, str]:
        """What was reported last."""
        return self.statuses[-1]


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
