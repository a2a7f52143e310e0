"""The receiver against one real server."""

from __future__ import annotations

import asyncio
import inspect
import logging
import signal
import time

import pytest

from sluiceway.component import Status
from sluiceway.errors import ConfigError
from sluiceway.receivers.redis import COMPONENT
from sluiceway.receivers.redis.connection import Link
from sluiceway.service import Collector
from sluiceway.testing import MemorySink, check_metrics
from tests.receivers.redis.bench import EVERYTHING, Bench, settings, values
from tests.servers.redis import RedisServer, redis_server

PLAIN = {
    "redis.uptime": "uptime_in_seconds",
    "redis.clients.connected": "connected_clients",
    "redis.clients.blocked": "blocked_clients",
    "redis.clients.max_input_buffer": "client_recent_max_input_buffer",
    "redis.clients.max_output_buffer": "client_recent_max_output_buffer",
    "redis.keys.expired": "expired_keys",
    "redis.keys.evicted": "evicted_keys",
    "redis.connections.received": "total_connections_received",
    "redis.connections.rejected": "rejected_connections",
    "redis.memory.used": "used_memory",
    "redis.memory.peak": "used_memory_peak",
    "redis.memory.rss": "used_memory_rss",
    "redis.memory.lua": "used_memory_lua",
    "redis.memory.fragmentation_ratio": "mem_fragmentation_ratio",
    "redis.rdb.changes_since_last_save": "rdb_changes_since_last_save",
    "redis.commands": "instantaneous_ops_per_sec",
    "redis.commands.processed": "total_commands_processed",
    "redis.net.input": "total_net_input_bytes",
    "redis.net.output": "total_net_output_bytes",
    "redis.keyspace.hits": "keyspace_hits",
    "redis.keyspace.misses": "keyspace_misses",
    "redis.latest_fork": "latest_fork_usec",
    "redis.slaves.connected": "connected_slaves",
    "redis.replication.backlog_first_byte_offset": "repl_backlog_first_byte_offset",
    "redis.replication.offset": "master_repl_offset",
    "redis.maxmemory": "maxmemory",
    "redis.cluster.cluster_enabled": "cluster_enabled",
    "redis.clients.limit": "maxclients",
    "redis.memory.overhead": "used_memory_overhead",
    "redis.memory.dataset": "used_memory_dataset",
}
"""The fields of INFO behind metrics without attributes."""
DEFAULT = {
    *list(PLAIN)[:25], "redis.cpu.time", "redis.db.keys", "redis.db.expires", "redis.db.avg_ttl",
}  # fmt: skip
"""What the Collector emits of a server with keys when nothing is switched."""
ELSEWHERE = {
    "redis.replication.replica_offset", "redis.replication.link.up", "redis.replication.link.last_io",
    "redis.replication.replica.lag", "redis.replication.replica.ack_age", "redis.cluster.state",
    "redis.cluster.slots_assigned", "redis.cluster.slots_ok", "redis.cluster.slots_pfail", "redis.cluster.slots_fail",
    "redis.cluster.known_nodes", "redis.cluster.node.count", "redis.cluster.stats_messages_sent",
    "redis.cluster.stats_messages_received", "redis.cluster.links_buffer_limit_exceeded.count",
    "redis.sentinel.masters", "redis.sentinel.running_scripts", "redis.sentinel.scripts_queue_length",
    "redis.sentinel.simulate_failure_flags", "redis.sentinel.tilt", "redis.sentinel.tilt_since_seconds",
    "redis.sentinel.total_tilt",
}  # fmt: skip
"""What needs a replica, a cluster or a Sentinel."""


