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
| start times | start timestamps, in the second message only |

What cannot be carried is rejected and counted, with its reason, and never sent: delta points when they are not added
up, come late or are of too many series (`max_streams`); points without time, value or temporality, of metrics without
a name, with buckets that do not fit their bounds or more than 1000 of them. Integers beyond 2**53 lose digits, as
Prometheus has doubles only.

| The receiver's answer | What follows |
| --- | --- |
| 2xx | delivered |
| 2xx of the second message whose headers `...-Written` tell less than was sent | what is missing counts as rejected |
| 2xx of the second message without these headers | as 415: the receiver knows the first only, and took nothing |
| 429, 5xx | sent again, after `Retry-After` if given |
| 401, 403, 404, 405, 407, 415 | the settings are wrong, which the status tells; sent again |
| 400, 422 (out of order, duplicate), 413 | sent in halves, until what is refused stands alone and is dropped |
| the same, after other requests of the batch arrived | the points of the refused request are dropped |
| the same, when the second message's headers say that a part was written | what is missing counts as rejected |
| other 4xx, redirects | dropped |
| none: no connection, cut off, timeout | sent again |

When some of a batch's requests fail, only those are sent again. A request whose answer was lost may have arrived all
the same: Prometheus takes the same last sample of a series twice as once, but calls earlier ones out of order, and then
they count as dropped although they are there. The same holds for halves, where a receiver had written a part.

```yaml
exporters:
  prometheus_remote_write:
    endpoint: https://prometheus.example.com:9090/api/v1/write
```
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from time import perf_counter
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Final, Self

from yarl import URL

from sluiceway.component import Component, Context, Kind, PartialSuccess, Stability
from sluiceway.config.auth import credentials
from sluiceway.config.http_client import way_to
from sluiceway.errors import DeliveryError, PermanentError, RetryableError
from sluiceway.exporters.prometheus_remote_write.answers import Written, judge, written
from sluiceway.exporters.prometheus_remote_write.settings import PrometheusRemoteWriteConfig
from sluiceway.exporters.prometheus_remote_write.work import Encoding, Request, Work
from sluiceway.extras import require
from sluiceway.otlp import Batch, Signal, join
from sluiceway.otlp.responses import one_line, read_retry_after
from sluiceway.telemetry import AttributeValue, Calls

if TYPE_CHECKING:
    import aiohttp

__all__ = ["COMPONENT", "PrometheusRemoteWriteConfig", "RemoteWriteExporter"]

LARGEST_RESPONSE: Final = 64 * 1024

_NO_ANSWER: Final[Mapping[str, AttributeValue]] = MappingProxyType({"error.type": "_OTHER"})
_WHY: Final = {
    "delta": "delta points, which Prometheus does not know: see delta_to_cumulative",
    "temporality": "points that say neither delta nor cumulative",
    "out of order": "delta points that are not newer than the ones before",
    "max_streams": "delta points of more series than delta_to_cumulative::max_streams",
    "scale": "exponential histograms of a scale below -4",
    "no value": "points without a value",
    "no time": "points without a time",
    "buckets": "histograms whose buckets do not fit their bounds, or with more than a thousand",
    "name": "points of metrics without a name",
}


