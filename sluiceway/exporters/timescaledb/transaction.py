"""One batch in one transaction: its keys, its rows, and the proof that the tables are as they were looked at."""

from __future__ import annotations

from typing import TypeAlias

from sluiceway.exporters.timescaledb.columns import Table
from sluiceway.exporters.timescaledb.failures import PostgresError, refuses_data
from sluiceway.exporters.timescaledb.part import Part, Rows
from sluiceway.exporters.timescaledb.pool import Connection, copy
from sluiceway.exporters.timescaledb.settings import TimescaleSettings

__all__ = ["Named", "store"]


Named: TypeAlias = list[tuple[bytes, int]]
"""The keys of what a batch is made of, and the items of each, in their order."""


async def store(connection: Connection, part: Part, keys: Named, made: Rows) -> set[bytes]:
    """Commit the rows if none of the keys is there; those that are not. Where some are, nothing is stored.

    Raises `SchemaError` where not the rows are wrong, but a table that takes none.
    """
    wanted = {key for key, _ in keys}
    sheets = [(table, *sheet) for table, sheet in zip(part.tables, made.sheets, strict=True) if sheet[1]]
    if not sheets:
        return wanted
    tables = [table for table, _, _ in sheets]
    while not await _begin(connection, part, keys, tables):
        if await part.schema.is_as_known(connection, tables):
            return wanted - await _known(connection, part.settings, wanted)
        await part.schema.look(connection)
    try:
        for table, data, _ in sheets:
            await copy(connection, part.settings, table, data)
        await connection.execute("COMMIT")
    except PostgresError as error:
        if refuses_data(error):
            await connection.execute("ROLLBACK")
            await part.witness.check(connection, sheets, error, part.schema)
        raise
    part.witness.remember(sheets)
    return wanted


async def _begin(connection: Connection, part: Part, keys: Named, tables: list[Table]) -> bool:
    """Begin a transaction that has noted the keys; False, and none is open, where one was noted or a table changed.

    Until the transaction ends no table can change any more: binary rows fit another type of the same width, as garbage.
    """
    settings, tests = part.settings, part.schema.tests(tables)
    locks = ", ".join(settings.table(table.name) for table in tables)
    lines = [f"BEGIN; LOCK TABLE ONLY {locks} IN ROW EXCLUSIVE MODE"]
    if settings.idempotency_window:
        values = ", ".join(f"('\\x{key.hex()}'::bytea, {items})" for key, items in keys)
        lines.append(
            f"INSERT INTO {settings.table('batches')} (key, rows)"  # noqa: S608 - a checked name, hexadecimal
            f" SELECT given.* FROM (VALUES {values}) AS given, {tests} ON CONFLICT DO NOTHING"
        )
        good = f"INSERT 0 {len(keys)}"
    else:
        lines.append(f"SELECT FROM {tests}")
        good = "SELECT 1"
    if await connection.execute("; ".join(lines)) == good:
        return True
    await connection.execute("ROLLBACK")
    return False


async def _known(connection: Connection, settings: TimescaleSettings, keys: set[bytes]) -> set[bytes]:
    """Those of the keys that are there; one alone is, or nobody would ask."""
    if len(keys) == 1:
        return keys
    values = ", ".join(f"'\\x{key.hex()}'" for key in keys)
    query = f"SELECT key FROM {settings.table('batches')} WHERE key IN ({values})"  # noqa: S608 - hexadecimal
    return {bytes(row[0]) for row in await connection.fetch(query)}
