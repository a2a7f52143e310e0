"""The frame of everything that measures at an interval."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Annotated

import pytest

from sluiceway.component import Component, Context, Kind, Reason, Status
from sluiceway.config.decode import decode
from sluiceway.config.parse import parse
from sluiceway.errors import ConfigError, PermanentError, RefusedError
from sluiceway.otlp import Signal
from sluiceway.otlp.metrics import Histogram
from sluiceway.scraping import (
    Declares,
    MetricSettings,
    ResourceAttribute,
    ResourceSettings,
    Scrape,
    Scraper,
    ScrapeSettings,
    Scraping,
    counter,
    gauge,
    histogram,
    updowncounter,
)
from sluiceway.testing import ManualClock, MemorySink, check_metrics, points, settle

READS = counter("disk.reads", "{read}", "Reads.", "device", "direction")
LOAD = gauge("load", "1", "Load.", value=float, on=False)
QUEUE = updowncounter("queue", "{item}", "Waiting.", "device")
LATENCY = histogram("latency", "s", "Time.")
HOST = ResourceAttribute("host", "The host.")
ID = ResourceAttribute("id", "An id.", enabled=False)


class Config(ScrapeSettings):
    """Settings."""

    metrics: Annotated[MetricSettings, Declares(READS, LOAD, QUEUE, LATENCY)] = MetricSettings()
    """Which metrics."""
    resource_attributes: Annotated[ResourceSettings, Declares(HOST, ID)] = ResourceSettings()
    """Which attributes."""


COMPONENT = Component("x", Kind.RECEIVER, Config, Scraping)


def config(yaml: str) -> Config:
    """The settings that YAML gives."""
    return decode(Config, parse(yaml, "x.yaml"))


class Bench:
    """A loop over one scraper, and what comes of it."""

    def __init__(self, scrape, yaml: str = "{}", name: str = "disk", more: tuple[Scraper, ...] = ()) -> None:
        self.settings = config(yaml)
        self.clock = ManualClock()
        self.sink = MemorySink()
        self.dropped: list[tuple[int, Reason]] = []
        self.statuses: list[tuple[Status, str]] = []
        context = Context(
            "x/1",
            Kind.RECEIVER,
            clock=self.clock,
            logger=logging.getLogger("scraping-test"),
            drop=lambda items, reason, **_: self.dropped.append((items, reason)),
            report=lambda status, text="": self.statuses.append((status, text)),
        )
        declared = {"host": HOST, "id": ID}
        scraper = Scraper(name, scrape, self.settings.metrics, self.settings.resource_attributes, declared)
        self.scraping = Scraping(self.settings, context, self.sink, [scraper, *more])

    def values(self, name: str) -> list:
        """The values of a metric, in order."""
        return [point["value"] for point in points(self.sink.batches).get(name, [])]


def write_some(scrape: Scrape) -> None:
    """Record a few points."""
    scrape.record(READS, 3.0, {"device": "a", "direction": "read"})
    scrape.record(READS, 4, {"device": "b", "direction": "read"})
    scrape.record(LOAD, 1)
    scrape.record(QUEUE, 5, {"device": "a"}, start=7)
    scrape.record(LATENCY, Histogram([1.0], [2, 3]))


async def scrape_some(scrape: Scrape) -> None:
    """Record a few points."""
    write_some(scrape)


async def test_it_measures_after_the_delay_and_then_at_the_interval() -> None:
    """Every measurement is one batch, and its points have one time."""
    bench = Bench(scrape_some, "{collection_interval: 10s, initial_delay: 2s}")
    async with bench.scraping:
        await bench.clock.advance(1.9)
        assert bench.sink.calls == 0
        await bench.clock.advance(0.2)
        assert bench.sink.calls == 1
        await bench.clock.advance(30)
        assert bench.sink.calls == 4
    (first, *_) = bench.sink.batches
    (resource,) = first.proto().resource_metrics
    assert resource.scope_metrics[0].scope.name == "sluiceway/receivers/x/disk"
    reads = [point["point"] for point in points([first])["disk.reads"]]
    assert {point.time_unix_nano for point in reads} == {1_700_000_002_000_000_000}
    assert {point.start_time_unix_nano for point in reads} == {1_700_000_000_000_000_000}
    assert points([first])["queue"][0]["point"].start_time_unix_nano == 7


async def test_a_slow_measurement_delays_the_next_and_is_not_overtaken() -> None:
    """What was missed is left out, and the rhythm stays."""
    bench = Bench(scrape_some, "{collection_interval: 10s, initial_delay: 0s}")
    bench.sink.gate = asyncio.Event()
    async with bench.scraping:
        await bench.clock.advance(25)
        assert bench.sink.calls == 1
        bench.sink.gate.set()
        await settle()
        assert bench.sink.calls == 2
        await bench.clock.advance(4.9)
        assert bench.sink.calls == 2
        await bench.clock.advance(0.2)
        assert bench.sink.calls == 3


async def test_what_is_emitted_is_as_declared() -> None:
    """Switched off metrics are not there; the value has the declared type."""
    bench = Bench(scrape_some)
    await bench.scraping.measure()
    assert check_metrics(COMPONENT, bench.sink.batches) == {"load"}
    assert bench.values("disk.reads") == [3, 4]


async def test_metrics_are_switched_by_name() -> None:
    """One that is off by default is there when it is asked for, one that is on is not when it is switched off."""
    bench = Bench(scrape_some, "metrics: {load: {enabled: true}, queue: {enabled: false}, disk.reads: {}}")
    await bench.scraping.measure()
    assert bench.values("load") == [1.0]
    assert (bench.values("queue"), bench.values("disk.reads")) == ([], [3, 4])


@pytest.mark.parametrize(
    ("settings", "values"),
    [
        ("attributes: []", [7]),
        ("attributes: [direction], aggregation_strategy: max", [4]),
        ("attributes: [device]", [3, 4]),
    ],
)
async def test_points_that_are_alike_without_an_attribute_become_one(settings: str, values: list[int]) -> None:
    """Sums are added unless told otherwise."""
    bench = Bench(scrape_some, f"metrics: {{disk.reads: {{{settings}}}}}")
    await bench.scraping.measure()
    assert bench.values("disk.reads") == values


@pytest.mark.parametrize(
    ("yaml", "text"),
    [
        ("metrics: {disk.read: {enabled: false}}", 'there is no "disk.read" here; did you mean "disk.reads"?'),
        ("metrics: {load: {enable: false}}", "invalid keys: enable"),
        ("metrics: {disk.reads: {attributes: [devic]}}", 'has no attribute "devic"; did you mean "device"?'),
        ("resource_attributes: {hots: {enabled: true}}", 'there is no "hots" here; did you mean "host"?'),
        ("resource_attributes: {host: {metrics_include: [{regexp: '('}]}}", "::host::metrics_include::0::regexp"),
        ("resource_attributes: {host: {metrics_include: [{}]}}", "needs either strict or regexp"),
        ("collection_interval: 0s", '"collection_interval": requires positive value'),
        ("timeout: -1s", "timeout"),
    ],
)  # fmt: skip
def test_mistakes_are_reported_where_they_stand(yaml: str, text: str) -> None:
    """With the name that was meant."""
    with pytest.raises(ConfigError) as caught:
        config(yaml)
    assert text in str(caught.value)


async def test_resource_attributes_are_switched_and_filter() -> None:
    """One that is off by default is not there; resources whose value is excluded are not emitted."""

    async def scrape(to: Scrape) -> None:
        for host in ("a", "b", "c"):
            to.resource({"host": host, "id": host, "other": 1}).record(QUEUE, 1)

    async def resources(yaml: str) -> list[dict]:
        bench = Bench(scrape, yaml)
        await bench.scraping.measure()
        return [point["resource"] for point in points(bench.sink.batches)["queue"]]

    assert await resources("{}") == [{"host": host, "other": 1} for host in "abc"]
    assert await resources("resource_attributes: {host: {enabled: false}, id: {enabled: true}}") == [
        {"id": host, "other": 1} for host in "abc"
    ]
    filters = "{metrics_include: [{regexp: '^[ab]'}], metrics_exclude: [{strict: b}]}"
    assert await resources(f"resource_attributes: {{host: {filters}}}") == [{"host": "a", "other": 1}]


async def test_attributes_that_tell_resources_apart_are_on() -> None:
    """Unless somebody switched them off, whatever was declared."""

    async def scrape(to: Scrape) -> None:
        to.resource({"host": "a", "id": "b"}, on=("id",)).record(QUEUE, 1)

    for yaml, expected in (
        ("{}", {"host": "a", "id": "b"}),
        ("resource_attributes: {id: {enabled: false}}", {"host": "a"}),
    ):
        bench = Bench(scrape, yaml)
        await bench.scraping.measure()
        assert [point["resource"] for point in points(bench.sink.batches)["queue"]] == [expected]


async def test_settings_come_back_as_they_were_written() -> None:
    """What a configuration prints loads again."""
    chosen = config("{metrics: {load: {enabled: true}}, resource_attributes: {host: {metrics_exclude: [{strict: a}]}}}")
    assert config(chosen.model_dump_json(by_alias=True)) == chosen
    assert "disk.reads" in str(Config.model_json_schema())


async def test_a_scraper_that_fails_does_not_keep_the_others_from_being_read(caplog) -> None:
    """It loses what it recorded; the error is logged once, and once more when it works again."""
    failing = True

    async def scrape(to: Scrape) -> None:
        to.record(QUEUE, 1)
        if failing:
            raise ConnectionError("refused by 10.0.0.1 after 12 ms")

    bench = Bench(scrape, more=(Scraper("other", scrape_some),))
    with caplog.at_level(logging.INFO, "scraping-test"):
        for _ in range(3):
            await bench.scraping.measure()
        assert bench.values("queue") == [5, 5, 5]
        assert bench.statuses[-1] == (Status.RECOVERABLE_ERROR, "disk: refused by 10.0.0.1 after 12 ms")
        failing = False
        await bench.scraping.measure()
    assert [record.message for record in caplog.records] == ["Error scraping metrics", "Scraping works again"]
    assert bench.statuses[-1] == (Status.OK, "")


async def test_what_could_be_read_is_kept_when_a_part_could_not(caplog) -> None:
    """The status stays good and says what is missing; another problem is logged anew."""
    problem = "no permission for b"

    async def scrape(to: Scrape) -> None:
        to.record(QUEUE, 1)
        to.problem(problem)

    bench = Bench(scrape)
    with caplog.at_level(logging.INFO, "scraping-test"):
        await bench.scraping.measure()
        await bench.scraping.measure()
        assert bench.statuses[-1] == (Status.OK, "incomplete: disk: no permission for b")
        problem = "no permission for c"
        await bench.scraping.measure()
    assert bench.values("queue") == [1, 1, 1]
    assert len(caplog.records) == 2


async def test_a_measurement_ends_with_its_timeout() -> None:
    """It counts as failed, and the loop goes on."""

    async def scrape(_to: Scrape) -> None:
        await asyncio.Event().wait()

    bench = Bench(scrape, "{timeout: 5s, collection_interval: 10s, initial_delay: 0s}")
    async with bench.scraping:
        await bench.clock.advance(5.1)
        assert bench.statuses[-1] == (Status.RECOVERABLE_ERROR, "disk: took longer than 5s")


async def test_a_plain_function_may_block_and_is_not_called_twice_at_a_time() -> None:
    """It runs in a thread; one that outlasts its time is waited for."""
    go, calls = threading.Event(), 0

    def scrape(to: Scrape) -> None:
        nonlocal calls
        calls += 1
        to.record(QUEUE, calls)
        assert go.wait(20)

    bench = Bench(scrape, "{timeout: 5s}")
    first = asyncio.create_task(bench.scraping.measure())
    await bench.clock.advance(5.1)
    await first
    await bench.scraping.measure()
    assert (calls, bench.statuses[-1][1]) == (1, "disk: the measurement before is still running")
    go.set()
    while bench.statuses[-1][0] is not Status.OK:
        await settle()
        await bench.scraping.measure()
    assert bench.values("queue") == [2]


async def test_a_refused_measurement_is_dropped_and_counted() -> None:
    """The next one comes anyway."""
    bench = Bench(scrape_some)
    bench.sink.error = RefusedError("full")
    await bench.scraping.measure()
    assert bench.dropped == [(4, Reason.QUEUE_FULL)]


async def scrape_event(to: Scrape) -> None:
    """Record something that happened."""
    to.record(QUEUE, 1)
    to.event("disk.failed", "sda failed", {"device": "sda"}, time=7, severity=17)


def bodies(bench: Bench) -> list[str]:
    """The bodies of the records that arrived, in order."""
    return [
        record.body.string_value
        for batch in bench.sink.batches
        if batch.signal is Signal.LOGS
        for resource in batch.proto().resource_logs
        for scope in resource.scope_logs
        for record in scope.log_records
    ]


async def test_what_happened_becomes_log_records() -> None:
    """They are a batch of their own, in the scope of the scraper."""
    bench = Bench(scrape_event)
    await bench.scraping.measure()
    metrics, logs = bench.sink.batches
    assert (metrics.signal, logs.signal, logs.items) == (Signal.METRICS, Signal.LOGS, 1)
    (resource,) = logs.proto().resource_logs
    (scope,) = resource.scope_logs
    (record,) = scope.log_records
    assert scope.scope.name == "sluiceway/receivers/x/disk"
    assert (record.event_name, record.body.string_value, record.time_unix_nano) == ("disk.failed", "sda failed", 7)
    assert (record.severity_number, record.severity_text) == (17, "ERROR")


async def test_what_happened_is_offered_again_when_it_is_refused() -> None:
    """In its order and once; only what still waits at the end is dropped."""
    happened = iter("abcd")

    async def scrape(to: Scrape) -> None:
        to.event("x", next(happened))

    bench = Bench(scrape)
    bench.sink.error = RefusedError("full")
    async with bench.scraping:
        await bench.scraping.measure()
        await bench.scraping.measure()
        bench.sink.error = None
        await bench.scraping.measure()
        assert (bodies(bench), bench.dropped) == (["a", "b", "c"], [])
        bench.sink.error = RefusedError("full")
        await bench.scraping.measure()
    assert (bodies(bench), bench.dropped) == (["a", "b", "c"], [(1, Reason.SHUTDOWN)])


async def test_what_happened_is_dropped_when_it_is_refused_for_good() -> None:
    """It is counted, and not offered again."""
    bench = Bench(scrape_event)
    bench.sink.error = PermanentError("no")
    await bench.scraping.measure()
    bench.sink.error = None
    await bench.scraping.measure()
    assert bodies(bench) == ["sda failed"]
    assert (1, Reason.PERMANENT_ERROR) in bench.dropped


async def test_leaving_waits_for_what_is_being_pushed() -> None:
    """It is neither cut off nor sent twice."""
    bench = Bench(scrape_some, "{initial_delay: 0s}")
    bench.sink.gate = asyncio.Event()
    await bench.scraping.__aenter__()
    await bench.clock.advance(0)
    leaving = asyncio.create_task(bench.scraping.__aexit__(None, None, None))
    await settle()
    assert not leaving.done()
    bench.sink.gate.set()
    await leaving
    assert (len(bench.sink.batches), bench.dropped) == (1, [])


def test_what_is_not_as_declared_is_found() -> None:
    """The check that receivers' tests rely on fails when it should."""
    from sluiceway.otlp.metrics import MetricsWriter

    writer = MetricsWriter()
    resource = writer.resource()
    resource.gauge("disk.reads", "{read}").add(1.5, {"x": "y"}, time=1)
    resource.gauge("unknown").add(1, time=1)
    with pytest.raises(AssertionError) as caught:
        check_metrics(COMPONENT, [writer.batch()])
    for text in ("is a gauge of {read}", "has attributes {'x': 'y'}", "is as_double", "unknown is not declared"):
        assert text in str(caught.value)


def test_a_name_is_declared_once() -> None:
    """Two metrics of one name would be taken for each other."""
    with pytest.raises(ValueError, match="declared twice"):
        Declares(LOAD, LOAD)


async def test_events_of_a_scraper_that_fails_late_are_handed_on() -> None:
    """A source tells them once; the points are lost with the failure."""

    async def scrape(to: Scrape) -> None:
        to.record(QUEUE, 1)
        to.event("told.once", "x")
        raise ConnectionError("gone")

    bench = Bench(scrape)
    await bench.scraping.measure()
    assert [batch.signal for batch in bench.sink.batches] == [Signal.LOGS]


async def test_sums_of_different_starts_become_one_point() -> None:
    """Without the attribute that told them apart, since the earliest start."""

    async def scrape(to: Scrape) -> None:
        to.record(READS, 1, {"device": "a"}, start=5)
        to.record(READS, 2, {"device": "b"}, start=7)

    bench = Bench(scrape, "metrics: {disk.reads: {attributes: []}}")
    await bench.scraping.measure()
    (point,) = [p["point"] for p in points(bench.sink.batches)["disk.reads"]]
    assert (point.as_int, point.start_time_unix_nano) == (3, 5)
