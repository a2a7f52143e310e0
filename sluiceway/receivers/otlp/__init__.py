"""Takes traces, metrics and logs as OTLP, over gRPC and over HTTP (protobuf or JSON).

A sender is told success only when every pipeline behind the receiver has taken its data. It never changes the data,
except that invalid UTF-8 is repaired. Nothing is held here: when the process dies, what was not answered is still the
sender's. Pressure is always answered by "come again later" (UNAVAILABLE with RetryInfo, 503 with Retry-After), bad
bytes by INVALID_ARGUMENT or 400, and nothing of the data or of our errors stands in an answer. A request is taken whole
or not at all, so partial success is never answered; what a backend rejects is counted and logged by its exporter.

```yaml
receivers:
  otlp:
    protocols:
      grpc:
        endpoint: localhost:4317
      http:
        endpoint: localhost:4318
```

Both listen on loopback unless told otherwise; on other addresses use `tls` and `auth`. OTLP/HTTP costs a sixth of what
gRPC costs. Bodies may be compressed by gzip, zstd, zlib or deflate over HTTP, by gzip or deflate over gRPC.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from sluiceway.component import Component, Consumer, Context, Kind, Stability
from sluiceway.config.auth import authenticator
from sluiceway.config.listen import is_loopback
from sluiceway.config.server import GrpcServer, HttpServer
from sluiceway.config.types import Section, Settings
from sluiceway.errors import ConfigError
from sluiceway.otlp import Limits, Signal

if TYPE_CHECKING:
    from sluiceway.receivers.otlp.grpc import GrpcReceiver
    from sluiceway.receivers.otlp.http import HttpReceiver
    from sluiceway.receivers.otlp.intake import Intake, Room

__all__ = ["COMPONENT", "OtlpConfig", "OtlpGrpc", "OtlpHttp", "OtlpReceiver"]

_LIMITS = Limits()

MIB = 1024 * 1024


class OtlpGrpc(GrpcServer):
    """OTLP over gRPC."""

    endpoint: str = Field(default="localhost:4317", min_length=1)
    """`host:port` to listen on; for the transport `unix` the path of the socket."""


class OtlpHttp(HttpServer):
    """OTLP over HTTP."""

    endpoint: str = Field(default="localhost:4318", min_length=1)
    """`host:port` to listen on; for the transport `unix` the path of the socket."""
    traces_url_path: str = "/v1/traces"
    """The path that takes traces."""
    metrics_url_path: str = "/v1/metrics"
    """The path that takes metrics."""
    logs_url_path: str = "/v1/logs"
    """The path that takes logs."""

    def paths(self) -> dict[Signal, str]:
        """Give the path of each signal, with its leading slash."""
        given = {
            Signal.TRACES: self.traces_url_path,
            Signal.METRICS: self.metrics_url_path,
            Signal.LOGS: self.logs_url_path,
        }
        return {signal: f"/{path.removeprefix('/')}" for signal, path in given.items()}


class Protocols(Settings):
    """The protocols spoken; one that is not named is off."""

    grpc: Section[OtlpGrpc] = None
    """OTLP over gRPC, on port 4317 unless told otherwise."""
    http: Section[OtlpHttp] = None
    """OTLP over HTTP, on port 4318 unless told otherwise."""


class RequestLimits(Settings):
    """What one request may hold, and what all of them together may; the Collector has no such limits."""

    max_request_items: int = Field(default=_LIMITS.items, ge=1)
    """Spans, data points or log records in a request; more get 413 or RESOURCE_EXHAUSTED."""
    max_request_messages: int = Field(default=_LIMITS.messages, ge=1)
    """Nested messages in a request, so attributes, events and links as well; 20 MiB hold about 1.2 million."""
    max_request_entries: int = Field(default=_LIMITS.entries, ge=1)
    """Resources in a request, and attributes in any one span, record, point, resource, scope or map."""
    max_requests_in_flight: int = Field(default=1024, ge=1)
    """Requests that wait for the pipeline at the same time; more are told to come again."""
    max_in_flight_mib: int = Field(default=0, ge=0)
    """MiB of request bodies held at the same time; more are told to come again. 0 is 64, or the largest request."""
    max_connections: int = Field(default=1024, ge=1)
    """Open connections of each protocol. Over HTTP a further one displaces an idle or half-sent one of the peer that
    has most of them; over gRPC it is refused."""


class OtlpConfig(Settings):
    """The settings of the receiver `otlp`."""

    protocols: Protocols = Protocols()
    """The protocols spoken, at least one."""
    limits: RequestLimits = RequestLimits()
    """Bounds on what senders can make the receiver hold."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.protocols.grpc is None and self.protocols.http is None:
            raise ValueError("must specify at least one protocol when using the OTLP receiver")
        if 0 < self.limits.max_in_flight_mib * MIB < self.largest_request:
            raise ValueError("limits::max_in_flight_mib must not be smaller than the largest request that is allowed")
        paths = tuple(self.protocols.http.paths().values()) if self.protocols.http else ()
        if len(set(paths)) < len(paths):
            raise ValueError("protocols::http: each signal must have a url path of its own")
        return self

    @property
    def largest_request(self) -> int:
        """Bytes of the largest request that either protocol allows."""
        http, grpc = self.protocols.http, self.protocols.grpc
        return max(http.max_body_size if http else 0, grpc.max_message_size if grpc else 0)

    @property
    def room(self) -> int:
        """Bytes of request bodies that may be held at the same time."""
        return self.limits.max_in_flight_mib * MIB or max(64 * MIB, self.largest_request)


