"""`circuit_breaker`: what opens it, what becomes of data meanwhile, and that every item is accounted for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any

import pytest

from sluiceway.component import Reason, Status
from sluiceway.config.load import load
from sluiceway.errors import ConfigError, PermanentError, RefusedError, RetryableError, SenderError
from sluiceway.processors.circuit_breaker import COMPONENT
from sluiceway.service import Collector
from sluiceway.testing import ManualClock, settle, spans
from tests.processors.samples import Bench, problems

OPENS = "consecutive_failures: 2, open_delay: 10s, max_open_delay: 40s, randomization_factor: 0.0"
METRIC = "sluiceway_processor_circuit_breaker"


async def fail(processor: Any, bench: Bench, times: int = 1) -> None:
    """Have so many batches refused further down."""
    bench.sink.error = RetryableError("away")
    for _ in range(times):
        with pytest.raises(RetryableError):
            await processor.consume(spans(3))
    bench.sink.error = None


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ("on_open: hold", "Input should be 'refuse', 'drop' or 'route'"),
        ("on_open: route", "'route' names a connector when 'on_open' is route"),
        ("route: forward", "'route' names a connector when 'on_open' is route"),
        ("open_delay: 0s", "'open_delay' must be positive"),
        ("half_open_probes: 0", "'half_open_probes' must be positive"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: str, text: str) -> None:
    """Each with its reason; the rules of the exporters' breaker hold as well."""
    assert text in problems(COMPONENT, settings)


async def test_while_open_data_is_refused_until_a_probe_is_due() -> None:
    """The delay is the one that is left, and nothing is handed on."""
    bench = Bench()
    processor = bench.make(COMPONENT, f"{{{OPENS}}}")
    await fail(processor, bench, 2)
    await bench.clock.advance(4)
    with pytest.raises(RefusedError, match=r"^circuit breaker is open$") as refused:
        await processor.consume(spans(3))
    assert refused.value.retry_after == 6.0
    assert bench.sink.calls == 2
    await bench.clock.advance(6)
    await processor.consume(spans(3))
    assert bench.sink.items == 3


async def test_a_probe_that_fails_opens_it_for_longer() -> None:
    """The delay is multiplied each time, up to its maximum."""
    bench = Bench()
    processor = bench.make(COMPONENT, f"{{{OPENS}}}")
    await fail(processor, bench, 2)
    for delay in (10, 20, 40, 40):
        await bench.clock.advance(delay - 0.5)
        with pytest.raises(RefusedError):
            await processor.consume(spans(1))
        await bench.clock.advance(0.5)
        await fail(processor, bench)


async def test_no_more_than_the_probes_are_let_through_at_a_time() -> None:
    """While they are under way others are asked to come again in a second."""
    bench = Bench()
    processor = bench.make(COMPONENT, f"{{{OPENS}, half_open_probes: 2}}")
    await fail(processor, bench, 2)
    await bench.clock.advance(10)
    bench.sink.gate = asyncio.Event()
    probes = [asyncio.create_task(processor.consume(spans(1))) for _ in range(2)]
    await settle()
    with pytest.raises(RefusedError) as refused:
        await processor.consume(spans(1))
    assert (refused.value.retry_after, bench.sink.calls) == (1.0, 4)
    bench.sink.gate.set()
    await asyncio.gather(*probes)
    await processor.consume(spans(1))
    assert bench.metrics.read(f"{METRIC}_state") == 0


async def test_slow_calls_open_it() -> None:
    """A batch that takes too long counts though it was taken."""
    bench = Bench()
    processor = bench.make(COMPONENT, "{slow_call_duration: 1s, minimum_calls: 2}")
    for _ in range(2):
        bench.sink.gate = asyncio.Event()
        slow = asyncio.create_task(processor.consume(spans(1)))
        await bench.clock.advance(2)
        bench.sink.gate.set()
        await slow
    with pytest.raises(RefusedError):
        await processor.consume(spans(1))


@pytest.mark.parametrize(
    ("error", "opens"),
    [
        (RefusedError("full"), True),
        (RetryableError("away"), True),
        (PermanentError("who are you", code="UNAUTHENTICATED"), True),
        (PermanentError("bad data", code="INVALID_ARGUMENT"), False),
        (SenderError("no tenant"), False),
        (ValueError("a bug"), False),
    ],
)
async def test_what_says_something_of_the_data_alone_does_not_open_it(error: Exception, opens: bool) -> None:
    """Errors come through as they are; those that other data would meet as well count."""
    bench = Bench()
    processor = bench.make(COMPONENT, f"{{{OPENS}}}")
    bench.sink.error = error
    for _ in range(2):
        with pytest.raises(type(error)):
            await processor.consume(spans(1))
    assert bench.metrics.read(f"{METRIC}_state") == (2 if opens else 0)


