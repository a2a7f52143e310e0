"""The quickstart: run `quickstart.yaml`, send telemetry through it with the OpenTelemetry SDK, and show what arrives.

    python examples/quickstart.py

Uses free loopback ports, so nothing that already runs is in its way, and ends by itself.
"""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

CONFIG = Path(__file__).with_name("quickstart.yaml")


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def start(grpc: int, http: int, health: int, metrics: int) -> subprocess.Popen[bytes]:
    """Start the collector and wait until its health check says that it is ready."""
    protocols = "receivers.otlp.protocols"
    reader = f"[{{pull: {{exporter: {{prometheus: {{host: localhost, port: {metrics}}}}}}}}}]"
    machine = "otlp, host_metrics" if sys.platform == "linux" else "otlp"
    collector = subprocess.Popen([
        sys.executable, "-P", "-m", "sluiceway", "run", "--config", str(CONFIG),
        "--set", f"{protocols}.grpc.endpoint=localhost:{grpc}",
        "--set", f"{protocols}.http.endpoint=localhost:{http}",
        "--set", f"extensions.health_check.endpoint=localhost:{health}",
        "--set", f"service.telemetry.metrics.readers={reader}",
        "--set", f"service.pipelines.metrics.receivers=[{machine}]",
    ])  # fmt: skip
    for _ in range(100):
        try:
            with urllib.request.urlopen(f"http://localhost:{health}/", timeout=1):
                return collector
        except (urllib.error.URLError, ConnectionError):
            if collector.poll() is not None:
                break
            time.sleep(0.1)
    collector.kill()
    sys.exit("the collector did not start")


def send(endpoint: str) -> None:
    """One trace of two spans, one counter and two log records, as an instrumented application sends them."""
    resource = Resource.create({"service.name": "checkout"})
    options = {"endpoint": endpoint, "insecure": True}
    traces = TracerProvider(resource=resource)
    traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(**options)))
    metrics = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter(**options))], resource)
    logs = LoggerProvider(resource)
    logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(**options)))

    tracer = trace.get_tracer("shop", tracer_provider=traces)
    orders = metrics.get_meter("shop").create_counter("orders", "{order}", "Orders placed.")
    log = logging.getLogger("shop")
    log.addHandler(LoggingHandler(logger_provider=logs))

    with tracer.start_as_current_span("POST /orders") as span:
        span.set_attribute("enduser.id", "ada@example.com")
        span.set_attribute("http.request.header.authorization", "Bearer s3cret")
        with tracer.start_as_current_span("charge card") as child:
            child.set_attribute("password", "hunter2")
        log.warning("payment was slow", extra={"password": "hunter2", "latency_ms": 412})
        log.warning("order placed", extra={"enduser.id": "ada@example.com"})
        orders.add(1, {"currency": "EUR"})
    for provider in (traces, metrics, logs):
        provider.shutdown()


def main() -> int:
    """Run the whole thing; the collector prints its summary when it is told to stop."""
    grpc, http, health, metrics = free_ports(4)
    collector = start(grpc, http, health, metrics)
    print(f"Sluiceway is ready. Sending spans, metrics and logs to localhost:{grpc} ...\n", flush=True)
    send(f"http://localhost:{grpc}")
    print(
        "\nSent: enduser.id, a password and an authorization header. Above is what came out, and this machine.",
        flush=True,
    )
    collector.send_signal(signal.SIGTERM)
    return collector.wait(30)


if __name__ == "__main__":
    sys.exit(main())
