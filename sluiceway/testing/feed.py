"""Small, realistic batches to feed to components."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluiceway.otlp import Batch, Origin, Signal

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope, KeyValue
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource

__all__ = ["items", "logs", "metrics", "spans"]

_START = 1_700_000_000_000_000_000


def items(signal: Signal, count: int = 1, *, service: str = "cart", origin: Origin | None = None) -> Batch:
    """A batch of `count` spans, data points or log records of one service, always the same for the same arguments."""
    make = {Signal.TRACES: spans, Signal.METRICS: metrics, Signal.LOGS: logs}[signal]
    return make(count, service=service, origin=origin)


def spans(count: int = 1, *, service: str = "cart", origin: Origin | None = None) -> Batch:
    """A batch of spans called `GET /<n>`, with the attributes `http.request.method`, `http.route` and `n`."""
    from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, TracesData

    made = [
        Span(
            trace_id=(number // 4 + 1).to_bytes(16, "big"),
            span_id=(number + 1).to_bytes(8, "big"),
            name=f"GET /{number}",
            kind=Span.SPAN_KIND_SERVER,
            start_time_unix_nano=_START + number,
            end_time_unix_nano=_START + number + 1_000_000,
            attributes=_attributes(number),
        )
        for number in range(count)
    ]
    scopes = [ScopeSpans(scope=_scope(), spans=made)]
    data = TracesData(resource_spans=[ResourceSpans(resource=_resource(service), scope_spans=scopes)])
    return Batch.from_proto(data, origin)


def metrics(count: int = 1, *, service: str = "cart", origin: Origin | None = None) -> Batch:
    """A batch of data points of one gauge, `queue.size`, with the values 0, 1, 2 and so on."""
    from opentelemetry.proto.metrics.v1.metrics_pb2 import (
        Gauge,
        Metric,
        MetricsData,
        NumberDataPoint,
        ResourceMetrics,
        ScopeMetrics,
    )

    points = [
        NumberDataPoint(time_unix_nano=_START + number, as_int=number, attributes=_attributes(number))
        for number in range(count)
    ]
    metric = Metric(name="queue.size", unit="{item}", gauge=Gauge(data_points=points))
    scopes = [ScopeMetrics(scope=_scope(), metrics=[metric])]
    data = MetricsData(resource_metrics=[ResourceMetrics(resource=_resource(service), scope_metrics=scopes)])
    return Batch.from_proto(data, origin)


def logs(count: int = 1, *, service: str = "cart", origin: Origin | None = None) -> Batch:
    """A batch of log records with the bodies `record <n>`, of severity INFO."""
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue
    from opentelemetry.proto.logs.v1.logs_pb2 import (
        SEVERITY_NUMBER_INFO,
        LogRecord,
        LogsData,
        ResourceLogs,
        ScopeLogs,
    )

    records = [
        LogRecord(
            time_unix_nano=_START + number,
            severity_number=SEVERITY_NUMBER_INFO,
            severity_text="INFO",
            body=AnyValue(string_value=f"record {number}"),
            attributes=_attributes(number),
        )
        for number in range(count)
    ]
    scopes = [ScopeLogs(scope=_scope(), log_records=records)]
    data = LogsData(resource_logs=[ResourceLogs(resource=_resource(service), scope_logs=scopes)])
    return Batch.from_proto(data, origin)


def _attributes(number: int) -> list[KeyValue]:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

    return [
        KeyValue(key="http.request.method", value=AnyValue(string_value="GET")),
        KeyValue(key="http.route", value=AnyValue(string_value="/{n}")),
        KeyValue(key="n", value=AnyValue(int_value=number)),
    ]


def _resource(service: str) -> Resource:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource

    return Resource(attributes=[KeyValue(key="service.name", value=AnyValue(string_value=service))])


def _scope() -> InstrumentationScope:
    from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope

    return InstrumentationScope(name="sluiceway.testing")
