"""What an item costs on its way to Kafka, beside a plain producer of the same bytes.

    SLUICEWAY_KAFKA=FOLDER python -m benchmarks.kafka [REQUESTS]

FOLDER has Kafka's jars (see `tests/servers/kafka.py`). The broker is a process of its own and does not count; CPU
seconds are those of this process with its threads, librdkafka's among them. Requests of 512 spans or log records are
handed to the exporter, with its queue and all that is around it, and each is waited for until the broker has it.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from confluent_kafka import Producer

from sluiceway.otlp import Batch
from sluiceway.service import Collector
from sluiceway.testing import logs, spans
from tests.servers.kafka import KafkaBroker, kafka_broker

ITEMS = 512
AT_ONCE = 8
CONFIG = """
receivers:
  feed: {{component: sluiceway.testing:Feeder}}
exporters:
  kafka: {{brokers: ['{brokers}'], sending_queue: {{wait_for_result: true, num_consumers: {at_once}}}, {more}}}
service:
  telemetry: {{metrics: {{level: none}}, logs: {{level: ERROR}}}}
  pipelines: {{{signal}: {{receivers: [feed], exporters: [kafka]}}}}
"""
CASES = {
    "spans as they are": ("traces", ""),
    "spans, lz4": ("traces", "producer: {compression: lz4}"),
    "spans, a message each trace of 8": ("traces", "partition_traces_by_id: true"),
    "spans as JSON": ("traces", "traces: {encoding: otlp_json}"),
    "logs as they are": ("logs", ""),
    "logs, bodies alone": ("logs", "logs: {encoding: text}"),
}


def batch(signal: str) -> Batch:
    """A request's worth of items."""
    if signal == "logs":
        return logs(ITEMS)
    message = spans(ITEMS).proto()
    for entry in message.resource_spans:  # type: ignore[attr-defined]
        for scope in entry.scope_spans:
            for number, span in enumerate(scope.spans):
                span.trace_id = (number // 8 + 1).to_bytes(16, "big")
    return Batch.from_proto(message)


async def exported(broker: KafkaBroker, signal: str, more: str, requests: int) -> tuple[float, float]:
    """CPU seconds and seconds for all requests, by the exporter."""
    text = CONFIG.format(brokers=broker.bootstrap, at_once=AT_ONCE, signal=signal, more=more)
    async with Collector.from_yaml(text) as collector:
        feed = collector.component("receiver", "feed")
        given = batch(signal)
        await feed.feed(given)
        return await measured(lambda: feed.feed(given.with_payload(given.payload)), requests)


async def measured(push: Callable[[], Awaitable[object]], requests: int) -> tuple[float, float]:
    """What so many calls cost, some of them at once."""

    async def some() -> None:
        for _ in range(requests // AT_ONCE):
            await push()

    cpu, began = time.process_time(), time.perf_counter()
    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    return time.process_time() - cpu, time.perf_counter() - began


def plain(broker: KafkaBroker, payload: bytes, requests: int) -> tuple[float, float]:
    """The same bytes by a producer that is told nothing else."""
    producer = Producer({"bootstrap.servers": broker.bootstrap, "enable.idempotence": True, "linger.ms": 10})
    producer.produce("otlp_spans", payload)
    producer.flush()
    cpu, began = time.process_time(), time.perf_counter()
    for _ in range(requests):
        producer.produce("otlp_spans", payload, on_delivery=lambda *_: None)
        producer.poll(0)
        if len(producer) > AT_ONCE:
            producer.poll(0.01)
    producer.flush()
    return time.process_time() - cpu, time.perf_counter() - began


def show(name: str, requests: int, measures: tuple[float, float]) -> None:
    """Print a line."""
    millions = requests * ITEMS / 1_000_000
    print(f"{name:34} {measures[0] / millions:6.2f} CPU-s per million, {millions / measures[1] * 1e6:10,.0f} a second")


def main() -> None:
    """Print a table."""
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    with tempfile.TemporaryDirectory() as folder, kafka_broker(Path(folder)) as broker:
        for topic in ("otlp_spans", "otlp_logs"):
            broker.create_topic(topic, 4, retention_bytes="100000000", segment_bytes="50000000")
        show("a plain producer of the same bytes", requests, plain(broker, batch("traces").payload, requests))
        for name, (signal, more) in CASES.items():
            number = requests // 10 if "alone" in name or "each" in name else requests
            show(name, number, asyncio.run(exported(broker, signal, more, number)))


if __name__ == "__main__":
    main()
