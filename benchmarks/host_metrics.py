"""What one measurement of `host_metrics` costs: everything but `process`, and `process` with 500 processes more.

    python -m benchmarks.host_metrics [PROCESSES]

CPU milliseconds of this process, with its threads; the median of measurements.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
import subprocess
import sys
import time

from sluiceway.component import Context, Kind, SystemClock
from sluiceway.config.decode import decode
from sluiceway.config.parse import parse
from sluiceway.otlp import Signal
from sluiceway.receivers.host_metrics import COMPONENT, SCRAPERS
from sluiceway.testing import MemorySink

TIMES = 20


async def measure(scrapers: list[str]) -> tuple[float, int]:
    """CPU milliseconds of a measurement, and its points."""
    sink = MemorySink()
    yaml = "{initial_delay: 1h, scrapers: {" + ", ".join(f"{name}: " for name in scrapers) + "}}"
    settings = decode(COMPONENT.config, parse(yaml, "host.yaml"))
    context = Context(
        "host_metrics", Kind.RECEIVER, frozenset({Signal.METRICS}), clock=SystemClock(), logger=logging.getLogger()
    )
    receiver = COMPONENT.create(settings, context, sink)
    spent = []
    async with receiver:
        await receiver.scraping.measure()
        for _ in range(TIMES):
            begin = time.process_time()
            await receiver.scraping.measure()
            spent.append(time.process_time() - begin)
    return statistics.median(spent) * 1e3, sink.batches[-1].items


def main(processes: int) -> None:
    """Print a line for each case."""
    others = [name for name in SCRAPERS if name != "process"]
    for name in (*SCRAPERS, "everything but process"):
        cost, points = asyncio.run(measure(others if name not in SCRAPERS else [name]))
        print(f"{name:45} {cost:7.1f} ms CPU {points:7} points")
    children = [subprocess.Popen(["sleep", "600"]) for _ in range(processes)]
    try:
        for case, scrapers in (("process", ["process"]), ("everything but process", others)):
            cost, points = asyncio.run(measure(scrapers))
            print(f"{f'{case}, {processes} processes more':45} {cost:7.1f} ms CPU {points:7} points")
    finally:
        for child in children:
            child.kill()
            child.wait()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
