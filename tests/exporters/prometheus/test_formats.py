"""Which format a scraper gets, and what each of them has of its own."""

from __future__ import annotations

import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from sluiceway.exporters.prometheus.negotiation import choose, choose_coding
from sluiceway.prometheus.families import Format
from tests.exporters.prometheus.bench import (
    CUMULATIVE,
    DELTA,
    OPENMETRICS,
    PROTOBUF,
    SECOND,
    START,
    Shop,
    attributes,
    families,
    histogram,
    number,
)

OLD = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
NATIVE = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited," + OLD.replace(
    "1.0.0,", "1.0.0;q=0.8,"
)
NEW = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)


@pytest.mark.parametrize(("accept", "open_metrics", "expected"), [
    ("", True, Format.TEXT), ("*/*", True, Format.TEXT), ("text/html", True, Format.TEXT),
    (OLD, True, Format.OPENMETRICS), (OLD, False, Format.TEXT), (NATIVE, True, Format.PROTOBUF),
    (NATIVE, False, Format.PROTOBUF), (NEW, True, Format.OPENMETRICS), (NEW, False, Format.TEXT),
    ("application/openmetrics-text", True, Format.OPENMETRICS),
    ("application/openmetrics-text;version=2.0.0", True, Format.TEXT), ("text/plain;q=0", True, Format.TEXT),
    ("application/vnd.google.protobuf", True, Format.TEXT), (";;,=,q=x;q=y", True, Format.TEXT),
    ("text/plain;q=0.9, application/openmetrics-text;q=0.9", True, Format.TEXT),
])  # fmt: skip
def test_the_best_liked_format_is_chosen(accept: str, open_metrics: bool, expected: Format) -> None:
    """As the weights say, the first of equal ones; what is not spoken here does not count."""
    assert choose(accept, open_metrics=open_metrics).format is expected


def test_the_content_type_says_what_is_escaped() -> None:
    """Only who asks about escaping is told of it."""
    assert choose(OLD, open_metrics=False).content_type == "text/plain; version=0.0.4; charset=utf-8"
    new = choose(NEW, open_metrics=False)
    assert new.utf8
    assert new.content_type == "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8"
    dots = choose("text/plain;escaping=dots", open_metrics=False)
    assert (dots.utf8, dots.content_type.endswith("escaping=underscores")) == (False, True)


@pytest.mark.parametrize(("header", "expected"), [
    ("", "identity"), ("gzip", "gzip"), ("gzip;q=0", "identity"), ("deflate, gzip;q=0.5", "gzip"), ("*", "gzip"),
    ("identity", "identity"), ("gzip;q=0,*", "identity"), ("GZIP ; Q=1", "gzip"), ("zstd, br", "identity"),
    ("gzip;q=0.5, identity", "identity"), ("gzip, identity;q=0.5", "gzip"), ("gzip;q=x", "identity"),
    ("identity;q=0, gzip", "gzip"), ("identity;q=0", None), ("*;q=0", None), ("zstd, *;q=0", None),
    ("identity, *;q=0", "identity"), ("gzip;q=nan", "identity"), ("x-gzip", "gzip"),
])  # fmt: skip
def test_a_coding_that_is_taken_is_chosen(header: str, expected: str | None) -> None:
    """As `Accept-Encoding` has it: gzip unless it is liked less than none, or none is taken."""
    assert choose_coding(header) == expected


