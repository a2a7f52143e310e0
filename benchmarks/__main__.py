"""Run the benchmarks: Sluiceway and Rotel in turn, same payloads, same sink, same machine.

    python -m benchmarks                 # the whole table (about twenty minutes)
    python -m benchmarks forward edits   # some scenarios
    python -m benchmarks --list

Prints a table and writes `benchmarks/results/<time>.json`. Exit code 1 when anything was lost or came twice.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.systems import (
    ANONYMIZE,
    DEAD,
    FILTER,
    HEALTHY,
    PYTHON,
    REDACTION,
    SAMPLER,
    Ports,
    Running,
    rotel,
    rotel_python,
    sluiceway,
)

WARM_UP = 1.0
"""Seconds at the beginning of a run whose requests do not count towards latency."""

System = Callable[[Ports, str], Running]


@dataclass
class Scenario:
    """One row of the table for each of its systems."""

    name: str
    protocol: str = "grpc"
    signal: str = "traces"
    per_request: int = 512
    items: int = 2_000_000
    rate: float = 0
    connections: int = 4
    streams: int = 2
    personal: float = 0
    """The share of items with personal data in them."""
    away: float = 0
    """Seconds for which the backend is not there, from the start."""
    drops: bool = False
    """Whether items are meant to go missing."""
    systems: dict[str, System] = field(default_factory=lambda: {"sluiceway": sluiceway, "rotel": rotel})


def _edits(more: int = 0) -> System:
    return lambda ports, protocol: sluiceway(ports, protocol, edits=True, more=more)


def _limits(*names: str) -> System:
    return lambda ports, protocol: sluiceway(ports, protocol, limits=names)


def _alone(processor: str, rules: int = 0, *, batch: bool = False) -> System:
    return lambda ports, protocol: sluiceway(ports, protocol, alone=processor, rules=rules, batch=batch)


def _durable(kind: str = "plain") -> System:
    """With the sending queue on disk, in a folder of its own."""

    def start(ports: Ports, protocol: str) -> Running:
        return sluiceway(ports, protocol, storage=tempfile.mkdtemp(prefix=f"queue-{kind}-"))

    return start


def _beside(siblings: str) -> System:
    return lambda ports, protocol: sluiceway(ports, protocol, siblings=siblings)


OURS: dict[str, System] = {"sluiceway": sluiceway}
DURABLE: dict[str, System] = {"memory": sluiceway, "disk": _durable(), "disk, encrypted": _durable("encrypted")}
SCENARIOS = [
    Scenario("forward-spans"),
    Scenario("forward-logs", signal="logs"),
    Scenario("forward-http", protocol="http"),
    Scenario("edits", systems={"forward": sluiceway, "edits": _edits(), "edits+1": _edits(1), "edits+5": _edits(5)}),
    Scenario(
        "limits",
        systems={
            "forward": sluiceway,
            "rate_limiter": _limits("rate_limiter"),
            "circuit_breaker": _limits("circuit_breaker"),
            "all three": _limits("rate_limiter", "rate_limiter/all", "circuit_breaker"),
        },
    ),
    Scenario(
        "filter",
        drops=True,
        systems={
            "forward": sluiceway,
            "filter": _alone(FILTER),
            "filter, batch": _alone(FILTER, batch=True),
            "filter+1": _alone(FILTER, 1),
            "filter+5": _alone(FILTER, 5),
        },
    ),
    Scenario("sampler", drops=True, systems={"forward": sluiceway, "sampler": _alone(SAMPLER, batch=True)}),
    Scenario(
        "python",
        systems={"forward": sluiceway, "python": _alone(PYTHON), "rotel": rotel, "rotel-python": rotel_python},
    ),
    Scenario(
        "redaction",
        systems={
            "forward": sluiceway,
            "redaction": _alone(REDACTION),
            "redaction+1": _alone(REDACTION, 1),
            "redaction+5": _alone(REDACTION, 5),
        },
    ),
    Scenario(
        "redaction-logs",
        signal="logs",
        systems={"forward": sluiceway, "redaction": _alone(REDACTION), "redaction+5": _alone(REDACTION, 5)},
    ),
    Scenario("anonymize", personal=0.1, systems={"forward": sluiceway, "anonymize": _alone(ANONYMIZE)}),
    Scenario(
        "span-metrics",
        rate=100_000,
        items=1_000_000,
        drops=True,
        systems={"span_metrics": lambda ports, protocol: sluiceway(ports, protocol, counted=True)},
    ),
    Scenario("large", per_request=2048, items=4_000_000),
    Scenario("small-100", per_request=100, items=600_000),
    Scenario("small-10", per_request=10, items=60_000),
    Scenario("connections-64", connections=64, streams=1),
    Scenario("away-30s", away=30, items=3_000_000, systems=OURS),
    Scenario("away-30s-http", protocol="http", away=30, items=3_000_000, systems=OURS),
    Scenario("durable", systems=DURABLE),
    Scenario("durable-http", protocol="http", systems=DURABLE),
    Scenario("durable-50k", rate=50_000, items=500_000, systems=DURABLE),
    Scenario("dead-sibling", systems={"two": _beside(HEALTHY), "two and a dead one": _beside(HEALTHY + DEAD)}),
    Scenario("open-100k", rate=100_000, items=1_000_000),
    Scenario("open-100k-http", protocol="http", rate=100_000, items=1_000_000, connections=8),
]


@dataclass
class Result:
    """What was measured. Latencies are milliseconds from due time to the sink."""

    scenario: str
    system: str
    items: int
    items_per_s: float
    cpu_s_per_million: float
    p50: float
    p95: float
    p99: float
    rss_mib: float
    missing: int
    repeated: int
    failed_requests: int
    items_per_export: float
    gzip_ratio: float
    bytes_per_item: float


def measure(scenario: Scenario, name: str, system: System) -> Result:
    """Start sink and collector, send the load, wait until everything has arrived, and read the figures."""
    ports = Ports.free()
    with tempfile.TemporaryDirectory() as folder:
        sunk, sent = Path(folder, "sink.npz"), Path(folder, "load.npz")
        sizes = ["--items", str(scenario.items), "--per-request", str(scenario.per_request)]
        sink = None if scenario.away else _sink(ports, [*sizes, "--out", str(sunk)])
        collector = system(ports, scenario.protocol)
        try:
            time.sleep(1)
            before = collector.cpu()
            loading = _load(scenario, ports, [*sizes, "--out", str(sent)])
            rss = _peak(collector, loading, scenario.away)
            sink = sink or _sink(ports, [*sizes, "--out", str(sunk)])
            rss = max(rss, _peak(collector, loading))
            load = _told(loading)
            _settle(collector)
            cpu = collector.cpu() - before
        finally:
            collector.stop()
            if sink is not None:
                sink.terminate()
                sink.wait(120)
        return _result(scenario, name, load, cpu, rss, np.load(sunk), np.load(sent))


def _sink(ports: Ports, arguments: list[str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "benchmarks.sink", "--grpc", str(ports.sink_grpc), "--http", str(ports.sink_http)]
    sink = subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE)
    assert sink.stdout is not None
    sink.stdout.readline()
    return sink


def _peak(collector: Running, loading: subprocess.Popen[str], seconds: float = 3600) -> float:
    """The collector's largest RSS while the load runs, for `seconds` at most."""
    peak, end = collector.rss(), time.monotonic() + seconds
    while loading.poll() is None and time.monotonic() < end:
        time.sleep(min(0.2, seconds))
        peak = max(peak, collector.rss())
    return peak


