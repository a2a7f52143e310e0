"""Messages over TCP and TLS."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from sluiceway.component import Context, Reason
from sluiceway.config.listen import listen
from sluiceway.escape import escape
from sluiceway.stanza.syslog.framing import Framing
from sluiceway.stanza.syslog.intake import Intake, Message, Peer
from sluiceway.stanza.syslog.settings import Tcp

__all__ = ["TcpServer"]

_CHUNK: Final = 64 * 1024
_HANDSHAKE: Final = 10.0
_HELD: Final = 64 * 1024 * 1024
"""Bytes of messages that are not complete, of all connections."""


class TcpServer:
    """Reads connections. One that cannot hand on what it has read is not read any further: TCP tells its sender."""

    def __init__(self, settings: Tcp, context: Context, intake: Intake, framing: Callable[[], Framing]) -> None:
        self._settings = settings
        self._context = context
        self._intake = intake
        self._framing = framing
        self._servers: list[asyncio.Server] = []
        self._open: dict[asyncio.Task[None], _Connection] = {}
        self.address = ("", 0)

    async def __aenter__(self) -> Self:
        """Listen; raises `ConfigError` when the address is in use."""
        tasks = self._tasks = asyncio.TaskGroup()
        await tasks.__aenter__()
        try:
            await self._listen()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def _listen(self) -> None:
        tls = self._settings.tls
        context = tls.ssl_context((), self._context.clock, self._context.logger) if tls is not None else None
        for opened in await listen(self._settings.listen_address):
            self.address = opened.getsockname()[:2]
            patience = _HANDSHAKE if context else None
            self._servers.append(
                await asyncio.start_server(
                    self._accept, sock=opened, ssl=context, limit=_CHUNK, ssl_handshake_timeout=patience
                )
            )

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Listen no more, and end the connections."""
        for server in self._servers:
            server.close()
        for task in self._open:
            task.cancel()
        await self._tasks.__aexit__(None, None, None)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= self._settings.max_connections:
            self._displace()
        connection = _Connection(self._framing(), writer, self._context.clock.now(), self._settings.add_attributes)
        task = self._tasks.create_task(self._serve(reader, connection))
        self._open[task] = connection
        task.add_done_callback(self._open.pop)

    async def _serve(self, reader: asyncio.StreamReader, connection: _Connection) -> None:
        problem = ""
        try:
            problem = await self._read(reader, connection)
        except OSError:
            self._keep_rest(connection)  # the sender went away
        except asyncio.CancelledError:
            self._keep_rest(connection)
            raise
        except Exception:  # one sender, whatever he sent, must not end the others
            self._context.logger.exception("A connection from %s is closed", escape(connection.host))
        finally:
            if connection.framing.held:  # a message that never came to its end, or what could not be followed
                self._context.drop(1, Reason.REJECTED)
            if problem:
                self._context.logger.warning("A connection from %s is closed: %s", escape(connection.host), problem)
            connection.writer.close()

    async def _read(self, reader: asyncio.StreamReader, connection: _Connection) -> str:
        """Read to the end, or to where the connection is to be closed; why it is."""
        clock, framing = self._context.clock, connection.framing
        while data := await reader.read(_CHUNK):
            connection.used = clock.now()
            await self._hand_on(connection, framing.feed(data))
            connection.used = clock.now()
            if framing.broken:
                return framing.broken
            if framing.held > _CHUNK and self._held() > _HELD:
                return "messages that are not complete take up too much room"
        await self._hand_on(connection, framing.end())
        return ""

    def _keep_rest(self, connection: _Connection) -> None:
        self._intake.keep(self._messages(connection, connection.framing.end()))

    async def _hand_on(self, connection: _Connection, messages: list[bytes]) -> None:
        if messages:
            await self._intake.put(self._messages(connection, messages))

    def _messages(self, connection: _Connection, messages: list[bytes]) -> list[Message]:
        observed = self._context.clock.time_ns()
        return [Message(data, observed, connection.peer) for data in messages]

    def _held(self) -> int:
        return sum(connection.framing.held for connection in self._open.values())

    def _displace(self) -> None:
        """End the idlest connection of the peer that has most of them."""
        hosts = Counter(connection.host for connection in self._open.values() if not connection.displaced)
        if not hosts:
            return
        most = hosts.most_common(1)[0][0]
        task, connection = min(
            ((task, found) for task, found in self._open.items() if found.host == most and not found.displaced),
            key=lambda pair: pair[1].used,
        )
        connection.displaced = True
        task.cancel()


class _Connection:
    """What is known about an open connection."""

    def __init__(self, framing: Framing, writer: asyncio.StreamWriter, now: float, add_attributes: bool) -> None:
        self.framing = framing
        self.writer = writer
        self.used = now
        self.displaced = False
        peer = writer.get_extra_info("peername") or ("", 0)
        own = ("", 0)
        with suppress(OSError):
            own = writer.get_extra_info("sockname") or own
        self.host = str(peer[0])
        self.peer: Peer = {}
        if add_attributes:
            self.peer = attributes("IP.TCP", peer, own)


def attributes(transport: str, peer: tuple[object, ...], own: tuple[object, ...]) -> Peer:
    """The attributes that tell where a message came from and where it went to."""
    return {
        "net.transport": transport,
        "net.peer.ip": str(peer[0]),
        "net.peer.port": str(peer[1]),
        "net.host.ip": str(own[0]),
        "net.host.port": str(own[1]),
    }
