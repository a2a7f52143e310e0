"""Metrics written as bytes are what protobuf would have written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb

from sluiceway.otlp import Signal, accept
from sluiceway.otlp.metrics import (
    NO_RECORDED_VALUE,
    Exemplar,
    ExponentialHistogram,
    Histogram,
    MetricsWriter,
    Temporality,
)
from tests.otlp.strategies import checked
from tests.otlp.test_anyvalue import plain

INTEGERS = st.integers(-(2**63), 2**63 - 1)
NUMBERS = st.one_of(INTEGERS, st.floats(allow_nan=False))
COUNTS = st.integers(0, 2**40)
TIMES = st.integers(0, 2**64 - 1)
ATTRIBUTES = st.dictionaries(st.text(), st.one_of(st.text(), st.booleans(), INTEGERS), max_size=3)
EXEMPLARS = st.lists(
    st.builds(
        Exemplar, NUMBERS, TIMES, st.sampled_from([b"", b"t" * 16]), st.sampled_from([b"", b"s" * 8]), ATTRIBUTES
    ),
    max_size=2,
)
BUCKETS = st.tuples(st.integers(-(2**31), 2**31 - 1), st.lists(COUNTS, max_size=4))
MAYBE = st.none() | st.floats(allow_nan=False)


def written(writer: MetricsWriter) -> pb.MetricsData:
    """What protobuf reads; what was written must pass the door as any sender's bytes do."""
    batch = writer.batch()
    taken = accept(Signal.METRICS, batch.payload)
    assert (taken.payload, taken.items) == (batch.payload, batch.items)
    return batch.proto()


def only(writer: MetricsWriter) -> pb.Metric:
    """The single metric that was written."""
    return written(writer).resource_metrics[0].scope_metrics[0].metrics[0]


def attributes(message) -> dict:
    """The attributes of a message, in Python."""
    return {entry.key: plain(entry.value) for entry in message.attributes}


def check_exemplars(found, given) -> None:
    """Exemplars are there with all they have."""
    assert len(found) == len(given)
    for one, other in zip(found, given, strict=True):
        value = one.as_int if isinstance(other.value, int) else one.as_double
        assert (value, one.time_unix_nano, one.trace_id, one.span_id) == (
            other.value, other.time, other.trace_id, other.span_id
        )  # fmt: skip
        assert {entry.key: plain(entry.value) for entry in one.filtered_attributes} == other.attributes


@checked
@given(NUMBERS, ATTRIBUTES, TIMES, TIMES, EXEMPLARS, st.booleans(), st.sampled_from(Temporality))
def test_a_sum_is_what_protobuf_reads(value, labels, time, start, exemplars, monotonic, temporality):
    """Integers stay integers, doubles doubles, and all that belongs to a point stands in it."""
    writer = MetricsWriter("scope", "1.0")
    metric = writer.resource({"service.name": "x"}).sum("a", "By", "text", monotonic=monotonic, temporality=temporality)
    metric.add(value, labels, time=time, start=start, exemplars=exemplars, flags=NO_RECORDED_VALUE)
    found = only(writer)
    assert (found.name, found.unit, found.description) == ("a", "By", "text")
    assert (found.sum.is_monotonic, found.sum.aggregation_temporality) == (monotonic, temporality)
    (point,) = found.sum.data_points
    assert point.WhichOneof("value") == ("as_int" if isinstance(value, int) else "as_double")
    assert getattr(point, point.WhichOneof("value")) == value
    assert (attributes(point), point.time_unix_nano, point.start_time_unix_nano, point.flags) == (
        labels,
        time,
        start,
        1,
    )
    check_exemplars(point.exemplars, exemplars)


@checked
@given(st.lists(COUNTS, min_size=3, max_size=3), MAYBE, MAYBE, MAYBE, ATTRIBUTES, EXEMPLARS)
def test_a_histogram_is_what_protobuf_reads(counts, total, low, high, labels, exemplars):
    """What is not known is not there, and the count is that of the buckets."""
    writer = MetricsWriter()
    metric = writer.resource().histogram("h", "s", temporality=Temporality.DELTA)
    metric.add_histogram(Histogram([0.5, 1.0], counts, total, low, high), labels, time=2, start=1, exemplars=exemplars)
    found = only(writer).histogram
    assert found.aggregation_temporality == Temporality.DELTA
    (point,) = found.data_points
    assert (list(point.explicit_bounds), list(point.bucket_counts), point.count) == ([0.5, 1.0], counts, sum(counts))
    for name, value in (("sum", total), ("min", low), ("max", high)):
        assert (getattr(point, name) if point.HasField(name) else None) == value
    assert (attributes(point), point.start_time_unix_nano, point.time_unix_nano) == (labels, 1, 2)
    check_exemplars(point.exemplars, exemplars)


