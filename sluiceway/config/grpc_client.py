"""The settings of gRPC clients, and the channel that is opened from them."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TypeAlias, cast

from pydantic import Field, field_validator, model_validator

from sluiceway.clock import Clock
from sluiceway.config.auth import Auth
from sluiceway.config.client import RequestHeaders, user_agent
from sluiceway.config.durations import milliseconds
from sluiceway.config.middlewares import Middlewares
from sluiceway.config.proxies import environment_proxy
from sluiceway.config.tls import TlsClient
from sluiceway.config.types import Duration, Opaque, Section, Settings, split_endpoint
from sluiceway.errors import ConfigError

if TYPE_CHECKING:
    import ssl

    import grpc
    import grpc.aio
    from yarl import URL

    from sluiceway.config.files import Logger
    from sluiceway.config.grpc_channel import Channel

__all__ = [
    "GrpcChannel",
    "GrpcClient",
    "GrpcCredentials",
    "KeepaliveClient",
    "SentMetadata",
    "UnaryCall",
    "grpc_header",
]

SentMetadata: TypeAlias = Sequence[tuple[str, str | bytes]]
GrpcCredentials: TypeAlias = "grpc.ChannelCredentials | ssl.SSLContext | None"
"""What a channel is encrypted with; None for plain text."""

LARGEST_RESPONSE: Final = 4 * 1024 * 1024
"""Bytes: a larger response is refused, as the OTLP specification asks."""

_LARGEST_OPTION: Final = 2**31 - 1
DEFAULT_PING_TIME: Final = 10.0
DEFAULT_PING_TIMEOUT: Final = 20.0
"""Seconds for which zero stands, as in Go."""
KEY: Final = re.compile(r"[0-9A-Za-z_.-]+")
TEXT: Final = re.compile(r"[ -~]*")
"""What gRPC takes as the name of a header, and as the value of one whose name does not end in `-bin`."""
_HOST: Final = re.compile(r"[^\s/@]+")
_NAMED: Final = ("dns:///", "passthrough:///", "https://", "http://")
_BALANCERS: Final = ("round_robin", "pick_first")
_COMPRESSIONS: Final = ("gzip", "zstd", "none", "")
_NOT_HERE: Final = frozenset({"snappy", "deflate", "zlib", "lz4", "x-snappy-framed"})


class UnaryCall(Protocol):
    """One method of a server. Raises `grpc.aio.AioRpcError`; cancelling a call cancels it at the server."""

    def __call__(
        self, request: bytes, *, timeout: float | None, metadata: SentMetadata, wait_for_ready: bool | None
    ) -> Awaitable[bytes | None]: ...


class GrpcChannel(Protocol):
    """What is used of `grpc.aio.Channel`."""

    def unary_unary(self, method: str, serialize: None, deserialize: None, /) -> UnaryCall:
        """What calls a method with bytes."""

    async def close(self, grace: None, /) -> None:
        """Close, which ends the calls under way."""


class KeepaliveClient(Settings):
    """The `keepalive` section: pings on a connection that is silent."""

    time: Duration = Field(default=10.0, ge=0)
    """After how much silence a ping is sent; 0s is 10 s."""
    timeout: Duration = Field(default=10.0, ge=0)
    """How long to wait for its answer before the connection is given up; 0s is 20 s."""
    permit_without_stream: bool = False
    """Whether to ping while no request is under way."""

    @property
    def seconds(self) -> tuple[float, float]:
        """`time` and `timeout`, with what zero stands for."""
        return self.time or DEFAULT_PING_TIME, self.timeout or DEFAULT_PING_TIMEOUT


class GrpcClient(Settings):
    """How to reach a gRPC server. Components have these keys at their top level."""

    endpoint: str = ""
    """`host:port`; `http://` in front forces plain text and `https://` TLS, whatever `tls::insecure` says. Also
    `unix:///path`, `dns:///host:port` and `passthrough:///host:port`."""
    compression: str = "gzip"
    """`gzip`, `zstd` or `none`. grpcio knows no zstd: with it, the gRPC client is one of our own."""
    tls: TlsClient = TlsClient()
    """How to encrypt. TLS is on unless `insecure` is true or the endpoint starts with `http://`."""
    keepalive: Section[KeepaliveClient] = None
    """Pings on silent connections; off."""
    read_buffer_size: int = Field(default=0, ge=0, le=_LARGEST_OPTION)
    """Bytes looked for in one read; 0 leaves it to grpcio. Without effect with zstd."""
    write_buffer_size: int = Field(default=524_288, ge=0, le=_LARGEST_OPTION)
    """Bytes gathered for one write; 0 leaves it to grpcio. With zstd, bytes that may wait for the socket."""
    wait_for_ready: bool = False
    """Whether a request waits for a connection, as long as `timeout` allows, instead of failing at once."""
    headers: RequestHeaders = Field(default_factory=dict)
    """Headers (metadata) sent with every request."""
    user_agent: str = ""
    """The user agent; empty is our name and version. grpcio adds its own behind it, zstd's channel none."""
    balancer_name: str = "round_robin"
    """How requests spread over the addresses of one name: `round_robin` or `pick_first`."""
    authority: str = ""
    """The `:authority` sent instead of the endpoint's host."""
    auth: Section[Auth] = None
    """Which extension proves who we are."""
    middlewares: Middlewares = ()
    """Extensions that see each request. There are none yet, so the list must be empty."""

    @field_validator("endpoint")
    @classmethod
    def _check_endpoint(cls, endpoint: str) -> str:
        if endpoint and not endpoint.startswith("unix:"):
            host, _ = split_endpoint(_address(endpoint))
            if not host or not _HOST.fullmatch(host):
                raise ValueError(
                    f'invalid endpoint "{endpoint[:100]}": there is no host in it that can be connected to'
                )
        return endpoint

    @field_validator("headers")
    @classmethod
    def _check_metadata(cls, headers: dict[str, Opaque]) -> dict[str, Opaque]:
        for name, value in headers.items():
            if not KEY.fullmatch(name):
                raise ValueError(f"invalid header name {name[:100]!r}: gRPC takes letters, digits, '-', '_' and '.'")
            if not (name.lower().endswith("-bin") or TEXT.fullmatch(value.reveal())):
                raise ValueError(f"the value of header {name!r} is not printable ASCII, as gRPC wants it")
        return headers

    @field_validator("compression")
    @classmethod
    def _check_compression(cls, name: str) -> str:
        if name in _NOT_HERE:
            raise ValueError(f'compression "{name}" is not available over gRPC here; use gzip, zstd or none')
        if name not in _COMPRESSIONS:
            raise ValueError(f'unsupported compression type "{name}"')
        return name

    @field_validator("balancer_name")
    @classmethod
    def _check_balancer(cls, name: str) -> str:
        if name not in _BALANCERS:
            raise ValueError(f"invalid balancer_name: {name}")
        return name

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if self.is_encrypted and self._is_grpcio and self.tls.grpc_problem:
            raise ValueError(self.tls.grpc_problem)
        return self

    @property
    def is_encrypted(self) -> bool:
        """Whether the connection uses TLS: the endpoint's scheme decides before `tls::insecure`."""
        if self.endpoint.startswith(("http://", "https://")):
            return self.endpoint.startswith("https://")
        return not self.tls.insecure

    @property
    def target(self) -> str:
        """The endpoint as gRPC's own name syntax wants it."""
        return f"unix:{self.socket_path}" if self.socket_path else "dns:///" + _address(self.endpoint)

    @property
    def socket_path(self) -> str:
        """Where the unix socket is; empty for an endpoint on the network."""
        return self.endpoint.removeprefix("unix:").removeprefix("//") if self.endpoint.startswith("unix:") else ""

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of an endpoint on the network."""
        return split_endpoint(_address(self.endpoint))

    @property
    def destination(self) -> dict[str, str | bool | int]:
        """The backend as our own metrics name it: `server.address`, and `server.port` where there is one."""
        if self.socket_path:
            return {"server.address": self.socket_path}
        host, port = self.address
        return {"server.address": host, "server.port": port}

    def proxy(self) -> URL | None:
        """The proxy that `HTTPS_PROXY` names, as in Go also for plain text; None for the straight way.

        Raises `ConfigError` for a proxy that cannot be used.
        """
        from yarl import URL

        proxy = None if self.socket_path else environment_proxy("https", *self.address)
        if proxy is not None and not proxy.startswith("http://"):
            raise ConfigError("HTTPS_PROXY: gRPC in Python goes by proxies of http:// only; add the host to NO_PROXY")
        return None if proxy is None else URL(proxy)

    def proxy_options(self) -> dict[str, Any]:
        """The channel options for the proxy: grpcio itself reads lower-case variables, and goes by it to loopback."""
        proxy = self.proxy()
        if proxy is None:
            return {"grpc.enable_http_proxy": 0}
        return {"grpc.http_proxy": str(proxy)}  # with everything quoted that gRPC could stumble over

    @property
    def authority_sent(self) -> str:
        """The `:authority` of requests."""
        if self.authority or (self.is_encrypted and self.tls.server_name_override):
            return self.authority or self.tls.server_name_override
        return "localhost" if self.socket_path else _address(self.endpoint)

    @property
    def tls_name(self) -> str:
        """The name that the server's certificate must have."""
        return self.tls.server_name_override or _host(self.authority_sent)

    @property
    def metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """The configured headers as gRPC wants them: lower-case names, and bytes for those that end in `-bin`."""
        return tuple(grpc_header(name, value.reveal()) for name, value in self.headers.items())

    def reloaded_credentials(self, clock: Clock, logger: Logger) -> Callable[[], GrpcCredentials]:
        """Return a function that gives the credentials: another object means that a new channel is due.

        Raises `ConfigError` when a file of the `tls` section cannot be used.
        """
        if not self.is_encrypted:
            return _plain_text
        if self._is_grpcio:
            return self.tls.reloaded_grpc_credentials(clock, logger)
        return self.tls.reloaded_ssl_context(clock, logger)

    def open_channel(self, credentials: GrpcCredentials) -> GrpcChannel:
        """Open a channel with what `reloaded_credentials` gave. Connects in the background, so it never fails."""
        if not self._is_grpcio:
            from sluiceway.config.grpc_channel import Channel

            return Channel(self, cast("ssl.SSLContext | None", credentials))
        import grpc.aio

        codec = grpc.Compression.Gzip if self.compression == "gzip" else grpc.Compression.NoCompression
        if credentials is None:
            return grpc.aio.insecure_channel(self.target, self._options(), codec)
        return grpc.aio.secure_channel(
            self.target, cast("grpc.ChannelCredentials", credentials), self._options(), codec
        )

    async def connect(self, channel: GrpcChannel) -> None:
        """Return when an open channel has a connection; raise `ConnectionError` when it got none."""
        if not self._is_grpcio:
            await cast("Channel", channel).connect()
            return
        from grpc import ChannelConnectivity

        core = cast("grpc.aio.Channel", channel)
        while (state := core.get_state(try_to_connect=True)) is not ChannelConnectivity.READY:
            if state in (ChannelConnectivity.TRANSIENT_FAILURE, ChannelConnectivity.SHUTDOWN):
                raise ConnectionError(f"no connection to {self.target}")
            await core.wait_for_state_change(state)

    @property
    def _is_grpcio(self) -> bool:
        """Whether grpcio can do what is asked, and does it."""
        return self.compression != "zstd"

    def _options(self) -> list[tuple[str, Any]]:
        options: dict[str, Any] = {
            "grpc.max_send_message_length": -1,
            "grpc.max_receive_message_length": LARGEST_RESPONSE,
            "grpc.use_local_subchannel_pool": 1,  # two exporters to one backend must not share a connection
            "grpc.max_reconnect_backoff_ms": 5_000,  # the core's own two minutes would outlast our retries
            "grpc.http2.bdp_probe": 0,  # responses are tiny, the probes would be pings for nothing
            "grpc.primary_user_agent": self.user_agent or user_agent(),
            "grpc.service_config": json.dumps({"loadBalancingConfig": [{self.balancer_name: {}}]}),
        }
        if self.write_buffer_size:
            options["grpc.http2.write_buffer_size"] = self.write_buffer_size
        if self.read_buffer_size:
            options["grpc.http2.lookahead_bytes"] = self.read_buffer_size
        if self.keepalive is not None:
            options |= _pings(self.keepalive)
        if self.is_encrypted:
            options |= dict(self.tls.grpc_options)
        if self.authority:
            options["grpc.default_authority"] = self.authority
        return list((options | self.proxy_options()).items())


def grpc_header(name: str, value: str) -> tuple[str, str | bytes]:
    """One header as gRPC's metadata: the name in lower case, the value as bytes where the name ends in `-bin`."""
    key = name.lower()
    return (key, value.encode("utf-8")) if key.endswith("-bin") else (key, value)


def _address(endpoint: str) -> str:
    for prefix in _NAMED:
        if endpoint.startswith(prefix):
            return endpoint.removeprefix(prefix)
    return endpoint


def _host(authority: str) -> str:
    """The host of an authority, which may lack a port."""
    try:
        return split_endpoint(authority)[0]
    except ValueError:
        return authority


def _plain_text() -> None:
    return None


def _pings(keepalive: KeepaliveClient) -> dict[str, int]:
    time, timeout = keepalive.seconds
    return {
        "grpc.keepalive_time_ms": milliseconds(time),
        "grpc.keepalive_timeout_ms": milliseconds(timeout),
        "grpc.keepalive_permit_without_calls": int(keepalive.permit_without_stream),
        "grpc.http2.max_pings_without_data": 0,
    }
