"""Own telemetry by OTLP to another collector of ours, and to backends that are away or hang."""

from __future__ import annotations

import asyncio
import gc
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from sluiceway.otlp import Batch
from sluiceway.service import Collector
from sluiceway.telemetry import background, outputs, push
from sluiceway.telemetry.outputs import LogOutputs
from sluiceway.testing import spans

SINK = """
receivers: {otlp: {protocols: {grpc: {endpoint: '127.0.0.1:0'}, http: {endpoint: '127.0.0.1:0'}}}}
exporters:
  memory: {component: sluiceway.testing:MemorySink}
  memory/m: {component: sluiceway.testing:MemorySink}
  memory/l: {component: sluiceway.testing:MemorySink}
service:
  telemetry: {metrics: {level: none}}
  pipelines:
    traces: {receivers: [otlp], exporters: [memory]}
    metrics: {receivers: [otlp], exporters: [memory/m]}
    logs: {receivers: [otlp], exporters: [memory/l]}
"""
SPEAKING = """
receivers: {{feed: {{component: sluiceway.testing:Feeder}}}}
exporters: {{memory: {{component: sluiceway.testing:MemorySink}}}}
service:
  telemetry:
    resource: {{service.name: edge}}
    logs: {{output_paths: ['{file}'], processors: [{{batch: {{{exporter}}}}}]}}
    metrics: {{readers: [{{periodic: {{interval: {interval}, {exporter}}}}}]}}
    traces:
      processors: [{{batch: {{schedule_delay: 50, max_queue_size: 64, max_export_batch_size: 64, {exporter}}}}}]
  pipelines: {{traces: {{receivers: [feed], exporters: [memory]}}}}
"""


def speaking(endpoint: str, protocol: str, file: object, interval: int = 60_000) -> Collector:
    """A collector that pushes all it has to say of itself."""
    exporter = f"exporter: {{otlp: {{protocol: {protocol}, endpoint: '{endpoint}', timeout: 10000}}}}"
    return Collector.from_yaml(SPEAKING.format(exporter=exporter, file=file, interval=interval))


@contextmanager
def hanging() -> Iterator[str]:
    """A backend that lets itself be connected to and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def away() -> Iterator[str]:
    """A backend that nobody listens for."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    yield f"http://127.0.0.1:{port}"


def texts(batches: list[Batch]) -> str:
    """All that was received, as text."""
    return "".join(str(batch.proto()) for batch in batches)


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
async def test_all_three_signals_arrive_at_another_collector(protocol: str, tmp_path: object) -> None:
    """Metrics, logs and traces carry the same resource, and nothing is lost by stopping."""
    async with Collector.from_yaml(SINK) as sink:
        receiver = sink.component("receiver", "otlp")
        port = (receiver.grpc_address if protocol == "grpc" else receiver.http_address)[1]
        collector = speaking(f"http://127.0.0.1:{port}", protocol, f"{tmp_path}/own.log")
        log = LogOutputs(collector.config.telemetry.logs, collector.telemetry.resource)
        log.__enter__()
        async with collector:
            await collector.component("receiver", "feed").feed(spans(3))
        # The sink answers on this event loop.
        await asyncio.to_thread(log.__exit__, None, None, None)
        traces, metrics, logs = (
            texts(sink.component("exporter", name).batches) for name in ("memory", "memory/m", "memory/l")
        )
    assert "receiver/feed/TraceDataReceived" in traces
    assert "otelcol_receiver_accepted_spans" in metrics
    assert "Everything is ready" in logs
    for signal in (traces, metrics, logs):
        assert 'string_value: "edge"' in signal
        assert collector.telemetry.instance in signal


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
@pytest.mark.parametrize("backend", [away, hanging])
async def test_a_backend_that_does_not_answer_holds_nothing_up(
    backend: Callable[[], AbstractContextManager[str]], protocol: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data flows on, what waits is bounded, the log stays short, and stopping takes the time for a last push."""
    for module in (background, outputs, push):
        monkeypatch.setattr(module, "LAST_PUSH", 1.0)
    file, before = tmp_path / "own.log", spans_alive()
    with backend() as endpoint:
        collector = speaking(endpoint, protocol, file, interval=100)
        with LogOutputs(collector.config.telemetry.logs, collector.telemetry.resource):
            async with collector:
                feed = collector.component("receiver", "feed")
                for _ in range(300):
                    await feed.feed(spans(1))
                assert await slowest_step(1.0) < 1.0
                assert collector.component("exporter", "memory").items == 300
                assert spans_alive() - before <= 64 + 64  # in the queue, and under way
                stopping = time.perf_counter()
        assert time.perf_counter() - stopping < 4
    assert len(file.read_text().splitlines()) < 60


def spans_alive() -> int:
    """How many spans there are in memory."""
    return sum(isinstance(thing, ReadableSpan) for thing in gc.get_objects())


async def slowest_step(seconds: float) -> float:
    """How long the event loop was held up at most, in so many seconds."""
    slowest, end = 0.0, time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        await asyncio.sleep(0.01)
        slowest = max(slowest, time.perf_counter() - began)
    return slowest
