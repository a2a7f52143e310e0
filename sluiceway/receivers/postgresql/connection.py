"""A connection to one database: queries out, rows in, and the reason when there are none.

The only module that knows the library. A session of ours reads only, waits for no lock and has nothing but the system's
own names on its search path.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import asyncpg

from sluiceway.clock import Clock
from sluiceway.config.types import Opaque
from sluiceway.escape import escape

__all__ = ["MARK", "Access", "Denied", "Link", "NoDatabase", "Refused", "Row"]

MARK: Final = "/* sluiceway */"
"""What follows the first word of our queries, so that they can be told from others."""
LONGEST_TEXT: Final = 200
"""Characters of what a server says that are repeated in a message."""
LOCK_TIMEOUT: Final = 0.5
"""Seconds that a query may wait for a lock."""
GRACE: Final = 2.0
"""Seconds beyond a query's time after which a server that says nothing is taken for dead."""

Row: TypeAlias = Mapping[str, Any]
_BROKEN: Final = (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, EOFError)


class Refused(Exception):  # noqa: N818 - an answer, though not the one that was hoped for
    """The server does not carry a query out; the connection goes on."""


class Denied(Refused):
    """The role may not ask this."""


class NoDatabase(Refused):
    """There is no database of the name."""


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach a server, and to be let in: the same for all its databases."""

    host: str
    """A name or an address, or the folder of a socket."""
    port: int
    username: str
    password: Opaque
    tls: Callable[[], ssl.SSLContext] | None
    """The context of a new connection; None for plain text."""
    query_timeout: float
    """Seconds that a query may take."""


class Link:
    """One database, whose connection is kept from one measurement to the next. Not to be used by two tasks at a time.

    Cancelling a call cuts the connection; the server gives the query up when its time is over.
    """

    def __init__(self, database: str, access: Access, clock: Clock) -> None:
        self.database = database
        self._access = access
        self._clock = clock
        self._connection: Any = None
        self._opened = 0.0

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._connection is not None and not self._connection.is_closed()

    @property
    def age(self) -> float:
        """Seconds since the connection was opened."""
        return self._clock.now() - self._opened

    async def ask(self, query: str, *values: Any) -> Sequence[Row]:
        """Carry a query out and return its rows.

        Raises `Refused` when it fails, `PermissionError` when the server does not let us in, and `ConnectionError`
        when it is not there. A query only reads, so it is repeated when a connection that was kept turns out to be
        dead.
        """
        kept = self.is_open
        while True:
            try:
                async with self._clock.timeout(self._access.query_timeout + GRACE):
                    if not self.is_open:
                        await self._connect()
                    return await self._connection.fetch(_marked(query), *values)  # type: ignore[no-any-return]
            except TimeoutError as error:
                self._cut()
                raise ConnectionError(f"no answer in {self._access.query_timeout + GRACE:g}s") from error
            except asyncpg.PostgresError as error:
                if self.is_open and not isinstance(error, asyncpg.PostgresConnectionError):
                    raise _refusal(error) from None
                self._cut()
                if not kept:
                    raise ConnectionError(_said(error)) from None
            except _BROKEN as error:
                self._cut()
                if not kept:
                    raise (
                        type(error)(_said(error))
                        if isinstance(error, PermissionError)
                        else ConnectionError(_said(error))
                    ) from None
            except ValueError as error:
                self._cut()
                raise Refused(f"an answer that cannot be read: {_said(error)}") from None
            except BaseException:
                self._cut()
                raise
            kept = False

    async def close(self) -> None:
        """Say goodbye, without waiting long for the server."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await connection.close(timeout=1)
            except (asyncpg.PostgresError, *_BROKEN):
                connection.terminate()

    def _cut(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def _connect(self) -> None:
        access = self._access
        try:
            self._connection = await asyncpg.connect(
                host=access.host,
                port=access.port,
                user=access.username,
                password=access.password.reveal(),
                database=self.database,
                ssl=access.tls() if access.tls else False,
                timeout=None,  # the receiver's clock says when it is enough
                target_session_attrs="any",
                statement_cache_size=0,
                server_settings={
                    "application_name": "sluiceway",
                    "default_transaction_read_only": "on",
                    "statement_timeout": str(max(int(access.query_timeout * 1000), 1)),
                    "lock_timeout": str(int(LOCK_TIMEOUT * 1000)),
                    "search_path": "pg_catalog",
                    "jit": "off",
                },
            )
        except asyncpg.InsufficientPrivilegeError as error:
            raise Denied(_said(error)) from None
        except asyncpg.InvalidCatalogNameError as error:
            raise NoDatabase(_said(error)) from None
        except asyncpg.InvalidAuthorizationSpecificationError as error:
            raise PermissionError(_said(error)) from None
        self._opened = self._clock.now()


def _marked(query: str) -> str:
    word, _, rest = query.lstrip().partition(" ")  # PostgreSQL 18 forgets what stands in front of the first word
    return f"{word} {MARK} {rest}"


def _refusal(error: Exception) -> Refused:
    return Denied(_said(error)) if isinstance(error, asyncpg.InsufficientPrivilegeError) else Refused(_said(error))


def _said(error: BaseException) -> str:
    """What an error says, without the details, which may be data; the system's own word where there is one."""
    if isinstance(error, OSError) and error.errno and not isinstance(error, ssl.SSLError):
        return os.strerror(error.errno) if error.errno > 0 else str(error.strerror)  # a lookup's numbers are its own
    text = getattr(error, "message", None) or str(error)
    return escape(str(text))[:LONGEST_TEXT] or type(error).__name__
