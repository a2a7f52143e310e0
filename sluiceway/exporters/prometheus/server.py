"""A small HTTP server for scrapers: GET and HEAD, kept connections, large answers that many may share.

What peers can make it hold is bounded: heads in size and time, connections in number, and answers that are read slowly
in time and in the bytes of all of them together.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Final, Self

import httptools

from sluiceway.component import Clock
from sluiceway.config.address import Address
from sluiceway.config.listen import listen
from sluiceway.config.server import HttpServer

__all__ = ["NOT_FOUND", "Answer", "Request", "ScrapeServer"]

MAX_HEAD: Final = 16 * 1024
MAX_CONNECTIONS: Final = 1024
MOST_HELD: Final = 64 * 1024 * 1024
"""Bytes of answers that are held for those who read slowly, besides the newest answer."""
UNSENT: Final = 64 * 1024
"""Bytes of a connection that may wait to be sent before more is written."""
HANDSHAKE: Final = 10.0
"""Seconds that a TLS handshake may take."""
GRACE: Final = 5.0
"""Seconds that answers have to end when the server stops."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """A request without a body. Names of headers are lower case; `query` is what stands behind the question mark."""

    method: str
    path: str
    query: str
    headers: Mapping[str, tuple[str, ...]]
    keep_alive: bool

    def header(self, name: str) -> str:
        """The value of a header, repeated ones joined by commas; empty when it is absent."""
        return ",".join(self.headers.get(name, ()))


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered: a body in parts. Answers with the same tuple of parts share its memory."""

    parts: tuple[bytes, ...] = field(default=(), repr=False)
    status: HTTPStatus = HTTPStatus.OK
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[str, ...] = ()


