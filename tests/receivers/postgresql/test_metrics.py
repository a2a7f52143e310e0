"""The metrics of real servers, held against the servers' own views."""

from __future__ import annotations

import pytest

from sluiceway.component import Status
from sluiceway.testing import check_metrics
from tests.receivers.postgresql.bench import COMPONENT, EVERYTHING, Bench, access, values
from tests.servers.postgresql import PostgresServer, postgres_server, until

DEFAULT = {
    "postgresql.backends", "postgresql.commits", "postgresql.rollbacks", "postgresql.db_size",
    "postgresql.table.count", "postgresql.rows", "postgresql.operations", "postgresql.blocks_read",
    "postgresql.table.size", "postgresql.table.vacuum.count", "postgresql.index.scans", "postgresql.index.size",
    "postgresql.bgwriter.buffers.allocated", "postgresql.bgwriter.buffers.writes",
    "postgresql.bgwriter.checkpoint.count", "postgresql.bgwriter.duration", "postgresql.bgwriter.maxwritten",
    "postgresql.connection.max", "postgresql.database.count",
}  # fmt: skip
"""What the Collector emits of a server without a standby and without an archive."""


async def test_what_the_collector_has_on_is_on(server: PostgresServer) -> None:
    """Without settings the Collector's set is emitted and nothing else, and all is as it was declared."""
    async with Bench(access(server)) as bench:
        found = await bench.measure()
    assert set(found) - {"postgresql.replication.data_delay", "postgresql.wal.lag"} == DEFAULT
    check_metrics(COMPONENT, bench.sink.batches)
    assert bench.status == (Status.OK, "")


async def test_figures_are_the_servers_own(server: PostgresServer) -> None:
    """After a known load, tables, indexes and databases have the figures that the server's views have."""
    server.run("pgbench", *server.where(), "-i", "-q", "-s", "1", "shop")
    server.run("pgbench", *server.where(), "-t", "50", "-c", "2", "-n", "shop")
    tables = "SELECT 'public.' || relname, {} FROM pg_stat_user_tables ORDER BY 1"
    calm = "SELECT sum(n_tup_upd) FROM pg_stat_user_tables WHERE relname LIKE 'pgbench%'"
    until(lambda: int(server.sql(calm, database="shop")) >= 300, "the statistics do not arrive")

    def own(query: str) -> dict[str, int]:
        lines = (line.split("|") for line in server.sql(query, database="shop").splitlines())
        return {name: int(value) for name, value in lines}

    async with Bench(access(server, "databases: [shop]")) as bench:
        found = await bench.measure()

    def ours(name: str, key: str, **attributes: str) -> dict[str, int]:
        return {
            point["resource"][key]: point["value"]
            for point in found[name]
            if point["attributes"].items() >= attributes.items()
        }

    table = "postgresql.table.name"
    for operation in ("ins", "upd", "del", "hot_upd"):
        assert ours("postgresql.operations", table, operation=operation) == own(tables.format(f"n_tup_{operation}"))
    assert ours("postgresql.rows", table, state="live") == own(tables.format("n_live_tup"))
    assert ours("postgresql.table.size", table) == own(tables.format("pg_relation_size(relid)"))
    assert ours("postgresql.table.vacuum.count", table) == own(tables.format("vacuum_count"))
    indexes = "SELECT indexrelname, {} FROM pg_stat_user_indexes"
    assert ours("postgresql.index.size", "postgresql.index.name") == own(indexes.format("pg_relation_size(indexrelid)"))
    assert ours("postgresql.index.scans", "postgresql.index.name") == own(indexes.format("idx_scan"))
    name = "postgresql.database.name"
    assert values(found, "postgresql.db_size", name) == own("SELECT 'shop', pg_database_size('shop')")
    assert values(found, "postgresql.table.count", name) == {"shop": 5}
    assert found["postgresql.connection.max"][0]["value"] == int(server.sql("SHOW max_connections"))


async def test_18_tells_of_checkpoints_elsewhere(newest: PostgresServer) -> None:
    """PostgreSQL 18 has checkpoints in a view of their own, tells no writes of backends, and has pg_stat_io."""
    newest.sql("CHECKPOINT")
    async with Bench(access(newest, f"metrics: {EVERYTHING}")) as bench:
        found = await bench.measure()
    check_metrics(COMPONENT, bench.sink.batches)
    own = newest.sql("SELECT num_requested, num_timed FROM pg_stat_checkpointer").split("|")
    assert values(found, "postgresql.bgwriter.checkpoint.count", "type") == dict(
        zip(("requested", "scheduled"), map(int, own), strict=True)
    )
    assert set(values(found, "postgresql.bgwriter.buffers.writes", "source")) == {"bgwriter", "checkpoints"}
    assert {"read", "hit", "extend"} <= set(values(found, "postgresql.io.operations", "operation"))
    assert bench.status == (Status.OK, "")


