"""The metrics of PostgreSQL: names, units and kinds as the Collector has them, then those that it does not have.

What the Collector has on is on. What only we have is off, but for TimescaleDB's, which are there only where it is.
"""

from __future__ import annotations

from sluiceway.scraping import Metric, ResourceAttribute, counter, gauge, updowncounter

__all__ = ["METRICS", "RESOURCE"]

BACKENDS = updowncounter("postgresql.backends", "1", "Number of backends of each database, in any state.")
COMMITS = counter("postgresql.commits", "1", "Number of commits.")
ROLLBACKS = counter("postgresql.rollbacks", "1", "Number of rollbacks.")
DB_SIZE = updowncounter("postgresql.db_size", "By", "Disk space that a database uses.")
TABLE_COUNT = updowncounter("postgresql.table.count", "{table}", "Number of user tables in a database.")
ROWS = updowncounter("postgresql.rows", "1", "Estimated number of rows.", "state")
OPERATIONS = counter("postgresql.operations", "1", "Number of rows inserted, updated and deleted.", "operation")
BLOCKS_READ = counter("postgresql.blocks_read", "1", "Number of blocks read, by where from.", "source")
TABLE_SIZE = updowncounter("postgresql.table.size", "By", "Disk space that a table uses.")
VACUUMS = counter("postgresql.table.vacuum.count", "{vacuum}", "Number of times a table was vacuumed by hand.")
INDEX_SCANS = counter("postgresql.index.scans", "{scans}", "Number of scans of an index.")
INDEX_SIZE = gauge("postgresql.index.size", "By", "Disk space that an index uses.")
BUFFERS_ALLOCATED = counter("postgresql.bgwriter.buffers.allocated", "{buffers}", "Number of buffers allocated.")
BUFFERS_WRITES = counter(
    "postgresql.bgwriter.buffers.writes", "{buffers}",
    "Number of buffers written; PostgreSQL 17 and later tell it of checkpoints and bgwriter only.", "source",
)  # fmt: skip
CHECKPOINTS = counter("postgresql.bgwriter.checkpoint.count", "{checkpoints}", "Number of checkpoints.", "type")
CHECKPOINT_TIME = counter(
    "postgresql.bgwriter.duration", "ms", "Time that checkpoints took to write and to sync.", "type", value=float
)
MAXWRITTEN = counter(
    "postgresql.bgwriter.maxwritten", "1", "Number of times the background writer stopped, having written too much."
)
CONNECTION_MAX = gauge("postgresql.connection.max", "{connections}", "The setting `max_connections`.")
DATABASE_COUNT = updowncounter("postgresql.database.count", "{databases}", "Number of user databases.")
DATA_DELAY = gauge(
    "postgresql.replication.data_delay", "By", "Bytes that a standby has yet to replay.", "replication_client"
)
WAL_AGE = gauge("postgresql.wal.age", "s", "Time since the last WAL file was archived.")
WAL_LAG = gauge(
    "postgresql.wal.lag", "s", "`postgresql.wal.delay` in whole seconds.", "operation", "replication_client"
)

WAL_DELAY = gauge(
    "postgresql.wal.delay", "s", "Time from flushing WAL here to hearing that a standby is done with it.",
    "operation", "replication_client", value=float, on=False,
)  # fmt: skip
LOCKS = gauge(
    "postgresql.database.locks", "{lock}", "Number of locks held and awaited.", "relation", "mode", "lock_type",
    on=False,
)  # fmt: skip
DEADLOCKS = counter("postgresql.deadlocks", "{deadlock}", "Number of deadlocks.", on=False)
BLKS_HIT = counter("postgresql.blks_hit", "{blks_hit}", "Number of blocks found in the buffer cache.", on=False)
BLKS_READ = counter("postgresql.blks_read", "{blks_read}", "Number of blocks read from disk.", on=False)
FUNCTION_CALLS = counter(
    "postgresql.function.calls", "{call}", "Number of calls of a function; needs `track_functions`.", "function",
    on=False,
)  # fmt: skip
SEQUENTIAL_SCANS = counter(
    "postgresql.sequential_scans", "{sequential_scan}", "Number of sequential scans of a table.", on=False
)
TEMP_FILES = counter("postgresql.temp_files", "{temp_file}", "Number of temporary files.", on=False)
TEMP_IO = counter("postgresql.temp.io", "By", "Bytes that queries wrote to temporary files.", on=False)
TUPLES = {
    word: counter(f"postgresql.tup_{word}", f"{{tup_{word}}}", f"Number of rows {word} by queries.", on=False)
    for word in ("deleted", "fetched", "inserted", "returned", "updated")
}
CONFLICTS = counter(
    "postgresql.query.conflicts", "{query}", "Number of queries of a standby that gave way to replay.",
    "postgresql.conflict.type", on=False,
)  # fmt: skip
EXECUTION_TIME = counter(
    "postgresql.query.execution.time", "s", "Execution time of the statements that pg_stat_statements tracks.",
    value=float, on=False,
)  # fmt: skip

