"""Sends metrics to Prometheus, and all that takes remote write as it does: Mimir, Thanos, Cortex, VictoriaMetrics.

A batch becomes one request, or several beyond `max_batch_size_bytes`, which go at the same time. Batches go one after
the other, and the samples of a series stand in one request, in the order of their times: a receiver gets each series in
order, as Prometheus demands. Names, labels and units become Prometheus's (`http.server.duration` in `s` is
`http_server_duration_seconds`); `service.name` and `service.instance.id` become `job` and `instance`, the resource's
other attributes labels of `target_info`, which is sent every half a minute, in a request of its own: where others have
told of the same resource later, Prometheus refuses it, and nothing else.

| OTLP | Prometheus |
| --- | --- |
| gauges, sums that are not monotonic | gauges |
| monotonic cumulative sums | counters, with exemplars |
| histograms | the series `_bucket`, `_sum` and `_count`, with exemplars |
| exponential histograms | native histograms; scales above 8 are made coarser, below -4 there is nothing like them |
| summaries | a series for each quantile, `_sum` and `_count` |
| delta sums and histograms | with `delta_to_cumulative` added up; else rejected and counted |
| points without recorded value | stale markers |
| start times | start timestamps, in remote write 2.0 only |

Remote write 1.0 is what every receiver knows, and the default. 2.0 (`protobuf_message: io.prometheus.write.v2.Request`)
brings types, help, units and start times along, in fewer bytes, and tells what was written; Prometheus knows it from
3.0 on.

What cannot be carried is rejected and counted, with its reason, and never sent:

| Points | Why |
| --- | --- |
| deltas, unless they are added up; those of more series than `max_streams` | Prometheus has no deltas |
| deltas not newer than what an earlier batch had of their series | within a batch they are brought in order |
| without time, value or temporality; of metrics without a name | there is nothing to write |
| with buckets, bounds or quantiles that cannot be, or more than 1000 of them | there is nothing to read |
| more than ten minutes ahead of our clock | Prometheus' own limit; 2.42 takes one, and then nothing else |
| of a series that a metric of another type or unit has, in the same batch | who came first keeps it |
| of a series that has a newer point in the same millisecond, with another value | Prometheus keeps one sample |

The last two happen where resources are told apart by nothing that becomes a label: give them a `service.instance.id`,
or see `resource_to_telemetry_conversion`. A histogram's count is the sum of its buckets; of quantiles that come twice
the last stays; delta histograms whose bounds change begin anew. The exporter `prometheus` has the same rules.

| The receiver's answer | What follows |
| --- | --- |
| 2xx | delivered |
| 2xx of 2.0 whose headers `...-Written` tell less than was sent | what is missing counts as rejected |
| 2xx of 2.0 without these headers | the receiver knows 1.0 only, which the status tells; sent again |
| 429, other 5xx | sent again, after `Retry-After` if given |
| 401, 403, 404, 405, 407, 415, 501 | the settings are wrong, which the status tells; sent again |
| 400, 422 (out of order, duplicate), 413 | sent in halves, until what is refused stands alone and is dropped |
| the same, ten thousand times and nothing taken meanwhile | dropped, until something is taken again |
| the same, when the headers of 2.0 say that a part was written | what is missing counts as rejected |
| other 4xx, redirects | dropped |
| none: no connection, cut off, timeout | sent again |

When some of a batch's requests fail, only those are sent again. `timeout` is for one attempt with all its requests and
halves, and the next goes on where it ended; when attempts end for good, all of the batch counts as dropped, also what
has arrived. Without a queue a batch is known again by its bytes, among the last 64 that failed.

A request whose answer was lost may have arrived all the same: Prometheus takes the same last sample of a series twice
as once, but calls earlier ones out of order, and then they count as dropped although they are there. The same holds for
halves, where a receiver had written a part.

`delta_to_cumulative` adds each delta up once, when its batch is first tried. What then fails or is refused stays in the
sum, which the next sample shows: a sum that fell would be a reset to Prometheus. So deltas that come again in a batch
of other bytes are rejected as not newer. A reload keeps the sums unless it changes names, labels, the message,
`max_streams`, `max_batch_size_bytes` or `series_cache_size`. What the exporter before it then still sends is rejected
where its successor had newer deltas of the same series.

A crash loses what the queue holds in memory, and the sums, which begin anew: a counter that was reset. Integers beyond
2**53 lose digits, as Prometheus has doubles only.

```yaml
exporters:
  prometheus_remote_write:
    endpoint: https://prometheus.example.com:9090/api/v1/write
```
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from sluiceway.component import Component, Context, Kind, PartialSuccess, Stability
from sluiceway.errors import PermanentError, RetryableError
from sluiceway.exporters.prometheus_remote_write.answers import Written
from sluiceway.exporters.prometheus_remote_write.receiver import Receiver
from sluiceway.exporters.prometheus_remote_write.settings import PrometheusRemoteWriteConfig
from sluiceway.exporters.prometheus_remote_write.work import ABOUT_DATA, MOST_IN_VAIN, Encoding, Request, Series, Work
from sluiceway.extras import require
from sluiceway.otlp import Batch, Signal, join

__all__ = ["COMPONENT", "PrometheusRemoteWriteConfig", "RemoteWriteExporter"]

_WHY: Final = {
    "delta": "delta points, which Prometheus does not know: see delta_to_cumulative",
    "temporality": "points that say neither delta nor cumulative",
    "out of order": "delta points that are not newer than the ones before",
    "max_streams": "delta points of more series than delta_to_cumulative::max_streams",
    "scale": "exponential histograms of a scale below -4",
    "no value": "points without a value",
    "no time": "points without a time",
    "buckets": "histograms whose buckets cannot be, or with more than a thousand",
    "name": "points of metrics without a name",
    "quantiles": "summaries with quantiles that are not between 0 and 1, or with more than a thousand",
    "future": "points more than ten minutes ahead of our clock",
    "type": "points of series that another metric has, of another type or unit",
    "duplicate": "points of series that have a newer one in the same millisecond, with another value",
}


class RemoteWriteExporter:
    """Sends batches to one receiver, one after the other. Entering it connects to nothing yet."""

    def __init__(self, config: PrometheusRemoteWriteConfig, context: Context) -> None:
        require("prometheus_remote_write", "prometheus-remote-write", "cramjam")
        self._config = config
        self._context = context
        self._receiver = Receiver(config, context)
        self.destination = self._receiver.destination
        self._series = Series.of(config, context.kept)
        self._encoding = Encoding(config, context.clock, self._series)
        self._room = asyncio.Semaphore(config.parallelism)
        self._sent = [0, 0, 0, 0]
        self._in_vain = 0
        self._left_out = dict.fromkeys(_WHY, 0)
        self._publish()

    async def __aenter__(self) -> Self:
        if self._config.wal is not None:
            self._context.logger.warning("wal is without effect: sending_queue::storage keeps data on disk")
        await self._receiver.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._receiver.__aexit__(kind, error, trace)

    async def check_backend(self) -> None:
        """Post a request without series: it shows whether the receiver is there, knows us and takes this message."""
        with suppress(PermanentError):  # one that wants series is there
            await self._receiver.post(self._encoding.nothing)

    async def consume(self, batch: Batch) -> PartialSuccess | None:
        """Send what is left of the batch, and return when the receiver has taken it or raise `DeliveryError`."""
        async with self._series.turn:
            work = await self._encoding.work(batch)
            errors = await self._send(work)
            if errors:
                delays = [error.retry_after for error in errors if error.retry_after is not None]
                first = errors[0]
                delay = max(delays, default=None)
                raise RetryableError(str(first), retry_after=delay, code=first.code, advice=first.advice) from first
            self._part(work)
            await self._send_parts(work)
            self._encoding.done(work)
            return self._settle(work)

    async def _send(self, work: Work) -> list[RetryableError]:
        """Send all requests that are left, and return the errors of those that may go again."""
        errors: list[RetryableError] = []
        async with asyncio.TaskGroup() as tasks:
            for request in list(work.requests.values()):
                tasks.create_task(self._send_one(work, request, errors))
        return errors

    async def _send_one(self, work: Work, request: Request, errors: list[RetryableError]) -> None:
        try:
            async with self._room:
                taken = await self._receiver.post(request)
        except RetryableError as error:
            errors.append(error)
            return
        except PermanentError as error:
            if request.has_points:
                work.refused[request.number] = error
                self._in_vain += 1
            else:
                self._context.logger.debug("%s", error)
        else:
            self._count(work, request, taken)
        del work.requests[request.number]

    def _part(self, work: Work) -> None:
        """See to the requests that were refused: in parts they may yet be taken."""
        for number, error in reversed(work.refused.items()):
            if work.divide(work.points_of(number), error, tries=self._in_vain < MOST_IN_VAIN):
                self._encoding.take_back(work, number)
        work.refused.clear()

    async def _send_parts(self, work: Work) -> None:
        """Send what was refused in ever smaller parts, one after the other, so that each series keeps its order."""
        while work.parts:
            part = await self._encoding.part(work.parts[-1])
            try:
                for request in part.requests.values():
                    if request.has_points:
                        self._count(part, request, await self._receiver.post(request))
            except PermanentError as error:
                self._in_vain += 1
                if work.divide(work.parts.pop(), error, tries=self._in_vain < MOST_IN_VAIN):
                    self._encoding.take_back(part)
            else:
                work.parts.pop()
                work.settle(part)

    def _count(self, work: Work, request: Request, taken: Written) -> None:
        """Count what was written of a request, and how many of its points were not, as far as that can be told."""
        holds = request.holds
        missing = holds.samples + holds.histograms - taken.samples - taken.histograms
        if missing > 0:
            work.unwritten += min(missing, work.points_of(request.number).items)
        if request.has_points:
            self._in_vain = 0
        for place, number in enumerate((1, taken.samples, taken.histograms, taken.exemplars)):
            self._sent[place] += number

    def _settle(self, work: Work) -> PartialSuccess | None:
        """Say what of a batch did not arrive, of which all that could be sent was."""
        for why, points in work.left_out.items():
            self._left_out[why] += points
        if not work.rejected:
            return None
        reasons = [str(error) for error in work.errors[:1]]
        reasons += [f"{points} {_WHY[why]}" for why, points in work.left_out.items()]
        if work.unwritten:
            reasons.append("the receiver says that it has not written all samples")
        text = "; ".join(reasons)
        if work.errors and work.rejected == work.batch.items:
            first = work.errors[0]
            # Nobody needs to divide it once more.
            code = "FAILED_PRECONDITION" if work.batch.items > 1 and first.code in ABOUT_DATA else first.code
            raise PermanentError(text, code=code, advice=first.advice, cause=first.cause)
        return PartialSuccess(work.rejected, text, None if work.unwritten else join(work.lost))

    def _publish(self) -> None:
        """Make our own metrics, by the Collector's names where it has them."""
        scope, kernel = self._context.telemetry, self._series.kernel
        names = {"exporter": self._context.id}
        prefix = "otelcol_exporter_prometheusremotewrite_"
        kinds = (("sent_batches", "request"), ("written_samples", "sample"), ("written_histograms", "histogram"),
                 ("written_exemplars", "exemplar"))  # fmt: skip
        for place, (name, unit) in enumerate(kinds):
            text = f"What the receiver has taken: {unit}s."
            scope.counter(prefix + name, lambda place=place: self._sent[place], f"{{{unit}}}", text, **names)  # type: ignore[misc]
        for why in _WHY:
            scope.counter(
                f"{prefix}failed_translations", lambda why=why: self._left_out[why], "{datapoint}",  # type: ignore[misc]
                "Points that remote write cannot carry.", reason=why, **names,
            )  # fmt: skip
        scope.gauge(
            "sluiceway_exporter_prometheus_remote_write_series", lambda: kernel.series, "{series}",
            "Sets of labels that are known.", **names,
        )  # fmt: skip
        if self._config.delta_to_cumulative is not None:
            scope.gauge(
                "sluiceway_exporter_prometheus_remote_write_delta_series", lambda: kernel.delta_series, "{series}",
                "Delta series that are being added up.", **names,
            )  # fmt: skip


COMPONENT = Component(
    type="prometheus_remote_write",
    kind=Kind.EXPORTER,
    config=PrometheusRemoteWriteConfig,
    create=RemoteWriteExporter,
    signals=frozenset({Signal.METRICS}),
    stability=Stability.BETA,
    aliases=("prometheusremotewrite",),
)
