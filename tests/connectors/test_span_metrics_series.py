"""The kernel of `span_metrics` against an aggregation of protobuf objects that is written plainly."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from contextlib import suppress
from fnmatch import translate
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1 import trace_pb2 as pb

from sluiceway.connectors.span_metrics import SpanMetricsConfig, series_of
from sluiceway.otlp import Signal, accept
from sluiceway.otlp._span_metrics import SpanSeries
from tests.otlp.strategies import Wire, checked, payloads

KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
CODES = ("UNSET", "OK", "ERROR")
KEYS = ("route", "op", "service.name")
VALUES = st.one_of(st.text(max_size=3), st.booleans(), st.integers(-5, 5), st.sampled_from([0.5, -1.0]))
ATTRIBUTES = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=3)
TIMES = st.one_of(st.integers(0, 100), st.integers(0, 20_000_000_000), st.integers(0, 2**62))
SPANS = st.tuples(st.sampled_from(["GET", "POST", ""]), st.integers(0, 5), st.integers(0, 2), TIMES, TIMES, ATTRIBUTES)
RESOURCES = st.lists(st.tuples(ATTRIBUTES, st.lists(SPANS, max_size=8)), max_size=4)


def series(**settings: Any) -> SpanSeries:
    """The series of a connector with these settings."""
    return series_of(SpanMetricsConfig.model_validate(settings))


def pack(message: Any, attributes: dict[str, Any]) -> None:
    """Add attributes to a protobuf message."""
    for key, value in attributes.items():
        entry = message.attributes.add(key=key)
        match value:
            case bool():
                entry.value.bool_value = value
            case int():
                entry.value.int_value = value
            case float():
                entry.value.double_value = value
            case _:
                entry.value.string_value = value


def traces(resources: list[Any]) -> pb.TracesData:
    """The drawn spans as protobuf."""
    data = pb.TracesData()
    for attributes, spans in resources:
        entry = data.resource_spans.add()
        pack(entry.resource, attributes)
        scope = entry.scope_spans.add()
        for name, kind, code, start, end, own in spans:
            span = scope.spans.add(name=name, kind=kind, start_time_unix_nano=start, end_time_unix_nano=end)
            span.status.code = code
            pack(span, own)
    return data


def plain(value: Any) -> Any:
    """A value with its type, so that 1 and True differ."""
    member = value.WhichOneof("value")
    return member, getattr(value, member) if member else None


def read(made: SpanSeries, now: int = 9) -> dict[str, dict[Any, Any]]:
    """What a flush tells, by metric and attributes, as protobuf reads it; its bytes must pass the door."""
    payload, points = made.flush(now)
    batch = accept(Signal.METRICS, payload)
    assert batch.items == points
    found: dict[str, dict[Any, Any]] = defaultdict(dict)
    for resource in batch.proto().resource_metrics:
        for metric in resource.scope_metrics[0].metrics:
            for point in getattr(metric, metric.WhichOneof("data")).data_points:
                key = frozenset((a.key, plain(a.value)) for a in point.attributes)
                assert key not in found[metric.name]
                found[metric.name][key] = point
    return found


def expected(resources: list[Any]) -> dict[Any, list[int]]:
    """The durations in nanoseconds, by attributes."""
    found: dict[Any, list[int]] = defaultdict(list)
    for resource, spans in resources:
        for name, kind, code, start, end, own in spans:
            key = {
                "span.name": name,
                "span.kind": f"SPAN_KIND_{KINDS[kind]}",
                "status.code": f"STATUS_CODE_{CODES[code]}",
            }
            if "service.name" in resource:
                key["service.name"] = resource["service.name"]
            key["op"] = own.get("op", resource.get("op", "none"))
            if (route := own.get("route", resource.get("route"))) is not None:
                key["route"] = route
            found[frozenset((k, typed(v)) for k, v in key.items())].append(max(end - start, 0))
    return found


def typed(value: Any) -> tuple[str, Any]:
    """A value as `plain` tells it."""
    return {bool: "bool_value", int: "int_value", float: "double_value", str: "string_value"}[type(value)], value


DIMENSIONS = [{"name": "route"}, {"name": "op", "default": "none"}]


@given(RESOURCES, st.booleans())
def test_calls_and_explicit_histograms_are_those_of_a_plain_count(resources: list[Any], twice: bool) -> None:
    """Every span counts once in its series, and in the bucket of its duration, whatever its attributes are."""
    made = series(dimensions=DIMENSIONS)
    data = traces(resources)
    made.add(data.SerializeToString(), 5)
    wanted = expected(resources)
    if twice:
        made.add(data.SerializeToString(), 6)
        wanted = {key: [*durations, *durations] for key, durations in wanted.items()}
    found = read(made)
    assert {k: p.as_int for k, p in found["traces.span.metrics.calls"].items()} == {
        k: len(d) for k, d in wanted.items()
    }
    for key, point in found["traces.span.metrics.duration"].items():
        values = [ns * 1e-6 for ns in wanted[key]]
        bounds = [*point.explicit_bounds, math.inf]
        counts = Counter(next(i for i, bound in enumerate(bounds) if value <= bound) for value in values)
        assert list(point.bucket_counts) == [counts[i] for i in range(len(bounds))]
        assert (point.count, point.min, point.max) == (len(values), min(values), max(values))
        assert point.sum == pytest.approx(sum(values))
        assert (point.start_time_unix_nano, point.time_unix_nano) == (5, 9)


GLOBBED = st.dictionaries(st.text("a.bé", max_size=4), VALUES, max_size=5)
PATTERNS = st.text("a.bé*?", min_size=1, max_size=4)


@given(st.lists(st.tuples(GLOBBED, GLOBBED), max_size=5), PATTERNS, PATTERNS, st.randoms())
def test_a_pattern_makes_dimensions_of_all_that_it_matches(drawn: Any, first: str, second: str, random: Any) -> None:
    """Of the span or else the resource, whatever their order; what has a dimension of its own is left out."""
    assume(first not in ("a", f"{second}*"))
    made = series(
        dimensions=[{"name": "a"}, {"glob": first}, {"glob": f"{second}*"}],
        exclude_dimensions=["span.name", "span.kind", "status.code"],
    )
    wanted: Counter[Any] = Counter()
    fits = [re.compile(translate(pattern)) for pattern in (first, f"{second}*")]
    for resource, attributes in [*drawn, *drawn]:
        own = dict(random.sample(list(attributes.items()), len(attributes)))
        made.add(traces([(resource, [("x", 0, 0, 0, 1, own)])]).SerializeToString(), 5)
        found = {key: value for key, value in (resource | own).items() if key == "a" or any(f.match(key) for f in fits)}
        wanted[frozenset((key, typed(value)) for key, value in found.items())] += 1
    assert {key: point.as_int for key, point in read(made).get("traces.span.metrics.calls", {}).items()} == wanted


def test_a_pattern_makes_no_dimension_of_a_default_ones_name() -> None:
    """An attribute called `span.kind` does not stand beside the kind; and one metric's patterns are not another's."""
    made = series(dimensions=[{"glob": "span.*"}], calls_dimensions=[{"glob": "http.*"}])
    own = {"span.kind": "mine", "span.x": 1, "http.route": "/"}
    made.add(traces([({}, [("x", 1, 1, 0, 5, own)])]).SerializeToString(), 5)
    found = read(made)
    (calls,), (duration,) = found["traces.span.metrics.calls"], found["traces.span.metrics.duration"]
    assert calls - duration == {("http.route", ("string_value", "/"))}
    assert dict(duration)["span.kind"] == ("string_value", "SPAN_KIND_INTERNAL")
    assert dict(duration)["span.x"] == ("int_value", 1)


def test_patterns_find_no_more_than_a_bound() -> None:
    """Of a span with very many attributes those that come first by name become dimensions, in whatever order."""
    names = [f"a{number:03}" for number in range(200)]
    made = series(calls_dimensions=[{"glob": "a*"}], exclude_dimensions=["span.name", "span.kind", "status.code"])
    for order in (names, names[::-1], names[100:] + names[:100]):
        made.add(traces([({}, [("x", 0, 0, 0, 1, dict.fromkeys(order, True))])]).SerializeToString(), 5)
    ((key, point),) = read(made)["traces.span.metrics.calls"].items()
    assert ({name for name, _ in key}, point.as_int) == (set(names[:64]), 3)


@given(st.lists(TIMES, min_size=1, max_size=60), st.sampled_from([2, 3, 20, 160]))
def test_exponential_histograms_hold_every_value_between_its_bounds(ends: list[int], size: int) -> None:
    """The buckets cover the values in order, are no more than `max_size`, and are as fine as that allows."""
    made = series(histogram={"exponential": {"max_size": size}, "unit": "s"})
    made.add(traces([({}, [("a", 1, 0, 0, end, {}) for end in ends])]).SerializeToString(), 5)
    (point,) = read(made)["traces.span.metrics.duration"].values()
    values = sorted(end * 1e-9 for end in ends if end)
    assert (point.zero_count, point.count) == (ends.count(0), len(ends))
    counts = list(point.positive.bucket_counts)
    assert sum(counts) == len(values)
    assert len(counts) <= size
    if not values:
        return
    place = 0
    for index, count in enumerate(counts, point.positive.offset):
        for value in values[place : place + count]:
            logarithm = math.log2(value)
            assert index / 2.0**point.scale - 1e-12 * max(1, abs(logarithm)) <= logarithm
            assert logarithm <= (index + 1) / 2.0**point.scale + 1e-12 * max(1, abs(logarithm))
        place += count
    if point.scale < 20:  # one step finer they would not have fitted
        low, high = (math.ceil(math.log2(v) * 2.0 ** (point.scale + 1)) - 1 for v in (values[0], values[-1]))
        assert high - low + 1 >= size


@checked
@given(payloads(Signal.TRACES))
def test_any_payload_that_passes_the_door_is_counted(drawn: Wire) -> None:
    """Fields in any order, in pieces, unknown or empty: each span counts once, under protobuf's view of it."""
    batch = accept(*drawn)
    made = series(add_resource_attributes=True, events={"enabled": True, "dimensions": [{"name": "a"}]})
    made.add(batch.payload, 5)
    flushed = accept(Signal.METRICS, made.flush(9)[0]).proto()
    told: Counter[Any] = Counter()
    for resource in flushed.resource_metrics:
        for metric in resource.scope_metrics[0].metrics:
            for point in metric.sum.data_points:
                names = {a.key: a.value.string_value for a in point.attributes}
                told[metric.name.rpartition(".")[2], names["span.name"], names["span.kind"], names["status.code"]] += (
                    point.as_int
                )
    wanted: Counter[Any] = Counter()
    for entry in batch.proto().resource_spans:
        for span in (span for scope in entry.scope_spans for span in scope.spans):
            kind = KINDS[span.kind if 0 <= span.kind < 6 else 0]
            code = CODES[span.status.code if 0 <= span.status.code < 3 else 0]
            key = (span.name, f"SPAN_KIND_{kind}", f"STATUS_CODE_{code}")
            wanted["calls", *key] += 1
            wanted["events", *key] += len(span.events)
    assert +told == +wanted


