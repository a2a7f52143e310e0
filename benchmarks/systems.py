"""The collectors under test: how each is started for a scenario, and what it costs while it runs."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

LIMITS = """
  rate_limiter: {by: {attribute: service.name}, items_per_second: 100000000}
  rate_limiter/all: {bytes_per_second: 100GiB, on_limit: drop}
  circuit_breaker:
"""
EDITS = """
  tenant:
    from: [{header: x-tenant-id}, {attribute: service.name}]
    default: shared
    on_missing: default
  attributes:
    actions:
      - {key: deployment.region, value: eu-west-1, action: upsert}
      - {key: cart.session, action: delete}
      - {key: team, value: payments, action: insert}
"""

ANONYMIZE = """
  anonymize:
    detect: all
    rules:
      - {detect: [email], action: pseudonymize}
      - {detect: [ip], action: truncate}
      - {detect: [credit_card], action: mask, keep_last: 4}
      - {keys: [password, authorization, set-cookie], action: drop}
    keys: {hmac: 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f}
"""


ENCRYPTED = ", encryption: {keys: [{id: a, key: '" + "01" * 32 + "'}]}"
HEALTHY = """
  debug:
"""
DEAD = """
  otlp_http/dead: {endpoint: 'http://127.0.0.1:1', compression: none, sending_queue: {queue_size: 100}}
"""
TOUCH = Path(__file__).parent / "touch.py"
"""Sets one attribute of each span, with Sluiceway and with Rotel."""


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@dataclass
class Ports:
    """Where the collector listens and where its backend does."""

    grpc: int
    http: int
    sink_grpc: int
    sink_http: int

    @classmethod
    def free(cls) -> Ports:
        return cls(free_port(), free_port(), free_port(), free_port())


FILTER = """
  filter:
    trace_conditions:
      - not IsMatch(span.attributes["checkout.shipping"], "^cart-")
"""
"""Drops about 95 % of the spans of `load`, by one attribute."""
REDACTION = """
  redaction:
    allowed_keys:
      [service.name, host.name, checkout.shipping, payment.order, inventory.zone, catalogue.miss, search.cart,
       cart.stock, user.pod, session.retry]
    blocked_values:
      - '4[0-9]{12}(?:[0-9]{3})?'
      - '[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\\.[A-Za-z]{2,}'
      - '(?i)bearer [a-z0-9._-]+'
"""
"""Keeps two of three attributes of a resource and eight of ten of a span, and looks for three patterns."""
SAMPLER = """
  probabilistic_sampler: {sampling_percentage: 10, mode: equalizing, hash_seed: 22}
"""
SPAN_METRICS = """
receivers:
  otlp:
    protocols:
      grpc: {{endpoint: '127.0.0.1:{grpc}'}}
      http: {{endpoint: '127.0.0.1:{http}'}}
connectors:
  span_metrics:
    dimensions: [{{name: checkout.shipping, max_values: 100}}]
    metrics_flush_interval: 1s
exporters:
  debug:
service:
  telemetry: {{metrics: {{level: none}}, logs: {{level: error}}}}
  pipelines:
    traces: {{receivers: [otlp], exporters: [span_metrics]}}
    metrics: {{receivers: [span_metrics], exporters: [debug]}}
"""
"""A whole collector that counts spans into metrics."""
PYTHON = f"""
  python: {{file: '{TOUCH}', function: touch}}
