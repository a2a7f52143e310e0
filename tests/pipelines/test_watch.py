"""How long processors work on a batch."""

from __future__ import annotations

import pytest

from sluiceway.errors import RefusedError
from sluiceway.otlp import Batch, Signal
from sluiceway.pipelines.watch import Watch, Watched, WatchedLink
from sluiceway.telemetry import Metrics, Scope
from sluiceway.telemetry.metrics import Distribution, Level
from sluiceway.testing import ManualClock, MemorySink, spans
from tests.pipelines.test_flow import YAML, Collector


def durations(metrics: Metrics) -> dict[str, Distribution]:
    """The durations by processor."""
    family = metrics.family("otelcol_processor_internal_duration", "histogram", "s", "")
    return {str(names["processor"]): distribution for names, distribution in family.distributions()}


def detailed(processors: str) -> Collector:
    """A collector that tells everything."""
    text = YAML.format(processors=processors).replace(
        "level: none", "level: detailed, readers: [{pull: {exporter: {prometheus: {port: 0}}}}]"
    )
    return Collector.from_yaml(text, clock=ManualClock())


async def test_every_kind_of_processor_is_timed_at_level_detailed() -> None:
    """Editors that run as one share their time evenly; what is held or plain counts its own."""
    async with detailed("attributes, resource, half, batch") as running:
        for _ in range(3):
            await running.component("receiver", "feed").feed(spans(3))
        found = durations(running.telemetry.metrics)
    assert {name: one.count for name, one in found.items()} == {"attributes": 3, "resource": 3, "half": 3, "batch": 3}
    assert found["attributes"].total == found["resource"].total > 0


async def test_other_levels_time_nothing() -> None:
    """There is nothing around a processor then."""
    running = Collector.from_yaml(YAML.format(processors="half"), clock=ManualClock())
    async with running:
        await running.component("receiver", "feed").feed(spans(3))
    assert durations(running.telemetry.metrics) == {}


class Slow:
    """A processor that passes on by a link."""

    def __init__(self, link: WatchedLink, error: Exception | None = None) -> None:
        self.link, self.error = link, error

    async def consume(self, batch: Batch) -> None:
        """Pass on, or raise."""
        if self.error:
            raise self.error
        await self.link.consume(batch)


class Next(MemorySink):
    """A sink that notes how many were timed when it was given a batch."""

    def __init__(self, metrics: Metrics) -> None:
        super().__init__()
        self.metrics, self.timed = metrics, 0

    async def consume(self, batch: Batch) -> None:
        """Take the batch."""
        self.timed = durations(self.metrics)["slow"].count
        await super().consume(batch)


@pytest.mark.parametrize("error", [None, RefusedError("full")])
async def test_work_ends_when_the_batch_is_handed_on_or_refused(error: Exception | None) -> None:
    """What the next component does is not the processor's, and every batch counts once."""
    metrics = Metrics(Level.DETAILED)
    watch = Watch(["slow"], Signal.TRACES, Scope(metrics))
    link = WatchedLink(watch)
    link.target = sink = Next(metrics)
    watched = Watched(Slow(link, error), watch)
    try:
        await watched.consume(spans(1))
    except RefusedError:
        assert error is not None
    assert sink.timed == (error is None)
    assert durations(metrics)["slow"].count == 1
