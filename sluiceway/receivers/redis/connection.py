"""A connection to one server: commands out, replies in, and the reason when there are none.

The only module that knows the library. Of it the connection is used, and none of what would repeat, cache or follow.
"""

from __future__ import annotations

import errno
import os
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from sluiceway.config.types import Opaque
from sluiceway.escape import escape

__all__ = ["Access", "Address", "Denied", "Link", "Refused", "Reply"]

LONGEST_TEXT: Final = 200
"""Characters of what a server says that are repeated in a message."""

Command: TypeAlias = "tuple[str | bytes | int, ...]"
_BROKEN: Final = (RedisError, OSError, ValueError, LookupError)
"""What a connection ends with; the last two are replies that the library cannot read."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is: host and port, or the path of a socket and port 0."""

    host: str
    port: int = 0

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host and self.port else self.host
        return f"{host}:{self.port}" if self.port else host


@dataclass(frozen=True, slots=True)
class Access:
    """How to be let in: the same at all nodes of a cluster."""

    username: str
    password: Opaque
    database: int
    tls: Callable[[], ssl.SSLContext] | None
    """The context of a new connection; None for plain text."""
    server_name: str
    """What the certificate must be made out to, when it is not the host."""


class Refused(Exception):  # noqa: N818 - it is a reply first, and raised only by who cannot go on without another
    """A reply that says why there is none."""


class Denied(Refused):
    """A reply that says that the user may not ask this."""


Reply: TypeAlias = "bytes | int | list[Reply] | Refused | None"


class Link:
    """One server, whose connection is kept from one measurement to the next. Not to be used by two tasks at a time.

    Cancelling a call closes the connection, as a reply might still be on its way.
    """

    def __init__(self, address: Address, access: Access) -> None:
        self.address = address
        self._connection = _connection(address, access)

    async def ask(self, *commands: Command) -> list[Reply]:
        """Send commands at once and return their replies.

        Raises `PermissionError` when the server does not let us in, and `ConnectionError` when it is not there.
        Commands only read, so they are repeated when a connection that was kept turns out to be dead.
        """
        kept = self._connection.is_connected
        while True:
            try:
                return await self._exchange(commands)
            except AuthenticationError as error:
                raise PermissionError(_said(error)) from None
            except _BROKEN as error:
                if not kept:
                    raise ConnectionError(_said(error)) from None
                kept = False

    async def need(self, *command: str | bytes | int) -> Reply:
        """Send one command and return its reply; raises `Refused` as well."""
        (reply,) = await self.ask(command)
        if isinstance(reply, Refused):
            raise reply
        return reply

    async def close(self) -> None:
        """Close the connection without waiting for the server, which TLS does for half a minute otherwise."""
        writer = self._connection._writer  # noqa: SLF001 - the library has no other way to it
        if writer is not None:
            writer.transport.abort()
        await self._connection.disconnect(nowait=True)

    async def _exchange(self, commands: tuple[Command, ...]) -> list[Reply]:
        connection = self._connection
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
            await connection.send_packed_command(connection.pack_commands(commands))
            return [await self._reply() for _ in commands]
        except BaseException:
            await self.close()
            raise

    async def _reply(self) -> Reply:
        try:
            return _plain(await self._connection.read_response())
        except NoPermissionError as error:
            return Denied(_said(error))
        except ResponseError as error:
            return Refused(_said(error))


class _Tls(SSLConnection):
    """TLS with a context of ours."""

    def __init__(self, context: Callable[[], ssl.SSLContext], name: str, **settings: Any) -> None:
        super().__init__(**settings)
        self._context = context
        self._name = name

    def _connection_arguments(self) -> Mapping[str, Any]:
        return {
            "host": self.host,
            "port": self.port,
            "ssl": self._context(),
            "server_hostname": self._name or self.host,
        }


def _connection(address: Address, access: Access) -> AbstractConnection:
    settings: dict[str, Any] = {
        "username": access.username or None,
        "password": access.password.reveal() or None,
        "db": access.database,
        "protocol": 2,  # what every server speaks, KeyDB and Redis 5 too
        "driver_info": None,  # CLIENT SETINFO is not everywhere, and may be denied
        "socket_timeout": None,  # the receiver's clock says when it is enough
        "socket_connect_timeout": None,
    }
    if not address.port:
        return UnixDomainSocketConnection(path=address.host, **settings)
    settings |= {"host": address.host, "port": address.port}
    return _Tls(access.tls, access.server_name, **settings) if access.tls else Connection(**settings)


def _plain(reply: Any) -> Reply:
    """A reply without the library's types, errors inside of a list too."""
    match reply:
        case list():
            return [_plain(part) for part in reply]
        case Exception():
            return Refused(_said(reply))
        case int() if not -(2**63) <= reply < 2**63:
            return None  # the protocol has no such integers
        case _:
            return reply  # type: ignore[no-any-return]


def _said(error: BaseException) -> str:
    """What an error says; the system's own word for it where the library has wrapped that."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError) and cause.errno in errno.errorcode:
            return os.strerror(cause.errno or 0)
        cause = cause.__cause__ or cause.__context__
    return escape(str(error))[:LONGEST_TEXT] or type(error).__name__
