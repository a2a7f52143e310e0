"""A real Prometheus gives back exactly what was sent."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterator
from random import Random
from urllib.parse import quote

import pytest

from sluiceway.component import PartialSuccess, SystemClock
from sluiceway.errors import RetryableError
from sluiceway.exporters.prometheus_remote_write.series import SeriesNames
from sluiceway.otlp import join
from sluiceway.otlp.metrics import Exemplar, ExponentialHistogram, Histogram, Temporality
from sluiceway.pipelines.branches import ExporterBranch
from sluiceway.pipelines.ledger import Account
from sluiceway.prometheus.translation import Rules
from tests.exporters.prometheus_remote_write.bench import exporter as timeless
from tests.exporters.prometheus_remote_write.bench import gauges, metrics, wrapped
from tests.exporters.prometheus_remote_write.model import Model
from tests.exporters.prometheus_remote_write.reading import number
from tests.ports import free_port
from tests.servers.prometheus import PrometheusServer, fetch, prometheus_server

MESSAGES = ("prometheus.WriteRequest", "io.prometheus.write.v2.Request")
RECEIVER = ("--web.enable-remote-write-receiver",)
SECOND = 1_000_000_000
DELTA = Temporality.DELTA
ADD_UP = "delta_to_cumulative: {}"


NEW = os.environ.get("SLUICEWAY_PROMETHEUS")
"""The program of a Prometheus 3, if there is one: Debian's takes remote write 1.0 only."""
PEERS = [("prometheus.WriteRequest", None), *(((message, NEW) for message in MESSAGES) if NEW else ())]


@pytest.fixture(scope="module", params=PEERS, ids=lambda peer: f"{peer[0]}{' to 3' if peer[1] else ''}")
def server(request, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    """A Prometheus that takes remote write; `message` is what it is sent."""
    message, binary = request.param
    folder = tmp_path_factory.mktemp("prometheus")
    with prometheus_server(folder, "{}", "exemplar-storage", flags=RECEIVER, binary=binary) as running:
        running.message = f"protobuf_message: {message}"
        yield running


def ago(seconds: float) -> int:
    """A moment in whole milliseconds, in nanoseconds."""
    return (int(time.time() * 1000) - int(seconds * 1000)) * 1_000_000


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something that only the server's answers bring."""
    while not holds():  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.01)


def url(server: PrometheusServer) -> str:
    """Where it takes remote write."""
    return f"{server.url}/api/v1/write"


def exporter(server: PrometheusServer, more: str = ""):
    """The exporter alone, on the server's own clock."""
    return timeless(url(server), f"{server.message}, {more}", clock=SystemClock())


async def send(server: PrometheusServer, *batches, more: str = "") -> None:
    """Send batches one after the other."""
    async with exporter(server, more) as out:
        for batch in batches:
            assert await out.consume(batch) is None


def samples(server: PrometheusServer, selector: str) -> dict[tuple[str, ...], list[tuple[int, float]]]:
    """All samples of the last hour by the values of what labels differ: milliseconds and value."""
    found = server.query(f"{selector}[1h]")
    varied = [name for name in ("room", "le", "quantile", "path") if any(name in one["metric"] for one in found)]
    return {
        tuple(one["metric"].get(name, "") for name in varied): [
            (round(at * 1000), float(number)) for at, number in one["values"]
        ]
        for one in found
    }


def native(server: PrometheusServer, name: str):
    """The newest native histogram of a series, as the API shows it."""
    (found,) = server.query(name)
    return found["histogram"][1]


