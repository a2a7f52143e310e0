"""Sees to it that the tables are there and as they must be, before the first row and after what looks like a change.

The columns are held against the catalogue, since a text column takes the bytes of a JSON document without a word.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from sluiceway.exporters.timescaledb.columns import Table
from sluiceway.exporters.timescaledb.creation import create
from sluiceway.exporters.timescaledb.failures import SchemaError
from sluiceway.exporters.timescaledb.pool import Connection
from sluiceway.exporters.timescaledb.settings import TimescaleSettings

__all__ = ["Schema"]

Logger: TypeAlias = logging.Logger | logging.LoggerAdapter[logging.Logger]

_COLUMNS: Final = """
SELECT c.relname::text AS "table", a.attname::text AS "column", format_type(a.atttypid, a.atttypmod) AS type,
       a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AND a.attgenerated = '' AS required
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname = ANY ($2::text[]) AND a.attnum > 0 AND NOT a.attisdropped
"""
_MARKS: Final = """
SELECT c.relname::text AS "table", m.oid::bigint AS relation, m.xmin::text AS version
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class m
  ON m.oid = coalesce((SELECT min(inhrelid) FROM pg_inherits WHERE inhparent = c.oid AND c.relkind = 'p'), c.oid)
WHERE n.nspname = $1 AND c.relname = ANY ($2::text[])
"""
"""Of each table a row of the catalogue that is written anew when a column is added or its values must be rewritten.

Of a partitioned table it is that of a partition, which changes with it; its own one may stay as it is.
"""
_TYPES: Final = {"timestamptz": "timestamp with time zone"}

Row: TypeAlias = tuple[str, str, str, bool]


class Schema:
    """The tables of one signal. `forget` has them looked at before the next batch."""

    def __init__(self, settings: TimescaleSettings, tables: Sequence[Table], logger: Logger) -> None:
        self._settings = settings
        self._tables = tables
        self._logger = logger
        self._lock = asyncio.Lock()
        self.is_known = False
        """Whether they were looked at, and nothing speaks for a change since."""
        self._marks: dict[str, tuple[int, str]] = {}
        self.hypertables = False
        """Whether they are TimescaleDB's; known once they were looked at."""

    def forget(self) -> None:
        """Something speaks for a change by hand."""
        self.is_known = False

    async def ready(self, connection: Connection, now: float) -> None:
        """Make or check the tables, unless that was done; raise `SchemaError` where they cannot be written to.

        `now` is seconds since the epoch: PostgreSQL's own partitions are made around it.
        """
        if self.is_known:
            return
        async with self._lock:
            if self.is_known:
                return
            if self._settings.create_schema:
                self.hypertables = await create(connection, self._settings, now, self._logger)
            await self.look(connection)

    async def look(self, connection: Connection) -> None:
        """Hold the columns against the catalogue; raise `SchemaError` where they are not as we write them."""
        self.is_known = False
        marks: dict[str, tuple[int, str]] = {}
        while len(marks) < len(self._tables):  # tables may come between the questions
            marks = await self._read_marks(connection)  # first, so that no change can come unseen
            await self._check(connection)
        self._marks, self.is_known = marks, True

    def tests(self, tables: Sequence[Table]) -> str:
        """What stands behind FROM: one row while the tables are as they were looked at, and none otherwise."""
        names = [f"t{place}" for place in range(len(tables))]
        marks = [self._marks[table.name] for table in tables]
        same = " AND ".join(
            f"{name}.oid = {relation} AND {name}.xmin = '{version}'"
            for name, (relation, version) in zip(names, marks, strict=True)
        )
        return ", ".join(f"pg_class {name}" for name in names) + f" WHERE {same}"

    async def _read_marks(self, connection: Connection) -> dict[str, tuple[int, str]]:
        prefix = self._settings.table_prefix
        names = [f"{prefix}{table.name}" for table in self._tables]
        found = await connection.fetch(_MARKS, self._settings.schema_name, names)
        return {name.removeprefix(prefix): (relation, version) for name, relation, version in found}

    async def _check(self, connection: Connection) -> None:
        prefix = self._settings.table_prefix
        names = [f"{prefix}{table.name}" for table in self._tables]
        rows = [tuple(row) for row in await connection.fetch(_COLUMNS, self._settings.schema_name, names)]
        problems = [text for table in self._tables for text in self._differences(table, rows)]
        if problems:
            raise SchemaError("; ".join(problems[:5]))

    def _differences(self, table: Table, rows: Iterable[Row]) -> list[str]:
        """In what a table is not as we write it."""
        plain, name = f"{self._settings.table_prefix}{table.name}", self._settings.table(table.name)
        found = {column: (kind, required) for relation, column, kind, required in rows if relation == plain}
        if not found:
            how = "have it made with the SQL that `python -m sluiceway.exporters.timescaledb` prints"
            return [f"the table {name} is missing: {how}"]
        problems = []
        for column in table.columns:
            wanted = column.sql.removesuffix(" NOT NULL")
            wanted = _TYPES.get(wanted, wanted)
            kind, _ = found.pop(column.name, ("", False))
            if not kind:
                problems.append(
                    f"{name} has no column {column.name}: ALTER TABLE {name} ADD COLUMN {column.name} {wanted}"
                )
            elif kind != wanted:
                problems.append(f"{name}.{column.name} is {kind} and must be {wanted}: change it back")
        problems += [
            f"{name}.{column} must not be NOT NULL without a default, as nothing is written to it"
            for column, (_, required) in found.items() if required
        ]  # fmt: skip
        return problems
