"""What the tables need from time to time, done by one collector at a time."""

from __future__ import annotations

import logging
from typing import TypeAlias

from sluiceway.exporters.timescaledb.columns import TABLES
from sluiceway.exporters.timescaledb.migrations import interval, lock_number
from sluiceway.exporters.timescaledb.partitions import keep_partitions
from sluiceway.exporters.timescaledb.pool import Connection, transaction
from sluiceway.exporters.timescaledb.schema import Schema
from sluiceway.exporters.timescaledb.settings import TimescaleSettings

__all__ = ["keep_up"]

Logger: TypeAlias = logging.Logger | logging.LoggerAdapter[logging.Logger]


async def keep_up(
    connection: Connection, settings: TimescaleSettings, schema: Schema, now: float, logger: Logger
) -> None:
    """Make the partitions of the days to come, drop old ones, and forget the keys of old batches.

    It does nothing before the first batch, or while another collector is at it. TimescaleDB makes its chunks
    itself. The columns are looked at again before the next batch.
    """
    if not schema.is_known:
        return
    if settings.idempotency_window:
        old = f"at < now() - {interval(settings.idempotency_window)}"
        await connection.execute(f"DELETE FROM {settings.table('batches')} WHERE {old}")  # noqa: S608 - a checked name
    if settings.create_schema and schema.hypertables and settings.retention:
        for table in TABLES:
            span = interval(now - settings.retention)
            await connection.execute(f"SELECT drop_chunks('{settings.table(table.name)}', to_timestamp(0) + {span})")
    if settings.create_schema and not schema.hypertables:
        for table in TABLES:
            async with transaction(connection):  # one for each, as every partition takes locks
                if not await connection.fetchval(f"SELECT pg_try_advisory_xact_lock({lock_number(settings)})"):
                    return
                await keep_partitions(connection, settings, table.name, now, logger)
    schema.forget()
