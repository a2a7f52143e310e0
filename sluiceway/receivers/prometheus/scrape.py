"""Asking a target for what it shows; for other components, too: who scrapes keeps a `Client`.

`families` reads a body that is there already.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from yarl import URL

from sluiceway.config.client import user_agent
from sluiceway.config.decompression import decompress
from sluiceway.config.http_client import HttpClient, way_to
from sluiceway.config.types import Opaque
from sluiceway.errors import ConfigError, DecodeError, TooLargeError
from sluiceway.receivers.prometheus.exposition import Exemplar, Labels
from sluiceway.receivers.prometheus.reader import Format, Reader
from sluiceway.receivers.prometheus.settings import PROTOCOLS, ScrapeConfig

if TYPE_CHECKING:
    import ssl

    import aiohttp

__all__ = ["Answer", "Client", "Family", "FamilySample", "Request", "ScrapeError", "families"]

_NO_PROXY: Final = Opaque("")
LARGEST: Final = 256 * 1024 * 1024
"""Bytes of an answer, decompressed, where nothing else is said."""
_ACCEPT: Final = {
    "PrometheusProto": "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
    "OpenMetricsText0.0.1": "application/openmetrics-text;version=0.0.1",
    "OpenMetricsText1.0.0": "application/openmetrics-text;version=1.0.0",
    "PrometheusText0.0.4": "text/plain;version=0.0.4",
    "PrometheusText1.0.0": "text/plain;version=1.0.0",
}


class ScrapeError(Exception):
    """A target cannot be scraped; the text says why."""


@dataclass(frozen=True, slots=True)
class Request:
    """How to ask a target. `credentials` gives the header `Authorization`, anew for each scrape; empty for none."""

    protocols: Sequence[str] = PROTOCOLS
    fallback: str | None = None
    timeout: float = 10.0
    limit: int = LARGEST
    headers: Mapping[str, Opaque] = field(default_factory=dict)
    credentials: Callable[[], str] = str
    compression: bool = True
    redirects: bool = True
    legacy_names: bool = False
    proxy: Opaque = _NO_PROXY
    server_name: str = ""

    def accept(self) -> str:
        """The header `Accept`."""
        escaping = "underscores" if self.legacy_names else "allow-utf-8"
        weight, parts = len(self.protocols) + 1, []
        for protocol in self.protocols:
            more = f";escaping={escaping}" if not protocol.endswith(("0.0.1", "0.0.4")) else ""
            parts.append(f"{_ACCEPT[protocol]}{more};q=0.{weight}")
            weight -= 1
        return ",".join([*parts, f"*/*;q=0.{weight}"])


@dataclass(frozen=True, slots=True)
class Answer:
    """What a target said: the body, decompressed, and its format."""

    body: bytes
    format: Format


@dataclass(frozen=True, slots=True)
class FamilySample:
    """One sample of a family: the whole name, the labels without it, and the rest; `time` is nanoseconds or None."""

    name: str
    labels: Labels
    value: float
    time: int | None = None
    exemplar: Exemplar | None = None


@dataclass(slots=True)
class Family:
    """A metric with its samples. `type` is one of Prometheus' words, `unknown` where nothing is said."""

    name: str
    type: str = "unknown"
    help: str = ""
    unit: str = ""
    samples: list[FamilySample] = field(default_factory=list)


