"""The OTLP schema as a table: what every field of every message is, for the wire kernel and for OTLP/JSON.

Written by hand from opentelemetry-proto 1.9, so that neither needs protobuf objects; a test holds it against the
official descriptors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["ITEMS", "MESSAGES", "ROOTS", "Field", "Kind"]

Kind: TypeAlias = Literal[
    "bool", "int32", "int64", "uint32", "uint64", "sint32", "enum", "fixed32", "fixed64", "sfixed64", "double",
    "string", "bytes", "trace_id", "span_id", "message",
]  # fmt: skip
"""The protobuf type; `trace_id` and `span_id` are bytes whose length is fixed and which JSON writes in hex."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its number, its name in JSON, its type; `message` names the type of a nested message.

    `oneof` marks members of a group of which only the last on the wire counts, `optional` a scalar that is written
    even when it is zero.
    """

    number: int
    name: str
    kind: Kind
    message: str = ""
    repeated: bool = False
    oneof: bool = False
    optional: bool = False


def _one(number: int, name: str, message: str, *, oneof: bool = False) -> Field:
    return Field(number, name, "message", message, oneof=oneof)


def _many(number: int, name: str, message: str) -> Field:
    return Field(number, name, "message", message, repeated=True)


_START = Field(2, "startTimeUnixNano", "fixed64")
_TIME = Field(3, "timeUnixNano", "fixed64")
_AS_DOUBLE = Field(4, "asDouble", "double", oneof=True)
_AS_INT = Field(6, "asInt", "sfixed64", oneof=True)
_TEMPORALITY = Field(2, "aggregationTemporality", "enum")


def _dropped(number: int, what: str = "Attributes") -> Field:
    return Field(number, f"dropped{what}Count", "uint32")


MESSAGES: dict[str, tuple[Field, ...]] = {
    "TracesData": (_many(1, "resourceSpans", "ResourceSpans"),),
    "MetricsData": (_many(1, "resourceMetrics", "ResourceMetrics"),),
    "LogsData": (_many(1, "resourceLogs", "ResourceLogs"),),
    "ResourceSpans": (
        _one(1, "resource", "Resource"),
        _many(2, "scopeSpans", "ScopeSpans"),
        Field(3, "schemaUrl", "string"),
    ),
    "ResourceMetrics": (
        _one(1, "resource", "Resource"),
        _many(2, "scopeMetrics", "ScopeMetrics"),
        Field(3, "schemaUrl", "string"),
    ),
    "ResourceLogs": (
        _one(1, "resource", "Resource"),
        _many(2, "scopeLogs", "ScopeLogs"),
        Field(3, "schemaUrl", "string"),
    ),
    "ScopeSpans": (
        _one(1, "scope", "InstrumentationScope"),
        _many(2, "spans", "Span"),
        Field(3, "schemaUrl", "string"),
    ),
    "ScopeMetrics": (
        _one(1, "scope", "InstrumentationScope"),
        _many(2, "metrics", "Metric"),
        Field(3, "schemaUrl", "string"),
    ),
    "ScopeLogs": (
        _one(1, "scope", "InstrumentationScope"),
        _many(2, "logRecords", "LogRecord"),
        Field(3, "schemaUrl", "string"),
    ),
    "Resource": (
        _many(1, "attributes", "KeyValue"),
        _dropped(2),
        _many(3, "entityRefs", "EntityRef"),
    ),
    "EntityRef": (
        Field(1, "schemaUrl", "string"),
        Field(2, "type", "string"),
        Field(3, "idKeys", "string", repeated=True),
        Field(4, "descriptionKeys", "string", repeated=True),
    ),
    "InstrumentationScope": (
        Field(1, "name", "string"),
        Field(2, "version", "string"),
        _many(3, "attributes", "KeyValue"),
        _dropped(4),
    ),
    "KeyValue": (
        Field(1, "key", "string"),
        _one(2, "value", "AnyValue"),
        Field(3, "keyStrindex", "int32"),
    ),
    "AnyValue": (
        Field(1, "stringValue", "string", oneof=True),
        Field(2, "boolValue", "bool", oneof=True),
        Field(3, "intValue", "int64", oneof=True),
        Field(4, "doubleValue", "double", oneof=True),
        _one(5, "arrayValue", "ArrayValue", oneof=True),
        _one(6, "kvlistValue", "KeyValueList", oneof=True),
        Field(7, "bytesValue", "bytes", oneof=True),
        Field(8, "stringValueStrindex", "int32", oneof=True),
    ),
    "ArrayValue": (_many(1, "values", "AnyValue"),),
    "KeyValueList": (_many(1, "values", "KeyValue"),),
    "Span": (
        Field(1, "traceId", "trace_id"),
        Field(2, "spanId", "span_id"),
        Field(3, "traceState", "string"),
        Field(4, "parentSpanId", "span_id"),
        Field(5, "name", "string"),
        Field(6, "kind", "enum"),
        Field(7, "startTimeUnixNano", "fixed64"),
        Field(8, "endTimeUnixNano", "fixed64"),
        _many(9, "attributes", "KeyValue"),
        _dropped(10),
        _many(11, "events", "Event"),
        _dropped(12, "Events"),
        _many(13, "links", "Link"),
        _dropped(14, "Links"),
        _one(15, "status", "Status"),
        Field(16, "flags", "fixed32"),
    ),
    "Event": (
        Field(1, "timeUnixNano", "fixed64"),
        Field(2, "name", "string"),
        _many(3, "attributes", "KeyValue"),
        _dropped(4),
    ),
    "Link": (
        Field(1, "traceId", "trace_id"),
        Field(2, "spanId", "span_id"),
        Field(3, "traceState", "string"),
        _many(4, "attributes", "KeyValue"),
        _dropped(5),
        Field(6, "flags", "fixed32"),
    ),
    "Status": (Field(2, "message", "string"), Field(3, "code", "enum")),
    "LogRecord": (
        Field(1, "timeUnixNano", "fixed64"),
        Field(2, "severityNumber", "enum"),
        Field(3, "severityText", "string"),
        _one(5, "body", "AnyValue"),
        _many(6, "attributes", "KeyValue"),
        _dropped(7),
        Field(8, "flags", "fixed32"),
        Field(9, "traceId", "trace_id"),
        Field(10, "spanId", "span_id"),
        Field(11, "observedTimeUnixNano", "fixed64"),
        Field(12, "eventName", "string"),
    ),
    "Metric": (
        Field(1, "name", "string"),
        Field(2, "description", "string"),
        Field(3, "unit", "string"),
        _one(5, "gauge", "Gauge", oneof=True),
        _one(7, "sum", "Sum", oneof=True),
        _one(9, "histogram", "Histogram", oneof=True),
        _one(10, "exponentialHistogram", "ExponentialHistogram", oneof=True),
        _one(11, "summary", "Summary", oneof=True),
        _many(12, "metadata", "KeyValue"),
    ),
    "Gauge": (_many(1, "dataPoints", "NumberDataPoint"),),
    "Sum": (
        _many(1, "dataPoints", "NumberDataPoint"),
        _TEMPORALITY,
        Field(3, "isMonotonic", "bool"),
    ),
    "Histogram": (_many(1, "dataPoints", "HistogramDataPoint"), _TEMPORALITY),
    "ExponentialHistogram": (_many(1, "dataPoints", "ExponentialHistogramDataPoint"), _TEMPORALITY),
    "Summary": (_many(1, "dataPoints", "SummaryDataPoint"),),
    "NumberDataPoint": (
        _START,
        _TIME,
        _AS_DOUBLE,
        _many(5, "exemplars", "Exemplar"),
        _AS_INT,
        _many(7, "attributes", "KeyValue"),
        Field(8, "flags", "uint32"),
    ),
    "HistogramDataPoint": (
        _START,
        _TIME,
        Field(4, "count", "fixed64"),
        Field(5, "sum", "double", optional=True),
        Field(6, "bucketCounts", "fixed64", repeated=True),
        Field(7, "explicitBounds", "double", repeated=True),
        _many(8, "exemplars", "Exemplar"),
        _many(9, "attributes", "KeyValue"),
        Field(10, "flags", "uint32"),
        Field(11, "min", "double", optional=True),
        Field(12, "max", "double", optional=True),
    ),
    "ExponentialHistogramDataPoint": (
        _many(1, "attributes", "KeyValue"),
        _START,
        _TIME,
        Field(4, "count", "fixed64"),
        Field(5, "sum", "double", optional=True),
        Field(6, "scale", "sint32"),
        Field(7, "zeroCount", "fixed64"),
        _one(8, "positive", "Buckets"),
        _one(9, "negative", "Buckets"),
        Field(10, "flags", "uint32"),
        _many(11, "exemplars", "Exemplar"),
        Field(12, "min", "double", optional=True),
        Field(13, "max", "double", optional=True),
        Field(14, "zeroThreshold", "double"),
    ),
    "Buckets": (Field(1, "offset", "sint32"), Field(2, "bucketCounts", "uint64", repeated=True)),
    "SummaryDataPoint": (
        _START,
        _TIME,
        Field(4, "count", "fixed64"),
        Field(5, "sum", "double"),
        _many(6, "quantileValues", "ValueAtQuantile"),
        _many(7, "attributes", "KeyValue"),
        Field(8, "flags", "uint32"),
    ),
    "ValueAtQuantile": (Field(1, "quantile", "double"), Field(2, "value", "double")),
    "Exemplar": (
        Field(2, "timeUnixNano", "fixed64"),
        Field(3, "asDouble", "double", oneof=True),
        Field(4, "spanId", "span_id"),
        Field(5, "traceId", "trace_id"),
        Field(6, "asInt", "sfixed64", oneof=True),
        _many(7, "filteredAttributes", "KeyValue"),
    ),
}

ROOTS = ("TracesData", "MetricsData", "LogsData")
"""The outermost messages, in the order of the signals' codes."""

ITEMS = frozenset(
    {
        "Span",
        "LogRecord",
        "NumberDataPoint",
        "HistogramDataPoint",
        "ExponentialHistogramDataPoint",
        "SummaryDataPoint",
    }
)
"""The messages that count as items."""
