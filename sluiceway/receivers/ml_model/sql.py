"""Predictions and labels from PostgreSQL: a query that is asked for the rows after the last one."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import orjson

from sluiceway.config.types import Opaque
from sluiceway.receivers.ml_model.intake import Intake
from sluiceway.receivers.ml_model.records import Reader, Row, flat, missing_text
from sluiceway.receivers.ml_model.settings import SqlSource

if TYPE_CHECKING:
    import asyncpg

__all__ = ["Query", "connected", "fetch_rows"]

ROWS: Final = 2000
"""Rows that are fetched at a time."""
_FIRST: Final = datetime(1, 1, 1, tzinfo=UTC)
_LOWEST: Final[dict[str, Any]] = {
    "int2": -(2**15), "int4": -(2**31), "int8": -(2**63), "oid": 0, "float4": float("-inf"), "float8": float("-inf"),
    "numeric": Decimal("-Infinity"), "text": "", "varchar": "", "bpchar": "", "uuid": UUID(int=0),
    "timestamp": _FIRST.replace(tzinfo=None), "timestamptz": _FIRST, "date": date.min,
}  # fmt: skip


class Query:
    """One source of rows. The connection is kept from one time to the next."""

    def __init__(self, source: SqlSource, reader: Reader, intake: Intake) -> None:
        self.poll_interval = source.poll_interval
        self._source = source
        self._reader = reader
        self._intake = intake
        self._connection: asyncpg.Connection[Any] | None = None
        self._last: Any = source.start
        self._begun = False

    async def poll(self) -> str:
        """Take in all rows after the last one; returns what is wrong with the query."""
        with _told():
            try:
                if self._connection is None or self._connection.is_closed():
                    self._connection = await _connect(self._source.datasource, self._source.timeout)
                return await self._ask(self._connection)
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Drop the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def _ask(self, connection: asyncpg.Connection[Any]) -> str:
        statement = await connection.prepare(self._source.query)
        parameters, names = statement.get_parameters(), [column.name for column in statement.get_attributes()]
        if wrong := self._wrong(names, len(parameters), [column.type.name for column in statement.get_attributes()]):
            return wrong
        if not self._begun:
            self._last = _first(self._source.start, parameters[0].name)
            self._begun = True
        async with connection.transaction(readonly=True):
            rows = await statement.cursor(self._last)
            while found := await rows.fetch(ROWS):
                if wrong := await self._take(found):
                    return wrong
        return ""

    async def _take(self, found: Sequence[asyncpg.Record]) -> str:
        """Hand on rows, and remember the last; returns what is wrong when they do not go forward."""
        fresh, last = [], self._last
        for row in found:
            value = row[self._source.cursor]
            # how texts are ordered is the database's business
            if value is not None and (value != last if isinstance(value, str) else value > last):
                fresh.append(row)
                last = value
        read = await self._intake.run(lambda: self._reader.rows([flat(dict(row)) for row in fresh], "the query"))
        passed = len(found) - len(fresh)
        if passed:
            read.rejected += Counter(not_after_cursor=passed)
        self._last = last
        self._intake.take(read)
        if not passed:
            return read.trouble
        column = self._source.cursor
        return (
            f'the query gives rows whose "{column}" is not after that of the row before: '
            f"it needs WHERE {column} > $1 ORDER BY {column}"
        )

    def _wrong(self, names: list[str], parameters: int, kinds: list[str]) -> str:
        if parameters != 1:
            return f"the query has {parameters} parameters; it must have one, $1"
        if self._source.cursor not in names:
            return "the query: " + missing_text([self._source.cursor], names)
        if {"json", "jsonb"} & {*kinds}:
            return ""  # what is in there shows in the rows
        if missing := self._reader.missing(names):
            return "the query: " + missing_text(missing, names)
        return ""


async def fetch_rows(datasource: Opaque, query: str, most: int, timeout: float) -> list[Row]:
    """The first rows of a query. Raises `OSError`."""
    with _told():
        async with connected(datasource, timeout) as connection, connection.transaction(readonly=True):
            rows = await connection.cursor(query)
            return [flat(dict(row)) for row in await rows.fetch(most)]


@asynccontextmanager
async def connected(datasource: Opaque, timeout: float) -> AsyncIterator[asyncpg.Connection[Any]]:
    """A connection for a while."""
    connection = await _connect(datasource, timeout)
    try:
        yield connection
    finally:
        connection.terminate()


async def _connect(datasource: Opaque, timeout: float) -> asyncpg.Connection[Any]:
    import asyncpg

    connection: asyncpg.Connection[Any] = await asyncpg.connect(
        datasource.reveal(),
        timeout=timeout,
        command_timeout=timeout,
        server_settings={"application_name": "sluiceway"},
    )
    for kind in ("json", "jsonb"):
        await connection.set_type_codec(kind, encoder=str, decoder=orjson.loads, schema="pg_catalog")
    return connection


class _told:  # noqa: N801 - used as a function
    """Makes one kind of error, `OSError`, of all that a database and its library raise."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        import asyncpg

        match error:
            case TimeoutError():
                raise OSError("the database does not answer in time") from None
            case asyncpg.PostgresError() | asyncpg.InterfaceError() | ValueError():
                raise OSError(f"{type(error).__name__}: {error}") from None


def _first(start: int | str | None, kind: str) -> Any:
    """The first value of the cursor, as its type needs it; raises `ValueError` for what is none."""
    if start is None:
        if kind not in _LOWEST:
            raise ValueError(f'the lowest value of the type {kind} is not known: set "start"')
        return _LOWEST[kind]
    lowest = _LOWEST.get(kind)
    match lowest:
        case datetime():
            given = datetime.fromisoformat(str(start))
            if lowest.tzinfo is None:
                return given.astimezone(UTC).replace(tzinfo=None) if given.tzinfo else given
            return given if given.tzinfo else given.replace(tzinfo=UTC)
        case date():
            return date.fromisoformat(str(start))
        case None:
            return start
        case _:
            return type(lowest)(str(start))