@checked
@given(st.integers(-11, 20), BUCKETS, BUCKETS, COUNTS, MAYBE, st.floats(0, 1), ATTRIBUTES, EXEMPLARS)
def test_an_exponential_histogram_is_what_protobuf_reads(
    scale, positive, negative, zeros, total, threshold, labels, exemplars
):
    """Offsets and scales have signs; buckets that are empty are not there."""
    writer = MetricsWriter()
    value = ExponentialHistogram(scale, positive, negative, zeros, threshold, total)
    writer.resource().exponential("e").add_exponential(value, labels, time=2, exemplars=exemplars, flags=1)
    (point,) = only(writer).exponential_histogram.data_points
    assert (point.scale, point.zero_count, point.zero_threshold, point.flags) == (scale, zeros, threshold, 1)
    for found, (offset, counts) in ((point.positive, positive), (point.negative, negative)):
        assert (found.offset, list(found.bucket_counts)) == (offset if counts else 0, counts)
    assert point.count == sum(positive[1]) + sum(negative[1]) + zeros
    assert (point.sum if point.HasField("sum") else None) == total
    assert attributes(point) == labels
    check_exemplars(point.exemplars, exemplars)


def test_a_summary_is_what_protobuf_reads():
    """Its quantiles are pairs."""
    writer = MetricsWriter()
    writer.resource().summary("s").add_summary(3, 4.5, [(0.5, 1.0), (0.99, 2.0)], {"a": "b"}, time=2, start=1)
    (point,) = only(writer).summary.data_points
    assert (point.count, point.sum, attributes(point)) == (3, 4.5, {"a": "b"})
    assert [(q.quantile, q.value) for q in point.quantile_values] == [(0.5, 1.0), (0.99, 2.0)]


def test_metrics_stand_under_their_resource_and_scope():
    """A metric that is asked for twice is one, and what has no points is not there."""
    writer = MetricsWriter("scope", "1.0")
    first, second = writer.resource({"host.name": "a"}), writer.resource({"host.name": "b"})
    writer.resource({"host.name": "empty"}).gauge("none")
    first.gauge("load").add(1, time=1)
    first.gauge("load").add(2, time=1)
    first.gauge("empty")
    second.gauge("load").add(3, time=1)
    data = written(writer)
    assert [attributes(entry.resource) for entry in data.resource_metrics] == [{"host.name": "a"}, {"host.name": "b"}]
    (scope,) = data.resource_metrics[0].scope_metrics
    assert (scope.scope.name, scope.scope.version) == ("scope", "1.0")
    assert [(metric.name, len(metric.gauge.data_points)) for metric in scope.metrics] == [("load", 2)]
    assert writer.points == 3


def test_equal_values_of_other_types_are_not_taken_for_each_other():
    """True equals 1 in Python, and is another attribute."""
    writer = MetricsWriter()
    metric = writer.resource().gauge("g")
    for value in (1, True, 1.0, "1"):
        metric.add(0, {"a": value}, time=1)
    found = [point.attributes[0].value.WhichOneof("value") for point in only(writer).gauge.data_points]
    assert found == ["int_value", "bool_value", "double_value", "string_value"]


@pytest.mark.parametrize("text", ["caf\udce9", "\ud800", "a\udcff\udcfeb"])
def test_texts_that_are_no_unicode_are_repaired(text):
    """Names of files and processes may hold any bytes."""
    writer = MetricsWriter(text)
    writer.resource({text: text}).gauge(text, text, text).add(1, {text: text}, time=1)
    assert "\ufffd" in only(writer).name


def test_an_integer_beyond_64_bits_is_a_double():
    """Counters of some systems are unsigned."""
    writer = MetricsWriter()
    writer.resource().gauge("g").add(2**64 - 1, time=1)
    assert only(writer).gauge.data_points[0].as_double == 2.0**64
