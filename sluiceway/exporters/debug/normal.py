"""`verbosity: normal`: a line for each resource and scope, and about one for each span, data point and record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sluiceway.exporters.debug.metric_math import exponential_bounds
from sluiceway.exporters.debug.values import hexadecimal, number, pairs, text
from sluiceway.otlp import Signal

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
    from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

__all__ = ["normal"]


def normal(signal: Signal, message: Any) -> Iterator[str]:
    """The lines of one batch, given as its protobuf object."""
    match signal:
        case Signal.TRACES:
            for i, entry in enumerate(message.resource_spans):
                yield _resource("ResourceTraces", i, entry)
                for j, scope in enumerate(entry.scope_spans):
                    yield _scope("ScopeTraces", j, scope)
                    yield from map(_span, scope.spans)
        case Signal.METRICS:
            for i, entry in enumerate(message.resource_metrics):
                yield _resource("ResourceMetrics", i, entry)
                for j, scope in enumerate(entry.scope_metrics):
                    yield _scope("ScopeMetrics", j, scope)
                    for metric in scope.metrics:
                        yield from _points(metric)
        case Signal.LOGS:
            for i, entry in enumerate(message.resource_logs):
                yield _resource("ResourceLog", i, entry)
                for j, scope in enumerate(entry.scope_logs):
                    yield _scope("ScopeLog", j, scope)
                    yield from map(_record, scope.log_records)


def _resource(title: str, index: int, entry: Any) -> str:
    return _words(f"{title} #{index}", entry.schema_url and f"[{entry.schema_url}]", pairs(entry.resource.attributes))


def _scope(title: str, index: int, entry: Any) -> str:
    scope: InstrumentationScope = entry.scope
    name = scope.name + (f"@{scope.version}" if scope.version else "")
    return _words(f"{title} #{index}", name, entry.schema_url and f"[{entry.schema_url}]", pairs(scope.attributes))


def _span(span: Span) -> str:
    return _words(span.name, hexadecimal(span.trace_id), hexadecimal(span.span_id), pairs(span.attributes))


def _record(record: LogRecord) -> str:
    return _words(text(record.body), pairs(record.attributes))


def _points(metric: Metric) -> Iterator[str]:
    kind = metric.WhichOneof("data")
    for point in getattr(metric, kind).data_points if kind else ():
        yield _words(f"{metric.name}{{{pairs(point.attributes, ',')}}}", *_VALUES[kind or ""](point))


def _number(point: Any) -> Iterator[str]:
    kind = point.WhichOneof("value")
    yield "" if kind is None else number(point.as_double) if kind == "as_double" else str(point.as_int)


def _summed(point: Any) -> Iterator[str]:
    yield f"count={point.count}"
    for field in ("sum", "min", "max"):
        if point.HasField(field):
            yield f"{field}={number(getattr(point, field))}"


def _histogram(point: Any) -> Iterator[str]:
    yield from _summed(point)
    bounds = [f"le{number(bound)}=" for bound in point.explicit_bounds]
    for index, count in enumerate(point.bucket_counts):
        yield f"{bounds[index] if index < len(bounds) else ''}{count}"


def _exponential(point: Any) -> Iterator[str]:
    yield from _summed(point)
    for _, upper, count in exponential_bounds(point):
        yield f"le{number(upper)}={count}"


def _summary(point: Any) -> Iterator[str]:
    yield f"count={point.count}"
    yield f"sum={point.sum:f}"
    for quantile in point.quantile_values:
        yield f"q{number(quantile.quantile)}={number(quantile.value)}"


_VALUES = {
    "gauge": _number,
    "sum": _number,
    "histogram": _histogram,
    "exponential_histogram": _exponential,
    "summary": _summary,
}


def _words(*words: str) -> str:
    return " ".join(filter(None, words))