class RemoteWriteExporter:
    """A pool of connections to one receiver. Entering it reads the TLS files and connects to nothing yet."""

    def __init__(self, config: PrometheusRemoteWriteConfig, context: Context) -> None:
        require("prometheus_remote_write", "prometheus-remote-write", "cramjam")
        self._config = config
        self._client = config.client
        self._context = context
        self._proof = credentials(self._client.auth, context)
        self._url = URL(self._client.endpoint)
        self._way = way_to(self._url, self._client.proxy_url)
        self.destination: dict[str, str | bool | int] = {
            "server.address": self._url.host or "", "server.port": self._url.port or 0, "url.path": self._url.path,
        }  # fmt: skip
        self._encoding = Encoding(config, context.clock)
        self._turn = asyncio.Lock()
        self._room = asyncio.Semaphore(config.parallelism)
        self._tls: Callable[[], ssl.SSLContext] | None = None
        self._session: aiohttp.ClientSession
        self._sent = [0, 0, 0, 0]
        self._left_out = dict.fromkeys(_WHY, 0)
        self._calls: Calls | None = None
        if context.telemetry.detailed:
            name, text = "http.client.request.duration", "Duration of HTTP client requests."
            self._calls = Calls(context.telemetry, name, text, **{"http.request.method": "POST"}, **self.destination)
        self._publish()

    async def __aenter__(self) -> Self:
        if self._url.scheme == "https":
            self._tls = self._client.tls.reloaded_ssl_context(self._context.clock, self._context.logger)
        if self._config.wal is not None:
            self._context.logger.warning("wal is without effect: sending_queue::storage keeps data on disk")
        second = self._config.is_second
        self._session = self._client.open_session(
            content_type="application/x-protobuf" + (f";proto={self._config.protobuf_message}" if second else ""),
            content_encoding="snappy",
            x_prometheus_remote_write_version="2.0.0" if second else "0.1.0",
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def consume(self, batch: Batch) -> PartialSuccess | None:
        """Send what is left of the batch, and return when the receiver has taken it or raise `DeliveryError`."""
        async with self._turn:
            work = await self._encoding.work(batch)
            errors = await self._send(work)
            if errors:
                delays = [error.retry_after for error in errors if error.retry_after is not None]
                first = errors[0]
                raise RetryableError(str(first), retry_after=max(delays, default=None), code=first.code) from first
            if work.is_refused:
                self._encoding.refused(work)
                raise next(iter(work.refused.values()))
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
                taken = await self._post(request)
        except RetryableError as error:
            errors.append(error)
            return
        except PermanentError as error:
            if request.has_points:
                work.refused[request.number] = error
            else:
                self._context.logger.debug("%s", error)
        else:
            self._count(work, request, taken)
        del work.requests[request.number]

    async def _post(self, request: Request) -> Written:
        """Send one request, and return what the receiver has written of it."""
        from aiohttp import ClientError

        from sluiceway.exporters.otlp_http.body import Body, read_bounded
        from sluiceway.exporters.otlp_http.failures import explain

        proxy, proxy_headers, headers = self._way
        if self._proof is not None:
            headers = {**headers, **self._proof.request_headers()}
        server_name = self._client.tls.server_name_override
        began, outcome = perf_counter(), _NO_ANSWER
        try:
            async with self._session.post(
                self._url,
                data=Body(request.body),
                headers=headers,
                allow_redirects=False,  # a redirect could carry telemetry to anybody
                proxy=proxy,
                proxy_headers=proxy_headers,
                ssl=True if self._tls is None else self._tls(),
                server_hostname=server_name or None,
            ) as response:
                answer = await read_bounded(response, LARGEST_RESPONSE)
                outcome = MappingProxyType({"http.response.status_code": response.status})
        except (ClientError, OSError) as error:
            encrypted = self._url.scheme == "https"
            reason = one_line(explain(error, server_name or self._url.host or "", encrypted=encrypted))
            raise RetryableError(f"remote write to {self._shown} failed: {reason}", code="UNAVAILABLE") from error
        finally:
            if self._calls is not None:
                self._calls.record(perf_counter() - began, **outcome)
        return self._read(request, response, answer or b"")

    def _read(self, request: Request, response: aiohttp.ClientResponse, answer: bytes) -> Written:
        told = written(response.headers) if self._config.is_second else None
        if 200 <= response.status < 300:
            if not self._config.is_second:
                return request.holds
            if told is not None:
                return told
            raise self._refusal(415, response, b"it took the request without a word of what it has written")
        is_final = 400 <= response.status < 500 and response.status != 429
        if is_final and told is not None and (told.samples or told.histograms):
            return told
        raise self._refusal(response.status, response, answer)

    def _refusal(self, status: int, response: aiohttp.ClientResponse, answer: bytes) -> DeliveryError:
        text = f"remote write to {self._shown} was answered with HTTP status {response.status}"
        if answer:
            text += f": {one_line(answer.decode(errors='replace').strip())}"
        now = self._context.clock.time_ns() / 1e9
        delay = read_retry_after(response.headers.get("Retry-After"), now)
        return judge(status, text, delay, protobuf_message=self._config.protobuf_message)

    def _count(self, work: Work, request: Request, taken: Written) -> None:
        """Count what was written of a request, and how many of its points were not, as far as that can be told."""
        holds = request.holds
        missing = holds.samples + holds.histograms - taken.samples - taken.histograms
        if missing > 0:
            work.unwritten += min(missing, work.points_of(request.number).items)
        for place, number in enumerate((1, taken.samples, taken.histograms, taken.exemplars)):
            self._sent[place] += number

    def _settle(self, work: Work) -> PartialSuccess | None:
        """Say what of a batch did not arrive, of which all that could be sent was."""
        for why, points in work.left_out.items():
            self._left_out[why] += points
        lost = [work.points_of(number) for number in work.refused]
        reasons = [str(error) for error in work.refused.values()][:1]
        if work.left_out:
            lost.append(work.points_left_out())
            reasons += [f"{points} {_WHY[why]}" for why, points in work.left_out.items()]
        if work.unwritten:
            reasons.append("the receiver says that it has not written all samples")
        rejected = sum(batch.items for batch in lost) + work.unwritten
        if not rejected:
            return None
        return PartialSuccess(rejected, "; ".join(reasons), join(lost) if lost and not work.unwritten else None)

    @property
    def _shown(self) -> str:
        url = self._url
        return f"{url.scheme}://{url.host}:{url.port}{url.path}"  # what else a URL holds may be secret

    def _publish(self) -> None:
        """Make our own metrics, by the Collector's names where it has them."""
        scope, kernel = self._context.telemetry, self._encoding.kernel
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
