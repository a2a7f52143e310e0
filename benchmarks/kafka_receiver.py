"""What an item costs from a Kafka broker to the pipeline: the receiver `kafka`, with an exporter that takes everything.

    SLUICEWAY_KAFKA=FOLDER python -m benchmarks.kafka_receiver [ITEMS]

A broker is started by what the tests have for it, and the topic, of four partitions, filled first. CPU seconds are
those of this process, with librdkafka's threads, from the start of the collector to the arrival of the last item.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import PAYLOADS, payloads
from sluiceway.otlp import Batch
from sluiceway.service import Collector
from tests.servers.kafka import KafkaBroker, kafka_broker

CONFIG = """
receivers:
  kafka:
    brokers: ['{broker}']
    group_id: {topic}
    initial_offset: earliest
    {signal}: {{topics: [{topic}], encoding: {encoding}}}
    {more}
exporters:
  counter: {{component: benchmarks.kafka_receiver:Counter}}
service:
  telemetry: {{metrics: {{level: none}}, logs: {{level: ERROR}}}}
  pipelines: {{{signal}: {{receivers: [kafka], exporters: [counter]}}}}
"""


class Counter:
    """Counts what arrives."""

    def __init__(self) -> None:
        self.items = self.batches = 0

    def consume(self, batch: Batch) -> None:
        """Take a batch."""
        self.items += batch.items
        self.batches += 1


@dataclass(frozen=True)
class Case:
    """What a topic is filled with, and how it is read."""

    name: str
    signal: str
    encoding: str
    per_message: int
    compression: str = "none"
    more: str = ""

    def messages(self, items: int) -> Iterator[bytes]:
        """The messages of so many items."""
        if self.encoding == "otlp_proto":
            made = payloads(self.signal, self.per_message, 10)
            for number in range(items // self.per_message):
                yield made[number % PAYLOADS].numbered(number * self.per_message)
            return
        for number in range(items):
            text = f"GET /api/orders/{number} 200 {number % 300}ms " + "x" * 240
            yield (f'{{"level": "INFO", "message": "{text}"}}' if self.encoding == "json" else text).encode()


CASES = (
    Case("spans, 512 a message", "traces", "otlp_proto", 512),
    Case("the same, compressed by zstd", "traces", "otlp_proto", 512, "zstd"),
    Case("spans, 10 a message", "traces", "otlp_proto", 10),
    Case("spans, 10 a message, a header", "traces", "otlp_proto", 10, more="include_metadata: true"),
    Case("records as text, 280 bytes", "logs", "text", 1),
    Case("records as JSON", "logs", "json", 1),
)


def fill(broker: KafkaBroker, topic: str, case: Case, items: int) -> None:
    """Write the topic."""
    from confluent_kafka import Producer

    broker.create_topic(topic, 4)
    producer = Producer({
        "bootstrap.servers": broker.bootstrap, "compression.type": case.compression, "linger.ms": 50,
        "queue.buffering.max.messages": 10_000_000, "message.max.bytes": 10_000_000,
    })  # fmt: skip
    for number, message in enumerate(case.messages(items)):
        producer.produce(topic, message, partition=number % 4)
        producer.poll(0)
    producer.flush()


async def run(broker: KafkaBroker, topic: str, case: Case, items: int) -> tuple[float, float, int]:
    """CPU seconds and seconds for all items, and in how many batches they came."""
    text = CONFIG.format(broker=broker.bootstrap, topic=topic, **vars(case))
    cpu, began = time.process_time(), time.perf_counter()
    async with Collector.from_yaml(text) as collector:
        counter = collector.component("exporter", "counter")
        while counter.items < items:  # noqa: ASYNC110 - as a benchmark does
            await asyncio.sleep(0.01)
        return time.process_time() - cpu, time.perf_counter() - began, counter.batches


def main() -> None:
    """Print a table."""
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder, kafka_broker(Path(folder)) as broker:
        for number, case in enumerate(CASES):
            items = wanted // (4 * case.per_message) * 4 * case.per_message
            fill(broker, f"topic-{number}", case, items)
            cpu, seconds, batches = asyncio.run(run(broker, f"topic-{number}", case, items))
            million = items / 1_000_000
            print(
                f"{case.name:32} {cpu / million:6.2f} CPU-s per million, {items / seconds:10,.0f}/s, "
                f"{items // batches:7,} items a batch"
            )


if __name__ == "__main__":
    main()
