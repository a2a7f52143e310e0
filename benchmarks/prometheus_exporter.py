"""What the exporter `prometheus` costs: a point that comes in, a page that goes out, a series that is kept.

    python -m benchmarks.prometheus_exporter [SERIES]

CPU seconds per million points of this process, of new series and of known ones; milliseconds of a page in each format;
bytes of a series; and for how long the event loop is held at a time while a page is made.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

from sluiceway.exporters.prometheus.scrape import compressed, parts
from sluiceway.prometheus._store import Store
from sluiceway.prometheus.families import Format
from sluiceway.prometheus.translation import Rules, Translation

START = 1_700_000_000_000_000_000
BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0]
PER_METRIC = 200
PER_BATCH = 2_000


def batches(kind: str, series: int, number: int) -> list[bytes]:
    """The points of so many series, in batches; values and times differ by their number."""
    made = []
    for first in range(0, series, PER_BATCH):
        data = MetricsData()
        entry = data.resource_metrics.add()
        texts = {"service.name": "shop", "service.instance.id": f"i-{first}", "host.name": "h"}
        entry.resource.attributes.extend(pair(key, value) for key, value in texts.items())
        scope = entry.scope_metrics.add()
        scope.scope.name, scope.scope.version = "io.opentelemetry.http", "1.2.3"
        for at in range(first, min(first + PER_BATCH, series), PER_METRIC):
            metric = scope.metrics.add(
                name=f"http.server.things{at // PER_METRIC % 50}", unit="s", description="Things"
            )
            for place in range(at, at + PER_METRIC):
                fill(metric, kind, place, number)
        made.append(data.SerializeToString())
    return made


def pair(key: str, value: str) -> KeyValue:
    """An attribute."""
    return KeyValue(key=key, value=AnyValue(string_value=value))


def fill(metric: object, kind: str, place: int, number: int) -> None:
    """Add a point to a metric."""
    data = getattr(metric, "sum" if kind == "delta" else kind)
    if kind != "gauge":
        data.aggregation_temporality = 1 if kind == "delta" else 2
    if kind == "delta":
        data.is_monotonic = True
    now = START + number * 10**10
    point = data.data_points.add(time_unix_nano=now, start_time_unix_nano=now - 10**10)
    texts = {"http.method": "GET", "http.route": f"/api/v1/items/{place}", "http.status_code": "200", "net.peer": "a.b"}
    point.attributes.extend(pair(key, value) for key, value in texts.items())
    if kind == "histogram":
        point.explicit_bounds.extend(BOUNDS)
        point.bucket_counts.extend(range(len(BOUNDS) + 1))
        point.count, point.sum = sum(range(len(BOUNDS) + 1)), place * 1.37e-3 + number
    elif kind == "delta":
        point.as_int = place + number
    else:
        point.as_double = place * 1.37e-3 + number


def cpu(work: Callable[[], object]) -> float:
    """CPU seconds of some work."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


async def page(store: Store, names: Translation, format: Format, gzip: bool) -> tuple[float, float, int]:
    """CPU seconds of a page, those of its longest part, after each of which others have their turn, and the bytes."""
    longest, size = 0.0, 0
    begin = before = time.process_time()
    made = parts(store, names.claims, format, utf8=False, timestamps=False, limit=0.0)
    async for part in compressed(made) if gzip else made:
        size += len(part)
        longest, before = max(longest, time.process_time() - before), time.process_time()
    return time.process_time() - begin, longest, size


def take(store: Store, batch: list[bytes], number: int) -> None:
    """Have the store add a round of batches."""
    for payload in batch:
        store.add(payload, float(number), START)


def run(kind: str, series: int) -> None:
    """Print what metrics of one type cost."""
    rounds = [batches(kind, series, number) for number in range(4)]
    names = Translation(Rules())
    before = resident()
    store = Store(names, max_series=2 * series, with_exemplars=False, seed=1)
    first, *later = (cpu(partial(take, store, batch, number)) for number, batch in enumerate(rounds))
    print(f"{kind}: {len(store)} series, about {(resident() - before) / len(store):.0f} bytes each")
    print(f"  new series    {first / series * 1e6:6.2f} CPU-s per million points")
    print(f"  known series  {statistics.median(later) / series * 1e6:6.2f} CPU-s per million points")
    for format in Format:
        for gzip in (False, True):
            spent, longest, size = asyncio.run(page(store, names, format, gzip))
            name = f"{format.name.lower()}{' in gzip' if gzip else ''}"
            print(
                f"  {name:22} {spent * 1e3 * 100_000 / series:7.0f} ms per 100,000 series, "
                f"{size / 1e6:6.1f} MB, {longest * 1e3:.1f} ms at a time"
            )


def main(series: int) -> None:
    """Print a table; each type in a process of its own, as memory that was freed is not given back."""
    for kind in ("gauge", "delta", "histogram"):
        process = multiprocessing.get_context("spawn").Process(target=run, args=(kind, series))
        process.start()
        process.join()


def resident() -> int:
    """Bytes that the process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
