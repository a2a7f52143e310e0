"""Whole collectors over real sockets: the official SDK in front, other collectors and misbehaving backends behind.

The ledger must balance in every one of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from sluiceway.component import Reason, Status
from sluiceway.otlp import Signal
from sluiceway.service import Collector
from sluiceway.testing import ManualClock, items
from tests.exporters.backends import GrpcBackend, HttpBackend

QUIET = "telemetry: {metrics: {level: none}}"

SINK = f"""
receivers:
  otlp: {{protocols: {{grpc: {{endpoint: 'localhost:0'}}, http: {{endpoint: 'localhost:0'}}}}}}
exporters:
  memory: {{component: sluiceway.testing:MemorySink}}
service:
  {QUIET}
  pipelines:
    traces: {{receivers: [otlp], exporters: [memory]}}
    metrics: {{receivers: [otlp], exporters: [memory]}}
    logs: {{receivers: [otlp], exporters: [memory]}}
"""

EDITS = """
processors:
  tenant: {from: [{map: {attribute: service.name, values: {checkout: acme}}}], default: other, on_missing: default}
  attributes: {actions: [{key: password, action: delete}, {key: team, value: payments, action: insert}]}
  batch: {timeout: 10ms}
"""


def gateway(exporter: str) -> str:
    """A collector with OTLP in front, edits in the middle and `exporter` at the end."""
    name = exporter.partition(":")[0]
    names = f"receivers: [otlp], processors: [tenant, attributes, batch], exporters: [{name}]"
    return f"""
receivers:
  otlp: {{protocols: {{grpc: {{endpoint: 'localhost:0'}}, http: {{endpoint: 'localhost:0'}}}}}}
{EDITS}
exporters:
  {exporter}
service:
  {QUIET}
  pipelines: {{traces: {{{names}}}, metrics: {{{names}}}, logs: {{{names}}}}}
"""


def address(collector: Collector, protocol: str) -> str:
    """Where a collector's OTLP receiver listens."""
    receiver = collector.component("receiver", "otlp")
    host, port = receiver.grpc_address if protocol == "grpc" else receiver.http_address
    return f"http://{host}:{port}"


@asynccontextmanager
async def chain(protocol: str, more: str = "") -> AsyncIterator[tuple[Collector, Collector]]:
    """A gateway that exports to a sink over `protocol`."""
    async with asyncio.timeout(30), Collector.from_yaml(SINK) as sink:
        kind = "otlp_grpc" if protocol == "grpc" else "otlp_http"
        tls = "tls: {insecure: true}, " if protocol == "grpc" else ""
        exporter = f"{kind}: {{endpoint: '{address(sink, protocol)}', {tls}{more}}}"
        async with Collector.from_yaml(gateway(exporter)) as collector:
            yield collector, sink


def assert_balanced(*collectors: Collector) -> None:
    """Every line of every ledger balances."""
    missing = [balance for collector in collectors for balance in collector.ledger.balances() if balance.missing]
    assert not missing


def speak(endpoint: str, protocol: str, compression: object) -> None:
    """Send two spans, a data point and a log record with the official SDK; blocks until they are answered."""
    http = protocol == "http"
    resource = Resource({"service.name": "checkout"})

    def at(signal: str) -> dict[str, object]:
        return {
            "endpoint": f"{endpoint}/v1/{signal}" if http else endpoint,
            "compression": compression,
            **({} if http else {"insecure": True}),
        }

    traces = TracerProvider(resource=resource, shutdown_on_exit=False)
    traces.add_span_processor(SimpleSpanProcessor((HttpSpans if http else GrpcSpans)(**at("traces"))))
    reader = PeriodicExportingMetricReader((HttpMetrics if http else GrpcMetrics)(**at("metrics")))
    metrics = MeterProvider([reader], resource, shutdown_on_exit=False)
    logs = LoggerProvider(resource, shutdown_on_exit=False)
    logs.add_log_record_processor(SimpleLogRecordProcessor((HttpLogs if http else GrpcLogs)(**at("logs"))))
    tracer = traces.get_tracer("shop")
    with tracer.start_as_current_span("order"), tracer.start_as_current_span("pay") as span:
        span.set_attribute("password", "hunter2")
    metrics.get_meter("shop").create_counter("orders").add(1, {"password": "hunter2"})
    logs.get_logger("shop").emit(body="ordered", attributes={"password": "hunter2"}, severity_text="INFO")
    for provider in (traces, metrics, logs):
        provider.shutdown()


