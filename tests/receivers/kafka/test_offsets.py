"""When an offset moves on: once the pipeline has answered, in order, and each partition for itself."""

from __future__ import annotations

import asyncio

from sluiceway.component import Reason, Status
from sluiceway.errors import PermanentError, RefusedError, RetryableError, TooLargeError
from sluiceway.otlp import Batch, Signal
from sluiceway.testing import items
from tests.receivers.kafka.bench import from_start, reading, until
from tests.receivers.records import bodies
from tests.servers.kafka import KafkaBroker

LOGS = frozenset({Signal.LOGS})


def text(name: str, rest: str = "") -> str:
    """A topic of records that are texts."""
    return f"logs: {{topics: [{name}], encoding: text}}, autocommit: {{interval: 50ms}}{', ' if rest else ''}{rest}"


async def test_not_before_the_answer(broker: KafkaBroker, name: str) -> None:
    """An offset is committed once the pipeline has answered for all before it, while others are committed."""
    broker.create_topic(name, 2)
    broker.produce(name, [b"slow"], partition=0)
    async with reading(from_start(broker, name, text(name)), LOGS) as bench:
        take, gate, called = bench.sink.consume, asyncio.Event(), asyncio.Event()

        async def consume(batch: Batch) -> None:
            if b"slow" in batch.payload:
                called.set()
                await gate.wait()
            await take(batch)

        bench.sink.consume = consume
        await called.wait()
        broker.produce(name, [b"behind"], partition=0)
        broker.produce(name, [b"other"], partition=1)
        await until(lambda: broker.committed(name) == {(name, 1): 1})
        gate.set()
        await until(lambda: broker.committed(name) == {(name, 0): 2, (name, 1): 1})
        assert bodies(bench.batches) == ["other", "slow", "behind"]


async def test_without_autocommit(broker: KafkaBroker, name: str) -> None:
    """Without autocommit an offset is committed as soon as the pipeline has answered."""
    broker.create_topic(name)
    broker.produce(name, [b"a"])
    yaml = from_start(broker, name, f"logs: {{topics: [{name}], encoding: text}}, autocommit: {{enable: false}}")
    async with reading(yaml, LOGS):
        await until(lambda: broker.committed(name) == {(name, 0): 1})


async def test_refused_for_now(broker: KafkaBroker, name: str) -> None:
    """What is refused for now is offered again until it is taken: nothing is lost or skipped, and health tells."""
    broker.create_topic(name)
    broker.produce(name, [b"a"])
    async with reading(from_start(broker, name, text(name)), LOGS) as bench:
        bench.sink.error = RefusedError("the queue is full", 0.02)
        await until(lambda: bench.sink.calls > 3)
        assert bench.status == (Status.RECOVERABLE_ERROR, f"partition {name}/0 waits: the queue is full")
        await until(lambda: bench.metrics.read("sluiceway_kafka_receiver_paused_partitions") == 1)
        broker.produce(name, [b"b"])
        bench.sink.error = None
        await until(lambda: broker.committed(name) == {(name, 0): 2})
        assert bodies(bench.batches) == ["a", "b"]
        assert bench.status[0] is Status.OK
        assert not bench.dropped


async def test_others_go_on(broker: KafkaBroker, name: str) -> None:
    """A partition whose messages are refused does not hold up another."""
    broker.create_topic(name, 2)
    broker.produce(name, [b"bad"], partition=0)
    async with reading(from_start(broker, name, text(name)), LOGS) as bench:
        bench.sink.consume = refusing(bench.sink.consume, b"bad", RetryableError("away", retry_after=0.05))
        for number in range(20):
            broker.produce(name, [str(number).encode()], partition=1)
        await until(lambda: bench.items == 20)
        await until(lambda: broker.committed(name) == {(name, 1): 20})


async def test_held_is_bounded(broker: KafkaBroker, name: str) -> None:
    """A partition of which enough is held is paused, and read on when half of it is done with."""
    broker.create_topic(name)
    broker.produce(name, [bytes(1000)] * 1000)
    yaml = from_start(
        broker, name, f"logs: {{topics: [{name}], encoding: raw}}, max_held_size: 10KB, max_batch_size: 5KB"
    )
    async with reading(yaml, LOGS) as bench:
        bench.sink.gate = asyncio.Event()
        await until(lambda: bench.metrics.read("sluiceway_kafka_receiver_paused_partitions") == 1)
        bench.sink.gate.set()
        await until(lambda: bench.items == 1000)
        assert max(len(batch.payload) for batch in bench.batches) < 6000


PAUSED = "sluiceway_kafka_receiver_paused_partitions"


