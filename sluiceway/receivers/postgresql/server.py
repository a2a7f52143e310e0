"""What a server is asked of itself as a whole: buffers and checkpoints, WAL, replication, locks, vacuums."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from sluiceway.receivers.postgresql import metrics as m
from sluiceway.receivers.postgresql.connection import Link, Row
from sluiceway.receivers.postgresql.parts import Facts, Part
from sluiceway.scraping import Recorder

__all__ = ["SERVER", "read_facts"]

MOST_ROWS: Final = 1000
"""Rows of any of these queries."""
_FACTS = """
SELECT current_setting('server_version_num')::int AS version, pg_is_in_recovery() AS standby,
       current_user::text AS user, pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS monitor,
       current_setting('max_connections')::int AS max_connections
"""


async def read_facts(link: Link) -> Facts:
    """Ask a server what it is."""
    (row,) = await link.ask(_FACTS)
    return Facts(**row)


def _always(query: str) -> Callable[[Facts], str]:
    return lambda _: query


def _since(major: int, query: str) -> Callable[[Facts], str]:
    return lambda facts: query if facts.major >= major else ""


_BGWRITER = """
SELECT buffers_alloc, buffers_clean, maxwritten_clean, buffers_backend, buffers_backend_fsync,
       checkpoints_req AS requested, checkpoints_timed AS scheduled, buffers_checkpoint,
       checkpoint_write_time AS write_time, checkpoint_sync_time AS sync_time,
       extract(epoch FROM stats_reset)::float8 AS since
FROM pg_stat_bgwriter
"""
_BGWRITER_17 = """
SELECT b.buffers_alloc, b.buffers_clean, b.maxwritten_clean, NULL::int8 AS buffers_backend,
       NULL::int8 AS buffers_backend_fsync, c.num_requested AS requested, c.num_timed AS scheduled,
       c.buffers_written AS buffers_checkpoint, c.write_time, c.sync_time,
       extract(epoch FROM greatest(b.stats_reset, c.stats_reset))::float8 AS since
FROM pg_stat_bgwriter b, pg_stat_checkpointer c
"""


def _record_bgwriter(to: Recorder, rows: Sequence[Row]) -> None:
    for row in rows:
        start = nanoseconds(row["since"])
        to.record(m.BUFFERS_ALLOCATED, row["buffers_alloc"], start=start)
        to.record(m.MAXWRITTEN, row["maxwritten_clean"], start=start)
        for source, column in (
            ("bgwriter", "buffers_clean"), ("checkpoints", "buffers_checkpoint"), ("backend", "buffers_backend"),
            ("backend_fsync", "buffers_backend_fsync"),
        ):  # fmt: skip
            if row[column] is not None:
                to.record(m.BUFFERS_WRITES, row[column], {"source": source}, start=start)
        for kind in ("requested", "scheduled"):
            to.record(m.CHECKPOINTS, row[kind], {"type": kind}, start=start)
        for kind in ("write", "sync"):
            to.record(m.CHECKPOINT_TIME, row[f"{kind}_time"], {"type": kind}, start=start)


_ARCHIVER = """
SELECT archived_count, failed_count, extract(epoch FROM stats_reset)::float8 AS since,
       extract(epoch FROM now() - last_archived_time)::float8 AS age
FROM pg_stat_archiver
"""


def _record_archiver(to: Recorder, rows: Sequence[Row]) -> None:
    for row in rows:
        start = nanoseconds(row["since"])
        to.record(m.ARCHIVED, row["archived_count"], start=start)
        to.record(m.ARCHIVE_FAILURES, row["failed_count"], start=start)
        if row["age"] is not None:
            to.record(m.WAL_AGE, max(row["age"], 0))


_WAL = """
SELECT wal_bytes::int8, wal_records, wal_fpi, wal_buffers_full, extract(epoch FROM stats_reset)::float8 AS since
FROM pg_stat_wal
"""


def _record_wal(to: Recorder, rows: Sequence[Row]) -> None:
    for row in rows:
        for metric, column in (
            (m.WAL_BYTES, "wal_bytes"), (m.WAL_RECORDS, "wal_records"), (m.WAL_FPI, "wal_fpi"),
            (m.WAL_BUFFERS_FULL, "wal_buffers_full"),
        ):  # fmt: skip
            to.record(metric, row[column], start=nanoseconds(row["since"]))


def _replication(facts: Facts) -> str:
    """A standby passes on what it has received, and writes no WAL of its own."""
    here = "pg_last_wal_receive_lsn()" if facts.standby else "pg_current_wal_lsn()"
    return f"""
