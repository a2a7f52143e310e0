"""Counts spans, and how long they took, into metrics: rate, errors and duration of whatever is traced.

Every span adds to `traces.span.metrics.calls` and `traces.span.metrics.duration`, told apart by service, name, kind and
status, by the collector that counted (`collector.instance.id`, without which the series of two would be one), and by
the attributes that `dimensions` names: the span's own, or else its resource's. The spans themselves go no further by
this way. A batch of spans is answered once it is counted; metrics go out every `metrics_flush_interval` and when the
collector drains.

What has been counted is in memory: it is lost when the process is killed, and cumulative series then start anew. When
the pipeline behind refuses metrics nothing is lost: cumulative series come again with the next flush, delta ones are
kept and offered again. What it refuses for good is dropped and counted. A series that expired starts anew when it comes
back. Memory is bounded by `max_held_bytes`, however many values there are; what is beyond counts in the series
`otel.metric.overflow`.

Whether a call failed is what the span's status says, never an HTTP code: a GraphQL answer of 200 that carries `errors`
counts as an error where the instrumentation sets the status of its span. A GraphQL operation's name comes from the
client, so give it a bound. What a pattern (`glob: http.*`) finds has none: of each span 64 attributes at most become
dimensions by patterns, those that come first by name.

| metric | on | instrument | unit | attributes beside the default dimensions and `dimensions` |
| --- | --- | --- | --- | --- |
| `traces.span.metrics.calls` | yes | counter, int | | `calls_dimensions` |
| `traces.span.metrics.duration` | yes | histogram, explicit or exponential | ms or s | `histogram::dimensions` |
| `traces.span.metrics.events` | | counter, int | | `events::dimensions`, of the event or else as the others |

The default dimensions are `service.name`, `span.name`, `span.kind` (`SPAN_KIND_SERVER`, ...), `status.code`
(`STATUS_CODE_ERROR`, ...) and `collector.instance.id`, less `exclude_dimensions`.

```yaml
connectors:
  span_metrics:
    dimensions:
      - name: http.route
      - name: graphql.operation.name
        max_values: 100
```
"""

from __future__ import annotations

import asyncio
import secrets
from types import TracebackType
from typing import Final, Self

from sluiceway.component import Component, Consumer, Context, Kind, Stability, reason_of
from sluiceway.connectors.span_metrics.settings import BUILT_IN, INSTANCE, Dimension, SpanMetricsConfig
from sluiceway.onward import Onward
from sluiceway.otlp import Batch, Signal
from sluiceway.otlp._span_metrics import SpanSeries
from sluiceway.otlp.batch import Origin

__all__ = ["COMPONENT", "SpanMetrics", "SpanMetricsConfig", "series_of"]

_CALLS: Final = 1
_DURATION: Final = 2
_EVENTS: Final = 4
_SCOPE: Final = ("span.instrumentation.scope.name", "span.instrumentation.scope.version")