async def test_metadata_counts_as_held(broker: KafkaBroker, name: str) -> None:
    """A message that is nothing but headers holds memory, too, where they are kept."""
    broker.create_topic(name)
    for number in range(100):
        broker.produce(name, [b""], partition=0, headers=[("trace", bytes(5000)), ("number", b"%d" % number)])
    source = f"logs: {{topics: [{name}], encoding: raw}}"
    yaml = from_start(broker, name, f"{source}, include_metadata: true, max_held_size: 100KB")
    async with reading(yaml, LOGS) as bench:
        bench.sink.gate = asyncio.Event()
        await until(lambda: bench.metrics.read(PAUSED) == 1)
        bench.sink.gate.set()
        await until(lambda: bench.items == 100)


async def test_what_cannot_be_read_counts_as_held(broker: KafkaBroker, name: str) -> None:
    """However short such a message is, as long as it waits behind one that the pipeline has not answered for."""
    broker.create_topic(name)
    broker.produce(name, [items(Signal.LOGS, 1).payload, *[b"\xff"] * 200], partition=0)
    yaml = from_start(broker, name, f"logs: {{topics: [{name}]}}, max_held_size: 50KB")
    async with reading(yaml, LOGS) as bench:
        bench.sink.gate = asyncio.Event()
        await until(lambda: bench.metrics.read(PAUSED) == 1)
        bench.sink.gate.set()
        await until(lambda: bench.dropped.total() == 200)
        await until(lambda: broker.committed(name) == {(name, 0): 201})


async def test_refused_for_good(broker: KafkaBroker, name: str) -> None:
    """What is refused for good is dropped and counted, and reading goes on."""
    broker.create_topic(name)
    broker.produce(name, [b"bad"])
    async with reading(from_start(broker, name, text(name)), LOGS) as bench:
        bench.sink.consume = refusing(bench.sink.consume, b"bad", PermanentError("no"))
        await until(lambda: broker.committed(name) == {(name, 0): 1})
        broker.produce(name, [b"good"])
        await until(lambda: bodies(bench.batches) == ["good"])
        assert bench.dropped == {Reason.PERMANENT_ERROR: 1}


async def test_standing_still(broker: KafkaBroker, name: str) -> None:
    """With on_permanent_error: false it holds up its partition instead, and goes on when it is taken after all."""
    broker.create_topic(name)
    broker.produce(name, [b"bad"])
    more = "message_marking: {on_permanent_error: false}, error_backoff: {initial_interval: 20ms, max_interval: 20ms}"
    async with reading(from_start(broker, name, text(name, more)), LOGS) as bench:
        bench.sink.error = PermanentError("no")
        await until(bench.says(Status.PERMANENT_ERROR, f"partition {name}/0 waits: no"))
        bench.sink.error = None
        await until(lambda: broker.committed(name) == {(name, 0): 1})
        assert bodies(bench.batches) == ["bad"]
        assert not bench.dropped


async def test_standing_still_before_what_cannot_be_read(broker: KafkaBroker, name: str) -> None:
    """So does a message that cannot be read; what is before it arrives, and is committed."""
    broker.create_topic(name)
    broker.produce(name, [items(Signal.LOGS, 1).payload, b"no otlp", items(Signal.LOGS, 1).payload])
    rest = f"logs: {{topics: [{name}]}}, message_marking: {{on_permanent_error: false}}"
    async with reading(from_start(broker, name, rest), LOGS) as bench:
        await until(bench.says(Status.PERMANENT_ERROR, f"partition {name}/0 waits: the message at offset 1"))
        await until(lambda: broker.committed(name) == {(name, 0): 1})
        assert bench.items == 1
    assert broker.committed(name) == {(name, 0): 1}


async def test_marked_on_error(broker: KafkaBroker, name: str) -> None:
    """With on_error: true what is refused for now is dropped and counted."""
    broker.create_topic(name)
    broker.produce(name, [b"a"])
    async with reading(from_start(broker, name, text(name, "message_marking: {on_error: true}")), LOGS) as bench:
        bench.sink.error = RetryableError("away")
        await until(lambda: broker.committed(name) == {(name, 0): 1})
        assert bench.dropped == {Reason.RETRIES_EXHAUSTED: 1}


async def test_marked_on_error_after_a_while(broker: KafkaBroker, name: str) -> None:
    """With error_backoff as well, it is offered again for max_elapsed_time before."""
    broker.create_topic(name)
    broker.produce(name, [b"a"])
    backoff = "error_backoff: {enabled: true, initial_interval: 10ms, max_interval: 10ms, max_elapsed_time: 100ms}"
    yaml = from_start(broker, name, text(name, f"message_marking: {{on_error: true}}, {backoff}"))
    async with reading(yaml, LOGS) as bench:
        bench.sink.error = RetryableError("away")
        await until(lambda: broker.committed(name) == {(name, 0): 1})
        assert bench.sink.calls > 2
        assert bench.dropped == {Reason.RETRIES_EXHAUSTED: 1}