async def test_15_tells_writes_of_backends(server: PostgresServer) -> None:
    """Before 17 pg_stat_bgwriter has all four sources, and there is no pg_stat_io before 16."""
    async with Bench(access(server, f"metrics: {EVERYTHING}")) as bench:
        found = await bench.measure()
    sources = {"bgwriter", "checkpoints", "backend", "backend_fsync"}
    assert set(values(found, "postgresql.bgwriter.buffers.writes", "source")) == sources
    assert "postgresql.io.operations" not in found
    assert bench.status == (Status.OK, "")


async def test_every_declared_metric_is_emitted(
    server: PostgresServer, newest: PostgresServer, standby: PostgresServer
) -> None:
    """Between a primary of each version and a standby, every metric is emitted that needs no TimescaleDB."""
    for each in (server, newest):
        each.sql("SELECT pg_create_physical_replication_slot('kept', true) FROM (SELECT 1) x WHERE NOT EXISTS"
                 " (SELECT FROM pg_replication_slots WHERE slot_name = 'kept')")  # fmt: skip
        each.sql("VACUUM ANALYZE orders", database="shop")
    missing = set()
    with server.session("shop") as session:
        session.send("BEGIN")
        session.send("LOCK TABLE orders IN SHARE MODE")
        held = "SELECT count(*) FROM pg_locks WHERE mode = 'ShareLock' AND granted"
        until(lambda: server.sql(held) != "0", "no lock")
        for number, each in enumerate((server, newest, standby)):
            async with Bench(access(each, f"metrics: {EVERYTHING}")) as bench:
                await bench.measure()
            left = check_metrics(COMPONENT, bench.sink.batches)
            missing = missing & left if number else left
    rest = {name for name in missing if not name.startswith("timescaledb.")}
    assert rest <= {
        "postgresql.wal.age", "postgresql.vacuum.running", "postgresql.wal.lag", "postgresql.wal.delay",
        "postgresql.replication.data_delay",
    }  # fmt: skip


async def test_archiving_has_an_age() -> None:
    """Once WAL is archived, the time since is told, and failures are counted."""
    with postgres_server("archive_mode = on\narchive_command = 'true'\n") as archiving:
        archiving.sql("CREATE ROLE otel LOGIN PASSWORD 'secret'", "GRANT pg_monitor TO otel", "SELECT pg_switch_wal()")
        until(lambda: archiving.sql("SELECT archived_count FROM pg_stat_archiver") != "0", "nothing is archived")
        async with Bench(access(archiving, "metrics: {postgresql.archiver.archived: {enabled: true}}")) as bench:
            found = await bench.measure()
    assert 0 <= found["postgresql.wal.age"][0]["value"] < 30
    assert found["postgresql.archiver.archived"][0]["value"] >= 1


async def test_a_deadlock_is_counted(server: PostgresServer) -> None:
    """Two sessions that wait for each other count one deadlock more in their database."""
    query = "SELECT deadlocks FROM pg_stat_database WHERE datname = 'shop'"
    before = int(server.sql(query))
    with server.session("shop") as first, server.session("shop") as second:
        for session, row in ((first, 1), (second, 2)):
            session.send("BEGIN")
            session.send(f"UPDATE orders SET note = 'x' WHERE id = {row}")
        open_ = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND query LIKE 'UPDATE%'"
        until(lambda: server.sql(open_) == "2", "they do not begin")
        first.send("UPDATE orders SET note = 'x' WHERE id = 2")
        second.send("UPDATE orders SET note = 'x' WHERE id = 1")
        for session in (first, second):
            session.send("ROLLBACK")
            session.send("SELECT pg_stat_force_next_flush()")  # otherwise the server counts within ten seconds
        until(lambda: int(server.sql(query)) > before, "no deadlock")
    async with Bench(access(server, "metrics: {postgresql.deadlocks: {enabled: true}}")) as bench:
        found = await bench.measure()
    assert values(found, "postgresql.deadlocks", "postgresql.database.name")["shop"] == before + 1


async def test_the_load_of_pgbench(server: PostgresServer) -> None:
    """A hundred transactions of pgbench are counted: commits, and the rows that each of them changes."""
    server.sql("CREATE DATABASE bench")
    where = (*server.where(), "bench")
    server.run("pgbench", "--initialize", "--quiet", *where)
    before = int(server.sql("SELECT xact_commit FROM pg_stat_database WHERE datname = 'bench'"))
    server.run("pgbench", "--client", "2", "--transactions", "50", "--no-vacuum", *where)
    async with Bench(access(server, "databases: [bench]")) as bench:
        found = await bench.measure()
    server.sql("DROP DATABASE bench WITH (FORCE)")
    changed = {
        (point["resource"]["postgresql.table.name"], point["attributes"]["operation"]): point["value"]
        for point in found["postgresql.operations"]
    }
    assert changed["public.pgbench_history", "ins"] == 100
    updates = {table: changed[f"public.pgbench_{table}", "upd"] for table in ("accounts", "tellers", "branches")}
    assert updates == {"accounts": 100, "tellers": 100, "branches": 100}
    (commits,) = values(found, "postgresql.commits", "postgresql.database.name").values()
    assert commits >= before + 100


