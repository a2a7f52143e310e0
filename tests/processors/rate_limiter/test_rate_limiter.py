"""`rate_limiter`: who is limited, the three answers to a limit, fairness, and that every item is accounted for."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from sluiceway.component import Reason, Status
from sluiceway.config.load import load
from sluiceway.errors import PermanentError, RefusedError, RetryableError
from sluiceway.otlp import Batch, Origin, Signal, join, resources
from sluiceway.otlp.plan import decode_value
from sluiceway.processors.rate_limiter import COMPONENT
from sluiceway.service import Collector
from sluiceway.testing import ManualClock, items, logs, metrics, settle, spans
from tests.ports import free_port
from tests.processors.samples import Bench, of_tenants, pairs, problems
from tests.receivers.otlp.senders import until

METRIC = "sluiceway_processor_rate_limiter_items"
TENANT = "by: tenant, items_per_second: 10, burst: 20"


def batch_of(origin: Origin | None = None, /, **tenants: int) -> Batch:
    """A batch with so many spans of each tenant, four of them a trace."""
    data = TracesData()
    for tenant, count in tenants.items():
        entry = data.resource_spans.add()
        entry.resource.attributes.extend(pairs({"tenant.id": tenant}))
        made = entry.scope_spans.add().spans
        for number in range(count):
            made.add(name=f"{tenant}-{number}", trace_id=(number // 4 + 1).to_bytes(16, "big"))
    return replace(Batch.from_proto(data), origin=origin or Origin())


def passed(bench: Bench) -> dict[str, int]:
    """Items by tenant that went on."""
    counts: Counter[str] = Counter()
    for batch in bench.sink.batches:
        for count, (value,) in resources(batch, ["tenant.id"]):
            counts[str(decode_value(value)) if value is not None else ""] += count
    return dict(counts)


async def refused(processor: Any, batch: Batch) -> float:
    """The delay with which a batch is refused."""
    with pytest.raises(RefusedError, match=r"^rate limit exceeded$") as error:
        await processor.consume(batch)
    return error.value.retry_after


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ("{}", "exactly one of 'items_per_second' and 'bytes_per_second'"),
        ("{items_per_second: 1, bytes_per_second: 1}", "exactly one of 'items_per_second' and 'bytes_per_second'"),
        ("{items_per_second: -1}", "greater than or equal to 0"),
        ("{items_per_second: 1, overrides: {a: {items_per_second: 2}}}", "'overrides' needs 'by'"),
        (
            "{items_per_second: 1, by: tenant, overrides: {a: {bytes_per_second: 2}}}",
            "must have its rate",
        ),
        ("{items_per_second: 1, by: tenant, overrides: {a: {}}}", "must have a rate, a 'burst'"),
        ("{items_per_second: 1, by: tenant, overrides: {a: {unlimited: true, burst: 1}}}", "'unlimited' goes with no"),
        ("{items_per_second: 1, by: {header: a, attribute: b}}", "'by' is tenant, subject, or exactly one of"),
        ("{items_per_second: 1, by: everyone}", "'by' is tenant, subject, or exactly one of"),
        ("{items_per_second: 1, on_limit: wait}", "Input should be 'refuse', 'drop' or 'sample'"),
        ("{items_per_second: 1, max_keys: 0}", "greater than or equal to 1"),
        ("{items_per_second: 1, adaptive: {decrease: 1.0}}", "less than 1"),
        ("{items_per_second: 1, adaptive: {interval: 0s}}", "'interval' must be positive"),
        ("{items_per_second: 1, adaptive: {latency: -1s}}", "'latency' must be non-negative"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: str, text: str) -> None:
    """Each with its reason."""
    assert text in problems(COMPONENT, settings)


async def test_what_is_over_the_limit_is_refused_with_the_time_to_wait() -> None:
    """Who comes again then gets through, and what was refused has cost nothing."""
    bench = Bench()
    processor = bench.make(COMPONENT, "{items_per_second: 10, burst: 20}")
    await processor.consume(spans(25))
    assert await refused(processor, spans(4)) == pytest.approx(0.6)
    await bench.clock.advance(0.6)
    await processor.consume(spans(4))
    assert bench.sink.items == 29


async def test_who_is_refused_together_is_not_asked_to_come_together() -> None:
    """Each comes when those before it have had their turn, and then gets through; nobody is put off for ever."""
    bench = Bench()
    processor = bench.make(COMPONENT, "{items_per_second: 10, burst: 10}")
    await processor.consume(spans(10))
    delays = [await refused(processor, spans(20)) for _ in range(8)]
    assert delays == pytest.approx([0.1, 2.1, 4.1, 5.1, 5.1, 5.1, 5.1, 5.1])
    for delay, after in zip(delays[:3], [0, *delays], strict=False):
        await bench.clock.advance(delay - after)
        await processor.consume(spans(20))
    assert bench.sink.items == 70


async def test_a_batch_larger_than_the_burst_passes_and_is_paid_for() -> None:
    """Even while small ones come all the time; the average is the rate."""
    bench = Bench()
    processor = bench.make(COMPONENT, "{items_per_second: 10, burst: 5}")
    large = 0
    for _ in range(400):
        for count in (1, 50) if bench.clock.now() % 2 < 1 else (50, 1):
            with suppress(RefusedError):
                await processor.consume(spans(count))
                large += count == 50
        await bench.clock.advance(0.5)
    assert large > 10
    assert 2000 <= bench.sink.items <= 2000 + 5 + 50


async def test_bytes_are_counted_as_they_are_on_the_wire() -> None:
    """Of the uncompressed OTLP."""
    bench = Bench()
    size = len(spans(3).payload)
    processor = bench.make(COMPONENT, f"{{bytes_per_second: {size}, burst: {size}}}")
    await processor.consume(spans(3))
    await processor.consume(replace(spans(3), items=0, payload=b""))
    assert await refused(processor, spans(3)) == pytest.approx(1 / size, abs=0.05)
    await bench.clock.advance(1)
    await processor.consume(spans(3))


@pytest.mark.parametrize(
    ("by", "batches"),
    [
        ("tenant", [batch_of(a=5), batch_of(b=5)]),
        ("{attribute: service.name}", [spans(5, service="a"), spans(5, service="b")]),
        ("subject", [spans(5, origin=Origin(subject=name)) for name in "ab"]),
        ("{header: X-Team}", [spans(5, origin=Origin(headers={"x-team": (name,)})) for name in "ab"]),
    ],
)
async def test_each_key_has_a_bucket_of_its_own(by: str, batches: list[Batch]) -> None:
    """Whatever the key is taken from."""
    bench = Bench()
    processor = bench.make(COMPONENT, f"{{items_per_second: 1, burst: 5, by: {by}}}")
    for batch in batches:
        await processor.consume(batch)
        await refused(processor, batch)
    assert bench.sink.items == 10


@pytest.mark.parametrize(
    ("by", "batch"),
    [
        ("tenant", of_tenants({})),
        ("tenant", of_tenants({"tenant.id": "x" * 257})),
        ("tenant", of_tenants({"tenant.id": "é" * 200})),
        ("tenant", of_tenants({"tenant.id": 1.5})),  # type: ignore[dict-item]
        ("tenant", of_tenants({"tenant.id": ["a"]})),  # type: ignore[dict-item]
        ("subject", spans(1)),
        ("{header: x-team}", spans(1)),
        ("{header: x-team}", spans(1, origin=Origin(headers={"x-team": ("a", "b")}))),
        ("{header: x-team}", spans(1, origin=Origin(headers={"x-team": ("x" * 257,)}))),
    ],
)
async def test_what_has_no_usable_key_shares_one_bucket(by: str, batch: Batch) -> None:
    """That of the empty name, which may have a limit of its own."""
    bench = Bench()
    text = f"{{items_per_second: 1000, by: {by}, overrides: {{'': {{items_per_second: 1}}}}}}"
    processor = bench.make(COMPONENT, text)
    await processor.consume(batch)
    await refused(processor, batch)


async def test_a_number_is_a_key_like_its_text() -> None:
    """Two spellings of one tenant do not have two limits."""
    bench = Bench()
    processor = bench.make(COMPONENT, "{items_per_second: 1, burst: 3, by: tenant, on_limit: drop}")
    await processor.consume(of_tenants({"tenant.id": 7}, {"tenant.id": "7"}, {"tenant.id": 7}, {"tenant.id": "7"}))  # type: ignore[dict-item]
    assert bench.sink.items == 3


async def test_overrides_have_limits_of_their_own() -> None:
    """A rate, a burst, or none at all."""
    bench = Bench()
    text = (
        f"{{{TENANT}, overrides: {{big: {{items_per_second: 100}}, wide: {{burst: 50}}, free: {{unlimited: true}}}}}}"
    )
    processor = bench.make(COMPONENT, f"{text[:-1]}, on_limit: drop}}")
    await processor.consume(batch_of(big=500, wide=500, free=500, other=500))
    assert passed(bench) == {"big": 100, "wide": 50, "free": 500, "other": 20}


async def test_a_request_of_several_tenants_is_refused_as_a_whole() -> None:
    """With the longest of their delays, and none of them has spent anything."""
    bench = Bench()
    processor = bench.make(COMPONENT, f"{{{TENANT}}}")
    await processor.consume(batch_of(a=30, b=25))
    assert await refused(processor, batch_of(a=1, b=1, c=20)) == pytest.approx(1.1)
    await processor.consume(batch_of(c=20))
    assert bench.sink.items == 75


async def test_dropping_takes_only_from_those_over_their_limit_and_to_the_item() -> None:
    """The first items of the batch are kept, in the ledger the rest is under the tenant's name."""
    bench = Bench()
    processor = bench.make(COMPONENT, f"{{{TENANT}, on_limit: drop}}")
    await processor.consume(batch_of(a=100, b=7, c=21))
    assert passed(bench) == {"a": 20, "b": 7, "c": 20}
    assert bench.drops == [(80, Reason.RATE_LIMITED, True), (1, Reason.RATE_LIMITED, True)]
    assert bench.drops_by_tenant == {"a": 80, "c": 1}
    await processor.consume(batch_of(a=1))
    assert passed(bench)["a"] == 20
    assert bench.sink.calls == 1