def listen(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The texts that servers answer to INFO from now on."""
    heard: list[bytes] = []
    need = Link.need

    async def listening(self: Link, *command: str | bytes | int):
        reply = await need(self, *command)
        if command[0] == "INFO":
            heard.append(reply)
        return reply

    monkeypatch.setattr(Link, "need", listening)
    return heard


async def test_every_figure_is_the_servers_own(empty: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is emitted is what INFO said in the same measurement, to the last digit."""
    empty.call("SET", "a", "1", "EX", "1000")
    empty.call("GET", "missing")
    empty.call("-n", "3", "SET", "b", "1")
    heard = listen(monkeypatch)
    async with Bench(f"{{endpoint: '{empty.endpoint}', metrics: {EVERYTHING}}}") as bench:
        found = await bench.measure()
    (text,) = heard
    info = dict(line.split(":", 1) for line in text.decode().split("\r\n") if ":" in line)
    assert {name: found[name][0]["value"] for name in PLAIN} == {name: float(info[key]) for name, key in PLAIN.items()}
    assert values(found, "redis.cpu.time", "state") == {
        state: float(info[f"used_cpu_{state}"])
        for state in ("sys", "sys_children", "sys_main_thread", "user", "user_children", "user_main_thread")
    }
    databases = {number: dict(part.split("=") for part in info[f"db{number}"].split(",")) for number in ("0", "3")}
    for name, key in (("redis.db.keys", "keys"), ("redis.db.expires", "expires"), ("redis.db.avg_ttl", "avg_ttl")):
        assert values(found, name, "db") == {number: int(parts[key]) for number, parts in databases.items()}
    calls = {
        key.removeprefix("cmdstat_"): int(value.split(",")[0].removeprefix("calls="))
        for key, value in info.items()
        if key.startswith("cmdstat_")
    }
    assert values(found, "redis.cmd.calls", "cmd") == calls
    latencies = dict(part.split("=") for part in info["latency_percentiles_usec_set"].split(","))
    assert {
        point["attributes"]["percentile"]: point["value"]
        for point in found["redis.cmd.latency"]
        if point["attributes"]["cmd"] == "set"
    } == pytest.approx({name: float(value) / 1e6 for name, value in latencies.items()})
    hits, misses = int(info["keyspace_hits"]), int(info["keyspace_misses"])
    assert found["redis.keyspace.hit_ratio"][0]["value"] == pytest.approx(hits / (hits + misses))


async def test_all_that_is_declared_is_emitted(empty: RedisServer) -> None:
    """And as it was declared; what needs a replica, a cluster or a Sentinel is shown where these are."""
    empty.call("XADD", "s", "*", "f", "v")
    empty.call("XGROUP", "CREATE", "s", "g", "0")
    empty.call("GET", "missing")
    empty.call("LPUSH", "s", "no list")
    yaml = f"{{endpoint: '{empty.endpoint}', streams: [s], key_groups: {{all: '*'}}, metrics: {EVERYTHING}}}"
    async with Bench(yaml) as bench:
        await bench.measure()
    assert check_metrics(COMPONENT, bench.sink.batches) == ELSEWHERE


async def test_only_the_collectors_metrics_are_on(empty: RedisServer) -> None:
    """The default set is the Collector's, and so is the resource."""
    empty.call("SET", "a", "1", "EX", "1000")
    async with Bench(f"{{endpoint: '{empty.endpoint}'}}") as bench:
        found = await bench.measure()
    assert set(found) == DEFAULT
    assert found["redis.uptime"][0]["resource"] == {"redis.version": empty.info()["redis_version"]}
    assert bench.status == (Status.OK, "")


async def test_counters_start_when_the_server_did(empty: RedisServer) -> None:
    """The start stays the same from measurement to measurement, and moves when the counters were set to zero."""
    async with Bench(f"{{endpoint: '{empty.endpoint}'}}") as bench:
        found = [await bench.measure()]
        await bench.clock.advance(10)
        found.append(await bench.measure())
        empty.call("CONFIG", "RESETSTAT")
        await bench.clock.advance(10)
        found.append(await bench.measure())
    starts = [
        [entry[name][0]["point"].start_time_unix_nano for entry in found]
        for name in ("redis.uptime", "redis.commands.processed")
    ]
    first, uptime = starts[0][0], found[0]["redis.uptime"][0]["value"]
    assert first == found[0]["redis.uptime"][0]["point"].time_unix_nano - uptime * 10**9
    assert starts == [[first, first, first], [first, first, found[1]["redis.uptime"][0]["point"].time_unix_nano]]


async def test_a_server_that_goes_and_comes_back(tmp_path, caplog: pytest.LogCaptureFixture) -> None:
    """Each change shows in the status and is logged once; the new run counts from its own start."""
    with redis_server(tmp_path) as server, caplog.at_level(logging.INFO, "redis-test"):
        async with Bench(f"{{endpoint: '{server.endpoint}'}}") as bench:
            before = await bench.measure()
            server.stop()
            for _ in range(3):
                assert await bench.measure() == {}
                await bench.clock.advance(10)
            status, text = bench.status
            assert status is Status.RECOVERABLE_ERROR
            assert f"127.0.0.1:{server.port}" in text
            server.start()
            after = await bench.measure()
            assert bench.status == (Status.OK, "")
    assert [record.message for record in caplog.records] == ["Error scraping metrics", "Scraping works again"]
    starts = [found["redis.uptime"][0]["point"].start_time_unix_nano for found in (before, after)]
    assert starts[1] > starts[0]


async def test_a_server_that_restarts_between_two_measurements_is_not_missed(tmp_path) -> None:
    """A connection that died meanwhile is replaced at once."""
    with redis_server(tmp_path) as server:
        async with Bench(f"{{endpoint: '{server.endpoint}'}}") as bench:
            await bench.measure()
            server.stop(signal.SIGTERM)
            server.start()
            assert await bench.measure()
            assert [status for status, _ in bench.statuses] == [Status.OK, Status.OK]


async def test_starting_does_not_need_the_server() -> None:
    """It starts, and says what is wrong when it measures."""
    async with Bench("{endpoint: '127.0.0.1:1'}") as bench:
        await bench.measure()
        status, text = bench.status
    assert status is Status.RECOVERABLE_ERROR
    assert "127.0.0.1:1" in text


async def something(sink: MemorySink) -> None:
    """Wait until something arrives."""
    deadline = time.monotonic() + 20
    while not sink.batches:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_in_a_collector(empty: RedisServer) -> None:
    """Between receiver and exporters nothing is missing, in both kinds of pipelines."""
    empty.call("CONFIG", "SET", "slowlog-log-slower-than", "5000")
    yaml = f"""
        receivers: {{redis: {{endpoint: '{empty.endpoint}', collection_interval: 50ms, initial_delay: 0s}}}}
        exporters:
          metrics: {{component: sluiceway.testing:MemorySink}}
          logs: {{component: sluiceway.testing:MemorySink}}
        service:
          telemetry: {{metrics: {{level: none}}}}
          pipelines:
            metrics: {{receivers: [redis], exporters: [metrics]}}
            logs: {{receivers: [redis], exporters: [logs]}}
    """
    async with Collector.from_yaml(inspect.cleandoc(yaml)) as collector:
        await something(collector.component("exporter", "metrics"))
        await asyncio.to_thread(empty.call, "DEBUG", "SLEEP", "0.01")
        await something(collector.component("exporter", "logs"))
    balances = {balance.pipeline: balance for balance in collector.ledger.balances()}
    assert (balances["logs"].delivered, balances["logs"].missing, balances["metrics"].missing) == (1, 0, 0)


@pytest.mark.parametrize(
    ("yaml", "text"),
    [
        ("{}", "endpoint"),
        ("{endpoint: localhost}", 'invalid endpoint "localhost": expected host:port'),
        ("{endpoint: ':6379'}", "expected host:port"),
        ("{endpoint: 'a:1', username: u}", "a username needs a password"),
        ("{endpoint: /run/redis.sock, transport: unix, tls: {insecure: false}}", "no TLS on a unix socket"),
        ("{endpoint: 'a:1', transport: udp}", "transport"),
        ("{endpoint: 'a:1', streams: ['']}", "a name must not be empty"),
        ("{endpoint: 'a:1', cluster: {mode: on}}", "mode"),
        ("{endpoint: 'a:1', node_timeout: 0s}", "node_timeout"),
        ("{endpoint: 'a:1', metrics: {redis.uptme: {enabled: true}}}", 'did you mean "redis.uptime"?'),
    ],
)
def test_mistakes_are_reported_by_their_keys(yaml: str, text: str) -> None:
    """Before anything starts."""
    with pytest.raises(ConfigError) as caught:
        settings(yaml)
    assert text in str(caught.value)
