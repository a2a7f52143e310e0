"""What a data point costs on its way to remote write: from the bytes of a batch to compressed requests.

    python -m benchmarks.remote_write [TIMES]

CPU seconds of this process per million points: the first time, when each series must be named, and those after it. With
points of counters and gauges, of histograms with ten bounds (thirteen samples each), and of exponential histograms.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time

from pydantic import TypeAdapter

from sluiceway.clock import SystemClock
from sluiceway.exporters.prometheus_remote_write import PrometheusRemoteWriteConfig
from sluiceway.exporters.prometheus_remote_write.work import Encoding
from sluiceway.otlp import Batch
from sluiceway.otlp.metrics import ExponentialHistogram, Histogram, MetricsWriter, ResourceWriter, Temporality

SERIES = 20_000
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
AT = 1_700_000_000_000_000_000


def attributes(number: int) -> dict[str, str]:
    """Four labels, of which the last makes the series."""
    return {
        "http.request.method": "GET", "http.route": f"/api/v1/items/{number % 40}", "k8s.pod.name": f"api-{number % 7}",
        "shard": str(number),
    }  # fmt: skip


def numbers(into: ResourceWriter, at: int, temporality: Temporality) -> None:
    """Half of the points are counters, half gauges."""
    counter = into.sum("http.server.requests", "{request}", temporality=temporality)
    gauge = into.gauge("process.memory", "By")
    for number in range(SERIES // 2):
        counter.add(number * 37, attributes(number), time=at, start=AT - 10**12)
        gauge.add(number * 1.37, attributes(number), time=at)


def histograms(into: ResourceWriter, at: int, temporality: Temporality) -> None:
    """Ten bounds."""
    histogram = into.histogram("http.server.duration", "s", temporality=temporality)
    counts = (0, 3, 9, 20, 8, 5, 2, 1, 0, 0, 0)
    for number in range(SERIES // 10):
        value = Histogram(BOUNDS, counts, sum=12.5)
        histogram.add_histogram(value, attributes(number), time=at, start=AT - 10**12)


def exponential(into: ResourceWriter, at: int, temporality: Temporality) -> None:
    """Forty buckets."""
    histogram = into.exponential("rpc.duration", "s", temporality=temporality)
    value = ExponentialHistogram(5, (-60, tuple(n % 5 for n in range(40))), sum=12.5)
    for number in range(SERIES // 10):
        histogram.add_exponential(value, attributes(number), time=at, start=AT - 10**12)


def batches(write, temporality: Temporality, times: int) -> list[list[Batch]]:
    """Batches of 2,000 points at most, the same series at ascending times."""
    from sluiceway.otlp import split

    rounds = []
    for number in range(times):
        writer = MetricsWriter("bench", "1")
        write(writer.resource({"service.name": "shop", "host.name": "h"}), AT + number * 10**10, temporality)
        rounds.append(split(writer.batch(), items=2000))
    return rounds


async def spend(config: str, rounds: list[list[Batch]]) -> tuple[float, float, float]:
    """CPU seconds per million points the first time and later, and bytes sent for a point."""
    text = {"endpoint": "http://localhost/", "protobuf_message": config, "delta_to_cumulative": {}}
    encoding = Encoding(TypeAdapter(PrometheusRemoteWriteConfig).validate_python(text), SystemClock())
    spent, sent = [], 0
    for parts in rounds:
        points, begin = sum(batch.items for batch in parts), time.process_time()
        for batch in parts:
            work = await encoding.work(batch)
            assert not work.left_out
            sent += sum(len(request.body) for request in work.requests.values())
            encoding.done(work)
        spent.append((time.process_time() - begin) / points * 1e6)
    return spent[0], statistics.median(spent[1:]), sent / points / len(rounds)


def main(times: int) -> None:
    """Print a line for each case."""
    print("CPU-s per million points       first   later   bytes a point")
    for write in (numbers, histograms, exponential):
        for temporality in (Temporality.CUMULATIVE, Temporality.DELTA):
            rounds = batches(write, temporality, times)
            for message in ("prometheus.WriteRequest", "io.prometheus.write.v2.Request"):
                first, later, size = asyncio.run(spend(message, rounds))
                name = f"{write.__name__} {temporality.name.lower()} {2 if 'v2' in message else 1}.0"
                print(f"{name:30} {first:6.1f} {later:7.2f} {size:9.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
