"""`span_metrics` behind a real application: its figures are those of whoever sent the requests."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import urllib.request
from bisect import bisect_left
from collections import Counter
from statistics import quantiles
from typing import Any

from sluiceway.service import Collector
from tests.connectors.test_span_metrics import calls
from tests.ports import free_port

CONFIG = """
receivers:
  otlp: {protocols: {http: {endpoint: 'localhost:0'}}}
connectors:
  span_metrics:
    histogram: {unit: s}
    dimensions: [{name: graphql.operation.name, values: [Fine, Broken]}]
exporters:
  memory: {component: sluiceway.testing:MemorySink}
service:
  telemetry: {metrics: {level: none}}
  pipelines:
    traces: {receivers: [otlp], exporters: [span_metrics]}
    metrics: {receivers: [span_metrics], exporters: [memory]}
"""
OPERATIONS = [("Fine", "fine")] * 20 + [("Broken", "broken")] * 7 + [(f"Chosen{n}", "fine") for n in range(5)]


def ask(url: str, body: Any = None) -> Any:
    """The answer to a request, which must be a 200."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def drive(url: str) -> list[float]:
    """Send 60 REST requests and 32 GraphQL ones; return how long the REST ones took in the server's own view."""
    for number in range(60):
        ask(f"{url}/items/{number % 20}")
    for name, field in OPERATIONS:
        ask(f"{url}/graphql", {"operationName": name, "query": f"query {name} {{ {field} }}"})
    assert ask(f"{url}/flush") is True
    told: list[float] = ask(f"{url}/durations")
    return told


async def started(port: int, server: asyncio.subprocess.Process) -> None:
    """Wait until the application listens."""
    async with asyncio.timeout(30):
        while True:
            assert server.returncode is None
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


async def test_an_application_is_counted_exactly() -> None:
    """Counts are those that were sent, a 200 with errors is one, unknown operations are one, quantiles agree."""
    port = free_port()
    async with Collector.from_yaml(CONFIG) as collector:
        host, http_port = collector.component("receiver", "otlp").http_address
        environment = os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{host}:{http_port}"}
        server = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.servers.api", str(port), env=environment
        )
        try:
            await started(port, server)
            durations = await asyncio.to_thread(drive, f"http://127.0.0.1:{port}")
        finally:
            server.terminate()
            await server.wait()
        sink = collector.component("exporter", "memory")
    assert not [balance for balance in collector.ledger.balances() if balance.missing]
    (data,) = [batch.proto() for batch in sink.batches]
    counts: Counter[tuple[str, str, str]] = Counter()
    for _, point in calls(data):
        told = {a.key: a.value.string_value for a in point.attributes}
        counts[told["span.name"], told["status.code"], told.get("graphql.operation.name", "")] += point.as_int
    assert counts == {
        ("GET /items/{number}", "STATUS_CODE_UNSET", ""): 60,
        ("POST /graphql", "STATUS_CODE_UNSET", "Fine"): 20,
        ("POST /graphql", "STATUS_CODE_ERROR", "Broken"): 7,
        ("POST /graphql", "STATUS_CODE_UNSET", "_OTHER"): 5,
    }
    (point,) = [
        point
        for metric in data.resource_metrics[0].scope_metrics[0].metrics
        if metric.name.endswith("duration")
        for point in metric.histogram.data_points
        if any(a.value.string_value.startswith("GET") for a in point.attributes)
    ]
    seen = [bucket for bucket, count in enumerate(point.bucket_counts) for _ in range(count)]
    for share, own in zip((50, 95, 99), (quantiles(durations, n=100)[p - 1] for p in (50, 95, 99)), strict=True):
        bucket = seen[min(len(seen) * share // 100, len(seen) - 1)]
        assert abs(bucket - bisect_left(list(point.explicit_bounds), own)) <= 1
