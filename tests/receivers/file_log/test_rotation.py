"""Real rotation under load: logrotate renames, or copies and truncates, while another process writes.

The collector, a process of its own, is killed and started again. Every line is counted where it arrives.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from sluiceway.otlp import Batch
from sluiceway.service import Collector
from tests.ports import free_port
from tests.receivers.records import until
from tests.servers import program

ROOT = Path(__file__).parents[3]
LINE = 61
"""Bytes of a line that the writer writes."""
BATCH = 2 * 256 * 1024
"""Bytes that may be under way: a batch ends with the block that fills it."""

SINK = """
receivers:
  otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{port}"}}}}}}
exporters:
  numbers: {{component: tests.receivers.file_log.test_rotation:Numbers}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines: {{logs: {{receivers: [otlp], exporters: [numbers]}}}}
"""

COLLECTOR = """
extensions:
  file_storage: {{directory: '{folder}/storage', create_directory: true}}
receivers:
  filelog:
    include: ['{folder}/log/app.log*']
    start_at: beginning
    storage: file_storage
    poll_interval: 50ms
    compression: auto
exporters:
  otlp_http: {{endpoint: "http://127.0.0.1:{port}", sending_queue: {{enabled: false}}}}
service:
  extensions: [file_storage]
  telemetry: {{metrics: {{level: none}}}}
  pipelines: {{logs: {{receivers: [filelog], exporters: [otlp_http]}}}}
"""

ROTATION = {
    "renamed": "create 0644\n  nocompress",
    "copied": "copytruncate\n  nocompress",
    "compressed": "create 0644\n  compress\n  delaycompress",
}
"""What logrotate is told. With `copytruncate` the writer keeps its file open."""


class Machine:
    """A folder with a log, its writer, logrotate and a collector that is started and killed."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.log = folder / "log" / "app.log"
        self.log.parent.mkdir()
        self.log.parent.chmod(0o755)
        self.log.touch()
        self.lock = folder / "lock"
        (folder / "collector.yaml").write_text(COLLECTOR.format(folder=folder, port=port))
        self.rotations = 0

    async def run(self, *command: object) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(*map(str, command), cwd=ROOT)

    async def collector(self) -> asyncio.subprocess.Process:
        return await self.run(
            sys.executable, "-m", "sluiceway", "run", "--config", self.folder / "collector.yaml",
        )  # fmt: skip

    async def writer(self, lines: int, mode: str) -> asyncio.subprocess.Process:
        return await self.run(sys.executable, "-m", "tests.receivers.file_log.writer", self.log, lines, mode, self.lock)

    async def rotate(self, rotation: str) -> None:
        """Have logrotate rotate now, while nobody writes."""
        self.rotations += 1
        config = self.folder / "logrotate.conf"
        config.write_text(f"{self.log} {{\n  rotate 50\n  su root root\n  {rotation}\n}}\n")
        config.chmod(0o644)
        state = self.folder / "logrotate.state"
        process = await self.run(
            "flock", self.lock, program("logrotate", "logrotate", "/usr/sbin/logrotate"), "-f", "-s", state, config
        )
        assert await process.wait() == 0


class Numbers:
    """Counts how often each line has arrived."""

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()
        self.items = 0

    def consume(self, batch: Batch) -> None:
        """Take a batch."""
        found = re.findall(rb"(\d{8}) GET", batch.payload)
        assert len(found) == batch.items
        self.counts.update(map(int, found))
        self.items += len(found)


@asynccontextmanager
async def machine(folder: Path) -> AsyncIterator[tuple[Machine, Numbers]]:
    """A machine, and what has arrived from it."""
    port = free_port()
    async with Collector.from_yaml(SINK.format(port=port)) as collector:
        yield Machine(folder, port), collector.component("exporter", "numbers")


@pytest.mark.parametrize("how", ["renamed", "copied", "compressed"])
async def test_rotation_under_load_loses_and_repeats_nothing(tmp_path: Path, how) -> None:
    """Each line arrives once, whether the file is renamed, or copied and truncated, or compressed later."""
    lines = 60_000
    async with machine(tmp_path) as (host, sink):
        collector = await host.collector()
        writer = await host.writer(lines, "keep" if how == "copied" else "reopen")
        try:
            while writer.returncode is None:
                await asyncio.sleep(0.1)
                await host.rotate(ROTATION[how])
            await until(lambda: sink.items >= lines)
            collector.terminate()
            await collector.wait()
        finally:
            for process in (collector, writer):
                if process.returncode is None:
                    process.kill()
                    await process.wait()
    assert host.rotations > 5
    counts = sink.counts
    assert set(range(lines)) - set(counts) == set()
    assert {number for number, count in counts.items() if count > 1} == set()


@pytest.mark.parametrize("how", ["renamed", "copied"])
async def test_a_kill_repeats_only_the_batch_under_way(tmp_path: Path, how) -> None:
    """The collector is killed in the middle of the load, and the file rotated meanwhile: no line is lost.

    Per kill no more than one batch of lines, which stood one behind the other, comes again.
    """
    lines, kills = 100_000, 4
    async with machine(tmp_path) as (host, sink):
        collector = await host.collector()
        writer = await host.writer(lines, "keep" if how == "copied" else "reopen")
        try:
            for kill in range(kills):
                goal = (kill + 1) * lines // (kills + 2)
                await until(lambda goal=goal: sink.items >= goal)
                await host.rotate(ROTATION[how])
                collector.kill()
                await collector.wait()
                if kill % 2:
                    await host.rotate(ROTATION[how])
                collector = await host.collector()
            await until(lambda: len(sink.counts) >= lines)
            collector.terminate()
            await collector.wait()
        finally:
            for process in (collector, writer):
                if process.returncode is None:
                    process.kill()
                    await process.wait()
    counts = sink.counts
    assert set(range(lines)) - set(counts) == set()
    assert max(counts.values()) <= 1 + kills  # two kills may hit the same batch
    repeated = sorted(number for number, count in counts.items() if count > 1)
    assert sum(counts.values()) - len(counts) <= kills * BATCH // LINE
    runs = 1 + sum(right != left + 1 for left, right in pairwise(repeated))
    assert runs <= 2 * kills, "what comes again is not one batch"
    print(f"{len(repeated)} lines came twice after {kills} kills")