def test_powers_of_two_are_the_upper_bounds_of_their_buckets() -> None:
    """At scales of zero and below too, after many halvings: the bounds are inclusive above."""
    made = series(histogram={"exponential": {"max_size": 4}, "unit": "s"})
    ends = [1_000_000_000 << n for n in range(16)]
    made.add(traces([({}, [("a", 1, 0, 0, end, {}) for end in ends])]).SerializeToString(), 5)
    (point,) = read(made)["traces.span.metrics.duration"].values()
    width = Fraction(2) ** -point.scale
    counts = Counter(math.ceil(Fraction(n) / width) - 1 for n in range(16))
    low = min(counts)
    assert point.positive.offset == low
    assert list(point.positive.bucket_counts) == [counts[i] for i in range(low, max(counts) + 1)]


def test_parts_that_protobuf_merges_are_merged() -> None:
    """A resource and a status in two pieces, behind what they belong to, count as one."""
    first = traces([({"service.name": "a"}, [("x", 2, 2, 0, 5, {})])]).resource_spans[0]
    body = b"".join(
        tag + bytes([len(part)]) + part
        for tag, part in (
            (b"\x12", first.scope_spans[0].SerializeToString()),
            (b"\x0a", b""),
            (b"\x0a", first.resource.SerializeToString()),
            (b"\x0a", b""),
        )
    )
    made = series()
    made.add(b"\x0a" + bytes([len(body)]) + body, 5)
    (key,) = read(made)["traces.span.metrics.calls"]
    assert ("service.name", ("string_value", "a")) in key
    assert ("status.code", ("string_value", "STATUS_CODE_ERROR")) in key


