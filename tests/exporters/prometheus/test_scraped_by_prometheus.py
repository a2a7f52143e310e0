"""A real Prometheus scrapes the exporter, and knows exactly what was sent."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from tests.exporters.prometheus.bench import CUMULATIVE, DELTA, SECOND, Shop, attributes, histogram, number
from tests.servers import program
from tests.servers.prometheus import PrometheusServer, fetch, prometheus_server

FORMATS = {"text": ("", False), "openmetrics": ("enable_open_metrics: true", False), "protobuf": ("", True)}
RESOURCE = {"service.name": "shop", "service.namespace": "eu", "service.instance.id": "i-1", "host.name": "h1"}
SCOPE = {"name": "lib", "version": "1.2", "team": "core"}
OWN = {
    "job": "eu/shop", "instance": "i-1", "otel_scope_name": "lib", "otel_scope_version": "1.2",
    "otel_scope_team": "core",
}  # fmt: skip
HOSTILE = 'a "quoted" \\ back\nnew line, comma} # é 日本 \t\r'


def exponential(name: str, *, temporality: int = CUMULATIVE, time: int, start: int = 0) -> Metric:
    """An exponential histogram with negative, zero and positive values, and a gap."""
    metric = Metric(name=name, unit="s")
    metric.exponential_histogram.aggregation_temporality = temporality
    point = metric.exponential_histogram.data_points.add(
        time_unix_nano=time, start_time_unix_nano=start, count=17, sum=12.25, scale=3, zero_count=2
    )
    point.positive.offset, point.negative.offset = -3, 1
    point.positive.bucket_counts.extend([1, 0, 0, 0, 0, 4, 2])
    point.negative.bucket_counts.extend([3, 0, 5])
    return metric


def summary(name: str, *, time: int) -> Metric:
    """A summary of two quantiles."""
    metric = Metric(name=name, unit="ms")
    point = metric.summary.data_points.add(time_unix_nano=time, count=9, sum=33.5, attributes=attributes({"q": "x"}))
    for quantile, value in ((0.5, 3.25), (0.99, 1e-7)):
        point.quantile_values.add(quantile=quantile, value=value)
    return metric


def everything(now: int) -> list[Metric]:
    """Metrics of every type."""
    first, second = now - 2 * SECOND, now - SECOND
    return [
        number("room.temp", -21.625, {"room.name": HOSTILE, "n": 5}, unit="Cel", time=now),
        number("huge", 2**53 + 2, time=now), number("tiny", 5e-324, time=now), number("big", 1.7e308, time=now),
        number("queue", 7, sum=CUMULATIVE, monotonic=False, time=now),
        number("requests", 123456789012, sum=CUMULATIVE, time=now, start=first, unit="{request}"),
        number("io", 10, sum=DELTA, time=second, start=first, unit="By"),
        number("io", 32, sum=DELTA, time=now, start=second, unit="By"),
        number("io", 32, sum=DELTA, time=now, start=second, unit="By"),
        histogram("latency", [1, 0, 5, 2], [0.005, 0.1, 2.5], 7.75, {"le": "mine"}, time=now, unit="s"),
        histogram("size", [1, 2], [10.0], 3.0, temporality=DELTA, time=second, start=first),
        histogram("size", [3, 4], [10.0], 4.5, temporality=DELTA, time=now, start=second),
        exponential("spread", time=now), exponential("adds", temporality=DELTA, time=second, start=first),
        exponential("adds", temporality=DELTA, time=now, start=second), summary("wait", time=now),
    ]  # fmt: skip


@asynccontextmanager
async def scraped(
    folder: Path, text: str, *features: str, native: bool
) -> AsyncIterator[tuple[Shop, PrometheusServer]]:
    """An exporter, and a Prometheus that scrapes it."""
    async with Shop(text) as shop:
        target = f"127.0.0.1:{shop.exporter.port}"
        configuration = (
            "{global: {scrape_interval: 300ms, scrape_timeout: 300ms}, scrape_configs: "
            f"[{{job_name: s, honor_labels: true, static_configs: [{{targets: ['{target}']}}]}}]}}"
        )
        server = prometheus_server(folder, configuration, *features, native=native)
        running = await asyncio.to_thread(server.__enter__)
        try:
            yield shop, running
        finally:
            await asyncio.to_thread(server.__exit__, None, None, None)


async def asked(server: PrometheusServer, expression: str) -> list[dict[str, Any]]:
    """What Prometheus knows, as soon as it knows something."""
    deadline = time.monotonic() + 20
    while not (found := await asyncio.to_thread(server.query, expression)):
        assert time.monotonic() < deadline, expression
        await asyncio.sleep(0.05)
    return found


async def known(server: PrometheusServer, name: str) -> dict[tuple[tuple[str, str], ...], float]:
    """The series of a name, by their labels without those that all have."""
    found = await asked(server, name)
    assert all(OWN.items() <= series["metric"].items() for series in found), found
    return {
        tuple(sorted((k, v) for k, v in series["metric"].items() if k not in OWN and k != "__name__")): float(
            series["value"][1]
        )
        for series in found
    }


@pytest.mark.parametrize("format", FORMATS)
async def test_prometheus_knows_what_was_sent(tmp_path: Path, format: str) -> None:
    """In each format every value is that which was sent, deltas added up and each counted once."""
    text, native = FORMATS[format]
    async with scraped(tmp_path, text, native=native) as (shop, server):
        assert await shop.send(*everything(time.time_ns()), resource=RESOURCE, scope=SCOPE) is None
        labels = (("n", "5"), ("room_name", HOSTILE))
        assert await known(server, "room_temp_celsius") == {labels: -21.625}
        assert await known(server, "huge") == {(): 2.0**53 + 2}
        assert await known(server, "tiny") == {(): 5e-324}
        assert await known(server, "big") == {(): 1.7e308}
        assert await known(server, "queue") == {(): 7}
        assert await known(server, "requests_total") == {(): 123456789012}
        assert await known(server, "io_bytes_total") == {(): 42}
        mine = ("exported_le", "mine")
        bounds = {"0.005": 1, "0.1": 1, "2.5": 6, "+Inf": 8}
        assert await known(server, "latency_seconds_bucket") == {(mine, ("le", le)): n for le, n in bounds.items()}
        assert await known(server, "latency_seconds_sum") == {(mine,): 7.75}
        assert await known(server, "latency_seconds_count") == {(mine,): 8}
        ten = "10.0" if format == "openmetrics" or native else "10"
        assert await known(server, "size_bucket") == {(("le", ten),): 4, (("le", "+Inf"),): 10}
        assert await known(server, "size_sum") == {(): 7.5}
        wait = {(("q", "x"), ("quantile", "0.5")): 3.25, (("q", "x"), ("quantile", "0.99")): 1e-7}
        assert await known(server, "wait_milliseconds") == wait
        assert await known(server, "wait_milliseconds_sum") == {(("q", "x"),): 33.5}
        assert await known(server, "wait_milliseconds_count") == {(("q", "x"),): 9}
        target = (await asked(server, "target_info"))[0]["metric"]
        assert target == {"__name__": "target_info", "host_name": "h1", "instance": "i-1", "job": "eu/shop"}
        up = await asked(server, "up")
        assert [series["value"][1] for series in up] == ["1"]
        if not native:
            await check_classic(server)
        if format == "text":  # as observations below zero have no sum in OpenMetrics, and no count without it
            assert await known(server, "spread_seconds_sum") == {(): 12.25}
            assert await known(server, "adds_seconds_count") == {(): 34}


async def check_classic(server: PrometheusServer) -> None:
    """In text, exponential histograms are classic ones with powers of two for bounds."""
    found = {float(dict(labels)["le"]): n for labels, n in (await known(server, "spread_seconds_bucket")).items()}
    assert found == {-2.0: 0, -1.0: 8, 0.0: 10, 0.5: 10, 1.0: 11, 2.0: 17, float("inf"): 17}
    adds = {float(dict(labels)["le"]): n for labels, n in (await known(server, "adds_seconds_bucket")).items()}
    assert adds == {bound: 2 * count for bound, count in found.items()}


async def test_native_histograms_arrive(tmp_path: Path) -> None:
    """In protobuf exponential histograms are native ones: count, sum, and the buckets where they were."""
    async with scraped(tmp_path, "", native=True) as (shop, server):
        await shop.send(*everything(time.time_ns()), resource=RESOURCE, scope=SCOPE)
        assert float((await asked(server, "histogram_count(spread_seconds)"))[0]["value"][1]) == 17
        assert float((await asked(server, "histogram_sum(spread_seconds)"))[0]["value"][1]) == 12.25
        assert float((await asked(server, "histogram_count(adds_seconds)"))[0]["value"][1]) == 34
        buckets = (await asked(server, "spread_seconds"))[0]["histogram"][1]["buckets"]
        base = 2 ** (1 / 8)
        expected = [
            (-(base**4), -(base**3), 5), (-(base**2), -base, 3), (-1e-128, 1e-128, 2), (base**-3, base**-2, 1),
            (base**2, base**3, 4), (base**3, base**4, 2),
        ]  # fmt: skip
        for (_, low, high, count), (lower, upper, number_) in zip(buckets, expected, strict=True):
            assert (float(low), float(high)) == pytest.approx((lower, upper), rel=1e-12)
            assert float(count) == number_
        doubled = (await asked(server, "adds_seconds"))[0]["histogram"][1]["buckets"]
        assert [float(bucket[3]) for bucket in doubled] == [10, 6, 4, 2, 8, 4]


@pytest.mark.parametrize("native", [False, True])
async def test_exemplars_arrive(tmp_path: Path, native: bool) -> None:
    """By OpenMetrics and by protobuf Prometheus learns the exemplars of counters and buckets."""
    now = time.time_ns()
    counter = number("hits", 5, sum=CUMULATIVE, time=now)
    latency = histogram("latency", [1, 1], [1.0], 9.0, time=now)
    for point, value in ((counter.sum.data_points[0], 2), (latency.histogram.data_points[0], 8)):
        point.exemplars.add(as_int=value, time_unix_nano=now, trace_id=b"\x01" * 16, span_id=b"\x02" * 8)
    text = "enable_open_metrics: true"
    async with scraped(tmp_path, text, "exemplar-storage", native=native) as (shop, server):
        await shop.send(counter, latency)
        await asked(server, "hits_total")
        url = f"{server.url}/api/v1/query_exemplars?query=%7B__name__%3D~%22.%2B%22%7D&start=0&end={now / 1e9 + 60}"
        found = json.loads(await asyncio.to_thread(fetch, url))["data"]
        assert {series["seriesLabels"]["__name__"]: series["exemplars"][0]["value"] for series in found} == {
            "hits_total": "2", "latency_bucket": "8",
        }  # fmt: skip
        ids = {"trace_id": "01" * 16, "span_id": "02" * 8}
        assert all(series["exemplars"][0]["labels"] == ids for series in found)


async def test_promtool_has_no_complaint() -> None:
    """Prometheus' own linter finds nothing wrong with the page, but for help that nobody has sent."""
    promtool = program("promtool", "prometheus")
    async with Shop() as shop:
        metrics = [metric for metric in everything(time.time_ns()) if metric.name != "wait"]
        for metric in metrics:
            metric.description = f"What {metric.name} is,\nin \\ two lines."
        await shop.send(*metrics, resource=RESOURCE, scope=SCOPE)
        page = await shop.get()
        done = await asyncio.to_thread(
            subprocess.run, [promtool, "check", "metrics"], input=page, capture_output=True, check=False
        )
        assert (done.returncode, done.stdout + done.stderr) == (0, b""), done
