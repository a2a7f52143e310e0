"""The databases of a server, and what the server says of each without a connection to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sluiceway.receivers.postgresql import metrics as m
from sluiceway.receivers.postgresql.connection import Link, Row
from sluiceway.receivers.postgresql.parts import Facts
from sluiceway.receivers.postgresql.server import nanoseconds
from sluiceway.scraping import Metric, Recorder

__all__ = ["MOST_DATABASES", "read_databases", "record_database"]

MOST_DATABASES: Final = 1000
"""Databases that are looked at, the first by name."""
_DATABASES = f"""
SELECT d.datname::text AS name, d.datallowconn AS open, has_database_privilege(d.oid, 'CONNECT') AS allowed,
       age(d.datfrozenxid) AS xid_age, mxid_age(d.datminmxid) AS mxid_age,
       CASE WHEN $2 AND (has_database_privilege(d.oid, 'CONNECT')
                         OR pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'))
            THEN pg_database_size(d.oid) END AS size,
       s.xact_commit, s.xact_rollback, s.blks_read, s.blks_hit, s.tup_returned, s.tup_fetched, s.tup_inserted,
       s.tup_updated, s.tup_deleted, s.temp_files, s.temp_bytes, s.deadlocks,
       extract(epoch FROM s.stats_reset)::float8 AS since,
       c.confl_tablespace, c.confl_lock, c.confl_snapshot, c.confl_bufferpin, c.confl_deadlock,
       coalesce(a.backends, 0) AS backends, a.longest
FROM pg_database d
LEFT JOIN pg_stat_database s ON s.datid = d.oid
LEFT JOIN pg_stat_database_conflicts c ON c.datid = d.oid
LEFT JOIN (
    SELECT datid, count(*) AS backends,
           (max(extract(epoch FROM clock_timestamp() - xact_start))
               FILTER (WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()))::float8 AS longest
    FROM pg_stat_activity GROUP BY 1
) a ON a.datid = d.oid
WHERE NOT d.datistemplate AND (cardinality($1::text[]) = 0 OR d.datname = ANY($1))
ORDER BY d.datname LIMIT {MOST_DATABASES}
"""  # noqa: S608 - no value from outside
_COUNTERS: Final[tuple[tuple[Metric, str], ...]] = (
    (m.COMMITS, "xact_commit"), (m.ROLLBACKS, "xact_rollback"), (m.BLKS_READ, "blks_read"), (m.BLKS_HIT, "blks_hit"),
    (m.TEMP_FILES, "temp_files"), (m.TEMP_IO, "temp_bytes"), (m.DEADLOCKS, "deadlocks"),
    *((metric, f"tup_{word}") for word, metric in m.TUPLES.items()),
)  # fmt: skip
_STATES: Final = ((m.BACKENDS, "backends"), (m.DB_SIZE, "size"), (m.XID_AGE, "xid_age"), (m.MXID_AGE, "mxid_age"))


async def read_databases(link: Link, names: Sequence[str], *, sizes: bool) -> Sequence[Row]:
    """Read all databases but templates, or those of these names; `sizes` costs a look at every file."""
    return await link.ask(_DATABASES, list(names), sizes)


def record_database(to: Recorder, row: Row, facts: Facts) -> None:
    """Record a database."""
    start = nanoseconds(row["since"])
    for metric, column in _COUNTERS:
        if row[column] is not None:
            to.record(metric, row[column], start=start)
    for metric, column in _STATES:
        if row[column] is not None:
            to.record(metric, row[column])
    if facts.monitor or row["longest"] is not None:
        to.record(m.LONGEST, row["longest"] or 0)
    for kind in ("tablespace", "lock", "snapshot", "bufferpin", "deadlock"):
        if row[f"confl_{kind}"] is not None:
            to.record(m.CONFLICTS, row[f"confl_{kind}"], {"postgresql.conflict.type": kind}, start=start)
