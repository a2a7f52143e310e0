"""Debian's Prometheus exporter for Redis beside the receiver, at the same server."""

from __future__ import annotations

import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.ports import free_port
from tests.receivers.redis.bench import EVERYTHING, Bench
from tests.servers import program
from tests.servers.redis import RedisServer, until

SAME = {
    "redis.db.keys": "redis_db_keys",
    "redis.db.expires": "redis_db_keys_expiring",
    "redis.keys.expired": "redis_expired_keys_total",
    "redis.keys.evicted": "redis_evicted_keys_total",
    "redis.keyspace.misses": "redis_keyspace_misses_total",
    "redis.connections.rejected": "redis_rejected_connections_total",
    "redis.rdb.changes_since_last_save": "redis_rdb_changes_since_last_save",
    "redis.slaves.connected": "redis_connected_slaves",
    "redis.replication.offset": "redis_master_repl_offset",
    "redis.maxmemory": "redis_memory_max_bytes",
    "redis.clients.limit": "redis_config_maxclients",
    "redis.clients.blocked": "redis_blocked_clients",
    "redis.stream.length": "redis_stream_length",
    "redis.stream.group.pending": "redis_stream_group_messages_pending",
}
"""What does not change by being asked for, as hits do."""


@pytest.fixture
def exporter(empty: RedisServer) -> Iterator[str]:
    """Where the exporter's metrics are."""
    port = free_port()
    command = [
        str(program("prometheus-redis-exporter", "prometheus-redis-exporter")), "-redis.addr",
        f"redis://{empty.endpoint}", "-web.listen-address", f"127.0.0.1:{port}", "-check-single-streams", "db0=s",
    ]  # fmt: skip
    url = f"http://127.0.0.1:{port}/metrics"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until(lambda: _get(url), "the exporter does not answer")
        yield url
        process.kill()


async def test_both_say_the_same(empty: RedisServer, exporter: str) -> None:
    """The same figures under other names; calls of commands too."""
    for number in range(20):
        empty.call("SET", f"k{number}", "1", *(("EX", "1000") if number % 2 else ()))
        empty.call("GET", f"k{number + 5}")
    empty.call("XADD", "s", "*", "f", "v")
    empty.call("XGROUP", "CREATE", "s", "g", "0")
    empty.call("XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">")
    async with Bench(f"{{endpoint: '{empty.endpoint}', streams: [s], metrics: {EVERYTHING}}}") as bench:
        found = await bench.measure()
    other: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(_get(exporter)):
        for sample in family.samples:
            other.setdefault(sample.name, []).append((sample.labels, sample.value))
    for ours, theirs in SAME.items():
        expected = {labels.get("db", ""): value for labels, value in other[theirs] if value or "db" not in labels}
        told = {f"db{p['attributes']['db']}" if "db" in p["attributes"] else "": p["value"] for p in found[ours]}
        if "stream" in ours:
            expected = {"": next(iter(expected.values()))}
        assert {key: value for key, value in told.items() if value} == {k: v for k, v in expected.items() if v}, ours
    calls = {labels["cmd"]: value for labels, value in other["redis_commands_total"]}
    ours_by_command = {point["attributes"]["cmd"]: point["value"] for point in found["redis.cmd.calls"]}
    assert {name: calls[name] for name in ("set", "get", "xadd")} == {
        name: ours_by_command[name] for name in ("set", "get", "xadd")
    }


def _get(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return str(answer.read().decode())
    except urllib.error.URLError:
        return ""
