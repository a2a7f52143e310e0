"""The load generator: payloads, schedule, retries and report, against real servers on loopback."""

import asyncio
import json
import random
from contextlib import asynccontextmanager

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from sluiceway.generate.load import Load, generate, run
from sluiceway.generate.payloads import templates
from sluiceway.generate.report import KEPT, Latencies
from sluiceway.generate.send import Answer, Target, connect
from sluiceway.otlp import Signal, accept
from sluiceway.testing import ManualClock

NOW = 1_700_000_000_000_000_000


def filled(signal, items=20, number=7, **options):
    """One payload, as protobuf."""
    (template,) = templates(signal, items, distinct=1, **options)
    batch = accept(signal, template.fill(number, NOW, random.Random(1)))
    assert batch.items == items
    return batch.proto()


@asynccontextmanager
async def backend(answer):
    """A gRPC server that gives each request to `answer(request, context)`."""
    got = []

    class Exports(grpc.GenericRpcHandler):
        def service(self, details):
            async def export(request, context):
                got.append((details.method, request, dict(context.invocation_metadata())))
                return await answer(len(got), context)

            return grpc.unary_unary_rpc_method_handler(export)

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Exports(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}", got
    await server.stop(None)


@asynccontextmanager
async def http_backend(*answers):
    """An HTTP server that gives the answers in turn, and the last one for ever."""
    got = []

    async def serve(reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.decode().split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
                body = await reader.readexactly(int(headers["content-length"]))
                status, more, text = answers[min(len(got), len(answers) - 1)]
                got.append((lines[0], headers, body))
                writer.write(f"HTTP/1.1 {status} x\r\n{more}Content-Length: {len(text)}\r\n\r\n".encode() + text)
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", got
    server.close()
    await server.wait_closed()


async def accept_all(number, context):
    """Take every request."""
    return b""


def test_traces_are_trees():
    """Spans of a trace share its id, parents exist, times are around the moment of sending, and ids are new."""
    (resource, *_) = filled(Signal.TRACES).resource_spans
    spans = resource.scope_spans[0].spans
    known = {span.span_id for span in spans}
    assert len(known) == 20
    assert len({span.trace_id for span in spans}) == 3
    assert all(span.parent_span_id in known for span in spans if span.parent_span_id)
    assert all(NOW - 500_000_000 <= span.start_time_unix_nano < span.end_time_unix_nano == NOW for span in spans)
    assert {len(span.attributes) for span in spans} == {10}


def test_metrics_have_points_of_both_kinds():
    """Counters and gauges by turns, with times around now."""
    metrics = filled(Signal.METRICS, 60).resource_metrics[0].scope_metrics[0].metrics
    assert [metric.WhichOneof("data") for metric in metrics] == ["sum", "gauge", "gauge"]
    assert {
        point.time_unix_nano for metric in metrics for point in getattr(metric, metric.WhichOneof("data")).data_points
    } == {NOW}


def test_logs_belong_to_traces():
    """Half of the records carry ids, all carry a body and both times."""
    records = filled(Signal.LOGS).resource_logs[0].scope_logs[0].log_records
    assert sum(bool(record.trace_id and record.span_id) for record in records) == 10
    assert all(record.body.string_value and record.time_unix_nano == NOW for record in records)


@pytest.mark.parametrize("signal", Signal)
def test_the_number_of_the_request_can_be_carried(signal):
    """With `sequence` the first item says which request it was in, in twelve digits."""
    (template,) = templates(signal, 3, distinct=1, sequence=True)
    assert template.fill(41, NOW, random.Random(1)).count(b"000000000041") == 1


def test_attributes_and_size_can_be_chosen():
    """As many attributes as asked for, and one with so many bytes of text."""
    span = filled(Signal.TRACES, 1, attributes=15, size=300).resource_spans[0].scope_spans[0].spans[0]
    assert len(span.attributes) == 16
    assert len(span.attributes[-1].value.string_value) == 300


@pytest.mark.parametrize("attributes", [0, 3])
def test_few_attributes(attributes):
    """Fewer than the known ones is fine."""
    assert (
        len(filled(Signal.LOGS, 1, attributes=attributes).resource_logs[0].scope_logs[0].log_records[0].attributes)
        == attributes
    )


def test_the_same_seed_makes_the_same_data():
    """And another makes other data."""
    first, again, other = (filled(Signal.LOGS, seed=seed).SerializeToString() for seed in (1, 1, 2))
    assert first == again != other


def test_each_filling_has_new_ids():
    """A template is used many times, and no span comes twice."""
    (template,) = templates(Signal.TRACES, 8, distinct=1)
    chance = random.Random(1)
    spans = [
        span.span_id
        for number in range(5)
        for span in accept(Signal.TRACES, template.fill(number, NOW + number * 10**9, chance))
        .proto()
        .resource_spans[0]
        .scope_spans[0]
        .spans
    ]
    assert len(set(spans)) == 40


def test_json_is_otlp_json():
    """Ids are hexadecimal, times are texts, enums are numbers."""
    (template,) = templates(Signal.TRACES, 2, distinct=1, encoding="json", sequence=True)
    (span, _) = json.loads(template.fill(5, NOW, random.Random(1)))["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert len(bytes.fromhex(span["traceId"])) == 16
    assert len(bytes.fromhex(span["spanId"])) == 8
    assert span["endTimeUnixNano"] == str(NOW)
    assert isinstance(span["kind"], int)
    assert span["attributes"][0]["value"]["stringValue"] == "000000000005"


@pytest.mark.parametrize("signal", Signal)
async def test_everything_arrives_over_grpc(signal):
    """As many items as asked for, the last request smaller, with our headers, on the signal's service."""
    async with backend(accept_all) as (endpoint, got):
        target = Target(endpoint, headers={"Api-Key": "k"})
        report = await generate(Load(signal, target, count=1000, batch_size=300, distinct=2))
    assert sorted(accept(signal, request).items for _, request, _ in got) == [100, 300, 300, 300]
    assert (report.sent, report.accepted, report.lost, report.requests) == (1000, 1000, 0, 4)
    assert {headers["api-key"] for _, _, headers in got} == {"k"}
    service = {Signal.TRACES: "Trace", Signal.METRICS: "Metrics", Signal.LOGS: "Logs"}[signal]
    assert {method.split(".")[-1] for method, _, _ in got} == {f"{service}Service/Export"}


@pytest.mark.parametrize(("protocol", "kind"), [("http", "x-protobuf"), ("http-json", "json")])
async def test_everything_arrives_over_http(protocol, kind):
    """The path is the signal's, and the content type says what it is."""
    async with http_backend((200, "", b"")) as (endpoint, got):
        report = await generate(Load(Signal.LOGS, Target(endpoint, protocol), count=20, batch_size=10, distinct=1))
    assert (report.accepted, report.lost) == (20, 0)
    assert {line for line, _, _ in got} == {"POST /v1/logs HTTP/1.1"}
    assert {headers["content-type"] for _, headers, _ in got} == {f"application/{kind}"}


async def test_partial_success_is_a_loss():
    """Items that the other side names as rejected did not arrive."""
    partial = ExportTraceServiceResponse(
        partial_success=ExportTracePartialSuccess(rejected_spans=3)
    ).SerializeToString()

    async def take_some(number, context):
        return partial

    async with backend(take_some) as (endpoint, _):
        report = await generate(Load(Signal.TRACES, Target(endpoint), count=10, batch_size=10, distinct=1))
    assert (report.accepted, report.rejected, report.lost) == (7, 3, 3)


async def test_partial_success_in_json():
    """The same over OTLP/JSON, where numbers are texts."""
    answer = (200, "", b'{"partialSuccess": {"rejectedLogRecords": "4"}}')
    async with http_backend(answer) as (endpoint, _):
        report = await generate(Load(Signal.LOGS, Target(endpoint, "http-json"), count=10, batch_size=10, distinct=1))
    assert (report.accepted, report.rejected) == (6, 4)


async def test_a_refusal_with_retry_info_is_honoured():
    """RESOURCE_EXHAUSTED comes again after the delay it names, and counts as accepted then."""
    info = Status()
    info.details.add().Pack(RetryInfo(retry_delay=Duration(nanos=1_000_000)))

    async def refuse_once(number, context):
        if number == 1:
            context.set_trailing_metadata((("grpc-status-details-bin", info.SerializeToString()),))
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "later")
        return b""

    async with backend(refuse_once) as (endpoint, _):
        report = await generate(Load(Signal.TRACES, Target(endpoint), count=10, batch_size=10, distinct=1))
    assert (report.accepted, report.retried, report.errors) == (10, 1, {"RESOURCE_EXHAUSTED": 1})


@pytest.mark.parametrize("code", ["RESOURCE_EXHAUSTED", "INVALID_ARGUMENT"])
async def test_what_is_refused_for_good_is_not_sent_again(code):
    """Codes that OTLP does not retry are losses at once."""

    async def refuse(number, context):
        await context.abort(grpc.StatusCode[code], "no")

    async with backend(refuse) as (endpoint, got):
        report = await generate(Load(Signal.TRACES, Target(endpoint), count=10, batch_size=10, distinct=1))
    assert (report.rejected, report.lost, len(got)) == (10, 10, 1)


async def test_http_refusals():
    """503 with Retry-After comes again, 400 does not."""
    async with http_backend((503, "Retry-After: 0\r\n", b""), (200, "", b""), (400, "", b"")) as (endpoint, _):
        report = await generate(
            Load(Signal.LOGS, Target(endpoint, "http"), count=20, batch_size=10, in_flight=1, distinct=1)
        )
    assert (report.accepted, report.rejected, report.retried) == (10, 10, 1)
    assert report.errors == {"503": 1, "400": 1}


@pytest.mark.parametrize("protocol", ["http", "http-json"])
async def test_an_answer_that_cannot_be_read(protocol):
    """Success from something that is no OTLP server is no success, and the load goes on."""
    async with http_backend((200, "", b"<html>Welcome</html>"), (200, "", b"")) as (endpoint, _):
        load = Load(Signal.LOGS, Target(endpoint, protocol), count=20, batch_size=10, in_flight=1, distinct=1)
        report = await generate(load)
    assert (report.accepted, report.rejected, report.errors) == (10, 10, {"unreadable answer": 1})


async def test_a_grpc_answer_that_cannot_be_read():
    """The same over gRPC."""

    async def babble(number, context):
        return b"<html>"

    async with backend(babble) as (endpoint, _):
        report = await generate(Load(Signal.LOGS, Target(endpoint), count=10, batch_size=10, distinct=1))
    assert (report.rejected, report.errors) == (10, {"unreadable answer": 1})


@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_nobody_there(protocol):
    """Retries end after `retry_for`, and then the items have failed."""
    async with backend(accept_all) as (endpoint, _):
        pass
    target = Target(endpoint, protocol, timeout=1.0)
    report = await generate(Load(Signal.LOGS, target, count=10, batch_size=10, distinct=1, retry_for=0.05))
    assert (report.failed, report.lost) == (10, 10)


class Slow:
    """A client that takes so many seconds of a clock's time for each request."""

    def __init__(self, clock, seconds):
        self.clock, self.seconds, self.sent = clock, seconds, []

    async def send(self, payload):
        """Take the payload, in time."""
        self.sent.append(self.clock.now())
        await self.clock.sleep(self.seconds)
        return Answer()


async def test_the_schedule_is_open():
    """Requests go out when they are due, however slow the answers are, and latency counts from then."""
    clock = ManualClock()
    client = Slow(clock, 3.0)
    load = Load(Signal.LOGS, rate=10, duration=4, batch_size=10, in_flight=2)
    running = asyncio.create_task(run(load, [client], templates(Signal.LOGS, 10, distinct=1), [], clock))
    await clock.advance(20)
    report = await running
    assert client.sent == [1000.0, 1001.0, 1003.0, 1004.0]
    assert report.latency_ms == {"p50": 4000.0, "p95": 4000.0, "p99": 4000.0, "max": 4000.0}
    assert report.accepted == 40


async def test_what_is_in_flight_is_bounded():
    """Without a rate there are as many requests under way as allowed, and no more."""
    clock = ManualClock()
    client = Slow(clock, 1.0)
    load = Load(Signal.LOGS, count=50, batch_size=10, in_flight=2)
    running = asyncio.create_task(run(load, [client], templates(Signal.LOGS, 10, distinct=1), [], clock))
    await clock.advance(0.5)
    assert len(client.sent) == 2
    await clock.advance(10)
    assert client.sent == [1000.0, 1000.0, 1001.0, 1001.0, 1002.0]
    assert (await running).accepted == 50


def test_latencies_are_an_even_sample():
    """What is kept is bounded, and the longest is never forgotten."""
    latencies = Latencies()
    for number in range(KEPT + 1000):
        latencies.record(number / 1e6)
    assert len(latencies.kept) == KEPT
    assert latencies.milliseconds()["max"] == pytest.approx((KEPT + 999) / 1e3)
    assert latencies.milliseconds()["p50"] == pytest.approx(100.5, rel=0.02)


@pytest.mark.parametrize(
    ("target", "plain"),
    [
        (Target("localhost:4317"), True),
        (Target("127.0.0.1:4317"), True),
        (Target("[::1]:4317"), True),
        (Target("backend:4317"), False),
        (Target("http://backend:4317"), True),
        (Target("https://localhost:4317"), False),
        (Target("backend:4317", insecure=True), True),
        (Target("localhost:4317", insecure=False), False),
        (Target("localhost:4317", ca_file="ca.pem"), False),
    ],
)
def test_tls_unless_it_stays_here(target, plain):
    """Without TLS only to this machine, or when it is said."""
    assert target.plain is plain


async def test_tls_with_certificates(tmp_path):
    """Files of authority, certificate and key are used, over gRPC and HTTP alike."""
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    leaf.private_key_and_cert_chain_pem.write_to_path(tmp_path / "leaf.pem")
    files = {"ca_file": f"{tmp_path}/ca.pem", "cert_file": f"{tmp_path}/leaf.pem", "key_file": f"{tmp_path}/leaf.pem"}
    credentials = grpc.ssl_server_credentials(
        [(leaf.private_key_pem.bytes(), leaf.cert_chain_pems[0].bytes())], authority.cert_pem.bytes(), True
    )
    server = grpc.aio.server()
    port = server.add_secure_port("localhost:0", credentials)
    await server.start()
    async with connect(Signal.LOGS, Target(f"localhost:{port}", **files), 1) as (client,):
        assert (await client.send(b"")).code == "UNIMPLEMENTED"
    async with connect(Signal.LOGS, Target(f"localhost:{port}", "http", **files), 1) as (client,):
        assert (await client.send(b"")).retryable
    await server.stop(None)


def test_the_report_reads_well():
    """The text names every count."""
    latencies = Latencies()
    latencies.record(0.002)
    from sluiceway.generate.report import Tally

    tally = Tally(sent=1000, accepted=990, rejected=10, requests=3, retried=1, latencies=latencies)
    tally.errors["UNAVAILABLE"] += 1
    text = str(tally.report("spans", 2.0))
    assert "990 (495/s)" in text
    assert "UNAVAILABLE x 1" in text
    assert "p50 2.00" in text