@pytest.mark.parametrize(
    ("protocol", "compression", "hop"),
    [
        ("grpc", grpc.Compression.NoCompression, "compression: none"),
        ("grpc", grpc.Compression.Gzip, "compression: gzip"),
        ("http", Compression.NoCompression, "compression: none"),
        ("http", Compression.Gzip, "compression: zstd"),
        ("http", Compression.Deflate, "compression: gzip, encoding: json"),
    ],
)
async def test_the_official_sdk_through_two_collectors(protocol: str, compression: object, hop: str) -> None:
    """What the SDK sends arrives once, edited and tagged, at the end of a chain of two collectors."""
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    async with chain(protocol, hop) as (collector, sink):
        await asyncio.to_thread(speak, address(collector, protocol), protocol, compression)
        memory = {signal: sink.component("exporter", "memory") for signal in Signal}
    assert_balanced(collector, sink)
    assert {b.pipeline: b.delivered for b in sink.ledger.balances()} == {"traces": 2, "metrics": 1, "logs": 1}
    batches = memory[Signal.TRACES].batches  # the two spans come as one request or as two, as time will have it
    text = b"".join(batch.payload for batch in batches)
    assert b"hunter2" not in text
    assert b"password" not in text
    assert text.count(b"acme") == sum(len(batch.proto().resource_spans) for batch in memory[Signal.TRACES].batches)
    assert text.count(b"payments") == 2


async def push(collector: Collector, protocol: str, count: int) -> list[object]:
    """Send `count` requests of three spans, and return the answers (status codes)."""
    url = address(collector, protocol)
    body = items(Signal.TRACES, 3).payload
    if protocol == "http":
        import aiohttp

        headers = {"Content-Type": "application/x-protobuf"}
        async with aiohttp.ClientSession(headers=headers) as session:
            answers = []
            for _ in range(count):
                async with session.post(f"{url}/v1/traces", data=body) as response:
                    answers.append(response.status)
            return answers
    async with grpc.aio.insecure_channel(url.removeprefix("http://")) as channel:
        call = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
        codes = []
        for _ in range(count):
            try:
                await call(body)
                codes.append(grpc.StatusCode.OK)
            except grpc.aio.AioRpcError as error:
                codes.append(error.code())
        return codes


RETRY = "retry_on_failure: {initial_interval: 1ms, max_interval: 2ms, max_elapsed_time: 20ms}"


def forwarding(exporter: str, more: str = RETRY) -> str:
    """A collector that forwards spans as they come to one exporter."""
    name, _, settings = exporter.partition(" ")
    return f"""
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: 'localhost:0'}}, http: {{endpoint: 'localhost:0'}}}}}}}}
exporters: {{{name}: {{{settings}, {more}}}}}
service:
  {QUIET}
  pipelines: {{traces: {{receivers: [otlp], exporters: [{name}]}}}}
"""


def to_grpc(backend: GrpcBackend, more: str = RETRY) -> str:
    """Forward to a gRPC backend."""
    settings = f"otlp_grpc endpoint: '127.0.0.1:{backend.port}', tls: {{insecure: true}}, compression: none"
    return forwarding(settings, more)


def to_http(backend: HttpBackend, more: str = RETRY) -> str:
    """Forward to an HTTP backend."""
    return forwarding(f"otlp_http endpoint: 'http://127.0.0.1:{backend.port}'", more)


async def outcome(text: str, protocol: str = "grpc") -> tuple[int, dict[Reason, int]]:
    """Run a collector, send it nine spans, stop it, and return what it delivered and dropped. Asserts the balance."""
    async with asyncio.timeout(30), Collector.from_yaml(text) as collector:
        await push(collector, protocol, 3)
    (balance,) = collector.ledger.balances()
    assert (balance.accepted, balance.held, balance.missing) == (9, 0, 0)
    dropped: dict[Reason, int] = {}
    for drop, count in balance.dropped.items():
        dropped[drop.reason] = dropped.get(drop.reason, 0) + count
    return balance.delivered, dropped


