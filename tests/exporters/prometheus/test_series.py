"""What becomes of metrics: series, labels, deltas, conflicts, and when a series is gone."""

from __future__ import annotations

import asyncio
import urllib.request
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from sluiceway.config.load import load
from sluiceway.errors import ConfigError
from sluiceway.otlp import Batch
from sluiceway.prometheus.translation import Rules
from sluiceway.service import Collector
from tests.exporters.prometheus.bench import (
    CUMULATIVE,
    DELTA,
    OPENMETRICS,
    PROTOBUF,
    SECOND,
    START,
    Shop,
    families,
    histogram,
    number,
    payload,
)
from tests.otlp.strategies import checked
from tests.ports import free_port
from tests.prometheus.model import read_page
from tests.prometheus.test_store import made, shown


def delta(value: float, start: int, end: int, name: str = "d", **labels: Any) -> Metric:
    """A delta sum of a time in seconds."""
    return number(name, value, labels, sum=DELTA, start=START + start * SECOND, time=START + end * SECOND)


async def test_hostile_names_and_labels() -> None:
    """Quotes, line ends, backslashes, digits in front, nothing at all: each line of the page can be read as it was."""
    async with Shop() as shop:
        hostile = {
            "a b": 'x"y\\z\nw\r\t', "9lives": "cat", "": "none", "日本": "語", "_x": "1", "__name__": "hidden",
            "empty": "", "le": "5", "list": [1, "a", {"b": True}], "bytes": b"\0\xff", "pi": 3.25, "yes": True,
        }  # fmt: skip
        await shop.send(number("4xx.#hits\n", 1, hostile))
        (labels,) = [dict(labels) for (name, labels), _ in read_page(await shop.get()).items() if name == "_4xx_hits"]
        assert labels == {
            "a_b": 'x"y\\z\nw\r\t', "key_9lives": "cat", "key": "none;語", "key_x": "1", "key_name_": "hidden",
            "le": "5", "list": '[1,"a",{"b":true}]', "bytes": "AP8=", "pi": "3.25", "yes": "true",
        }  # fmt: skip


async def test_labels_that_get_the_same_name_are_joined() -> None:
    """Their values stand in the order of the attributes' keys, with a semicolon between."""
    async with Shop() as shop:
        await shop.send(number("x", 1, {"a_b": "3", "a.b": "2", "a b": "1"}))
        assert await shop.samples() == ['x{a_b="1;2;3"} 1']


async def test_an_attribute_does_not_hide_a_label_of_ours() -> None:
    """It is shown with `exported_` in front, as Prometheus does it."""
    async with Shop("const_labels: {env: prod}") as shop:
        await shop.send(number("x", 1, {"job": "a", "env": "b"}), resource={"service.name": "s"})
        assert await shop.samples() == ['x{env="prod",exported_env="b",exported_job="a",job="s"} 1']


@pytest.mark.parametrize(("name", "why"), [
    ("{'é': x}", "cannot be the name of a label"), ("{__name__: x}", "cannot be the name of a label"),
    ("{le: x}", "have labels of this name"), ("{a.b: x, a_b: y}", "this and a.b are the same label"),
])  # fmt: skip
def test_constant_labels_that_cannot_be(name: str, why: str) -> None:
    """They are told before anything starts, with their place."""
    with pytest.raises(ConfigError, match=why):
        Shop(f"const_labels: {name}")


async def test_namespace_and_strategies() -> None:
    """A namespace stands in front of every name; without suffixes and escaping names stay."""
    async with Shop("{namespace: app, translation_strategy: UnderscoreEscapingWithoutSuffixes}") as shop:
        await shop.send(number("http.hits", 2, sum=CUMULATIVE, unit="s"))
        assert await shop.samples() == ["app_http_hits 2"]
    async with Shop("add_metric_suffixes: false") as shop:
        await shop.send(number("http.hits", 2, sum=CUMULATIVE, unit="s"))
        assert await shop.samples() == ["http_hits 2"]


async def test_no_label_hides_the_name_of_a_metric() -> None:
    """Not by underscores that stand for letters, either: who takes no UTF-8 sees `key` in front."""
    async with Shop("translation_strategy: NoTranslation") as shop:
        await shop.send(number("x", 1, {"日本name日本": "y", "éé": "z"}))
        assert await shop.samples() == ['x{key__="z",key__name__="y"} 1']