async def test_dropping_is_counted_with_its_own_reason() -> None:
    """The sender is not told to come again."""
    bench = Bench()
    processor = bench.make(COMPONENT, f"{{{OPENS}, on_open: drop}}")
    await fail(processor, bench, 2)
    await processor.consume(spans(5))
    assert bench.drops == [(5, Reason.CIRCUIT_OPEN, True)]
    assert bench.metrics.read(f"{METRIC}_rejected_items", outcome="drop") == 5


async def test_state_and_changes_are_told(caplog: pytest.LogCaptureFixture) -> None:
    """In health, in metrics, and in the log once each."""
    caplog.set_level(logging.INFO)
    bench = Bench()
    processor = bench.make(COMPONENT, f"{{{OPENS}}}")
    await fail(processor, bench, 2)
    for _ in range(3):
        with pytest.raises(RefusedError):
            await processor.consume(spans(2))
    await bench.clock.advance(10)
    await processor.consume(spans(1))
    assert bench.statuses == [Status.RECOVERABLE_ERROR, Status.RECOVERABLE_ERROR, Status.OK]
    changes = {state: bench.metrics.read(f"{METRIC}_transitions", state=state) for state in ("open", "half_open")}
    assert changes == {"open": 1, "half_open": 1}
    assert bench.metrics.read(f"{METRIC}_rejected_items", outcome="refuse") == 6
    assert [record.getMessage() for record in caplog.records] == ["Circuit breaker opened.", "Circuit breaker closed."]


ROUTED = """
receivers: {feed: {component: sluiceway.testing:Feeder}}
processors:
  circuit_breaker: {consecutive_failures: 2, open_delay: 10s, on_open: route, route: forward/aside}
  batch: {timeout: 1s, send_batch_size: 8}
connectors: {forward/aside: }
exporters:
  main: {component: sluiceway.testing:MemorySink}
  aside: {component: sluiceway.testing:MemorySink}
service:
  telemetry: {metrics: {level: none}}
  pipelines:
    traces: {receivers: [feed], processors: [circuit_breaker], exporters: [main]}
    traces/aside: {receivers: [forward/aside], exporters: [aside]}
"""


@asynccontextmanager
async def running(text: str) -> AsyncIterator[tuple[Collector, Any, Any, Any]]:
    """A collector on a clock of its own, its feeder and its two sinks."""
    async with Collector.from_yaml(text, clock=ManualClock()) as collector:
        sinks = [collector.component("exporter", name) for name in ("main", "aside")]
        yield collector, collector.component("receiver", "feed").feed, *sinks


def lines(collector: Collector) -> dict[tuple[str, str], tuple[int, int, int]]:
    """Accepted, delivered and missing items of each exporter of each pipeline."""
    return {(b.pipeline, b.exporter): (b.accepted, b.delivered, b.missing) for b in collector.ledger.balances()}


async def test_the_way_around_leads_into_another_pipeline() -> None:
    """What is routed is delivered here and accepted there, and the exporter of this pipeline never had it."""
    async with running(ROUTED) as (collector, feed, main, aside):
        await feed(spans(1))
        main.error = RetryableError("away")
        for _ in range(2):
            with pytest.raises(RetryableError):
                await feed(spans(2))
        await feed(spans(4))
        assert (main.items, aside.items) == (1, 4)
        main.error = None
        await collector.clock.advance(12)
        await feed(spans(8))
        assert (main.items, aside.items) == (9, 4)
    assert lines(collector) == {
        ("traces", "main"): (9, 9, 0),
        ("traces", "forward/aside"): (4, 4, 0),
        ("traces/aside", "aside"): (4, 4, 0),
    }


async def test_what_the_way_around_refuses_is_refused_to_the_sender() -> None:
    """Both pipelines have refused it then, and nobody has accepted it."""
    async with running(ROUTED) as (collector, feed, main, aside):
        main.error = aside.error = RetryableError("away")
        for _ in range(4):
            with pytest.raises(RetryableError):
                await feed(spans(1))
        assert {balance.refused for balance in collector.ledger.balances()} == {4, 2}
        assert {accepted for accepted, _, _ in lines(collector).values()} == {0}


async def test_a_batch_on_the_way_around_survives_its_sender() -> None:
    """A sender that goes away does not interrupt the connector half-way."""
    async with running(ROUTED) as (collector, feed, main, aside):
        main.error = RetryableError("away")
        for _ in range(2):
            with pytest.raises(RetryableError):
                await feed(spans(1))
        aside.gate = asyncio.Event()
        sender = asyncio.create_task(feed(spans(6)))
        await settle()
        sender.cancel()
        await settle()
        aside.gate.set()
        await settle()
    assert lines(collector)["traces/aside", "aside"] == (6, 6, 0)
    assert {missing for _, _, missing in lines(collector).values()} == {0}


