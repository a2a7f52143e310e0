"""Connections to the database: made when they are needed, kept while they are clean."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias

import asyncpg

from sluiceway.exporters.timescaledb.columns import Table
from sluiceway.exporters.timescaledb.failures import SchemaError
from sluiceway.exporters.timescaledb.settings import TimescaleSettings

__all__ = ["Connection", "Pool", "copy", "transaction"]

CHUNK: Final = 256 * 1024
"""Bytes of COPY data that are handed over at a time."""

Connection: TypeAlias = Any
_TRANSACTION: Final = ("BEGIN", "ROLLBACK", "COMMIT")
_SAVEPOINT: Final = ("SAVEPOINT step", "ROLLBACK TO step", "RELEASE step")
_GOODBYE: Final = 1.0
"""Seconds that a connection may take to close."""


class Pool:
    """At most so many connections at a time. What fails, or is cancelled, in the midst of its work cuts its own."""

    def __init__(self, settings: TimescaleSettings, tls: Callable[[], ssl.SSLContext] | None) -> None:
        self._settings = settings
        self._tls = tls
        self._room = asyncio.Semaphore(settings.pool_size)
        self._idle: list[Connection] = []

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection with no transaction open. An error that PostgreSQL answers with leaves it usable."""
        async with self._room:
            connection = self._take() or await self._connect()
            try:
                yield connection
                if connection.is_in_transaction():
                    await connection.execute("ROLLBACK")
            except asyncpg.ReadOnlySQLTransactionError:  # of a server that was demoted: another one may answer now
                connection.terminate()
                raise
            except (asyncpg.PostgresError, SchemaError):
                await self._mend(connection)
                raise
            except BaseException:
                connection.terminate()
                raise
            self._keep(connection)

    async def close(self) -> None:
        """Say goodbye to all that lie idle."""
        while self._idle:
            connection = self._idle.pop()
            try:
                await connection.close(timeout=_GOODBYE)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                connection.terminate()

    async def _mend(self, connection: Connection) -> None:
        try:
            if not connection.is_closed():
                await connection.execute("ROLLBACK")
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            connection.terminate()
        except BaseException:
            connection.terminate()
            raise
        self._keep(connection)

    def _keep(self, connection: Connection) -> None:
        if not connection.is_closed():
            self._idle.append(connection)

    def _take(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return None

    async def _connect(self) -> Connection:
        settings = self._settings
        host, port = settings.address
        limit = str(int(settings.timeout * 1000))
        return await asyncpg.connect(
            host=host,
            port=port,
            user=settings.username,
            password=settings.password.reveal(),
            database=settings.database,
            ssl=self._tls() if self._tls else False,
            timeout=None,  # the deadline around the exporter says when it is enough
            statement_cache_size=0,  # a pooler between may give each statement another session
            server_settings={
                "application_name": "sluiceway",
                "statement_timeout": limit,  # so that what was given up here is given up there
                "idle_in_transaction_session_timeout": "60000",
                "timezone": "UTC",
                "jit": "off",
            },
        )


@asynccontextmanager
async def transaction(connection: Connection) -> AsyncIterator[None]:
    """A transaction, or within one a savepoint, which is undone where the body is refused something.

    When the body is cancelled nothing is said, unlike by asyncpg's own: no answer may ever come, and the pool cuts the
    connection.
    """
    begin, undo, end = _SAVEPOINT if connection.is_in_transaction() else _TRANSACTION
    await connection.execute(begin)
    try:
        yield
    except (asyncpg.PostgresError, SchemaError):
        if not connection.is_closed():
            await connection.execute(undo)
        raise
    await connection.execute(end)


async def copy(connection: Connection, settings: TimescaleSettings, table: Table, data: bytes) -> None:
    """Send COPY data that holds rows of a table."""
    await connection.copy_to_table(
        f"{settings.table_prefix}{table.name}", schema_name=settings.schema_name,
        columns=[column.name for column in table.columns], source=_chunks(data), format="binary",
    )  # fmt: skip


async def _chunks(data: bytes) -> AsyncIterator[memoryview]:
    view = memoryview(data)
    for start in range(0, len(data), CHUNK):
        yield view[start : start + CHUNK]
