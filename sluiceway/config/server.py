"""The settings of servers: the Collector's gRPC and HTTP server sections."""

from __future__ import annotations

import math
from typing import Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from sluiceway.config.address import Listener
from sluiceway.config.auth import Auth
from sluiceway.config.durations import milliseconds
from sluiceway.config.middlewares import Middlewares
from sluiceway.config.settings import mistake
from sluiceway.config.tls import TlsServer
from sluiceway.config.types import Duration, Headers, Section, Settings, Size, StringList

__all__ = ["Compression", "Cors", "EnforcementPolicy", "GrpcServer", "HttpServer", "Keepalive"]

Compression = Literal["", "gzip", "zstd", "zlib", "deflate", "snappy", "x-snappy-framed", "lz4"]

DEFAULT_PING_TIME: Final = 7200.0
DEFAULT_PING_TIMEOUT: Final = 20.0
DEFAULT_MIN_TIME: Final = 300.0
DEFAULT_MESSAGE_MIB: Final = 4
DEFAULT_STREAMS: Final = 100
"""Half-sent calls cost about 1.3 KiB each, and a connection can hold as many as it may have under way."""
DEFAULT_BODY_SIZE: Final = 20 * 1024 * 1024
MAX_FRAME_SIZE: Final = 16_777_215
"""HTTP/2's largest: fewer frames to a message, which is a fifth of gRPC's cost for large ones."""
LOOKAHEAD: Final = 4 * 1024 * 1024
"""How many bytes of a stream a sender may send before we read them: half of gRPC's cost for large messages."""


class HttpAuth(Auth):
    """Which extension proves who a sender is, and what it is shown besides the headers."""

    request_params: StringList = ()
    """Query parameters that the authenticator sees as if they were headers."""


class ServerParameters(Settings):
    """When a gRPC server ends connections, and how it finds dead ones."""

    max_connection_idle: Duration = Field(default=0.0, ge=0)
    """How long a connection without calls may stay; 0s for ever."""
    max_connection_age: Duration = Field(default=300.0, ge=0)
    """How old a connection may become; 0s has no bound. Clients reconnect at no cost, and half-sent requests end."""
    max_connection_age_grace: Duration = Field(default=60.0, ge=0)
    """How long calls may go on after `max_connection_age`; 0s for ever."""
    time: Duration = Field(default=DEFAULT_PING_TIME, ge=0)
    """After how long a silence the server asks whether the client is still there; 0s is 2 h."""
    timeout: Duration = Field(default=DEFAULT_PING_TIMEOUT, ge=0)
    """How long it waits for the answer before it ends the connection; 0s is 20 s."""


class EnforcementPolicy(Settings):
    """How often clients may ask whether the server is still there. Who asks more often is disconnected."""

    min_time: Duration = Field(default=DEFAULT_MIN_TIME, ge=0)
    """The shortest time between two questions; 0s is 5 m."""
    permit_without_stream: bool = False
    """Whether they may ask while no call is under way."""


class Keepalive(Settings):
    """How connections are kept and ended."""

    server_parameters: ServerParameters = ServerParameters()
    """When connections end."""
    enforcement_policy: EnforcementPolicy = EnforcementPolicy()
    """What clients may do."""


class _Server(Listener):
    tls: Section[TlsServer] = None
    """Certificates; without this section the server speaks plain text."""
    include_metadata: bool = False
    """Whether request headers travel with the data, for processors that ask for them."""
    middlewares: Middlewares = ()
    """Extensions that see each request. There are none yet, so the list must be empty."""


