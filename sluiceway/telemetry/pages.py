"""A small HTTP server for pages that people and probes read: own metrics, health.

It answers GET and HEAD, one request a connection, and holds no more than a bounded head of each of a bounded number of
connections; further ones are closed at once. A web framework would cost more memory than all the pages together.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from ssl import SSLContext
from types import TracebackType
from typing import Self

from sluiceway.config.address import Transport
from sluiceway.config.listen import listen

__all__ = ["NOT_FOUND", "Page", "PageServer"]

MAX_HEAD = 16 * 1024
MAX_CONNECTIONS = 64
READ_TIMEOUT = 10.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Page:
    """An answer."""

    body: bytes
    status: HTTPStatus = HTTPStatus.OK
    content_type: str = "text/plain; charset=utf-8"


NOT_FOUND = Page(b"404 page not found\n", HTTPStatus.NOT_FOUND)
_NOT_ALLOWED = Page(b"405 method not allowed\n", HTTPStatus.METHOD_NOT_ALLOWED)
_BAD = Page(b"400 bad request\n", HTTPStatus.BAD_REQUEST)
_BROKEN = Page(b"500 internal server error\n", HTTPStatus.INTERNAL_SERVER_ERROR)


class PageServer:
    """Serves what `respond` makes of a request target (path and query); None means that there is no such page.

    Entering raises `ConfigError` when the endpoint cannot be bound. Leaving closes all connections at once.
    """

    def __init__(
        self,
        endpoint: str,
        respond: Callable[[str], Page | None],
        *,
        transport: Transport = "tcp",
        tls: SSLContext | None = None,
    ) -> None:
        self._endpoint, self._transport = endpoint, transport
        self._respond = respond
        self._tls = tls
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._servers: list[asyncio.Server] = []

    @property
    def port(self) -> int:
        """The port that is listened on, also where port 0 was asked for."""
        return int(self._servers[0].sockets[0].getsockname()[1])

    async def __aenter__(self) -> Self:
        for socket in await listen(self._endpoint, self._transport):
            server = await asyncio.start_server(self._serve, sock=socket, limit=MAX_HEAD, ssl=self._tls)
            self._servers.append(server)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.close()
        for writer in self._connections.values():
            writer.transport.abort()
        if self._connections:
            await asyncio.wait(self._connections)
        for server in self._servers:
            await server.wait_closed()
        self._servers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._connections) >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        self._connections[task] = writer
        try:
            async with asyncio.timeout(READ_TIMEOUT):
                head = await reader.readuntil(b"\r\n\r\n")
                method, page = self._answer(head)
                _write(writer, page, with_body=method != "HEAD")
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            _write(writer, _BAD)
        finally:
            del self._connections[task]
            writer.close()

    def _answer(self, head: bytes) -> tuple[str, Page]:
        words = head.partition(b"\r\n")[0].decode("latin-1").split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1"):
            return "", _BAD
        method, target, _ = words
        if method not in {"GET", "HEAD"}:
            return method, _NOT_ALLOWED
        try:
            return method, self._respond(target) or NOT_FOUND
        except Exception:  # noqa: BLE001 - the error is logged, and the asker gets an answer that does not show it
            _log.exception("Making a page failed")
            return method, _BROKEN


def _write(writer: asyncio.StreamWriter, page: Page, *, with_body: bool = True) -> None:
    if writer.is_closing():
        return
    head = (
        f"HTTP/1.1 {page.status.value} {page.status.phrase}\r\nContent-Type: {page.content_type}\r\n"
        f"Content-Length: {len(page.body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    writer.write(head.encode("latin-1") + (page.body if with_body else b""))
