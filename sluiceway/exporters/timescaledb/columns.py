"""The columns of every table: name, type in SQL, and where in OTLP the value stands. Tables and rows follow it.

A row is written in four sections: what the item says, what its metric says, what its scope says, what its resource
says. The last three are encoded once for all their items, so a table lists its columns in that order.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from sluiceway.otlp import Signal

__all__ = ["ABOUT", "TABLES", "Column", "Level", "Op", "Table", "tables_of"]


class Level(IntEnum):
    """The message that a column reads, by the number that the kernel knows."""

    ITEM = 0
    DATA = 1
    METRIC = 2
    SCOPE = 3
    SCOPE_ENTRY = 4
    RESOURCE = 5
    RESOURCE_ENTRY = 6


class Op(IntEnum):
    """How a column is made of a field, by the number that the kernel knows. What is empty in OTLP is NULL."""

    TEXT = 1
    """A text."""
    BYTEA = 2
    """Bytes."""
    INT4 = 3
    """An enum or an int32."""
    SINT4 = 4
    """A sint32."""
    UINT32 = 5
    """A uint32, as bigint."""
    INT8 = 6
    """A 64-bit number without sign, as bigint; what is larger goes to `overflow`."""
    NANO = 7
    """The same, where zero means that nothing was said."""
    FLOAT8 = 8
    """A double; zero where it is absent."""
    OPTIONAL_FLOAT8 = 9
    """A double; NULL where it is absent."""
    BOOL = 10
    """A bool."""
    TIME = 11
    """Nanoseconds as timestamptz, or those of the second field; within the window."""
    DURATION = 12
    """The second field's nanoseconds minus the first's, as bigint."""
    VALUE = 13
    """A point's value as double: the first field's double or the second's integer."""
    INT_VALUE = 14
    """A point's value as bigint, NULL where it is a double."""
    ATTRIBUTES = 15
    """A list of attributes as a JSON object."""
    ATTRIBUTE = 16
    """The text of one attribute."""
    BODY_TEXT = 17
    """An `AnyValue` that is a text."""
    BODY_JSON = 18
    """An `AnyValue` that is anything else, as JSON."""
    EVENTS = 19
    """Span events as a JSON array."""
    LINKS = 20
    """Span links as a JSON array."""
    EXEMPLARS = 21
    """Exemplars as a JSON array."""
    INT8_ARRAY = 22
    """64-bit numbers without sign as bigint[]; where one is larger, all go to `overflow`."""
    FLOAT8_ARRAY = 23
    """Doubles as float8[]."""
    QUANTILES = 24
    """One field of each message as float8[]."""
    OVERFLOW = 25
    """A JSON object with what did not fit its column, exact, by the column's name."""


