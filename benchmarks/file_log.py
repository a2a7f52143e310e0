"""What a line costs from the file to the encoded batch: `file_log` alone, with operators, and with a storage.

    python -m benchmarks.file_log [LINES]

The whole collector runs in this process, with an exporter that takes each batch at once; CPU seconds are those of the
process, with its threads.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from sluiceway.otlp import Batch
from sluiceway.service import Collector

REGEX = r"^(?P<time>\S+) (?P<level>[A-Z]+) \[(?P<thread>[^\]]+)\] (?P<logger>[^:]+): (?P<message>.*)$"
PARSER = f"{{type: regex_parser, regex: '{REGEX}'"
TIME = "timestamp: {parse_from: attributes.time, layout: '%Y-%m-%dT%H:%M:%S.%LZ', location: UTC}"
CASES = {
    "lines as they are": "",
    "regex_parser, five groups": f"operators: [{PARSER}}}]",
    "the same, with time and severity": f"operators: [{PARSER}, {TIME}, severity: {{parse_from: attributes.level}}}}]",
    "regex_parser, with storage": f"operators: [{PARSER}}}], storage: file_storage",
}
CONFIG = """
extensions:
  file_storage: {{directory: '{folder}/storage'}}
receivers:
  file_log: {{include: ['{folder}/*.log'], start_at: beginning, {more}}}
exporters:
  counter: {{component: benchmarks.file_log:Counter}}
service:
  extensions: [file_storage]
  telemetry: {{metrics: {{level: none}}, logs: {{level: ERROR}}}}
  pipelines: {{logs: {{receivers: [file_log], exporters: [counter]}}}}
"""


class Counter:
    """Counts what arrives."""

    def __init__(self) -> None:
        self.items = 0

    def consume(self, batch: Batch) -> None:
        """Take a batch."""
        self.items += batch.items


def write(path: Path, lines: int) -> None:
    """A log of lines of about a hundred bytes."""
    with path.open("w") as file:
        for number in range(lines):
            head = f"2026-11-26T12:{number // 6000 % 60:02d}:{number // 100 % 60:02d}.{number % 1000:03d}Z"
            text = f"GET /api/orders/{number} 200 {number % 300}ms"
            file.write(f"{head} {'INFO' if number % 9 else 'ERROR'} [worker-{number % 16}] http.server: {text}\n")


async def run(lines: int, more: str) -> tuple[float, float]:
    """CPU seconds and seconds for all lines."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "app.log", lines)
        text = CONFIG.format(folder=folder, more=more)
        cpu, began = time.process_time(), time.perf_counter()
        async with Collector.from_yaml(text) as collector:
            counter = collector.component("exporter", "counter")
            while counter.items < lines:  # noqa: ASYNC110 - as a benchmark does
                await asyncio.sleep(0.01)
            return time.process_time() - cpu, time.perf_counter() - began


def main() -> None:
    """Print a table."""
    lines = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    for name, more in CASES.items():
        cpu, seconds = asyncio.run(run(lines, more))
        million = lines / 1_000_000
        print(f"{name:34} {cpu / million:6.2f} CPU-s per million lines, {lines / seconds:10,.0f} lines/s")


if __name__ == "__main__":
    main()
