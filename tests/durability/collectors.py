"""Whole collectors that are killed while spans go through them to a backend that comes and goes."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from contextlib import suppress
from pathlib import Path

import aiohttp
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from sluiceway.errors import RetryableError
from sluiceway.service import Collector
from sluiceway.testing import MemorySink
from tests.ports import free_port

SINK = """
receivers: {otlp: {protocols: {http: {endpoint: 'localhost:%d'}}}}
exporters: {memory: {component: sluiceway.testing:MemorySink}}
service:
  telemetry: {metrics: {level: none}}
  pipelines: {traces: {receivers: [otlp], exporters: [memory]}}
"""
GATEWAY = """
extensions: {file_storage: {directory: '%s'}}
receivers: {otlp: {protocols: {http: {endpoint: 'localhost:%d'}}}}
exporters:
  otlp_http:
    endpoint: 'http://localhost:%d'
    retry_on_failure: {initial_interval: 20ms, max_interval: 50ms}
    sending_queue: {storage: file_storage, max_bytes: 100KiB}
service:
  extensions: [file_storage]
  telemetry: {metrics: {level: none}}
  pipelines: {traces: {receivers: [otlp], exporters: [otlp_http]}}
"""
SPANS = 50


def kills(folder: Path, times: int) -> str:
    """A gateway with a queue on disk is killed time and again: what it answered for arrives, each span of it."""
    ports = free_port(), free_port()
    folder.mkdir(exist_ok=True)
    config = folder / "gateway.yaml"
    config.write_text(GATEWAY % (folder / "storage", *ports))
    return asyncio.run(_kills(config, ports, times))


async def _kills(config: Path, ports: tuple[int, int], times: int) -> str:
    dice = random.Random(times)
    async with Collector.from_yaml(SINK % ports[1]) as collector, aiohttp.ClientSession() as client:
        sink: MemorySink = collector.component("exporter", "memory")
        url, promised = f"http://localhost:{ports[0]}/v1/traces", []
        sender = asyncio.create_task(_send(client, url, promised))
        try:
            for life in range(times):
                sink.error = RetryableError("away") if life % 2 else None
                gateway = await _start(config)
                known = len(promised)
                while len(promised) == known and gateway.returncode is None:  # noqa: ASYNC110 - both come from outside
                    await asyncio.sleep(0.01)
                await asyncio.sleep(dice.uniform(0.05, 0.5))
                assert gateway.returncode is None, f"the gateway ended by itself in life {life}: {_words(config)}"
                gateway.send_signal(signal.SIGKILL)
                await gateway.wait()
        finally:
            sender.cancel()
        sink.error = None
        gateway = await _start(config)
        try:
            arrived = await _arrival(sink, set(promised))
        finally:
            gateway.terminate()
            await gateway.wait()
    twice = arrived - len(set(promised))
    return f"{times} kills, {SPANS * len(promised):,} spans promised; lost 0, {twice} requests came twice"


async def _start(config: Path) -> asyncio.subprocess.Process:
    with config.with_suffix(".log").open("wb") as log:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "sluiceway", "run", "--config", config,
            stdout=asyncio.subprocess.DEVNULL, stderr=log,
        )  # fmt: skip


def _words(config: Path) -> str:
    """What the last gateway said."""
    return config.with_suffix(".log").read_text()[-2000:]


async def _arrival(sink: MemorySink, promised: set[int]) -> int:
    """Wait until all that was promised has arrived; how many times requests did in all."""
    missing = promised
    for _ in range(3_000):
        batches = [batch.proto() for batch in sink.batches]
        names = [s.name for batch in batches for r in batch.resource_spans for s in r.scope_spans[0].spans]
        missing = promised - {int(name) for name in names}
        if not missing:
            return sum(int(name) in promised for name in names) // SPANS
        await asyncio.sleep(0.1)
    raise AssertionError(f"{len(missing)} of {len(promised)} requests never arrived")


async def _send(client: aiohttp.ClientSession, url: str, promised: list[int]) -> None:
    """Send requests, each of spans that bear its number, and note those that were answered for."""
    number = 0
    while True:
        number += 1
        message = TracesData()
        spans = message.resource_spans.add().scope_spans.add().spans
        for _ in range(SPANS):
            spans.add(name=str(number), trace_id=number.to_bytes(16, "big"), span_id=b"12345678")
        headers = {"content-type": "application/x-protobuf"}
        with suppress(aiohttp.ClientError, OSError):
            async with client.post(url, data=message.SerializeToString(), headers=headers) as answer:
                if answer.status == 200:
                    promised.append(number)
                    continue
        await asyncio.sleep(0.02)
