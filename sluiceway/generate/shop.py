"""The made-up web shop that generated telemetry speaks of, as protobuf objects.

Everything is drawn from one seeded source of chance. Ids and times are `Marks`: unique bytes that stand where
`payloads` later puts new ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, LogsData, ResourceLogs, ScopeLogs, SeverityNumber
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status, TracesData

from sluiceway.generate.marks import Marks

__all__ = ["SEQUENCE", "Order", "logs", "metrics", "traces"]

SEQUENCE = "loadgen.sequence"
"""The attribute of the first item that carries the number of its request."""

_SERVICES = ("frontend", "cart", "checkout", "payment", "shipping", "catalogue", "recommendation", "email")
_ROUTES = ("/", "/cart", "/cart/{id}", "/checkout", "/products", "/products/{id}", "/orders/{id}", "/healthz")
_METHODS = ("GET", "GET", "GET", "POST", "PUT", "DELETE")
_QUERIES = ("SELECT * FROM orders WHERE id = $1", "INSERT INTO carts VALUES ($1, $2)", "UPDATE stock SET n = n - 1")
_BODIES = (
    "GET {route} answered {code} in {ms} ms",
    "user {user} put {n} items into the cart",
    "payment of {n} EUR by {user} was declined: insufficient funds",
    "cache miss for key product:{n}, falling back to the database",
)
_METRICS = (
    ("http.server.request.count", "{request}", "Requests that were answered."),
    ("http.server.active_requests", "{request}", "Requests that are being answered."),
    ("process.memory.usage", "By", "Memory that the process uses."),
    ("db.client.connections.usage", "{connection}", "Connections to the database."),
)


@dataclass(slots=True)
class Order:
    """What is wanted of one payload, and the chance it is drawn from."""

    items: int
    attributes: int
    size: int
    sequence: bool
    chance: Random
    marks: Marks = field(default_factory=Marks)

    def words(self) -> str:
        """A text of about `size` bytes that compresses as prose does."""
        made = []
        left = self.size
        while left > 0:
            made.append(self.chance.choice(_SERVICES) + "-" + format(self.chance.getrandbits(20), "x"))
            left -= len(made[-1]) + 1
        return " ".join(made)[: self.size]


def traces(order: Order) -> TracesData:
    """A request of spans: traces of eight spans, of which one in fifty fails."""
    spans = []
    for index in range(order.items):
        if index % 8 == 0:
            trace, parent = order.marks.id(16), b""
        spans.append(_span(order, index, trace, parent))
        parent = spans[-1].span_id if index % 8 < 2 else parent
    services = _services(order)
    return TracesData(
        resource_spans=[
            ResourceSpans(resource=_resource(order, name), scope_spans=[ScopeSpans(scope=_scope(), spans=part)])
            for name, part in zip(services, _parts(spans, len(services)), strict=True)
        ]
    )


def metrics(order: Order) -> MetricsData:
    """A request of data points: counters and gauges by turns, twenty points a metric."""
    points = [_point(order, index) for index in range(order.items)]
    made = []
    for index in range(0, len(points), 20):
        name, unit, description = _METRICS[index // 20 % len(_METRICS)]
        metric = Metric(name=name, unit=unit, description=description)
        if name.endswith("count"):
            metric.sum.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
            metric.sum.is_monotonic = True
            metric.sum.data_points.extend(points[index : index + 20])
        else:
            metric.gauge.data_points.extend(points[index : index + 20])
        made.append(metric)
    services = _services(order)
    return MetricsData(
        resource_metrics=[
            ResourceMetrics(resource=_resource(order, name), scope_metrics=[ScopeMetrics(scope=_scope(), metrics=part)])
            for name, part in zip(services, _parts(made, len(services)), strict=True)
        ]
    )


def logs(order: Order) -> LogsData:
    """A request of log records, half of which belong to a trace."""
    records = [_record(order, index) for index in range(order.items)]
    services = _services(order)
    return LogsData(
        resource_logs=[
            ResourceLogs(resource=_resource(order, name), scope_logs=[ScopeLogs(scope=_scope(), log_records=part)])
            for name, part in zip(services, _parts(records, len(services)), strict=True)
        ]
    )


def _span(order: Order, index: int, trace: bytes, parent: bytes) -> Span:
    chance = order.chance
    failed = chance.random() < 0.02
    return Span(
        trace_id=trace,
        span_id=order.marks.id(8),
        parent_span_id=parent,
        name=f"{chance.choice(_METHODS)} {chance.choice(_ROUTES)}",
        kind=Span.SpanKind.ValueType(chance.choice((1, 2, 3))),
        start_time_unix_nano=order.marks.time(-chance.randrange(1, 500) * 1_000_000),
        end_time_unix_nano=order.marks.time(0),
        attributes=_attributes(order, index),
        status=Status(code=Status.STATUS_CODE_ERROR, message="deadline exceeded") if failed else Status(),
    )


def _point(order: Order, index: int) -> NumberDataPoint:
    return NumberDataPoint(
        start_time_unix_nano=order.marks.time(-60_000_000_000),
        time_unix_nano=order.marks.time(0),
        as_double=round(order.chance.expovariate(0.01), 3),
        attributes=_attributes(order, index),
    )


def _record(order: Order, index: int) -> LogRecord:
    chance = order.chance
    text, number = chance.choice((("INFO", 9), ("INFO", 9), ("DEBUG", 5), ("WARN", 13), ("ERROR", 17)))
    body = chance.choice(_BODIES).format(
        route=chance.choice(_ROUTES), code=chance.choice((200, 404, 500)), ms=chance.randrange(900),
        user=f"user-{chance.getrandbits(24):06x}", n=chance.randrange(1, 9000),
    )  # fmt: skip
    traced = index % 2 == 0
    return LogRecord(
        time_unix_nano=order.marks.time(0),
        observed_time_unix_nano=order.marks.time(0),
        severity_text=text,
        severity_number=SeverityNumber.ValueType(number),
        body=AnyValue(string_value=body),
        attributes=_attributes(order, index),
        trace_id=order.marks.id(16) if traced else b"",
        span_id=order.marks.id(8) if traced else b"",
    )


def _attributes(order: Order, index: int) -> list[KeyValue]:
    chance = order.chance
    known: list[tuple[str, Any]] = [
        ("http.request.method", chance.choice(_METHODS)),
        ("http.route", chance.choice(_ROUTES)),
        ("http.response.status_code", chance.choice((200, 200, 200, 201, 204, 304, 404, 500))),
        ("server.address", f"10.0.{chance.randrange(256)}.{chance.randrange(256)}"),
        ("user.id", f"user-{chance.getrandbits(24):06x}"),
        ("db.query.text", chance.choice(_QUERIES)),
        ("network.protocol.version", "1.1"),
        ("retry", chance.random() < 0.1),
        ("duration.ms", round(chance.expovariate(0.02), 3)),
        ("session.id", format(chance.getrandbits(64), "016x")),
    ]
    more = [(f"label.{number}", f"value-{chance.randrange(1000)}") for number in range(order.attributes - len(known))]
    chosen = [*known, *more][: order.attributes]
    if order.sequence and index == 0:
        chosen.insert(0, (SEQUENCE, order.marks.number()))
    if order.size:
        chosen.append(("payload", order.words()))
    return [_attribute(key, value) for key, value in chosen]


def _attribute(key: str, value: str | bool | float) -> KeyValue:
    match value:
        case bool():
            return KeyValue(key=key, value=AnyValue(bool_value=value))
        case int():
            return KeyValue(key=key, value=AnyValue(int_value=value))
        case float():
            return KeyValue(key=key, value=AnyValue(double_value=value))
        case _:
            return KeyValue(key=key, value=AnyValue(string_value=value))


def _services(order: Order) -> list[str]:
    return order.chance.sample(_SERVICES, max(1, min(4, order.items // 100)))


def _resource(order: Order, service: str) -> Resource:
    named = {"service.name": service, "service.version": "1.4.2", "deployment.environment.name": "load-test"}
    host = ("host.name", f"{service}-{order.chance.randrange(16)}")
    return Resource(attributes=[_attribute(key, value) for key, value in (*named.items(), host)])


def _scope() -> InstrumentationScope:
    return InstrumentationScope(name="sluiceway.generate", version="1")


def _parts(things: list[Any], count: int) -> list[list[Any]]:
    size = -(-len(things) // count)
    return [things[index * size : (index + 1) * size] for index in range(count)]