ABOUT: Final = {
    "time": "when it happened; outside `time_window` its border; where nothing is said, when it arrived",
    "start_unix_nano": "the start, to the nanosecond",
    "end_unix_nano": "the end, to the nanosecond",
    "time_unix_nano": "the time as it was sent, to the nanosecond",
    "observed_unix_nano": "when it was first seen, to the nanosecond",
    "duration_ns": "end minus start, in nanoseconds",
    "trace_id": "16 bytes; `encode(trace_id, 'hex')` shows them",
    "span_id": "8 bytes",
    "parent_span_id": "8 bytes; NULL for a root",
    "trace_state": "the W3C tracestate",
    "flags": "bit field",
    "name": "the name of the span or the metric",
    "kind": "1 internal, 2 server, 3 client, 4 producer, 5 consumer",
    "status_code": "0 unset, 1 ok, 2 error",
    "status_message": "what the error says",
    "attributes": "all attributes, as an object",
    "dropped_attributes_count": "attributes that the sender left out",
    "events": "array of objects `time_unix_nano`, `name`, `attributes`, `dropped_attributes_count`",
    "dropped_events_count": "events that the sender left out",
    "links": (
        "array of objects `trace_id`, `span_id` (both hexadecimal), `trace_state`, `flags`, `attributes`,"
        " `dropped_attributes_count`"
    ),
    "dropped_links_count": "links that the sender left out",
    "severity_number": "1-4 trace, 5-8 debug, 9-12 info, 13-16 warn, 17-20 error, 21-24 fatal",
    "severity_text": "the severity in the sender's words",
    "body": "a body that is a text",
    "body_json": "a body that is anything else",
    "event_name": "what kind of event it is",
    "value": "the value; integers too, rounded beyond 2⁵³",
    "int_value": "a value that is an integer, exact",
    "exemplars": "array of objects `time_unix_nano`, `value`, `trace_id`, `span_id` (hexadecimal), `attributes`",
    "description": "what the metric is",
    "unit": "its unit, in UCUM",
    "metadata": "what else is known of the metric, as an object",
    "temporality": "1 delta, 2 cumulative",
    "is_monotonic": "whether it only grows",
    "count": "how many values",
    "sum": "their sum; NULL where a histogram does not say it",
    "min": "the least; NULL where it is not said",
    "max": "the largest; NULL where it is not said",
    "bucket_counts": "how many in each bucket; one more than there are bounds",
    "explicit_bounds": "upper bounds of the buckets, the last bucket has none",
    "scale": "bucket i ends at 2^((i + 1) / 2^scale)",
    "zero_count": "how many within `zero_threshold` of zero",
    "zero_threshold": "the width of the bucket around zero",
    "positive_offset": "the number of the first bucket of positive values",
    "positive_bucket_counts": "how many in each",
    "negative_offset": "the same of negative values",
    "negative_bucket_counts": "how many in each",
    "quantiles": "which quantiles are told, 0 to 1",
    "quantile_values": "their values, in the same order",
    "overflow": "what did not fit its column, exact, by the column's name; mostly NULL",
    "scope_name": "what made the telemetry: a library",
    "scope_version": "its version",
    "scope_attributes": "its attributes, as an object",
    "scope_schema_url": "the schema of the scope and what is in it",
    "tenant": "the resource attribute that `tenant_attribute` names",
    "service_name": "what the data is about",
    "service_namespace": "what the service belongs to",
    "service_instance_id": "which of its instances",
    "resource_attributes": "all attributes of the resource, as an object",
    "resource_schema_url": "the schema of the resource",
}
"""What columns hold, by their names; a name means the same in every table."""


class Column(NamedTuple):
    """A column. `within` is the field of the level's message that holds the message with the fields; 0: it does."""

    name: str
    sql: str
    level: Level
    op: Op
    number: int = 0
    second: int = 0
    within: int = 0
    key: str = ""

    @property
    def about(self) -> str:
        """What it holds, for people."""
        return ABOUT[self.name]


@dataclass(frozen=True, slots=True)
class Table:
    """A table: `name` comes behind the prefix. `tag` is the tag of the metric's data, 0 where there is one table."""

    name: str
    signal: Signal
    columns: tuple[Column, ...]
    tag: int = 0


_I, _D, _M, _S, _SE, _R, _RE = Level
_RESOURCE: Final = (
    Column("tenant", "text", _R, Op.ATTRIBUTE, 1, key="tenant.id"),
    Column("service_name", "text", _R, Op.ATTRIBUTE, 1, key="service.name"),
    Column("service_namespace", "text", _R, Op.ATTRIBUTE, 1, key="service.namespace"),
    Column("service_instance_id", "text", _R, Op.ATTRIBUTE, 1, key="service.instance.id"),
    Column("resource_attributes", "jsonb", _R, Op.ATTRIBUTES, 1),
    Column("resource_schema_url", "text", _RE, Op.TEXT, 3),
)
_SCOPE: Final = (
    Column("scope_name", "text", _S, Op.TEXT, 1),
    Column("scope_version", "text", _S, Op.TEXT, 2),
    Column("scope_attributes", "jsonb", _S, Op.ATTRIBUTES, 3),
    Column("scope_schema_url", "text", _SE, Op.TEXT, 3),
)
_METRIC: Final = (
    Column("name", "text", _M, Op.TEXT, 1),
    Column("description", "text", _M, Op.TEXT, 2),
    Column("unit", "text", _M, Op.TEXT, 3),
    Column("metadata", "jsonb", _M, Op.ATTRIBUTES, 12),
)
_TEMPORALITY: Final = Column("temporality", "integer", _D, Op.INT4, 2)
_OVERFLOW: Final = Column("overflow", "jsonb", _I, Op.OVERFLOW)