async def test_the_size_of_what_is_locked_is_left_out(server: PostgresServer) -> None:
    """A table that is locked exclusively holds nobody up: its other figures are there, its size is not."""
    with server.session("shop") as session:
        session.send("BEGIN")
        session.send("LOCK TABLE orders")
        held = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted"
        until(lambda: server.sql(held) == "1", "no lock")
        async with Bench(access(server, "databases: [shop]")) as bench:
            found = await bench.measure()
    assert "public.orders" not in values(found, "postgresql.table.size", "postgresql.table.name")
    assert "public.orders" in values(found, "postgresql.operations", "postgresql.table.name")
    assert bench.status == (Status.OK, "")


async def test_limits_leave_out_and_say_so(server: PostgresServer) -> None:
    """Of more tables than `max_tables` the largest are measured, the number of all is told, and the status says it."""
    server.sql("CREATE TABLE IF NOT EXISTS more (id int)", database="shop")
    async with Bench(access(server, "databases: [shop], max_tables: 1")) as bench:
        found = await bench.measure()
    assert len(found["postgresql.table.size"]) == 1
    assert found["postgresql.table.count"][0]["value"] > 1
    assert "1 of" in bench.status[1]
    assert "max_tables" in bench.status[1]


async def test_a_role_without_rights_gets_a_part_and_a_hint(server: PostgresServer) -> None:
    """Without pg_monitor what everybody sees is emitted, and the status names the GRANT."""
    async with Bench(access(server, user="small")) as bench:
        found = await bench.measure()
    assert set(found) >= DEFAULT - {"postgresql.table.size"}
    assert bench.status[0] is Status.OK
    assert 'GRANT pg_monitor TO "small"' in bench.status[1]


@pytest.mark.parametrize("setting", ["databases: [shop]", "exclude_databases: [postgres]"])
async def test_databases_are_chosen(server: PostgresServer, setting: str) -> None:
    """`databases` and `exclude_databases` choose, and databases are found anew each time."""
    try:
        async with Bench(access(server, setting)) as bench:
            found = await bench.measure()
            assert set(values(found, "postgresql.commits", "postgresql.database.name")) == {"shop"}
            server.sql("CREATE DATABASE later")
            found = await bench.measure()
            names = set(values(found, "postgresql.commits", "postgresql.database.name"))
            assert names == {"shop"} | ({"later"} if "exclude" in setting else set())
    finally:
        server.sql("DROP DATABASE IF EXISTS later")


async def test_a_database_that_is_closed_to_the_role_names_its_grant(server: PostgresServer) -> None:
    """What the server says of it is emitted, its tables are not, and the status names the GRANT; names are quoted."""
    server.sql('CREATE DATABASE "a""b"', 'REVOKE CONNECT ON DATABASE "a""b" FROM PUBLIC')
    try:
        async with Bench(access(server)) as bench:
            found = await bench.measure()
    finally:
        server.sql('DROP DATABASE "a""b"')
    assert 'a"b' in values(found, "postgresql.commits", "postgresql.database.name")
    assert 'a"b' not in values(found, "postgresql.table.count", "postgresql.database.name")
    assert 'GRANT CONNECT ON DATABASE "a""b" TO "otel"' in bench.status[1]


async def test_names_of_tenants_cannot_do_anything(server: PostgresServer) -> None:
    """Schemas, tables and functions of users, however they are called, are names; none of theirs is ever run."""
    server.sql(
        "CREATE FUNCTION public.pg_relation_size(oid) RETURNS bigint LANGUAGE sql AS 'SELECT 7::bigint'",
        """CREATE SCHEMA "x'; DROP TABLE orders; --" """,
        """CREATE TABLE "x'; DROP TABLE orders; --"."naïve ""table" AS SELECT 1 AS a""",
        database="shop",
    )
    try:
        async with Bench(access(server, f"databases: [shop], metrics: {EVERYTHING}")) as bench:
            found = await bench.measure()
    finally:
        server.sql(
            "DROP FUNCTION public.pg_relation_size(oid)", """DROP SCHEMA "x'; DROP TABLE orders; --" CASCADE""",
            database="shop",
        )  # fmt: skip
    sizes = values(found, "postgresql.table.size", "postgresql.table.name")
    assert sizes["""x'; DROP TABLE orders; --.naïve "table"""] == 8192
    assert 7 not in sizes.values()