class Client:
    """Connections to targets, which are kept between scrapes. To be entered with `async with`."""

    def __init__(self, tls: Callable[[], ssl.SSLContext] | None = None) -> None:
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = HttpClient().open_session()
        return self

    async def __aexit__(self, *_: object) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def get(self, url: str, request: Request) -> Answer:
        """Ask once. Raises `ScrapeError`; whoever calls bounds the time."""
        import aiohttp

        assert self._session is not None  # noqa: S101 - entered first
        target = URL(url)
        try:
            way = way_to(target, request.proxy)
            headers = {**self._headers(request), **way.headers}
            async with self._session.get(
                target, headers=headers, allow_redirects=request.redirects, max_redirects=10, proxy=way.proxy,
                proxy_headers=way.proxy_headers, ssl=self._tls() if self._tls else True,
                server_hostname=request.server_name or None if target.scheme == "https" else None,
            ) as response:  # fmt: skip
                if response.status != 200:
                    raise ScrapeError(f"server returned HTTP status {response.status} {(response.reason or '')[:100]}")
                body = await self._body(response, request.limit)
                return Answer(body, _format(response.headers.get("Content-Type", ""), request.fallback))
        except aiohttp.ClientError as error:
            raise ScrapeError(_why(error)) from error
        except (OSError, ValueError, ConfigError) as error:
            raise ScrapeError(str(error)[:300]) from error

    def _headers(self, request: Request) -> dict[str, str]:
        headers = {
            "Accept": request.accept(),
            "Accept-Encoding": "gzip" if request.compression else "identity",
            "User-Agent": user_agent(),
            "X-Prometheus-Scrape-Timeout-Seconds": f"{request.timeout:g}",
        }
        if credentials := request.credentials():
            headers["Authorization"] = credentials
        return headers | {name: value.reveal() for name, value in request.headers.items()}

    async def _body(self, response: aiohttp.ClientResponse, limit: int) -> bytes:
        pieces, size = [], 0
        async for piece in response.content.iter_any():
            size += len(piece)
            if size > limit:
                raise ScrapeError(f"body size limit exceeded ({limit} bytes)")
            pieces.append(piece)
        body, coding = b"".join(pieces), response.headers.get("Content-Encoding", "identity").lower()
        if coding in ("identity", ""):
            return body
        if coding not in ("gzip", "x-gzip"):
            raise ScrapeError(f"the target answered with the encoding {ascii(coding)[:60]}, which was not asked for")
        try:
            return await asyncio.to_thread(decompress, "gzip", body, limit)
        except TooLargeError:
            raise ScrapeError(f"body size limit exceeded ({limit} bytes)") from None
        except DecodeError as error:
            raise ScrapeError(str(error)) from None


def _why(error: aiohttp.ClientError) -> str:
    """What went wrong, without what only a programmer knows."""
    import aiohttp

    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"cannot connect to {error.host}:{error.port}: {error.certificate_error}"[:300]
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect to {error.host}:{error.port}: {error.os_error.strerror or error.os_error}"[:300]
    return str(error)[:300] or type(error).__name__


def _format(content_type: str, fallback: str | None) -> Format:
    kind, *parameters = (part.strip() for part in content_type.lower().split(";"))
    if kind == "text/plain":
        return Format.TEXT
    if kind == "application/openmetrics-text":
        return Format.OPENMETRICS
    if kind == "application/vnd.google.protobuf":
        if "encoding=delimited" in parameters and "proto=io.prometheus.client.metricfamily" in parameters:
            return Format.PROTOBUF
    elif fallback is None and not kind:
        raise ScrapeError(
            "non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol specified for "
            "target"
        )
    if fallback is None:
        raise ScrapeError(
            f"received unsupported Content-Type {ascii(content_type)[:200]} and no fallback_scrape_protocol specified "
            "for target"
        )
    if fallback.startswith("OpenMetrics"):
        return Format.OPENMETRICS
    return Format.PROTOBUF if fallback == "PrometheusProto" else Format.TEXT


def request_of(job: ScrapeConfig, protocols: Sequence[str], timeout: float, limit: int, *, legacy: bool) -> Request:
    """How a job's targets are asked."""
    return Request(
        protocols, job.fallback_scrape_protocol, timeout, limit or LARGEST, job.http_headers, _credentials(job),
        job.enable_compression, job.follow_redirects, legacy, job.proxy_url, job.tls_config.server_name,
    )  # fmt: skip


def _credentials(job: ScrapeConfig) -> Callable[[], str]:
    basic, other = job.basic_auth, job.authorization

    def text(value: str, file: str) -> str:
        return Path(file).read_text().strip() if file else value

    def credentials() -> str:
        if basic is not None:
            user = text(basic.username, basic.username_file)
            password = text(basic.password.reveal(), basic.password_file)
            return "Basic " + b64encode(f"{user}:{password}".encode()).decode()
        if other is not None:
            token = text(other.credentials.reveal(), other.credentials_file)
            return f"{other.type.strip()} {token}" if token else ""
        token = text(job.bearer_token.reveal(), job.bearer_token_file)
        return f"Bearer {token}" if token else ""

    return credentials


def families(answer: Answer) -> list[Family]:
    """The families of a body, in their order. Raises `ExpositionError` where it cannot be read."""
    found: dict[str, Family] = {}

    def family_of(name: str) -> Family:
        known = reader.family(name)
        if known not in found:
            told = reader.metadata.get(known)
            found[known] = Family(known, told.type, told.help, told.unit) if told else Family(known)
        return found[known]

    def take(labels: Labels, value: float, time: int | None, exemplar: Any, _native: Any) -> None:
        name = labels.pop("__name__")
        family_of(name).samples.append(FamilySample(name, labels, value, time, exemplar))

    reader = Reader()
    reader.read_samples(answer.body, answer.format, take)
    return list(found.values())
