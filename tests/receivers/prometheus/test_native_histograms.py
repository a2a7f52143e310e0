"""Native histograms, which only protobuf has, beside a real Prometheus that scrapes the same target."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sluiceway.otlp.anyvalue import varint
from sluiceway.receivers.prometheus.protobuf import _message
from sluiceway.receivers.prometheus.target import Target
from tests.receivers.prometheus.bench import Bench, Page, ended, until, value
from tests.servers.prometheus import PrometheusServer, fetch, prometheus_server

QUERY = "{}/api/v1/query?query=h"
CONTENT_TYPE = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"


def family(**more: Any) -> bytes:
    """A family with one native histogram: eight values below and above zero, in buckets with gaps."""
    made = _message()(name="h", help="Sizes.", type=4)
    metric = made.metric.add()
    metric.label.add(name="k", value="v")
    histogram = metric.histogram
    histogram.sample_count, histogram.sample_sum, histogram.schema = 12, 20.5, 1
    histogram.zero_threshold, histogram.zero_count = 0.001, 2
    for offset, length in ((-2, 2), (3, 1)):
        histogram.positive_span.add(offset=offset, length=length)
    histogram.positive_delta.extend([1, 2, -1])  # 1, 3, 2
    histogram.negative_span.add(offset=1, length=1)
    histogram.negative_delta.extend([4])
    histogram.created_timestamp.seconds = 1_600_000_000
    for key, number in more.items():
        setattr(histogram, key, number)
    return varint(made.ByteSize()) + made.SerializeToString()


def shows_buckets(server: PrometheusServer) -> bool:
    """Whether Prometheus knows the histogram."""
    return b"buckets" in fetch(QUERY.format(server.url))


def buckets(point: Any) -> list[tuple[float, float, float]]:
    """The buckets that hold something: lower bound, upper bound, count."""
    base = 2 ** (2**-point.scale)
    found = [(-point.zero_threshold, point.zero_threshold, point.zero_count)]
    for sign, side in ((1, point.positive), (-1, point.negative)):
        for index, count in enumerate(side.bucket_counts, side.offset):
            low, high = sorted((sign * base**index, sign * base ** (index + 1)))
            found.append((low, high, count))
    return sorted(bucket for bucket in found if bucket[2])


async def test_native_histograms_are_those_of_prometheus(tmp_path: Path) -> None:
    """Bounds, counts and sum of the exponential histogram are those that Prometheus has for the native one."""
    async with Page(family(), CONTENT_TYPE) as page:
        job = f"[{{job_name: api, static_configs: [{{targets: ['{page.endpoint}']}}]}}]"
        async with Bench(job) as bench:
            found = await bench.next()
        yaml = f"{{global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}, scrape_configs: {job}}}"
        with prometheus_server(tmp_path, yaml) as server:
            await until(partial(shows_buckets, server))
            result = fetch(QUERY.format(server.url))
    theirs = json.loads(result)["data"]["result"][0]["histogram"][1]
    point = found["h"][0]["point"]
    assert (point.count, point.sum) == (int(theirs["count"]), float(theirs["sum"]))
    expected = [tuple(map(float, bucket[1:])) for bucket in theirs["buckets"]]
    for one, other in zip(buckets(point), expected, strict=True):
        assert all(math.isclose(a, b, rel_tol=1e-9) for a, b in zip(one, other, strict=True)), (one, other)
    assert found["h"][0]["attributes"] == {"k": "v"}
    assert point.start_time_unix_nano == 1_600_000_000_000_000_000
    assert value(found, "scrape_samples_scraped") == 1


async def test_a_native_histogram_that_vanishes_ends() -> None:
    """It gets one point with the flag and nothing in it."""
    page = Page(family(), CONTENT_TYPE)
    async with page, Bench(f"[{{job_name: api, static_configs: [{{targets: ['{page.endpoint}']}}]}}]") as bench:
        await bench.next()
        page.body = b""
        found = await bench.next(lambda found: "h" in found and ended(found, "h"))
        assert found["h"][0]["point"].count == 0
        assert "h" not in await bench.next()


async def test_native_histograms_that_cannot_be_are_refused() -> None:
    """Of schemas that are not exponential, or with fewer buckets than they say."""
    for more, text in (({"schema": 99}, "schema 99"), ({"schema": -53}, "schema -53")):
        page = Page(family(**more), CONTENT_TYPE)
        async with page, Bench(f"[{{job_name: api, static_configs: [{{targets: ['{page.endpoint}']}}]}}]") as bench:
            assert value(await bench.next(), "up") == 0
            assert text in bench.warnings[0]


@pytest.mark.parametrize("seconds", [1_700_000_000_000, -5, 2**62])
async def test_times_that_cannot_be_end_no_other_target(seconds: int) -> None:
    """An exemplar loses a time that is out of range; and whatever a target says, the others are scraped on."""
    made = _message()(name="h", type=4)
    histogram = made.metric.add().histogram
    histogram.sample_count = 1
    histogram.bucket.add(cumulative_count=1, upper_bound=1.0).exemplar.timestamp.seconds = seconds
    body = varint(made.ByteSize()) + made.SerializeToString()
    async with Page(body, CONTENT_TYPE) as page, Page("a 1\n") as other:
        job = (
            f"[{{job_name: api, static_configs: [{{targets: ['{page.endpoint}']}}]}},"
            f" {{job_name: other, static_configs: [{{targets: ['{other.endpoint}']}}]}}]"
        )
        async with Bench(job) as bench:
            for _ in range(3):
                await bench.next(lambda found: "a" in found)
            await bench.next(lambda found: "h" in found)


async def test_an_answer_that_breaks_us_ends_no_other_target(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told as that target's error."""
    encode = Target._encode

    def broken(self: Target, *arguments: Any) -> Any:
        if self.name.startswith("bad/"):
            raise RuntimeError("broken")
        return encode(self, *arguments)

    monkeypatch.setattr(Target, "_encode", broken)
    async with Page("b 1\n") as page, Page("a 1\n") as other:
        job = (
            f"[{{job_name: bad, static_configs: [{{targets: ['{page.endpoint}']}}]}},"
            f" {{job_name: other, static_configs: [{{targets: ['{other.endpoint}']}}]}}]"
        )
        async with Bench(job) as bench:
            for _ in range(3):
                await bench.next(lambda found: "a" in found)
            assert "RuntimeError: broken" in bench.warnings
