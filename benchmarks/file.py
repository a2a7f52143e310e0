"""What a span costs on its way into a file and out of it again: the exporter `file` and the receiver of its name.

    python -m benchmarks.file [SPANS]

The whole collector runs in this process; CPU seconds are those of the process, with its threads. Spans have ten
attributes and come 512 a batch, from 16 senders at once. What `fsync: always` takes is told by the disk of the machine.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.load import payloads
from sluiceway.otlp import Batch, Signal, accept
from sluiceway.service import Collector

CASES = {
    "proto": "format: proto",
    "proto, fsync: always": "format: proto, fsync: always",
    "proto, zstd": "format: proto, compression: zstd",
    "json": "format: json",
    "json, zstd": "format: json, compression: zstd",
}
SENDERS = 16
PER_BATCH = 512

WRITE = """
receivers: {{feed: {{component: sluiceway.testing:Feeder}}}}
exporters: {{file: {{path: '{folder}/spans', {keys}}}}}
service:
  telemetry: {{metrics: {{level: none}}, logs: {{level: ERROR}}}}
  pipelines: {{traces: {{receivers: [feed], exporters: [file]}}}}
"""
READ = """
receivers: {{file: {{path: '{folder}/spans'}}}}
exporters: {{counter: {{component: benchmarks.file_log:Counter}}}}
service:
  telemetry: {{metrics: {{level: none}}, logs: {{level: ERROR}}}}
  pipelines: {{traces: {{receivers: [file], exporters: [counter]}}}}
"""


async def write(folder: str, keys: str, batches: list[Batch], rounds: int) -> tuple[float, float]:
    """CPU seconds and seconds for all batches, several times over."""
    async with Collector.from_yaml(WRITE.format(folder=folder, keys=keys)) as collector:
        feeder = collector.component("receiver", "feed")
        left = itertools.chain.from_iterable(itertools.repeat(batches, rounds))

        async def send() -> None:
            for batch in left:
                await feeder.feed(batch)

        cpu, began = time.process_time(), time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(SENDERS):
                tasks.create_task(send())
        return time.process_time() - cpu, time.perf_counter() - began


async def read(folder: str, spans: int) -> tuple[float, float]:
    """CPU seconds and seconds for reading it back."""
    cpu, began = time.process_time(), time.perf_counter()
    async with Collector.from_yaml(READ.format(folder=folder)) as collector:
        counter = collector.component("exporter", "counter")
        while counter.items < spans:  # noqa: ASYNC110 - as a benchmark does
            await asyncio.sleep(0.005)
        return time.process_time() - cpu, time.perf_counter() - began


def main() -> None:
    """Print a table."""
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    batches = [accept(Signal.TRACES, made.numbered(0)) for made in payloads("traces", PER_BATCH, 10)]
    rounds = max(1, wanted // (len(batches) * PER_BATCH))
    spans = rounds * len(batches) * PER_BATCH
    for name, keys in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            for what, (cpu, seconds) in (
                ("written", asyncio.run(write(folder, keys, batches, rounds))),
                ("read", asyncio.run(read(folder, spans))),
            ):
                size = (Path(folder) / "spans").stat().st_size / spans
                million = spans / 1_000_000
                speed = f"{cpu / million:6.2f} CPU-s per million spans, {spans / seconds:10,.0f} spans/s"
                print(f"{name:22} {what:8} {speed}, {size:5.0f} bytes a span")


if __name__ == "__main__":
    main()
