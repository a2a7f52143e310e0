"""A whole collector in front of and behind one application: it checks the API, and receives the spans of its checks."""

from __future__ import annotations

import asyncio
import os
import sys
import urllib.request
from collections import Counter

import uvloop

from sluiceway.otlp import Batch
from sluiceway.service import Collector
from sluiceway.testing import points
from tests.ports import free_port
from tests.servers.web import listening

CONFIG = """
receivers:
  otlp: {protocols: {http: {endpoint: 'localhost:0'}}}
  http_check:
    initial_delay: 1h
    targets:
      - {endpoint: 'URL/items/20', validations: [{regex: '^20$'}]}
      - {endpoint: 'URL/graphql', graphql: {query: 'query Fine { fine }', operation_name: Fine}}
      - {endpoint: 'URL/graphql', graphql: {query: 'query Broken { broken }', operation_name: Broken}}
    metrics:
      httpcheck.response.wait.duration: {enabled: true}
      httpcheck.validation.passed: {enabled: true}
connectors:
  span_metrics:
    dimensions: [{name: graphql.operation.name, values: [Fine, Broken]}]
exporters:
  memory: {component: sluiceway.testing:MemorySink}
service:
  telemetry: {metrics: {level: none}}
  pipelines:
    traces: {receivers: [otlp], exporters: [span_metrics]}
    metrics: {receivers: [http_check, span_metrics], exporters: [memory]}
"""
ROUNDS = 5


async def run(port: int) -> list[Batch]:
    """Check the application some times; all that the collector emitted."""
    async with Collector.from_yaml(CONFIG.replace("URL", f"http://127.0.0.1:{port}")) as collector:
        host, http_port = collector.component("receiver", "otlp").http_address
        environment = os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{host}:{http_port}"}
        command = [sys.executable, "-m", "tests.servers.api", str(port)]
        server = await asyncio.create_subprocess_exec(*command, env=environment)
        try:
            await asyncio.to_thread(listening, port, server)
            for _ in range(ROUNDS):
                await collector.component("receiver", "http_check").scraping.measure()
            await asyncio.to_thread(urllib.request.urlopen, f"http://127.0.0.1:{port}/flush", timeout=10)
        finally:
            server.terminate()
            await server.wait()
        sink = collector.component("exporter", "memory")
    assert not [balance for balance in collector.ledger.balances() if balance.missing]
    return list(sink.batches)


def test_one_collector_checks_an_api_and_hears_of_it() -> None:
    """On uvloop, as in production: every check is a span of the application, and both agree on what failed."""
    found = points(uvloop.run(run(free_port())))
    spans: Counter[tuple[str, str]] = Counter()
    for point in found["traces.span.metrics.calls"]:
        told = point["attributes"]
        spans[told["status.code"], told.get("graphql.operation.name", "")] += point["value"]
    assert spans == {
        ("STATUS_CODE_UNSET", ""): ROUNDS,
        ("STATUS_CODE_UNSET", "Fine"): ROUNDS,
        ("STATUS_CODE_ERROR", "Broken"): ROUNDS,
    }
    assert sum(point["value"] for point in found["httpcheck.status"]) == 3 * ROUNDS
    failed = [point["attributes"] for point in found["httpcheck.error"]]
    assert len(failed) == ROUNDS
    assert {told["graphql.operation.name"] for told in failed} == {"Broken"}
    assert {told["error.message"] for told in failed} == {"graphql: the answer has errors"}
    assert len(found["httpcheck.validation.passed"]) == 3 * ROUNDS
    waits = [
        p["value"] for p in found["httpcheck.response.wait.duration"] if p["attributes"]["http.url"].endswith("/20")
    ]
    assert all(20 <= wait < 1000 for wait in waits)  # that is how long the application sleeps
