"""The other side: a pool of connections to one receiver of remote write, and what its answers mean."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from time import perf_counter
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Final, Self

from yarl import URL

from sluiceway.component import Context
from sluiceway.config.advice import scheme_advice
from sluiceway.config.auth import credentials
from sluiceway.config.http_client import way_to
from sluiceway.errors import DeliveryError, RetryableError
from sluiceway.exporters.prometheus_remote_write.answers import Written, judge, written
from sluiceway.exporters.prometheus_remote_write.settings import PrometheusRemoteWriteConfig
from sluiceway.exporters.prometheus_remote_write.work import Request
from sluiceway.otlp.responses import one_line, read_retry_after
from sluiceway.telemetry import AttributeValue, Calls

if TYPE_CHECKING:
    import aiohttp

__all__ = ["Receiver"]

LARGEST_RESPONSE: Final = 64 * 1024

_NO_ANSWER: Final[Mapping[str, AttributeValue]] = MappingProxyType({"error.type": "_OTHER"})
_SILENT: Final = "it knows remote write 1.0 only, and took nothing: see protobuf_message"


class Receiver:
    """Posts requests. Entering it reads the TLS files and connects to nothing yet."""

    def __init__(self, config: PrometheusRemoteWriteConfig, context: Context) -> None:
        self._is_second = config.is_second
        self._message = config.protobuf_message
        self._client = config.client
        self._context = context
        self._proof = credentials(self._client.auth, context)
        self._url = URL(self._client.endpoint)
        self._way = way_to(self._url, self._client.proxy_url)
        self.destination: dict[str, str | bool | int] = {
            "server.address": self._url.host or "", "server.port": self._url.port or 0, "url.path": self._url.path,
        }  # fmt: skip
        self._tls: Callable[[], ssl.SSLContext] | None = None
        self._session: aiohttp.ClientSession
        self._calls: Calls | None = None
        if context.telemetry.detailed:
            name, text = "http.client.request.duration", "Duration of HTTP client requests."
            self._calls = Calls(context.telemetry, name, text, **{"http.request.method": "POST"}, **self.destination)

    async def __aenter__(self) -> Self:
        if self._url.scheme == "https":
            self._tls = self._client.tls.reloaded_ssl_context(self._context.clock, self._context.logger)
        self._session = self._client.open_session(
            content_type="application/x-protobuf" + (f";proto={self._message}" if self._is_second else ""),
            content_encoding="snappy",
            x_prometheus_remote_write_version="2.0.0" if self._is_second else "0.1.0",
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def post(self, request: Request) -> Written:
        """Send one request, and return what was written of it, or raise `DeliveryError`."""
        from aiohttp import ClientConnectorError, ClientError

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
            text = f"remote write to {self._shown} failed: {reason}"
            cause = reason if isinstance(error, ClientConnectorError) else type(error).__name__
            raise RetryableError(text, code="UNAVAILABLE", cause=cause) from error
        finally:
            if self._calls is not None:
                self._calls.record(perf_counter() - began, **outcome)
        return self._read(request, response, answer or b"")

    def _read(self, request: Request, response: aiohttp.ClientResponse, answer: bytes) -> Written:
        told = written(response.headers) if self._is_second else None
        if 200 <= response.status < 300:
            if not self._is_second:
                return request.holds
            if told is not None:
                return told
            raise self._silence(response.status)
        is_final = 400 <= response.status < 500 and response.status != 429
        if is_final and told is not None and (told.samples or told.histograms):
            return told
        raise self._refusal(response.status, response, answer)

    def _silence(self, status: int) -> DeliveryError:
        cause = f"HTTP {status} without a word of what was written"
        text = f"remote write to {self._shown} was answered with {cause}; {_SILENT}"
        return RetryableError(text, code="UNIMPLEMENTED", advice=_SILENT, cause=cause)

    def _refusal(self, status: int, response: aiohttp.ClientResponse, answer: bytes) -> DeliveryError:
        text = f"remote write to {self._shown} was answered with HTTP status {status}"
        if answer:
            text += f": {one_line(answer.decode(errors='replace').strip())}"
        if advice := scheme_advice(status, answer):
            return RetryableError(f"{text}; {advice}", code="FAILED_PRECONDITION", advice=advice, cause="HTTP 400")
        now = self._context.clock.time_ns() / 1e9
        delay = read_retry_after(response.headers.get("Retry-After"), now)
        return judge(status, text, delay, protobuf_message=self._message)

    @property
    def _shown(self) -> str:
        url = self._url
        return f"{url.scheme}://{url.host}:{url.port}{url.path}"  # what else a URL holds may be secret
