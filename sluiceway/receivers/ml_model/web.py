"""Asking a server by HTTP, without trusting what it answers."""

from __future__ import annotations

import ssl
from base64 import b64encode
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import orjson
from yarl import URL

from sluiceway.component import Context
from sluiceway.config.client import user_agent
from sluiceway.config.http_client import way_to
from sluiceway.config.types import Opaque
from sluiceway.receivers.ml_model.settings import WebSource

if TYPE_CHECKING:
    import aiohttp

__all__ = ["StatusError", "Web"]

MOST: Final = 32 << 20
"""Bytes of the longest answer that is read."""


class StatusError(OSError):
    """An answer that is not a 200."""

    def __init__(self, path: str, status: int) -> None:
        hint = {401: ": credentials are needed", 403: ": the credentials do not suffice"}.get(status, "")
        super().__init__(f"{path}: HTTP {status}{hint}")
        self.status = status


class Web:
    """One server, and the connection to it. Errors are `OSError`s that say what was asked and went wrong."""

    def __init__(self, url: str, source: WebSource, context: Context) -> None:
        self.url = URL(url)
        self._source = source
        self._context = context
        self._session: aiohttp.ClientSession | None = None
        self._tls: Callable[[], ssl.SSLContext] | None = None

    def open(self) -> None:
        """Read the TLS files; nothing is connected yet. Raises `ConfigError`."""
        if self.url.scheme == "https":
            self._tls = self._source.tls.reloaded_ssl_context(self._context.clock, self._context.logger)
            self._tls()

    async def close(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def ask(self, path: str = "", body: Any = None, **query: str) -> bytes:
        """The body of what is answered: to a GET, or to a POST where there is a body."""
        import aiohttp

        url = self.url.joinpath(*path.split("/")) if path else self.url
        way = way_to(url, Opaque(""))
        data = None if body is None else orjson.dumps(body)
        headers = dict(way.headers) | ({} if data is None else {"Content-Type": "application/json"})
        try:
            async with self._opened().request(
                "GET" if data is None else "POST",
                url.update_query(query) if query else url,
                data=data,
                headers=headers,
                ssl=True if self._tls is None else self._tls(),
                proxy=way.proxy,
                proxy_headers=way.proxy_headers,
                allow_redirects=False,
            ) as response:
                return await self._read(response)
        except aiohttp.ClientError as error:
            raise OSError(f"{self.url.host}:{self.url.port}: {error or type(error).__name__}") from None

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        parts, size = [], 0
        async for part in response.content.iter_any():
            size += len(part)
            if size > MOST:
                response.close()
                raise OSError(f"{response.url.path}: the answer is longer than {MOST >> 20} MiB")
            parts.append(part)
        body = b"".join(parts)
        if response.status != 200:
            raise StatusError(response.url.path, response.status)
        return body

    def _opened(self) -> aiohttp.ClientSession:
        import aiohttp

        if self._session is None:
            source = self._source
            headers = {"accept": "*/*", "accept-encoding": "identity", "user-agent": user_agent()}
            headers |= {name.lower(): value.reveal() for name, value in source.headers.items()}
            if source.token:
                headers["authorization"] = f"Bearer {source.token.reveal()}"
            elif source.username:
                proof = b64encode(f"{source.username}:{source.password.reveal()}".encode()).decode()
                headers["authorization"] = f"Basic {proof}"
            self._session = aiohttp.ClientSession(
                headers=headers,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                auto_decompress=False,  # a response may be a bomb
            )
        return self._session