async def test_dropping_bytes_lets_an_item_through_that_is_larger_than_the_burst() -> None:
    """In its turn, and it is paid for."""
    bench = Bench()
    processor = bench.make(COMPONENT, "{bytes_per_second: 10, on_limit: drop}")
    for _ in range(200):
        await processor.consume(spans(1))
        await bench.clock.advance(1)
    sent = sum(len(batch.payload) for batch in bench.sink.batches)
    assert 2000 <= sent <= 2000 + 2 * len(spans(1).payload)


@pytest.mark.parametrize("signal", list(Signal))
@pytest.mark.parametrize("on_limit", ["drop", "sample"])
async def test_what_goes_on_is_the_rate_in_the_long_run(on_limit: str, signal: Signal) -> None:
    """Whatever the sizes of the batches, and for every signal; what does not go on is in the ledger."""
    bench, random = Bench(signals=frozenset([signal])), Random(1)
    processor = bench.make(COMPONENT, f"{{items_per_second: 40, on_limit: {on_limit}}}", random=random.random)
    sent = 0
    for _ in range(500):
        for size in [30, *random.choices([1, 2, 10, 100], k=4)]:
            await processor.consume(items(signal, size))
            sent += size
        await bench.clock.advance(0.5)
    assert bench.sink.items == pytest.approx(40 * 250, rel=0.05)
    assert bench.sink.items + bench.drops_by_tenant[""] == sent