async def test_names_in_utf8_are_for_those_who_ask() -> None:
    """A scraper that takes UTF-8 sees names as they are, in quotes; any other one sees underscores."""
    async with Shop("translation_strategy: NoTranslation") as shop:
        await shop.send(
            number("http.hits", 2, {"a.b": "1", "c": "2"}), number("日", 3), number("plain", 4, {"x.y": "z"})
        )
        text = await shop.text("text/plain;version=1.0.0;escaping=allow-utf-8")
        assert text.splitlines() == [
            '# TYPE "http.hits" gauge', '{"http.hits","a.b"="1",c="2"} 2', '# TYPE "日" gauge', '{"日"} 3',
            "# TYPE plain gauge", 'plain{"x.y"="z"} 4',
        ]  # fmt: skip
        assert await shop.samples() == ['http_hits{a_b="1",c="2"} 2', "_ 3", 'plain{x_y="z"} 4']
        assert families(await shop.get(PROTOBUF))["http_hits"].metric[0].label[0].name == "a_b"


async def test_names_that_only_underscores_make_equal() -> None:
    """Without UTF-8 one of two such families is shown, and labels of a series are joined: the page stays valid."""
    async with Shop("translation_strategy: NoTranslation") as shop:
        await shop.send(number("a.b", 1, {"x.y": "1", "x_y": "2"}), number("a_b", 2))
        assert await shop.samples() == ['a_b{x_y="1;2"} 1']


async def test_resources() -> None:
    """Who a resource is stands at every series; what else is known of it in `target_info`, or in labels if asked."""
    told = {
        "service.name": "shop",
        "service.namespace": "eu",
        "service.instance.id": "i",
        "host.name": "h",
        "host.id": 7,
    }
    async with Shop() as shop:
        await shop.send(number("x", 1), resource=told)
        await shop.send(number("y", 1), resource={"host.name": "h"})
        assert await shop.samples() == [
            'target_info{host_id="7",host_name="h",instance="i",job="eu/shop"} 1', 'x{instance="i",job="eu/shop"} 1',
            "y 1",
        ]  # fmt: skip
    async with Shop("{namespace: app, const_labels: {env: e}, resource_constant_labels: {}}") as shop:
        await shop.send(number("x", 1), resource=told)
        target, series = await shop.samples()
        assert target == 'app_target_info{host_id="7",host_name="h",instance="i",job="eu/shop"} 1'
        assert series == 'app_x{env="e",instance="i",job="eu/shop"} 1'
    for text in (
        "{resource_constant_labels: {included: [host.name]}, resource_to_telemetry_conversion: {enabled: true}}",
        "resource_constant_labels: {included: [host.*], excluded: [host.id]}",
        "resource_constant_labels: {excluded: [host.id, service.*]}",
    ):
        async with Shop(text) as shop:
            await shop.send(number("x", 1), resource=told)
            assert (await shop.samples())[1] == 'x{host_name="h",instance="i",job="eu/shop"} 1'
    async with Shop("resource_to_telemetry_conversion: {enabled: true, exclude_service_attributes: true}") as shop:
        await shop.send(number("x", 1), resource=told)
        assert (await shop.samples())[1] == 'x{host_id="7",host_name="h",instance="i",job="eu/shop"} 1'


async def test_target_info_can_be_joined() -> None:
    """Its `job` and `instance` are those of the series, also where attributes have these names."""
    async with Shop() as shop:
        await shop.send(number("x", 1), resource={"service.name": "s", "job": "mine", "instance": "b"})
        assert await shop.samples() == [
            'target_info{exported_instance="b",exported_job="mine",job="s"} 1', 'x{job="s"} 1',
        ]  # fmt: skip


async def test_target_info_shows_the_newer_of_two_that_are_the_same() -> None:
    """Of resources with the same job and instance there is one `target_info`."""
    async with Shop() as shop:
        for version in ("1", "2", "1", "3"):
            await shop.send(number("x", 1), resource={"service.name": "s", "service.version": version})
        assert (await shop.samples())[0] == 'target_info{job="s",service_version="3"} 1'


async def test_a_resource_too_large_to_show() -> None:
    """There is no `target_info` of it, and its points are none the worse."""
    async with Shop() as shop:
        assert await shop.send(number("x", 1), resource={"service.name": "s", "a": "b" * 70_000}) is None
        assert await shop.samples() == ['x{job="s"} 1']


