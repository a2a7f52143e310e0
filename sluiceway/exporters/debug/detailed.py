"""`verbosity: detailed`: everything that traces and logs hold, one thing a line, in the Collector's form."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from sluiceway.exporters.debug.detailed_metrics import metric_lines
from sluiceway.exporters.debug.values import attribute_lines, hexadecimal, moment, typed
from sluiceway.otlp import Signal

if TYPE_CHECKING:
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

__all__ = ["detailed"]

_SHAPES: Final = {
    Signal.TRACES: ("ResourceSpans", "ScopeSpans", "resource_spans", "scope_spans", "spans"),
    Signal.METRICS: ("ResourceMetrics", "ScopeMetrics", "resource_metrics", "scope_metrics", "metrics"),
    Signal.LOGS: ("ResourceLog", "ScopeLogs", "resource_logs", "scope_logs", "log_records"),
}
_KINDS: Final = ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")
_STATUSES: Final = ("Unset", "Ok", "Error")
_SEVERITIES: Final = ("Trace", "Debug", "Info", "Warn", "Error", "Fatal")


def detailed(signal: Signal, message: Any) -> Iterator[str]:
    """The lines of one batch, given as its protobuf object."""
    resource_title, scope_title, entries, scopes, items = _SHAPES[signal]
    for i, entry in enumerate(getattr(message, entries)):
        yield f"{resource_title} #{i}"
        yield f"Resource SchemaURL: {entry.schema_url}"
        yield from attribute_lines("Resource attributes:", entry.resource.attributes)
        for j, scope in enumerate(getattr(entry, scopes)):
            yield f"{scope_title} #{j}"
            yield f"{scope_title} SchemaURL: {scope.schema_url}"
            yield f"InstrumentationScope {scope.scope.name} {scope.scope.version}"
            yield from attribute_lines("InstrumentationScope attributes:", scope.scope.attributes)
            for k, item in enumerate(getattr(scope, items)):
                yield from _item(signal, k, item)


def _item(signal: Signal, index: int, item: Any) -> Iterator[str]:
    match signal:
        case Signal.TRACES:
            return span_lines(index, item)
        case Signal.METRICS:
            return metric_lines(index, item)
        case Signal.LOGS:
            return record_lines(index, item)


def span_lines(index: int, span: Span) -> Iterator[str]:
    """One span with its attributes, events and links."""
    yield f"Span #{index}"
    yield f"    Trace ID       : {hexadecimal(span.trace_id)}"
    yield f"    Parent ID      : {hexadecimal(span.parent_span_id)}"
    yield f"    ID             : {hexadecimal(span.span_id)}"
    yield f"    Name           : {span.name}"
    yield f"    Kind           : {_name(_KINDS, span.kind)}"
    if span.trace_state:
        yield f"    TraceState     : {span.trace_state}"
    yield f"    Start time     : {moment(span.start_time_unix_nano)}"
    yield f"    End time       : {moment(span.end_time_unix_nano)}"
    yield f"    Status code    : {_name(_STATUSES, span.status.code)}"
    yield f"    Status message : {span.status.message}"
    yield f"    DroppedAttributesCount: {span.dropped_attributes_count}"
    yield from attribute_lines("Attributes:", span.attributes)
    yield from _events(span)
    yield from _links(span)


def record_lines(index: int, record: LogRecord) -> Iterator[str]:
    """One log record with its attributes."""
    yield f"LogRecord #{index}"
    yield f"ObservedTimestamp: {moment(record.observed_time_unix_nano)}"
    yield f"Timestamp: {moment(record.time_unix_nano)}"
    yield f"SeverityText: {record.severity_text}"
    yield f"SeverityNumber: {_severity(record.severity_number)}({record.severity_number})"
    if record.event_name:
        yield f"EventName: {record.event_name}"
    yield f"Body: {typed(record.body)}"
    yield from attribute_lines("Attributes:", record.attributes)
    yield f"Trace ID: {hexadecimal(record.trace_id)}"
    yield f"Span ID: {hexadecimal(record.span_id)}"
    yield f"Flags: {record.flags}"


def _events(span: Span) -> Iterator[str]:
    if span.events:
        yield "Events:"
    for index, event in enumerate(span.events):
        yield f"SpanEvent #{index}"
        yield f"     -> Name: {event.name}"
        yield f"     -> Timestamp: {moment(event.time_unix_nano)}"
        yield f"     -> DroppedAttributesCount: {event.dropped_attributes_count}"
        yield from attribute_lines("     -> Attributes::", event.attributes, " " * 10)
    yield f"    DroppedEventsCount: {span.dropped_events_count}"


def _links(span: Span) -> Iterator[str]:
    if span.links:
        yield "Links:"
    for index, link in enumerate(span.links):
        yield f"SpanLink #{index}"
        yield f"     -> Trace ID: {hexadecimal(link.trace_id)}"
        yield f"     -> ID: {hexadecimal(link.span_id)}"
        yield f"     -> TraceState: {link.trace_state}"
        yield f"     -> DroppedAttributesCount: {link.dropped_attributes_count}"
        yield from attribute_lines("     -> Attributes::", link.attributes, " " * 10)
    yield f"    DroppedLinksCount: {span.dropped_links_count}"


def _name(names: tuple[str, ...], value: int) -> str:
    return names[value] if 0 <= value < len(names) else ""


def _severity(value: int) -> str:
    if not 1 <= value <= 24:
        return "" if value else "Unspecified"
    group, step = divmod(value - 1, 4)
    return _SEVERITIES[group] + (str(step + 1) if step else "")