async def test_a_reload_keeps_an_open_breaker_and_leads_the_way_around_anew() -> None:
    """The breaker's settings are the same, so it stays open; the pipeline behind the connector is another one."""
    async with running(ROUTED) as (collector, feed, main, aside):
        main.error = RetryableError("away")
        for _ in range(2):
            with pytest.raises(RetryableError):
                await feed(spans(1))
        other = ROUTED.replace("traces/aside:", "traces/b:").replace("exporters: [aside]", "exporters: [aside/2]")
        other = other.replace("  aside: {", "  aside/2: {")
        await collector.reload(load([f"yaml:{other}"]))
        await feed(spans(3))
        assert (aside.items, collector.component("exporter", "aside/2").items) == (0, 3)
    assert lines(collector)["traces", "forward/aside"] == (3, 3, 0)
    assert lines(collector)["traces/b", "aside/2"] == (3, 3, 0)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("on_open", ["refuse", "drop", "route, route: forward/aside"])
async def test_the_ledger_balances_whatever_happens(on_open: str, seed: int) -> None:
    """Backends come and go, hang, and senders give up; what was accepted is delivered or dropped."""
    random = Random(seed)
    text = ROUTED.replace("route, route: forward/aside", on_open).replace(
        "[circuit_breaker]", "[circuit_breaker, batch]"
    )
    text = text if random.random() < 0.5 else text.replace(", batch]", "]")
    if "route" not in on_open:
        text = text.replace("exporters: [main]", "exporters: [main, forward/aside]")
    async with running(text) as (collector, feed, main, aside):
        senders = []
        for _ in range(60):
            for sink in (main, aside):
                if random.random() < 0.2:
                    sink.error = random.choice(
                        [None, RetryableError("away"), PermanentError("no"), RefusedError("full")]
                    )
            senders.append(asyncio.create_task(feed(spans(random.randint(1, 5)))))
            if random.random() < 0.1:
                random.choice(senders).cancel()
            await collector.clock.advance(random.choice([0, 0, 0.5, 6]))
        main.error = aside.error = None
        for sender in senders:
            with suppress(Exception, asyncio.CancelledError):
                await sender
        await collector.clock.advance(100)
        assert {missing for _, _, missing in lines(collector).values()} == {0}
    assert {missing for _, _, missing in lines(collector).values()} == {0}
    assert all(balance.held == 0 for balance in collector.ledger.balances())


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            ("route: forward/aside", "route: forward/asde"),
            'references connector "forward/asde" which is not configured',
        ),
        (("receivers: [forward/aside]", "receivers: [feed]"), 'connector "forward/aside" used as route in [traces]'),
        (("exporters: [aside]", "exporters: [forward/aside]"), "cycle detected"),
    ],
)
def test_a_way_around_that_leads_nowhere_is_an_error(change: tuple[str, str], text: str) -> None:
    """It must exist, begin a pipeline of the signal, and not come back to itself; the mistake has its place."""
    with pytest.raises(ConfigError) as caught:
        Collector.from_yaml(ROUTED.replace(*change))
    found = [problem for problem in caught.value.problems if text in problem.message]
    assert found
    assert found[0].line > 0


def test_a_circle_by_way_of_a_route_is_named() -> None:
    """The breaker's pipeline feeds the one behind its connector, which feeds it."""
    text = ROUTED.replace("receivers: [feed], processors", "receivers: [feed, forward/back], processors")
    text = text.replace("connectors: {", "connectors: {forward/back: , ").replace("[aside]", "[aside, forward/back]")
    with pytest.raises(ConfigError, match=r'cycle detected: connector "forward/aside" \(traces to traces\)'):
        Collector.from_yaml(text)


QUEUED = """
receivers: {feed: {component: sluiceway.testing:Feeder}}
processors: {circuit_breaker: }
exporters: {otlp_grpc: {endpoint: "127.0.0.1:1", tls: {insecure: true}, sending_queue: {wait_for_result: false}}}
service:
  telemetry: {metrics: {level: none}}
  pipelines: {traces: {receivers: [feed], processors: [circuit_breaker], exporters: [otlp_grpc]}}
"""


@pytest.mark.parametrize("wait", [False, True])
async def test_queues_that_hide_failures_are_warned_of(wait: bool, caplog: pytest.LogCaptureFixture) -> None:
    """At start, and not where deliveries are waited for."""
    async with Collector.from_yaml(QUEUED.replace("false", str(wait).lower(), 1) if wait else QUEUED):
        pass
    assert ("sees full queues and no failed deliveries" in caplog.text) is not wait
