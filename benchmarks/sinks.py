"""What a sink's exporter makes of a sink's own speed: rows a second from a batch to COMMIT, against a prepared COPY.

    python -m benchmarks.sinks                 # about a minute; starts a PostgreSQL of its own on loopback
    python -m benchmarks.sinks --batch 2000

Both write the same rows into the same tables on the same server in turn: the exporter from OTLP bytes, each batch in a
transaction with its key; `psql` by one `COPY ... FROM STDIN BINARY` of a file that holds what the exporter would write.
The tables are emptied in between, and have their indexes and partitions. The median of the rounds counts.

Rates differ with whatever else the machine does. CPU seconds per million rows do not: those of the exporter with the
server's, beside those of `psql` with the server's, and the exporter's alone.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import uvloop

from benchmarks.load import payloads
from sluiceway.clock import SystemClock
from sluiceway.component import Context, Kind
from sluiceway.exporters.timescaledb import COMPONENT, TimescaleSettings
from sluiceway.exporters.timescaledb._rows import Layout, rows
from sluiceway.exporters.timescaledb.columns import tables_of
from sluiceway.otlp import Batch, Origin, Signal, accept
from tests.servers.postgresql import PostgresServer, debian_bin, postgres_server

SETTINGS = "shared_buffers = 512MB\nmax_wal_size = 4GB\ncheckpoint_timeout = 30min\n"
TABLES = {Signal.TRACES: "spans", Signal.LOGS: "logs"}
ROUNDS = 3


def batches(signal: Signal, items: int, size: int) -> list[Batch]:
    """Batches of items with ten attributes, all of them different, as they would arrive now."""
    made = payloads(signal.value, size, 10)
    chosen = [made[n % len(made)].numbered(n * size) for n in range(items // size)]
    return [accept(signal, raw, Origin(float(n + 1))) for n, raw in enumerate(chosen)]


def copy_file(signal: Signal, work: list[Batch], path: Path) -> int:
    """The rows of all batches as one file for COPY; answers how many there are."""
    layout, now, total = Layout(tables_of(signal)), time.time_ns(), 0
    with path.open("wb") as file:
        for place, batch in enumerate(work):
            (data, count), *_ = rows(layout, signal.code, batch.payload, 0, 2**64 - 1, now, 1 << 28, 1 << 40)[0]
            file.write(data[0 if place == 0 else 19 : -2])
            total += count
        file.write(b"\xff\xff")
    path.chmod(0o644)
    return total


async def exported(server: PostgresServer, signal: Signal, work: list[Batch], senders: int) -> tuple[float, float]:
    """Seconds and CPU seconds of ours for all batches, by so many at a time."""
    given: dict[str, Any] = {
        "endpoint": server.endpoint, "username": "postgres", "database": "postgres", "tls": {"insecure": True},
        "pool_size": senders, "time_window": {"before": "100000h"},
    }  # fmt: skip
    context = Context("timescaledb", Kind.EXPORTER, signals=frozenset({signal}), clock=SystemClock())
    async with COMPONENT.create(TimescaleSettings.model_validate(given), context) as exporter:
        queue = iter(work)

        async def send() -> None:
            for batch in queue:
                assert await exporter.consume(batch) is None

        await exporter.consume(accept(signal, b""))
        began, cpu = time.perf_counter(), _cpu()
        await asyncio.gather(*(send() for _ in range(senders)))
        return time.perf_counter() - began, _cpu() - cpu


def copied(server: PostgresServer, table: str, columns: str, file: Path) -> tuple[float, float]:
    """Seconds and CPU seconds of psql for the file, its start included."""
    began, cpu = time.perf_counter(), _cpu(resource.RUSAGE_CHILDREN)
    server.sql(f"\\copy otel_{table} ({columns}) FROM '{file}' (FORMAT binary)")
    return time.perf_counter() - began, _cpu(resource.RUSAGE_CHILDREN) - cpu


def _cpu(who: int = resource.RUSAGE_SELF) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def _server_cpu(server: PostgresServer) -> float:
    """CPU seconds of the server so far, with those of sessions that have ended."""
    main = psutil.Process(server.pid)
    while True:
        try:
            live = sum(times.user + times.system for times in (child.cpu_times() for child in main.children()))
        except psutil.NoSuchProcess:
            continue
        ended = main.cpu_times()
        return live + ended.user + ended.system + ended.children_user + ended.children_system


def measure(server: PostgresServer, signal: Signal, items: int, size: int, senders: int, folder: Path) -> float:
    """Print one line, and answer the share of the sink's own speed that the exporter reaches."""
    work = batches(signal, items, size)
    table = next(table for table in tables_of(signal) if table.name == TABLES[signal])
    columns = ", ".join(column.name for column in table.columns)
    file = folder / f"{table.name}.bin"
    count = copy_file(signal, work, file)
    ours, theirs = [], []
    for _ in range(ROUNDS):
        _empty(server)
        before = _server_cpu(server)
        seconds, cpu = asyncio.run(exported(server, signal, work, senders))
        ours.append((count / seconds, cpu + _server_cpu(server) - before, cpu))
        assert int(server.sql(f"SELECT count(*) FROM otel_{table.name}")) == count
        _empty(server)
        before = _server_cpu(server)
        seconds, cpu = copied(server, table.name, columns, file)
        theirs.append((count / seconds, cpu + _server_cpu(server) - before))
    rate, together, own = map(statistics.median, zip(*ours, strict=True))
    sink_rate, sink_together = map(statistics.median, zip(*theirs, strict=True))
    cpus = [f"{seconds / count * 1e6:10.1f}" for seconds in (together, sink_together, own)]
    print(f"{table.name:6} {rate:10,.0f} {sink_rate:10,.0f} {rate / sink_rate:6.0%} {' '.join(cpus)}", flush=True)
    return rate / sink_rate


def _empty(server: PostgresServer) -> None:
    if server.sql("SELECT to_regclass('otel_batches')"):
        server.sql("TRUNCATE otel_spans, otel_logs, otel_batches", "CHECKPOINT")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--batch", type=int, default=8192, help="items of a batch: what the queue's batch would make")
    parser.add_argument("--senders", type=int, default=1, help="batches at a time; the prepared COPY is one session")
    chosen = parser.parse_args()
    uvloop.install()
    with postgres_server(SETTINGS, debian_bin()) as server, tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        print(f"{server.sql('SHOW server_version')} on {os.cpu_count()} cores")
        print(
            f"{chosen.items:,} items, {chosen.batch} a batch, {chosen.senders} at a time; CPU seconds per million rows"
        )
        print("           rows/s       COPY  share   CPU with   COPY with  exporter")
        shares = [measure(server, signal, chosen.items, chosen.batch, chosen.senders, folder) for signal in TABLES]
    return int(min(shares) < 0.7)


if __name__ == "__main__":
    sys.exit(main())
