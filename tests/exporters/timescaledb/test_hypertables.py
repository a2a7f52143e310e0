"""TimescaleDB itself: PostgreSQL in WASM with the extension, one connection at a time and no background jobs."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, TracesData

from sluiceway.clock import SystemClock
from sluiceway.exporters.timescaledb import COMPONENT
from sluiceway.otlp import Batch, Signal
from sluiceway.testing import ManualClock, items
from tests.exporters.backends import make
from tests.exporters.timescaledb.bench import logs, upkeep
from tests.exporters.timescaledb.proxy import Proxy
from tests.servers.timescaledb import timescale_server

JOBS = """
SELECT proc_name::text, count(*) FROM timescaledb_information.jobs WHERE hypertable_name IS NOT NULL
GROUP BY 1 ORDER BY 1
"""
JOB = "SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = '{}' AND hypertable_name ~ '{}'"
COMPRESSED = """
SELECT is_compressed FROM timescaledb_information.chunks WHERE hypertable_name = 'otel_spans' ORDER BY range_start
"""
SEGMENTS = """
SELECT attname::text FROM timescaledb_information.compression_settings
WHERE hypertable_name = 'otel_spans' AND segmentby_column_index = 1
"""
STORED_ONLY = "ALTER MATERIALIZED VIEW otel_spans_by_minute SET (timescaledb.materialized_only = true)"
SUMS = "sum(spans)::int, sum(errors)::int, max(longest_ns)"


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """The port of a TimescaleDB."""
    with timescale_server(tmp_path) as running:
        yield running


@asynccontextmanager
async def exporter(port: int, more: str = "", signal: Signal = Signal.TRACES, **context: Any) -> AsyncIterator[Any]:
    """An exporter with one connection."""
    async with Proxy(port, whole_copies=True).running() as proxy:
        text = (
            f"{{endpoint: '127.0.0.1:{proxy.port}', database: postgres, username: postgres, password: x,"
            f" pool_size: 1, tls: {{insecure: true}}, {more}}}"
        )
        async with make(COMPONENT, text, signals=frozenset({signal}), **context) as out:
            yield out


async def tell(port: int, *statements: str) -> list[Any]:
    """What the last statement answers, as tuples."""
    access = {"user": "postgres", "password": "x", "database": "postgres", "ssl": False}
    connection = await asyncpg.connect(host="127.0.0.1", port=port, statement_cache_size=0, **access)
    try:
        return [tuple(row) for row in [await connection.fetch(statement) for statement in statements][-1]]
    finally:
        connection.terminate()


async def test_tables_are_hypertables_with_all_that_the_edition_has(port: int) -> None:
    """Compression by service, retention, and a view of spans by minute that can be refreshed."""
    async with exporter(port, "retention: 720h, timescaledb: {compress_after: 24h}") as out:
        assert await out.consume(items(Signal.TRACES, 100)) is None
    assert await tell(
        port, "SELECT count(*) FROM timescaledb_information.hypertables WHERE hypertable_name ~ 'otel'"
    ) == [(7,)]
    assert await tell(port, JOBS) == [
        ("policy_compression", 7), ("policy_refresh_continuous_aggregate", 1),
    ]  # fmt: skip
    refresh = "CALL refresh_continuous_aggregate('otel_spans_by_minute', NULL, NULL)"
    seen = await tell(port, refresh, f"SELECT service_name, {SUMS} FROM otel_spans_by_minute GROUP BY 1")
    assert seen == [("cart", 100, 0, 1_000_000)]


async def test_the_jobs_do_what_they_are_for(port: int) -> None:
    """Called by hand, as this build runs none: old chunks are compressed, by service, and the view is kept up."""
    async with exporter(port, "timescaledb: {compress_after: 24h}") as out:  # years ago by the tests' clock
        await out.consume(items(Signal.TRACES, 100))
    recent = time.time_ns() - 10 * 60 * 10**9
    spans = [Span(name="pay", start_time_unix_nano=recent, end_time_unix_nano=recent + 5_000_000)] * 3
    message = TracesData(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=spans)])])
    async with exporter(port, clock=SystemClock()) as out:
        await out.consume(Batch.from_proto(message))
    for job, table in (("policy_compression", "otel_spans"), ("policy_refresh_continuous_aggregate", ".")):
        ((number,),) = await tell(port, JOB.format(job, table))
        await tell(port, f"CALL run_job({number})")
    assert await tell(port, COMPRESSED) == [(True,), (False,)]
    assert await tell(port, SEGMENTS) == [("service_name",)]
    assert await tell(port, "SELECT count(*) FROM otel_spans") == [(103,)]
    seen = await tell(port, STORED_ONLY, f"SELECT {SUMS} FROM otel_spans_by_minute WHERE name = 'pay'")
    assert seen == [(3, 0, 5_000_000)]


async def test_compressed_chunks_take_late_data(port: int) -> None:
    """What comes for a chunk that was compressed is stored all the same."""
    async with exporter(port, signal=Signal.LOGS) as out:
        await out.consume(logs(50))
    await tell(port, "SELECT compress_chunk(c)::text FROM show_chunks('otel_logs') c")
    async with exporter(port, signal=Signal.LOGS) as out:
        await out.consume(logs(50, received=2.0))
    assert await tell(port, "SELECT count(*) FROM otel_logs") == [(100,)]


async def test_old_chunks_are_dropped(port: int) -> None:
    """By the upkeep, in every edition, as the settings of today say."""
    clock = ManualClock()
    async with exporter(port, "time_window: {before: 24h}, retention: 48h", Signal.LOGS, clock=clock) as out:
        await out.consume(logs(3))
        await upkeep(clock)
        await out.consume(logs(3, received=2.0))
        await upkeep(clock, 4 * 86_400)
    assert await tell(port, "SELECT count(*) FROM otel_logs") == [(0,)]


async def test_a_hypertable_that_was_dropped_is_made_anew(port: int, caplog: pytest.LogCaptureFixture) -> None:
    """With its compression; the others are left as they are."""
    async with exporter(port) as out:
        await out.consume(items(Signal.TRACES, 10))
    await tell(port, "DROP TABLE otel_spans CASCADE")
    caplog.clear()
    async with exporter(port) as out:
        await out.consume(items(Signal.TRACES, 3))
    assert await tell(port, "SELECT count(*) FROM otel_spans") == [(3,)]
    assert await tell(port, JOBS) == [("policy_compression", 7), ("policy_refresh_continuous_aggregate", 1)]
    assert [record.message for record in caplog.records] == ['made anew, as they were missing: "public"."otel_spans"']


async def test_an_edition_without_features_goes_without(port: int, caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be had is logged, one line each, and everything else is there."""
    await tell(port, "ALTER FUNCTION add_compression_policy RENAME TO licensed")
    async with exporter(port) as out:
        await out.consume(items(Signal.TRACES, 10))
    assert await tell(port, "SELECT count(*) FROM otel_spans") == [(10,)]
    assert len(caplog.records) == 7
    assert all("TimescaleDB goes without compression of" in record.message for record in caplog.records)


async def test_row_level_security_goes_without_compression(port: int, caplog: pytest.LogCaptureFixture) -> None:
    """The extension does not have both; a view by minute would show all tenants."""
    async with exporter(port, "row_level_security: true", Signal.LOGS) as out:
        await out.consume(logs(3, tenant_id="acme"))
        await out.consume(logs(4, tenant_id="globex", received=2.0))
    seen = await tell(
        port, "SET ROLE sluiceway_reader", "SET sluiceway.tenant = 'acme'", "SELECT count(*) FROM otel_logs"
    )
    assert seen == [(3,)]
    assert not caplog.records


async def test_without_the_extension_wanted_it_is_partitions(port: int) -> None:
    """`enabled: false` makes PostgreSQL's own partitions beside the extension."""
    async with exporter(port, "timescaledb: {enabled: false}", Signal.LOGS) as out:
        await out.consume(logs(3))
    assert await tell(port, "SELECT relkind::text FROM pg_class WHERE relname = 'otel_logs'") == [("p",)]
