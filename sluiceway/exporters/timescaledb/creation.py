"""Makes the tables where they are missing, by one collector at a time, under an advisory lock."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

import asyncpg

from sluiceway.exporters.timescaledb.columns import TABLES, Table
from sluiceway.exporters.timescaledb.failures import SchemaError
from sluiceway.exporters.timescaledb.migrations import (
    VERSION,
    features,
    lock_number,
    migration,
    preparations,
    row_security,
)
from sluiceway.exporters.timescaledb.partitions import keep_partitions
from sluiceway.exporters.timescaledb.pool import Connection, transaction
from sluiceway.exporters.timescaledb.settings import TimescaleSettings

__all__ = ["create"]

Logger: TypeAlias = logging.Logger | logging.LoggerAdapter[logging.Logger]

_MISSING: Final = """
SELECT name, (SELECT indrelid::regclass::text FROM pg_index WHERE indexrelid = to_regclass(index)) AS elsewhere
FROM unnest($1::text[], $2::text[]) AS ours (name, index) WHERE to_regclass(name) IS NULL
"""
_KINDS: Final = """
SELECT name, relkind::text FROM unnest($1::text[]) name JOIN pg_class c ON c.oid = to_regclass(name)
"""
_STRANGE_NOTES: Final = """
SELECT name FROM unnest($1::text[], $2::text[]) AS ours (name, columns) JOIN pg_class c ON c.oid = to_regclass(name)
WHERE relkind <> 'r' OR EXISTS (
  SELECT FROM unnest(string_to_array(columns, ' ')) wanted WHERE wanted NOT IN (
    SELECT attname FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped
  )
)
"""
_NOTES: Final = {"schema_version": "version at", "batches": "key at rows"}
"""The tables where versions and batches are noted, and their columns."""
_HAS_EXTENSION: Final = "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb')"
_SECURED: Final = """
SELECT bool_and(relrowsecurity AND EXISTS (
  SELECT FROM pg_policy JOIN pg_roles role ON polroles = ARRAY[role.oid]
  WHERE polrelid = c.oid AND polname = 'sluiceway_tenant' AND rolname = $2
)) FROM pg_class c WHERE oid = ANY (SELECT to_regclass(name) FROM unnest($1::text[]) name)
"""
_FORMER_READERS: Final = """
SELECT DISTINCT quote_ident(rolname) FROM pg_policy JOIN pg_roles role ON role.oid = ANY (polroles)
WHERE polname = 'sluiceway_tenant' AND rolname <> $2
AND polrelid = ANY (SELECT to_regclass(name) FROM unnest($1::text[]) name)
"""


async def create(connection: Connection, settings: TimescaleSettings, now: float, logger: Logger) -> bool:
    """Make what is not there: tables, partitions around `now` (seconds since the epoch), row-level security.

    Answers whether the tables are TimescaleDB's. A table that was dropped is made anew.
    """
    names = [settings.table(table.name) for table in TABLES]
    async with transaction(connection):
        await connection.execute(f"SELECT pg_advisory_xact_lock({lock_number(settings)})")
        await _check_notes(connection, settings)
        version = await _version(connection, settings)
        kinds = await _kinds(connection, names)
        hypertables = "r" in kinds if kinds else await _has_extension(connection, settings)
        missing = await _missing(connection, settings, hypertables=hypertables)
        if version < VERSION or missing:
            await _run(connection, preparations(settings))
            for number in range(1, VERSION + 1):
                await _run(connection, migration(number, settings, hypertables=hypertables))
        if version and missing:
            logger.warning("made anew, as they were missing: %s", ", ".join(missing))
        if settings.row_level_security:
            await _secure(connection, settings, names)
        if hypertables:
            await _add_features(connection, settings, [t for t in TABLES if settings.table(t.name) in missing], logger)
        else:
            for table in TABLES:
                await keep_partitions(connection, settings, table.name, now, logger)
    return hypertables


async def _check_notes(connection: Connection, settings: TimescaleSettings) -> None:
    """Raise `SchemaError` where somebody else's stands by the name of a table for versions or batches."""
    names = [settings.table(name) for name in _NOTES]
    if strangers := await connection.fetch(_STRANGE_NOTES, names, list(_NOTES.values())):
        raise _strange(strangers[0][0])