async def test_exemplars_and_beginnings_go_with_openmetrics() -> None:
    """A counter shows one exemplar, a histogram the largest of each bucket; text shows neither them nor beginnings."""
    counter = number("hits", 5, sum=CUMULATIVE, start=START - SECOND)
    counter.sum.data_points[0].exemplars.add(
        as_int=2, time_unix_nano=START, trace_id=b"\x01" * 16, span_id=b"\x02" * 8,
        filtered_attributes=attributes({"user.id": "a b", "long": "x" * 100}),
    )  # fmt: skip
    latency = histogram("latency", [2, 1, 1], [1.0, 5.0], 9.0, start=START - SECOND)
    for value in (0.5, 0.75, 0.25, 7.0):
        latency.histogram.data_points[0].exemplars.add(as_double=value, time_unix_nano=START, span_id=b"\x03" * 8)
    gauge = number("level", 1, start=START - SECOND)
    gauge.gauge.data_points[0].exemplars.add(as_int=1, span_id=b"\x03" * 8)
    async with Shop("enable_open_metrics: true") as shop:
        await shop.send(counter, latency, gauge)
        text = await shop.text(OPENMETRICS)
        ids = f'span_id="{"02" * 8}",trace_id="{"01" * 16}",user_id="a b"'
        assert [line for line in text.splitlines() if "#" in line[1:] or "_created" in line] == [
            f"hits_total 5 # {{{ids}}} 2 1700000000.000", "hits_created 1699999999.000",
            f'latency_bucket{{le="1.0"}} 2 # {{span_id="{"03" * 8}"}} 0.75 1700000000.000',
            f'latency_bucket{{le="+Inf"}} 4 # {{span_id="{"03" * 8}"}} 7 1700000000.000',
            "latency_created 1699999999.000",
        ]  # fmt: skip
        assert text.endswith("# EOF\n")
        assert {family.name: family.type for family in text_string_to_metric_families(text)} == {
            "hits": "counter", "latency": "histogram", "level": "gauge",
        }  # fmt: skip
        assert "span_id" not in await shop.text()
        assert "_created" not in await shop.text()
        proto = families(await shop.get(PROTOBUF))
        assert proto["hits_total"].metric[0].counter.exemplar.value == 2
        assert proto["hits_total"].metric[0].counter.created_timestamp.seconds == 1_699_999_999
        assert [bucket.exemplar.value for bucket in proto["latency"].metric[0].histogram.bucket] == [0.75, 0, 7]


async def test_exemplars_of_other_bounds_are_not_shown() -> None:
    """Where the bounds of a histogram change, an exemplar stands in no bucket that its value is not in."""
    async with Shop("enable_open_metrics: true") as shop:
        for bound in (1.0, 10.0):
            metric = histogram("h", [1, 1], [bound], 9.0)
            if bound == 1.0:
                metric.histogram.data_points[0].exemplars.add(as_double=5.0, span_id=b"\x03" * 8)
            await shop.send(metric)
            lines = [line for line in await shop.samples(OPENMETRICS) if "span_id" in line]
            assert len(lines) == (1 if bound == 1.0 else 0)
        bucket = families(await shop.get(PROTOBUF))["h"].metric[0].histogram.bucket
        assert not any(one.HasField("exemplar") for one in bucket)


async def test_exemplars_of_exponential_histograms() -> None:
    """In OpenMetrics the largest of each bucket, in protobuf the last ten."""
    metric = Metric(name="e")
    metric.exponential_histogram.aggregation_temporality = CUMULATIVE
    point = metric.exponential_histogram.data_points.add(time_unix_nano=START, scale=0, sum=9)
    point.positive.bucket_counts.extend([3, 12])
    for at in range(15):
        point.exemplars.add(as_double=1.1 + at / 10, time_unix_nano=START + at, trace_id=b"\x01" * 16)
    async with Shop("enable_open_metrics: true") as shop:
        await shop.send(metric)
        lines = [line for line in await shop.samples(OPENMETRICS) if "trace_id" in line]
        assert [line.split("# ")[1].split(" ")[1] for line in lines] == ["2", "2.5"]
        assert len(families(await shop.get(PROTOBUF))["e"].metric[0].histogram.exemplars) == 10


async def test_a_counter_that_openmetrics_would_rename() -> None:
    """Where its name does not end in `_total`, or the rest is another's, a counter is shown as of unknown type."""
    async with Shop("{enable_open_metrics: true, translation_strategy: UnderscoreEscapingWithoutSuffixes}") as shop:
        await shop.send(number("hits", 1, sum=CUMULATIVE), number("a.total", 1, sum=CUMULATIVE), number("a", 1))
        text = await shop.text(OPENMETRICS)
        assert [line for line in text.splitlines() if line.startswith("# TYPE")] == [
            "# TYPE hits unknown", "# TYPE a_total unknown", "# TYPE a gauge",
        ]  # fmt: skip
        list(text_string_to_metric_families(text))


