"""TimescaleDB, held against its own functions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from sluiceway.component import Status, SystemClock
from sluiceway.testing import check_metrics
from tests.receivers.postgresql.bench import COMPONENT, Bench, access
from tests.servers.postgresql import PostgresServer
from tests.servers.timescaledb import timescale_server

SETUP = (
    "CREATE TABLE readings (time timestamptz NOT NULL, value float8)",
    "SELECT create_hypertable('readings', 'time', chunk_time_interval => interval '1 day')::text",
    "INSERT INTO readings SELECT now() - i * interval '1 minute', i FROM generate_series(0, 6000) i",
    "ALTER TABLE readings SET (timescaledb.compress)",
    "SELECT compress_chunk(c)::text FROM (SELECT c FROM show_chunks('readings') c ORDER BY c::text LIMIT 2) q",
    (
        "CREATE MATERIALIZED VIEW hourly WITH (timescaledb.continuous) AS"
        " SELECT time_bucket('1 hour', time) AS hour, avg(value) FROM readings GROUP BY 1 WITH NO DATA"
    ),
    "CALL refresh_continuous_aggregate('hourly', now() - interval '3 days', now() - interval '1 day')",
    "SELECT add_compression_policy('readings', interval '30 days')",
)
OWN = """
SELECT (SELECT count(*) FROM show_chunks('readings')) AS chunks, hypertable_size('readings') AS size,
       (SELECT before_compression_total_bytes FROM hypertable_compression_stats('readings')) AS before,
       (SELECT after_compression_total_bytes FROM hypertable_compression_stats('readings')) AS after
"""


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a TimescaleDB."""
    with timescale_server(tmp_path_factory.mktemp("timescaledb")) as running:
        yield running


async def _tell(port: int, *statements: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(
        host="127.0.0.1", port=port, user="postgres", password="x", database="postgres", ssl=False,
        statement_cache_size=0, timeout=20,
    )  # fmt: skip
    try:
        return [await connection.fetch(statement, timeout=30) for statement in statements][-1]
    finally:
        connection.terminate()  # it does not answer a goodbye


async def test_what_is_there_is_measured(port: int, tmp_path: Path) -> None:
    """Where the extension is, it is found without a setting, and figures are those of its own functions.

    A job that never ran has no figures.
    """
    (own,) = await _tell(port, *SETUP, OWN)
    yaml = (
        f"{{endpoint: '127.0.0.1:{port}', username: postgres, password: x, tls: {{insecure: true}}, query_timeout: 5s}}"
    )
    async with Bench(yaml, SystemClock()) as bench:
        async with asyncio.timeout(60):
            while not (found := await bench.measure()):  # one connection at a time, and ours before is just ending
                pass
    assert bench.status == (Status.OK, "")
    never_ran = {"timescaledb.job.runs", "timescaledb.job.failures", "timescaledb.job.last_duration"}
    missing = check_metrics(COMPONENT, bench.sink.batches)
    assert {name for name in missing if name.startswith("timescaledb.")} - {
        "timescaledb.job.schedule.delay"
    } == never_ran

    def ours(name: str, **attributes: object) -> list[float]:
        wanted = {"hypertable": "public.readings", **attributes}.items()
        return [point["value"] for point in found[name] if point["attributes"].items() >= wanted]

    assert found["timescaledb.hypertable.count"][0]["value"] == 1
    assert ours("timescaledb.chunk.count", compressed=True) == [2]
    assert ours("timescaledb.chunk.count", compressed=False) == [own["chunks"] - 2]
    assert ours("timescaledb.hypertable.size") == [own["size"]]
    assert ours("timescaledb.columnstore.size", stage="before") == [own["before"]]
    assert ours("timescaledb.columnstore.size", stage="after") == [own["after"]]
    assert 4 * 86_400 <= ours("timescaledb.chunk.oldest")[0] <= 6 * 86_400
    assert -86_400 <= ours("timescaledb.chunk.newest")[0] <= 0
    (lag,) = found["timescaledb.continuous_aggregate.lag"]
    assert lag["attributes"] == {"continuous_aggregate": "public.hourly"}
    assert 86_400 <= lag["value"] <= 86_400 + 7200


async def test_where_it_is_not_it_is_asked_for_only_when_that_was_set(server: PostgresServer) -> None:
    """Without the extension nothing is said, unless `enabled: true` demands it."""
    async with Bench(access(server)) as bench:
        assert not [name for name in await bench.measure() if name.startswith("timescaledb.")]
    assert bench.status == (Status.OK, "")
    async with Bench(access(server, "timescaledb: {enabled: true}, databases: [shop]")) as bench:
        await bench.measure()
    assert bench.status == (Status.OK, "incomplete: postgresql: database shop: there is no timescaledb in it")
