"""The log records: what sessions do, and the most expensive statements."""

from __future__ import annotations

import pytest

from sluiceway.component import Status
from tests.receivers.postgresql.bench import Bench, access, attributes
from tests.servers.postgresql import PostgresServer, postgres_server, until

SAMPLES = "databases: [shop], query_sample_collection: {enabled: true}"
TOP = "databases: [shop], events: {db.server.top_query: {enabled: true}}"


async def test_a_blocked_session_names_who_blocks_it(server: PostgresServer) -> None:
    """A session that waits for a lock comes first, with the pid that holds it, and locks and waiters are counted."""
    more = SAMPLES + ", metrics: {postgresql.database.locks: {enabled: true}, postgresql.lock.waiters: {enabled: true}}"
    with server.session("shop", "holder") as holder, server.session("shop", "waiter") as waiter:
        holder.send("BEGIN")
        holder.send("UPDATE orders SET note = 'private' WHERE id = 7")
        until(lambda: server.sql("SELECT pid FROM pg_stat_activity WHERE state = 'idle in transaction'"), "not begun")
        waiter.send("UPDATE orders SET note = 'hidden' WHERE id = 7")
        blocked = until(
            lambda: server.sql(
                "SELECT pid, pg_blocking_pids(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            ),
            "nobody waits",
        )
        async with Bench(access(server, more)) as bench:
            records = [attributes(record) for record in await bench.records()]
            found = await bench.measure()
    pid, blockers = blocked.split("|")
    first = records[0]
    assert (first["postgresql.pid"], first["postgresql.blocking.pids"]) == (int(pid), blockers)
    assert first["db.query.text"] == "UPDATE orders SET note = ? WHERE id = ?;"
    assert first["postgresql.application_name"] == "waiter"
    assert first["postgresql.wait_event_type"] == "Lock"
    assert first["postgresql.blocking.lock.mode"] == "ShareLock"
    assert "holder" in {record["postgresql.application_name"] for record in records}
    assert not any("private" in str(record) or "hidden" in str(record) for record in records)
    assert found["postgresql.lock.waiters"][0]["value"] == 1
    modes = {point["attributes"]["mode"] for point in found["postgresql.database.locks"]}
    assert {"RowExclusiveLock", "ShareLock"} <= modes


async def test_an_idle_session_is_told_once(server: PostgresServer) -> None:
    """What has ended is in one sample, and not in the next."""
    with server.session("shop", "once") as session:
        session.send("SELECT 'private'")
        query = (
            "SELECT FROM pg_stat_activity WHERE application_name = 'once' AND state = 'idle' AND query LIKE 'SELECT%'"
        )
        until(lambda: server.sql(f"SELECT count(*) FROM ({query}) q") == "1", "not done")
        async with Bench(access(server, SAMPLES)) as bench:
            first = [attributes(record)["postgresql.application_name"] for record in await bench.records()]
            second = [attributes(record)["postgresql.application_name"] for record in await bench.records()]
    assert "once" in first
    assert "once" not in second


@pytest.mark.parametrize("version", ["server", "newest"])
async def test_statements_are_told_by_what_was_added(version: str, request: pytest.FixtureRequest) -> None:
    """The first look tells nothing; the next tells exactly the calls since, without values, after its interval."""
    server: PostgresServer = request.getfixturevalue(version)
    statement = "SELECT count(note) FROM orders WHERE note <> 'private'"
    server.sql(*[statement] * 5, database="shop")
    async with Bench(access(server, TOP)) as bench:
        assert await bench.records() == []
        server.sql(*[statement] * 3, database="shop")
        assert await bench.records() == []
        await bench.clock.advance(61)
        records = [record for record in await bench.records() if record.event_name == "db.server.top_query"]
    told = {attributes(record)["db.query.text"]: attributes(record) for record in records}
    assert not any("pg_stat" in text for text in told), "the receiver's own queries are left out"
    one = told["SELECT count(note) FROM orders WHERE note <> ?"]
    assert one["postgresql.calls"] == 3
    assert one["postgresql.rows"] == 3
    assert one["postgresql.total_exec_time"] > 0
    assert one["db.namespace"] == "shop"
    assert one["postgresql.rolname"] == "postgres"
    assert not any("private" in text for text in told)


async def test_passwords_in_statements_are_hidden(server: PostgresServer) -> None:
    """PostgreSQL keeps commands as they were written, passwords included; in a record they are a `?`."""
    async with Bench(access(server, "databases: [postgres], top_query_collection: {enabled: true}")) as bench:
        await bench.measure()
        server.sql("ALTER ROLE small PASSWORD 'secret'", "DO $$ BEGIN PERFORM 'private'; END $$")
        await bench.clock.advance(61)
        texts = [attributes(record)["db.query.text"] for record in await bench.records()]
    assert "ALTER ROLE small PASSWORD ?" in texts
    assert not any("secret" in text or "private" in text for text in texts)


async def test_only_the_most_expensive_are_told(server: PostgresServer) -> None:
    """`top_n_query` bounds the records of one look."""
    more = "top_query_collection: {enabled: true, top_n_query: 2}"
    async with Bench(access(server, more)) as bench:
        await bench.measure()
        server.sql("SELECT 1 + 1", "SELECT 'a'", "SELECT count(*) FROM pg_class")
        await bench.clock.advance(61)
        assert len(await bench.records()) == 2


async def test_without_the_extension_a_hint_says_what_to_do() -> None:
    """Where pg_stat_statements is missing all else is measured, and the status says how to get it."""
    with postgres_server() as plain:
        plain.sql("CREATE ROLE otel LOGIN PASSWORD 'secret'", "GRANT pg_monitor TO otel")
        async with Bench(access(plain, "top_query_collection: {enabled: true}")) as bench:
            found = await bench.measure()
    assert "postgresql.commits" in found
    assert bench.status[0] is Status.OK
    assert "CREATE EXTENSION pg_stat_statements" in bench.status[1]


async def test_queries_that_the_role_may_not_see_are_not_told(server: PostgresServer) -> None:
    """Without pg_monitor there is no sample of what others do, not even that there is something."""
    with server.session("shop", "other") as session:
        session.send("SELECT pg_sleep(30)")
        until(
            lambda: server.sql(
                "SELECT pid FROM pg_stat_activity WHERE query LIKE '%sleep%' AND wait_event = 'PgSleep'"
            ),
            "",
        )
        async with Bench(access(server, SAMPLES, user="small")) as bench:
            assert await bench.records() == []
