"""PostgreSQL's own partitions, a day each: made ahead, dropped when they are too old.

What fits no day goes to the default partition, so that nothing is ever refused: late data, whose day was dropped, and
what came before its day was made. Its rows are deleted when they are too old.

Nobody who writes is held up: a partition is attached, which readers and writers of the others do not notice, and where
a query that runs for long holds a lock, the change is left to the next time.
"""

from __future__ import annotations

import logging
import re
from datetime import UTC, date, datetime, timedelta
from typing import Final, TypeAlias

import asyncpg

from sluiceway.exporters.timescaledb.pool import Connection, transaction
from sluiceway.exporters.timescaledb.settings import TimescaleSettings

__all__ = ["keep_partitions"]

Logger: TypeAlias = logging.Logger | logging.LoggerAdapter[logging.Logger]

AHEAD: Final = 2
"""Days beyond the window for which there are partitions."""
MOST_DAYS: Final = 31
"""Days back for which partitions are made, however long the window is."""
PATIENCE: Final = "500ms"
"""How long a change waits for a lock, as whoever comes after it waits as well."""
_DAY: Final = re.compile(r"\d{8}", re.ASCII)
_PARTITIONS: Final = """
SELECT child.relname::text FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid
WHERE inhparent = to_regclass($1)
"""


async def keep_partitions(
    connection: Connection, settings: TimescaleSettings, table: str, now: float, logger: Logger
) -> None:
    """Make a table's days of the window and those to come, and drop what `retention` lets go; inside a transaction.

    A table that is not there is passed over: whoever writes to it says so.
    """
    if await connection.fetchval("SELECT to_regclass($1)", settings.table(table)) is None:
        return
    await connection.execute(f"SET LOCAL lock_timeout = '{PATIENCE}'")
    today = datetime.fromtimestamp(now, UTC).date()
    window = settings.time_window
    back = min(int(window.before // 86_400) + 1, MOST_DAYS)
    ahead = int(window.after // 86_400) + AHEAD
    days = [today + timedelta(days=number) for number in range(-back, ahead + 1)]
    oldest = datetime.fromtimestamp(now - settings.retention, UTC) if settings.retention else None
    there = {name for (name,) in await connection.fetch(_PARTITIONS, settings.table(table))}
    for day in days:
        name = f"{table}_p{day:%Y%m%d}"
        wanted = oldest is None or day >= oldest.date()
        if wanted and settings.table_prefix + name not in there and not await _make(connection, settings, table, day):
            logger.info("no partition %s yet: rows of its day are in the default one, or a query holds a lock", name)
    if oldest is not None:
        await _drop(connection, settings, table, there, oldest)


async def _make(connection: Connection, settings: TimescaleSettings, table: str, day: date) -> bool:
    parent, name = settings.table(table), settings.table(f"{table}_p{day:%Y%m%d}")
    bounds = f"FROM ('{day} 00:00:00+00') TO ('{day + timedelta(days=1)} 00:00:00+00')"
    return await _try(
        connection,
        f"CREATE TABLE IF NOT EXISTS {name} (LIKE {parent} INCLUDING ALL)",
        f"ALTER TABLE {parent} ATTACH PARTITION {name} FOR VALUES {bounds}",
    )


async def _drop(
    connection: Connection, settings: TimescaleSettings, table: str, there: set[str], oldest: datetime
) -> None:
    days = f"{settings.table_prefix}{table}_p"
    for name in sorted(there):
        if (day := _day(name.removeprefix(days))) and day < oldest.date():
            await _try(connection, f'DROP TABLE IF EXISTS "{settings.schema_name}"."{name}"')
    rest = settings.table(f"{table}_default")
    await connection.execute(f"DELETE FROM {rest} WHERE time < $1", oldest)  # noqa: S608 - a checked name


def _day(text: str) -> date | None:
    """The day that ends the name of a partition of ours, None of one that a user has attached by another name."""
    try:
        return date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        return None


async def _try(connection: Connection, *statements: str) -> bool:
    """Carry out all statements or none; whether that was possible."""
    try:
        async with transaction(connection):
            for statement in statements:
                await connection.execute(statement)
    except (asyncpg.CheckViolationError, asyncpg.LockNotAvailableError):
        return False
    return True
