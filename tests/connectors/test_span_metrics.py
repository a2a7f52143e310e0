"""`span_metrics`: flushes, refusals, and its place between two pipelines."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest
from pydantic import ValidationError

from sluiceway.component import Context, Kind, Reason
from sluiceway.connectors.span_metrics import COMPONENT, SpanMetrics, SpanMetricsConfig
from sluiceway.errors import PermanentError, RefusedError
from sluiceway.service import Collector
from sluiceway.testing import ManualClock, MemorySink, check_component, spans

DELTA = {"aggregation_temporality": "AGGREGATION_TEMPORALITY_DELTA", "histogram": {"disable": True}}


class Bench:
    """A connector on a clock moved by hand, in front of a sink."""

    def __init__(self, **settings: Any) -> None:
        self.clock = ManualClock()
        self.sink = MemorySink()
        self.drops: list[tuple[int, Reason]] = []
        context = Context(
            id="span_metrics",
            kind=Kind.CONNECTOR,
            clock=self.clock,
            drop=lambda n, why, **_: self.drops.append((n, why)),
        )
        self.connector = SpanMetrics(SpanMetricsConfig.model_validate(settings), context, self.sink)

    def counts(self) -> list[int]:
        """The calls that each batch tells of, over all series."""
        return [sum(point.as_int for _, point in calls(batch.proto())) for batch in self.sink.batches]


def calls(data: Any) -> list[tuple[Any, Any]]:
    """The points of the metric `calls`."""
    return [
        (metric, point)
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name.endswith("calls")
        for point in metric.sum.data_points
    ]


async def test_it_keeps_the_contract() -> None:
    """What holds for every component holds for it."""
    await check_component(COMPONENT)


async def test_cumulative_metrics_go_out_at_the_interval_and_at_the_end() -> None:
    """Each flush tells of all since the start, and leaving sends what came since the last one."""
    bench = Bench()
    async with bench.connector:
        await bench.connector.consume(spans(3))
        await bench.clock.advance(60)
        await bench.connector.consume(spans(2))
    assert bench.counts() == [3, 5]


async def test_delta_metrics_tell_what_came_since_the_flush_before() -> None:
    """Each flush begins where the one before ended, and there is none without spans."""
    bench = Bench(**DELTA)
    async with bench.connector:
        await bench.connector.consume(spans(3))
        await bench.clock.advance(120)
        await bench.connector.consume(spans(2))
    assert bench.counts() == [3, 2]
    (_, first), *_ = calls(bench.sink.batches[0].proto())
    (_, second), *_ = calls(bench.sink.batches[1].proto())
    assert second.start_time_unix_nano >= first.time_unix_nano


@pytest.mark.parametrize(("settings", "told"), [({}, [5]), (DELTA, [3, 2])])
async def test_refused_metrics_come_again(settings: dict[str, Any], told: list[int]) -> None:
    """No span's count is lost or told twice, whether metrics are cumulative or delta."""
    bench = Bench(**settings)
    async with bench.connector:
        await bench.connector.consume(spans(3))
        bench.sink.error = RefusedError("full")
        await bench.clock.advance(60)
        await bench.connector.consume(spans(2))
        bench.sink.error = None
        await bench.clock.advance(60)
        assert bench.counts() == told
    assert bench.drops == []


async def test_what_is_refused_for_good_is_dropped_and_counted() -> None:
    """By its data points, and under the reason of the refusal."""
    bench = Bench(**DELTA)
    async with bench.connector:
        await bench.connector.consume(spans(3))
        bench.sink.error = PermanentError("no")
        await bench.clock.advance(60)
    assert bench.drops == [(3, Reason.PERMANENT_ERROR)]


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"dimensions": [{"name": "a"}, {"name": "a"}]}, "duplicate dimension name a"),
        ({"dimensions": [{"name": "span.name"}]}, "duplicate dimension name span.name"),
        ({"dimensions": [{"glob": "a*"}, {"glob": "a*"}]}, "duplicate dimension name a\\*"),
        ({"dimensions": [{}]}, 'needs "name" or "glob", and not both'),
        ({"dimensions": [{"name": "a", "glob": "b"}]}, 'needs "name" or "glob", and not both'),
        ({"dimensions": [{"glob": "a[bc]"}]}, "only \\* and \\? have a meaning in a pattern"),
        ({"dimensions": [{"glob": "a*", "max_values": 3}]}, "cannot stand beside glob"),
        ({"exclude_dimensions": ["span.nam"]}, '"span.nam" is no default dimension; did you mean "span.name"'),
        ({"histogram": {"explicit": {}, "exponential": {}}}, "use either `explicit` or `exponential`"),
        ({"events": {"enabled": True}}, "no dimensions configured for events"),
    ],
)
def test_mistakes_are_told_at_load(settings: dict[str, Any], text: str) -> None:
    """Under the Collector's words."""
    with pytest.raises(ValidationError, match=text):
        SpanMetricsConfig.model_validate(settings)


async def test_spans_in_and_metrics_out_balance() -> None:
    """What the pipeline of traces accepted was delivered to the connector; what it sent was accepted and delivered."""
    config = textwrap.dedent("""
        receivers:
          feed: {component: sluiceway.testing:Feeder}
        exporters:
          memory: {component: sluiceway.testing:MemorySink, sending_queue: {enabled: false}}
        connectors:
          spanmetrics:
        service:
          telemetry: {metrics: {level: none}}
          pipelines:
            traces: {receivers: [feed], exporters: [spanmetrics]}
            metrics: {receivers: [spanmetrics], exporters: [memory]}
    """)
    collector = Collector.from_yaml(config)
    async with collector:
        await collector.component("receiver", "feed").feed(spans(7))
        sink = collector.component("exporter", "memory")
    balances = {balance.pipeline: balance for balance in collector.ledger.balances()}
    assert not any(balance.missing for balance in balances.values())
    assert (balances["traces"].delivered, balances["metrics"].delivered) == (7, sum(b.items for b in sink.batches))
    assert sum(point.as_int for batch in sink.batches for _, point in calls(batch.proto())) == 7


async def test_series_bear_the_collector_that_counted() -> None:
    """So that those of two collectors are two, unless the dimension is excluded."""
    for excluded in ([], ["collector.instance.id"]):
        sink = MemorySink()
        context = Context("span_metrics", Kind.CONNECTOR, clock=ManualClock(), instance="one")
        config = SpanMetricsConfig.model_validate({"exclude_dimensions": excluded})
        async with SpanMetrics(config, context, sink) as connector:
            await connector.consume(spans(1))
        ((_, point),) = calls(sink.batches[0].proto())
        told = [a.value.string_value for a in point.attributes if a.key == "collector.instance.id"]
        assert told == ([] if excluded else ["one"])
