"""The statements that took the most time since the last look, as log records `db.server.top_query`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from sluiceway.receivers.postgresql.connection import MARK, Link, Refused, Row
from sluiceway.receivers.postgresql.samples import HIDDEN, LONGEST_QUERY, shown
from sluiceway.scraping import Recorder

__all__ = ["Statements", "TopQueries", "read_execution_time"]

EVENT: Final = "db.server.top_query"
"""The name of the log records."""
HINT: Final = (
    "pg_stat_statements is not there; what it takes: shared_preload_libraries = 'pg_stat_statements',"
    " and CREATE EXTENSION pg_stat_statements in the database {}"
)
_COUNTS: Final = (
    "calls", "rows", "shared_blks_dirtied", "shared_blks_hit", "shared_blks_read", "shared_blks_written",
    "temp_blks_read", "temp_blks_written", "total_exec_time", "total_plan_time",
)  # fmt: skip

_OURS: Final = 50
"""Statements of ours that may be among those with the most time, and are left out."""

Key: TypeAlias = "tuple[int, int, int]"


@dataclass(frozen=True, slots=True)
class Statements:
    """The extension pg_stat_statements as it is installed."""

    schema: str
    version: tuple[int, ...]

    @property
    def function(self) -> str:
        """The function, as SQL."""
        return '"{}".pg_stat_statements'.format(self.schema.replace('"', '""'))

    @property
    def time(self) -> str:
        """The column of the execution time in ms."""
        return "total_exec_time" if self.version >= (1, 8) else "total_time"


async def find_statements(link: Link) -> Statements:
    """Find the extension; raises `Refused` with a hint when it is not there."""
    rows = await link.ask(
        "SELECT n.nspname::text AS schema, e.extversion AS version FROM pg_extension e"
        " JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_stat_statements'"
    )
    if not rows:
        raise Refused(HINT.format(link.database))
    numbers = (part for part in rows[0]["version"].split(".") if part.isdigit())
    return Statements(rows[0]["schema"], tuple(map(int, numbers)))


async def read_execution_time(link: Link) -> dict[str, float]:
    """The execution time of all statements in s, by database; raises `Refused` with a hint without the extension."""
    statements = await find_statements(link)
    rows = await link.ask(
        f"SELECT d.datname::text AS database, (sum(s.{statements.time}) / 1000)::float8 AS time"  # noqa: S608
        f" FROM {statements.function}(false) s JOIN pg_database d ON d.oid = s.dbid GROUP BY 1 LIMIT 1000"
    )
    return {row["database"]: row["time"] for row in rows}


class TopQueries:
    """Compares the statements of one server with the last time. Those by which we measure it are left out."""

    def __init__(self, databases: Sequence[str], exclude: Sequence[str], most: int, top: int) -> None:
        self._databases = list(databases)
        self._exclude = list(exclude)
        self._most = most
        self._top = top
        self._before: dict[Key, Row] | None = None
        self._complete = False

    async def read(self, link: Link, user: str, to: Recorder) -> None:
        """Record the statements with the most execution time since the last time; the first time there are none."""
        statements = await find_statements(link)
        rows = await link.ask(self._counters(statements), self._databases, self._exclude, self._most)
        now = {(row["userid"], row["dbid"], row["queryid"]): row for row in rows}
        before, complete = self._before, self._complete
        if before is not None:
            await self._tell(link, statements, user, before, now, complete=complete, to=to)
        self._before, self._complete = now, len(rows) < self._most

    async def _tell(
        self, link: Link, statements: Statements, user: str, before: Mapping[Key, Row], now: Mapping[Key, Row], *,
        complete: bool, to: Recorder,
    ) -> None:  # fmt: skip
        changed = {}
        for key, row in now.items():
            delta = _since(before.get(key), row, complete=complete)
            if delta:
                changed[key] = delta
        top = sorted(changed, key=lambda key: changed[key]["total_exec_time"], reverse=True)
        top = top[: self._top + _OURS]
        if top:
            texts = await self._texts(link, statements, [key[2] for key in top])
            foreign = [key for key in top if now[key]["role"] != user or MARK not in texts.get(key, "")[:32]]
            for key in foreign[: self._top]:
                _record(to, now[key], changed[key], texts.get(key, ""))

    def _counters(self, statements: Statements) -> str:
        """Entries of one statement that were called by others and by itself are one; texts are not read here."""
        plan = "sum(s.total_plan_time)" if statements.version >= (1, 8) else "0"
        sums = ", ".join(f"sum(s.{name})::int8 AS {name}" for name in _COUNTS[:-2])
        return f"""
SELECT s.userid::int8 AS userid, s.dbid::int8 AS dbid, s.queryid, d.datname::text AS database,
       coalesce(r.rolname::text, '') AS role, {sums},
       sum(s.{statements.time})::float8 AS total_exec_time, {plan}::float8 AS total_plan_time
FROM {statements.function}(false) s JOIN pg_database d ON d.oid = s.dbid LEFT JOIN pg_roles r ON r.oid = s.userid
WHERE s.queryid IS NOT NULL AND (cardinality($1::text[]) = 0 OR d.datname = ANY($1)) AND d.datname <> ALL($2::text[])
GROUP BY 1, 2, 3, 4, 5 ORDER BY total_exec_time DESC LIMIT $3
"""  # noqa: S608 - the schema is quoted

    async def _texts(self, link: Link, statements: Statements, ids: Sequence[int]) -> Mapping[Key, str]:
        rows = await link.ask(
            f"SELECT userid::int8 AS userid, dbid::int8 AS dbid, queryid, max(left(query, {LONGEST_QUERY})) AS query"  # noqa: S608
            f" FROM {statements.function}(true) WHERE queryid = ANY($1::int8[]) GROUP BY 1, 2, 3",
            list(ids),
        )
        return {(row["userid"], row["dbid"], row["queryid"]): row["query"] or "" for row in rows}


def _since(before: Row | None, row: Row, *, complete: bool) -> dict[str, Any] | None:
    """What was added to the counters; None when that is nothing, or is not known.

    A statement that was not seen before is new only if all were seen. One with fewer calls than before was thrown out
    and began again.
    """
    if before is None:
        return {name: row[name] for name in _COUNTS} if complete else None
    if row["calls"] < before["calls"]:
        return {name: row[name] for name in _COUNTS}
    if row["calls"] == before["calls"]:
        return None
    return {name: max(row[name] - before[name], 0) for name in _COUNTS}


def _record(to: Recorder, row: Row, delta: Mapping[str, Any], text: str) -> None:
    query = "" if text == HIDDEN else shown(text)
    attributes: dict[str, Any] = {
        "db.system.name": "postgresql",
        "db.namespace": row["database"],
        "db.query.text": query,
        "postgresql.queryid": str(row["queryid"]),
        "postgresql.rolname": row["role"],
        **{f"postgresql.{name}": delta[name] for name in _COUNTS},
    }
    to.event(EVENT, query, attributes)
