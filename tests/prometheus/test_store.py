"""The store of series, beside a model in plain Python over protobuf objects."""

from __future__ import annotations

import tracemalloc
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, MetricsData
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from sluiceway.otlp import Batch, Signal, accept
from sluiceway.otlp.anyvalue import sized
from sluiceway.prometheus._page import Page
from sluiceway.prometheus._store import Store
from sluiceway.prometheus.families import Format
from sluiceway.prometheus.naming import Strategy
from sluiceway.prometheus.translation import Rules, Translation
from tests.exporters.prometheus.bench import SECOND, START, attributes, histogram, number
from tests.exporters.prometheus.bench import payload as payload_of
from tests.otlp.strategies import checked, payload
from tests.prometheus.model import Model, read_page, scrambled

KEYS = ["a.b", "a_b", "le", "job", "quantile", "5x", "日本"]
VALUES: list[Any] = ["", "x", 'q"\\\n', "日", 1, -1, True, 0.5, 1e-9, b"\0\xff", ["a", 1], {"k": [1.5, b"z"]}]
labels = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=3)
resources = st.dictionaries(
    st.sampled_from(["service.name", "service.namespace", "service.instance.id", "host.name", "host"]),
    st.sampled_from(["a", "b", ""]), max_size=4,
)  # fmt: skip
odd = [2**62, 1e300, -0.0, float("nan"), float("inf"), -float("inf")]
numbers = st.one_of(st.integers(-3, 50), st.floats(-10, 100, width=32), st.sampled_from(odd))
ends = st.integers(1, 9)


@st.composite
def points(draw: st.DrawFn, kind: str, point: Any) -> None:
    """Fill a data point."""
    end = draw(ends)
    point.time_unix_nano = draw(st.sampled_from([START + end * SECOND] * 9 + [0]))
    point.start_time_unix_nano = draw(st.sampled_from([START + (end - 1) * SECOND] * 5 + [START, 0]))
    point.attributes.extend(attributes(draw(labels)))
    point.flags = draw(st.sampled_from([0] * 11 + [1]))
    if kind != "summary" and draw(st.booleans()):
        for value in draw(st.lists(st.floats(-5, 50), max_size=2)):
            point.exemplars.add(as_double=value, trace_id=b"\1" * 16, time_unix_nano=START)
    if kind in ("gauge", "sum"):
        value = draw(numbers)
        setattr(point, "as_int" if isinstance(value, int) else "as_double", value)
        return
    point.count = draw(st.integers(0, 9))
    if kind == "summary" or draw(st.booleans()):
        point.sum = draw(st.one_of(st.integers(-5, 50), st.just(float("nan")))) / 4
    if kind == "histogram":
        bounds = draw(
            st.sampled_from([[], [1.0], [-1.0, 2e6], [0.5, 1.0], [0.5, 1.0], [1.0, float("inf")], [2.0, 1.0]])
        )
        point.explicit_bounds.extend(bounds)
        if bounds or draw(st.booleans()):
            point.bucket_counts.extend(draw(st.integers(0, 4)) for _ in range(len(bounds) + 1))
    elif kind == "summary":
        for quantile in draw(st.lists(st.sampled_from([0.5, 0.9, 0.99, 1.0, 0.0]), max_size=3)):
            point.quantile_values.add(quantile=quantile, value=draw(st.integers(-2, 9)) / 2)
    else:
        point.scale, point.zero_count = draw(st.integers(-5, 11)), draw(st.integers(0, 2))
        for side in (point.positive, point.negative):
            side.offset = draw(st.integers(-3, 3)) if point.scale < 0 else draw(st.integers(-40, 40))
            side.bucket_counts.extend(draw(st.lists(st.integers(0, 3), max_size=7 if point.scale < 0 else 30)))


@st.composite
def metrics(draw: st.DrawFn) -> Metric:
    """A metric of any type, with a name that others have, too."""
    kind = draw(st.sampled_from(["gauge", "sum", "sum", "histogram", "exponential_histogram", "summary"]))
    name = draw(st.sampled_from(["x", "x.total", "x_count", "x_created", "sum_created", "日", kind, kind, kind]))
    metric = Metric(name=name, unit=draw(st.sampled_from(["", "s"])), description=draw(st.sampled_from(["", "d"])))
    data = getattr(metric, kind)
    data.SetInParent()
    if kind not in ("gauge", "summary"):
        data.aggregation_temporality = draw(st.sampled_from([1, 1, 1, 2, 2, 0]))
    if kind == "sum":
        data.is_monotonic = draw(st.sampled_from([True, True, False]))
    for _ in range(draw(st.integers(0, 4))):
        draw(points(kind, data.data_points.add()))
    return metric


@st.composite
def batches(draw: st.DrawFn) -> MetricsData:
    """Some metrics of some resources and scopes."""
    data = MetricsData()
    for _ in range(draw(st.integers(1, 2))):
        resource = data.resource_metrics.add()
        resource.resource.attributes.extend(attributes(draw(resources)))
        for _ in range(draw(st.integers(1, 2))):
            scope = resource.scope_metrics.add(schema_url=draw(st.sampled_from(["", "u"])))
            scope.scope.name = draw(st.sampled_from(["", "lib"]))
            scope.scope.attributes.extend(attributes(draw(st.dictionaries(st.just("t"), st.just("v")))))
            scope.metrics.extend(draw(st.lists(metrics(), max_size=4)))
    return data


