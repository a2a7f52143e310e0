"""Sends batches to any OTLP backend over HTTP, one POST a batch, as the bytes they are (or as OTLP/JSON).

It never changes, joins, splits or keeps data: the parts around it (timeout, retry, queue, circuit breaker) do that.
What the backend says decides what becomes of a batch:

| The backend's answer | What follows |
| --- | --- |
| 2xx | delivered |
| 2xx with a partial success | delivered but for the rejected items, which are dropped and counted; never sent again |
| 429, 503 | sent again, after `Retry-After` (seconds or a date) if given |
| 502, 504 | sent again |
| 400 of a server that speaks TLS on this port | the endpoint is wrong, which the status tells; sent again |
| every other status: redirects, 400, 401, 403, 404, 408, 500 ... | dropped |
| 2xx with an answer that cannot be read, or larger than 64 KiB | counted as dropped, though the backend has it |
| none: no connection, no valid certificate, cut off, timeout | sent again |

A request that is cancelled, by its timeout or by a stop, may have arrived all the same, and is then there twice after
a retry. However long a delay a backend asks for, the next attempt waits for two minutes at most because of it.

After the start it connects once and sends nothing, so that a wrong address is told before there are data.

This is the fast way out of Sluiceway. `compression: gzip` runs at ISA-L's level 1 (about 0.4 CPU seconds per million
log records; zlib's own default would take 6), `zstd` at level 3. Bodies larger than 256 KiB are compressed in a
thread. Responses are never decompressed, and no more than 64 KiB of one is read.

```yaml
exporters:
  otlp_http:
    endpoint: https://backend.example.com:4318
```
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from time import perf_counter
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Final, Literal, Self

from pydantic import field_validator, model_validator
from pydantic_core import PydanticCustomError
from yarl import URL

from sluiceway.component import Component, Context, Kind, PartialSuccess, Stability
from sluiceway.config.advice import scheme_advice
from sluiceway.config.auth import credentials
from sluiceway.config.client import is_url
from sluiceway.config.exporter import CircuitBreaker, RetryOnFailure, SendingQueue, Timeout
from sluiceway.config.http_client import HttpClient, way_to
from sluiceway.config.listen import is_loopback
from sluiceway.config.settings import mistake
from sluiceway.config.types import Section
from sluiceway.errors import ConfigError, DecodeError, DeliveryError, PermanentError, RetryableError
from sluiceway.exporters.otlp_http.encoding import encoder
from sluiceway.otlp import Batch, Signal
from sluiceway.otlp.responses import http_error, one_line, read_retry_after, read_status, rejection
from sluiceway.telemetry import AttributeValue, Calls

if TYPE_CHECKING:
    import aiohttp
    from aiohttp.payload import Payload

__all__ = ["COMPONENT", "OtlpHttpConfig", "OtlpHttpExporter"]

LARGEST_RESPONSE: Final = 64 * 1024

_NO_ANSWER: Final[Mapping[str, AttributeValue]] = MappingProxyType({"error.type": "_OTHER"})
_CONTENT_TYPES: Final = {"proto": "application/x-protobuf", "json": "application/json"}


class OtlpHttpConfig(HttpClient):
    """The settings of `otlp_http`: those of an HTTP client, and of the parts around an exporter."""

    endpoint: str = ""
    """The base URL, to which `/v1/traces`, `/v1/metrics` and `/v1/logs` are added."""
    traces_endpoint: str = ""
    """The whole URL for traces."""
    metrics_endpoint: str = ""
    """The whole URL for metrics."""
    logs_endpoint: str = ""
    """The whole URL for logs."""
    profiles_endpoint: str = ""
    """The whole URL for profiles; read but not used, as there are no pipelines of profiles."""
    encoding: Literal["proto", "json"] = "proto"
    """How batches are written: `proto`, as they are, or `json`, which costs a conversion."""
    compression: str = "gzip"
    """`gzip`, `zstd`, `zlib`, `deflate` or `none`."""
    write_buffer_size: int = 524_288
    """Without effect: a body is written at once."""
    timeout: Timeout = 30.0
    """How long one attempt may take; 0s has no limit."""
    retry_on_failure: Section[RetryOnFailure] = RetryOnFailure()
    """How often and when to try again."""
    sending_queue: Section[SendingQueue] = SendingQueue()
    """The queue that takes responsibility for batches."""
    circuit_breaker: Section[CircuitBreaker] = None
    """Stops attempts while the backend is down; off."""

    @field_validator("encoding", mode="before")
    @classmethod
    def _check_encoding(cls, encoding: object) -> object:
        if not isinstance(encoding, str) or encoding not in _CONTENT_TYPES:
            text = f"invalid encoding type: {str(encoding)[:100]} (valid values: [{' '.join(_CONTENT_TYPES)}])"
            raise PydanticCustomError("encoding", "{text}", {"text": text})
        return encoding

    @model_validator(mode="after")
    def _check_endpoints(self) -> Self:
        urls = {"endpoint": self.endpoint, "profiles_endpoint": self.profiles_endpoint}
        urls |= {f"{signal.value}_endpoint": self._own_url(signal) for signal in Signal}
        if not any(urls.values()):
            raise ValueError("at least one endpoint must be specified")
        for key, url in urls.items():
            if url and not is_url(url):
                raise mistake(f"{key} must be a valid URL{_hint(url)}", key)
        return self

    def url(self, signal: Signal) -> str:
        """Where batches of a signal go; empty when the settings do not say."""
        if own := self._own_url(signal):
            return own
        return f"{self.endpoint.removesuffix('/')}/v1/{signal.value}" if self.endpoint else ""

    def _own_url(self, signal: Signal) -> str:
        return {
            Signal.TRACES: self.traces_endpoint,
            Signal.METRICS: self.metrics_endpoint,
            Signal.LOGS: self.logs_endpoint,
        }[signal]


class OtlpHttpExporter:
    """A pool of connections to one backend. Entering it reads the TLS files and connects to nothing yet."""

    def __init__(self, config: OtlpHttpConfig, context: Context) -> None:
        for signal in context.signals:
            if not config.url(signal):
                raise ConfigError(f"either endpoint or {signal.value}_endpoint must be specified")
        self._config = config
        self._context = context
        self._proof = credentials(config.auth, context)
        self._urls = {signal: URL(config.url(signal)) for signal in context.signals}
        self._ways = {signal: way_to(url, config.proxy_url) for signal, url in self._urls.items()}
        self.destination = self._destination()
        self._tracing = context.telemetry.tracing
        self._calls: Calls | None = None
        if context.telemetry.detailed:
            name, text = "http.client.request.duration", "Duration of HTTP client requests."
            self._calls = Calls(context.telemetry, name, text, **{"http.request.method": "POST"}, **self.destination)
        self._encode = encoder(config.encoding, config.open_compressor())
        self._tls: Callable[[], ssl.SSLContext] | None = None
        self._session: aiohttp.ClientSession
        self._as_body: Callable[[bytes], Payload]

    async def __aenter__(self) -> Self:
        from sluiceway.exporters.otlp_http.body import Body

        if any(url.scheme == "https" for url in self._urls.values()):
            self._tls = self._config.tls.reloaded_ssl_context(self._context.clock, self._context.logger)
        if self._proof is not None and (plain := [url for url in self._urls.values() if _is_readable(url)]):
            self._context.logger.warning(
                "credentials go to %s in plain text, where anybody can read them", plain[0].host
            )
        fixed = {"content_type": _CONTENT_TYPES[self._config.encoding]}
        if self._config.compression not in ("", "none"):
            fixed["content_encoding"] = self._config.compression
        self._session = self._config.open_session(**fixed)
        self._as_body = Body
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def check_backend(self) -> None:
        """Connect to the server, or to the proxy in front of it, and send nothing."""
        for signal in self._urls:
            await self._connect(signal)

    async def consume(self, batch: Batch) -> PartialSuccess | None:
        """Send the batch, and return when the backend has taken it or raise `DeliveryError`."""
        from aiohttp import ClientConnectorError, ClientError

        from sluiceway.exporters.otlp_http.body import read_bounded
        from sluiceway.exporters.otlp_http.failures import explain

        content = await self._encode(batch)
        began, outcome = perf_counter(), _NO_ANSWER
        try:
            async with self._post(batch, content) as response:
                answer = await read_bounded(response, LARGEST_RESPONSE)
                outcome = MappingProxyType({"http.response.status_code": response.status})
        except (ClientError, OSError) as error:
            url = self._urls[batch.signal]
            name = self._config.tls.server_name_override or url.host or ""
            reason = one_line(explain(error, name, encrypted=url.scheme == "https"))
            text = f"error exporting items, request to {self._shown(batch.signal)} failed: {reason}"
            cause = reason if isinstance(error, ClientConnectorError) else type(error).__name__
            raise RetryableError(text, code="UNAVAILABLE", cause=cause) from error
        finally:
            if self._calls is not None:
                self._calls.record(perf_counter() - began, **outcome)
        if 200 <= response.status < 300:
            return self._accepted(batch.signal, response, answer)
        raise self._refusal(batch.signal, response, answer)

    async def _connect(self, signal: Signal) -> None:
        from sluiceway.exporters.otlp_http.failures import explain, explain_connecting

        url, proxy = self._urls[signal], self._ways[signal].proxy
        place = proxy or url
        encrypted = place.scheme == "https"
        tls = self._tls() if encrypted and proxy is None and self._tls is not None else None
        name = self._config.tls.server_name_override or url.host or ""
        try:
            _, writer = await asyncio.open_connection(
                place.host, place.port, ssl=tls, server_hostname=None if tls is None else name
            )
        except OSError as error:
            shown = f"{'' if proxy is None else 'the proxy '}{place.host}:{place.port}"
            is_tls = isinstance(error, ssl.SSLError)
            reason = one_line(
                f"cannot connect to {shown}: {explain(error, name, encrypted=True)}"
                if is_tls
                else explain_connecting(error, shown, encrypted=encrypted)
            )
            raise RetryableError(reason, code="UNAVAILABLE", cause=reason) from error
        writer.transport.abort()

    def _post(self, batch: Batch, content: bytes) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        signal = batch.signal
        proxy, proxy_headers, headers = self._ways[signal]
        if self._proof is not None:
            headers = {**headers, **self._proof.request_headers()}
        if self._tracing is not None:
            headers = {**headers, **self._tracing.headers(batch.origin.causes)}
        return self._session.post(
            self._urls[signal],
            data=self._as_body(content),
            headers=headers,
            allow_redirects=False,  # a redirect could carry telemetry to anybody
            proxy=proxy,
            proxy_headers=proxy_headers,
            ssl=True if self._tls is None else self._tls(),
            server_hostname=self._config.tls.server_name_override or None,
        )

    def _destination(self) -> dict[str, str | bool | int]:
        """The backend as our own metrics name it. An exporter is made once for each signal, so there is one URL."""
        url = next(iter(self._urls.values()))
        return {"server.address": url.host or "", "server.port": url.port or 0, "url.path": url.path}

    def _accepted(
        self, signal: Signal, response: aiohttp.ClientResponse, answer: bytes | None
    ) -> PartialSuccess | None:
        kind = _content_type(response)
        if answer is not None and kind not in _CONTENT_TYPES.values():
            return None
        try:
            return rejection(_require_whole(answer), json=kind == _CONTENT_TYPES["json"])
        except DecodeError as error:
            raise PermanentError(f"{self._shown(signal)}: {error}") from error

    def _refusal(self, signal: Signal, response: aiohttp.ClientResponse, answer: bytes | None) -> DeliveryError:
        text = (
            f"error exporting items, request to {self._shown(signal)} responded with HTTP Status Code {response.status}"
        )
        if advice := scheme_advice(response.status, answer):
            return RetryableError(f"{text}; {advice}", code="FAILED_PRECONDITION", advice=advice, cause="HTTP 400")
        kind = _content_type(response)
        if answer and kind in _CONTENT_TYPES.values():
            text += f", Message={read_status(answer, json=kind == _CONTENT_TYPES['json'])}"
        now = self._context.clock.time_ns() / 1e9
        return http_error(response.status, text, read_retry_after(response.headers.get("Retry-After"), now))

    def _shown(self, signal: Signal) -> str:
        url = self._urls[signal]
        return f"{url.scheme}://{url.host}:{url.port}{url.path}"  # what else a URL holds may be secret


def _hint(endpoint: str) -> str:
    """What to write instead of `host:port`, which may be shown, as no password can stand in it."""
    if "://" in endpoint or "@" in endpoint or not is_url(f"http://{endpoint}"):
        return ", as http://host:4318 or https://host"
    return f', such as "http://{endpoint[:100]}" or "https://{endpoint[:100]}"'


def _is_readable(url: URL) -> bool:
    return url.scheme == "http" and not is_loopback(f"[{url.host}]:{url.port}", "tcp")


def _content_type(response: aiohttp.ClientResponse) -> str:
    return response.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _require_whole(answer: bytes | None) -> bytes:
    if answer is None:
        raise DecodeError(f"the response is larger than {LARGEST_RESPONSE} bytes")
    return answer


COMPONENT = Component(
    type="otlp_http",
    kind=Kind.EXPORTER,
    config=OtlpHttpConfig,
    create=OtlpHttpExporter,
    stability=Stability.BETA,
    aliases=("otlphttp",),
)
