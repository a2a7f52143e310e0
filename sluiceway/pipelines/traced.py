"""Spans of our own about what is received and exported, under the Collector's names.

They carry numbers of items and fixed texts; never an error's text, which may hold what a backend or a sender said.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sluiceway.component import Consumer, Context
from sluiceway.otlp import Batch, Signal
from sluiceway.pipelines.observation import describe
from sluiceway.pipelines.request import Request, Sender
from sluiceway.telemetry import Tracing, fail

if TYPE_CHECKING:
    from opentelemetry.trace import Span

__all__ = ["TracedExport", "TracedReceiver"]

_RECEIVED: Final = {
    Signal.TRACES: "TraceDataReceived",
    Signal.METRICS: "MetricsReceived",
    Signal.LOGS: "LogsReceived",
}


class TracedReceiver:
    """Stands behind a receiver: one span for each batch, from its arrival until every pipeline has taken it."""

    def __init__(self, consumer: Consumer, receiver: str, tracing: Tracing) -> None:
        self._consumer = consumer
        self._receiver = receiver
        self._tracing = tracing

    async def consume(self, batch: Batch) -> None:
        """Hand the batch on, which from here on is known to come of this span."""
        origin, nouns = batch.origin, batch.signal.items
        names = {"receiver": self._receiver, "transport": origin.transport}
        name = f"receiver/{self._receiver}/{_RECEIVED[batch.signal]}"
        span = self._tracing.span(name, origin.causes, names)
        if span is None:
            await self._consumer.consume(batch)
            return
        try:
            await self._consumer.consume(_caused_by(span, batch))
        except BaseException as error:
            span.set_attributes({f"accepted_{nouns}": 0, f"refused_{nouns}": batch.items})
            fail(span, type(error).__name__)
            raise
        else:
            span.set_attributes({f"accepted_{nouns}": batch.items, f"refused_{nouns}": 0})
        finally:
            span.end()


class TracedExport:
    """Stands around all attempts to export a request: one span, with an event for each repetition."""

    def __init__(self, sender: Sender, context: Context, signal: Signal, tracing: Tracing) -> None:
        self._next = sender
        self._tracing = tracing
        self._name = f"exporter/{context.id}/{signal.value}"
        self._attributes = {"exporter": context.id, "data_type": signal.value}

    async def send(self, request: Request) -> None:
        """Send on. What the backend rejected of the request is told to the span where it becomes known."""
        span = self._tracing.span(self._name, request.batch.origin.causes, self._attributes)
        if span is None:
            await self._next.send(request)
            return
        items = request.batch.items
        try:
            await self._next.send(replace(request, batch=_caused_by(span, request.batch), span=span))
        except BaseException as error:
            span.set_attributes({"items.sent": 0, "items.failed": items})
            fail(span, describe(error))
            raise
        finally:
            span.end()


def _caused_by(span: Span, batch: Batch) -> Batch:
    return replace(batch, origin=replace(batch.origin, causes=(span.get_span_context(),)))