class SpanMetrics:
    """Counts spans as they come and sends metrics at an interval. Leaving it flushes."""

    def __init__(self, config: SpanMetricsConfig, context: Context, next: Consumer) -> None:
        self._config = config
        self._context = context
        self._onward = Onward(context, next)
        self._delta = config.aggregation_temporality.endswith("DELTA")
        self._series = series_of(config, context.instance)
        self._pending: Batch | None = None
        self._sending = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._tasks = asyncio.TaskGroup()
        scope, connector = context.telemetry, context.id
        scope.updown(
            "otelcol_connector_span_metrics_series",
            lambda: len(self._series),
            "{series}",
            "Series that are held.",
            connector=connector,
        )

    async def __aenter__(self) -> Self:
        """Begin to send."""
        if self._config.dimensions_cache_size:
            self._context.logger.warning(
                "dimensions_cache_size has no effect: use aggregation_cardinality_limit instead"
            )
        await self._tasks.__aenter__()
        self._task = self._tasks.create_task(self._run(), name=f"{self._context.id} flush")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Send what has been counted; what is refused now is dropped."""
        try:
            async with self._sending:
                await self._flush(last=True)
        finally:
            if self._task is not None:
                self._task.cancel()
            await self._tasks.__aexit__(None, None, None)

    async def consume(self, batch: Batch) -> None:
        """Return when the spans have been counted."""
        self._series.add(batch.payload, self._context.clock.time_ns())

    async def _run(self) -> None:
        clock = self._context.clock
        while True:
            await clock.sleep(self._config.metrics_flush_interval)
            async with self._sending:
                await self._flush()

    async def _flush(self, *, last: bool = False) -> None:
        """Send the metrics of now, behind those that were refused; delta ones that are refused stay."""
        if self._pending is not None:
            await self._send(self._pending, last=last)
            if self._pending is not None:
                return
        self._expire()
        payload, points = self._series.flush(self._context.clock.time_ns())
        if points:
            await self._send(Batch(Signal.METRICS, payload, points, Origin(self._context.clock.now())), last=last)

    async def _send(self, batch: Batch, *, last: bool) -> None:
        self._pending = None
        try:
            is_done = await self._onward.send(batch, last=last)
        except asyncio.CancelledError as error:
            self._context.drop(batch.items, reason_of(error))
            raise
        if self._delta and not is_done:
            self._pending = batch

    def _expire(self) -> None:
        now, config = self._context.clock.time_ns(), self._config
        ages = (config.series_expiration, config.metrics_expiration)
        if not self._delta and any(ages):
            self._series.expire(*(max(now - int(age * 1e9), 0) if age else 0 for age in ages))


def series_of(config: SpanMetricsConfig, instance: str = "") -> SpanSeries:
    """The series that these settings ask for, all empty. They bear the collector's `instance`, unless it is empty."""
    histogram = config.histogram
    metrics = _CALLS | (0 if histogram.disable else _DURATION) | (_EVENTS if config.events.enabled else 0)
    exemplars = (config.exemplars.max_per_data_point or 5) if config.exemplars.enabled else 0
    asked = (
        *((dimension, _CALLS | _DURATION | _EVENTS) for dimension in config.dimensions),
        *((dimension, _CALLS) for dimension in config.calls_dimensions),
        *((dimension, _DURATION) for dimension in histogram.dimensions),
        *((dimension, _EVENTS) for dimension in config.events.dimensions),
    )
    return SpanSeries(
        namespace=config.namespace,
        dimensions=[_named(dimension, made) for dimension, made in asked if dimension.name],
        globs=[(dimension.glob.encode(), made) for dimension, made in asked if dimension.glob],
        reserved=[name.encode() for name in (*BUILT_IN, INSTANCE, *_SCOPE)],
        instance=b"" if INSTANCE in config.exclude_dimensions else instance.encode(),
        metrics=metrics,
        builtins=sum(1 << bit for bit, name in enumerate(BUILT_IN) if name not in config.exclude_dimensions),
        bounds=histogram.bounds,
        max_size=0 if histogram.exponential is None else histogram.exponential.max_size,
        unit=histogram.unit,
        delta=config.aggregation_temporality.endswith("DELTA"),
        limit=config.aggregation_cardinality_limit,
        max_groups=config.resource_metrics_cache_size,
        max_exemplars=exemplars,
        whole_resource=config.add_resource_attributes,
        key_attributes=[key.encode() for key in config.resource_metrics_key_attributes],
        scopes=[name.encode() for name in config.include_instrumentation_scope],
        max_bytes=config.max_held_bytes,
        seed=secrets.randbits(64),
    )


def _named(dimension: Dimension, metrics: int) -> tuple[bytes, bytes | None, int, list[bytes], int]:
    return (
        dimension.name.encode(),
        None if dimension.default is None else _text(dimension.default.encode()),
        metrics,
        [value.encode() for value in dimension.values],
        dimension.max_values,
    )


def _text(text: bytes) -> bytes:
    """An AnyValue's content."""
    size, prefix = len(text), bytearray(b"\x0a")
    while size >= 0x80:
        prefix.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([*prefix, size]) + text


COMPONENT = Component(
    type="span_metrics",
    kind=Kind.CONNECTOR,
    config=SpanMetricsConfig,
    create=SpanMetrics,
    signals=frozenset([Signal.TRACES]),
    emits={Signal.TRACES: frozenset([Signal.METRICS])},
    stability=Stability.ALPHA,
    aliases=("spanmetrics",),
)
