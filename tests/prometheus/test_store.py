"""The store of series, beside a model in plain Python over protobuf objects."""

from __future__ import annotations

from contextlib import suppress
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, MetricsData

from sluiceway.otlp import Batch, Signal, accept
from sluiceway.prometheus._page import Page
from sluiceway.prometheus._store import Store
from sluiceway.prometheus.families import Format
from sluiceway.prometheus.translation import Rules, Translation
from tests.exporters.prometheus.bench import SECOND, START, attributes
from tests.otlp.strategies import checked, payload
from tests.prometheus.model import Model, read_page, scrambled

KEYS = ["a.b", "a_b", "le", "job", "quantile", "5x", "日本"]
VALUES: list[Any] = ["", "x", 'q"\\\n', "日", 1, -1, True, 0.5, 1e-9, b"\0\xff", ["a", 1], {"k": [1.5, b"z"]}]
labels = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=3)
resources = st.dictionaries(
    st.sampled_from(["service.name", "service.namespace", "service.instance.id", "host.name", "host"]),
    st.sampled_from(["a", "b", ""]), max_size=4,
)  # fmt: skip
numbers = st.one_of(st.integers(-3, 50), st.floats(-10, 100, width=32), st.sampled_from([2**62, 1e300, -0.0]))
ends = st.integers(1, 9)


@st.composite
def points(draw: st.DrawFn, kind: str, point: Any) -> None:
    """Fill a data point."""
    end = draw(ends)
    point.time_unix_nano = draw(st.sampled_from([START + end * SECOND] * 9 + [0]))
    point.start_time_unix_nano = draw(st.sampled_from([START + (end - 1) * SECOND] * 5 + [START, 0]))
    point.attributes.extend(attributes(draw(labels)))
    point.flags = draw(st.sampled_from([0] * 15 + [1]))
    if kind in ("gauge", "sum"):
        value = draw(numbers)
        setattr(point, "as_int" if isinstance(value, int) else "as_double", value)
        return
    point.count = draw(st.integers(0, 9))
    if kind == "summary" or draw(st.booleans()):
        point.sum = draw(st.integers(-5, 50)) / 4
    if kind == "histogram":
        bounds = draw(st.sampled_from([[], [1.0], [0.5, 1.0], [0.5, 1.0], [1.0, float("inf")], [2.0, 1.0]]))
        point.explicit_bounds.extend(bounds)
        if bounds or draw(st.booleans()):
            point.bucket_counts.extend(draw(st.integers(0, 4)) for _ in range(len(bounds) + 1))
    elif kind == "summary":
        for quantile in draw(st.lists(st.sampled_from([0.5, 0.9, 0.99, 1.0, 0.0]), max_size=3)):
            point.quantile_values.add(quantile=quantile, value=draw(st.integers(0, 9)) / 2)
    else:
        point.scale, point.zero_count = draw(st.integers(-5, 11)), draw(st.integers(0, 2))
        for side in (point.positive, point.negative):
            side.offset = draw(st.integers(-3, 3)) if point.scale < 0 else draw(st.integers(-40, 40))
            side.bucket_counts.extend(draw(st.lists(st.integers(0, 3), max_size=7 if point.scale < 0 else 30)))


@st.composite
def metrics(draw: st.DrawFn) -> Metric:
    """A metric of any type, with a name that others have, too."""
    kind = draw(st.sampled_from(["gauge", "sum", "sum", "histogram", "exponential_histogram", "summary"]))
    name = draw(st.sampled_from(["x", "x.total", "x_count", "日", kind, kind, kind]))
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


def shown(store: Store, names: Translation, most: int = 3) -> bytes:
    """The page in text, in slices."""
    page, parts = Page(store, names.claims, Format.TEXT, utf8=False, timestamps=False, limit=0.0), []
    while (part := page.slice(most)) is not None:
        parts.append(part)
    page.close()
    return b"".join(parts)


def made(rules: Rules, most: int = 1_000) -> tuple[Store, Translation]:
    """An empty store and what it asks."""
    names = Translation(rules)
    return Store(names, max_series=most, with_exemplars=False, seed=1), names


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
    store, names = made(Rules())
    for seed in seeds:
        batch = accept(Signal.METRICS, payload(Random(seed), Signal.METRICS, True))
        outcome = store.add(batch.payload, 1.0, START)
        assert sum(outcome.values()) <= 2 * batch.items
    read_page(shown(store, names))
    store.expire(2.0)
    assert (len(store), store.stream_count, read_page(shown(store, names))) == (0, 0, {})


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