def _point(attributes: int, flags: int, exemplars: int) -> tuple[Column, ...]:
    return (
        Column("time", "timestamptz NOT NULL", _I, Op.TIME, 3),
        Column("time_unix_nano", "bigint", _I, Op.NANO, 3),
        Column("start_unix_nano", "bigint", _I, Op.NANO, 2),
        Column("attributes", "jsonb", _I, Op.ATTRIBUTES, attributes),
        Column("flags", "bigint", _I, Op.UINT32, flags),
        *((Column("exemplars", "jsonb", _I, Op.EXEMPLARS, exemplars),) if exemplars else ()),
    )


_SPANS: Final = Table(
    "spans", Signal.TRACES,
    (
        Column("time", "timestamptz NOT NULL", _I, Op.TIME, 7, 8),
        Column("start_unix_nano", "bigint", _I, Op.NANO, 7),
        Column("end_unix_nano", "bigint", _I, Op.NANO, 8),
        Column("duration_ns", "bigint", _I, Op.DURATION, 7, 8),
        Column("trace_id", "bytea", _I, Op.BYTEA, 1),
        Column("span_id", "bytea", _I, Op.BYTEA, 2),
        Column("parent_span_id", "bytea", _I, Op.BYTEA, 4),
        Column("trace_state", "text", _I, Op.TEXT, 3),
        Column("flags", "bigint", _I, Op.UINT32, 16),
        Column("name", "text", _I, Op.TEXT, 5),
        Column("kind", "integer", _I, Op.INT4, 6),
        Column("status_code", "integer", _I, Op.INT4, 3, within=15),
        Column("status_message", "text", _I, Op.TEXT, 2, within=15),
        Column("attributes", "jsonb", _I, Op.ATTRIBUTES, 9),
        Column("dropped_attributes_count", "bigint", _I, Op.UINT32, 10),
        Column("events", "jsonb", _I, Op.EVENTS, 11),
        Column("dropped_events_count", "bigint", _I, Op.UINT32, 12),
        Column("links", "jsonb", _I, Op.LINKS, 13),
        Column("dropped_links_count", "bigint", _I, Op.UINT32, 14),
        _OVERFLOW, *_SCOPE, *_RESOURCE,
    ),
)  # fmt: skip
_LOGS: Final = Table(
    "logs", Signal.LOGS,
    (
        Column("time", "timestamptz NOT NULL", _I, Op.TIME, 1, 11),
        Column("time_unix_nano", "bigint", _I, Op.NANO, 1),
        Column("observed_unix_nano", "bigint", _I, Op.NANO, 11),
        Column("trace_id", "bytea", _I, Op.BYTEA, 9),
        Column("span_id", "bytea", _I, Op.BYTEA, 10),
        Column("flags", "bigint", _I, Op.UINT32, 8),
        Column("severity_number", "integer", _I, Op.INT4, 2),
        Column("severity_text", "text", _I, Op.TEXT, 3),
        Column("body", "text", _I, Op.BODY_TEXT, 5),
        Column("body_json", "jsonb", _I, Op.BODY_JSON, 5),
        Column("event_name", "text", _I, Op.TEXT, 12),
        Column("attributes", "jsonb", _I, Op.ATTRIBUTES, 6),
        Column("dropped_attributes_count", "bigint", _I, Op.UINT32, 7),
        _OVERFLOW, *_SCOPE, *_RESOURCE,
    ),
)  # fmt: skip
_VALUES: Final = (
    Column("value", "double precision", _I, Op.VALUE, 4, 6),
    Column("int_value", "bigint", _I, Op.INT_VALUE, 4, 6),
)
_GAUGES: Final = Table(
    "gauges", Signal.METRICS, (*_point(7, 8, 5), *_VALUES, _OVERFLOW, *_METRIC, *_SCOPE, *_RESOURCE), tag=0x2A
)
_SUMS: Final = Table(
    "sums", Signal.METRICS,
    (
        *_point(7, 8, 5), *_VALUES, _OVERFLOW,
        _TEMPORALITY, Column("is_monotonic", "boolean", _D, Op.BOOL, 3), *_METRIC, *_SCOPE, *_RESOURCE,
    ),
    tag=0x3A,
)  # fmt: skip
_HISTOGRAMS: Final = Table(
    "histograms", Signal.METRICS,
    (
        *_point(9, 10, 8),
        Column("count", "bigint", _I, Op.INT8, 4),
        Column("sum", "double precision", _I, Op.OPTIONAL_FLOAT8, 5),
        Column("min", "double precision", _I, Op.OPTIONAL_FLOAT8, 11),
        Column("max", "double precision", _I, Op.OPTIONAL_FLOAT8, 12),
        Column("bucket_counts", "bigint[]", _I, Op.INT8_ARRAY, 6),
        Column("explicit_bounds", "double precision[]", _I, Op.FLOAT8_ARRAY, 7),
        _OVERFLOW, _TEMPORALITY, *_METRIC, *_SCOPE, *_RESOURCE,
    ),
    tag=0x4A,
)  # fmt: skip
_EXPONENTIAL: Final = Table(
    "exponential_histograms", Signal.METRICS,
    (
        *_point(1, 10, 11),
        Column("count", "bigint", _I, Op.INT8, 4),
        Column("sum", "double precision", _I, Op.OPTIONAL_FLOAT8, 5),
        Column("min", "double precision", _I, Op.OPTIONAL_FLOAT8, 12),
        Column("max", "double precision", _I, Op.OPTIONAL_FLOAT8, 13),
        Column("scale", "integer", _I, Op.SINT4, 6),
        Column("zero_count", "bigint", _I, Op.INT8, 7),
        Column("zero_threshold", "double precision", _I, Op.FLOAT8, 14),
        Column("positive_offset", "integer", _I, Op.SINT4, 1, within=8),
        Column("positive_bucket_counts", "bigint[]", _I, Op.INT8_ARRAY, 2, within=8),
        Column("negative_offset", "integer", _I, Op.SINT4, 1, within=9),
        Column("negative_bucket_counts", "bigint[]", _I, Op.INT8_ARRAY, 2, within=9),
        _OVERFLOW, _TEMPORALITY, *_METRIC, *_SCOPE, *_RESOURCE,
    ),
    tag=0x52,
)  # fmt: skip
_SUMMARIES: Final = Table(
    "summaries", Signal.METRICS,
    (
        *_point(7, 8, 0),
        Column("count", "bigint", _I, Op.INT8, 4),
        Column("sum", "double precision", _I, Op.FLOAT8, 5),
        Column("quantiles", "double precision[]", _I, Op.QUANTILES, 6, 1),
        Column("quantile_values", "double precision[]", _I, Op.QUANTILES, 6, 2),
        _OVERFLOW, *_METRIC, *_SCOPE, *_RESOURCE,
    ),
    tag=0x5A,
)  # fmt: skip

TABLES: Final = (_SPANS, _LOGS, _GAUGES, _SUMS, _HISTOGRAMS, _EXPONENTIAL, _SUMMARIES)


def tables_of(signal: Signal, tenant: str = "tenant.id") -> tuple[Table, ...]:
    """The tables of a signal, with the tenant from the resource attribute `tenant`."""
    return tuple(
        Table(table.name, signal, tuple(c._replace(key=tenant) if c.name == "tenant" else c for c in table.columns),
              table.tag)
        for table in TABLES if table.signal is signal
    )  # fmt: skip
