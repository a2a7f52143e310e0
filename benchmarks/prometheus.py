"""What a scraped sample costs, from the text of the answer to the encoded batch: the first scrape, and those after it.

    python -m benchmarks.prometheus [TIMES]

CPU seconds per million samples of this process, beside what `prometheus_client` takes to parse the same text. What
fetching the text takes is not in it.
"""

from __future__ import annotations

import statistics
import sys
import time

from sluiceway.component import Context, Kind
from sluiceway.receivers.prometheus import COMPONENT
from sluiceway.receivers.prometheus.discovery import targets_of
from sluiceway.receivers.prometheus.reader import Format
from sluiceway.receivers.prometheus.scrape import Answer
from sluiceway.receivers.prometheus.target import Asked, Target
from sluiceway.testing import settings

CONFIG = """
receivers:
  prometheus: {config: {scrape_configs: [{job_name: api, static_configs: [{targets: ['localhost:1']}]}]}}
"""
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, "+Inf")


def page(number: int) -> tuple[bytes, int]:
    """An answer of counters, gauges and histograms, and how many samples it has; values differ by its number."""
    lines: list[str] = []
    for name in range(100):
        lines.append(f"# TYPE requests_{name}_total counter")
        lines += [
            f'requests_{name}_total{{method="GET",path="/api/v1/items/{at}",pod="api-{at % 7}"}} {at * 37 + number}'
            for at in range(400)
        ]
        lines.append(f"# TYPE temperature_{name} gauge")
        lines += [f'temperature_{name}{{device="eth{at}"}} {at * 1.37e-3 + number:.9g}' for at in range(200)]
    for name in range(40):
        lines.append(f"# TYPE latency_{name}_seconds histogram")
        for at in range(70):
            lines += [
                f'latency_{name}_seconds_bucket{{path="/x/{at}",le="{bound}"}} {place * 5 + number}'
                for place, bound in enumerate(BOUNDS)
            ]
            lines.append(f'latency_{name}_seconds_sum{{path="/x/{at}"}} {at * 5.123 + number}')
            lines.append(f'latency_{name}_seconds_count{{path="/x/{at}"}} {11 * 5 + number}')
    return ("\n".join(lines) + "\n").encode(), sum(not line.startswith("#") for line in lines)


def main(times: int) -> None:
    """Print a line for each case."""
    config = settings(COMPONENT, CONFIG).config  # type: ignore[attr-defined]
    (key,) = targets_of(config, config.scrape_configs[0], [])
    target = Target(config, config.scrape_configs[0], key, Context("prometheus", Kind.RECEIVER))
    spent = []
    for number in range(times + 1):
        text, samples = page(number)
        begin = time.process_time()
        target.outcome(Asked(Answer(text, Format.TEXT), "", 1_700_000_000_000_000_000 + number * 10**9, 0.1))
        spent.append((time.process_time() - begin) / samples * 1e6)
    print(f"{samples} samples, {len(text) / 1e6:.1f} MB")
    print(f"the first scrape      {spent[0]:6.2f} CPU-s per million samples")
    print(f"those after it        {statistics.median(spent[1:]):6.2f} CPU-s per million samples")
    from prometheus_client.parser import text_string_to_metric_families

    begin = time.process_time()
    list(text_string_to_metric_families(text.decode()))
    print(
        f"prometheus_client     {(time.process_time() - begin) / samples * 1e6:6.2f} CPU-s per million samples, parsed"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