def _settle(collector: Running) -> None:
    """Wait until the collector has nothing left to do, a minute at most: an idle one costs nothing meanwhile."""
    for _ in range(60):
        before = collector.cpu()
        time.sleep(1)
        if collector.cpu() - before < 0.05:
            break


def _load(scenario: Scenario, ports: Ports, sizes: list[str]) -> subprocess.Popen[str]:
    port = ports.grpc if scenario.protocol == "grpc" else ports.http
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.load", "--protocol", scenario.protocol, "--target", f"127.0.0.1:{port}",
         "--signal", scenario.signal, "--rate", str(scenario.rate), "--connections", str(scenario.connections),
         "--streams", str(scenario.streams), "--personal", str(scenario.personal), *sizes],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def _told(loading: subprocess.Popen[str]) -> dict[str, float]:
    said, _ = loading.communicate()
    if loading.returncode:
        raise RuntimeError("the load generator failed")
    parsed: dict[str, float] = json.loads(said)
    return parsed


def _result(
    scenario: Scenario, name: str, load: dict[str, float], cpu: float, rss: float, sink: dict, sent: dict
) -> Result:
    items = int(load["items"])
    seen = sink["seen"][:items]
    requests = items // scenario.per_request
    latency = (sink["arrived"][:requests] - sent["due"]) / 1e6
    warm = sent["due"] >= sent["due"][0] + WARM_UP * 1e9
    latency = latency[warm & (sink["arrived"][:requests] > 0)]
    p50, p95, p99 = np.percentile(latency, [50, 95, 99]) if len(latency) else (0, 0, 0)
    return Result(
        scenario.name, name, items, round(items / load["seconds"]), round(cpu / items * 1e6, 3),
        round(float(p50), 2), round(float(p95), 2), round(float(p99), 2), round(rss, 1),
        int((seen == 0).sum()), int((seen > 1).sum()), int(load["failed_requests"]),
        round(items / max(1, int(sink["requests"])), 1), load["gzip_ratio"], load["bytes_per_item"],
    )  # fmt: skip


