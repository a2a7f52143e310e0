"""Streams, their groups, and groups of keys on a real server."""

from __future__ import annotations

import subprocess

import pytest

from sluiceway.component import Status
from sluiceway.receivers.redis.keys import STEP
from tests.receivers.redis.bench import Bench, values
from tests.servers.redis import RedisServer


def fill(server: RedisServer, commands: str) -> None:
    """Run many commands at once."""
    command = ["redis-cli", "-p", str(server.port), "--pipe-timeout", "20", "--pipe"]
    subprocess.run(command, input=commands.encode(), check=True, capture_output=True, timeout=30)


async def test_a_stream_and_its_groups(empty: RedisServer) -> None:
    """Length, lag, what is pending and who reads: as the commands were that made them."""
    for number in range(10):
        empty.call("XADD", "orders", "*", "n", str(number))
    empty.call("XGROUP", "CREATE", "orders", "billing", "0")
    empty.call("XGROUP", "CREATE", "orders", "mail", "$")
    for consumer, count in (("a", "3"), ("b", "1")):
        empty.call("XREADGROUP", "GROUP", "billing", consumer, "COUNT", count, "STREAMS", "orders", ">")
    first = empty.call("XRANGE", "orders", "-", "+", "COUNT", "1").splitlines()[0]
    empty.call("XACK", "orders", "billing", first)
    async with Bench(f"{{endpoint: '{empty.endpoint}', streams: [orders, missing]}}") as bench:
        found = await bench.measure()
    assert values(found, "redis.stream.length", "stream") == {"orders": 10}
    assert values(found, "redis.stream.group.lag", "group") == {"billing": 6, "mail": 0}
    assert values(found, "redis.stream.group.pending", "group") == {"billing": 3, "mail": 0}
    assert values(found, "redis.stream.group.consumers", "group") == {"billing": 2, "mail": 0}
    assert bench.status == (Status.OK, "")


async def test_a_lag_that_the_server_does_not_know_is_left_out(empty: RedisServer) -> None:
    """As after entries were deleted that a group has not read."""
    for number in range(5):
        empty.call("XADD", "s", f"{number + 1}-0", "n", "1")
    empty.call("XGROUP", "CREATE", "s", "g", "2-0")
    empty.call("XDEL", "s", "4-0")
    async with Bench(f"{{endpoint: '{empty.endpoint}', streams: [s]}}") as bench:
        found = await bench.measure()
    assert "redis.stream.group.lag" not in found
    assert values(found, "redis.stream.group.pending", "group") == {"g": 0}


async def test_streams_are_found_by_pattern(empty: RedisServer) -> None:
    """Keys of other types are no streams, and a hundred are the most."""
    for number in range(3):
        empty.call("XADD", f"orders:{number}", "*", "f", "v")
    empty.call("SET", "orders:x", "1")
    empty.call("XADD", "other", "*", "f", "v")
    async with Bench(f"{{endpoint: '{empty.endpoint}', streams: ['orders:*', 'orders:1']}}") as bench:
        found = await bench.measure()
        assert values(found, "redis.stream.length", "stream") == {f"orders:{number}": 1 for number in range(3)}
        empty.call("DEL", "orders:0")
        assert set(values(await bench.measure(), "redis.stream.length", "stream")) == {"orders:1", "orders:2"}
        fill(empty, "".join(f"XADD orders:{number} * f v\n" for number in range(200)))
        assert len((await bench.measure())["redis.stream.length"]) == 100
        assert "more than 100 streams" in bench.status[1]


async def test_a_name_that_is_no_stream_is_told(empty: RedisServer) -> None:
    """The others are measured."""
    empty.call("SET", "text", "1")
    empty.call("XADD", "s", "*", "f", "v")
    async with Bench(f"{{endpoint: '{empty.endpoint}', streams: [text, s]}}") as bench:
        found = await bench.measure()
    assert values(found, "redis.stream.length", "stream") == {"s": 1}
    assert bench.status == (Status.OK, "incomplete: redis: text is no stream")


async def test_groups_of_keys_are_counted_and_weighed(empty: RedisServer) -> None:
    """As many as there are, in the database that was chosen."""
    fill(
        empty, "SELECT 2\n" + "".join(f"SET session:{number} {'x' * 100}\n" for number in range(500)) + "SET other 1\n"
    )
    yaml = "key_groups: {sessions: 'session:*', all: '*'}, scan: {database: 2}"
    on = "metrics: {redis.key_group.memory: {enabled: true}}"
    async with Bench(f"{{endpoint: '{empty.endpoint}', {yaml}, {on}}}") as bench:
        found = await bench.measure()
    assert values(found, "redis.key_group.keys", "key_group") == {"sessions": 500, "all": 501}
    usage = int(empty.call("-n", "2", "MEMORY", "USAGE", "session:7"))
    assert values(found, "redis.key_group.memory", "key_group")["sessions"] == pytest.approx(500 * usage, rel=0.05)


async def test_no_measurement_looks_at_more_keys_than_it_may(empty: RedisServer) -> None:
    """A large server is gone through in parts; the last complete count is told meanwhile."""
    fill(empty, "".join(f"SET k:{number} 1\n" for number in range(4 * STEP)))
    async with Bench(
        f"{{endpoint: '{empty.endpoint}', key_groups: {{k: 'k:*'}}, scan: {{max_keys: {STEP}}}}}"
    ) as bench:
        empty.call("CONFIG", "RESETSTAT")
        assert "redis.key_group.keys" not in await bench.measure()
        assert "cmdstat_scan:calls=1," in empty.call("INFO", "commandstats")
        counts = [(await bench.measure()).get("redis.key_group.keys") for _ in range(10)]
        told = [points[0]["value"] for points in counts if points]
        assert set(told) == {4 * STEP}
        assert len(told) >= 6
