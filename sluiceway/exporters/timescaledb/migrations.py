"""The SQL that makes the tables, numbered: a database has all migrations up to the version that it tells.

A migration is never changed once it was released; what comes later is another one. Each may be carried out again and
makes only what is missing, as a table that was dropped is made anew. Columns and indexes of version 1 are those of
`columns.py`, so whoever adds a column adds a migration with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Final, NamedTuple

from sluiceway.exporters.timescaledb.columns import TABLES, Table
from sluiceway.exporters.timescaledb.settings import TimescaleSettings

__all__ = ["VERSION", "Step", "features", "interval", "lock_number", "migration", "preparations", "row_security"]

VERSION: Final = 1
"""The version of the tables that this module makes."""


class Step(NamedTuple):
    """One statement that the database may do without: what fails is undone alone and logged with `what`."""

    what: str
    sql: str


def preparations(settings: TimescaleSettings) -> tuple[str, ...]:
    """What stands before all migrations: the schema, and where versions and batches are noted."""
    version, batches = settings.table("schema_version"), settings.table("batches")
    return (
        *(() if settings.schema_name == "public" else (f'CREATE SCHEMA IF NOT EXISTS "{settings.schema_name}"',)),
        f"CREATE TABLE IF NOT EXISTS {version} (version integer PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())",
        (
            f"CREATE TABLE IF NOT EXISTS {batches}"
            " (key bytea PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), rows bigint NOT NULL)"
        ),
        f'CREATE INDEX IF NOT EXISTS "{settings.table_prefix}batches_at" ON {batches} (at)',
    )


def migration(number: int, settings: TimescaleSettings, *, hypertables: bool) -> Iterator[str]:
    """The statements of one migration, with TimescaleDB or with PostgreSQL's own partitions."""
    if number == 1:
        for table in TABLES:
            yield from _make(table, settings, hypertables=hypertables)
    version = settings.table("schema_version")
    yield f"INSERT INTO {version} (version) VALUES ({number}) ON CONFLICT DO NOTHING"  # noqa: S608 - a checked name


def features(settings: TimescaleSettings, tables: Sequence[Table] = TABLES) -> Iterator[Step]:
    """What new hypertables are given besides, where the edition of TimescaleDB has it."""
    chosen = settings.timescaledb
    for table in tables:
        name = settings.table(table.name)
        if chosen.compress_after and not settings.row_level_security:
            by = "timescaledb.compress_segmentby = 'service_name', timescaledb.compress_orderby = 'time DESC'"
            yield Step(f"compression of {name}", f"ALTER TABLE {name} SET (timescaledb.compress, {by})")
            after = interval(chosen.compress_after)
            yield Step(
                f"compression of {name}", f"SELECT add_compression_policy('{name}', {after}, if_not_exists => true)"
            )
    made_of = any(table.name == "spans" for table in tables)
    if made_of and chosen.continuous_aggregates and not settings.row_level_security:
        yield from _aggregates(settings)


def row_security(settings: TimescaleSettings) -> Iterator[str]:
    """Readers of the role see the rows whose tenant is the session's `sluiceway.tenant`; the owner writes as before."""
    role = settings.reader_role
    yield f'GRANT USAGE ON SCHEMA "{settings.schema_name}" TO "{role}"'
    for table in TABLES:
        name = settings.table(table.name)
        yield f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY"
        yield f"DROP POLICY IF EXISTS sluiceway_tenant ON {name}"
        yield (
            f'CREATE POLICY sluiceway_tenant ON {name} FOR SELECT TO "{role}"'
            " USING (tenant = current_setting('sluiceway.tenant', true))"
        )
        yield f'GRANT SELECT ON {name} TO "{role}"'


def lock_number(settings: TimescaleSettings) -> int:
    """The advisory lock under which one of several collectors changes the tables."""
    name = f"sluiceway {settings.schema_name}.{settings.table_prefix}"
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big", signed=True)


def _make(table: Table, settings: TimescaleSettings, *, hypertables: bool) -> Iterator[str]:
    name, plain = settings.table(table.name), f"{settings.table_prefix}{table.name}"
    columns = ",\n  ".join(f'"{column.name}" {column.sql}' for column in table.columns)
    partitioned = "" if hypertables else " PARTITION BY RANGE (time)"
    yield f"CREATE TABLE IF NOT EXISTS {name} (\n  {columns}\n){partitioned}"
    if hypertables:
        span = interval(settings.partition_interval)
        yield (
            f"SELECT create_hypertable('{name}', 'time', chunk_time_interval => {span},"
            " create_default_indexes => false, if_not_exists => true)"
        )
    else:
        rest = settings.table(f"{table.name}_default")
        yield f"CREATE TABLE IF NOT EXISTS {rest} PARTITION OF {name} DEFAULT"
    indexed = {"time": "time DESC", "service": "service_name, time DESC"}
    if any(column.name == "trace_id" for column in table.columns):
        indexed["trace"] = "trace_id"
    if any(column.name == "unit" for column in table.columns):
        indexed["name"] = "name, time DESC"
    for word, what in indexed.items():
        yield f'CREATE INDEX IF NOT EXISTS "{plain}_{word}" ON {name} ({what})'


def _aggregates(settings: TimescaleSettings) -> Iterator[Step]:
    """Rate, errors and duration of spans for each minute."""
    view = settings.table("spans_by_minute")
    yield Step(
        f"the continuous aggregate {view}",
        f"""CREATE MATERIALIZED VIEW IF NOT EXISTS {view} WITH (timescaledb.continuous) AS
SELECT time_bucket('1 minute', time) AS minute, service_name, name, kind, count(*) AS spans,
  count(*) FILTER (WHERE status_code = 2) AS errors, sum(duration_ns) AS duration_ns, max(duration_ns) AS longest_ns
FROM {settings.table("spans")} GROUP BY 1, 2, 3, 4 WITH NO DATA""",  # noqa: S608 - checked names
    )
    yield Step(
        f"the refreshing of {view}",
        f"SELECT add_continuous_aggregate_policy('{view}', start_offset => interval '1 hour',"
        " end_offset => interval '1 minute', schedule_interval => interval '1 minute', if_not_exists => true)",
    )


def interval(seconds: float) -> str:
    """A time span as SQL."""
    return f"interval '{seconds:.3f} seconds'"
