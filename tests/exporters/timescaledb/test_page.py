"""What the page says of the tables is so."""

from __future__ import annotations

import time
from typing import Any

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, LogsData, ResourceLogs, ScopeLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status, TracesData

from sluiceway.clock import SystemClock
from sluiceway.exporters.timescaledb.columns import ABOUT, TABLES
from sluiceway.exporters.timescaledb.page import QUERIES, sections
from sluiceway.otlp import Batch, Signal
from tests.exporters.timescaledb.bench import Place, exporter

TRACE = bytes.fromhex("0af7651916cd43dd8448eb211c80319c")
SECOND = 10**9


def pair(key: str, value: str) -> KeyValue:
    """An attribute."""
    return KeyValue(key=key, value=AnyValue(string_value=value))


def messages(now: int) -> dict[Signal, Any]:
    """Something that each of the queries finds."""
    shop = Resource(attributes=[pair("service.name", "checkout")])
    root, child = bytes(7) + b"\1", bytes(7) + b"\2"
    spans = [
        Span(trace_id=TRACE, span_id=root, name="pay", kind=Span.SPAN_KIND_SERVER, start_time_unix_nano=now,
             end_time_unix_nano=now + 3_000_000, status=Status(code=Status.STATUS_CODE_ERROR)),
        Span(trace_id=TRACE, span_id=child, parent_span_id=root, name="charge", start_time_unix_nano=now + 1000,
             end_time_unix_nano=now + 2_001_000),
    ]  # fmt: skip
    record = LogRecord(
        time_unix_nano=now, trace_id=TRACE, severity_number=17, severity_text="ERROR",
        body=AnyValue(string_value="refused"), attributes=[pair("exception.type", "CardError")],
    )  # fmt: skip
    counts = [100, 160, 30]  # the counter was restarted before the last
    minute = now // (60 * SECOND) * 60 * SECOND - 60 * SECOND
    points = [NumberDataPoint(time_unix_nano=minute + n * SECOND, as_int=count) for n, count in enumerate(counts)]
    counter = Sum(aggregation_temporality=2, is_monotonic=True, data_points=points)
    hits = [HistogramDataPoint(time_unix_nano=now, count=3, explicit_bounds=[0.1], bucket_counts=[2, 1])] * 2
    metrics = [
        Metric(name="http.server.requests", sum=counter),
        Metric(name="http.server.request.duration", histogram=Histogram(aggregation_temporality=1, data_points=hits)),
    ]
    logs = ResourceLogs(resource=shop, scope_logs=[ScopeLogs(log_records=[record])])
    return {
        Signal.TRACES: TracesData(resource_spans=[ResourceSpans(resource=shop, scope_spans=[ScopeSpans(spans=spans)])]),
        Signal.LOGS: LogsData(resource_logs=[logs]),
        Signal.METRICS: MetricsData(
            resource_metrics=[ResourceMetrics(resource=shop, scope_metrics=[ScopeMetrics(metrics=metrics)])]
        ),
    }


ANSWERS = [
    ["checkout|0.00111111111111111111|3|100.0000000000000000"],
    ["refused"],
    ["pay|checkout|3.0000000000000000", "  charge|checkout|2.0000000000000000"],
    ["CardError|1"],
    ["checkout|1.5"],
    ["0.1|4", "Infinity|2"],
]


async def test_the_queries_answer_their_questions(place: Place) -> None:
    """Each, word by word as it stands on the page."""
    for signal, message in messages(time.time_ns()).items():
        async with exporter(place, signal=signal, clock=SystemClock()) as out:
            assert await out.consume(Batch.from_proto(message)) is None
    for (question, sql), wanted in zip(QUERIES.items(), ANSWERS, strict=True):
        found = place.sql("SET extra_float_digits = 0", sql).splitlines()
        assert len(found) == len(wanted), question
        assert all(line.endswith(end) for line, end in zip(found, wanted, strict=True)), (question, found)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_column_is_explained(table) -> None:
    """In the section of its table, or in those of what tables have in common."""
    told = dict(sections())
    common = told["Columns of every table"]
    if table.signal is Signal.METRICS:
        common = [*common, *told["Columns of every table of data points"]]
    rows = [*told[f"`otel_{table.name}`"][2:], *(row for row in common if row.startswith("| `"))]
    assert sorted(row.split("`")[1] for row in rows) == sorted(column.name for column in table.columns)


def test_nothing_is_explained_that_is_not_there() -> None:
    """A column that goes takes its explanation with it."""
    assert set(ABOUT) == {column.name for table in TABLES for column in table.columns}
