"""What sessions are doing, and who keeps whom waiting, as log records `db.server.query_sample`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sluiceway.escape import escape
from sluiceway.receivers.postgresql.connection import Link, Row
from sluiceway.receivers.postgresql.parts import Facts
from sluiceway.scraping import Recorder
from sluiceway.sql import sanitize_sql

__all__ = ["HIDDEN", "LONGEST_QUERY", "Samples", "shown"]

EVENT: Final = "db.server.query_sample"
"""The name of the log records."""
LONGEST_QUERY: Final = 4096
"""Characters of a query that are read."""
HIDDEN: Final = "<insufficient privilege>"
"""What the server says in place of queries that the role may not see."""
_TIME: Final = 'YYYY-MM-DD"T"HH24:MI:SS"Z"'
_TEXTS: Final = {
    "user.name": "usename", "postgresql.state": "state", "postgresql.application_name": "application",
    "network.peer.address": "address", "postgresql.client_hostname": "hostname",
    "postgresql.query_start": "query_start", "postgresql.wait_event": "wait_event",
    "postgresql.wait_event_type": "wait_event_type", "postgresql.query_id": "query_id",
    "postgresql.blocking.pids": "blocking_pids", "postgresql.blocking.start_time": "blocking_start",
    "postgresql.blocking.lock.mode": "lock_mode", "postgresql.blocking.lock.type": "lock_type",
    "postgresql.blocking.lock.relation": "lock_relation", "postgresql.blocking.transaction.start_time": "xact_start",
}  # fmt: skip


def _query(facts: Facts) -> str:
    """Who waits for a lock comes first, then who has been at it for the longest.

    Who is blocked by whom is asked only of those that wait, as the answer holds up the server's lock tables.
    """
    query_id = "sa.query_id::text" if facts.major >= 14 else "''"
    wait_start = "bl.waitstart" if facts.major >= 14 else "sa.state_change"
    wait_column = "waitstart" if facts.major >= 14 else "NULL::timestamptz AS waitstart"
    return f"""
WITH sa AS MATERIALIZED (
    SELECT *, CASE WHEN wait_event_type = 'Lock' THEN pg_blocking_pids(pid) ELSE '{{}}'::int[] END AS blockers
    FROM pg_stat_activity
)
SELECT coalesce(sa.datname::text, '') AS database, coalesce(sa.usename::text, '') AS usename,
       coalesce(host(sa.client_addr), '') AS address, coalesce(sa.client_hostname, '') AS hostname,
       coalesce(sa.client_port, -1) AS port, coalesce(sa.state, '') AS state, sa.pid,
       left(sa.application_name, 128) AS application, left(sa.query, {LONGEST_QUERY}) AS query,
       to_char(sa.query_start AT TIME ZONE 'UTC', '{_TIME}') AS query_start,
       extract(epoch FROM sa.query_start)::float8 AS started,
       coalesce(sa.wait_event, '') AS wait_event, coalesce(sa.wait_event_type, '') AS wait_event_type,
       coalesce({query_id}, '') AS query_id,
       greatest(1000 * extract(epoch FROM CASE WHEN sa.state = 'active' THEN clock_timestamp()
                                               ELSE sa.state_change END - sa.query_start), 0)::float8 AS duration,
       sa.blockers::text AS blocking_pids,
       coalesce(to_char({wait_start} AT TIME ZONE 'UTC', '{_TIME}'), '') AS blocking_start,
       CASE WHEN bl.mode IS NULL THEN 0
            ELSE coalesce(extract(epoch FROM clock_timestamp() - {wait_start}), 0)::int8 END AS blocking_wait,
       coalesce(bl.mode, '') AS lock_mode, coalesce(bl.locktype, '') AS lock_type,
       coalesce(c.relname::text, '') AS lock_relation,
       coalesce(to_char(sa.xact_start AT TIME ZONE 'UTC', '{_TIME}'), '') AS xact_start
FROM sa
LEFT JOIN LATERAL (
    SELECT mode, locktype, relation, database, {wait_column} FROM pg_locks
    WHERE pid = sa.pid AND NOT granted ORDER BY waitstart LIMIT 1
) bl ON sa.wait_event_type = 'Lock'
LEFT JOIN pg_class c ON c.oid = bl.relation
     AND bl.database IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
WHERE btrim(sa.query) <> '' AND sa.query_start IS NOT NULL AND sa.pid <> pg_backend_pid()
  AND NOT (sa.application_name = 'sluiceway' AND sa.usename = current_user)
  AND (cardinality($1::text[]) = 0 OR sa.datname = ANY($1)) AND coalesce(sa.datname, '') <> ALL($2::text[])
  AND NOT (sa.state = 'idle' AND sa.query_start <= to_timestamp($3))
ORDER BY cardinality(sa.blockers) > 0 DESC, sa.query_start LIMIT $4
"""  # noqa: S608 - no value from outside


class Samples:
    """Samples one server. A query that has ended is told once, one that goes on each time."""

    def __init__(self, databases: Sequence[str], exclude: Sequence[str], most: int) -> None:
        self._databases = list(databases)
        self._exclude = list(exclude)
        self._most = most
        self._newest = 0.0

    async def read(self, link: Link, facts: Facts, to: Recorder) -> None:
        """Record a log record for each session that does something."""
        rows = await link.ask(_query(facts), self._databases, self._exclude, self._newest, self._most)
        for row in rows:
            self._newest = max(self._newest, row["started"])
            if row["query"] != HIDDEN:
                _record(to, row)


def _record(to: Recorder, row: Row) -> None:
    query = shown(row["query"])
    attributes: dict[str, Any] = {
        "db.system.name": "postgresql",
        "db.namespace": row["database"],
        "db.query.text": query,
        **{name: escape(row[column]) for name, column in _TEXTS.items()},
        "postgresql.pid": row["pid"],
        "postgresql.total_exec_time": row["duration"],
        "postgresql.blocking.wait_duration": row["blocking_wait"],
    }
    if row["port"] >= 0:
        attributes["network.peer.port"] = row["port"]
    to.event(EVENT, query, attributes)


def shown(query: str) -> str:
    """A query as it may be shown: on one line, without values, and without what could move a terminal."""
    return escape(" ".join(sanitize_sql(query).split()))