async def test_scopes() -> None:
    """Name, version, schema and attributes of the scope are labels, unless they are not wanted."""
    scope = {"name": "lib", "version": "1", "schema_url": "http://s", "team": "core"}
    async with Shop() as shop:
        await shop.send(number("x", 1), scope=scope)
        assert await shop.samples() == [
            'x{otel_scope_name="lib",otel_scope_schema_url="http://s",otel_scope_team="core",otel_scope_version="1"} 1'
        ]
    async with Shop("without_scope_info: true") as shop:
        await shop.send(number("x", 1), scope=scope)
        assert await shop.samples() == ["x 1"]


@checked
@given(st.permutations(range(5)), st.lists(st.integers(0, 4), max_size=4), st.booleans())
def test_each_delta_counts_once(order: list[int], again: list[int], late_start: bool) -> None:
    """In whatever order deltas come, and however often, the sum is that of all of them."""
    store, names = made(Rules())
    for at in [*order, *again]:
        start = START + (at * SECOND if at or late_start else 1)
        metric = number("d", 10**at, sum=DELTA, start=start, time=START + (at + 1) * SECOND)
        store.add(payload([metric]).SerializeToString(), 1.0, START)
    assert read_page(shown(store, names)) == {("d_total", ()): 11111.0}


async def test_deltas_of_a_process_that_restarted_add_up() -> None:
    """A time without data is no reset: the counter goes on."""
    async with Shop() as shop:
        await shop.send(delta(5, 0, 10))
        await shop.send(delta(7, 60, 70))
        await shop.send(delta(100, 30, 40))  # late, where the time was free
        await shop.send(delta(1000, 35, 45))  # in a time that has been counted in part
        assert await shop.samples() == ["d_total 112"]
        assert shop.counted("duplicate") == 1


async def test_delta_histograms_add_up_and_begin_anew_with_other_buckets() -> None:
    """Buckets, sum and count grow; with other bounds they are those of the new point."""
    async with Shop() as shop:
        for at in range(3):
            start, time = START + at * SECOND, START + (at + 1) * SECOND
            bounds = [1.0] if at < 2 else [2.0]
            await shop.send(histogram("h", [1, at], bounds, 2.5, temporality=DELTA, start=start, time=time))
            if at == 1:
                assert await shop.samples() == ['h_bucket{le="1"} 2', 'h_bucket{le="+Inf"} 3', "h_sum 5", "h_count 3"]
        assert (await shop.samples())[0] == 'h_bucket{le="2"} 1'


async def test_exponential_deltas_with_different_thresholds() -> None:
    """What lies in the wider zero bucket joins it, and a bucket that it cuts goes with it."""
    metric = Metric(name="e")
    metric.exponential_histogram.aggregation_temporality = DELTA
    for at, (threshold, offset, counts) in enumerate(((0.0, -2, [1, 2, 4, 8]), (0.6, 1, [16]))):
        point = metric.exponential_histogram.data_points.add(
            start_time_unix_nano=START + at * SECOND, time_unix_nano=START + (at + 1) * SECOND,
            zero_threshold=threshold, zero_count=32 * at, scale=0,
        )  # fmt: skip
        point.positive.offset = offset
        point.positive.bucket_counts.extend(counts)
    async with Shop() as shop:
        await shop.send(metric)
        (family,) = families(await shop.get(PROTOBUF)).values()
        native = family.metric[0].histogram
        assert (native.zero_threshold, native.zero_count, native.sample_count) == (1.0, 35, 63)
        assert ([span.offset for span in native.positive_span], list(native.positive_delta)) == ([1], [4, 20])


async def test_a_wide_exponential_histogram_gets_coarser() -> None:
    """The sum of deltas has at most 320 buckets of each sign."""
    async with Shop() as shop:
        for at, offset in enumerate((0, 1000, -1000)):
            metric = Metric(name="e")
            metric.exponential_histogram.aggregation_temporality = DELTA
            point = metric.exponential_histogram.data_points.add(
                start_time_unix_nano=START + at * SECOND, time_unix_nano=START + (at + 1) * SECOND, scale=5
            )
            point.positive.offset = offset
            point.positive.bucket_counts.extend([1] * 160)
            await shop.send(metric)
        (family,) = families(await shop.get(PROTOBUF)).values()
        native = family.metric[0].histogram
        assert (native.schema, native.sample_count) == (2, 480)
        assert sum(span.length for span in native.positive_span) <= 320