async def _version(connection: Connection, settings: TimescaleSettings) -> int:
    name = settings.table("schema_version")
    if await connection.fetchval("SELECT to_regclass($1)", name) is None:
        return 0
    return int(await connection.fetchval(f"SELECT coalesce(max(version), 0) FROM {name}"))  # noqa: S608 - a checked name


async def _kinds(connection: Connection, names: list[str]) -> set[str]:
    """What our tables that are there are: `p` with partitions, `r` as hypertables; an error for what we never made."""
    found = [tuple(row) for row in await connection.fetch(_KINDS, names)]
    possible = "pr" if await connection.fetchval(_HAS_EXTENSION) else "p"
    strangers = [name for name, kind in found if kind not in possible]
    if strangers:
        raise _strange(strangers[0])
    return {kind for _, kind in found}


def _strange(name: str) -> SchemaError:
    what = "is there and is not the table that this exporter makes"
    return SchemaError(f"{name} {what}: rename it, or set another 'schema_name' or 'table_prefix'")


async def _missing(connection: Connection, settings: TimescaleSettings, *, hypertables: bool) -> list[str]:
    """Our tables that are not there; an error where one is there under another name, with its indexes and partitions.

    A new one would find these names taken, and go without.
    """
    ours = [(settings.table(table.name), settings.table(f"{table.name}_time")) for table in TABLES]
    ours.append((settings.table("batches"), settings.table("batches_at")))
    if not hypertables:
        ours += [(settings.table(f"{table.name}_default"),) * 2 for table in TABLES]
    rows = [tuple(row) for row in await connection.fetch(_MISSING, *map(list, zip(*ours, strict=True)))]
    for name, elsewhere in rows:
        if elsewhere is not None:
            text = f"the table {name} is missing, but {elsewhere} has its indexes: rename that back, or drop it"
            raise SchemaError(text)
    return [name for name, _ in rows]


async def _has_extension(connection: Connection, settings: TimescaleSettings) -> bool:
    """Whether new tables are to be hypertables."""
    wanted = settings.timescaledb.enabled
    if wanted is True:
        await connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    return bool(wanted and await connection.fetchval(_HAS_EXTENSION))


async def _secure(connection: Connection, settings: TimescaleSettings, names: list[str]) -> None:
    """Let the readers' role see its tenant's rows, and who was it before none any more."""
    role = settings.reader_role
    if await connection.fetchval(_SECURED, names, role):
        return
    if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
        try:
            async with transaction(connection):
                await connection.execute(f'CREATE ROLE "{role}" NOLOGIN')
        except asyncpg.InsufficientPrivilegeError:
            text = f"'reader_role' is missing: CREATE ROLE {role} NOLOGIN"
            raise SchemaError(text) from None
    for (former,) in await connection.fetch(_FORMER_READERS, names, role):
        await connection.execute(f"REVOKE SELECT ON {', '.join(names)} FROM {former}")  # noqa: S608 - checked names
    await _run(connection, row_security(settings))


async def _add_features(
    connection: Connection, settings: TimescaleSettings, tables: Sequence[Table], logger: Logger
) -> None:
    """Compression and aggregates, each where this edition of TimescaleDB has it."""
    for step in features(settings, tables):
        try:
            async with transaction(connection):
                await connection.execute(step.sql)
        except asyncpg.PostgresError as error:
            logger.warning("TimescaleDB goes without %s: %s", step.what, getattr(error, "message", "") or error)


async def _run(connection: Connection, statements: Iterable[str]) -> None:
    for statement in statements:
        await connection.execute(statement)