NOT_FOUND: Final = Answer((b"404 page not found\n",), HTTPStatus.NOT_FOUND)
_NOT_ALLOWED: Final = Answer(
    (b"405 method not allowed\n",), HTTPStatus.METHOD_NOT_ALLOWED, headers=("Allow: GET, HEAD",)
)
_BAD: Final = Answer((b"400 bad request\n",), HTTPStatus.BAD_REQUEST)
_LARGE_HEAD: Final = Answer((b"431 the head is too large\n",), HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
_BROKEN: Final = Answer((b"500 internal server error\n",), HTTPStatus.INTERNAL_SERVER_ERROR)


class ScrapeServer:
    """Serves what `respond` makes of a request. Entering raises `ConfigError` when the endpoint cannot be bound.

    Where `before`, the server of an exporter that a reload replaces, still listens at the same address, this one
    listens there as well: at no time is a scraper refused.
    """

    def __init__(
        self,
        settings: HttpServer,
        respond: Callable[[Request], Awaitable[Answer]],
        clock: Clock,
        before: ScrapeServer | None = None,
    ) -> None:
        self._before = before
        self._sockets: list[socket.socket] = []
        self._settings, self._respond, self._clock = settings, respond, clock
        self._fixed = tuple(f"{name}: {value.reveal()}" for name, value in settings.response_headers.items())
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        """Those that wait for a request in the order in which they began to."""
        self._busy: set[asyncio.Task[None]] = set()
        self._reading: dict[asyncio.StreamWriter, tuple[bytes, ...]] = {}
        self._servers: list[asyncio.Server] = []
        self._stopping = False

    @property
    def port(self) -> int:
        """The port that is listened on, also where port 0 was asked for; zero while stopped."""
        return int(self._sockets[0].getsockname()[1]) if self._servers else 0

    def sockets_at(self, address: Address) -> list[socket.socket]:
        """The sockets that are listened on once more, if they are at this address."""
        is_there = bool(self._servers) and self._settings.listens_on == address
        return [opened.dup() for opened in self._sockets] if is_there else []

    async def __aenter__(self) -> Self:
        settings = self._settings
        tls = settings.tls.ssl_context(("http/1.1",), self._clock) if settings.tls is not None else None
        inherited = self._before.sockets_at(settings.listens_on) if self._before is not None else []
        self._before = None
        self._sockets = inherited or await listen(settings.endpoint, settings.transport)
        for opened in self._sockets:
            server = await asyncio.start_server(
                self._serve, sock=opened, limit=MAX_HEAD, ssl=tls, ssl_handshake_timeout=HANDSHAKE if tls else None
            )
            self._servers.append(server)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping = True
        for server in self._servers:
            server.close()
        for task, writer in self._connections.items():
            if task not in self._busy:
                writer.transport.abort()
        try:
            async with self._clock.timeout(GRACE):
                while self._connections:
                    await asyncio.wait(tuple(self._connections))
        except TimeoutError:
            for writer in self._connections.values():
                writer.transport.abort()
        while self._connections:
            await asyncio.wait(tuple(self._connections))
        for server in self._servers:
            await server.wait_closed()
        self._servers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or self._stopping or not self._has_room():
            writer.transport.abort()
            return
        self._connections[task] = writer
        writer.transport.set_write_buffer_limits(high=UNSENT)
        try:
            first = True
            while await self._serve_one(reader, writer, task, first=first):
                first = False
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            writer.transport.abort()
        finally:
            self._connections.pop(task, None)
            writer.close()

    def _has_room(self) -> bool:
        """Whether there may be one connection more; the one that waits longest for a request makes way."""
        if len(self._connections) < MAX_CONNECTIONS:
            return True
        longest = next((task for task in self._connections if task not in self._busy), None)
        if longest is not None:
            self._connections.pop(longest).transport.abort()
        return longest is not None

    async def _serve_one(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, task: asyncio.Task[None], *, first: bool
    ) -> bool:
        """Answer one request, and say whether the connection may have another."""
        settings = self._settings
        wait = (settings.read_header_timeout or 10.0) if first else (settings.idle_timeout or 300.0)
        async with self._clock.timeout(wait):
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.LimitOverrunError:
                await self._write(writer, _LARGE_HEAD, None, keep=False)
                return False
        self._busy.add(task)
        try:
            request = _parse(head)
            async with self._clock.timeout(settings.write_timeout or 30.0):
                keep = request is not None and request.keep_alive and settings.keep_alives_enabled
                keep = keep and not self._stopping
                answer = await self._answer(request)
                await self._write(writer, answer, request, keep=keep)
        finally:
            self._busy.discard(task)
            self._connections[task] = self._connections.pop(task)  # it waits from now on
        return keep and not self._stopping

    async def _answer(self, request: Request | None) -> Answer:
        if request is None:
            return _BAD
        if request.method not in ("GET", "HEAD"):
            return _NOT_ALLOWED
        try:
            return await self._respond(request)
        except Exception:  # noqa: BLE001 - the error is logged, and the asker gets an answer that does not show it
            _log.exception("Answering a scrape failed")
            return _BROKEN

    async def _write(
        self, writer: asyncio.StreamWriter, answer: Answer, request: Request | None, *, keep: bool
    ) -> None:
        lines = [
            f"HTTP/1.1 {answer.status.value} {answer.status.phrase}", f"Content-Type: {answer.content_type}",
            f"Content-Length: {sum(map(len, answer.parts))}", "Cache-Control: no-store", *answer.headers, *self._fixed,
        ]  # fmt: skip
        if not keep:
            lines.append("Connection: close")
        writer.write("\r\n".join((*lines, "\r\n")).encode("latin-1"))
        if request is None or request.method != "HEAD":
            await self._write_parts(writer, answer.parts)
        await writer.drain()
        if not keep:
            writer.close()

    async def _write_parts(self, writer: asyncio.StreamWriter, parts: tuple[bytes, ...]) -> None:
        is_new = not any(others is parts for others in self._reading.values())
        self._reading[writer] = parts
        if is_new:
            self._let_go(parts)
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
        finally:
            self._reading.pop(writer, None)

    def _let_go(self, newest: tuple[bytes, ...]) -> None:
        """Cut off those who still read the oldest answers, while these take too much memory."""
        older = {id(parts): parts for parts in self._reading.values() if parts is not newest}
        excess = sum(len(part) for parts in older.values() for part in parts) - MOST_HELD
        for oldest in tuple(older.values()):
            if excess <= 0:
                return
            excess -= sum(map(len, oldest))
            for writer in [writer for writer, parts in self._reading.items() if parts is oldest]:
                del self._reading[writer]
                writer.transport.abort()


class _Fields:
    """What httptools calls back with."""

    def __init__(self) -> None:
        self.url = b""
        self.headers: dict[str, tuple[str, ...]] = {}

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        key = name.decode("latin-1").lower()
        self.headers[key] = (*self.headers.get(key, ()), value.decode("latin-1").strip())


def _parse(head: bytes) -> Request | None:
    """Read the head of a request; None where it is none, or a question with a body. An upgrade is not taken up."""
    found = _Fields()
    parser = httptools.HttpRequestParser(found)
    try:
        parser.feed_data(head)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError:
        return None
    headers, method = found.headers, parser.get_method().decode("latin-1")
    has_body = "transfer-encoding" in headers or headers.get("content-length", ("0",)) != ("0",)
    version = parser.get_http_version()
    target = found.url.decode("latin-1")
    if not target.startswith("/") or version not in ("1.0", "1.1") or (has_body and method in ("GET", "HEAD")):
        return None
    path, _, query = target.partition("?")
    options = ",".join(headers.get("connection", ())).lower()
    keep = "keep-alive" in options if version == "1.0" else "close" not in options
    # nothing is to be read behind a body, where another request would be seen
    return Request(method, path, query, headers, keep and not has_body)