async def test_the_newest_value_is_shown() -> None:
    """A point that is older than the last one is left out, and counted."""
    async with Shop() as shop:
        await shop.send(number("x", 1, time=START + 5), number("x", 2, time=START + 3))
        assert await shop.samples() == ["x 1"]
        assert shop.counted("late") == 1


async def test_two_streams_with_the_same_labels() -> None:
    """The newer point wins, deltas of both add up, and nothing fails."""
    async with Shop() as shop:
        for host, value in (("a", 1), ("b", 2)):
            about = {"host.name": host}
            assert await shop.send(number("x", value, time=START + value), delta(value, 0, 5), resource=about) is None
        assert await shop.samples() == ["x 2", "d_total 3"]
        assert shop.counted("collision") == 2
        assert [line.split(" ")[1] for line in shop.log] == ["x", "d_total"]


async def test_the_order_of_attributes_makes_no_stream() -> None:
    """The same attributes in another order, of a point or of a resource, are the same stream."""
    async with Shop() as shop:
        for a, b in (("a", "b"), ("b", "a"), ("a", "b")):
            labels = {a: "1", b: "1"}
            await shop.send(number("x", 1, labels), resource={"service.name": "s", **labels})
        assert shop.counted("collision") == 0
        assert len(await shop.samples()) == 2


@pytest.mark.parametrize(("second", "total"), [
    (number("x", 5, sum=CUMULATIVE, monotonic=False), 2), (number("x.count", 5), 1),
    (histogram("x", [1], [], 1.0), 1),
])  # fmt: skip
async def test_types_of_one_name(second: Metric, total: int) -> None:
    """A gauge and a sum that is not monotonic are one; any other type is rejected, and said once."""
    async with Shop() as shop:
        first = Metric(name="x")
        first.summary.data_points.add(count=1, time_unix_nano=START)
        first = number("x", 1) if total == 2 else first
        await shop.send(first)
        answers = [await shop.send(second), await shop.send(second)]
        if total == 2:
            assert answers == [None, None]
            assert await shop.samples() == ["x 5"]
            return
        assert [answer and answer.rejected for answer in answers] == [1, 1]
        assert shop.counted("conflict") == 2
        assert len(shop.log) == 1
        assert "different types" in shop.log[0]


async def test_descriptions_of_one_name() -> None:
    """The first one is shown, and that there are others is said once; no point is lost."""
    async with Shop() as shop:
        for text in ('one\nline \\ "q"', "two", "two"):
            assert await shop.send(number("x", 1, {"t": text}, description=text)) is None
        assert (await shop.text()).splitlines()[0] == '# HELP x one\\nline \\\\ "q"'
        assert len(await shop.samples()) == 2
        assert len(shop.log) == 1


def counts(name: str, *buckets: int) -> Metric:
    """A histogram whose buckets hold so much, whatever its count says."""
    metric = histogram(name, [0] * len(buckets), [float(bound) for bound in range(len(buckets) - 1)], 1.0)
    metric.histogram.data_points[0].bucket_counts[:] = buckets
    return metric


@pytest.mark.parametrize(("metric", "why"), [
    (number("x", 1, sum=DELTA, monotonic=False), "unsupported"), (Metric(name="日"), "nameless"),
    (number("x", -1, sum=DELTA), "malformed"), (number("x", float("nan"), sum=DELTA), "malformed"),
    (counts("x", 2**63, 2**63), "malformed"),
    (histogram("x", [1, 2], [1.0, 2.0], 1.0), "malformed"), (histogram("x", [1, 2, 3], [2.0, 2.0], 1.0), "malformed"),
    (number("x", 1, {"a": "x" * 70_000}), "malformed"), (number("x", 1, {"a" * 140_000: ""}), "malformed"),
    (number("x" * 1_025, 1), "malformed"), (number("x", 1, unit="x" * 1_025), "malformed"),
])  # fmt: skip
async def test_what_cannot_be_shown_is_rejected(metric: Metric, why: str) -> None:
    """It is counted by why, and the rest of the batch is shown."""
    if not metric.WhichOneof("data"):
        metric.gauge.data_points.add(as_int=1)
    async with Shop() as shop:
        answer = await shop.send(number("good", 1), metric)
        assert answer is not None
        assert answer.rejected == 1
        assert shop.counted(why) == 1
        assert await shop.samples() == ["good 1"]


