"""TimescaleDB in one database: hypertables, chunks, what compression saves, jobs, continuous aggregates.

Everything is read from the views in `timescaledb_information`, and sizes from functions of the community edition, which
raise errors where `timescaledb.license` is `apache`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from sluiceway.receivers.postgresql import metrics as m
from sluiceway.receivers.postgresql.connection import Link, Refused, Row
from sluiceway.receivers.postgresql.place import Place
from sluiceway.receivers.postgresql.settings import TimescaleSettings
from sluiceway.scraping import MetricSettings

__all__ = ["TIMESCALE_METRICS", "read_timescale"]

TIMESCALE_METRICS: Final = (
    m.HYPERTABLES, m.HYPERTABLE_SIZE, m.CHUNKS, m.CHUNK_OLDEST, m.CHUNK_NEWEST, m.COLUMNSTORE_SIZE, m.JOB_RUNS,
    m.JOB_FAILURES, m.JOB_DURATION, m.JOB_DELAY, m.CAGG_LAG,
)  # fmt: skip
MOST_JOBS: Final = 500
_EXTENSION = """
SELECT quote_ident(n.nspname) AS schema, current_setting('timescaledb.license', true) AS license,
       EXISTS (SELECT FROM pg_proc p WHERE p.pronamespace = n.oid AND p.proname = 'hypertable_columnstore_stats') AS new
FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'timescaledb'
"""
_HYPERTABLES = """
SELECT hypertable_schema::text AS schema, hypertable_name::text AS name, count(*) OVER () AS total,
       quote_ident(hypertable_schema) || '.' || quote_ident(hypertable_name) AS relation
FROM timescaledb_information.hypertables ORDER BY 1, 2 LIMIT $1
"""
_CHUNKS = """
SELECT hypertable_schema::text AS schema, hypertable_name::text AS name,
       count(*) FILTER (WHERE is_compressed) AS compressed, count(*) FILTER (WHERE NOT is_compressed) AS plain,
       extract(epoch FROM now() - min(range_start))::float8 AS oldest,
       extract(epoch FROM now() - max(range_end))::float8 AS newest
FROM timescaledb_information.chunks GROUP BY 1, 2 ORDER BY 1, 2 LIMIT $1
"""
_JOBS = f"""
SELECT j.job_id::text AS id, j.proc_name::text AS proc, s.total_runs::int8 AS runs, s.total_failures::int8 AS failures,
       extract(epoch FROM s.last_run_duration)::float8 AS duration,
       CASE WHEN isfinite(s.next_start) THEN greatest(extract(epoch FROM now() - s.next_start), 0)::float8 END AS delay
FROM timescaledb_information.jobs j LEFT JOIN timescaledb_information.job_stats s ON s.job_id = j.job_id
ORDER BY j.job_id LIMIT {MOST_JOBS}
"""  # noqa: S608 - no value from outside
_AGGREGATES = """
SELECT c.view_schema::text AS schema, c.view_name::text AS name,
       extract(epoch FROM now() - _timescaledb_functions.to_timestamp(
           _timescaledb_functions.cagg_watermark(h.id)))::float8 AS lag
FROM timescaledb_information.continuous_aggregates c
JOIN _timescaledb_catalog.hypertable h ON h.schema_name = c.materialization_hypertable_schema
     AND h.table_name = c.materialization_hypertable_name
JOIN _timescaledb_catalog.dimension d ON d.hypertable_id = h.id AND d.interval_length IS NOT NULL
     AND d.column_type IN ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype)