def shown(
    store: Store, names: Translation, most: int = 3, format: Format = Format.TEXT, *, timestamps: bool = False
) -> bytes:
    """The page, in slices."""
    page, parts = Page(store, names.claims, format, utf8=False, timestamps=timestamps, limit=0.0), []
    while (part := page.slice(most)) is not None:
        parts.append(part)
    page.close()
    return b"".join(parts)


def made(rules: Rules, most: int = 1_000, *, exemplars: bool = False) -> tuple[Store, Translation]:
    """An empty store and what it asks."""
    names = Translation(rules)
    return Store(names, max_series=most, with_exemplars=exemplars, seed=1), names


@checked
@given(st.lists(batches(), min_size=1, max_size=4), st.booleans(), st.integers(0, 2**32))
def test_the_store_shows_what_the_model_does(sent: list[MetricsData], without_scope: bool, seed: int) -> None:
    """Whatever comes, in whatever wire form: the same samples with the same values, and the same points are special."""
    rules = Rules(constant_labels={"env": "test"}, scope_info=not without_scope, is_resource_label="host".__eq__)
    (store, names), model, random = made(rules), Model(rules), Random(seed)
    for data in sent:
        wall = START + 5 * SECOND
        assert store.add(scrambled(data, random), 1.0, wall) == model.add(data, wall)
        assert read_page(shown(store, names)) == pytest.approx(model.page(), rel=1e-12, nan_ok=True)


@checked
@given(st.lists(st.integers(0, 2**32), min_size=1, max_size=3))
def test_any_otlp_gives_a_page_that_can_be_read(seeds: list[int]) -> None:
    """Messages made of every field of OTLP, with odd values: no point is lost uncounted, and each sample comes once."""
    store, names = made(Rules(), exemplars=True)
    empty = store.weight
    for seed in seeds:
        batch = accept(Signal.METRICS, payload(Random(seed), Signal.METRICS, True))
        outcome = store.add(batch.payload, 1.0, START)
        assert sum(outcome.values()) <= 2 * batch.items
    read_page(shown(store, names))
    store.expire(2.0, 2.0)
    assert (len(store), store.stream_count, read_page(shown(store, names))) == (0, 0, {})
    assert store.weight == empty


@checked
@given(
    st.lists(batches(), min_size=1, max_size=3), st.booleans(), st.sampled_from(Strategy), st.integers(0, 2**32)
)  # fmt: skip
def test_openmetrics_is_strict_whatever_comes(
    sent: list[MetricsData], timestamps: bool, strategy: Strategy, seed: int
) -> None:
    """The reference parser takes any page, and finds the values of the text, but for those that cannot be told."""
    (store, names), random = made(Rules(strategy), exemplars=True), Random(seed)
    for data in sent:
        store.add(scrambled(data, random), 1.0, START)
    page = shown(store, names, format=Format.OPENMETRICS, timestamps=timestamps).decode()
    told = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }
    text = {(name, canonical(labels)): value for (name, labels), value in read_page(shown(store, names)).items()}
    told = {(name, canonical(labels)): value for (name, labels), value in told.items()}
    assert told == pytest.approx({key: text[key] for key in told}, nan_ok=True)
    missing = {name: text[name, labels] for name, labels in text.keys() - told.keys()}
    bare = ("_sum", "_count")
    assert all(name.endswith(bare) or "_created" in name or not value >= 0 for name, value in missing.items())


def test_a_counter_without_its_suffix_does_not_take_the_name_of_when_a_summary_began() -> None:
    """`x_created` beside a summary `x`, where no strategy adds `_total`: the parser would take it for the summary's."""
    store, names = made(Rules(Strategy.UNDERSCORES))
    data = MetricsData()
    metrics = data.resource_metrics.add().scope_metrics.add().metrics
    summary, counter = metrics.add(name="x").summary, metrics.add(name="x_created").sum
    summary.data_points.add(start_time_unix_nano=START, time_unix_nano=START + SECOND)
    counter.is_monotonic, counter.aggregation_temporality = True, 2
    counter.data_points.add(start_time_unix_nano=START, time_unix_nano=START + SECOND, as_int=1)
    store.add(data.SerializeToString(), 1.0, START)
    page = shown(store, names, format=Format.OPENMETRICS).decode()
    assert [family.name for family in text_string_to_metric_families(page)] == ["x"]
    assert b"x_created 1" in shown(store, names)


def test_names_that_are_written_without_utf8_clash_no_more_than_as_they_are() -> None:
    """A counter beside a summary of its name keeps its suffix, also where both are written by the old rules."""
    store, names = made(Rules(Strategy.UTF8_SUFFIXES))
    data = MetricsData()
    metrics = data.resource_metrics.add().scope_metrics.add().metrics
    counter, summary = metrics.add(name="日").sum, metrics.add(name="日").summary
    counter.is_monotonic, counter.aggregation_temporality = True, 2
    counter.data_points.add(start_time_unix_nano=START, time_unix_nano=START + SECOND, as_int=1)
    summary.data_points.add(start_time_unix_nano=START, time_unix_nano=START + SECOND)
    store.add(data.SerializeToString(), 1.0, START)
    page = shown(store, names, format=Format.OPENMETRICS).decode()
    assert {family.name for family in text_string_to_metric_families(page)} == {"__total", "_"}