async def test_a_point_without_value_takes_its_series_away() -> None:
    """It comes back with the next one."""
    async with Shop() as shop:
        gone = number("x", 1, {"a": "1"})
        gone.gauge.data_points[0].flags = 1
        await shop.send(gone)
        await shop.send(number("x", 1, {"a": "1"}), number("x", 2, {"a": "2"}))
        await shop.send(gone)
        assert await shop.samples() == ['x{a="2"} 2']
        await shop.send(number("x", 3, {"a": "1"}))
        assert await shop.samples() == ['x{a="2"} 2', 'x{a="1"} 3']


async def test_a_late_point_without_value_takes_nothing_away() -> None:
    """What came after it is newer."""
    async with Shop() as shop:
        await shop.send(number("x", 1, time=START + SECOND))
        gone = number("x", 1, time=START)
        gone.gauge.data_points[0].flags = 1
        await shop.send(gone)
        assert await shop.samples() == ["x 1"]
        assert shop.counted("late") == 1


async def test_who_ends_takes_nothing_of_others_away() -> None:
    """What two scopes added up stays when one of them ends, and so does what is known of the other."""
    async with Shop("without_scope_info: true") as shop:
        for scope in ("p", "q"):
            await shop.send(delta(5, 0, 1), scope={"name": scope})
        gone = delta(5, 1, 2)
        gone.sum.data_points[0].flags = 1
        await shop.send(gone, scope={"name": "p"})
        assert await shop.samples() == ["d_total 10"]
        await shop.send(delta(5, 0, 1), scope={"name": "q"})
        assert (await shop.samples(), shop.counted("duplicate")) == (["d_total 10"], 1)
        await shop.send(gone, scope={"name": "q"})
        assert await shop.samples() == []


async def test_quantiles_come_in_any_order() -> None:
    """They are shown in theirs; of equal ones the last counts."""
    metric = Metric(name="s")
    point = metric.summary.data_points.add(count=1, sum=1, time_unix_nano=START)
    for place in range(4_000):
        point.quantile_values.add(quantile=(1_000 - place % 1_000) / 1_000, value=place)
    async with Shop() as shop:
        assert await shop.send(metric) is None
        found = [line for line in await shop.samples() if "quantile" in line]
    assert len(found) == 1_000
    assert (found[0], found[-1]) == ('s{quantile="0.001"} 3999', 's{quantile="1"} 3000')


async def test_series_expire_without_a_scrape() -> None:
    """What had no point for `metric_expiration` is not shown any more, and is freed though nobody looks."""
    async with Shop("metric_expiration: 60s") as shop:
        await shop.send(number("x", 1), resource={"service.name": "s", "host": "h"})
        await shop.clock.advance(40)
        await shop.send(number("y", 1), resource={"service.name": "s", "host": "h"})
        await shop.clock.advance(20.5)
        assert await shop.samples() == ['target_info{host="h",job="s"} 1', 'y{job="s"} 1']
        await shop.clock.advance(60)
        assert shop.metrics.read("sluiceway_prometheus_series") == 0
        assert await shop.text() == ""


async def test_a_name_is_free_when_its_series_are_gone() -> None:
    """A metric that changed its type is shown once what was there has expired."""
    async with Shop("metric_expiration: 10s") as shop:
        await shop.send(number("x", 1))
        assert await shop.send(histogram("x", [1], [], 1.0)) is not None
        await shop.clock.advance(20)
        assert await shop.send(histogram("x", [1], [], 1.0)) is None
        assert (await shop.samples())[0] == 'x_bucket{le="+Inf"} 1'


async def test_timestamps() -> None:
    """Where they are wanted, milliseconds in text and protobuf, seconds in OpenMetrics."""
    async with Shop("{send_timestamps: true, enable_open_metrics: true}") as shop:
        await shop.send(number("x", 1.5, time=START + 123_456_789))
        assert await shop.samples() == ["x 1.5 1700000000123"]
        assert await shop.samples(OPENMETRICS) == ["x 1.5 1700000000.123"]
        assert families(await shop.get(PROTOBUF))["x"].metric[0].timestamp_ms == 1_700_000_000_123


