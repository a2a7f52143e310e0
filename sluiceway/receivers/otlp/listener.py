"""The sockets of an HTTP server and the connections that came by them: admits, watches over and ends them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from functools import partial
from typing import Final

from sluiceway.component import Context
from sluiceway.config.listen import listen
from sluiceway.config.server import HttpServer
from sluiceway.receivers.otlp.handshakes import Handshakes
from sluiceway.receivers.otlp.http1 import Connection, Service

__all__ = ["Listener"]

GRACE: Final = 10.0
"""Seconds that running requests have when the server stops."""
_CHECK_EVERY: Final = 1.0


class Listener:
    """Listens at an endpoint. At most `max_connections` are open: one more, and a connection has to make way.

    It is one of the peer that holds most of them, so that nobody can push others out; of those the one that has brought
    no request yet, and the oldest. A connection whose request is being answered never makes way.
    """

    def __init__(self, settings: HttpServer, max_connections: int, context: Context) -> None:
        self.settings = settings
        self.connections: set[Connection] = set()
        self._peers: Counter[str] = Counter()
        self._max_connections = max_connections
        self._context = context
        self._sockets: list[socket.socket] = []
        self._servers: list[asyncio.Server] = []
        self._doors: list[asyncio.Task[None]] = []
        self._running: dict[Connection, asyncio.Task[None]] = {}
        self._empty = asyncio.Event()

    @property
    def address(self) -> tuple[str, int]:
        """The host and port that were bound first; for a unix socket its path and 0."""
        name = self._sockets[0].getsockname()
        return (name, 0) if isinstance(name, str) else (name[0], name[1])

    async def start(self, service: Service, tasks: asyncio.TaskGroup) -> None:
        """Listen; raise `ConfigError` when that is not possible. Connections are served by tasks of `tasks`."""
        self._tasks = tasks
        make = partial(Connection, service)
        handshakes = Handshakes(self.settings.tls, make, self._context) if self.settings.tls else None
        self._sockets = await listen(self.settings.endpoint, self.settings.transport)
        for opened in self._sockets:
            if handshakes is not None:
                self._doors.append(tasks.create_task(handshakes.accept(opened, tasks)))
                continue
            create = self._loop.create_unix_server if opened.family == socket.AF_UNIX else self._loop.create_server
            self._servers.append(await create(make, sock=opened))
        self._watch = tasks.create_task(self._check_often())

    async def stop(self) -> None:
        """Stop listening, let running requests end within the grace, and cut what is left."""
        for door in self._doors:
            door.cancel()
        for server in self._servers:
            server.close()
        try:
            for connection in tuple(self.connections):
                connection.close()
            with contextlib.suppress(TimeoutError):
                async with self._context.clock.timeout(GRACE):
                    await self._all_gone()
        finally:
            self._watch.cancel()
            for task in self._running.values():
                task.cancel()
            for connection in tuple(self.connections):
                connection.abort()
            if self.settings.transport == "unix":
                _remove(self.settings.endpoint)

    def joined(self, connection: Connection) -> None:
        """Admit a connection, and cut one when there are too many: this one, when all others are being answered."""
        self.connections.add(connection)
        self._peers[connection.host] += 1
        self._empty.clear()
        if len(self.connections) > self._max_connections:
            self._least_missed(connection).abort()
        self._running[connection] = self._tasks.create_task(connection.run())

    def left(self, connection: Connection) -> None:
        """Forget a connection."""
        if connection in self.connections:
            self.connections.discard(connection)
            self._peers[connection.host] -= 1
            if not self._peers[connection.host]:
                del self._peers[connection.host]
        task = self._running.pop(connection, None)
        if task is not None and not task.done():
            self._running[connection] = task
            task.add_done_callback(lambda _: self._forget(connection))
        self._forget(None)

    def _least_missed(self, newest: Connection) -> Connection:
        candidates = [other for other in self.connections if not other.is_served and other is not newest]
        return min(
            candidates, key=lambda other: (-self._peers[other.host], other.has_served, other.since), default=newest
        )

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    def _forget(self, connection: Connection | None) -> None:
        if connection is not None:
            self._running.pop(connection, None)
        if not self.connections and not self._running:
            self._empty.set()

    async def _all_gone(self) -> None:
        if self.connections or self._running:
            await self._empty.wait()

    async def _check_often(self) -> None:
        clock = self._context.clock
        while True:
            await clock.sleep(_CHECK_EVERY)
            now = clock.now()
            for connection in tuple(self.connections):
                connection.check(now)


def _remove(path: str) -> None:
    import pathlib

    pathlib.Path(path).unlink(missing_ok=True)