class GrpcServer(_Server):
    """A gRPC server. Messages may come compressed by gzip or deflate; grpcio knows neither zstd nor snappy."""

    max_recv_msg_size_mib: int = Field(default=0, ge=0, le=2047)
    """The largest message, in MiB after decompression; 0 is 4 MiB. A larger one gets RESOURCE_EXHAUSTED."""
    max_concurrent_streams: int = Field(default=0, ge=0, le=2**31 - 1)
    """How many calls one connection may have under way; 0 is 100. Further calls wait at the client."""
    read_buffer_size: Size = Field(default=0, ge=0)
    """Taken for compatibility, without effect: gRPC sizes its own buffers."""
    write_buffer_size: Size = Field(default=0, ge=0)
    """Taken for compatibility, without effect: gRPC sizes its own buffers."""
    keepalive: Keepalive = Keepalive()
    """How connections are kept and ended."""
    auth: Section[Auth] = None
    """Who may send; without this section everybody."""

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if self.tls and self.tls.grpc_problem:
            raise mistake(self.tls.grpc_problem, "tls")
        return self

    @property
    def max_message_size(self) -> int:
        """The largest message in bytes."""
        return (self.max_recv_msg_size_mib or DEFAULT_MESSAGE_MIB) * 1024 * 1024

    @property
    def options(self) -> list[tuple[str, int]]:
        """The settings as gRPC's channel arguments."""
        parameters, policy = self.keepalive.server_parameters, self.keepalive.enforcement_policy
        return [
            ("grpc.so_reuseport", 0),  # or a second process on the same port would take half of the traffic
            ("grpc.max_receive_message_length", self.max_message_size),
            ("grpc.max_concurrent_streams", self.max_concurrent_streams or DEFAULT_STREAMS),
            ("grpc.http2.max_frame_size", MAX_FRAME_SIZE),
            ("grpc.http2.lookahead_bytes", LOOKAHEAD),
            ("grpc.server_handshake_timeout_ms", 10_000),
            ("grpc.max_connection_idle_ms", milliseconds(parameters.max_connection_idle or math.inf)),
            ("grpc.max_connection_age_ms", milliseconds(parameters.max_connection_age or math.inf)),
            ("grpc.max_connection_age_grace_ms", milliseconds(parameters.max_connection_age_grace or math.inf)),
            ("grpc.keepalive_time_ms", milliseconds(parameters.time or DEFAULT_PING_TIME)),
            ("grpc.keepalive_timeout_ms", milliseconds(parameters.timeout or DEFAULT_PING_TIMEOUT)),
            ("grpc.http2.min_ping_interval_without_data_ms", milliseconds(policy.min_time or DEFAULT_MIN_TIME)),
            ("grpc.keepalive_permit_without_calls", int(policy.permit_without_stream)),
        ]


class Cors(Settings):
    """Which web pages may send from a browser."""

    allowed_origins: StringList = ()
    """Origins such as `https://*.example.com`; one `*` stands for any text. Empty switches CORS off."""
    allowed_headers: StringList = ()
    """Request headers that pages may set, besides the harmless ones; `*` for any."""
    exposed_headers: StringList = ()
    """Response headers that pages may read."""
    max_age: int = Field(default=0, ge=0)
    """How many seconds a browser may remember the answer to its question; 0 leaves it to the browser."""


class HttpServer(_Server):
    """An HTTP/1.1 server."""

    cors: Section[Cors] = None
    """Which web pages may send from a browser."""
    auth: Section[HttpAuth] = None
    """Who may send; without this section everybody."""
    max_request_body_size: Size = DEFAULT_BODY_SIZE
    """The largest body in bytes, as sent and again after decompression; a larger one gets 413. 0 is 20 MiB."""
    response_headers: Headers = Field(default_factory=dict)
    """Headers that every response carries."""
    compression_algorithms: tuple[Compression, ...] = ("", "gzip", "zstd", "zlib", "deflate")
    """The Content-Encodings taken; an empty text is none. `snappy` and `lz4` may be named and are not decoded."""
    read_timeout: Duration = Field(default=0.0, ge=0)
    """How long a request may take to arrive; 0s is 20 s plus one second for every 4 KiB that have come."""
    read_header_timeout: Duration = Field(default=0.0, ge=0)
    """How long the header of a request may take to arrive; 0s is 10 s."""
    write_timeout: Duration = Field(default=0.0, ge=0)
    """How long a sender may take to read its answer; 0s is 30 s."""
    idle_timeout: Duration = Field(default=0.0, ge=0)
    """How long a connection may wait for its next request; 0s is 5 m."""
    keep_alives_enabled: bool = True
    """Whether a connection serves more than one request."""

    @field_validator("response_headers")
    @classmethod
    def _check_headers(cls, value: Headers) -> Headers:
        for name, text in value.items():
            if not name.isascii() or any(c in name + text.reveal() for c in "\r\n\0") or ":" in name:
                raise ValueError(f"{name!r} cannot be a response header")
        return value

    @property
    def max_body_size(self) -> int:
        """The largest body in bytes."""
        return self.max_request_body_size if self.max_request_body_size > 0 else DEFAULT_BODY_SIZE