RETRYABLE = {"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"}


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK], ids=str)
async def test_every_grpc_code_of_a_backend_is_accounted_for(code: grpc.StatusCode) -> None:
    """Whatever a gRPC backend answers, what was accepted is dropped with the right reason, to the item."""
    async with GrpcBackend(code=code).running() as backend:
        delivered, dropped = await outcome(to_grpc(backend))
    assert delivered == 0
    assert sum(dropped.values()) == 9
    expected = {Reason.RETRIES_EXHAUSTED, Reason.SHUTDOWN} if code.name in RETRYABLE else {Reason.PERMANENT_ERROR}
    assert dropped.keys() <= expected


@pytest.mark.parametrize("status", range(400, 600))
async def test_every_http_status_of_a_backend_is_accounted_for(status: int) -> None:
    """Whatever an HTTP backend answers, what was accepted is dropped with the right reason, to the item."""
    async with HttpBackend(status=status).running() as backend:
        delivered, dropped = await outcome(to_http(backend), "http")
    assert delivered == 0
    assert sum(dropped.values()) == 9
    retryable = status in (429, 502, 503, 504)
    expected = {Reason.RETRIES_EXHAUSTED, Reason.SHUTDOWN} if retryable else {Reason.PERMANENT_ERROR}
    assert dropped.keys() <= expected


async def test_a_backend_that_fails_for_a_while_gets_everything() -> None:
    """Data waits while the backend answers UNAVAILABLE and arrives when it is back."""
    async with GrpcBackend(code=grpc.StatusCode.UNAVAILABLE).running() as backend:
        text = to_grpc(backend, RETRY.replace("max_elapsed_time: 20ms", "max_elapsed_time: 0"))
        async with asyncio.timeout(30), Collector.from_yaml(text) as collector:
            await push(collector, "grpc", 3)
            await backend.arrived.wait()
            (balance,) = collector.ledger.balances()
            assert (balance.held, balance.missing) == (9, 0)
            backend.code = grpc.StatusCode.OK
    (balance,) = collector.ledger.balances()
    assert (balance.delivered, balance.missing) == (9, 0)


async def test_a_backend_that_hangs_costs_its_timeout() -> None:
    """An attempt that hangs is cut and counted; stopping does not wait for ever."""
    async with GrpcBackend(gate=asyncio.Event()).running() as backend:
        delivered, dropped = await outcome(to_grpc(backend, f"timeout: 50ms, {RETRY}"))
    assert (delivered, sum(dropped.values())) == (0, 9)


async def test_a_backend_that_is_slow_gets_joined_requests() -> None:
    """What arrives while an export is under way goes as one request afterwards; nothing is lost, nothing repeated."""
    gate = asyncio.Event()
    async with asyncio.timeout(30), GrpcBackend(gate=gate).running() as backend:
        collector = Collector.from_yaml(to_grpc(backend))
        async with collector:
            await push(collector, "grpc", 1)
            await backend.arrived.wait()
            await push(collector, "grpc", 9)
            gate.set()
    (balance,) = collector.ledger.balances()
    assert (balance.delivered, balance.missing) == (30, 0)
    assert len(backend.requests) < 10


async def test_a_backend_that_is_not_there_does_not_keep_a_collector_from_starting() -> None:
    """A collector starts while its backend is away, accepts, and says what it dropped when it must stop."""
    delivered, dropped = await outcome(to_grpc(GrpcBackend(port=9)))
    assert (delivered, sum(dropped.values())) == (0, 9)


async def test_partial_success_is_counted_and_never_repeated() -> None:
    """Rejected items are dropped as `rejected`, the others are delivered, and each request is sent once."""
    answer = bytes([0x0A, 2, 0x08, 1])  # ExportTraceServiceResponse{partial_success{rejected_spans: 1}}
    async with GrpcBackend(answer=answer).running() as backend:
        delivered, dropped = await outcome(to_grpc(backend, "sending_queue: {enabled: false}"))
    assert (delivered, dropped, len(backend.requests)) == (6, {Reason.REJECTED: 3}, 3)