"""


def sluiceway_config(
    ports: Ports,
    protocol: str,
    *,
    edits: bool = False,
    more: int = 0,
    limits: Sequence[str] = (),
    alone: str = "",
    batch: bool = False,
    rules: int = 0,
    counted: bool = False,
    storage: str = "",
    siblings: str = "",
) -> str:
    """The whole YAML of one scenario.

    `more` adds that many further attribute actions, `limits` are names of LIMITS; `alone` is the YAML of a single
    processor, and `rules` adds that many further conditions or patterns to it, which hold for nothing. With `batch` a
    batch processor stands behind it. With `counted` spans end in `span_metrics` and go no further. `storage` is a
    folder for the sending queue, and `siblings` the YAML of further exporters that get the same.
    """
    if counted:
        return SPAN_METRICS.format(grpc=ports.grpc, http=ports.http)
    processors, names = "", ""
    if alone:
        rule = "'secret{}-[0-9a-f]{{8}}'" if alone == REDACTION else 'span.attributes["extra.{0}"] == "{0}"'
        further = "".join(f"      - {rule.format(n)}\n" for n in range(rules))
        processors = f"processors:{alone}{further}  batch:\n"
        names = f"processors: [{alone.split(':', maxsplit=1)[0].strip()}{', batch' if batch else ''}], "
    if edits:
        further = "".join(f"      - {{key: extra.{n}, value: {n}, action: insert}}\n" for n in range(more))
        processors = f"processors:{EDITS}{further}  batch:\n"
        names = "processors: [tenant, attributes, batch], "
    if limits:
        processors, names = f"processors:{LIMITS}", f"processors: [{', '.join(limits)}], "
    exporter = (
        f"otlp_grpc: {{endpoint: '127.0.0.1:{ports.sink_grpc}', tls: {{insecure: true}}, compression: none}}"
        if protocol == "grpc"
        else f"otlp_http: {{endpoint: 'http://127.0.0.1:{ports.sink_http}', compression: none}}"
    )
    name = exporter.partition(":")[0]
    extensions = ""
    if storage:
        exporter = exporter.removesuffix("}") + ", sending_queue: {storage: file_storage}}"
        keys = ENCRYPTED if "encrypted" in storage else ""
        extensions = f"extensions:\n  file_storage: {{directory: '{storage}'{keys}}}"
    exporters = ", ".join([name, *(line.split(":")[0].strip() for line in siblings.splitlines() if line.strip())])
    return f"""
receivers:
  otlp:
    protocols:
      grpc: {{endpoint: '127.0.0.1:{ports.grpc}'}}
      http: {{endpoint: '127.0.0.1:{ports.http}'}}
{processors}
{extensions}
exporters:
  {exporter}
{siblings}
service:
  extensions: [{"file_storage" if storage else ""}]
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    traces: {{receivers: [otlp], {names}exporters: [{exporters}]}}
    logs: {{receivers: [otlp], {names}exporters: [{exporters}]}}
"""


class Running:
    """A process tree under test."""

    def __init__(self, command: list[str], port: int) -> None:
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 30
        while True:
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start:\n{self.output()}")
            time.sleep(0.05)
        self.tree = psutil.Process(self.process.pid)

    def output(self) -> str:
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def cpu(self) -> float:
        """CPU seconds of the whole tree so far, user and system."""
        total = 0.0
        for process in [self.tree, *self.tree.children(recursive=True)]:
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
        return total

    def rss(self) -> float:
        """Resident memory of the whole tree, MiB."""
        return sum(p.memory_info().rss for p in [self.tree, *self.tree.children(recursive=True)]) / 2**20

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def sluiceway(ports: Ports, protocol: str, **options: object) -> Running:
    """Sluiceway from this checkout."""
    config = sluiceway_config(ports, protocol, **options)  # type: ignore[arg-type]
    return Running([sys.executable, "-m", "sluiceway", "run", "--config", f"yaml:{config}"], ports.grpc)


def rotel(ports: Ports, protocol: str, *more: str) -> Running:
    """Rotel: its binary lies inside the wheel."""
    import rotel as package

    binary = Path(package.__file__).parent / "rotel-agent"
    backend = ports.sink_grpc if protocol == "grpc" else ports.sink_http
    return Running(
        [
            str(binary), "start",
            "--otlp-grpc-endpoint", f"127.0.0.1:{ports.grpc}",
            "--otlp-http-endpoint", f"127.0.0.1:{ports.http}",
            "--otlp-grpc-max-recv-msg-size-mib", "64",
            "--exporter", "otlp",
            "--otlp-exporter-endpoint", f"http://127.0.0.1:{backend}",
            "--otlp-exporter-protocol", protocol,
            "--otlp-exporter-compression", "none",
            *more,
        ],
        ports.grpc,
    )  # fmt: skip


def rotel_python(ports: Ports, protocol: str) -> Running:
    """Rotel with one Python processor."""
    return rotel(ports, protocol, "--otlp-with-trace-processor", str(TOUCH))
