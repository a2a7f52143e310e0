"""Durations of calls, and what else is told only at level `detailed`."""

from __future__ import annotations

from contextlib import AsyncExitStack

import grpc
import pytest
from aiohttp import ClientSession
from prometheus_client.parser import text_string_to_metric_families

from sluiceway.otlp import Signal
from sluiceway.service import Collector
from sluiceway.telemetry import Calls, Metrics, Scope
from sluiceway.telemetry.metrics import Level
from sluiceway.testing import spans
from tests.exporters.backends import GrpcBackend, HttpBackend
from tests.telemetry.asking import ask

YAML = """
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '127.0.0.1:0'}}, http: {{endpoint: '127.0.0.1:0'}}}}}}}}
processors: {{batch: {{timeout: 1ms}}, memory_limiter: {{check_interval: 1s, limit_mib: 4000}}}}
exporters:
  otlp_grpc: {{endpoint: '127.0.0.1:{grpc}', tls: {{insecure: true}}, compression: none}}
  otlp_http: {{endpoint: 'http://127.0.0.1:{http}', retry_on_failure: {{enabled: false}}}}
service:
  telemetry:
    metrics: {{level: {level}, readers: [{{pull: {{exporter: {{prometheus: {{host: 127.0.0.1, port: 0}}}}}}}}]}}
  pipelines:
    traces: {{receivers: [otlp], processors: [memory_limiter, batch], exporters: [otlp_grpc, otlp_http]}}
"""
DETAILED = {
    "http_client_request_duration", "http_server_request_duration", "rpc_client_call_duration",
    "rpc_server_call_duration", "otelcol_exporter_enqueue_size", "otelcol_exporter_enqueue_size_bytes",
    "otelcol_exporter_queue_batch_send_size", "otelcol_exporter_queue_batch_send_size_bytes",
    "otelcol_processor_batch_batch_send_size_bytes", "otelcol_processor_internal_duration",
}  # fmt: skip
NORMAL = {
    "otelcol_processor_batch_batch_send_size", "otelcol_processor_batch_batch_size_trigger_send",
    "otelcol_processor_batch_timeout_trigger_send", "otelcol_processor_batch_metadata_cardinality",
}  # fmt: skip
BASIC = {
    *(f"otelcol_process_{name}" for name in (
        "uptime", "cpu_seconds", "memory_rss", "runtime_heap_alloc_bytes", "runtime_total_alloc_bytes",
        "runtime_total_sys_memory_bytes",
    )),
    *(f"otelcol_receiver_{name}" for name in ("accepted_spans", "refused_spans", "failed_spans", "requests")),
    *(f"otelcol_processor_{name}_items" for name in ("incoming", "outgoing")),
    *(f"otelcol_processor_memory_limiter_{name}_spans" for name in ("accepted", "refused")),
    *(f"otelcol_exporter_{name}" for name in (
        "sent_spans", "send_failed_spans", "enqueue_failed_spans", "queue_size", "queue_capacity",
        "in_flight_requests",
    )),
}  # fmt: skip


async def page(level: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    """What the metrics page shows after one request by each protocol, one of which cannot be delivered by HTTP."""
    async with AsyncExitStack() as stack:
        there = await stack.enter_async_context(GrpcBackend().running())
        other = await stack.enter_async_context(HttpBackend(status=400).running())
        text = YAML.format(level=level, grpc=there.port, http=other.port)
        collector = await stack.enter_async_context(Collector.from_yaml(text))
        receiver = collector.component("receiver", "otlp")
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{receiver.grpc_address[1]}"))
        await channel.unary_unary(f"/{Signal.TRACES.service}/Export")(spans(2).payload)
        session = await stack.enter_async_context(ClientSession())
        headers = {"content-type": "application/x-protobuf"}
        for body in (spans(2).payload, b"no"):
            url = f"http://127.0.0.1:{receiver.http_address[1]}/v1/traces"
            await (await session.post(url, data=body, headers=headers)).read()
        await there.arrived.wait()
        await other.arrived.wait()
        read = collector.telemetry.metrics.read
        while read("otelcol_exporter_send_failed_spans") < 4 or read("otelcol_exporter_sent_spans") < 4:
            await session.get(f"http://127.0.0.1:{receiver.http_address[1]}/")
        _, _, body = await ask(collector.telemetry.ports[0])
    families = text_string_to_metric_families(body)
    return {
        family.name: [(sample.labels, sample.value) for sample in family.samples if not sample.name.endswith("_bucket")]
        for family in families
    }


@pytest.mark.parametrize(
    ("level", "names"), [("basic", BASIC), ("normal", BASIC | NORMAL), ("detailed", BASIC | NORMAL | DETAILED)]
)
async def test_each_level_shows_what_the_collectors_shows(level: str, names: set[str]) -> None:
    """Under the same names, nothing more and nothing less beside our own."""
    found = await page(level)
    assert {name for name in found if not name.startswith(("sluiceway_", "target_info"))} == names


async def test_what_is_told_of_calls_and_errors() -> None:
    """Methods, routes and codes come from closed sets; destinations from the settings."""
    found = await page("detailed")
    served = [labels for labels, _ in found["http_server_request_duration"]]
    assert {"200", "400", "404"} == {labels["http_response_status_code"] for labels in served}
    assert all(("http_route" in labels) == (labels["http_response_status_code"] != "404") for labels in served)
    (rpc, *_) = found["rpc_server_call_duration"]
    assert rpc[0]["rpc_method"] == f"{Signal.TRACES.service}/Export"
    assert rpc[0]["rpc_response_status_code"] == "OK"
    sent = {labels["exporter"]: labels for labels, _ in found["otelcol_exporter_sent_spans"]}
    assert sent["otlp_http"]["url_path"] == "/v1/traces"
    assert sent["otlp_grpc"]["server_address"] == "127.0.0.1"
    assert int(sent["otlp_grpc"]["server_port"]) > 0
    ((failed, items),) = found["otelcol_exporter_send_failed_spans"]
    assert failed == {"exporter": "otlp_http", "error_type": "InvalidArgument", "error_permanent": "true"}
    assert items == 4


def test_calls_are_told_apart_by_their_attributes() -> None:
    """Each combination has a histogram of its own; a level that shows none records none."""
    for level, series in ((Level.NORMAL, 0), (Level.DETAILED, 2)):
        metrics = Metrics(level)
        calls = Calls(Scope(metrics), "http.server.request.duration", "", **{"url.scheme": "http"})
        for status in (200, 400, 200):
            calls.record(0.5, **{"http.response.status_code": status})
        family = metrics.family("http.server.request.duration", "histogram", "s", "")
        assert len(list(family.distributions())) == series
