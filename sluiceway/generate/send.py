"""The clients of the load generator: OTLP over gRPC and HTTP, as thin as they can be."""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, cast

from sluiceway.errors import DecodeError, DeliveryError, RetryableError
from sluiceway.otlp import Signal
from sluiceway.otlp.responses import grpc_error, http_error, read_retry_after, rejection

if TYPE_CHECKING:
    import aiohttp
    import grpc

__all__ = ["Answer", "Client", "GrpcClient", "HttpClient", "Target", "Wire", "connect"]

Wire = Literal["grpc", "http", "http-json"]

_LARGEST = 64 << 20


@dataclass(frozen=True, slots=True)
class Target:
    """Where to send and how. `insecure` None means: without TLS only to this machine. Times are seconds."""

    endpoint: str = "localhost:4317"
    protocol: Wire = "grpc"
    insecure: bool | None = None
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 10.0

    @property
    def address(self) -> str:
        """The endpoint without its scheme."""
        return self.endpoint.partition("://")[2] or self.endpoint

    @property
    def plain(self) -> bool:
        """Whether to go without TLS."""
        if self.insecure is not None:
            return self.insecure
        if "://" in self.endpoint:
            return self.endpoint.startswith("http://")
        host = self.address.partition("/")[0].rpartition(":")[0].strip("[]")
        return not self.ca_file and (host in {"localhost", "::1"} or host.startswith("127."))


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: `code` is `OK`, a gRPC code, an HTTP status or the kind of failure.

    `delay` is seconds, where a refusal named some.
    """

    code: str = "OK"
    retryable: bool = False
    delay: float | None = None
    rejected: int = 0


_UNREADABLE = Answer("unreadable answer")


class Client(Protocol):
    """One connection."""

    async def send(self, payload: bytes) -> Answer:
        """Send one request. Errors are answers, not exceptions."""


class GrpcClient:
    """OTLP/gRPC on a connection of its own, with bytes in and bytes out."""

    def __init__(self, signal: Signal, channel: grpc.aio.Channel, target: Target) -> None:
        self._export = channel.unary_unary(
            f"/{signal.service}/Export", request_serializer=None, response_deserializer=None
        )
        self._metadata = [(key.lower(), value) for key, value in target.headers.items()]
        self._timeout = target.timeout

    async def send(self, payload: bytes) -> Answer:
        """Send one request."""
        import grpc

        try:
            body = await self._export(payload, timeout=self._timeout, metadata=self._metadata or None)
        except grpc.aio.AioRpcError as error:
            code = error.code().name
            trailers = cast("Mapping[str, bytes]", error.trailing_metadata())
            return _refused(code, grpc_error(code, "", trailers.get("grpc-status-details-bin")))
        return _UNREADABLE if body is None else _taken(body)


class HttpClient:
    """OTLP/HTTP on a session with a connection of its own."""

    def __init__(self, signal: Signal, session: aiohttp.ClientSession, target: Target) -> None:
        address = target.address.rstrip("/")
        path = "" if "/" in address else f"/v1/{signal.value}"
        self._session = session
        self._url = f"{'http' if target.plain else 'https'}://{address}{path}"
        self._json = target.protocol == "http-json"
        self._headers = {"Content-Type": f"application/{'json' if self._json else 'x-protobuf'}", **target.headers}

    async def send(self, payload: bytes) -> Answer:
        """Send one request."""
        import aiohttp

        try:
            async with self._session.post(self._url, data=payload, headers=self._headers) as response:
                body = await response.read()
        except TimeoutError:
            return Answer("timeout", retryable=True)
        except aiohttp.ClientError as error:
            return Answer(type(error).__name__, retryable=True)
        if response.status == 200:
            return _taken(body, json=self._json)
        delay = read_retry_after(response.headers.get("Retry-After"), time.time())
        return _refused(str(response.status), http_error(response.status, "", delay))


@asynccontextmanager
async def connect(signal: Signal, target: Target, count: int) -> AsyncIterator[list[Client]]:
    """Open `count` clients with a connection each, and close them in the end. Nothing is sent yet.

    Raises `OSError` when a certificate cannot be read.
    """
    async with AsyncExitStack() as stack:
        clients: list[Client] = []
        for _ in range(count):
            if target.protocol == "grpc":
                channel = await stack.enter_async_context(_channel(target))
                clients.append(GrpcClient(signal, channel, target))
            else:
                session = await stack.enter_async_context(_session(target))
                clients.append(HttpClient(signal, session, target))
        yield clients


def _channel(target: Target) -> grpc.aio.Channel:
    import grpc

    options = [
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.max_receive_message_length", _LARGEST),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_reconnect_backoff_ms", 1000),
        ("grpc.http2.max_frame_size", 1 << 20),
    ]
    if target.plain:
        return grpc.aio.insecure_channel(target.address, options)
    files = (target.ca_file, target.key_file, target.cert_file)
    material = [Path(file).read_bytes() if file else None for file in files]
    return grpc.aio.secure_channel(target.address, grpc.ssl_channel_credentials(*material), options)


def _session(target: Target) -> aiohttp.ClientSession:
    import aiohttp

    tls: ssl.SSLContext | bool = True
    if not target.plain:
        tls = ssl.create_default_context(cafile=target.ca_file or None)
        if target.cert_file:
            tls.load_cert_chain(target.cert_file, target.key_file)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=tls),
        timeout=aiohttp.ClientTimeout(total=target.timeout),
        auto_decompress=False,
    )


def _taken(body: bytes, *, json: bool = False) -> Answer:
    try:
        found = rejection(body, json=json)
    except DecodeError:  # whoever answered was no OTLP server
        return _UNREADABLE
    return Answer(rejected=found.rejected) if found else Answer()


def _refused(code: str, error: DeliveryError) -> Answer:
    if isinstance(error, RetryableError):
        return Answer(code, retryable=True, delay=error.retry_after)
    return Answer(code)
