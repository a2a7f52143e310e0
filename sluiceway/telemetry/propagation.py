"""How a span is named in the headers of a request: W3C's `traceparent` and Zipkin's `b3`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final, Protocol, TypeAlias

from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

__all__ = ["Format", "Header", "formats"]

Header: TypeAlias = Callable[[str], str | None]
"""The value of a request's header by its lower-case name; nothing when it is absent."""

_B3: Final = re.compile(
    r"([0-9a-f]{16}|[0-9a-f]{32})-([0-9a-f]{16})(?:-(0|1|d|true|false)(?:-[0-9a-f]{16})?)?", re.IGNORECASE
)
_YES: Final = frozenset({"1", "d", "true"})


class Format(Protocol):
    """One way to write a span's identity. What a sender wrote and makes no sense counts as absent."""

    def read(self, header: Header) -> SpanContext | None:
        """The span that a request's headers name."""

    def write(self, span: SpanContext) -> dict[str, str]:
        """The headers that name a span, by lower-case name."""


def formats(names: Iterable[str]) -> list[Format]:
    """The formats of `service::telemetry::traces::propagators`, in order."""
    return [TraceContext() if name == "tracecontext" else B3() for name in names]


class TraceContext:
    """W3C Trace Context, by the OpenTelemetry API."""

    def __init__(self) -> None:
        self._propagator = TraceContextTextMapPropagator()

    def read(self, header: Header) -> SpanContext | None:
        """Read `traceparent` and `tracestate`."""
        carrier = {name: value for name in ("traceparent", "tracestate") if (value := header(name))}
        span = get_current_span(self._propagator.extract(carrier, Context())).get_span_context()
        return span if span.is_valid else None

    def write(self, span: SpanContext) -> dict[str, str]:
        """Write `traceparent`, and `tracestate` where there is one."""
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, set_span_in_context(NonRecordingSpan(span), Context()))
        return carrier


class B3:
    """B3 as the Collector has it: reads the single header or the several ones, and writes the several ones.

    https://github.com/openzipkin/b3-propagation
    """

    def read(self, header: Header) -> SpanContext | None:
        """Read `b3`, or `x-b3-traceid` and its companions."""
        match = _B3.fullmatch(header("b3") or self._joined(header))
        if match is None:
            return None
        trace, span, decision = match.groups(default="")
        flags = TraceFlags(TraceFlags.SAMPLED if decision.lower() in _YES else TraceFlags.DEFAULT)
        found = SpanContext(int(trace, 16), int(span, 16), is_remote=True, trace_flags=flags)
        return found if found.is_valid else None

    def write(self, span: SpanContext) -> dict[str, str]:
        """Write the several headers."""
        return {
            "x-b3-traceid": f"{span.trace_id:032x}",
            "x-b3-spanid": f"{span.span_id:016x}",
            "x-b3-sampled": "1" if span.trace_flags.sampled else "0",
        }

    def _joined(self, header: Header) -> str:
        decision = "d" if header("x-b3-flags") == "1" else header("x-b3-sampled")
        ids = f"{header('x-b3-traceid') or ''}-{header('x-b3-spanid') or ''}"
        return f"{ids}-{decision}" if decision else ids