async def test_sampling_keeps_traces_whole() -> None:
    """Each is there with all four spans or not at all."""
    bench = Bench()
    processor = bench.make(COMPONENT, "{by: tenant, items_per_second: 1000, on_limit: sample}")
    await processor.consume(batch_of(a=4000))
    (batch,) = bench.sink.batches
    data: Any = batch.proto()
    traces = Counter(span.trace_id for span in data.resource_spans[0].scope_spans[0].spans)
    assert set(traces.values()) == {4}
    assert batch.items == pytest.approx(1000, rel=0.15)


async def test_what_is_within_the_limit_goes_on_as_it_came() -> None:
    """The same object, also with several tenants, and resources without items stay."""
    bench = Bench()
    batch = join([batch_of(a=2, b=0), batch_of(a=1, c=3)])
    for answer in ("refuse", "drop", "sample"):
        await bench.make(COMPONENT, f"{{{TENANT}, on_limit: {answer}}}").consume(batch)
        assert bench.sink.batches[-1] is batch


@pytest.mark.parametrize("on_limit", ["refuse", "drop", "sample"])
@pytest.mark.parametrize("error", [RefusedError("full"), RetryableError("away"), PermanentError("no")])
async def test_what_the_next_refuses_is_given_back_and_not_counted(on_limit: str, error: Exception) -> None:
    """It comes again, and must not pay or be dropped twice."""
    bench = Bench()
    processor = bench.make(COMPONENT, f"{{{TENANT}, on_limit: {on_limit}}}", random=lambda: 0.5)
    bench.sink.error = error
    for _ in range(5):
        with pytest.raises(type(error)):
            await processor.consume(batch_of(a=16, b=24))
    bench.sink.error = None
    assert bench.drops == []
    await processor.consume(batch_of(a=20))
    assert bench.sink.items == 20
    assert bench.metrics.read(METRIC, outcome="passed") == 20


