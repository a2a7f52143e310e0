"""Sends batches to any OTLP backend over gRPC, one request a batch, as the bytes they are.

It never changes, joins, splits or keeps data: the parts around it (timeout, retry, queue, circuit breaker) do that.
What the backend says decides what becomes of a batch:

| The backend's answer | What follows |
| --- | --- |
| OK | delivered |
| OK with a partial success | delivered but for the rejected items, which are dropped and counted; never sent again |
| CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS | sent again, after `RetryInfo` if given |
| RESOURCE_EXHAUSTED with `RetryInfo` | sent again after that delay |
| RESOURCE_EXHAUSTED without | dropped |
| all other codes, UNAUTHENTICATED and PERMISSION_DENIED among them | dropped |
| OK with an answer that cannot be read, or larger than 4 MiB | counted as dropped, though the backend may have it |
| none, because there is no connection | sent again |

A request that is cancelled, by its timeout or by a stop, is cancelled at the backend too; it may have arrived all the
same, and is then there twice after a retry. However long a delay a backend asks for, the next attempt waits for two
minutes at most because of it.

After the start it connects and sends nothing, so that a wrong address is told before there are data.

TLS is on unless `tls::insecure` is true or the endpoint begins with `http://`; `auth` is refused without it.
`compression` is `gzip`, `zstd` or `none`. grpcio's gzip is slow: about 6 CPU seconds per million spans of 400 bytes,
where `zstd` costs 1.3 and `none` 0.4. grpcio knows no zstd, so with it requests go over a gRPC client of our own. With
`tls::reload_interval`, changed certificates are taken over by a new connection while the requests on the old one end in
peace.

```yaml
exporters:
  otlp_grpc:
    endpoint: backend.example.com:4317
```
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, cast

from pydantic import model_validator

from sluiceway.component import Component, Context, Kind, PartialSuccess, Stability
from sluiceway.config.advice import tls_advice
from sluiceway.config.auth import credentials
from sluiceway.config.exporter import CircuitBreaker, RetryOnFailure, SendingQueue, Timeout
from sluiceway.config.grpc_client import GrpcChannel, GrpcClient, GrpcCredentials, UnaryCall, grpc_header
from sluiceway.config.types import Section
from sluiceway.errors import DecodeError, DeliveryError, PermanentError, RetryableError
from sluiceway.otlp import Batch, Signal
from sluiceway.otlp.responses import grpc_error, rejection
from sluiceway.telemetry import Calls

if TYPE_CHECKING:
    import grpc.aio

__all__ = ["COMPONENT", "OtlpGrpcConfig", "OtlpGrpcExporter"]

_ANSWER_TOO_LARGE: Final = "CLIENT: Received message larger"
_NO_CONNECTION: Final = re.compile(
    "connections to all backends failing|failed to connect to all addresses|no connection to "
)
_CUT_OFF: Final = "Socket closed"


class OtlpGrpcConfig(GrpcClient):
    """The settings of `otlp_grpc`: those of a gRPC client, and of the parts around an exporter."""

    timeout: Timeout = 5.0
    """How long one attempt may take; 0s has no limit."""
    retry_on_failure: Section[RetryOnFailure] = RetryOnFailure()
    """How often and when to try again."""
    sending_queue: Section[SendingQueue] = SendingQueue()
    """The queue that takes responsibility for batches."""
    circuit_breaker: Section[CircuitBreaker] = None
    """Stops attempts while the backend is down; off."""

    @model_validator(mode="after")
    def _require_endpoint(self) -> Self:
        if not self.endpoint:
            raise ValueError('requires a non-empty "endpoint"')
        return self


@dataclass(slots=True)
class _Connection:
    """A channel, with the number of requests on it: the last one on a channel that was replaced closes it."""

    credentials: GrpcCredentials
    channel: GrpcChannel
    export: dict[Signal, UnaryCall]
    requests: int = 0


class OtlpGrpcExporter:
    """One channel to one backend. Entering it reads the TLS files and connects in the background."""

    def __init__(self, config: OtlpGrpcConfig, context: Context) -> None:
        self._config = config
        self._context = context
        self._proof = credentials(config.auth, context, encrypted=config.is_encrypted)
        self._metadata = config.metadata
        self._timeout = config.timeout or None
        self._wait_for_ready = config.wait_for_ready or None
        config.proxy_options()  # a proxy that cannot be used is found before anything starts
        self.destination = config.destination
        scope = context.telemetry
        self._tracing = scope.tracing
        self._calls: dict[Signal, Calls] = {}
        if scope.detailed:
            name, text = "rpc.client.call.duration", "Duration of outgoing gRPC calls."
            for signal in context.signals:
                fixed = {"rpc.system.name": "grpc", "rpc.method": f"{signal.service}/Export", **config.destination}
                self._calls[signal] = Calls(scope, name, text, **fixed)
        self._credentials: Callable[[], GrpcCredentials]
        self._connection: _Connection

    async def __aenter__(self) -> Self:
        self._credentials = self._config.reloaded_credentials(self._context.clock, self._context.logger)
        self._connection = self._connect(self._credentials())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.channel.close(None)

    async def check_backend(self) -> None:
        """Connect, and send nothing: it shows whether a server that speaks gRPC is there."""
        connection = await self._current()
        try:
            await self._config.connect(connection.channel)
        except ConnectionError as error:
            where = _where(self._config)
            text = f"{where}{_advice(str(error), self._config)}"
            raise RetryableError(text, code="UNAVAILABLE", cause=where) from error

    async def consume(self, batch: Batch) -> PartialSuccess | None:
        """Send the batch, and return when the backend has taken it or raise `DeliveryError`."""
        connection = await self._current()
        connection.requests += 1
        try:
            answer = await self._export(connection, batch)
        finally:
            connection.requests -= 1
            if connection is not self._connection and not connection.requests:
                await connection.channel.close(None)
        return self._read(answer)

    async def _current(self) -> _Connection:
        newest = self._credentials()
        if newest is not self._connection.credentials:
            old, self._connection = self._connection, self._connect(newest)
            if not old.requests:
                await old.channel.close(None)
        return self._connection

    def _connect(self, newest: GrpcCredentials) -> _Connection:
        channel = self._config.open_channel(newest)
        export = {signal: channel.unary_unary(f"/{signal.service}/Export", None, None) for signal in Signal}
        return _Connection(newest, channel, export)

    async def _export(self, connection: _Connection, batch: Batch) -> bytes | None:
        from grpc.aio import AioRpcError

        metadata = self._metadata
        if self._proof is not None:
            metadata = *metadata, *(grpc_header(*header) for header in self._proof.request_headers().items())
        if self._tracing is not None:
            metadata = *metadata, *self._tracing.headers(batch.origin.causes).items()
        began = perf_counter()
        try:
            answer = await connection.export[batch.signal](
                batch.payload, timeout=self._timeout, metadata=metadata, wait_for_ready=self._wait_for_ready
            )
        except AioRpcError as error:
            self._called(batch.signal, began, error.code().name)
            raise _delivery_error(error, self._config) from error
        self._called(batch.signal, began, "OK")
        return answer

    def _called(self, signal: Signal, began: float, code: str) -> None:
        if self._calls:
            self._calls[signal].record(perf_counter() - began, **{"rpc.response.status_code": code})

    def _read(self, answer: bytes | None) -> PartialSuccess | None:
        try:
            return rejection(_require_message(answer))
        except DecodeError as error:
            raise PermanentError(f"{self._config.endpoint}: {error}") from error


def _require_message(answer: bytes | None) -> bytes:
    if answer is None:  # so grpcio tells of OK without a message, or with one that is cut off or marked wrongly
        raise DecodeError("the response holds no message")
    return answer


def _delivery_error(error: grpc.aio.AioRpcError, config: GrpcClient) -> DeliveryError:
    text = error.details() or ""
    if _ANSWER_TOO_LARGE in text:  # this side's words: the backend has the data, so it must not be sent in parts
        return PermanentError("the response is larger than 4 MiB")
    trailers = cast("Mapping[str, str | bytes]", error.trailing_metadata())
    details = trailers.get("grpc-status-details-bin")
    if not _NO_CONNECTION.match(text):
        return grpc_error(error.code().name, text, details if isinstance(details, bytes) else None)
    made = grpc_error(error.code().name, text + _advice(text, config))
    made.cause = _where(config)
    return made


def _where(config: GrpcClient) -> str:
    return f"cannot connect to {config.destination['server.address']}:{config.destination['server.port']}"


def _advice(text: str, config: GrpcClient) -> str:
    if not config.is_encrypted:
        advice = "if the server speaks TLS, see tls::insecure and the endpoint's scheme" if _CUT_OFF in text else ""
    elif _CUT_OFF in text:  # BoringSSL keeps the alert to itself
        advice = "if the server demands a certificate of ours, see tls::cert_file and tls::key_file"
    else:
        advice = tls_advice(text, config.tls.server_name_override or str(config.destination["server.address"]))
    return f"; {advice}" if advice else ""


COMPONENT = Component(
    type="otlp_grpc",
    kind=Kind.EXPORTER,
    config=OtlpGrpcConfig,
    create=OtlpGrpcExporter,
    stability=Stability.BETA,
    aliases=("otlp",),
)