SELECT coalesce(host(client_addr), 'unix') AS client, max(pg_wal_lsn_diff({here}, replay_lsn))::int8 AS pending,
       max(extract(epoch FROM write_lag))::float8 AS write, max(extract(epoch FROM flush_lag))::float8 AS flush,
       max(extract(epoch FROM replay_lag))::float8 AS replay
FROM pg_stat_replication WHERE state = 'streaming' GROUP BY 1 LIMIT {MOST_ROWS}
"""  # noqa: S608 - no value from outside


def _record_replication(to: Recorder, rows: Sequence[Row]) -> None:
    for row in rows:
        client = {"replication_client": row["client"]}
        if row["pending"] is not None:
            to.record(m.DATA_DELAY, max(row["pending"], 0), client)
        for operation in ("write", "flush", "replay"):
            if row[operation] is not None:
                attributes = {"operation": operation, **client}
                to.record(m.WAL_DELAY, row[operation], attributes)
                to.record(m.WAL_LAG, row[operation], attributes)


def _slots(facts: Facts) -> str:
    here = "pg_last_wal_replay_lsn()" if facts.standby else "pg_current_wal_lsn()"
    return f"""
SELECT slot_name::text AS slot, slot_type::text AS kind, active::int AS active,
       pg_wal_lsn_diff({here}, restart_lsn)::int8 AS retained
FROM pg_replication_slots LIMIT {MOST_ROWS}
"""  # noqa: S608 - no value from outside


def _record_slots(to: Recorder, rows: Sequence[Row]) -> None:
    for row in rows:
        attributes = {"slot": row["slot"], "slot_type": row["kind"]}
        to.record(m.SLOT_ACTIVE, row["active"], attributes)
        if row["retained"] is not None:
            to.record(m.SLOT_RETAINED, max(row["retained"], 0), attributes)


_STANDBY = """
SELECT pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())::int8 AS lag,
       CASE WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
            ELSE extract(epoch FROM now() - pg_last_xact_replay_timestamp())::float8 END AS delay,
       (SELECT count(*) FROM pg_stat_wal_receiver WHERE pid IS NOT NULL) AS connected
"""


def _record_standby(to: Recorder, rows: Sequence[Row]) -> None:
    for row in rows:
        to.record(m.STANDBY_CONNECTED, min(row["connected"], 1))
        for metric, column in ((m.STANDBY_LAG, "lag"), (m.STANDBY_DELAY, "delay")):
            if row[column] is not None:
                to.record(metric, max(row[column], 0))


LOCKS: Final = f"""
SELECT coalesce(c.relname::text, '') AS relation, l.mode, l.locktype AS kind, count(*) AS locks
FROM pg_locks l LEFT JOIN pg_class c ON c.oid = l.relation
WHERE l.pid <> pg_backend_pid() AND {{}}
GROUP BY 1, 2, 3 ORDER BY 4 DESC LIMIT {MOST_ROWS}
"""  # noqa: S608 - no value from outside
_SHARED_LOCKS = LOCKS.format("(l.database IS NULL OR (l.database = 0 AND (l.relation IS NULL OR c.relisshared)))")


def record_locks(to: Recorder, rows: Sequence[Row]) -> None:
    """Record locks by what is locked, and how."""
    for row in rows:
        attributes = {"relation": row["relation"], "mode": row["mode"], "lock_type": row["kind"]}
        to.record(m.LOCKS, row["locks"], attributes)


_SESSIONS = """
SELECT coalesce(state, 'unknown') AS state, backend_type = 'autovacuum worker' AS autovacuum, count(*) AS sessions,
       count(*) FILTER (WHERE wait_event_type = 'Lock') AS waiting