async def test_what_is_cancelled_is_given_back() -> None:
    """It is still the sender's."""
    bench = Bench()
    processor = bench.make(COMPONENT, "{items_per_second: 10}")
    bench.sink.gate = asyncio.Event()
    sending = asyncio.create_task(processor.consume(spans(10)))
    await settle()
    await refused(processor, spans(1))
    sending.cancel()
    await settle()
    bench.sink.gate.set()
    await processor.consume(spans(10))


async def test_one_tenant_at_a_hundred_times_its_quota_is_nothing_to_another() -> None:
    """The other is never refused, loses nothing and never waits."""
    for answer in ("refuse", "drop", "sample"):
        bench = Bench()
        processor = bench.make(COMPONENT, f"{{by: tenant, items_per_second: 100, on_limit: {answer}}}")
        for _ in range(50):
            for _ in range(20):
                with suppress(RefusedError):
                    await processor.consume(batch_of(loud=50))
            await processor.consume(batch_of(quiet=10))
            await bench.clock.advance(0.1)
        found = passed(bench)
        assert found["quiet"] == 500
        assert found["loud"] <= 1.3 * (500 + 100) + 50
        assert set(bench.drops_by_tenant) <= {"loud"}


async def test_pipelines_of_one_entry_share_its_buckets() -> None:
    """A tenant's limit holds for all its signals together."""
    shared: dict[str, Any] = {}
    benches = [Bench(shared=shared, signals=frozenset([signal])) for signal in (Signal.TRACES, Signal.LOGS)]
    one, other = (bench.make(COMPONENT, "{items_per_second: 10}") for bench in benches)
    await one.consume(spans(10))
    with pytest.raises(RefusedError):
        await other.consume(logs(1))


async def test_invented_names_get_no_series_and_no_lines_in_the_ledger() -> None:
    """Known names keep theirs; the rest is summed."""
    bench = Bench()
    text = f"{{{TENANT}, burst: 1, max_series: 3, on_limit: drop, overrides: {{acme: {{burst: 5}}}}}}"
    processor = bench.make(COMPONENT, text.replace("burst: 20, burst: 1", "burst: 1"))
    for number in range(500):
        await processor.consume(batch_of(**{f"invented{number}": 2}))
    await processor.consume(batch_of(acme=9))
    assert bench.drops_by_tenant == {"invented0": 1, "invented1": 1, "": 498, "acme": 4}
    (family,) = [f for f in bench.metrics.families() if f.name == METRIC]
    assert len(list(family.values())) == 3 * 4
    assert bench.metrics.read(METRIC, tenant="acme", outcome="dropped") == 4
    assert bench.metrics.read(METRIC, outcome="passed", **{"otel.metric.overflow": "true"}) == 498