CONNECTIONS = updowncounter(
    "postgresql.connections", "{connection}", "Number of clients' connections by state.", "state", on=False
)
LOCK_WAITERS = updowncounter(
    "postgresql.lock.waiters", "{session}", "Number of sessions that wait for a lock.", on=False
)
LONGEST = gauge(
    "postgresql.transaction.longest", "s", "Age of a database's oldest open transaction of a client.", value=float,
    on=False,
)  # fmt: skip
XID_AGE = gauge(
    "postgresql.transaction_id.age", "{transaction}",
    "Transactions since the oldest that is not frozen; the server stops at about 2 billion.", on=False,
)  # fmt: skip
MXID_AGE = gauge(
    "postgresql.multixact_id.age", "{multixact}", "Multixacts since the oldest that is not frozen.", on=False
)
AUTOVACUUM_WORKERS = updowncounter(
    "postgresql.autovacuum.workers", "{worker}", "Number of autovacuum workers that run.", on=False
)
VACUUM_RUNNING = updowncounter(
    "postgresql.vacuum.running", "{vacuum}", "Number of vacuums that run, by hand and by themselves.", "phase", on=False
)
AUTOVACUUMS = counter(
    "postgresql.table.autovacuum.count", "{vacuum}", "Number of times a table was vacuumed by autovacuum.", on=False
)
ANALYZES = counter(
    "postgresql.table.analyze.count", "{analyze}", "Number of times a table was analyzed, in any way.", on=False
)
VACUUM_AGE = gauge(
    "postgresql.table.vacuum.age", "s", "Time since a table was last vacuumed, in any way.", value=float, on=False
)
SLOT_RETAINED = gauge(
    "postgresql.replication.slot.retained", "By", "WAL that is kept for a replication slot.", "slot", "slot_type",
    on=False,
)  # fmt: skip
SLOT_ACTIVE = gauge(
    "postgresql.replication.slot.active", "1", "1 while somebody streams from a slot.", "slot", "slot_type", on=False
)
STANDBY_DELAY = gauge(
    "postgresql.standby.replay.delay", "s",
    "On a standby: age of the last replayed transaction while there is more to replay, else 0.", value=float, on=False,
)  # fmt: skip
STANDBY_LAG = gauge(
    "postgresql.standby.replay.lag", "By", "On a standby: WAL that was received and not yet replayed.", on=False
)
STANDBY_CONNECTED = gauge(
    "postgresql.standby.connected", "1", "On a standby: 1 while it streams from its primary.", on=False
)
ARCHIVED = counter("postgresql.archiver.archived", "{file}", "Number of WAL files archived.", on=False)
ARCHIVE_FAILURES = counter(
    "postgresql.archiver.failures", "{failure}", "Number of failed attempts to archive.", on=False
)
WAL_BYTES = counter("postgresql.wal.bytes", "By", "WAL generated (PostgreSQL 14 and later).", on=False)
WAL_RECORDS = counter(
    "postgresql.wal.records", "{record}", "WAL records generated (PostgreSQL 14 and later).", on=False
)
WAL_FPI = counter(
    "postgresql.wal.full_page_images", "{image}", "WAL images of pages (PostgreSQL 14 and later).", on=False
)
WAL_BUFFERS_FULL = counter(
    "postgresql.wal.buffers_full", "{write}", "Times WAL was written as its buffers were full (14 and later).", on=False
)
IO_OPERATIONS = counter(
    "postgresql.io.operations", "{operation}", "Operations of pg_stat_io (PostgreSQL 16 and later).",
    "backend_type", "object", "context", "operation", on=False,
)  # fmt: skip
IO_TIME = counter(
    "postgresql.io.time", "s", "Time of operations of pg_stat_io; needs `track_io_timing`.",
    "backend_type", "object", "context", "operation", value=float, on=False,
)  # fmt: skip

HYPERTABLES = updowncounter("timescaledb.hypertable.count", "{hypertable}", "Number of hypertables.")
HYPERTABLE_SIZE = updowncounter(
    "timescaledb.hypertable.size", "By", "Disk space of a hypertable, with indexes and TOAST.", "hypertable"
)
CHUNKS = updowncounter("timescaledb.chunk.count", "{chunk}", "Number of chunks.", "hypertable", "compressed")
CHUNK_OLDEST = gauge(
    "timescaledb.chunk.oldest", "s", "Age of the begin of the oldest chunk.", "hypertable", value=float
)
CHUNK_NEWEST = gauge(
    "timescaledb.chunk.newest", "s", "Age of the end of the newest chunk; below 0 when it is yet to come.",
    "hypertable", value=float,
)  # fmt: skip
COLUMNSTORE_SIZE = updowncounter(
    "timescaledb.columnstore.size", "By", "Size of what is compressed, before and after.", "hypertable", "stage"
)
JOB_RUNS = counter("timescaledb.job.runs", "{run}", "Number of runs of a job.", "job_id", "proc")
JOB_FAILURES = counter("timescaledb.job.failures", "{failure}", "Number of failed runs of a job.", "job_id", "proc")
JOB_DURATION = gauge(
    "timescaledb.job.last_duration", "s", "How long a job's last run took.", "job_id", "proc", value=float
)
JOB_DELAY = gauge("timescaledb.job.schedule.delay", "s", "How long a job is overdue.", "job_id", "proc", value=float)
CAGG_LAG = gauge(
    "timescaledb.continuous_aggregate.lag", "s", "How far what is materialized lies behind now.",
    "continuous_aggregate", value=float,
)  # fmt: skip

METRICS: tuple[Metric, ...] = (
    *(metric for metric in tuple(globals().values()) if isinstance(metric, Metric)),
    *TUPLES.values(),
)
RESOURCE = (
    ResourceAttribute("postgresql.database.name", "The database."),
    ResourceAttribute("postgresql.schema.name", "The schema of a function or an index.", enabled=False),
    ResourceAttribute("postgresql.table.name", "The table, `schema.table`; of an index the table alone."),
    ResourceAttribute("postgresql.index.name", "The index."),
    ResourceAttribute("server.address", "The host of the endpoint.", enabled=False),
    ResourceAttribute("server.port", "The port of the endpoint.", enabled=False),
    ResourceAttribute("service.instance.id", "A UUID made of the endpoint.", enabled=False),
)
