"""The settings of HTTP clients, and the session that is opened from them.

HTTP/1.1 only. The keys of HTTP/2 and those that bound idle connections are read, so that the Collector's files load,
but change nothing.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from pydantic import Field, field_validator, model_validator
from yarl import URL

from sluiceway.config.auth import Auth
from sluiceway.config.client import RequestHeaders, is_url, user_agent
from sluiceway.config.compression import CompressionParams, Compressor, check_compression, compressor
from sluiceway.config.exporter import Timeout
from sluiceway.config.middlewares import Middlewares
from sluiceway.config.proxies import environment_proxy
from sluiceway.config.settings import mistake
from sluiceway.config.tls import TlsClient
from sluiceway.config.types import Duration, Opaque, Section, Settings

if TYPE_CHECKING:
    import aiohttp

__all__ = ["Cookies", "HttpClient", "Way", "way_to"]

_FOREVER: Final = 365 * 86_400.0
_DNS_TTL: Final = 30
"""Seconds for which a resolved name is used again; short, so that a backend that moves is found."""


class Cookies(Settings):
    """The `cookies` section: its presence has the server's cookies kept and sent back."""


class HttpClient(Settings):
    """How to reach an HTTP server. Components have these keys at their top level."""

    endpoint: str = ""
    """The URL, `http://` or `https://`."""
    proxy_url: Opaque = Opaque("")
    """The proxy to go through. Empty: what `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` say, never for loopback."""
    tls: TlsClient = TlsClient()
    """How to encrypt, where the URL says `https`."""
    headers: RequestHeaders = Field(default_factory=dict)
    """Headers sent with every request; `Host` replaces the URL's host."""
    timeout: Timeout = 0.0
    """How long one request may take; 0s has no limit."""
    read_buffer_size: int = Field(default=0, ge=0)
    """Bytes of a response read ahead; 0 is 64 KiB."""
    write_buffer_size: int = Field(default=0, ge=0)
    """Without effect: a body is written at once."""
    compression: str = ""
    """`gzip`, `zstd`, `zlib`, `deflate` or `none`."""
    compression_params: CompressionParams = CompressionParams()
    """How hard to compress."""
    max_idle_conns: int = Field(default=100, ge=0)
    """Without effect: idle connections are used first, so there are only as many as there were requests at once."""
    max_idle_conns_per_host: int = Field(default=0, ge=0)
    """Without effect: idle connections are used first, so there are only as many as there were requests at once."""
    max_conns_per_host: int = Field(default=0, ge=0)
    """Connections to one host, in use or idle; further requests wait. 0 has no limit."""
    idle_conn_timeout: Duration = Field(default=90.0, ge=0)
    """How long an idle connection is kept; 0s has no limit."""
    disable_keep_alives: bool = False
    """Whether every request gets a connection of its own."""
    http2_read_idle_timeout: Duration = Field(default=0.0, ge=0)
    """Without effect: HTTP/1.1 only."""
    http2_ping_timeout: Duration = Field(default=0.0, ge=0)
    """Without effect: HTTP/1.1 only."""
    force_attempt_http2: bool = True
    """Without effect: HTTP/1.1 only."""
    cookies: Section[Cookies] = None
    """Whether the server's cookies are kept; off."""
    auth: Section[Auth] = None
    """Which extension proves who we are."""
    middlewares: Middlewares = ()
    """Extensions that see each request. There are none yet, so the list must be empty."""

    @field_validator("proxy_url")
    @classmethod
    def _check_proxy(cls, proxy: Opaque) -> Opaque:
        if proxy and not is_url(proxy.reveal()):
            raise ValueError("proxy_url must be a valid URL")
        return proxy

    @model_validator(mode="after")
    def _check_client(self) -> Self:
        try:
            check_compression(self.compression, self.compression_params)
        except ValueError as error:
            raise mistake(str(error), "compression") from None
        return self

    def open_compressor(self) -> Compressor | None:
        """The function that compresses bodies as configured; None for no compression."""
        return compressor(self.compression, self.compression_params.level)

    def open_session(self, **defaults: str) -> aiohttp.ClientSession:
        """Open a session; nothing is connected yet. `defaults` are headers that the configured ones may replace.

        The session sets no timeouts, follows `ssl` and `proxy` given with each request, and leaves responses as they
        come: whoever reads one must bound it. Underscores in the names of `defaults` are hyphens.
        """
        import aiohttp

        connector = aiohttp.TCPConnector(
            limit=0,
            limit_per_host=self.max_conns_per_host,
            ttl_dns_cache=_DNS_TTL,
            force_close=self.disable_keep_alives,
            keepalive_timeout=None if self.disable_keep_alives else self.idle_conn_timeout or _FOREVER,
        )
        return aiohttp.ClientSession(
            connector=connector,
            headers=self.request_headers(**defaults),
            cookie_jar=aiohttp.DummyCookieJar() if self.cookies is None else aiohttp.CookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            auto_decompress=False,  # a response may be a bomb
            read_bufsize=self.read_buffer_size or 65_536,
        )

    def request_headers(self, **defaults: str) -> dict[str, str]:
        """The headers of a request, by names in lower case: `defaults`, and the configured ones over them."""
        headers = {"accept": "*/*", "accept-encoding": "identity", "user-agent": user_agent()}
        headers |= {name.replace("_", "-"): value for name, value in defaults.items()}
        headers |= {name.lower(): value.reveal() for name, value in self.headers.items()}
        return headers


class Way(NamedTuple):
    """What aiohttp is told with each request, so that it goes by a proxy or directly.

    A password stands in the headers alone, because errors show the proxy's URL.
    """

    proxy: URL | None = None
    proxy_headers: Mapping[str, str] | None = None
    """Headers for the proxy, where the rest is encrypted."""
    headers: Mapping[str, str] = MappingProxyType({})
    """Headers of the request itself, where it is not."""


def way_to(target: URL, proxy_url: Opaque) -> Way:
    """The way to a URL: by the configured proxy, or by what the environment says when it is asked.

    Raises `ConfigError` when the environment names no proxy that can be used.
    """
    proxy = proxy_url.reveal() or environment_proxy(target.scheme, target.host or "", target.port or 0)
    if not proxy:
        return Way()
    url = URL(proxy)
    if url.user is None and url.password is None:
        return Way(url)
    proof = b64encode(f"{url.user or ''}:{url.password or ''}".encode()).decode()
    headers = {"Proxy-Authorization": f"Basic {proof}"}
    url = url.with_user(None)
    return Way(url, proxy_headers=headers) if target.scheme == "https" else Way(url, headers=headers)