class OtlpReceiver:
    """The receiver: one intake for each protocol, which share the room for requests in flight."""

    def __init__(self, config: OtlpConfig, context: Context, next: Consumer) -> None:
        self._config = config
        self._context = context
        self._next = next
        for server in (config.protocols.grpc, config.protocols.http):
            authenticator(server.auth if server else None, context)  # a wrong one is found before anything starts
        self._grpc: GrpcReceiver | None = None
        self._http: HttpReceiver | None = None

    @property
    def grpc_address(self) -> tuple[str, int]:
        """Host and port where gRPC is spoken, once started; a path and 0 for a unix socket."""
        if self._grpc is None:
            raise LookupError("gRPC is not spoken")
        return self._grpc.address

    @property
    def http_address(self) -> tuple[str, int]:
        """Host and port where HTTP is spoken, once started; a path and 0 for a unix socket."""
        if self._http is None:
            raise LookupError("HTTP is not spoken")
        return self._http.listener.address

    async def __aenter__(self) -> Self:
        """Listen; raise `ConfigError` when an endpoint is in use or an authenticator is missing."""
        from sluiceway.receivers.otlp.intake import Room

        limits = self._config.limits
        room = Room(limits.max_requests_in_flight, self._config.room)
        tasks = self._tasks = asyncio.TaskGroup()
        await tasks.__aenter__()
        try:
            await self._start_grpc(room, tasks)
            await self._start_http(room, tasks)
        except BaseException as error:
            await self.__aexit__(None, None, None)
            if isinstance(error, ConfigError):
                raise ConfigError(f"receivers::{self._context.id}: {error}") from error
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Answer what is being served, refuse what is new, and close."""
        # Both at once: each has a grace for the requests that it is serving, which being cancelled cuts short.
        stopping = [asyncio.create_task(part.stop()) for part in (self._grpc, self._http) if part]
        try:
            if stopping:
                await asyncio.wait(stopping)
        finally:
            await asyncio.sleep(0)  # each has begun: what is cancelled before that cuts no connections
            for task in stopping:
                task.cancel()
            await asyncio.gather(*stopping, return_exceptions=True)
            await self._tasks.__aexit__(None, None, None)
        return None

    async def _start_grpc(self, room: Room, tasks: asyncio.TaskGroup) -> None:
        settings = self._config.protocols.grpc
        if settings is None:
            return
        from sluiceway.receivers.otlp.grpc import GrpcReceiver

        door = authenticator(settings.auth, self._context)
        self._warn(settings)
        most, half_sent = self._config.limits.max_connections, self._config.room // settings.max_message_size
        receiver = GrpcReceiver(settings, self._intake("grpc", room), door, most, half_sent, self._context)
        await receiver.start(tasks)
        self._grpc = receiver

    async def _start_http(self, room: Room, tasks: asyncio.TaskGroup) -> None:
        settings = self._config.protocols.http
        if settings is None:
            return
        from sluiceway.receivers.otlp.http import HttpReceiver

        door, max_connections = authenticator(settings.auth, self._context), self._config.limits.max_connections
        self._warn(settings)
        self._warn_of_http(settings)
        receiver = HttpReceiver(settings, self._intake("http", room), door, max_connections, self._context)
        await receiver.start(tasks)
        self._http = receiver

    def _intake(self, transport: str, room: Room) -> Intake:
        from sluiceway.receivers.otlp.intake import Intake

        most = self._config.limits
        limits = Limits(most.max_request_items, most.max_request_messages, most.max_request_entries)
        return Intake(transport, limits, room, self._context, self._next)

    def _warn(self, settings: GrpcServer | HttpServer) -> None:
        if is_loopback(settings.endpoint, settings.transport):
            return
        missing = [name for name, section in (("tls", settings.tls), ("auth", settings.auth)) if section is None]
        if missing:
            self._context.logger.warning(
                "%s is reachable from other machines without %s", settings.endpoint, " and without ".join(missing)
            )

    def _warn_of_http(self, settings: HttpServer) -> None:
        from sluiceway.config.decompression import CODINGS

        cors, logger = settings.cors, self._context.logger
        if cors and not cors.allowed_origins and (cors.allowed_headers or cors.exposed_headers):
            logger.warning("The CORS configuration specifies allowed headers but no allowed origins, and is ignored")
        unknown = sorted(set(settings.compression_algorithms) - CODINGS.keys() - {""})
        if unknown:
            logger.warning("compression_algorithms that are not decoded here: %s", ", ".join(unknown))


COMPONENT = Component(
    type="otlp",
    kind=Kind.RECEIVER,
    config=OtlpConfig,
    create=OtlpReceiver,
    stability=Stability.BETA,
)