async def test_no_more_series_than_allowed() -> None:
    """New deltas go to one series of their metric; other new points are rejected, and known ones go on."""
    async with Shop("max_series: 3") as shop:
        for at in range(5):
            answer = await shop.send(delta(10**at, 0, 1, a=str(at)))
            assert answer is None
        answer = await shop.send(number("x", 1), number("d", 7, {"a": "0"}, sum=DELTA, start=START + SECOND,
                                                        time=START + 2 * SECOND))  # fmt: skip
        assert answer is not None
        assert answer.rejected == 1
        assert await shop.samples() == [
            'd_total{a="0"} 8', 'd_total{a="1"} 10', 'd_total{a="2"} 100', 'd_total{otel_metric_overflow="true"} 11000',
        ]  # fmt: skip
        assert (shop.counted("overflow"), shop.counted("no_room")) == (2, 1)


async def test_many_metrics_and_resources_leave_nothing_behind() -> None:
    """What is remembered of names, resources and scopes goes with their series."""
    async with Shop("{metric_expiration: 1s, max_series: 100}") as shop:
        for at in range(300):
            await shop.send(
                number(f"m{at}", 1, {f"k{at}": "v"}),
                resource={"service.name": f"s{at}", "a": "b"},
                scope={"name": str(at)},
            )
            if at % 20 == 19:
                await shop.clock.advance(5)
        assert shop.metrics.read("sluiceway_prometheus_series") == 0
        assert shop.counted("no_room") == 0
        assert shop.exporter._translation.claims.keys() == {"target_info"}


async def test_a_cancelled_batch_counts_once_when_it_comes_again() -> None:
    """A large batch is taken in parts; what of it had been taken is known when it is sent again."""
    async with Shop() as shop:
        batch = Batch.from_proto(payload([delta(1, 0, 1, a=str(at)) for at in range(5_000)]))
        task = asyncio.create_task(shop.exporter.consume(batch))
        while not len(shop.exporter._store):  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert 0 < len(await shop.samples()) < 5_000
        await shop.exporter.consume(batch)
        page = read_page(await shop.get())
        assert (len(page), set(page.values())) == (5_000, {1.0})


async def test_a_reload_keeps_values_unless_names_change() -> None:
    """The next exporter of the same id shows what this one held, sums of deltas too."""
    kept: dict[str, Any] = {}
    async with Shop(kept=kept) as shop:
        await shop.send(delta(5, 0, 1))
    async with Shop("send_timestamps: true", kept=kept) as shop:
        await shop.send(delta(6, 1, 2))
        assert await shop.samples() == ["d_total 11 1700000002000"]
    async with Shop("namespace: app", kept=kept) as shop:
        assert await shop.samples() == []
        await shop.clock.advance(60)
    async with Shop(kept=kept) as shop:
        assert await shop.samples() == []


async def test_who_is_replaced_lets_its_successor_keep_its_values() -> None:
    """The old exporter may drain for long, and looks at its series all the while."""
    kept: dict[str, Any] = {}
    async with Shop(kept=kept) as old, Shop("namespace: app", kept=kept) as new:
        await new.send(number("x", 1))
        await old.clock.advance(60)
        async with Shop("namespace: app", kept=kept) as third:
            assert await third.samples() == ["app_x 1"]


async def test_a_reload_keeps_the_port() -> None:
    """The whole collector: after a reload with another setting the same port shows the same series."""
    port = free_port()
    text = f"""
        receivers: {{feed: {{component: 'sluiceway.testing:Feeder'}}}}
        exporters: {{prometheus: {{endpoint: '127.0.0.1:{port}', send_timestamps: STAMPS}}}}
        service:
          telemetry: {{metrics: {{level: none}}}}
          pipelines: {{metrics: {{receivers: [feed], exporters: [prometheus]}}}}
    """

    def page() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    async with Collector.from_yaml(text.replace("STAMPS", "false")) as collector:
        feed = collector.component("receiver", "feed")
        await feed.feed(Batch.from_proto(payload([delta(5, 0, 1)])))
        assert "d_total 5\n" in await asyncio.to_thread(page)
        await collector.reload(load([f"yaml:{text.replace('STAMPS', 'true')}"]))
        more = payload([delta(6, 1, 2), number("x", 1), histogram("x", [1], [], 1)])
        await feed.feed(Batch.from_proto(more))
        assert "d_total 11 1700000002000\n" in await asyncio.to_thread(page)
    (balance,) = collector.ledger.balances()
    assert (balance.accepted, sum(balance.dropped.values()), balance.missing) == (4, 1, 0)
