"""What a processor spends on a batch, for the metrics of level `detailed` and for traces of our own.

Whoever wants neither pays nothing: the graph then puts none of this around a processor.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from contextvars import ContextVar
from time import perf_counter
from typing import TYPE_CHECKING

from sluiceway.component import Consumer
from sluiceway.otlp import Batch, Signal
from sluiceway.pipelines.inlet import Link
from sluiceway.telemetry import Histogram, Scope, fail

if TYPE_CHECKING:
    from opentelemetry.trace import Span

__all__ = ["Watch", "Watched", "WatchedLink", "is_watched"]

_under_way: ContextVar[_Work | None] = ContextVar("_under_way", default=None)


def is_watched(scope: Scope) -> bool:
    """Whether anybody wants to know what a processor spends on a batch."""
    return scope.detailed or scope.tracing is not None


class Watch:
    """Times the work of a processor, or of several that run as one: their work is then shared out evenly.

    Work lasts from a batch's arrival until it is handed on, held or refused; what comes after is not the processor's.
    """

    def __init__(self, processors: Sequence[str], signal: Signal, scope: Scope) -> None:
        self._tracing = scope.tracing
        self._name = f"processor/{'+'.join(processors)}/{signal.value}"
        self._attributes = {"processor": "+".join(processors), "otel.signal": signal.value}
        self._durations: list[Histogram] = [
            scope.histogram(
                "otelcol_processor_internal_duration", "s", "Seconds that a processor spends on a batch.",
                processor=processor, **{"otel.signal": signal.value},
            )
            for processor in processors
        ]  # fmt: skip

    def begin(self, batch: Batch) -> _Work:
        """Note that a batch has arrived."""
        span = self._tracing and self._tracing.span(self._name, batch.origin.causes, self._attributes)
        return _Work(self, span or None, batch.items)

    async def run(self, walk: Awaitable[Batch | None], batch: Batch) -> Batch | None:
        """Do the work of processors that only edit."""
        work = self.begin(batch)
        try:
            result = await walk
        except BaseException as error:
            work.end(error=error)
            raise
        work.end(0 if result is None else result.items)
        return result

    def spent(self, seconds: float) -> None:
        """Note how long one batch took."""
        for duration in self._durations:
            duration.record(seconds / len(self._durations))


class _Work:
    """What is being done with one batch; ends once, however often that is said."""

    __slots__ = ("_began", "_is_over", "_items", "_span", "watch")

    def __init__(self, watch: Watch, span: Span | None, items: int) -> None:
        self.watch = watch
        self._span = span
        self._items = items
        self._is_over = False
        self._began = perf_counter()

    def end(self, outgoing: int = 0, error: BaseException | None = None) -> None:
        if self._is_over:
            return
        self._is_over = True
        self.watch.spent(perf_counter() - self._began)
        if self._span is not None:
            self._span.set_attributes({"incoming_items": self._items, "outgoing_items": outgoing})
            if error is not None:
                fail(self._span, type(error).__name__)
            self._span.end()


class Watched:
    """Stands in front of a processor that forwards by itself."""

    def __init__(self, consumer: Consumer, watch: Watch) -> None:
        self._consumer = consumer
        self._watch = watch

    async def consume(self, batch: Batch) -> None:
        """Hand the batch to the processor."""
        work = self._watch.begin(batch)
        token = _under_way.set(work)
        try:
            await self._consumer.consume(batch)
        except BaseException as error:
            work.end(error=error)
            raise
        finally:
            _under_way.reset(token)
        work.end()


class WatchedLink(Link):
    """The link out of such a processor: what passes it ends the work that it came of.

    Batches of a task of the processor's own, such as those of `batch`, end nothing: their work was over when they were
    held.
    """

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self.watch = watch

    async def consume(self, batch: Batch) -> None:
        """Hand the batch on."""
        work = _under_way.get()
        if work is not None and work.watch is self.watch:
            work.end(batch.items)
        await super().consume(batch)
