"""A real cluster of three primaries and their replicas, in which nodes die and come back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sluiceway.component import Status, SystemClock
from sluiceway.receivers.redis import COMPONENT
from sluiceway.testing import check_metrics
from tests.receivers.redis.bench import EVERYTHING, Bench, values
from tests.servers.redis import Cluster, RedisServer, redis_cluster

FIRST = 5461
"""Slots of the first primary; the others have 10923."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster that all tests here share."""
    with redis_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def cluster(running: Cluster) -> Iterator[Cluster]:
    """The cluster; afterwards all nodes run again, as they were set up."""
    yield running
    running.mend()


def chosen(cluster: Cluster, more: str = "") -> str:
    """Settings with all metrics on."""
    return f"{{endpoint: '{cluster.servers[0].endpoint}', metrics: {EVERYTHING}, {more}}}"


async def measure_until(bench: Bench, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Measure again and again until it shows."""
    deadline = time.monotonic() + 20
    while True:
        await bench.clock.advance(10)
        found = await bench.measure()
        if holds(found):
            return found
        assert time.monotonic() < deadline, (bench.status, {name: values(found, name, "server.port") for name in found})


def seen(found: dict[str, Any], name: str) -> set[float]:
    """What the nodes say, all together."""
    return set(values(found, f"redis.cluster.{name}", "server.port").values())


async def test_every_node_is_a_resource_of_its_own(cluster: Cluster) -> None:
    """One endpoint is enough: id, address and role are those that the cluster has for each."""
    async with Bench(chosen(cluster)) as bench:
        found = await bench.measure()
    assert bench.status == (Status.OK, "")
    nodes = cluster.nodes()
    assert {
        port: (resource["redis.cluster.node.id"], resource["redis.cluster.node.role"])
        for point in found["redis.uptime"]
        for port, resource in [(point["resource"]["server.port"], point["resource"])]
    } == {port: (words[0], "primary" if "master" in words[2] else "replica") for port, words in nodes.items()}
    assert seen(found, "slots_ok") == seen(found, "slots_assigned") == {16384}
    assert (seen(found, "state"), seen(found, "node.count"), seen(found, "known_nodes")) == ({1}, {3}, {6})
    missing = check_metrics(COMPONENT, bench.sink.batches)
    assert not [name for name in missing if name.startswith(("redis.cluster", "redis.replication"))]


@pytest.mark.parametrize(("more", "resources"), [("cluster: {scrape: masters}", 3), ("cluster: {mode: off}", 1)])
async def test_which_nodes_are_measured_can_be_chosen(cluster: Cluster, more: str, resources: int) -> None:
    """Primaries only, or the endpoint alone."""
    async with Bench(chosen(cluster, more)) as bench:
        found = await bench.measure()
    assert len(found["redis.uptime"]) == resources
    roles = {point["resource"].get("redis.cluster.node.role") for point in found["redis.uptime"]}
    assert roles == ({"primary"} if resources == 3 else {None})


async def test_a_primary_dies_and_comes_back(cluster: Cluster) -> None:
    """Without a failover its slots fail and the cluster with them; the others are measured, and the status names it."""
    cluster.set("cluster-replica-no-failover", "yes")
    victim = cluster.primaries()[0]
    async with Bench(chosen(cluster)) as bench:
        await bench.measure()
        victim.stop()
        found = await measure_until(bench, lambda found: seen(found, "state") == {0})
        assert (seen(found, "slots_fail"), seen(found, "slots_ok")) == ({FIRST}, {16384 - FIRST})
        assert len(found["redis.uptime"]) == 5
        assert bench.status == (Status.OK, f"incomplete: redis: {victim.endpoint}: Connection refused")
        victim.start()
        found = await measure_until(
            bench, lambda found: seen(found, "slots_ok") == {16384} and len(seen(found, "state")) == 1
        )
        assert (seen(found, "state"), seen(found, "slots_fail"), len(found["redis.uptime"])) == ({1}, {0}, 6)
        assert bench.status == (Status.OK, "")


async def test_without_full_coverage_the_rest_goes_on(cluster: Cluster) -> None:
    """Then the state stays ok, and the slots say what is missing."""
    cluster.set("cluster-replica-no-failover", "yes")
    cluster.set("cluster-require-full-coverage", "no")
    victim = cluster.primaries()[0]
    async with Bench(chosen(cluster)) as bench:
        await bench.measure()
        victim.stop()
        found = await measure_until(bench, lambda found: seen(found, "slots_fail") == {FIRST})
        assert (seen(found, "state"), seen(found, "slots_ok")) == ({1}, {16384 - FIRST})


async def test_a_replica_takes_over(cluster: Cluster) -> None:
    """Its role changes and no slot is missing; the dead one comes back as its replica."""
    victim = cluster.primaries()[0]
    (heir,) = cluster.replicas_of(victim)

    def role(found: dict[str, Any], server: RedisServer) -> str | None:
        roles = {p["resource"]["server.port"]: p["resource"]["redis.cluster.node.role"] for p in found["redis.uptime"]}
        return roles.get(server.port)

    async with Bench(chosen(cluster)) as bench:
        assert role(await bench.measure(), heir) == "replica"
        victim.stop()
        found = await measure_until(
            bench, lambda found: role(found, heir) == "primary" and seen(found, "slots_ok") == {16384}
        )
        assert len(found["redis.uptime"]) == 5
        victim.start()
        await measure_until(bench, lambda found: role(found, victim) == "replica" and seen(found, "state") == {1})


async def test_a_node_that_does_not_answer_has_the_others_asked_at_once(cluster: Cluster) -> None:
    """So that who takes over is found, long before it is time to ask again."""
    victim = cluster.primaries()[0]
    (heir,) = cluster.replicas_of(victim)
    async with Bench(chosen(cluster, "cluster: {scrape: masters, refresh_interval: 100000h}")) as bench:
        await bench.measure()
        victim.stop()
        found = await measure_until(bench, lambda found: heir.port in values(found, "redis.uptime", "server.port"))
    assert victim.port not in values(found, "redis.uptime", "server.port")


async def test_a_node_that_hangs_does_not_hold_up_the_others(cluster: Cluster) -> None:
    """They are asked at the same time, and what they said goes on when its time is up."""
    cluster.set("cluster-replica-no-failover", "yes")
    async with Bench(chosen(cluster, "node_timeout: 500ms"), SystemClock()) as bench:
        await bench.measure()
        victim = cluster.primaries()[1]
        victim.pause()
        began = time.monotonic()
        found = await bench.measure()
        took = time.monotonic() - began
    assert len(found["redis.uptime"]) == 5
    assert took < 1.5
    assert bench.status == (Status.OK, f"incomplete: redis: {victim.endpoint}: no answer within 0.5s")


async def test_the_endpoint_may_die_once_the_nodes_are_known(cluster: Cluster) -> None:
    """Any other node tells how the cluster is."""
    cluster.set("cluster-replica-no-failover", "yes")
    async with Bench(chosen(cluster, "cluster: {refresh_interval: 1s}")) as bench:
        await bench.measure()
        cluster.servers[0].stop()
        for _ in range(2):
            await bench.clock.advance(10)
            assert len((await bench.measure())["redis.uptime"]) == 5


@pytest.mark.parametrize("denied", ["-cluster|shards", "-cluster|shards -cluster|nodes"])
async def test_servers_that_do_not_know_cluster_shards(cluster: Cluster, denied: str) -> None:
    """CLUSTER NODES tells the same, and so does CLUSTER SLOTS."""
    for server in cluster.servers:
        server.call("ACL", "SETUSER", "old", "on", ">secret", "resetkeys", "+info", "+cluster", *denied.split())
    yaml = chosen(cluster, "username: old, password: secret")
    async with Bench(yaml) as bench:
        found = await bench.measure()
    nodes = cluster.nodes()
    assert {
        point["resource"]["server.port"]: point["resource"]["redis.cluster.node.id"] for point in found["redis.uptime"]
    } == {port: words[0] for port, words in nodes.items()}


async def test_a_user_who_may_only_ask_info(cluster: Cluster) -> None:
    """The endpoint is measured, and the status says what it takes to see the others."""
    for server in cluster.servers:
        server.call("ACL", "SETUSER", "poor", "on", ">secret", "resetkeys", "-@all", "+info")
    async with Bench(chosen(cluster, "username: poor, password: secret")) as bench:
        found = await bench.measure()
    assert len(found["redis.uptime"]) == 1
    status, text = bench.status
    assert status is Status.OK
    assert "the nodes of the cluster are not known" in text
    assert "ACL SETUSER poor +cluster|shards" in text
    assert "+cluster|info" in text


async def test_streams_and_keys_are_counted_where_they_are(cluster: Cluster) -> None:
    """Each on the primary that has it, and none twice."""
    for number in range(30):
        cluster.servers[0].call("-c", "XADD", f"orders:{number}", "*", "f", "v")
    async with Bench(chosen(cluster, "streams: ['orders:*', 'orders:1'], key_groups: {orders: 'orders:*'}")) as bench:
        found = await bench.measure()
    assert sorted(point["attributes"]["stream"] for point in found["redis.stream.length"]) == sorted(
        f"orders:{number}" for number in range(30)
    )
    assert sum(point["value"] for point in found["redis.key_group.keys"]) == 30
    assert len(found["redis.key_group.keys"]) == 3
    assert bench.status == (Status.OK, "")
