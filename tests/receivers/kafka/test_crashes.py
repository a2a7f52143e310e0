"""Real processes that are killed: nothing is lost, and only what was under way comes twice."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from sluiceway.service import Collector
from sluiceway.testing import MemorySink
from tests.receivers.kafka.bench import until
from tests.receivers.records import bodies
from tests.servers.kafka import KafkaBroker

SINK = """
receivers: {otlp: {protocols: {http: {endpoint: 'localhost:0'}}}}
exporters: {memory: {component: sluiceway.testing:MemorySink}}
service: {telemetry: {metrics: {level: none}}, pipelines: {logs: {receivers: [otlp], exporters: [memory]}}}
"""
MEMBER = """
receivers:
  kafka:
    brokers: ['{broker}']
    group_id: {name}
    client_id: {client}
    initial_offset: earliest
    session_timeout: 1s
    heartbeat_interval: 200ms
    autocommit: {{interval: 200ms}}
    logs: {{topics: [{name}], encoding: text}}
    max_batch_size: 500B
    error_backoff: {{initial_interval: 50ms}}
exporters:
  otlp_http:
    endpoint: 'http://{sink}'
    compression: none
    sending_queue: {{enabled: false}}
    retry_on_failure: {{enabled: false}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines: {{logs: {{receivers: [kafka], exporters: [otlp_http]}}}}
"""
PARTITIONS = 6


@asynccontextmanager
async def sink() -> AsyncIterator[tuple[str, MemorySink]]:
    """Where the members deliver: its address and what it has."""
    async with asyncio.timeout(120), Collector.from_yaml(SINK) as collector:
        host, port = collector.component("receiver", "otlp").http_address
        yield f"{host}:{port}", collector.component("exporter", "memory")


@contextmanager
def member(folder: Path, **names: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that reads as a member of the group."""
    file = folder / f"{names['client']}.yaml"
    file.write_text(MEMBER.format(**names))
    with (folder / f"{names['client']}.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", "sluiceway", "run", "--config", file], stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait(30)


class Stream:
    """Messages that say where they are: `<partition>:<offset>`."""

    def __init__(self, broker: KafkaBroker, name: str) -> None:
        self._broker = broker
        self._topic = broker.create_topic(name, PARTITIONS)
        self.written = 0

    @property
    def expected(self) -> set[str]:
        """All that was written."""
        return {f"{partition}:{offset}" for partition in range(PARTITIONS) for offset in range(self.written)}

    def write(self, count: int) -> None:
        """Write so many messages to each partition."""
        for partition in range(PARTITIONS):
            texts = [f"{partition}:{self.written + number}".encode() for number in range(count)]
            self._broker.produce(self._topic, texts, partition=partition)
        self.written += count


async def test_killed_and_started_again(broker: KafkaBroker, name: str, tmp_path: Path) -> None:
    """A process that is killed again and again in the midst of its work delivers everything in the end."""
    stream = Stream(broker, name)
    async with sink() as (address, memory):
        for _ in range(3):
            stream.write(300)
            before = memory.items
            with member(tmp_path, broker=broker.bootstrap, name=name, client="one", sink=address) as process:
                await until(lambda before=before: memory.items > before + 100)
                process.send_signal(signal.SIGKILL)
        with member(tmp_path, broker=broker.bootstrap, name=name, client="one", sink=address) as process:
            await until(lambda: set(bodies(memory.batches)) == stream.expected)
            await until(lambda: set(broker.committed(name).values()) == {stream.written})
            process.terminate()
            assert process.wait(30) == 0


async def test_one_of_three_is_killed(broker: KafkaBroker, name: str, tmp_path: Path) -> None:
    """Of a group of three under load one is killed: nothing is lost, and only what it had not committed comes twice."""
    stream = Stream(broker, name)
    async with sink() as (address, memory):
        with ExitStack() as running:
            processes = {
                client: running.enter_context(
                    member(tmp_path, broker=broker.bootstrap, name=name, client=client, sink=address)
                )
                for client in ("one", "two", "three")
            }
            await until(lambda: sorted(map(len, broker.members(name).values())) == [2, 2, 2])
            load = asyncio.to_thread(lambda: [stream.write(200) for _ in range(10)])
            writing = asyncio.ensure_future(load)
            await until(lambda: memory.items > 2000)
            processes["two"].send_signal(signal.SIGKILL)
            processes["two"].wait(30)
            taken = [places for id, places in broker.members(name).items() if id.startswith("two-")]
            committed = broker.committed(name)
            await writing
            await until(lambda: set(bodies(memory.batches)) == stream.expected)
            await until(lambda: sorted(map(len, broker.members(name).values())) == [3, 3])
            await until(lambda: set(broker.committed(name).values()) == {stream.written})
    times = Counter(bodies(memory.batches))
    twice = {text for text, count in times.items() if count > 1}
    assert max(times.values()) <= 2
    print(len(twice), "of", len(times), "came twice")
    assert taken
    assert all(_is_uncommitted(text, taken[0], committed, name) for text in twice)


def _is_uncommitted(text: str, partitions: list[int], committed: dict[Any, int], topic: str) -> bool:
    partition, offset = map(int, text.split(":"))
    return partition in partitions and offset >= committed.get((topic, partition), 0)