async def test_a_request_full_of_invented_names_does_not_stall() -> None:
    """As many resource entries as a request may have, each with another name."""
    data = TracesData()
    for number in range(100_000):
        entry = data.resource_spans.add()
        entry.resource.attributes.extend(pairs({"tenant.id": f"t{number}"}))
        entry.scope_spans.add().spans.add()
    batch = Batch.from_proto(data)
    for answer in ("refuse", "drop", "sample"):
        processor = Bench().make(COMPONENT, f"{{{TENANT}, max_keys: 1000, on_limit: {answer}}}")
        began = time.process_time()
        await processor.consume(batch)
        assert time.process_time() - began < 1


async def test_adaptive_rates_fall_while_the_next_is_overloaded() -> None:
    """All of them by the same factor; the state shows in metrics, and at the lowest in health."""
    bench = Bench()
    text = "{by: tenant, items_per_second: 100, adaptive: {decrease: 0.5, minimum: 0.25, increase: 0.25}}"
    processor = bench.make(COMPONENT, text)
    share = "sluiceway_processor_rate_limiter_share"
    bench.sink.error = RefusedError("full")
    for _ in range(3):
        with pytest.raises(RefusedError, match="full"):
            await processor.consume(batch_of(a=10))
        await bench.clock.advance(1)
    assert bench.metrics.read(share) == 0.25
    bench.sink.error = None
    await processor.consume(batch_of(a=101, b=101))
    for tenant in "ab":
        assert await refused(processor, batch_of(**{tenant: 1})) == pytest.approx(2 / 50, abs=0.02)
    for _ in range(3):
        await bench.clock.advance(1)
        await processor.consume(batch_of(a=1))
    assert bench.metrics.read(share) == 1.0
    assert bench.statuses == [Status.RECOVERABLE_ERROR, Status.OK]


CONFIG = """
receivers: {feed: {component: sluiceway.testing:Feeder}}
processors:
  rate_limiter: {by: tenant, items_per_second: 20, on_limit: ANSWER}
  batch: {timeout: 1s, send_batch_size: 8}
exporters: {memory: {component: sluiceway.testing:MemorySink}}
service:
  telemetry: {metrics: {level: none}}
  pipelines: {traces: {receivers: [feed], processors: [rate_limiter], exporters: [memory]}}
"""


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("answer", ["refuse", "drop", "sample"])
async def test_the_ledger_balances_whatever_happens(answer: str, seed: int) -> None:
    """Accepted is delivered and dropped by tenant, with a backend that comes and goes and senders that give up."""
    random = Random(seed)
    text = CONFIG.replace("ANSWER", answer)
    text = text if seed % 2 else text.replace("[rate_limiter]", "[rate_limiter, batch]")
    async with Collector.from_yaml(text, clock=ManualClock()) as collector:
        feed, sink = collector.component("receiver", "feed").feed, collector.component("exporter", "memory")
        senders = []
        for _ in range(80):
            if random.random() < 0.2:
                sink.error = random.choice([None, RetryableError("away"), PermanentError("no")])
            sizes = {name: random.choice([1, 5, 30]) for name in random.sample("abcd", random.randint(1, 3))}
            senders.append(asyncio.create_task(feed(batch_of(**sizes))))
            if random.random() < 0.1:
                random.choice(senders).cancel()
            await collector.clock.advance(random.choice([0, 0, 0.1, 1]))
        sink.error = None
        outcomes = await asyncio.gather(*senders, return_exceptions=True)
        await collector.clock.advance(100)
    (balance,) = collector.ledger.balances()
    assert (balance.missing, balance.held) == (0, 0)
    assert any(outcome is None for outcome in outcomes)
    limited = {drop.tenant for drop in balance.dropped if drop.reason is Reason.RATE_LIMITED}
    assert limited <= set("abcd")
    assert bool(limited) is (answer != "refuse")