@pytest.mark.parametrize(
    ("protocol", "refusal"), [("grpc", grpc.StatusCode.UNAVAILABLE), ("http", 503)], ids=["grpc", "http"]
)
async def test_a_full_queue_refuses_retryably(protocol: str, refusal: object) -> None:
    """When the queue is full the sender is told to come again, and what it was told is not counted as accepted."""
    gate = asyncio.Event()
    async with GrpcBackend(gate=gate).running() as backend:
        text = to_grpc(backend, "sending_queue: {queue_size: 2}")
        async with asyncio.timeout(30), Collector.from_yaml(text) as collector:
            answers = await push(collector, protocol, 5)
            (balance,) = collector.ledger.balances()
            assert (balance.accepted, balance.refused, balance.held, balance.missing) == (6, 9, 6, 0)
            gate.set()
    assert answers[2:] == [refusal] * 3


async def test_one_dead_exporter_of_three_harms_only_itself() -> None:
    """Healthy siblings deliver everything once; the dead one's queue fills and drops, and the ledger says so."""
    async with GrpcBackend().running() as one, GrpcBackend().running() as two, GrpcBackend().running() as dead:
        dead.gate = asyncio.Event()
        exporters = ", ".join(
            f"otlp_grpc/{name}: {{endpoint: '127.0.0.1:{backend.port}', tls: {{insecure: true}}{more}}}"
            for name, backend, more in (
                ("one", one, ""),
                ("two", two, ""),
                ("dead", dead, ", timeout: 200ms, sending_queue: {queue_size: 2}, retry_on_failure: {enabled: false}"),
            )
        )
        text = f"""
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: 'localhost:0'}}}}}}}}
exporters: {{{exporters}}}
service:
  {QUIET}
  pipelines: {{traces: {{receivers: [otlp], exporters: [otlp_grpc/one, otlp_grpc/two, otlp_grpc/dead]}}}}
"""
        async with asyncio.timeout(30), Collector.from_yaml(text) as collector:
            answers = await push(collector, "grpc", 10)
        assert set(answers) == {grpc.StatusCode.OK}
    lines = {b.exporter.partition("/")[2]: b for b in collector.ledger.balances()}
    assert [(lines[n].delivered, lines[n].missing) for n in ("one", "two")] == [(30, 0), (30, 0)]
    assert (lines["dead"].delivered, sum(lines["dead"].dropped.values()), lines["dead"].missing) == (0, 30, 0)
    assert Reason.QUEUE_FULL in {drop.reason for drop in lines["dead"].dropped}


@pytest.mark.parametrize("backend_of", [GrpcBackend, HttpBackend], ids=["grpc", "http"])
async def test_a_stop_under_load_loses_nothing(backend_of: Callable[[], GrpcBackend | HttpBackend]) -> None:
    """A collector that is stopped while requests come in delivers everything that it accepted."""
    async with backend_of().running() as backend:
        text = to_grpc(backend) if isinstance(backend, GrpcBackend) else to_http(backend)
        async with asyncio.timeout(30):
            collector = Collector.from_yaml(text)
            await collector.__aenter__()
            load = asyncio.create_task(push(collector, "grpc", 200))
            await backend.arrived.wait()
            await collector.__aexit__(None, None, None)
            answers = await load
    (balance,) = collector.ledger.balances()
    assert balance.accepted == 3 * answers.count(grpc.StatusCode.OK)
    assert (balance.delivered, balance.missing) == (balance.accepted, 0)
    assert set(answers) <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}


NO_QUEUE, RESULT = "sending_queue: {enabled: false}", "sending_queue: {wait_for_result: true}"


@asynccontextmanager
async def asking(collector: Collector, protocol: str) -> AsyncIterator[asyncio.Task[object]]:
    """A sender of three spans that goes away when the block is left."""
    if protocol == "grpc":
        asked = asyncio.create_task(push(collector, protocol, 1))
        try:
            yield asked
        finally:
            asked.cancel()
            await asyncio.wait([asked])
        return
    host, port = collector.component("receiver", "otlp").http_address
    reader, writer = await asyncio.open_connection(host, port)
    body = items(Signal.TRACES, 3).payload
    head = f"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: {len(body)}"
    writer.write(f"{head}\r\n\r\n".encode() + body)
    try:
        yield asyncio.create_task(reader.readline())
    finally:
        writer.close()


async def until(condition: Callable[[], bool]) -> None:
    """Let everything run until the condition holds; the test's own timeout bounds it."""
    while not condition():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0)


