"""The clients of the load generator, against real servers on loopback."""

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from sluiceway.generate.load import Load, generate
from sluiceway.generate.send import Target, connect
from sluiceway.otlp import Signal, accept
from tests.generate.backends import accept_all, backend, http_backend


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


async def babble(number, context):
    """Answer with what is no OTLP."""
    return b"<html>"


@pytest.mark.parametrize("answer", [babble, None])
async def test_a_grpc_answer_that_cannot_be_read(answer):
    """The same over gRPC, also with OK and no message."""
    async with backend(answer) as (endpoint, _):
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
