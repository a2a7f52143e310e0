"""Several members of one group, and members that crash."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from sluiceway.component import Status
from sluiceway.errors import RefusedError
from sluiceway.otlp import Signal
from tests.receivers.kafka.bench import Bench, from_start, reading, until
from tests.receivers.records import bodies
from tests.servers.kafka import KafkaBroker

LOGS = frozenset({Signal.LOGS})


def text(broker: KafkaBroker, name: str, *more: str) -> str:
    """A group that reads texts."""
    parts = [f"logs: {{topics: [{name}], encoding: text}}", "autocommit: {interval: 100ms}", *more]
    parts += [] if "heartbeat" in "".join(more) else ["heartbeat_interval: 200ms"]
    return from_start(broker, name, ", ".join(parts))


async def test_sharing(broker: KafkaBroker, name: str) -> None:
    """A member that comes gets partitions, one that goes gives them back; each message arrives exactly once."""
    broker.create_topic(name, 4)
    yaml = text(broker, name)
    expected: list[str] = []

    def produce(count: int) -> None:
        texts = [str(len(expected) + number) for number in range(count)]
        for number, body in enumerate(texts):
            broker.produce(name, [body.encode()], partition=number % 4)
        expected.extend(texts)

    async with AsyncExitStack() as first_life, AsyncExitStack() as second_life:
        first = await first_life.enter_async_context(reading(yaml, LOGS))
        produce(20)
        await until(lambda: first.items == 20)
        second = await second_life.enter_async_context(reading(yaml, LOGS))
        produce(20)
        await until(lambda: sorted(map(len, broker.members(name).values())) == [2, 2])
        produce(20)
        await until(lambda: first.items + second.items == 60)
        assert second.items >= 10
        await first_life.aclose()
        produce(20)
        await until(lambda: first.items + second.items == 80)
    assert sorted(bodies(first.batches) + bodies(second.batches)) == sorted(expected)


async def test_sharing_eagerly(broker: KafkaBroker, name: str) -> None:
    """So it is where all partitions are given back before they are shared out anew."""
    broker.create_topic(name, 2)
    yaml = text(broker, name, "group_rebalance_strategies: [range, roundrobin]")
    async with reading(yaml, LOGS) as first:
        broker.produce(name, [b"a"], partition=0)
        broker.produce(name, [b"b"], partition=1)
        await until(lambda: first.items == 2)
        async with reading(yaml, LOGS) as second:
            await until(lambda: sorted(map(len, broker.members(name).values())) == [1, 1])
            broker.produce(name, [b"c"], partition=0)
            broker.produce(name, [b"d"], partition=1)
            await until(lambda: first.items + second.items == 4)
            assert second.items == 1
    assert sorted(bodies(first.batches) + bodies(second.batches)) == ["a", "b", "c", "d"]


async def test_handing_over(broker: KafkaBroker, name: str) -> None:
    """What is under way in a partition that moves is waited for and committed: the next member does not repeat it."""
    broker.create_topic(name, 2)
    for partition in (0, 1):
        broker.produce(name, [str(partition).encode()], partition=partition)
    yaml = text(broker, name)
    async with reading(yaml, LOGS) as first:
        gate = first.sink.gate = asyncio.Event()
        await until(lambda: first.sink.calls == 2)
        async with reading(yaml, LOGS) as second:
            revoked = "sluiceway_kafka_receiver_rebalanced_partitions"
            asyncio.get_running_loop().call_later(1, gate.set)
            await until(lambda: first.metrics.read(revoked, event="revoked") == 1)
            await until(lambda: second.metrics.read(revoked, event="assigned") == 1)
            await until(lambda: broker.committed(name) == {(name, 0): 1, (name, 1): 1})
            broker.produce(name, [b"2"], partition=0)
            broker.produce(name, [b"3"], partition=1)
            await until(lambda: first.items + second.items == 4)
    assert sorted(bodies(first.batches) + bodies(second.batches)) == ["0", "1", "2", "3"]


async def test_refused_partitions_move(broker: KafkaBroker, name: str) -> None:
    """A partition whose messages are refused here is given up at once, and the next member delivers them."""
    broker.create_topic(name, 2)
    for partition in (0, 1):
        broker.produce(name, [str(partition).encode()], partition=partition)
    yaml = text(broker, name)
    async with reading(yaml, LOGS) as first:
        first.sink.error = RefusedError("full", 60)
        await until(first_waits := first.says(Status.RECOVERABLE_ERROR, "(and 1 more) waits"))
        async with reading(yaml, LOGS) as second:
            await until(lambda: second.items == 1)
            await until(lambda: not first_waits())
            await until(lambda: len(broker.committed(name)) == 1)


@pytest.mark.parametrize("strategy", ["cooperative-sticky", "range"])
async def test_paused_partitions_move(broker: KafkaBroker, name: str, strategy: str) -> None:
    """A partition that was paused when it was taken from a member is read on when that member has it again."""
    broker.create_topic(name, 2)
    for partition in (0, 1):
        broker.produce(name, [str(partition).encode()], partition=partition)
    yaml = text(broker, name, f"group_rebalance_strategies: [{strategy}]")
    async with reading(yaml, LOGS) as first:
        paused = "sluiceway_kafka_receiver_paused_partitions"
        first.sink.error = RefusedError("full", 0.05)
        await until(lambda: first.metrics.read(paused) == 2)
        async with reading(yaml, LOGS) as second:
            second.sink.error = RefusedError("full", 0.05)
            await until(lambda: second.metrics.read(paused) == 1)
            first.sink.error = None
        await until(lambda: sorted(bodies(first.batches)) == ["0", "1"])


@pytest.mark.parametrize("strategy", ["cooperative-sticky", "range"])
async def test_coming_and_going(broker: KafkaBroker, name: str, strategy: str) -> None:
    """While members come and go under load, before pipelines that refuse now and then, nothing is lost."""
    broker.create_topic(name, 4)
    yaml = text(broker, name, f"group_rebalance_strategies: [{strategy}]", "max_batch_size: 100B, max_held_size: 1KB")
    members: list[Bench] = []
    written = 0

    def write() -> None:
        nonlocal written
        for partition in range(4):
            values = [f"{partition}:{written + number}".encode() for number in range(100)]
            broker.produce(name, values, partition=partition)
        written += 100

    def arrived() -> set[str]:
        return {body for bench in members for body in bodies(bench.batches)}

    async with AsyncExitStack() as lives:
        members.append(await lives.enter_async_context(reading(yaml, LOGS)))
        members[0].sink.consume = now_and_then(members[0].sink.consume)
        for _ in range(4):
            write()
            async with reading(yaml, LOGS) as other:
                members.append(other)
                other.sink.consume = now_and_then(other.sink.consume)
                before = len(arrived())
                await until(lambda before=before: other.items or len(arrived()) > before + 200)
                write()
        await until(lambda: len(arrived()) == 4 * written)


def now_and_then(consume):
    """A consumer that refuses every third batch once."""
    count = 0

    async def refuse(batch) -> None:
        nonlocal count
        count += 1
        if count % 3 == 0:
            raise RefusedError("full", 0.01)
        await consume(batch)

    return refuse


async def test_a_slow_pipeline(broker: KafkaBroker, name: str) -> None:
    """However long the pipeline takes, heartbeats go on and the member keeps its partitions."""
    broker.create_topic(name)
    broker.produce(name, [b"a"])
    yaml = text(broker, name, "session_timeout: 500ms, heartbeat_interval: 100ms, max_held_size: 1B")
    async with reading(yaml, LOGS) as bench:
        gate = bench.sink.gate = asyncio.Event()
        await until(lambda: bench.sink.calls == 1)
        members = broker.members(name)
        asyncio.get_running_loop().call_later(2, gate.set)
        await until(lambda: broker.committed(name) == {(name, 0): 1})
        assert broker.members(name) == members != {}
        assert bodies(bench.batches) == ["a"]


async def test_given_up_for_dead(broker: KafkaBroker, name: str) -> None:
    """A member that the group did not hear of has lost its partitions: it commits nothing, joins and reads again."""
    broker.create_topic(name)
    broker.produce(name, [b"a"])
    yaml = text(broker, name, "session_timeout: 500ms, heartbeat_interval: 100ms")
    async with reading(yaml, LOGS) as bench:
        bench.sink.gate = asyncio.Event()
        await until(lambda: bench.sink.calls == 1)
        broker.pause()
        try:
            lost = "sluiceway_kafka_receiver_rebalanced_partitions"
            await until(lambda: bench.metrics.read(lost, event="lost") == 1)
        finally:
            broker.resume()
        await until(lambda: bench.sink.calls == 2)
        assert broker.committed(name) == {}
        bench.sink.gate.set()
        await until(lambda: broker.committed(name) == {(name, 0): 1})
