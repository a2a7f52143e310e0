"""The connections of a channel: to which addresses, when a new one is made, and whose turn it is.

Connecting starts with a call that needs it, and what was found out is thrown away with the connection: each attempt
looks the name up again. With `round_robin` there is a connection to every address and each call takes the next one;
with `pick_first` there is one, to the first address that answers. A proxy's addresses stand for those behind it.
"""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
from collections.abc import Callable
from functools import partial
from random import uniform
from typing import Final

from sluiceway.config.grpc_channel.http2 import Connection, Keepalive
from sluiceway.config.grpc_channel.messages import PREFIX
from sluiceway.config.grpc_channel.proxy import Proxy
from sluiceway.config.grpc_client import LARGEST_RESPONSE, GrpcClient

__all__ = ["Connections"]

_PATIENCE: Final = 20.0
"""Seconds that one address has to take a connection and begin to speak, and the name service to answer."""
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 5.0
_GROWTH: Final = 1.6
_JITTER: Final = 0.2
_SHORTEST_WAIT: Final = 0.1

_Place = tuple[int, str, int]
"""A family of addresses, an address in it (a path for unix sockets), and a port."""


class Connections:
    """Makes connections where there are too few, and lends them. Must be closed."""

    def __init__(self, client: GrpcClient, context: ssl.SSLContext | None) -> None:
        if context is not None:
            context.set_alpn_protocols(["h2"])
        self._client = client
        self._context = context
        url = client.proxy()
        self._proxy = None if url is None else Proxy.at(url)
        self._keepalive = _keepalive(client)
        self._open: dict[_Place, Connection] = {}
        self._ending: set[Connection] = set()
        self._turn = 0
        self._attempt: asyncio.Task[None] | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self._is_complete = False
        self._failures = 0
        self._not_before = -math.inf
        self._problem = ""
        self._is_closed = False

    async def take(self, *, wait: bool) -> Connection:
        """Return a connection; raise `ConnectionError` when there is none to be had, unless told to `wait`."""
        while not self._is_closed:
            self._connect_where_due()
            if not self._open and self._attempt is not None:
                await self._news()
            if self._open:
                self._turn += 1
                return list(self._open.values())[self._turn % len(self._open)]
            if not wait:
                raise ConnectionError(f"no connection to {self._client.target}: {self._problem}")
            await asyncio.sleep(max(self._not_before - _now(), _SHORTEST_WAIT))
        raise ConnectionError("the channel was closed")

    async def close(self) -> None:
        """Close all connections."""
        self._is_closed = True
        if self._attempt is not None:
            self._attempt.cancel()
            await asyncio.wait([self._attempt])
            self._attempt = None  # which it does itself only where it had begun
            self._tell()
        for connection in (*self._open.values(), *self._ending):
            await connection.close()

    def _connect_where_due(self) -> None:
        if not self._is_complete and self._attempt is None and _now() >= self._not_before:
            self._attempt = asyncio.get_running_loop().create_task(self._connect(), name="grpc connect")

    async def _connect(self) -> None:
        try:
            self._is_complete = await self._connect_to_all()
        finally:
            self._failures = 0 if self._is_complete else self._failures + 1
            self._not_before = -math.inf if self._is_complete else _now() + _pause(self._failures)
            self._attempt = None
            self._tell()

    async def _connect_to_all(self) -> bool:
        """Look the name up and connect to what it stands for; return whether all is as it should be."""
        try:
            async with asyncio.timeout(_PATIENCE):
                places = await self._places()
        except (OSError, ValueError) as error:  # ValueError: what cannot be a name
            self._problem = _said(error)
            return False
        for place in self._open.keys() - set(places):
            self._open[place].retire("the name stands for other addresses now")
        if self._client.balancer_name == "pick_first":
            for place in places:
                if not self._open:
                    await self._dial(place)
            return bool(self._open)
        async with asyncio.TaskGroup() as group:
            for place in places:
                if place not in self._open:
                    group.create_task(self._dial(place))
        return self._open.keys() >= set(places)  # one may have ended while others were made

    async def _places(self) -> list[_Place]:
        if self._client.socket_path:
            return [(socket.AF_UNIX, self._client.socket_path, 0)]
        loop, proxy = asyncio.get_running_loop(), self._proxy
        host, port = self._client.address if proxy is None else (proxy.host, proxy.port)
        found = await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys((int(family), str(address[0]), port) for family, _, _, _, address in found))

    async def _dial(self, place: _Place) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                connection = await self._connected(place)
        except (OSError, ValueError) as error:  # ValueError: a name that no certificate can have
            self._problem = f"{place[1]}: {_said(error)}"
            return
        if connection.problem:
            self._problem = f"{place[1]}: {connection.problem}"
            return
        self._open[place] = connection
        self._tell()

    async def _connected(self, place: _Place) -> Connection:
        """Connect, and wait until the server has begun to speak HTTP/2 or the connection has a problem."""
        make = partial(
            Connection,
            LARGEST_RESPONSE + PREFIX,
            self._client.write_buffer_size,
            self._keepalive,
            partial(self._ended, place),
        )
        _, connection = await self._transport(place, make)
        try:
            await connection.ready
        except asyncio.CancelledError:
            connection.abort()
            raise
        return connection

    async def _transport(self, place: _Place, make: Callable[[], Connection]) -> tuple[asyncio.Transport, Connection]:
        loop, (family, address, port) = asyncio.get_running_loop(), place
        name = None if self._context is None else self._client.tls_name
        if family == socket.AF_UNIX:
            return await loop.create_unix_connection(make, address, ssl=self._context, server_hostname=name)
        if self._proxy is not None:
            tunnel = await self._proxy.tunnel(family, address, self._client.target.removeprefix("dns:///"))
            return await loop.create_connection(make, sock=tunnel, ssl=self._context, server_hostname=name)
        return await loop.create_connection(make, address, port, family=family, ssl=self._context, server_hostname=name)

    def _ended(self, place: _Place, connection: Connection) -> None:
        """A connection takes no more requests. One that was in use is replaced at once."""
        if self._open.get(place) is not connection:
            return
        del self._open[place]
        self._ending.add(connection)
        connection.closed.add_done_callback(lambda _: self._ending.discard(connection))
        self._problem = f"{place[1]}: {connection.problem}"
        self._is_complete, self._failures, self._not_before = False, 0, -math.inf
        if connection.is_scolded and self._keepalive is not None:
            self._keepalive = self._keepalive.slower()

    async def _news(self) -> None:
        """Wait until there is a connection or an attempt is over."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        await waiter

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)


def _keepalive(client: GrpcClient) -> Keepalive | None:
    settings = client.keepalive
    if settings is None:
        return None
    return Keepalive(*settings.seconds, settings.permit_without_stream)


def _pause(failures: int) -> float:
    return min(_FIRST_PAUSE * _GROWTH ** (failures - 1), _LONGEST_PAUSE) * uniform(1 - _JITTER, 1)  # noqa: S311


def _said(error: Exception) -> str:
    return str(error) or ("no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)


def _now() -> float:
    return asyncio.get_running_loop().time()