ORDER BY 1, 2 LIMIT $1
"""
_FOREVER: Final = 10_000 * 366 * 86_400.0
"""Beyond this a time is a stand-in for none."""


async def read_timescale(link: Link, place: Place, settings: TimescaleSettings, metrics: MetricSettings) -> bool:
    """Measure a database; returns whether the extension is there. What fails leaves the rest as it is."""
    extension = await link.ask(_EXTENSION)
    if not extension:
        return False
    schema, community = extension[0]["schema"], extension[0]["license"] != "apache"
    hypertables = await link.ask(_HYPERTABLES, settings.max_hypertables)
    place.recorder().record(m.HYPERTABLES, hypertables[0]["total"] if hypertables else 0)
    if settings.per_hypertable:
        if hypertables:
            place.tell_missing(len(hypertables), hypertables[0]["total"], "hypertables", "max_hypertables")
        await _try(place, lambda: _read_chunks(link, place, settings.max_hypertables))
        for row in hypertables if metrics.enables_any(m.HYPERTABLE_SIZE) else ():
            await _try(place, lambda row=row: _read_size(link, place, schema, row))  # type: ignore[misc]
        if metrics.enables_any(m.COLUMNSTORE_SIZE) and not community:
            place.problem("timescaledb.license is apache: there is no compression to measure")
        elif metrics.enables_any(m.COLUMNSTORE_SIZE):
            name = "hypertable_columnstore_stats" if extension[0]["new"] else "hypertable_compression_stats"
            for row in hypertables:
                await _try(place, lambda row=row: _read_columnstore(link, place, f"{schema}.{name}", row))  # type: ignore[misc]
    if settings.jobs and metrics.enables_any(m.JOB_RUNS, m.JOB_FAILURES, m.JOB_DURATION, m.JOB_DELAY):
        await _try(place, lambda: _read_jobs(link, place))
    if metrics.enables_any(m.CAGG_LAG):
        await _try(place, lambda: _read_aggregates(link, place, settings.max_hypertables))
    return True


async def _try(place: Place, ask: Callable[[], Awaitable[None]]) -> None:
    try:
        await ask()
    except Refused as refused:
        place.problem(f"timescaledb: {refused}")


async def _read_chunks(link: Link, place: Place, most: int) -> None:
    to = place.recorder()
    for row in await link.ask(_CHUNKS, most):
        name = _name(row)
        to.record(m.CHUNKS, row["compressed"], {**name, "compressed": True})
        to.record(m.CHUNKS, row["plain"], {**name, "compressed": False})
        for metric, column in ((m.CHUNK_OLDEST, "oldest"), (m.CHUNK_NEWEST, "newest")):
            if row[column] is not None and abs(row[column]) < _FOREVER:
                to.record(metric, row[column], name)


async def _read_size(link: Link, place: Place, schema: str, row: Row) -> None:
    query = f"SELECT {schema}.hypertable_size($1::text::regclass)::int8 AS size"
    (found,) = await link.ask(query, row["relation"])
    if found["size"] is not None:
        place.recorder().record(m.HYPERTABLE_SIZE, found["size"], _name(row))


async def _read_columnstore(link: Link, place: Place, function: str, row: Row) -> None:
    query = (
        f"SELECT sum(before_compression_total_bytes)::int8 AS before, sum(after_compression_total_bytes)::int8 AS after"  # noqa: S608
        f" FROM {function}($1::text::regclass)"
    )
    for found in await link.ask(query, row["relation"]):
        for stage in ("before", "after"):
            if found[stage] is not None:
                place.recorder().record(m.COLUMNSTORE_SIZE, found[stage], {**_name(row), "stage": stage})


async def _read_jobs(link: Link, place: Place) -> None:
    """A job that never ran has no figures, which is not the same as zero."""
    to = place.recorder()
    for row in await link.ask(_JOBS):
        attributes = {"job_id": row["id"], "proc": row["proc"]}
        for metric, column in (
            (m.JOB_RUNS, "runs"), (m.JOB_FAILURES, "failures"), (m.JOB_DURATION, "duration"), (m.JOB_DELAY, "delay"),
        ):  # fmt: skip
            if row[column] is not None:
                to.record(metric, row[column], attributes)


async def _read_aggregates(link: Link, place: Place, most: int) -> None:
    for row in await link.ask(_AGGREGATES, most):
        if row["lag"] is not None and abs(row["lag"]) < _FOREVER:
            attributes = {"continuous_aggregate": f"{row['schema']}.{row['name']}"}
            place.recorder().record(m.CAGG_LAG, row["lag"], attributes)


def _name(row: Row) -> dict[str, str]:
    return {"hypertable": f"{row['schema']}.{row['name']}"}
