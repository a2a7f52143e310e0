"""`verbosity: detailed` for metrics: descriptor, then every data point with all it holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from sluiceway.exporters.debug.metric_math import exponential_bounds
from sluiceway.exporters.debug.values import attribute_lines, hexadecimal, moment

if TYPE_CHECKING:
    from opentelemetry.proto.metrics.v1.metrics_pb2 import Exemplar, Metric

__all__ = ["metric_lines"]

_TYPES: Final = {
    "gauge": ("Gauge", "NumberDataPoints"),
    "sum": ("Sum", "NumberDataPoints"),
    "histogram": ("Histogram", "HistogramDataPoints"),
    "exponential_histogram": ("ExponentialHistogram", "ExponentialHistogramDataPoints"),
    "summary": ("Summary", "SummaryDataPoints"),
}
_TEMPORALITIES: Final = ("Unspecified", "Delta", "Cumulative")


def metric_lines(index: int, metric: Metric) -> Iterator[str]:
    """One metric with its data points."""
    kind = metric.WhichOneof("data") or ""
    name, title = _TYPES.get(kind, ("Empty", ""))
    yield f"Metric #{index}"
    yield "Descriptor:"
    yield f"     -> Name: {metric.name}"
    yield f"     -> Description: {metric.description}"
    yield f"     -> Unit: {metric.unit}"
    yield f"     -> DataType: {name}"
    if kind:
        yield from _aggregation(kind, getattr(metric, kind))
    yield from attribute_lines("     -> Metadata:", metric.metadata, " " * 10)
    for number, point in enumerate(getattr(metric, kind).data_points if kind else ()):
        yield f"{title} #{number}"
        yield from _point(kind, point)


def _aggregation(kind: str, data: Any) -> Iterator[str]:
    if kind == "sum":
        yield f"     -> IsMonotonic: {str(data.is_monotonic).lower()}"
    if kind in ("sum", "histogram", "exponential_histogram"):
        known = data.aggregation_temporality < len(_TEMPORALITIES)
        yield f"     -> AggregationTemporality: {_TEMPORALITIES[data.aggregation_temporality] if known else ''}"


def _point(kind: str, point: Any) -> Iterator[str]:
    yield from attribute_lines("Data point attributes:", point.attributes)
    yield f"StartTimestamp: {moment(point.start_time_unix_nano)}"
    yield f"Timestamp: {moment(point.time_unix_nano)}"
    yield from _VALUES[kind](point)
    if kind != "summary":
        yield from _exemplars(point.exemplars)


def _number(point: Any) -> Iterator[str]:
    if point.WhichOneof("value"):
        yield f"Value: {_value(point)}"


def _summed(point: Any) -> Iterator[str]:
    yield f"Count: {point.count}"
    for field in ("sum", "min", "max"):
        if point.HasField(field):
            yield f"{field.title()}: {getattr(point, field):f}"


def _histogram(point: Any) -> Iterator[str]:
    yield from _summed(point)
    for index, bound in enumerate(point.explicit_bounds):
        yield f"ExplicitBounds #{index}: {bound:f}"
    for index, count in enumerate(point.bucket_counts):
        yield f"Buckets #{index}, Count: {count}"


def _exponential(point: Any) -> Iterator[str]:
    yield from _summed(point)
    for low, high, count in exponential_bounds(point):
        if high > 0:
            yield f"Bucket ({low:f}, {high:f}], Count: {count}"
        elif low < 0:
            yield f"Bucket [{low:f}, {high:f}), Count: {count}"
        else:
            yield f"Bucket [0, 0], Count: {count}"


def _summary(point: Any) -> Iterator[str]:
    yield f"Count: {point.count}"
    yield f"Sum: {point.sum:f}"
    for index, quantile in enumerate(point.quantile_values):
        yield f"QuantileValue #{index}: Quantile {quantile.quantile:f}, Value {quantile.value:f}"


def _exemplars(exemplars: Any) -> Iterator[str]:
    if exemplars:
        yield "Exemplars:"
    exemplar: Exemplar
    for index, exemplar in enumerate(exemplars):
        yield f"Exemplar #{index}"
        yield f"     -> Trace ID: {hexadecimal(exemplar.trace_id)}"
        yield f"     -> Span ID: {hexadecimal(exemplar.span_id)}"
        yield f"     -> Timestamp: {moment(exemplar.time_unix_nano)}"
        if exemplar.WhichOneof("value"):
            yield f"     -> Value: {_value(exemplar)}"
        yield from attribute_lines("     -> FilteredAttributes:", exemplar.filtered_attributes, " " * 10)


def _value(point: Any) -> str:
    return f"{point.as_double:f}" if point.WhichOneof("value") == "as_double" else str(point.as_int)


_VALUES: Final = {
    "gauge": _number,
    "sum": _number,
    "histogram": _histogram,
    "exponential_histogram": _exponential,
    "summary": _summary,
}
