"""The two tiers of docs/scaling.md, as the examples have them, over a real broker."""

from __future__ import annotations

import asyncio
import gzip
from contextlib import AsyncExitStack
from pathlib import Path

from confluent_kafka import KafkaException
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from sluiceway.otlp import Signal, accept
from sluiceway.service import Collector
from tests.exporters.backends import HttpBackend
from tests.ports import free_port
from tests.servers.kafka import KafkaBroker, kafka_broker, until

EXAMPLES = Path(__file__).parent.parent / "examples"


def example(name: str, *sets: str) -> Collector:
    """A collector from an example, on ports of its own."""
    ports = [f"extensions.health_check.endpoint=127.0.0.1:{free_port()}", "service.telemetry.metrics.level=none"]
    return Collector.from_yaml(EXAMPLES / name, sets=[*ports, *sets])


def members(broker: KafkaBroker) -> int:
    """How many workers share the partitions."""
    try:
        return len(broker.members("sluiceway-traces"))
    except KafkaException:  # the group's coordinator is not up yet
        return 0


def trace(number: int) -> bytes:
    """A request of five spans of one trace, named by their numbers."""
    message = TracesData()
    spans = message.resource_spans.add().scope_spans.add().spans
    for place in range(5 * number, 5 * number + 5):
        spans.add(name=f"{place}", trace_id=(number + 1).to_bytes(16, "big"))
    return message.SerializeToString()


def delivered(worker: Collector) -> int:
    """The items that a worker has delivered."""
    return sum(balance.delivered for balance in worker.ledger.balances())


def decoded(headers: dict[str, str], body: bytes) -> bytes:
    """A body as it was before it was compressed."""
    return gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body


def names(body: bytes) -> list[str]:
    """The names of the spans of a request."""
    entries = accept(Signal.TRACES, body).proto().resource_spans
    return [span.name for entry in entries for scope in entry.scope_spans for span in scope.spans]


async def test_what_a_gateway_has_answered_for_reaches_the_backend_once(tmp_path, monkeypatch):
    """Two gateways, three workers: each span arrives once, and every worker has had a part."""
    from aiohttp import ClientSession

    with kafka_broker(tmp_path) as broker:
        for topic in ("otlp_spans", "otlp_metrics", "otlp_logs"):
            broker.create_topic(topic, 6)
        monkeypatch.setenv("KAFKA", broker.bootstrap)
        async with AsyncExitStack() as stack:
            backend = await stack.enter_async_context(HttpBackend().running())
            monkeypatch.setenv("BACKEND", f"http://127.0.0.1:{backend.port}")
            ports = [free_port(), free_port()]
            for port in ports:
                sets = [
                    f"receivers.otlp.protocols.http.endpoint=127.0.0.1:{port}",
                    f"receivers.otlp.protocols.grpc.endpoint=127.0.0.1:{free_port()}",
                    "processors.memory_limiter.limit_mib=100000",  # this process has run other tests before
                ]
                await stack.enter_async_context(example("scaling_gateway.yaml", *sets))
            workers = [await stack.enter_async_context(example("scaling_worker.yaml")) for _ in range(3)]
            await asyncio.to_thread(until, lambda: members(broker) == 3, "no group of three")
            session = await stack.enter_async_context(ClientSession())
            for number in range(60):
                url = f"http://127.0.0.1:{ports[number % 2]}/v1/traces"
                headers = {"Content-Type": "application/x-protobuf"}
                async with session.post(url, data=trace(number), headers=headers) as answer:
                    assert answer.status == 200
            await asyncio.to_thread(until, lambda: sum(map(delivered, workers)) >= 300, "not all has arrived")
            assert all(map(delivered, workers))
        found = [name for _, headers, body in backend.requests for name in names(decoded(headers, body))]
    assert sorted(map(int, found)) == list(range(300))
