"""Our own traces: spans about what receivers, processors and exporters do with a batch, by the OpenTelemetry SDK.

Nothing is recorded, and nothing is asked per batch, unless `service::telemetry::traces` has a processor. What led to a
batch travels with it as `Origin.causes`, because queues and batching cut every chain of calls.

Telemetry of our own that comes back, because it is sent to a receiver of this process, is recognised by a header and
not traced: its spans would lead to new ones for ever.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Final, TypeAlias

import sluiceway

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, SpanContext, Tracer

    from sluiceway.config.telemetry_traces import TracesConfig
    from sluiceway.telemetry.propagation import Format, Header

__all__ = ["OWN_HEADER", "Causes", "Tracing", "fail", "own_mark"]

OWN_HEADER: Final = "sluiceway-own-telemetry"
"""The header of requests that carry telemetry of our own; its value is `own_mark()`."""

Causes: TypeAlias = "tuple[SpanContext, ...]"


@cache
def own_mark() -> str:
    """What tells this process's own telemetry from that of others: a number drawn once."""
    return secrets.token_hex(8)


class Tracing:
    """Makes spans while it is started; components keep it across reloads.

    Starting imports the SDK. What spans say is what we know of ourselves, and never a sender's data or an error's text.
    """

    def __init__(self) -> None:
        self._provider: TracerProvider | None = None
        self._tracer: Tracer | None = None
        self._formats: Sequence[Format] = ()

    def start(self, config: TracesConfig, resource: Mapping[str, str]) -> None:
        """Begin to record. Raises `ConfigError` for settings that cannot be had."""
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider

        from sluiceway.telemetry.propagation import formats
        from sluiceway.telemetry.push import span_processor
        from sluiceway.telemetry.sampling import sampler, span_limits

        self._formats = formats(config.propagators)
        provider = self._provider = TracerProvider(
            sampler(config.sampler),
            Resource(dict(resource)),
            shutdown_on_exit=False,
            span_limits=span_limits(config.limits),
        )
        for processor in config.processors:
            provider.add_span_processor(span_processor(processor))
        self._tracer = provider.get_tracer("sluiceway", sluiceway.__version__)

    async def stop(self) -> None:
        """Stop recording and send what waits, within `LAST_PUSH` seconds."""
        from sluiceway.telemetry.background import LAST_PUSH, Background

        provider, self._provider, self._tracer = self._provider, None, None
        if provider is not None:
            await Background(provider.shutdown).wait(LAST_PUSH)

    def span(self, name: str, causes: Causes, attributes: Mapping[str, str]) -> Span | None:
        """Begin a span: a child of one cause, linked to several. None when it is not to be recorded."""
        from opentelemetry.context import Context
        from opentelemetry.trace import Link, NonRecordingSpan, set_span_in_context

        if self._tracer is None or is_own(causes):
            return None
        # An empty context: the current span of a program that embeds a collector is not the parent of ours.
        if len(causes) != 1:
            return self._tracer.start_span(name, Context(), attributes=attributes, links=list(map(Link, causes)))
        parent = set_span_in_context(NonRecordingSpan(causes[0]), Context())
        return self._tracer.start_span(name, parent, attributes=attributes)

    def arriving(self, header: Header) -> Causes:
        """What led to a request, by its headers: a span of the sender, telemetry of our own, or nothing known."""
        from opentelemetry.trace import INVALID_SPAN_CONTEXT

        if header(OWN_HEADER) == own_mark():
            return (INVALID_SPAN_CONTEXT,)
        for format in self._formats:
            if (span := format.read(header)) is not None:
                return (span,)
        return ()

    def headers(self, causes: Causes) -> dict[str, str]:
        """The headers that tell a backend which span its request belongs to, by lower-case name."""
        if len(causes) != 1 or not causes[0].is_valid:
            return {}
        return {name: value for format in self._formats for name, value in format.write(causes[0]).items()}


def is_own(causes: Causes) -> bool:
    """Whether a batch holds nothing but telemetry of our own."""
    return bool(causes) and not causes[0].is_valid


def fail(span: Span, description: str) -> None:
    """Mark a span as failed; the description must be fixed text."""
    from opentelemetry.trace import Status, StatusCode

    span.set_status(Status(StatusCode.ERROR, description))
