"""One batch in one transaction: its keys, its rows, and the proof that the tables are as they were looked at."""

from __future__ import annotations

from sluiceway.exporters.timescaledb.columns import Table
from sluiceway.exporters.timescaledb.failures import PostgresError, refuses_data
from sluiceway.exporters.timescaledb.part import Part, Rows
from sluiceway.exporters.timescaledb.pieces import Piece
from sluiceway.exporters.timescaledb.pool import Connection, copy
from sluiceway.exporters.timescaledb.settings import TimescaleSettings

__all__ = ["store"]


async def store(connection: Connection, part: Part, piece: Piece, made: Rows) -> dict[bytes, int]:
    """Commit the rows if none of the keys is there. Where some are, nothing is stored, and these are the answer.

    Each comes with its rows: none where a part of what it stands for is stored. Raises `SchemaError` where not the rows
    are wrong, but a table that takes none.
    """
    sheets = [(table, *sheet) for table, sheet in zip(part.tables, made.sheets, strict=True) if sheet[1]]
    if not sheets:
        return {}
    tables = [table for table, _, _ in sheets]
    while not await _begin(connection, part, piece, tables):
        if noted := await _noted(connection, part.settings, piece):
            return noted
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
    return {}


async def _begin(connection: Connection, part: Part, piece: Piece, tables: list[Table]) -> bool:
    """Begin a transaction that has noted the keys; False, and none is open, where one was noted or a table changed.

    Until the transaction ends no table can change any more: binary rows fit another type of the same width, as garbage.
    """
    settings, tests = part.settings, part.schema.tests(tables)
    locks = ", ".join(settings.table(table.name) for table in tables)
    lines = [f"BEGIN; LOCK TABLE ONLY {locks} IN ROW EXCLUSIVE MODE"]
    if settings.idempotency_window:
        for keys in filter(None, ([(key, 0) for key in piece.above], piece.keys)):
            values = ", ".join(f"('\\x{key.hex()}'::bytea, {items})" for key, items in keys)
            lines.append(
                f"INSERT INTO {settings.table('batches')} (key, rows)"  # noqa: S608 - a checked name, hexadecimal
                f" SELECT given.* FROM (VALUES {values}) AS given, {tests} ON CONFLICT DO NOTHING"
            )
        good = f"INSERT 0 {len(piece.keys)}"
    else:
        lines.append(f"SELECT FROM {tests}")
        good = "SELECT 1"
    if await connection.execute("; ".join(lines)) == good:
        return True
    await connection.execute("ROLLBACK")
    return False


async def _noted(connection: Connection, settings: TimescaleSettings, piece: Piece) -> dict[bytes, int]:
    """Those of the keys that are there, with their rows."""
    if not settings.idempotency_window:
        return {}
    values = ", ".join(f"'\\x{key.hex()}'" for key, _ in piece.keys)
    query = f"SELECT key, rows FROM {settings.table('batches')} WHERE key IN ({values})"  # noqa: S608 - hexadecimal
    return {bytes(key): rows for key, rows in await connection.fetch(query)}
