"""Own telemetry from `start` to `stop`: Prometheus endpoint, OTLP push, resource."""

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import grpc
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import ValidationError

from sluiceway.errors import ConfigError
from sluiceway.telemetry import Telemetry
from sluiceway.telemetry.outputs import LogOutputs
from sluiceway.telemetry.resource import resource_attributes
from sluiceway.testing import ManualClock, settle
from tests.telemetry.asking import ask, telemetry_config

PULL = "metrics: {{readers: [{{pull: {{exporter: {{prometheus: {{host: 127.0.0.1, port: {port}{more}}}}}}}}}]}}"
PUSH = "metrics: {{readers: [{{periodic: {{interval: 1000, exporter: {{otlp: {{endpoint: 'http://127.0.0.1:{port}'{more}}}}}}}}}]}}"


@contextmanager
def backend():
    """An OTLP/gRPC backend on a free port that keeps what it is sent."""
    got, arrived = [], threading.Semaphore(0)

    class Exports(grpc.GenericRpcHandler):
        def service(self, details):
            def export(request, context):
                got.append((details.method, request, dict(context.invocation_metadata())))
                arrived.release()
                return b""

            return grpc.unary_unary_rpc_method_handler(export)

    server = grpc.server(ThreadPoolExecutor(2), [Exports()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port, got, arrived
    server.stop(None).wait()


async def test_the_prometheus_endpoint():
    """A scrape shows components and the process, and reads them at that moment."""
    telemetry = Telemetry(telemetry_config(PULL.format(port=0, more="")))
    counts = {"spans": 1}
    telemetry.scope().counter("otelcol_receiver_accepted_spans", lambda: counts["spans"], receiver="otlp")
    await telemetry.start()
    counts["spans"] = 9
    status, head, body = await ask(telemetry.ports[0])
    assert (status, (await ask(telemetry.ports[0], "GET / HTTP/1.1\r\n\r\n"))[0]) == (200, 404)
    await telemetry.stop()
    await telemetry.stop()
    families = {family.name: family for family in text_string_to_metric_families(body)}
    assert "version=0.0.4" in head
    assert families["otelcol_receiver_accepted_spans"].samples[0].value == 9
    assert families["otelcol_process_memory_rss"].samples[0].value > 1_000_000
    assert families["otelcol_process_runtime_heap_alloc_bytes"].samples[0].value > 1_000_000
    assert families["otelcol_process_uptime"].type == "counter"


async def test_series_that_come_and_go_while_it_runs():
    """New components appear in the next scrape, and gauges of closed ones are gone from it."""
    telemetry = Telemetry(
        telemetry_config(PULL.format(port=0, more=", with_resource_constant_labels: {included: [service.n*]}"))
    )
    await telemetry.start()
    scope = telemetry.scope()
    scope.gauge("otelcol_exporter_queue_size", lambda: 3, exporter="x")
    assert 'otelcol_exporter_queue_size{exporter="x",service_name="sluiceway"} 3' in (await ask(telemetry.ports[0]))[2]
    scope.close()
    assert "otelcol_exporter_queue_size{" not in (await ask(telemetry.ports[0]))[2]
    await telemetry.stop()


async def test_the_default_port_may_be_busy(caplog):
    """Nobody asked for 8888, so a program that has it already is only a warning."""
    first = Telemetry(telemetry_config(PULL.format(port=8888, more="")))
    with suppress(ConfigError):  # somebody else may have it, which serves as well
        await first.start()
    second = Telemetry(telemetry_config("{}"))
    await second.start()
    await second.stop()
    await first.stop()
    assert "Own metrics are not served: cannot listen on localhost:8888" in caplog.text


async def test_a_configured_port_must_not_be_busy():
    """Who asked for an endpoint is told that it cannot be had."""
    first = Telemetry(telemetry_config(PULL.format(port=0, more="")))
    await first.start()
    second = Telemetry(telemetry_config(PULL.format(port=first.ports[0], more="")))
    with pytest.raises(ConfigError, match=r"readers: own metrics: cannot listen on 127.0.0.1:\d+"):
        await second.start()
    await first.stop()


async def test_level_none_shows_nothing():
    """There is no endpoint then."""
    telemetry = Telemetry(telemetry_config("metrics: {level: None}"))
    await telemetry.start()
    assert telemetry.ports == ()
    await telemetry.stop()


async def test_views_drop_metrics():
    """A view that drops hides what its pattern matches, and other views are refused."""
    drop = "[{selector: {instrument_name: 'otelcol_exporter_*'}, stream: {aggregation: {drop: {}}}}]"
    telemetry = Telemetry(telemetry_config(f"metrics: {{level: detailed, views: {drop}}}"))
    telemetry.scope().counter("otelcol_exporter_sent_spans", lambda: 1)
    assert telemetry.metrics.families() == []
    rename = "[{selector: {instrument_name: x}, stream: {name: y}}]"
    with pytest.raises(ValidationError, match=r"views.0\n +only views that drop"):
        telemetry_config(f"metrics: {{level: detailed, views: {rename}}}")


async def test_metrics_are_pushed_at_the_interval_and_at_the_end():
    """OTLP goes out when the clock says so, with our headers, and once more when the collector stops."""
    clock = ManualClock()
    with backend() as (port, got, arrived):
        more = ", headers: [{name: Api-Key, value: secret}], headers_list: 'zone=a', compression: gzip"
        telemetry = Telemetry(telemetry_config(PUSH.format(port=port, more=more)), clock=clock)
        telemetry.scope().counter("otelcol_receiver_accepted_spans", lambda: 5, receiver="otlp")
        telemetry.scope().histogram("otelcol_wait", "s").record(0.5)
        await telemetry.start()
        await clock.advance(1.0)
        assert await asyncio.to_thread(arrived.acquire, timeout=10)
        async with asyncio.timeout(10):
            while not clock.sleepers:
                await settle()
        await telemetry.stop()
        assert len(got) == 2
    method, request, headers = got[0]
    assert method == "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
    assert (headers["api-key"], headers["zone"]) == ("secret", "a")
    (resource,) = ExportMetricsServiceRequest.FromString(request).resource_metrics
    metrics = {metric.name: metric for metric in resource.scope_metrics[0].metrics}
    assert metrics["otelcol_receiver_accepted_spans"].sum.data_points[0].as_int == 5
    assert metrics["otelcol_wait"].histogram.data_points[0].count == 1


async def test_metrics_are_pushed_over_http():
    """The path of the signal is added where the endpoint has none."""
    asked = []

    async def serve(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head.split(b"\r\n")[0])
        length = next(
            int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
        )
        await reader.readexactly(length)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        telemetry = Telemetry(
            telemetry_config(PUSH.format(port=port, more=", protocol: http/protobuf, compression: none"))
        )
        await telemetry.start()
        await asyncio.sleep(0)
        await telemetry.stop()
    assert asked == [b"POST /v1/metrics HTTP/1.1"]


async def test_a_backend_that_is_away_holds_nothing_up(caplog):
    """The push fails, is logged by the SDK, and stopping ends."""
    with backend() as (port, _, _):
        pass
    clock = ManualClock()
    telemetry = Telemetry(telemetry_config(PUSH.format(port=port, more=", timeout: 200")), clock=clock)
    await telemetry.start()
    await clock.advance(1.0)
    async with asyncio.timeout(20):
        await telemetry.stop()


async def test_http_json_is_refused():
    """What the SDK cannot send is a mistake in the configuration."""
    with pytest.raises(ValidationError, match=r'exporter.otlp.protocol\n +unsupported protocol "http/json"'):
        telemetry_config(PUSH.format(port=1, more=", protocol: http/json"))


@pytest.mark.parametrize("signal", ["logs", "traces"])
@pytest.mark.parametrize("way", ["batch", "simple"])
def test_http_json_is_refused_for_every_signal(signal, way):
    """What the SDK cannot send is found before anything starts."""
    with pytest.raises(ValidationError, match='unsupported protocol "http/json"'):
        telemetry_config(f"{signal}: {{processors: [{{{way}: {{exporter: {{otlp: {{protocol: http/json}}}}}}}}]}}")


def test_the_instance_stays_the_same_across_a_change():
    """Counters that go on are those of one instance."""
    first = Telemetry(telemetry_config("{}"))
    second = Telemetry(telemetry_config("metrics: {level: basic}"), before=first)
    assert first.resource["service.instance.id"] == second.resource["service.instance.id"]
    assert first.metrics is second.metrics


@pytest.mark.parametrize("processor", ["simple: {", "batch: {schedule_delay: 100, "])
async def test_own_logs_go_out_by_otlp(processor):
    """Each record is sent with severity, fields and resource; those of the SDK and of `debug` are not."""
    with backend() as (port, got, _):
        config = telemetry_config(
            f"logs: {{output_paths: [], processors: [{{{processor}exporter: {{otlp: {{endpoint: 'http://127.0.0.1:{port}'}}}}}}}}]}}"
        )

        def speak():
            with LogOutputs(config.logs, {"service.name": "s"}):
                logging.getLogger("sluiceway.x").error("gone: %s", "x", extra={"items": 3, "why": ["a"]})
                logging.getLogger("opentelemetry.sdk").error("not this")
                logging.getLogger("sluiceway.exporter").info("Traces", extra={"block": "ResourceTraces #0"})

        await asyncio.to_thread(speak)
    (resource,) = ExportLogsServiceRequest.FromString(got[0][1]).resource_logs
    (sent,) = resource.scope_logs[0].log_records
    assert (sent.body.string_value, sent.severity_text, sent.severity_number) == ("gone: x", "ERROR", 17)
    attributes = {attribute.key: attribute.value for attribute in sent.attributes}
    assert attributes["items"].int_value == 3
    assert attributes["why"].string_value == "['a']"
    assert len(got) == 1


async def test_a_text_that_protobuf_refuses_loses_no_record():
    """Half of a UTF-16 pair in one record would have the whole request fail."""
    with backend() as (port, got, _):
        exporter = f"exporter: {{otlp: {{endpoint: 'http://127.0.0.1:{port}'}}}}"
        config = telemetry_config(
            f"logs: {{output_paths: [], initial_fields: {{zone: a}}, processors: [{{batch: {{{exporter}}}}}]}}"
        )

        def speak():
            with LogOutputs(config.logs):
                logging.getLogger("sluiceway.x").error("evil \ud800", extra={"field": "\udfff"})

        await asyncio.to_thread(speak)
    (record,) = ExportLogsServiceRequest.FromString(got[0][1]).resource_logs[0].scope_logs[0].log_records
    attributes = {attribute.key: attribute.value.string_value for attribute in record.attributes}
    assert (record.body.string_value, attributes["field"], attributes["zone"]) == ("evil \\ud800", "\\udfff", "a")


def test_the_resource_has_defaults():
    """Name, version and an id of this run are there unless they are taken away."""
    attributes = resource_attributes(
        telemetry_config("resource: {service.version: null, zone: a, flag: true}").resource, "one"
    )
    assert attributes["service.name"] == "sluiceway"
    assert attributes["service.instance.id"] == "one"
    assert (attributes["zone"], attributes["flag"]) == ("a", "true")
    assert "service.version" not in attributes


def test_the_resource_in_the_declarative_form():
    """Lists of attributes and detectors are read as well; what is written wins over what is detected."""
    text = """
    resource:
      attributes: [{name: service.name, value: edge}, {name: host.name, value: mine}]
      attributes_list: "a=b, c = d"
      detection/development: {detectors: [{host: }, {process: }]}
    """
    attributes = resource_attributes(telemetry_config(text).resource, "one")
    assert (attributes["service.name"], attributes["host.name"]) == ("edge", "mine")
    assert (attributes["a"], attributes["c"]) == ("b", "d")
    assert int(attributes["process.pid"]) > 0