async def test_a_reload_keeps_the_buckets_of_an_entry_that_stays_the_same() -> None:
    """Even when pipelines come and go; another rate begins with full buckets."""
    text = CONFIG.replace("ANSWER", "refuse")
    async with Collector.from_yaml(text, clock=ManualClock()) as collector:
        feed = collector.component("receiver", "feed").feed
        await feed(batch_of(a=40))
        more = text.replace(
            "pipelines: {", "pipelines: {logs: {receivers: [feed], processors: [rate_limiter], exporters: [memory]}, "
        )
        await collector.reload(load([f"yaml:{more}"]))
        feed = collector.component("receiver", "feed").feed
        with pytest.raises(RefusedError):
            await feed(batch_of(a=1))
        await collector.reload(load([f"yaml:{text.replace('20', '30')}"]))
        await collector.component("receiver", "feed").feed(batch_of(a=1))


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["refuse", "drop"]),
    st.lists(st.tuples(st.sampled_from([0, 0.3, 1.0, 4.0]), st.integers(1, 60), st.integers(0, 60)), max_size=20),
)
async def test_it_limits_as_a_plain_token_bucket_does(answer: str, steps: list[tuple[float, int, int]]) -> None:
    """Against counting tokens by hand, for two tenants that come in one batch."""
    bench = Bench()
    processor = bench.make(COMPONENT, f"{{{TENANT}, on_limit: {answer}}}")
    tokens, expected = {"a": 20.0, "b": 20.0}, Counter[str]()
    for seconds, a, b in steps:
        await bench.clock.advance(seconds)
        tokens = {name: min(20.0, left + 10 * seconds) for name, left in tokens.items()}
        sizes = {name: count for name, count in (("a", a), ("b", b)) if count}
        if answer == "drop":
            kept = {name: min(count, int(tokens[name] + 1e-6)) for name, count in sizes.items()}
        else:
            kept = sizes if all(tokens[name] > 1 - 1e-6 for name in sizes) else {}
        for name, count in kept.items():
            tokens[name] -= count
            expected[name] += count
        with suppress(RefusedError):
            await processor.consume(batch_of(**sizes))
    assert passed(bench) == {name: count for name, count in expected.items() if count}


async def test_metrics_have_their_own_items() -> None:
    """Data points are what is counted, however many metrics they stand in."""
    bench = Bench(signals=frozenset([Signal.METRICS]))
    processor = bench.make(COMPONENT, "{items_per_second: 5, on_limit: drop}")
    await processor.consume(metrics(9))
    assert (bench.sink.items, bench.drops_by_tenant[""]) == (5, 4)


HOP = """
receivers: {otlp: {protocols: {PROTOCOL: {endpoint: "127.0.0.1:PORT"}}}}
processors: {rate_limiter: {items_per_second: 2, burst: 2}}
exporters: {memory: {component: sluiceway.testing:MemorySink}}
service:
  telemetry: {metrics: {level: none}}
  pipelines: {traces: {receivers: [otlp], processors: [rate_limiter], exporters: [memory]}}
"""
SENDER = """
receivers: {feed: {component: sluiceway.testing:Feeder}}
exporters:
  otlp_EXPORTER:
    endpoint: "http://127.0.0.1:PORT"
    tls: {insecure: true}
    retry_on_failure: {initial_interval: 1ms, max_interval: 1ms}
    sending_queue: {enabled: false}
service:
  telemetry: {metrics: {level: none}}
  pipelines: {traces: {receivers: [feed], exporters: [otlp_EXPORTER]}}
"""


@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_an_otlp_sender_comes_again_when_it_is_told_to(protocol: str) -> None:
    """By RetryInfo and Retry-After: it waits out the delay, not its own shorter one, and then gets through at once."""
    clock, port = ManualClock(), str(free_port())
    hop, sender = (
        text.replace("PROTOCOL", protocol).replace("EXPORTER", protocol).replace("PORT", port) for text in (HOP, SENDER)
    )
    async with Collector.from_yaml(hop, clock=clock) as next_hop, Collector.from_yaml(sender, clock=clock) as collector:
        feed, sink = collector.component("receiver", "feed").feed, next_hop.component("exporter", "memory")
        await feed(spans(3))
        waiting = clock.sleepers
        again = asyncio.create_task(feed(spans(3)))
        (hopped,) = next_hop.ledger.pipelines.values()
        await until(lambda: hopped.refused == 3 and clock.sleepers > waiting)
        await clock.advance(0.9)
        assert (sink.items, hopped.refused) == (3, 3)
        await clock.advance(0.2)
        await again
        assert (sink.items, hopped.refused) == (6, 3)
