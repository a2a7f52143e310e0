"""A real replica, whose lag and link are seen from both sides; and a real Sentinel."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sluiceway.component import Status
from sluiceway.receivers.redis import COMPONENT
from sluiceway.testing import check_metrics
from tests.receivers.redis.bench import EVERYTHING, Bench, values
from tests.servers.redis import RedisServer, redis_sentinel, redis_server, until


@pytest.fixture
def pair(tmp_path) -> Iterator[tuple[RedisServer, RedisServer]]:
    """A primary and its replica."""
    with redis_server(tmp_path / "primary") as primary:
        of = ("--replicaof", "127.0.0.1", str(primary.port))
        with redis_server(tmp_path / "replica", *of) as replica:
            until(lambda: replica.info("replication").get("master_link_status") == "up", "the replica is not linked")
            yield primary, replica


async def test_a_replica_that_lags(pair: tuple[RedisServer, RedisServer]) -> None:
    """The primary says by how many bytes, exactly, and it is over when the replica goes on."""
    primary, replica = pair
    name = replica.endpoint
    async with Bench(f"{{endpoint: '{primary.endpoint}', metrics: {EVERYTHING}}}") as bench:
        replica.pause()
        primary.call("SET", "a", "x" * 10_000)
        found = await bench.measure()
        lag = values(found, "redis.replication.replica.lag", "replica")[name]
        assert 10_000 < lag <= _behind(primary)
        assert values(found, "redis.role", "role") == {"primary": 1}
        assert found["redis.slaves.connected"][0]["value"] == 1
        replica.resume()
        until(lambda: replica.call("GET", "a"), "the replica does not go on")
        until(lambda: _behind(primary) < 500, "the replica does not acknowledge")
        found = await bench.measure()
        assert values(found, "redis.replication.replica.lag", "replica")[name] < 1000


def _behind(primary: RedisServer) -> int:
    """Bytes that the replica has not acknowledged, as the primary knows now."""
    info = primary.info("replication")
    offset = dict(part.split("=") for part in info["slave0"].split(","))["offset"]
    return int(info["master_repl_offset"]) - int(offset)


async def test_the_link_of_a_replica(pair: tuple[RedisServer, RedisServer]) -> None:
    """The replica says whether it is connected, and how far it has read."""
    primary, replica = pair
    async with Bench(f"{{endpoint: '{replica.endpoint}', metrics: {EVERYTHING}}}") as bench:
        found = await bench.measure()
        assert (found["redis.replication.link.up"][0]["value"], values(found, "redis.role", "role")) == (
            1,
            {"replica": 1},
        )
        assert found["redis.replication.link.last_io"][0]["value"] in (0, 1, 2)
        assert found["redis.replication.replica_offset"][0]["value"] <= int(primary.info()["master_repl_offset"])
        primary.stop()
        until(lambda: replica.info("replication")["master_link_status"] == "down", "the link stays up")
        found = await bench.measure()
        assert found["redis.replication.link.up"][0]["value"] == 0
        assert "redis.replication.link.last_io" not in found
        assert bench.status == (Status.OK, "")


async def test_a_sentinel(tmp_path) -> None:
    """It says what it watches, and is not asked for what it does not have."""
    with redis_server(tmp_path / "watched") as watched, redis_sentinel(tmp_path / "sentinel", watched) as sentinel:
        async with Bench(f"{{endpoint: '{sentinel.endpoint}', metrics: {EVERYTHING}, streams: [s]}}") as bench:
            found = await bench.measure()
    assert found["redis.sentinel.masters"][0]["value"] == 1
    assert values(found, "redis.mode", "mode") == {"sentinel": 1}
    assert bench.status == (Status.OK, "")
    missing = {name for name in check_metrics(COMPONENT, bench.sink.batches) if "sentinel" in name}
    assert missing <= {"redis.sentinel.total_tilt"}  # which came with Redis 7.4
