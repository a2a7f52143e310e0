"""Where text can stand in OTLP, by the names that settings call the places."""

from __future__ import annotations

from collections.abc import Iterable

from sluiceway.otlp.schema import MESSAGES

__all__ = ["FIELDS", "PLACES", "place_bits"]

PLACES = (
    "resource", "scope", "name", "attributes", "keys", "body", "events", "links", "status", "trace_state", "exemplars",
    "metric", "metadata", "severity", "event_name", "schema_url",
)  # fmt: skip
"""In the order of their bits. `attributes` are those of spans, log records and data points; `keys` those of all."""

_POINTS = ("NumberDataPoint", "HistogramDataPoint", "ExponentialHistogramDataPoint", "SummaryDataPoint")

FIELDS: dict[tuple[str, str], str] = {
    **{(message, "schemaUrl"): "schema_url" for message in MESSAGES if message.startswith(("Resource", "Scope"))},
    **{("EntityRef", field): "resource" for field in ("schemaUrl", "type", "idKeys", "descriptionKeys")},
    **{(message, "attributes"): "attributes" for message in ("Span", "LogRecord", *_POINTS)},
    **{("Metric", field): "metric" for field in ("name", "description", "unit")},
    **{("InstrumentationScope", field): "scope" for field in ("name", "version", "attributes")},
    ("Resource", "attributes"): "resource",
    ("Span", "name"): "name",
    ("Span", "traceState"): "trace_state",
    ("Event", "name"): "events",
    ("Event", "attributes"): "events",
    ("Link", "traceState"): "trace_state",
    ("Link", "attributes"): "links",
    ("Status", "message"): "status",
    ("LogRecord", "body"): "body",
    ("LogRecord", "severityText"): "severity",
    ("LogRecord", "eventName"): "event_name",
    ("Metric", "metadata"): "metadata",
    ("Exemplar", "filteredAttributes"): "exemplars",
}
"""The place of every field that holds text or values, by its message and its name in JSON."""


def place_bits(where: Iterable[str]) -> int:
    """The places as the kernel takes them. `all` is every one. Raises `ValueError` that names one that is unknown."""
    bits = 0
    for name in where:
        if name == "all":
            bits |= (1 << len(PLACES)) - 1
        elif name in PLACES:
            bits |= 1 << PLACES.index(name)
        else:
            raise ValueError(f'"{name}" is no place; they are all, {", ".join(PLACES)}')
    return bits
