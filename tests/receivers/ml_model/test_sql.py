"""Predictions and labels from a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from sluiceway.component import Status
from tests.ports import free_port
from tests.receivers.ml_model.bench import Bench, counts, rejected, total

TABLE = """
    DROP TABLE IF EXISTS predictions;
    CREATE TABLE predictions (
        id bigserial PRIMARY KEY, at timestamptz DEFAULT clock_timestamp(),
        prediction_id uuid DEFAULT gen_random_uuid(), model_name text DEFAULT 'm',
        prediction int, score numeric, latency float8, features jsonb, label int
    );
"""
QUERY = "SELECT * FROM predictions WHERE id > $1 ORDER BY id"


@asynccontextmanager
async def connected(database: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    """A connection for a while."""
    connection = await asyncpg.connect(database)
    try:
        yield connection
    finally:
        await connection.close()


async def insert(database: str, count: int) -> None:
    """Add rows."""
    async with connected(database) as connection:
        await connection.execute(
            "INSERT INTO predictions (prediction, score, latency, features) "
            "SELECT n % 2, n::numeric / 1e6, 0.01, jsonb_build_object('a', n) FROM generate_series(1, $1::int) n",
            count,
        )


@pytest.fixture
async def table(database: str) -> str:
    """The database with an empty table."""
    async with connected(database) as connection:
        await connection.execute(TABLE)
    return database


def bench(datasource: str, query: str = QUERY, cursor: str = "id", more: str = "") -> Bench:
    """A receiver with one source of predictions."""
    return Bench(
        f"{{sql: {{p: {{datasource: '{datasource}', query: '{query}', cursor: {cursor}, poll_interval: 1s, {more}}}}}}}"
    )


async def test_each_row_is_read_once(table: str) -> None:
    """More than is fetched at a time, and what comes later; numerics and members of jsonb are what they are."""
    await insert(table, 5000)
    async with bench(table, more="columns: {feature_prefix: features.}") as running:
        found = await running.until(lambda found: total(found) >= 5000)
        assert counts(found) == {"m": 5000}
        await insert(table, 7)
        found = await running.until(lambda found: total(found) > 5000)
        assert running.status == (Status.OK, "")
    assert counts(found) == {"m": 5007}
    assert rejected(found) == {}
    (latency,) = found["ml.inference.duration"]
    assert latency["point"].count == 5007
    assert latency["point"].sum == pytest.approx(50.07)


@pytest.mark.parametrize(
    ("cursor", "start", "expected"),
    [
        ("id", "", 10),
        ("id", "start: 7", 3),
        ("at", "", 10),
        ("at", "start: '2020-01-01'", 10),
        ("at", "start: '2100-01-01T00:00:00+02:00'", 0),
        ("at::timestamp", "start: '2020-01-01'", 10),
        ("at::date", "", 1),
        ("prediction_id", "", 10),
        ("prediction_id::text", "", 10),
        ("id::numeric", "start: 8", 2),
        ("id::float8", "", 10),
    ],
)
async def test_what_grows_may_have_any_type(table: str, cursor: str, start: str, expected: int) -> None:
    """Numbers, times, texts and uuids; without a start the first value is the lowest of its type."""
    await insert(table, 10)
    query = f"SELECT {cursor} AS c, 1 AS prediction, id AS n FROM predictions WHERE {cursor} > $1 ORDER BY 1"
    async with bench(table, query, "c", start) as running:
        if expected:
            found = await running.until(lambda found: total(found) >= expected)
        else:
            found = await running.until(lambda _: running.receiver._sources._opened[0][1]._begun)
        assert total(found) == expected


async def test_a_query_that_does_not_go_forward_is_named(table: str) -> None:
    """What is not after the row before is counted and left out, so that nothing is told twice."""
    await insert(table, 10)
    async with bench(table, "SELECT * FROM predictions WHERE id > $1 - 3 ORDER BY id DESC", more="start: 0") as running:
        found = await running.until(lambda _: "ORDER BY id" in running.status[1])
    assert counts(found) == {"m": 1}
    assert rejected(found)["not_after_cursor"] >= 9


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("SELECT id, prediction AS predicted FROM predictions WHERE id > $1", 'no column "prediction"; did you mean'),
        ("SELECT prediction FROM predictions WHERE id > $1", 'no column "id"'),
        ("SELECT id FROM predictions WHERE id > $1 AND prediction > $2", "has 2 parameters; it must have one"),
        ("SELECT id FROM predictoins WHERE id > $1", 'relation "predictoins" does not exist'),
        ("DELETE FROM predictions WHERE id > $1 RETURNING id, prediction", "ReadOnlySQLTransactionError"),
    ],
)
async def test_what_is_wrong_with_a_query_is_named_at_the_start(table: str, query: str, text: str) -> None:
    """In the first measurement; and nothing can be changed."""
    await insert(table, 3)
    async with bench(table, query) as running:
        await running.until(lambda _: text in running.status[1])
        assert running.status[0] is Status.RECOVERABLE_ERROR
    async with connected(table) as connection:
        assert await connection.fetchval("SELECT count(*) FROM predictions") == 3


async def test_a_database_that_goes_and_comes_back(table: str) -> None:
    """It goes on behind the last row that it read."""
    await insert(table, 3)
    async with bench(table) as running:
        await running.until(lambda found: total(found) == 3)
        async with connected(table) as connection:
            ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sluiceway'"
            assert len(await connection.fetch(ended)) == 1
        await insert(table, 2)
        found = await running.until(lambda found: total(found) == 5 and running.status == (Status.OK, ""))
    assert rejected(found) == {}


async def test_a_database_that_is_away_is_named_without_the_password() -> None:
    """And starting does not need it."""
    async with bench(f"postgresql://u:geheim@127.0.0.1:{free_port()}/d") as running:
        await running.until(lambda _: running.status[0] is Status.RECOVERABLE_ERROR)
        assert "Connect" in running.status[1] or "connect" in running.status[1]
        assert "geheim" not in str(running.statuses)


async def test_a_database_that_hangs_holds_up_nobody(tmp_path) -> None:
    """Other sources are read, and it is named when its time is over."""
    (tmp_path / "p.jsonl").write_text('{"prediction_id": 1, "prediction": 1, "model_name": "m"}\n')
    writers = []
    server = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    yaml = f"""{{
        files: {{f: {{include: ['{tmp_path}/p.jsonl'], start_at: beginning}}}},
        sql: {{p: {{datasource: 'postgresql://u@127.0.0.1:{port}/d?sslmode=disable', query: '{QUERY}', cursor: id,
            timeout: 300ms}}}},
    }}"""
    async with Bench(yaml) as running:
        await running.until(lambda found: counts(found) == {"m": 1})
        await running.until(lambda _: "p: the database does not answer in time" in running.status[1])
        assert running.status[0] is Status.OK
    server.close()
    for writer in writers:
        writer.close()


async def test_a_reference_from_a_query(table: str) -> None:
    """Drift is measured against it."""
    await insert(table, 500)
    yaml = f"""{{
        window: {{type: sliding, size: 1h}},
        reference: {{type: given, datasource: '{table}',
            query: 'SELECT id - 5000 AS feature_n, prediction FROM predictions'}},
        sql: {{p: {{datasource: '{table}', query: 'SELECT id, prediction, id AS feature_n FROM predictions WHERE id > $1
            ORDER BY id', cursor: id, start: 100}}}},
    }}"""
    async with Bench(yaml) as running:
        found = await running.until(
            lambda found: (
                1 in [p["value"] for p in found.get("ml.drift.detected", []) if p["attributes"].get("feature")]
            )
        )
    assert total(found) == 400
