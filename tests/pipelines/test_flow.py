"""What goes into a processor and comes out of it, whatever kind of processor it is."""

from __future__ import annotations

import asyncio

import pytest

from sluiceway.errors import RefusedError
from sluiceway.otlp import Batch
from sluiceway.service import Collector
from sluiceway.testing import ManualClock, settle, spans

YAML = """
receivers:
  feed: {{component: sluiceway.testing:Feeder}}
processors:
  attributes: {{actions: [{{key: a, value: 1, action: upsert}}]}}
  resource: {{attributes: [{{key: a, value: 1, action: upsert}}]}}
  tenant: {{from: [{{attribute: tenant}}], on_missing: drop}}
  batch: {{timeout: 10s}}
  half: {{component: tests.pipelines.test_flow:Half}}
exporters:
  memory: {{component: sluiceway.testing:MemorySink}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    traces: {{receivers: [feed], processors: [{processors}], exporters: [memory]}}
"""


class Half:
    """A plain class that keeps every second span."""

    def consume(self, batch: Batch) -> Batch:
        """Drop the spans that were made second."""
        message = batch.proto()
        spans = message.resource_spans[0].scope_spans[0].spans
        del spans[1::2]
        return Batch.from_proto(message, batch.origin)


def collector(processors: str) -> Collector:
    """A collector with these processors between a feeder and a sink."""
    return Collector.from_yaml(YAML.format(processors=processors), clock=ManualClock())


def flow(collector: Collector, processor: str) -> tuple[float, float]:
    """What our own metrics say of a processor."""
    read, names = collector.telemetry.metrics.read, {"processor": processor, "otel.signal": "traces"}
    return read("otelcol_processor_incoming_items", **names), read("otelcol_processor_outgoing_items", **names)


async def test_editors_that_run_as_one_count_each() -> None:
    """Three neighbours are one walk, and each has its own numbers; a dropped batch ends at the one that drops it."""
    async with collector("attributes, tenant, resource") as running:
        await running.component("receiver", "feed").feed(spans(5))
        assert flow(running, "attributes") == (5, 5)
        assert flow(running, "tenant") == (5, 0)
        assert flow(running, "resource") == (0, 0)


async def test_a_processor_that_holds() -> None:
    """What `batch` holds has gone in and not come out."""
    async with collector("resource, batch") as running:
        await running.component("receiver", "feed").feed(spans(5))
        assert (flow(running, "resource"), flow(running, "batch")) == ((5, 5), (5, 0))
        await running.clock.advance(10)
        assert flow(running, "batch") == (5, 5)


async def test_a_plain_class_that_drops() -> None:
    """The difference between in and out is what was filtered; what comes after saw only the rest."""
    async with collector("half, attributes") as running:
        await running.component("receiver", "feed").feed(spans(5))
        assert (flow(running, "half"), flow(running, "attributes")) == ((5, 3), (3, 3))


@pytest.mark.parametrize("processors", ["attributes, resource", "half", "resource, half, attributes"])
async def test_a_batch_that_comes_again_counts_once(processors: str) -> None:
    """What the next component refused is still the sender's."""
    async with collector(processors) as running:
        memory, feed = running.component("exporter", "memory"), running.component("receiver", "feed")
        memory.error = RefusedError("full")
        with pytest.raises(RefusedError):
            await feed.feed(spans(4))
        memory.error = None
        await feed.feed(spans(4))
        first, *_, last = processors.split(", ") * 2
        assert flow(running, first)[0] == 4
        assert flow(running, last)[1] == len(memory.batches[0].proto().resource_spans[0].scope_spans[0].spans)


async def test_a_reload_goes_on_counting() -> None:
    """A processor that stays keeps its numbers also when its neighbours change."""
    async with collector("resource, batch") as running:
        await running.component("receiver", "feed").feed(spans(2))
        await running.reload(collector("resource, half, batch").config)
        await running.component("receiver", "feed").feed(spans(2))
        assert (flow(running, "resource"), flow(running, "half"), flow(running, "batch")) == ((4, 4), (2, 1), (3, 0))


async def test_batches_under_way_are_counted_when_they_are_safe() -> None:
    """A sender that goes away before anybody took its batch has sent nothing."""
    async with collector("attributes") as running:
        memory = running.component("exporter", "memory")
        memory.error = RefusedError("full")
        feeding = asyncio.create_task(running.component("receiver", "feed").feed(spans(1)))
        await settle()
        assert isinstance(feeding.exception(), RefusedError)
        assert flow(running, "attributes") == (0, 0)