async def test_gauges_and_sums_are_what_was_sent(server):
    """Names, labels, times and values; a sum that may fall is no counter."""
    first, second = ago(20), ago(10)

    def write(into):
        for at, value in ((first, -2.5), (second, 1e300)):
            into.gauge("room.temperature", "Cel").add(value, {"room": "a.b"}, time=at)
            into.sum("http.requests", "{request}").add(int(abs(value) % 1e9), {"path": "/"}, time=at, start=ago(60))
            into.sum("queue.length", monotonic=False).add(3, time=at)

    await send(server, metrics(write))
    (found,) = server.query("room_temperature_celsius")
    assert found["metric"] == {
        "__name__": "room_temperature_celsius", "room": "a.b", "job": "web/shop", "instance": "a1",
        "otel_scope_name": "bench", "otel_scope_version": "1",
    }  # fmt: skip
    at = [first // 1_000_000, second // 1_000_000]
    assert samples(server, "room_temperature_celsius") == {("a.b",): [(at[0], -2.5), (at[1], 1e300)]}
    assert samples(server, "http_requests_total") == {("/",): [(at[0], 2.0), (at[1], float(int(1e300 % 1e9)))]}
    assert samples(server, "queue_length") == {(): [(at[0], 3.0), (at[1], 3.0)]}
    (info,) = server.query("target_info")
    assert info["metric"] == {"__name__": "target_info", "job": "web/shop", "instance": "a1", "host_name": "h"}


async def test_delta_sums_become_cumulative(server):
    """Each batch adds to what was there."""

    def batch(at, value):
        def write(into):
            into.sum("jobs", temporality=DELTA).add(value, time=at, start=at - SECOND)
            into.sum("joules", temporality=DELTA).add(value / 4, time=at, start=at - SECOND)

        return metrics(write)

    times = [ago(30), ago(20), ago(10)]
    await send(server, *(batch(at, value) for at, value in zip(times, (5, 7, 2**40), strict=True)), more=ADD_UP)
    expected = [5, 12, 12 + 2**40]
    assert samples(server, "jobs_total") == {(): [(at // 1_000_000, n) for at, n in zip(times, expected, strict=True)]}
    assert [value for _, value in samples(server, "joules_total")[()]] == [n / 4 for n in expected]


@pytest.mark.parametrize("temporality", list(Temporality))
async def test_histograms_are_what_was_sent(server, temporality):
    """Buckets hold all that is not above their bound; a quantile is what it has to be."""
    if temporality not in (Temporality.DELTA, Temporality.CUMULATIVE):
        pytest.skip("no temporality")
    name = f"latency.{temporality.name.lower()}"

    def batch(at, counts, total):
        def write(into):
            histogram = into.histogram(name, "s", temporality=temporality)
            histogram.add_histogram(Histogram((0.005, 1, 2.5), counts, sum=total), time=at, start=ago(60))

        return metrics(write)

    parts = [(10, 20, 0, 1), (1, 2, 3, 4)]
    if temporality is Temporality.CUMULATIVE:
        parts[1] = tuple(map(sum, zip(*parts, strict=True)))
    await send(server, *(batch(ago(20 - i), one, 4.5 * (i + 1)) for i, one in enumerate(parts)), more=ADD_UP)
    base = f"latency_{temporality.name.lower()}_seconds"
    buckets = {le: [value for _, value in found] for (le,), found in samples(server, f"{base}_bucket").items()}
    assert buckets == {"0.005": [10, 11], "1": [30, 33], "2.5": [30, 36], "+Inf": [31, 41]}
    assert [value for _, value in samples(server, f"{base}_count")[()]] == [31, 41]
    last = 9.0 if temporality is Temporality.CUMULATIVE else 13.5
    assert [value for _, value in samples(server, f"{base}_sum")[()]] == [4.5, last]
    (quantile,) = server.query(f"histogram_quantile(0.5, {base}_bucket)")
    assert float(quantile["value"][1]) == pytest.approx(0.005 + (20.5 - 11) / 22 * 0.995)


@pytest.mark.parametrize("scale", [-4, 0, 3, 8, 12, 20])
async def test_exponential_histograms_become_native_ones(server, scale):
    """Each bucket has the bounds and the number that OpenTelemetry's rule gives it; finer scales are made coarser."""
    name, at = f"native{scale + 4}", ago(5)
    offset = {-4: -2, 0: 5, 3: -7, 8: 100, 12: 3000, 20: 900_000}[scale]
    counts, negative = (3, 0, 0, 0, 0, 4, 1, 0, 2), (1, 2)
    value = ExponentialHistogram(scale, (offset, counts), (offset + 1, negative), zero_count=6, sum=12.5)

    def write(into):
        into.exponential(name).add_exponential(value, time=at)

    await send(server, metrics(write))
    shown = native(server, name)
    coarse, shift = min(scale, 8), max(scale - 8, 0)
    base = 2.0**2.0**-coarse
    expected: dict[float, int] = {}
    for sign, start, numbers in ((1, offset, counts), (-1, offset + 1, negative)):
        for place, count in enumerate(numbers):
            if count:
                upper = sign * base ** (((start + place) >> shift) + 1)
                expected[upper] = expected.get(upper, 0) + count
    found = {float(high) if float(high) > 0 else float(low): int(n) for _, low, high, n in shown["buckets"]}
    zero = [int(n) for _, low, high, n in shown["buckets"] if float(low) == -float(high)]
    assert zero == [6]
    assert sorted(n for at, n in found.items() if abs(at) > 1e-100) == sorted(expected.values())
    for upper, count in expected.items():
        assert [n for at, n in found.items() if at == pytest.approx(upper, rel=1e-9)] == [count]
    assert float(server.query(f"histogram_count({name})")[0]["value"][1]) == 6 + 10 + 3
    assert float(server.query(f"histogram_sum({name})")[0]["value"][1]) == 12.5
    (quantile,) = server.query(f"histogram_quantile(1, {name})")
    assert float(quantile["value"][1]) == pytest.approx(max(expected), rel=1e-9)


async def test_delta_exponential_histograms_become_cumulative(server):
    """Also where their scales differ: the sum has the coarser one."""
    times = [ago(30), ago(20), ago(10)]
    values = [
        ExponentialHistogram(3, (0, (1, 1, 1, 1)), sum=1.0),
        ExponentialHistogram(1, (5, (2,)), zero_count=1, sum=2.0),
        ExponentialHistogram(20, (2**20, (4,)), sum=3.0),
    ]

    def batch(at, value):
        return metrics(
            lambda into: into.exponential("grown", temporality=DELTA).add_exponential(value, time=at, start=at - 1)
        )

    await send(server, *map(batch, times, values), more=ADD_UP)
    shown = native(server, "grown")
    assert (shown["count"], shown["sum"]) == ("11", "6")
    # at scale 1 the four buckets from 1 on are the one up to sqrt(2); 2 ** 20 at scale 20 is the one above 2
    found = {round(float(high), 6): n for _, low, high, n in shown["buckets"] if float(low) > 0}
    assert found == {1.414214: "4", 2.828427: "4", 8.0: "2"}


async def test_summaries_are_what_was_sent(server):
    """A series for each quantile, the sum and the number."""
    at = ago(5)

    def write(into):
        into.summary("rpc.time", "ms").add_summary(10, 123.5, [(0.0, 1.0), (0.5, 2.5), (0.99, 7.0)], time=at)

    await send(server, metrics(write))
    found = {quantile: values[0][1] for (quantile,), values in samples(server, "rpc_time_milliseconds").items()}
    assert found == {"0": 1.0, "0.5": 2.5, "0.99": 7.0}
    assert samples(server, "rpc_time_milliseconds_sum") == {(): [(at // 1_000_000, 123.5)]}
    assert samples(server, "rpc_time_milliseconds_count") == {(): [(at // 1_000_000, 10.0)]}


async def test_exemplars_arrive(server):
    """With their trace, at the bucket they fell into."""
    at = ago(5)
    exemplar = Exemplar(0.7, time=at, trace_id=bytes(range(16)), span_id=bytes(range(8)), attributes={"user": "u1"})

    def write(into):
        histogram = into.histogram("traced", "s")
        histogram.add_histogram(Histogram((0.5, 1), (0, 1, 0), sum=0.7), time=at, exemplars=[exemplar])

    await send(server, metrics(write))
    place = f"query=traced_seconds_bucket&start={at / 1e9 - 60}&end={at / 1e9 + 60}"
    (found,) = json.loads(fetch(f"{server.url}/api/v1/query_exemplars?{place}"))["data"]
    assert found["seriesLabels"]["le"] == "1"
    (one,) = found["exemplars"]
    assert one["labels"] == {"trace_id": bytes(range(16)).hex(), "span_id": bytes(range(8)).hex(), "user": "u1"}
    assert (one["value"], round(one["timestamp"] * 1000)) == ("0.7", at // 1_000_000)


async def test_points_without_value_end_their_series(server):
    """Stale markers: Prometheus shows the series no more, though the last value is new enough."""
    gone = {"time": ago(5), "flags": 1}

    def first(into):
        into.gauge("ending").add(1, time=ago(10))
        into.histogram("ending.time").add_histogram(Histogram((1,), (1, 2), sum=3.0), time=ago(10))
        into.exponential("ending.native").add_exponential(ExponentialHistogram(0, (0, (1,)), sum=1.0), time=ago(10))

    def last(into):
        into.gauge("ending").add(0, **gone)
        into.histogram("ending.time").add_histogram(Histogram((), ()), **gone)
        into.exponential("ending.native").add_exponential(ExponentialHistogram(0), **gone)

    await send(server, metrics(first))
    async with exporter(server) as out:
        await out.consume(metrics(first))  # the same once more changes nothing
        assert len(server.query('{__name__=~"ending.*"}')) == 6
        await out.consume(metrics(last))
    assert server.query('{__name__=~"ending.*"}') == []


async def test_utf8_and_plain_names_follow_the_strategy(server):
    """Without suffixes a name is what it was, but for what Prometheus does not take."""

    def write(into):
        into.sum("plain.name", "s").add(1, {"a-b": "x", "a.b": "y"}, time=ago(5))

    await send(server, metrics(write), more="add_metric_suffixes: false, namespace: ns, external_labels: {dc: eu}")
    (found,) = server.query("ns_plain_name")
    assert (found["metric"]["a_b"], found["metric"]["dc"]) == ("x;y", "eu")


async def test_what_prometheus_calls_out_of_order_costs_nothing_else(server):
    """A late sample is refused with all of its request; in halves the others arrive, and one point is lost."""
    await send(server, gauges(ago(5), name="late"))
    good = gauges(ago(4), 40, name="intime")
    late = gauges(ago(60), name="late")
    assert await deliver(server, join([good, late])) == (40, 1)
    assert len(samples(server, "intime")) == 40


async def deliver(server: PrometheusServer, batch, more: str = "") -> tuple[int, int]:
    """Send a batch through all that stands around the exporter: what was delivered, and what was dropped."""
    account, out = Account("metrics", "out"), wrapped(url(server), f"{server.message}, {more}")
    async with out:
        await ExporterBranch(out, account).consume(batch)
    return account.delivered, sum(account.dropped.values())


@pytest.mark.parametrize("largest", [3_000_000, 30_000])
async def test_many_late_points_cost_nothing_else(server, largest):
    """Two hundred of a thousand, in one request or in several: each is lost alone."""
    at, name = ago(4), f"mixed_{largest}"
    late, rooms = ago(60), [f"r{number}" for number in range(1000)]

    def newer(into):
        for room in rooms[::5]:
            into.gauge(name).add(1, {"room": room}, time=at)

    def older(into):
        for room in rooms:
            into.gauge(name).add(2, {"room": room}, time=late)

    await send(server, metrics(newer))
    assert await deliver(server, metrics(older), f"max_batch_size_bytes: {largest}") == (800, 200)
    found = samples(server, name)
    assert sorted(found) == [(room,) for room in sorted(rooms)]
    for place, room in enumerate(rooms):
        assert found[room,] == [(late // 10**6, 2.0) if place % 5 else (at // 10**6, 1.0)]


async def test_of_two_sources_of_one_series_the_newest_point_is_kept(server):
    """Resources without an instance: at one time Prometheus would keep the first, and say that it took both."""
    at = ago(5)
    batches = [
        metrics(
            lambda into, n=n: into.gauge("shared").add(n, time=at), resource={"service.name": "shop", "host": f"h{n}"}
        )
        for n in range(3)
    ]
    assert await deliver(server, join(batches)) == (1, 2)
    assert samples(server, "shared") == {(): [(at // 10**6, 2.0)]}


def crowd(into, random: Random, name: str, start: int) -> None:
    """Points of metrics of several types that share series and milliseconds."""
    for _ in range(random.randrange(1, 12)):
        at = start + random.randrange(6) * SECOND + random.choice([0, 1, 500_000])
        value, room = random.randrange(3), {"room": f"r{random.randrange(3)}"}
        match random.randrange(4):
            case 0:
                into.gauge(name).add(value, room, time=at)
            case 1:
                into.sum(name).add(value, room, time=at)
            case 2:
                into.histogram(name).add_histogram(Histogram((1.0,), (value, 2), sum=1.0), room, time=at)
            case 3:
                point = ExponentialHistogram(0, (0, (value, 1)), sum=1.0)
                into.exponential(name).add_exponential(point, room, time=at)


async def test_whatever_shares_series_nothing_is_lost_unsaid(server):
    """What Prometheus then has is what the plain model keeps, to the sample; all else was counted."""
    for seed in range(20):
        random, name, start = Random(seed), f"crowd{seed}x", ago(40)
        batch = join([metrics(lambda into: crowd(into, random, name, start)) for _ in range(3)])  # noqa: B023
        expected, _, carried = Model(SeriesNames(Rules()), second=False, now=ago(0)).encode(batch.proto())
        assert await deliver(server, batch) == (carried.count(True), carried.count(False))
        found = {
            tuple(sorted(one["metric"].items())): (
                [(round(at * 1000), float(value)) for at, value in one.get("values", ())],
                [(round(at * 1000), float(told["count"])) for at, told in one.get("histograms", ())],
            )
            for one in server.query(f'{{__name__=~"{name}.*"}}[1h]')
        }
        assert found == {
            labels: (
                [(at, number(bits)) for at, _, bits in one.samples],
                [(at, float(told[0])) for at, _, told in one.histograms],
            )
            for labels, one in expected.items()
            if dict(labels)["__name__"] != "target_info"
        }


@pytest.mark.parametrize(("value", "outcome"), [(1, (1, 0)), (2, (0, 1))])
async def test_a_millisecond_that_has_a_value_keeps_it(server, value, outcome):
    """In a later batch the same value is taken as said already, and another one refused."""
    at, name = ago(5), f"again_{value}"

    def batch(time, value):
        return metrics(lambda into: into.gauge(name).add(value, time=time))

    assert await deliver(server, batch(at, 1)) == (1, 0)
    assert await deliver(server, batch(at + 1000, value)) == outcome
    assert samples(server, name) == {(): [(at // 10**6, 1.0)]}


async def test_deltas_beside_late_points_are_all_in_the_sum(server):
    """The request is refused and goes in halves, and every delta is added once."""
    times = [ago(30 - number) for number in range(3)]

    def write(into):
        for at in times:
            into.sum("worked", temporality=DELTA).add(5, time=at, start=at - 1)
        into.gauge("stuck").add(1, time=ago(60))

    await send(server, metrics(lambda into: into.gauge("stuck").add(1, time=ago(5))))
    assert await deliver(server, metrics(write), ADD_UP) == (3, 1)
    assert samples(server, "worked_total") == {(): [(at // 10**6, 5.0 * n) for n, at in enumerate(times, 1)]}


async def test_a_point_from_the_future_does_not_stop_the_rest(server):
    """Prometheus would take it, and then nothing else, as all is too old beside it."""

    def write(into):
        into.gauge("ahead").add(1, time=ago(-86_400))
        into.gauge("ahead").add(2, time=ago(5))

    assert await deliver(server, metrics(write)) == (1, 1)
    assert [value for _, value in samples(server, "ahead")[()]] == [2.0]
    assert await deliver(server, gauges(ago(3), name="after_it")) == (1, 0)


async def test_a_server_without_a_receiver_is_waited_for(tmp_path):
    """404 is a setting that somebody mends; the text says which."""
    with prometheus_server(tmp_path, "{}") as closed:
        async with timeless(url(closed), clock=SystemClock()) as out:
            with pytest.raises(RetryableError, match=r"--web\.enable-remote-write-receiver"):
                await out.consume(gauges(ago(1)))


async def test_a_server_that_died_gets_everything_once_and_in_order(tmp_path):
    """What was sent meanwhile waits, and follows when it is back, each series in its order."""
    port, account = free_port(), Account("metrics", "out")
    times = [ago(60 - number) for number in range(40)]
    retry = "retry_on_failure: {initial_interval: 20ms, max_interval: 100ms}"
    out = wrapped(f"http://127.0.0.1:{port}/api/v1/write", retry)
    async with out, asyncio.timeout(60):
        branch = ExporterBranch(out, account)
        with prometheus_server(tmp_path, "{}", flags=RECEIVER, port=port) as first:
            for at in times[:10]:
                await branch.consume(gauges(at, 3, value=at / SECOND))
            await until(lambda: account.delivered == 30)
            assert len(first.query("temperature")) == 3
        for at in times[10:30]:
            await branch.consume(gauges(at, 3, value=at / SECOND))
        with prometheus_server(tmp_path, "{}", flags=RECEIVER, port=port) as again:
            for at in times[30:]:
                await branch.consume(gauges(at, 3, value=at / SECOND))
            await until(lambda: account.delivered == 120)
            found = samples(again, "temperature")
    assert found == {(f"r{room}",): [(at // 1_000_000, at / SECOND + room) for at in times] for room in range(3)}
    assert not account.dropped


async def test_a_partial_rejection_is_told(server):
    """Delta points without `delta_to_cumulative` are counted and given back; the rest arrives."""

    def write(into):
        into.gauge("carried").add(1, time=ago(5))
        into.sum("refused", temporality=DELTA).add(1, time=ago(5))

    async with exporter(server) as out:
        told = await out.consume(metrics(write))
    assert isinstance(told, PartialSuccess)
    assert (told.rejected, told.batch.items) == (1, 1)
    assert "delta_to_cumulative" in told.message
    assert len(server.query("carried")) == 1
    assert not server.query(quote("refused_total"))
