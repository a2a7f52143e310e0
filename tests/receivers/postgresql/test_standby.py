"""Replication, seen from the primary and from the standby."""

from __future__ import annotations

from sluiceway.component import Status
from tests.receivers.postgresql.bench import EVERYTHING, Bench, access
from tests.servers.postgresql import PostgresServer, until


async def test_delay_grows_while_replay_is_paused(server: PostgresServer, standby: PostgresServer) -> None:
    """While a standby does not replay, bytes and time behind grow on both sides, and are gone when it goes on."""
    more = f"metrics: {EVERYTHING}"
    server.sql("UPDATE orders SET note = 'before'", database="shop")  # a standby knows no delay before its first
    until(lambda: standby.sql("SELECT pg_last_xact_replay_timestamp() IS NULL") == "f", "nothing is replayed")
    standby.sql("SELECT pg_wal_replay_pause()")
    server.sql("UPDATE orders SET note = repeat('x', 100)", database="shop")
    behind = "SELECT pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())"
    until(lambda: float(standby.sql(behind)) > 100_000, "nothing arrives")
    async with Bench(access(server, more)) as there, Bench(access(standby, more)) as here:
        primary, own = await there.measure(), await here.measure()
        delay = primary["postgresql.replication.data_delay"][0]
        assert delay["value"] > 100_000
        assert delay["attributes"] == {"replication_client": "127.0.0.1"}
        assert own["postgresql.standby.replay.lag"][0]["value"] > 100_000
        assert own["postgresql.standby.replay.delay"][0]["value"] > 0
        assert own["postgresql.standby.connected"][0]["value"] == 1
        standby.sql("SELECT pg_wal_replay_resume()")
        until(lambda: float(standby.sql(behind)) == 0, "it does not catch up")
        until(lambda: server.sql("SELECT FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_lsn()") == "", "")
        own = await here.measure()
        assert own["postgresql.standby.replay.lag"][0]["value"] == 0
        assert own["postgresql.standby.replay.delay"][0]["value"] == 0
    assert there.status == (Status.OK, "")
    assert here.status == (Status.OK, "")


async def test_delay_by_operation(server: PostgresServer, standby: PostgresServer) -> None:
    """Just after something was written, the primary knows how long each step took on the standby."""
    server.sql("UPDATE orders SET note = 'y'", database="shop")
    lag = "SELECT count(*) FROM pg_stat_replication WHERE write_lag IS NOT NULL AND replay_lag IS NOT NULL"
    until(lambda: server.sql(lag) == "1", "no lag is known")
    async with Bench(access(server, "metrics: {postgresql.wal.delay: {enabled: true}}")) as bench:
        found = await bench.measure()
    seconds = {point["attributes"]["operation"]: point["value"] for point in found["postgresql.wal.delay"]}
    assert set(seconds) == {"write", "flush", "replay"}
    assert 0 < seconds["write"] <= seconds["replay"] < 10
    whole = {point["attributes"]["operation"]: point["value"] for point in found["postgresql.wal.lag"]}
    assert whole == {operation: int(value) for operation, value in seconds.items()}


async def test_what_a_slot_retains(server: PostgresServer) -> None:
    """A slot that nobody reads keeps WAL, and tells how much."""
    server.sql("SELECT pg_create_physical_replication_slot('idle', true)")
    try:
        server.sql("UPDATE orders SET note = 'z'", database="shop")
        async with Bench(access(server, f"metrics: {EVERYTHING}")) as bench:
            found = await bench.measure()
    finally:
        server.sql("SELECT pg_drop_replication_slot('idle')")
    retained = {point["attributes"]["slot"]: point["value"] for point in found["postgresql.replication.slot.retained"]}
    active = {point["attributes"]["slot"]: point["value"] for point in found["postgresql.replication.slot.active"]}
    assert retained["idle"] > 1000
    assert active["idle"] == 0
