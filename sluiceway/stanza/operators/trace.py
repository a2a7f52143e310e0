"""`trace_parser`, and the block `trace` of parsers: the ids of trace and span, and the flags, from hexadecimal text."""

from __future__ import annotations

from typing import Literal

from sluiceway.config.settings import Settings
from sluiceway.stanza.entry import Entry
from sluiceway.stanza.fields import MISSING, Field, FieldName, field
from sluiceway.stanza.operators.operator import Operator, Step

__all__ = ["Trace", "TraceParser"]


class TraceId(Settings):
    """Where the id of the trace stands."""

    parse_from: FieldName = "attributes.trace_id"
    """The field with 32 hexadecimal digits."""


class SpanId(Settings):
    """Where the id of the span stands."""

    parse_from: FieldName = "attributes.span_id"
    """The field with 16 hexadecimal digits."""


class TraceFlags(Settings):
    """Where the flags stand."""

    parse_from: FieldName = "attributes.trace_flags"
    """The field with two hexadecimal digits."""


class Trace(Settings):
    """Which trace and span an entry belongs to."""

    trace_id: TraceId = TraceId()
    """Where the id of the trace stands."""
    span_id: SpanId = SpanId()
    """Where the id of the span stands."""
    trace_flags: TraceFlags = TraceFlags()
    """Where the flags stand."""

    def step(self) -> Step:
        """Read what is there."""
        return _step(self.trace_id, self.span_id, self.trace_flags)


class TraceParser(Trace, Operator):
    """Reads the ids of trace and span, and the flags; a field that is not there is passed over."""

    type: Literal["trace_parser"]
    """Which operator it is."""


def _step(trace_id: TraceId, span_id: SpanId, flags: TraceFlags) -> Step:
    trace, span, marks = field(trace_id.parse_from), field(span_id.parse_from), field(flags.parse_from)

    def step(entry: Entry) -> None:
        entry.trace_id = _id(entry, trace, 16) or entry.trace_id
        entry.span_id = _id(entry, span, 8) or entry.span_id
        if raw := _id(entry, marks, 1):
            entry.flags = raw[0]

    return step


def _id(entry: Entry, place: Field, size: int) -> bytes:
    value = place.get(entry)
    if value is MISSING:
        return b""
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if not isinstance(value, str):
        raise ValueError(f"{place} is no text")  # noqa: TRY004 - one error for all values
    try:
        raw = bytes.fromhex(value) if len(value) == 2 * size else b""
    except ValueError:
        raw = b""
    if len(raw) != size:
        raise ValueError(f"{place} must be {2 * size} hexadecimal digits")
    return raw