def test_series_beyond_the_limit_overflow_without_a_loss() -> None:
    """The first series stay; all else counts in the one marked `otel.metric.overflow`."""
    made = series(aggregation_cardinality_limit=2)
    made.add(traces([({}, [(f"s{n}", 1, 0, 0, 1, {}) for n in range(10)])]).SerializeToString(), 5)
    calls = read(made)["traces.span.metrics.calls"]
    assert calls[frozenset([("otel.metric.overflow", ("bool_value", True))])].as_int == 8
    assert sum(point.as_int for point in calls.values()) == 10
    assert len(calls) == 3


def test_memory_is_bounded_without_a_limit_of_series() -> None:
    """A sender with a new name in every span fills no more than `max_held_bytes`, and no span is lost."""
    made = series(max_held_bytes=65536)
    made.add(traces([({}, [(f"s{n}" * 20, 1, 0, 0, 1, {}) for n in range(3000)])]).SerializeToString(), 5)
    assert made.held < 65536 + 2000
    calls = read(made)["traces.span.metrics.calls"]
    assert sum(point.as_int for point in calls.values()) == 3000


def test_a_bounded_dimension_has_so_many_values_and_one_for_the_rest() -> None:
    """The allowed values, then those seen first, are told apart; others are `_OTHER`."""
    made = series(dimensions=[{"name": "op", "values": ["a"], "max_values": 2}])
    spans = [("x", 1, 0, 0, 1, {"op": op}) for op in ("b", "c", "a", "d", "b", 7)]
    made.add(traces([({}, spans)]).SerializeToString(), 5)
    calls = read(made)["traces.span.metrics.calls"]
    assert {dict(key)["op"][1]: p.as_int for key, p in calls.items()} == {"a": 1, "b": 2, "_OTHER": 3}


