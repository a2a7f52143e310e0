"""Tells rows that are bad from a table that takes none, where PostgreSQL refuses rows for what they hold.

One bad value and a CHECK that nothing passes give the same error. The first costs its row; the second must not cost
all of them, one after the other. So the table is asked, in a transaction that is rolled back, whether it takes a row
that it took before, or any of some of those that it has just refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from sluiceway.exporters.timescaledb._rows import row
from sluiceway.exporters.timescaledb.columns import Table
from sluiceway.exporters.timescaledb.failures import PostgresError, SchemaError, is_data, refusal, refuses_data
from sluiceway.exporters.timescaledb.pool import Connection, copy
from sluiceway.exporters.timescaledb.schema import Schema
from sluiceway.exporters.timescaledb.settings import TimescaleSettings

__all__ = ["Witness"]

TRIED: Final = 16
"""Rows of a batch that are tried, evenly spread over it."""

Sheets: TypeAlias = Sequence[tuple[Table, bytes, int]]
"""Tables with the COPY data of their rows and how many there are."""


class Witness:
    """For each table one row that it took."""

    def __init__(self, settings: TimescaleSettings) -> None:
        self._settings = settings
        self._taken: dict[str, bytes] = {}

    def remember(self, sheets: Sheets) -> None:
        """These rows were taken."""
        for table, data, _ in sheets:
            if table.name not in self._taken:
                self._taken[table.name] = row(data, 0)

    async def check(self, connection: Connection, sheets: Sheets, error: PostgresError, schema: Schema) -> None:
        """Raise `SchemaError` where one of the tables takes no row; it names what `error` does.

        The batch then waits. Once the table has taken another row, it is the data after all.
        """
        for table, data, count in sheets:
            if await self._takes_one(connection, table, data, count):
                continue
            await schema.look(connection)  # which may know better
            name = self._settings.table(table.name)
            raise SchemaError(f"{name} refuses every row: {refusal(error)}: take back what was changed by hand")

    async def _takes_one(self, connection: Connection, table: Table, data: bytes, count: int) -> bool:
        for tried in self._candidates(table, data, count):
            if await self._takes(connection, table, tried):
                self._taken[table.name] = tried
                return True
            if self._taken.get(table.name) is tried:
                del self._taken[table.name]
        return False

    def _candidates(self, table: Table, data: bytes, count: int) -> Iterator[bytes]:
        """What was taken before, and rows of the batch; a row that stands alone has just been refused."""
        if before := self._taken.get(table.name):
            yield before
        tried = min(count, TRIED) if count > 1 else 0
        yield from (row(data, place * count // tried) for place in range(tried))

    async def _takes(self, connection: Connection, table: Table, tried: bytes) -> bool:
        await connection.execute("BEGIN; SET CONSTRAINTS ALL IMMEDIATE")
        taken = True
        try:
            await copy(connection, self._settings, table, tried)
        except PostgresError as error:
            if not is_data(error):
                raise
            taken = not refuses_data(error)  # it is there already: but for that it would be taken
        await connection.execute("ROLLBACK")
        return taken