def _table(results: list[Result]) -> str:
    columns = ["scenario", "system", "items_per_s", "cpu_s_per_million", "p50", "p95", "p99", "rss_mib", "missing",
               "repeated", "items_per_export"]  # fmt: skip
    rows = [
        columns,
        *([f"{getattr(r, c):,}" if c == "items_per_s" else str(getattr(r, c)) for c in columns] for r in results),
    ]
    widths = [max(len(row[n]) for row in rows) for n in range(len(columns))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", help="names, or parts of names")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--repeat", type=int, default=1, help="runs of each system, in turn; the median is reported")
    arguments = parser.parse_args()
    wanted = [s for s in SCENARIOS if not arguments.scenarios or any(part in s.name for part in arguments.scenarios)]
    if arguments.list:
        print("\n".join(s.name for s in SCENARIOS))
        return 0
    results: list[Result] = []
    for scenario in wanted:
        runs: dict[str, list[Result]] = {name: [] for name in scenario.systems}
        for _ in range(arguments.repeat):
            for name, system in scenario.systems.items():
                runs[name].append(measure(scenario, name, system))
                print(_table(runs[name][-1:]), flush=True)
        results += [sorted(r, key=lambda x: x.cpu_s_per_million)[len(r) // 2] for r in runs.values()]
    print("\n" + _table(results))
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    machine = {
        "cpu": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": sys.version.split()[0],
    }
    report = {"machine": machine, "results": [asdict(r) for r in results]}
    (folder / f"{time.strftime('%Y%m%dT%H%M%S')}.json").write_text(json.dumps(report, indent=2))
    print(json.dumps(report))
    dropping = {scenario.name for scenario in SCENARIOS if scenario.drops}
    lost = any(r.missing and r.scenario not in dropping for r in results if not r.system.startswith("rotel"))
    return int(lost or any(r.repeated for r in results if not r.system.startswith("rotel")))


if __name__ == "__main__":
    sys.exit(main())