@pytest.mark.parametrize("queue", [NO_QUEUE, RESULT])
@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_a_sender_that_has_gone_is_not_sent_for(protocol: str, queue: str) -> None:
    """It has its data and comes again: then the backend gets it once, and it found the place of its first call free."""
    clock = ManualClock()
    async with GrpcBackend(code=grpc.StatusCode.UNAVAILABLE).running() as backend:
        text = to_grpc(backend, f"{queue}, retry_on_failure: ").replace(
            "{otlp: {", "{otlp: {limits: {max_requests_in_flight: 1}, "
        )
        async with asyncio.timeout(30), Collector.from_yaml(text, clock=clock) as collector:
            for times in range(1, 4):
                async with asking(collector, protocol):
                    await until(lambda: len(backend.requests) == times)  # noqa: B023 - called in the loop
                await until(lambda: next(iter(collector.ledger.balances())).refused == 3 * times)  # noqa: B023
            backend.code = grpc.StatusCode.OK
            assert await push(collector, protocol, 1) == [grpc.StatusCode.OK if protocol == "grpc" else 200]
            await clock.advance(600)
    (balance,) = collector.ledger.balances()
    assert (balance.accepted, balance.refused, balance.delivered, balance.missing) == (3, 9, 3, 0)
    assert len(backend.requests) == 4


@pytest.mark.parametrize("queue", [NO_QUEUE, RESULT, f"circuit_breaker: {{consecutive_failures: 1}}, {NO_QUEUE}"])
@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_a_stop_answers_those_who_wait_for_a_dead_backend(protocol: str, queue: str) -> None:
    """Each request has one attempt more, then its sender is told to come again. The clock stands still meanwhile."""
    async with asyncio.timeout(30), GrpcBackend(code=grpc.StatusCode.UNAVAILABLE).running() as backend:
        collector = Collector.from_yaml(to_grpc(backend, f"{queue}, retry_on_failure: "), clock=ManualClock())
        await collector.__aenter__()
        asked = asyncio.create_task(push(collector, protocol, 1))
        await until(lambda: collector.status()["exporter:otlp_grpc"].status is Status.RECOVERABLE_ERROR)
        await collector.__aexit__(None, None, None)
        assert await asked == [grpc.StatusCode.UNAVAILABLE if protocol == "grpc" else 503]
    (balance,) = collector.ledger.balances()
    assert (balance.accepted, balance.refused, balance.missing, len(backend.requests)) == (0, 3, 0, 2)


async def test_in_a_fan_out_only_what_nobody_took_is_dropped_for_a_sender_that_has_gone() -> None:
    """A queue sees through what it accepted; the exporter that still repeated gives up, and the ledger says so."""
    clock = ManualClock()
    async with (
        GrpcBackend(code=grpc.StatusCode.UNAVAILABLE).running() as queued,
        GrpcBackend(code=grpc.StatusCode.UNAVAILABLE).running() as bare,
    ):
        text = f"""
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: 'localhost:0'}}}}}}}}
exporters:
  otlp_grpc/queued: {{endpoint: '127.0.0.1:{queued.port}', tls: {{insecure: true}}}}
  otlp_grpc/bare: {{endpoint: '127.0.0.1:{bare.port}', tls: {{insecure: true}}, {NO_QUEUE}}}
service:
  {QUIET}
  pipelines: {{traces: {{receivers: [otlp], exporters: [otlp_grpc/queued, otlp_grpc/bare]}}}}
"""
        async with asyncio.timeout(30), Collector.from_yaml(text, clock=clock) as collector:
            async with asking(collector, "grpc"):
                await clock.advance(1)  # the queue's pace
                await until(lambda: bool(queued.requests and bare.requests))
            await until(lambda: all(balance.accepted == 3 for balance in collector.ledger.balances()))
            await until(lambda: collector.status()["exporter:otlp_grpc/queued"].status is Status.RECOVERABLE_ERROR)
            queued.code = grpc.StatusCode.OK
            await clock.advance(60)
            await until(lambda: len(queued.requests) == 2)
    lines = {balance.exporter: balance for balance in collector.ledger.balances()}
    assert [balance.missing for balance in lines.values()] == [0, 0]
    assert lines["otlp_grpc/queued"].delivered == 3
    assert {drop.reason for drop in lines["otlp_grpc/bare"].dropped} == {Reason.RETRIES_EXHAUSTED}
    assert len(bare.requests) == 1
