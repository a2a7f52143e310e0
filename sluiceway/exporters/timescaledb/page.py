"""What the page says of the tables: their columns, as `columns.py` declares them, and queries to begin with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any, Final

from sluiceway.exporters.timescaledb.columns import TABLES, Column, Level, Op, Table
from sluiceway.otlp import Signal

__all__ = ["QUERIES", "sections"]

QUERIES: Final = {
    "rate, p99 and errors by service, over the last quarter of an hour": """
SELECT service_name, count(*) / 900.0 AS per_second,
  percentile_cont(0.99) WITHIN GROUP (ORDER BY duration_ns) / 1e6 AS p99_ms,
  100.0 * count(*) FILTER (WHERE status_code = 2) / count(*) AS error_percent
FROM otel_spans
WHERE time > now() - interval '15 minutes' AND kind = 2
GROUP BY service_name ORDER BY p99_ms DESC
""",
    "the logs of a trace": """
SELECT time, service_name, severity_text, coalesce(body, body_json::text) AS body
FROM otel_logs WHERE trace_id = '\\x0af7651916cd43dd8448eb211c80319c' ORDER BY time
""",
    "a trace as a tree": """
WITH RECURSIVE tree AS (
  SELECT 0 AS depth, ARRAY[time] AS path, s.* FROM otel_spans s
  WHERE trace_id = '\\x0af7651916cd43dd8448eb211c80319c' AND parent_span_id IS NULL
  UNION ALL
  SELECT depth + 1, path || s.time, s.* FROM otel_spans s JOIN tree t
  ON s.trace_id = t.trace_id AND s.parent_span_id = t.span_id AND depth < 100
)
SELECT repeat('  ', depth) || name AS span, service_name, duration_ns / 1e6 AS ms FROM tree ORDER BY path
""",
    "errors in the logs, by what an attribute says": """
SELECT date_trunc('minute', time) AS minute, attributes->>'exception.type' AS exception, count(*)
FROM otel_logs
WHERE time > now() - interval '1 hour' AND service_name = 'checkout' AND severity_number >= 17
GROUP BY 1, 2 ORDER BY 1, 3 DESC
""",
    "the rate of a cumulative counter, whose restarts begin at zero": """
WITH steps AS (
  SELECT time, service_name, value, lag(value) OVER series AS before, time - lag(time) OVER series AS after
  FROM otel_sums
  WHERE name = 'http.server.requests' AND temporality = 2 AND time > now() - interval '1 hour'
  WINDOW series AS (PARTITION BY resource_attributes, attributes ORDER BY time)
)
SELECT date_trunc('minute', time) AS minute, service_name,
  sum(CASE WHEN value >= before THEN value - before ELSE value END) / 60 AS per_second
FROM steps WHERE before IS NOT NULL AND after < interval '10 minutes'
GROUP BY 1, 2 ORDER BY 1, 2
""",
    "the buckets of a histogram of deltas": """
SELECT bound, sum(number) AS number
FROM otel_histograms, unnest(explicit_bounds || 'infinity'::float8, bucket_counts) AS bucket (bound, number)
WHERE name = 'http.server.request.duration' AND temporality = 1 AND time > now() - interval '1 hour'
GROUP BY bound ORDER BY bound
""",
}
"""Questions and the SQL that answers them, for tables of the default names."""

_LEVELS: Final = {
    Level.ITEM: "", Level.DATA: "data.", Level.METRIC: "metric.", Level.SCOPE: "scope.", Level.SCOPE_ENTRY: "scope's ",
    Level.RESOURCE: "resource.", Level.RESOURCE_ENTRY: "resource's ",
}  # fmt: skip
_DATA: Final = {0x2A: "gauge", 0x3A: "sum", 0x4A: "histogram", 0x52: "exponential_histogram", 0x5A: "summary"}
_HEAD: Final = ["| column | type | | from |", "| --- | --- | --- | --- |"]


def sections() -> Iterator[tuple[str, list[str]]]:
    """Titles and lines of Markdown."""
    yield "Tables", ["Times are in `time`, by which the tables are partitioned; what is empty in OTLP is NULL."]
    rows = {table.name: _rows(table) for table in TABLES}
    common = _shared(list(rows.values()))
    points = _shared([rows[table.name] for table in TABLES if table.signal is Signal.METRICS])
    yield "Columns of every table", [*_HEAD, *common]
    yield "Columns of every table of data points", [*_HEAD, *(row for row in points if row not in common)]
    for table in TABLES:
        beside = points if table.signal is Signal.METRICS else common
        yield f"`otel_{table.name}`", [*_HEAD, *(row for row in rows[table.name] if row not in beside)]
    yield "Queries", [line for title, sql in QUERIES.items() for line in _query(title, sql)]


def _query(title: str, sql: str) -> list[str]:
    return [f"{title[0].upper()}{title[1:]}:", "", "```sql", sql.strip(), "```", ""]


def _shared(tables: Sequence[list[str]]) -> list[str]:
    """The rows that all tables have, in their order."""
    everywhere = reduce(set[str].intersection, map(set, tables))
    return [row for row in tables[0] if row in everywhere]


def _rows(table: Table) -> list[str]:
    return [
        f"| `{column.name}` | {column.sql.removesuffix(' NOT NULL')} | {column.about} | {_source(table, column)} |"
        for column in table.columns
    ]


def _source(table: Table, column: Column) -> str:
    """The OTLP fields that a column is made of, by their names."""
    if column.op is Op.OVERFLOW:
        return ""
    message = _message(table, column.level)
    prefix = _LEVELS[column.level]
    if column.within:
        field = message.fields_by_number[column.within]
        message, prefix = field.message_type, f"{prefix}{field.name}."
    name = message.fields_by_number[column.number].name
    if column.key:
        return f"`{prefix}{name}['{column.key}']`"
    if column.op is Op.QUANTILES:
        inner = message.fields_by_number[column.number].message_type
        return f"`{prefix}{name}.{inner.fields_by_number[column.second].name}`"
    second = f", `{message.fields_by_number[column.second].name}`" if column.second else ""
    return f"`{prefix}{name}`{second}"


def _message(table: Table, level: Level) -> Any:
    """The descriptor of the message that a level is, for a table."""
    from opentelemetry.proto.logs.v1 import logs_pb2
    from opentelemetry.proto.metrics.v1 import metrics_pb2
    from opentelemetry.proto.trace.v1 import trace_pb2

    entry: Any
    entry, scopes, items = {
        Signal.TRACES: (trace_pb2.ResourceSpans.DESCRIPTOR, "scope_spans", "spans"),
        Signal.LOGS: (logs_pb2.ResourceLogs.DESCRIPTOR, "scope_logs", "log_records"),
        Signal.METRICS: (metrics_pb2.ResourceMetrics.DESCRIPTOR, "scope_metrics", "metrics"),
    }[table.signal]
    scope = entry.fields_by_name[scopes].message_type
    item = scope.fields_by_name[items].message_type
    data = item.fields_by_name[_DATA[table.tag]].message_type if table.tag else None
    return {
        Level.RESOURCE_ENTRY: entry,
        Level.RESOURCE: entry.fields_by_name["resource"].message_type,
        Level.SCOPE_ENTRY: scope,
        Level.SCOPE: scope.fields_by_name["scope"].message_type,
        Level.METRIC: item,
        Level.DATA: data,
        Level.ITEM: item if data is None else data.fields_by_name["data_points"].message_type,
    }[level]