def canonical(labels: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Labels whose bounds and quantiles are written as in text: OpenMetrics has `1.0` for `1`."""
    return tuple((key, value.removesuffix(".0") if key in ("le", "quantile") else value) for key, value in labels)


def resource_metrics(resource: bytes, metric: bytes) -> bytes:
    """A message of one resource and one metric, both encoded already."""
    return sized(0x0A, sized(0x0A, resource) + sized(0x12, sized(0x12, metric)))


ENCODINGS = {
    "resource": lambda junk: (junk, point_of(b"")),
    "description": lambda junk: (b"", sized(0x12, junk[-40_000:]) + point_of(b"")),
    "attributes": lambda junk: (b"", point_of(junk)),
}


def point_of(junk: bytes) -> bytes:
    """A gauge with one point, whose attribute has a field that nobody knows."""
    key = KeyValue(key="a", value=AnyValue(string_value="b")).SerializeToString()
    point = b"\x31" + bytes(8) + sized(0x3A, key + junk)
    return sized(0x0A, b"x") + sized(0x2A, sized(0x0A, point))


@pytest.mark.parametrize("what", ENCODINGS)
def test_what_always_comes_in_another_encoding_takes_bounded_memory(what: str) -> None:
    """One live series whose resource, description or attributes never come in the same bytes again stays one."""
    store, names = made(Rules())
    tracemalloc.start()
    try:
        before, resident = tracemalloc.get_traced_memory()[0], store.weight
        for at in range(1_000):
            unknown = sized(0x7A, b"%04d" % at * 10_000)
            outcome = store.add(resource_metrics(*ENCODINGS[what](unknown)), float(at), START + at)
            assert outcome == {}
        assert tracemalloc.get_traced_memory()[0] - before < 10_000_000
        assert store.weight - resident < 10_000_000
    finally:
        tracemalloc.stop()
    assert shown(store, names).endswith(b'x{a="b"} 0\n')


def test_long_labels_take_the_room_of_many_series() -> None:
    """What is kept is bounded in bytes, too; beyond it new series are refused, and there is room when old ones go."""
    store, _ = made(Rules(), 10_000)
    refused = 0
    for at in range(1_000):
        metric = number("x", 1, {"a": "b" * 60_000, "n": at}, time=START)
        refused += store.add(payload_of([metric]).SerializeToString(), 1.0, START).get("no_room", 0)
    assert len(store) + refused == 1_000
    assert 400 < len(store) < 600
    assert store.most_bytes < store.weight < store.most_bytes + 200_000
    store.expire(2.0, 2.0)
    assert store.add(payload_of([metric]).SerializeToString(), 3.0, START) == {}


def test_wide_histograms_take_the_room_of_many_series() -> None:
    """Buckets count as much as labels do, also where a series gets more of them later."""
    store, _ = made(Rules(), 10_000)
    for bounds in (1, 4_000):
        for at in range(2_000):
            metric = histogram("h", [1] * (bounds + 1), [float(b) for b in range(bounds)], 1.0, {"n": at})
            outcome = store.add(payload_of([metric]).SerializeToString(), 1.0, START)
    assert (len(store), outcome) == (2_000, {"no_room": 1})
    assert store.weight < store.most_bytes


def test_an_order_of_attributes_that_does_not_come_again_is_forgotten() -> None:
    """While the series goes on; and the order that is in use stays known."""
    store, _ = made(Rules())
    weights = []
    for at in range(9):
        for labels in ({"b": "1", "a": "1", f"empty{at}": ""}, {"b": "1", "a": "1"}):
            metric = number("x", 1, labels, time=START + at)
            store.add(payload_of([metric]).SerializeToString(), float(at), START)
        store.expire(at - 2.0, at - 2.0)
        weights.append(store.weight)
    assert weights[2:] == [weights[2]] * 7


def test_what_is_no_otlp_is_refused() -> None:
    """Bytes that nobody has checked raise an error, wherever they are cut off."""
    store, _ = made(Rules())
    whole = Batch.from_proto(payloads_example()).payload
    for size in range(len(whole)):
        with suppress(ValueError):  # a part may be whole, too
            store.add(whole[:size], 1.0, START)


def payloads_example() -> MetricsData:
    """A message with a point of every type."""
    data = MetricsData()
    scope = data.resource_metrics.add().scope_metrics.add()
    for kind in ("gauge", "sum", "histogram", "exponential_histogram", "summary"):
        metric = scope.metrics.add(name=kind)
        point = getattr(metric, kind).data_points.add(time_unix_nano=START, attributes=attributes({"k": "v"}))
        if kind == "exponential_histogram":
            point.positive.bucket_counts.extend([1, 2])
    return data