async def test_marked_early(broker: KafkaBroker, name: str) -> None:
    """With after: false an offset is committed once the message is read, whatever the pipeline says."""
    broker.create_topic(name)
    broker.produce(name, [b"a"])
    async with reading(from_start(broker, name, text(name, "message_marking: {after: false}")), LOGS) as bench:
        bench.sink.error = RefusedError("full", 0.02)
        await until(lambda: broker.committed(name) == {(name, 0): 1})


async def test_a_topic_made_anew(broker: KafkaBroker, name: str) -> None:
    """Where a topic is deleted and made anew, its offsets begin anew, too: they are committed though they go back."""
    broker.create_topic(name)
    broker.produce(name, [b"a"] * 5)
    async with reading(from_start(broker, name, text(name, "metadata: {refresh_interval: 300ms}")), LOGS) as bench:
        await until(lambda: broker.committed(name) == {(name, 0): 5})
        broker.delete_topic(name)
        await until(bench.says(Status.RECOVERABLE_ERROR, f"topic {name}"))
        broker.create_topic(name)
        broker.produce(name, [b"b", b"c"])
        await until(lambda: bodies(bench.batches)[5:] == ["b", "c"])
        await until(lambda: broker.committed(name) == {(name, 0): 2})


async def test_too_large(broker: KafkaBroker, name: str) -> None:
    """What is too large for the pipeline goes in halves; a single item that is, is dropped and counted."""
    broker.create_topic(name)
    broker.produce(name, [items(Signal.LOGS, 10).payload])

    async with reading(from_start(broker, name, f"logs: {{topics: [{name}]}}"), LOGS) as bench:
        take = bench.sink.consume

        async def consume(batch: Batch) -> None:
            if batch.items > 3:
                raise TooLargeError("too large")
            await take(batch)

        bench.sink.consume = consume
        await until(lambda: broker.committed(name) == {(name, 0): 1})
        assert bench.items == 10


async def test_a_fault_of_the_pipeline(broker: KafkaBroker, name: str) -> None:
    """An error that nobody foresaw loses nothing: what it was about is offered again."""
    broker.create_topic(name)
    broker.produce(name, [b"a"])
    yaml = from_start(broker, name, text(name, "error_backoff: {initial_interval: 10ms}"))
    async with reading(yaml, LOGS) as bench:
        bench.sink.error = KeyError("a secret")
        await until(bench.says(Status.RECOVERABLE_ERROR, "internal error: KeyError"))
        assert "secret" not in bench.status[1]
        bench.sink.error = None
        await until(lambda: bodies(bench.batches) == ["a"])


async def test_stop(broker: KafkaBroker, name: str) -> None:
    """Stopping waits for what is under way, commits it and leaves the group; what was not offered comes next time."""
    broker.create_topic(name)
    broker.produce(name, [b"a"])
    yaml = from_start(broker, name, text(name))
    async with reading(yaml, LOGS) as bench:
        gate = bench.sink.gate = asyncio.Event()
        await until(lambda: bench.sink.calls == 1)
        broker.produce(name, [b"b"])
        asyncio.get_running_loop().call_later(0.3, gate.set)
    assert bodies(bench.batches) == ["a"]
    assert broker.committed(name) == {(name, 0): 1}
    assert broker.members(name) == {}
    async with reading(yaml, LOGS) as bench:
        await until(lambda: bodies(bench.batches) == ["b"])


async def test_stop_while_refused(broker: KafkaBroker, name: str) -> None:
    """Stopping does not wait for a pipeline that refuses; what it refused comes next time."""
    broker.create_topic(name)
    broker.produce(name, [b"a"])
    yaml = from_start(broker, name, text(name))
    async with reading(yaml, LOGS) as bench, asyncio.timeout(8):
        bench.sink.error = RefusedError("full", 60)
        await until(bench.says(Status.RECOVERABLE_ERROR, "full"))
    assert broker.committed(name) == {}
    async with reading(yaml, LOGS) as bench:
        await until(lambda: bodies(bench.batches) == ["a"])


def refusing(consume, body: bytes, error: Exception):
    """A consumer that refuses what holds a text."""

    async def refuse(batch: Batch) -> None:
        if body in batch.payload:
            raise error
        await consume(batch)

    return refuse