def test_exemplars_name_spans_and_begin_anew_with_each_flush() -> None:
    """At most so many for each point, with the ids and the duration of their span."""
    made = series(exemplars={"enabled": True, "max_per_data_point": 2}, histogram={"exponential": {}})
    data = traces([({}, [("x", 1, 0, 0, 5_000_000, {})] * 3)])
    for span in data.resource_spans[0].scope_spans[0].spans:
        span.trace_id, span.span_id = b"t" * 16, b"s" * 8
    made.add(data.SerializeToString(), 5)
    (point,) = read(made)["traces.span.metrics.duration"].values()
    assert [(e.trace_id, e.span_id, e.as_double) for e in point.exemplars] == [(b"t" * 16, b"s" * 8, 5.0)] * 2
    (point,) = read(made)["traces.span.metrics.duration"].values()
    assert not point.exemplars


def test_events_are_told_apart_by_their_own_attributes() -> None:
    """Each event counts, by its attributes before those of its span."""
    made = series(events={"enabled": True, "dimensions": [{"name": "exception.type"}]})
    data = traces([({}, [("x", 1, 0, 0, 1, {})])])
    for kind in ("A", "B", "A"):
        pack(data.resource_spans[0].scope_spans[0].spans[0].events.add(name="exception"), {"exception.type": kind})
    made.add(data.SerializeToString(), 5)
    events = read(made)["traces.span.metrics.events"]
    assert {dict(key)["exception.type"][1]: p.as_int for key, p in events.items()} == {"A": 2, "B": 1}


def test_resources_are_told_apart_with_their_attributes() -> None:
    """With `add_resource_attributes` each resource has metrics of its own; beyond the cache they share one."""
    made = series(add_resource_attributes=True, resource_metrics_cache_size=2)
    made.add(traces([({"service.name": f"s{n}"}, [("x", 1, 0, 0, 1, {})]) for n in range(4)]).SerializeToString(), 5)
    data = accept(Signal.METRICS, made.flush(9)[0]).proto()
    names = [[a.value.string_value for a in r.resource.attributes] for r in data.resource_metrics]
    assert names == [["s0"], ["s1"], []]


def test_an_expired_series_starts_anew() -> None:
    """What was not seen for long is gone, and its start is new when it comes back."""
    made = series()
    payload = traces([({}, [("x", 1, 0, 0, 1, {})])]).SerializeToString()
    made.add(payload, 5)
    made.expire(6, 0)
    assert (len(made), made.held) == (0, 0)
    made.add(payload, 7)
    (point,) = read(made)["traces.span.metrics.calls"].values()
    assert (point.as_int, point.start_time_unix_nano) == (1, 7)


@checked
@given(payloads(Signal.TRACES), st.lists(st.tuples(st.integers(0, 2**31), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_bytes_raise_and_never_crash(drawn: Wire, damage: list[tuple[int, int]]) -> None:
    """What never passed the door is counted or refused by a `ValueError`."""
    raw = bytearray(drawn[1] or b"\n")
    for place, value in damage:
        raw[place % len(raw)] = value
    with suppress(ValueError):
        series(include_instrumentation_scope=["a"]).add(bytes(raw), 5)
