"""What only a connection to a database tells: its tables, indexes, functions and locks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from sluiceway.receivers.postgresql import metrics as m
from sluiceway.receivers.postgresql.connection import Link, Row
from sluiceway.receivers.postgresql.server import LOCKS, record_locks
from sluiceway.scraping import Metric, Recorder

if TYPE_CHECKING:
    from sluiceway.receivers.postgresql.place import Place

__all__ = ["read_functions", "read_indexes", "read_locks", "read_tables"]

PAUSE: Final = 50
"""Rows after which others get their turn: recording thousands takes a while."""
_LOCKED = """
WITH locked AS MATERIALIZED (
    SELECT relation FROM pg_locks
    WHERE locktype = 'relation' AND mode = 'AccessExclusiveLock' AND granted AND relation IS NOT NULL
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
)
"""
"""To ask for the size of what is locked would wait for the lock."""
_TABLES = f"""{_LOCKED}
SELECT s.schemaname::text AS schema, s.relname::text AS name, s.total, s.n_live_tup AS live, s.n_dead_tup AS dead,
       s.n_tup_ins AS ins, s.n_tup_upd AS upd, s.n_tup_del AS del, s.n_tup_hot_upd AS hot_upd, s.seq_scan,
       s.vacuum_count, s.autovacuum_count, s.analyze_count + s.autoanalyze_count AS analyzes,
       extract(epoch FROM now() - greatest(s.last_vacuum, s.last_autovacuum))::float8 AS vacuum_age,
       CASE WHEN s.relid NOT IN (SELECT relation FROM locked) THEN pg_relation_size(s.relid) END AS size,
       io.heap_blks_read AS heap_read, io.heap_blks_hit AS heap_hit, io.idx_blks_read AS idx_read,
       io.idx_blks_hit AS idx_hit, io.toast_blks_read AS toast_read, io.toast_blks_hit AS toast_hit,
       io.tidx_blks_read AS tidx_read, io.tidx_blks_hit AS tidx_hit
FROM (
    SELECT s.*, count(*) OVER () AS total FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid
    ORDER BY c.relpages DESC, c.oid LIMIT $1
) s LEFT JOIN pg_statio_user_tables io ON io.relid = s.relid
"""  # noqa: S608 - no value from outside
_INDEXES = f"""{_LOCKED}
SELECT s.schemaname::text AS schema, s.relname::text AS name, s.indexrelname::text AS index, s.total, s.idx_scan,
       CASE WHEN s.indexrelid NOT IN (SELECT relation FROM locked) THEN pg_relation_size(s.indexrelid) END AS size
FROM (
    SELECT s.*, count(*) OVER () AS total FROM pg_stat_user_indexes s JOIN pg_class c ON c.oid = s.indexrelid
    ORDER BY c.relpages DESC, c.oid LIMIT $1
) s
"""  # noqa: S608 - no value from outside
_FUNCTIONS = """
SELECT s.schemaname::text AS schema, s.calls, s.total,
       CASE WHEN s.alike > 1 AND p.proargnames IS NOT NULL
            THEN p.proname || '_' || array_to_string(p.proargnames, '_') ELSE p.proname::text END AS name
FROM (
    SELECT *, count(*) OVER (PARTITION BY schemaname, funcname) AS alike, count(*) OVER () AS total
    FROM pg_stat_user_functions ORDER BY calls DESC LIMIT $1
) s JOIN pg_proc p ON p.oid = s.funcid
"""
_OWN_LOCKS = LOCKS.format("l.database = (SELECT oid FROM pg_database WHERE datname = current_database())")
_SOURCES: Final = (
    "heap_read", "heap_hit", "idx_read", "idx_hit", "toast_read", "toast_hit", "tidx_read", "tidx_hit",
)  # fmt: skip
_TABLE_VALUES: Final[tuple[tuple[Metric, str], ...]] = (
    (m.TABLE_SIZE, "size"), (m.VACUUMS, "vacuum_count"), (m.AUTOVACUUMS, "autovacuum_count"),
    (m.ANALYZES, "analyzes"), (m.VACUUM_AGE, "vacuum_age"), (m.SEQUENTIAL_SCANS, "seq_scan"),
)  # fmt: skip
TABLE_METRICS: Final = (
    m.TABLE_COUNT, m.ROWS, m.OPERATIONS, m.BLOCKS_READ, *(metric for metric, _ in _TABLE_VALUES),
)  # fmt: skip


async def read_tables(link: Link, place: Place, most: int) -> None:
    """Measure up to `most` tables of a database, the largest."""
    rows = await link.ask(_TABLES, most)
    place.recorder().record(m.TABLE_COUNT, _total(rows))
    for number, row in enumerate(rows):
        if number % PAUSE == 0:
            await asyncio.sleep(0)
        _record_table(place.recorder(schema=row["schema"], table=row["name"]), row)
    place.tell_missing(len(rows), _total(rows), "tables", "max_tables")


async def read_indexes(link: Link, place: Place, most: int) -> None:
    """Measure up to `most` indexes of a database, the largest."""
    rows = await link.ask(_INDEXES, most)
    for number, row in enumerate(rows):
        if number % PAUSE == 0:
            await asyncio.sleep(0)
        to = place.recorder(schema=row["schema"], table=row["name"], index=row["index"])
        to.record(m.INDEX_SCANS, row["idx_scan"] or 0)
        if row["size"] is not None:
            to.record(m.INDEX_SIZE, row["size"])
    place.tell_missing(len(rows), _total(rows), "indexes", "max_indexes")


async def read_functions(link: Link, place: Place, most: int) -> None:
    """Measure up to `most` functions of a database, those that are called most."""
    rows = await link.ask(_FUNCTIONS, most)
    schemas: dict[str, Recorder] = {}
    for row in rows:
        schema = row["schema"]
        if schema not in schemas:
            schemas[schema] = place.recorder(schema=schema)
        schemas[schema].record(m.FUNCTION_CALLS, row["calls"], {"function": row["name"]})
    place.tell_missing(len(rows), _total(rows), "functions", "max_tables")


async def read_locks(link: Link, place: Place) -> None:
    """Measure the locks on what is in a database."""
    record_locks(place.recorder(), await link.ask(_OWN_LOCKS))


def _record_table(to: Recorder, row: Row) -> None:
    for state in ("live", "dead"):
        to.record(m.ROWS, row[state] or 0, {"state": state})
    for operation in ("ins", "upd", "del", "hot_upd"):
        to.record(m.OPERATIONS, row[operation] or 0, {"operation": operation})
    for source in _SOURCES:
        to.record(m.BLOCKS_READ, row[source] or 0, {"source": source})
    for metric, column in _TABLE_VALUES:
        if row[column] is not None:
            to.record(metric, row[column])


def _total(rows: Sequence[Row]) -> int:
    return rows[0]["total"] if rows else 0