async def test_what_openmetrics_has_no_value_for() -> None:
    """Counters and quantiles below zero, and sums of such observations, are left out there and shown elsewhere."""
    summary = Metric(name="s")
    point = summary.summary.data_points.add(time_unix_nano=START, count=2, sum=-1)
    for quantile, value in ((0.5, -2), (1, 1)):
        point.quantile_values.add(quantile=quantile, value=value)
    async with Shop("enable_open_metrics: true") as shop:
        await shop.send(
            number("down", -1, sum=CUMULATIVE), number("none", float("nan"), sum=CUMULATIVE), number("level", -1),
            histogram("cold", [1, 2], [-5.0], 3.0), histogram("debt", [1, 2], [5.0], -3.0), summary,
        )  # fmt: skip
        text = await shop.text(OPENMETRICS)
        list(text_string_to_metric_families(text))
        assert [line for line in text.splitlines() if not line.startswith("#")] == [
            "level -1", 'cold_bucket{le="-5.0"} 1', 'cold_bucket{le="+Inf"} 3', 'debt_bucket{le="5.0"} 1',
            'debt_bucket{le="+Inf"} 3', 's{quantile="1.0"} 1', "s_count 2",
        ]  # fmt: skip
        plain = await shop.samples()
        assert {"down_total -1", "none_total NaN", "cold_sum 3", "debt_sum -3", 's{quantile="0.5"} -2', "s_sum -1"} <= {
            *plain
        }
        assert families(await shop.get(PROTOBUF))["down_total"].metric[0].counter.value == -1


async def test_an_exemplar_goes_with_a_type_that_has_some() -> None:
    """A counter that OpenMetrics has to show without its type has none there."""
    metric = number("hits", 1, sum=CUMULATIVE)
    metric.sum.data_points[0].exemplars.add(as_int=1, span_id=b"\x03" * 8)
    async with Shop("{enable_open_metrics: true, translation_strategy: UnderscoreEscapingWithoutSuffixes}") as shop:
        await shop.send(metric)
        assert await shop.samples(OPENMETRICS) == ["hits 1"]


@pytest.mark.parametrize(("bound", "told"), [
    (0.25, "0.25"), (1e-5, "1e-05"), (999_999.5, "999999.5"), (1e6, "1e+06"), (-1_234_567.0, "-1.234567e+06"),
    (12_345_678.25, "1.234567825e+07"), (1e15, "1e+15"), (1e16, "1e+16"), (1e22, "1e+22"),
])  # fmt: skip
async def test_bounds_are_told_as_other_exporters_do(bound: float, told: str) -> None:
    """A bucket is the same series whoever tells it: large bounds have an exponent, as Go writes them."""
    async with Shop("enable_open_metrics: true") as shop:
        await shop.send(histogram("h", [1, 0], [bound], 1.0))
        for accept in ("", OPENMETRICS):
            assert (await shop.samples(accept))[0] == f'h_bucket{{le="{told}"}} 1'


async def test_a_gauge_of_unknown_type() -> None:
    """What Prometheus had no type for has none again, and goes with a gauge of the same name."""
    metric = number("x", 5)
    metric.metadata.extend(attributes({"prometheus.type": "unknown"}))
    async with Shop("enable_open_metrics: true") as shop:
        await shop.send(metric, number("x", 6, {"a": "b"}))
        assert (await shop.text()).splitlines() == ["# TYPE x untyped", "x 5", 'x{a="b"} 6']
        assert (await shop.text(OPENMETRICS)).splitlines()[0] == "# TYPE x unknown"
        family = families(await shop.get(PROTOBUF))["x"]
        assert (family.type, family.metric[0].untyped.value) == (3, 5)


async def test_units() -> None:
    """OpenMetrics tells the unit where the name ends with it."""
    async with Shop("enable_open_metrics: true") as shop:
        await shop.send(number("x", 1, unit="By/s"), number("y", 1, sum=DELTA, unit="s"), number("z", 1, unit="1"))
        text = await shop.text(OPENMETRICS)
        assert [line for line in text.splitlines() if line.startswith("# UNIT")] == [
            "# UNIT x_bytes_per_second bytes_per_second", "# UNIT y_seconds seconds",
        ]  # fmt: skip
        list(text_string_to_metric_families(text))


async def test_an_empty_page() -> None:
    """Without series there is nothing, and in OpenMetrics its end."""
    async with Shop("enable_open_metrics: true") as shop:
        assert [await shop.text(accept) for accept in ("", PROTOBUF, OPENMETRICS)] == ["", "", "# EOF\n"]


@pytest.mark.parametrize(
    "value", [0.1, 1e15, 1e16, -0.0, 5e-324, 1.7976931348623157e308, float("inf"), float("nan"), 2**63 - 1]
)
async def test_numbers_come_back_as_they_were(value: float) -> None:
    """In the fewest digits that do so; integers in all of theirs."""
    async with Shop() as shop:
        await shop.send(number("x", value))
        assert repr(float((await shop.samples())[0].split(" ")[1])) == repr(float(value))
        assert repr(families(await shop.get(PROTOBUF))["x"].metric[0].gauge.value) == repr(float(value))