FROM pg_stat_activity WHERE backend_type IN ('client backend', 'autovacuum worker') OR backend_type IS NULL
GROUP BY 1, 2
"""


def _record_sessions(to: Recorder, rows: Sequence[Row]) -> None:
    for row in rows:
        if not row["autovacuum"]:
            to.record(m.CONNECTIONS, row["sessions"], {"state": row["state"]})
    to.record(m.LOCK_WAITERS, sum(row["waiting"] for row in rows))
    to.record(m.AUTOVACUUM_WORKERS, sum(row["sessions"] for row in rows if row["autovacuum"]))


def _record_vacuums(to: Recorder, rows: Sequence[Row]) -> None:
    for row in rows:
        to.record(m.VACUUM_RUNNING, row["running"], {"phase": row["phase"] or "unknown"})


_IO = f"""
SELECT backend_type, object, context, reads, writes, writebacks, extends, hits, evictions, reuses, fsyncs,
       read_time, write_time, writeback_time, extend_time, fsync_time, extract(epoch FROM stats_reset)::float8 AS since
FROM pg_stat_io LIMIT {MOST_ROWS}
"""  # noqa: S608 - no value from outside
_OPERATIONS: Final = {
    "read": "reads", "write": "writes", "writeback": "writebacks", "extend": "extends", "hit": "hits",
    "eviction": "evictions", "reuse": "reuses", "fsync": "fsyncs",
}  # fmt: skip


def _record_io(to: Recorder, rows: Sequence[Row]) -> None:
    for row in rows:
        start = nanoseconds(row["since"])
        around = {name: row[name] for name in ("backend_type", "object", "context")}
        for operation, column in _OPERATIONS.items():
            if row[column] is not None:
                to.record(m.IO_OPERATIONS, row[column], {**around, "operation": operation}, start=start)
            if (took := row.get(f"{operation}_time")) is not None:
                to.record(m.IO_TIME, took / 1000, {**around, "operation": operation}, start=start)


def nanoseconds(seconds: float | None) -> int:
    """A time of the server's as `Recorder.record` takes it: 0 when there is none."""
    return int(seconds * 1e9) if seconds and 0 < seconds < 2**33 else 0


SERVER: Final = (
    Part(
        (m.BUFFERS_ALLOCATED, m.BUFFERS_WRITES, m.CHECKPOINTS, m.CHECKPOINT_TIME, m.MAXWRITTEN),
        lambda facts: _BGWRITER_17 if facts.major >= 17 else _BGWRITER,
        _record_bgwriter,
    ),
    Part((m.WAL_AGE, m.ARCHIVED, m.ARCHIVE_FAILURES), _always(_ARCHIVER), _record_archiver),
    Part((m.WAL_BYTES, m.WAL_RECORDS, m.WAL_FPI, m.WAL_BUFFERS_FULL), _since(14, _WAL), _record_wal),
    Part((m.DATA_DELAY, m.WAL_DELAY, m.WAL_LAG), _replication, _record_replication),
    Part((m.SLOT_RETAINED, m.SLOT_ACTIVE), _slots, _record_slots),
    Part(
        (m.STANDBY_CONNECTED, m.STANDBY_DELAY, m.STANDBY_LAG),
        lambda facts: _STANDBY if facts.standby else "",
        _record_standby,
    ),
    Part((m.LOCKS,), _always(_SHARED_LOCKS), record_locks),
    Part((m.CONNECTIONS, m.LOCK_WAITERS, m.AUTOVACUUM_WORKERS), _always(_SESSIONS), _record_sessions),
    Part(
        (m.VACUUM_RUNNING,),
        _always("SELECT phase, count(*) AS running FROM pg_stat_progress_vacuum GROUP BY 1"),
        _record_vacuums,
    ),
    Part((m.IO_OPERATIONS, m.IO_TIME), _since(16, _IO), _record_io),
)
"""The parts that are asked on any one connection."""
