"""The rules of `otlp_grpc`, against real gRPC servers on loopback: grpcio's, and one that takes zstd."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager

import grpc
import pytest
import trustme
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from pydantic import ValidationError

from sluiceway.component import PartialSuccess
from sluiceway.errors import ConfigError, PermanentError, RetryableError
from sluiceway.exporters.otlp_grpc import COMPONENT
from sluiceway.otlp import Signal
from sluiceway.pipelines.observation import describe
from sluiceway.testing import ManualClock
from tests.exporters.backends import GrpcBackend, batch, make, retry_info
from tests.exporters.http2_backend import Http2Backend
from tests.ports import free_port

RETRYABLE = {"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"}
CODES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]


def exporter(backend: GrpcBackend, more: str = "", **context):
    """The exporter to a backend, from YAML."""
    return make(
        COMPONENT,
        f"{{endpoint: 'http://127.0.0.1:{backend.port}', compression: {backend.compression}, {more}}}",
        **context,
    )


@pytest.fixture(params=[GrpcBackend, Http2Backend], ids=["grpcio", "zstd"])
def kind(request):
    """Every rule holds with grpcio's channel and with our own."""
    return request.param


@pytest.fixture
async def backend(kind):
    """A backend that listens."""
    async with kind().running() as running:
        yield running


@pytest.fixture(scope="module")
def authority():
    """Who issues the certificates."""
    return trustme.CA()


def server_pair(authority: trustme.CA, name: str = "127.0.0.1") -> tuple[bytes, bytes]:
    """The key and certificate that a backend listens with."""
    pair = authority.issue_cert(name)
    return pair.private_key_pem.bytes(), pair.cert_chain_pems[0].bytes()


def encrypted(kind, path) -> str:
    """The settings to reach a backend of a kind whose authority is in `path`."""
    return f"compression: {kind.compression}, tls: {{ca_file: '{path / 'ca.pem'}'}}"


@pytest.mark.parametrize("signal", Signal)
async def test_a_batch_arrives_as_it_is(backend, signal):
    """The request is the payload, byte for byte, at the service of its signal."""
    sent = batch(signal)
    async with exporter(backend) as out:
        assert await out.consume(sent) is None
    method, request, _ = backend.requests[0]
    assert request == sent.payload
    assert signal.value.rstrip("s").title() in method


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
async def test_each_code_is_sorted_by_the_table(backend, code):
    """Only the codes that OTLP calls retryable are retried, and the error says which code it was."""
    backend.code = code
    async with exporter(backend) as out:
        with pytest.raises(RetryableError if code.name in RETRYABLE else PermanentError) as caught:
            await out.consume(batch())
    assert caught.value.code == code.name


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
async def test_retry_info_gives_the_delay_and_saves_resource_exhausted(backend, code):
    """RetryInfo sets the delay of retryable codes, makes RESOURCE_EXHAUSTED one, and rescues no other."""
    backend.code, backend.trailers = code, (("grpc-status-details-bin", retry_info(1.5)),)
    retryable = code.name in RETRYABLE | {"RESOURCE_EXHAUSTED"}
    async with exporter(backend) as out:
        with pytest.raises(RetryableError if retryable else PermanentError) as caught:
            await out.consume(batch())
    assert getattr(caught.value, "retry_after", None) == (1.5 if retryable else None)


async def test_details_that_are_no_status_count_as_not_given(backend):
    """A trailer of rubbish neither fails the exporter nor makes RESOURCE_EXHAUSTED retryable."""
    backend.code, backend.trailers = grpc.StatusCode.RESOURCE_EXHAUSTED, (("grpc-status-details-bin", b"\xff\xff"),)
    async with exporter(backend) as out:
        with pytest.raises(PermanentError):
            await out.consume(batch())


async def test_the_error_text_is_one_line(backend):
    """A backend cannot forge log lines by its error message."""
    backend.code, backend.details = grpc.StatusCode.INTERNAL, "bad\r\nERROR forged\x1b[31m"
    async with exporter(backend) as out:
        with pytest.raises(PermanentError, match=r"^rpc error: code = INTERNAL desc = bad\\r\\nERROR"):
            await out.consume(batch())


async def test_partial_success_is_returned(backend):
    """Rejected items come back as a value, as the backend tells them."""
    answer = ExportLogsServiceResponse()
    answer.partial_success.rejected_log_records = 99
    answer.partial_success.error_message = "too old"
    backend.answer = answer.SerializeToString()
    async with exporter(backend) as out:
        assert await out.consume(batch(Signal.LOGS, 3)) == PartialSuccess(99, "too old")


async def test_an_unreadable_answer_is_permanent(backend):
    """What was answered with OK is not sent again, even when the answer makes no sense."""
    backend.answer = b"\xff\xff\xff"
    async with exporter(backend) as out:
        with pytest.raises(PermanentError, match="no export response"):
            await out.consume(batch())


async def test_ok_without_a_message_cannot_be_read(backend):
    """The backend may have the data, so it is dropped, not sent again; nothing of it is a bug of ours."""
    backend.answer = None
    async with exporter(backend) as out:
        with pytest.raises(PermanentError, match="the response holds no message"):
            await out.consume(batch())


async def test_an_answer_over_four_mebibytes_is_permanent(backend):
    """The response is bounded, as the specification asks, and says nothing of the data, which the backend has."""
    backend.answer = b"\x00" * (4 * 1024 * 1024 + 1)
    async with exporter(backend) as out:
        with pytest.raises(PermanentError) as caught:
            await out.consume(batch())
    assert caught.value.code == ""


async def test_no_backend_is_retryable_and_does_not_stop_the_start(kind):
    """Starting works while nobody listens; sending then fails in a way that is tried again."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with make(
        COMPONENT, f"{{endpoint: '127.0.0.1:{port}', compression: {kind.compression}, tls: {{insecure: true}}}}"
    ) as out:
        with pytest.raises(RetryableError) as caught:
            await out.consume(batch())
    assert caught.value.code == "UNAVAILABLE"


async def test_the_question_whether_the_backend_is_there_sends_nothing(kind, authority, tmp_path):
    """A connection answers it; with TLS that has to be made as well."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with kind().running(server_pair(authority)) as backend:
        yaml = f"{{endpoint: '127.0.0.1:{backend.port}', {encrypted(kind, tmp_path)}}}"
        async with make(COMPONENT, yaml) as out:
            await out.check_backend()
            assert not backend.requests
            await out.consume(batch())
    assert len(backend.requests) == 1


async def test_a_backend_that_is_away_is_named_before_there_are_data(kind):
    """By its address."""
    port = free_port()
    yaml = f"{{endpoint: 'http://127.0.0.1:{port}', compression: {kind.compression}}}"
    async with make(COMPONENT, yaml) as out:
        with pytest.raises(RetryableError) as caught:
            await out.check_backend()
        assert describe(caught.value) == f"exporting failed: UNAVAILABLE (cannot connect to 127.0.0.1:{port})"


async def test_a_backend_that_hangs_does_not_hold_the_question(kind):
    """It can be cancelled, and the exporter be left."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yaml = f"{{endpoint: 'http://127.0.0.1:{silent.getsockname()[1]}', compression: {kind.compression}}}"
        async with make(COMPONENT, yaml) as out:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await out.check_backend()


async def test_cancelling_cancels_the_request_at_the_backend(backend):
    """A timeout around `consume` reaches the backend, so that it does not work for nobody."""
    backend.gate = asyncio.Event()
    async with exporter(backend) as out, asyncio.timeout(10), asyncio.TaskGroup() as group:
        request = group.create_task(out.consume(batch()))
        await backend.arrived.wait()
        request.cancel()
        await backend.cancelled.wait()
    assert request.cancelled()


async def test_the_timeout_is_told_to_the_backend(backend):
    """The deadline travels with the request; zero sends none."""
    async with exporter(backend, "timeout: 7s") as limited, exporter(backend, "timeout: 0s") as unlimited:
        await limited.consume(batch())
        await unlimited.consume(batch())
    assert 0 < backend.deadlines[0] < 7.5  # gRPC rounds it up
    assert backend.deadlines[1] is None


class Token:
    """What proves who we are."""

    def request_headers(self):
        """Always the same."""
        return {"Authorization": "Bearer t0ken"}


async def test_headers_and_proof_go_with_each_request(kind, authority, tmp_path):
    """Configured headers, the authenticator's headers, user agent and authority all arrive."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    more = "headers: {X-Tenant: acme, trace-bin: ab}, user_agent: me/1, auth: {authenticator: bearertokenauth}"
    async with kind().running(server_pair(authority)) as backend:
        yaml = f"{{endpoint: '127.0.0.1:{backend.port}', {encrypted(kind, tmp_path)}, {more}}}"
        async with make(COMPONENT, yaml, extension={"bearertokenauth": Token()}.__getitem__) as out:
            await out.consume(batch())
    metadata = backend.requests[0][2]
    assert metadata["x-tenant"] == "acme"
    assert metadata["trace-bin"] == b"ab"
    assert metadata["authorization"] == "Bearer t0ken"
    assert metadata["user-agent"].split()[0] == "me/1"


@pytest.mark.parametrize("where", ["endpoint: 'http://h:1'", "endpoint: 'h:1', tls: {insecure: true}"])
def test_credentials_in_plain_text_are_a_config_error(where):
    """As in the Collector, and before anything is sent."""
    with pytest.raises(ConfigError, match='"token": the credentials require transport level security'):
        make(COMPONENT, f"{{{where}, auth: {{authenticator: token}}}}", extension={"token": Token()}.__getitem__)


async def test_an_unknown_authenticator_is_a_config_error():
    """Who names an extension that is not there hears it before the start."""
    with pytest.raises(ConfigError, match='failed to resolve authenticator "nobody": authenticator not found'):
        make(COMPONENT, "{endpoint: 'h:1', auth: {authenticator: nobody}}")


@pytest.mark.parametrize(
    ("key", "coding"),
    [("", "gzip"), ("compression: gzip", "gzip"), ("compression: zstd", "zstd"), ("compression: none", "identity")],
)
async def test_gzip_is_the_default(key, coding):
    """The message is compressed as the settings say, and arrives whole."""
    sent = batch(items=5000)
    async with (
        Http2Backend().running() as backend,
        make(COMPONENT, f"{{endpoint: 'http://127.0.0.1:{backend.port}', {key}}}") as out,
    ):
        await out.consume(sent)
    assert backend.requests[0][1] == sent.payload
    assert backend.headers[0].get("grpc-encoding", "identity") == coding


async def test_tls_is_on_by_default(kind, authority, tmp_path):
    """An endpoint without a scheme is encrypted, and the server's certificate is checked against `ca_file`."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with kind().running(server_pair(authority)) as backend:
        yaml = f"{{endpoint: '127.0.0.1:{backend.port}', {encrypted(kind, tmp_path)}}}"
        async with make(COMPONENT, yaml) as out:
            await out.consume(batch())
    assert len(backend.requests) == 1


async def test_an_unknown_authority_is_not_trusted(kind, authority, tmp_path):
    """A server with another authority's certificate gets nothing, and the data is kept for another try."""
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    async with kind().running(server_pair(authority)) as backend:
        yaml = f"{{endpoint: 'https://127.0.0.1:{backend.port}', {encrypted(kind, tmp_path)}}}"
        async with make(COMPONENT, yaml) as out:
            with pytest.raises(RetryableError):
                await out.consume(batch())
    assert backend.requests == []


async def test_changed_certificates_get_a_new_connection(kind, authority, tmp_path):
    """After `reload_interval` the new files are in force, while a request on the old connection ends in peace."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    clock = ManualClock()
    async with kind(gate=asyncio.Event()).running(server_pair(authority)) as backend:
        tls = f"{{ca_file: '{tmp_path / 'ca.pem'}', reload_interval: 10s}}"
        yaml = f"{{endpoint: '127.0.0.1:{backend.port}', compression: {kind.compression}, tls: {tls}}}"
        async with make(COMPONENT, yaml, clock=clock) as out, asyncio.timeout(10), asyncio.TaskGroup() as group:
            group.create_task(out.consume(batch()))
            await backend.arrived.wait()
            with (tmp_path / "ca.pem").open("ab") as file:
                file.write(trustme.CA().cert_pem.bytes())
            await clock.advance(10)
            backend.arrived.clear()
            group.create_task(out.consume(batch()))
            await backend.arrived.wait()
            backend.gate.set()
        assert len(set(backend.peers)) == 2


async def test_an_idle_connection_is_replaced_at_once(kind, authority, tmp_path):
    """When nothing is under way the old connection is closed with the change."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    clock = ManualClock()
    async with kind().running(server_pair(authority)) as backend:
        tls = f"{{ca_file: '{tmp_path / 'ca.pem'}', reload_interval: 10s}}"
        yaml = f"{{endpoint: '127.0.0.1:{backend.port}', compression: {kind.compression}, tls: {tls}}}"
        async with make(COMPONENT, yaml, clock=clock) as out:
            await out.consume(batch())
            with (tmp_path / "ca.pem").open("ab") as file:
                file.write(trustme.CA().cert_pem.bytes())
            await clock.advance(10)
            await out.consume(batch())
        assert len(set(backend.peers)) == 2


@pytest.mark.parametrize(
    ("yaml", "text"),
    [
        ("{}", 'requires a non-empty "endpoint"'),
        ("{endpoint: ''}", 'requires a non-empty "endpoint"'),
        ("{endpoint: 'h:1', timeout: -1s}", "'timeout' must be non-negative"),
    ],
)
def test_what_is_missing_or_wrong_is_said(yaml, text):
    """Mistakes are found without any I/O, in the Collector's words."""
    with pytest.raises(ValidationError) as caught:
        make(COMPONENT, yaml)
    assert text in str(caught.value)


@asynccontextmanager
async def refusing_proxy():
    """A proxy that keeps what it is asked for and refuses it: its port, and the heads of requests."""
    asked: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], asked


async def test_the_environment_names_a_proxy(backend, monkeypatch):
    """HTTPS_PROXY is followed, without a scheme too, except for this machine; its password is not shown."""
    async with refusing_proxy() as (port, asked):
        monkeypatch.setenv("HTTPS_PROXY", f"user:s3cret@127.0.0.1:{port}")
        async with make(COMPONENT, "{endpoint: 'backend.invalid:4317', tls: {insecure: true}}") as out:
            with pytest.raises(RetryableError) as caught:
                await out.consume(batch())
        assert asked[0].startswith(b"CONNECT backend.invalid:4317 ")
        assert b"Proxy-Authorization: Basic dXNlcjpzM2NyZXQ=" in asked[0]
        assert "s3cret" not in str(caught.value)
        seen = len(asked)
        async with exporter(backend) as out:
            await out.consume(batch())
        assert len(asked) == seen
    assert len(backend.requests) == 1


@pytest.mark.parametrize(
    ("proxy", "text"), [("https://p:1", "gRPC in Python goes by proxies of http:// only"), ("p:x", "HTTPS_PROXY: ")]
)
def test_a_proxy_that_grpc_cannot_use_is_found_at_the_start(monkeypatch, proxy, text):
    """GRPC itself would go past it in silence."""
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(ConfigError, match=text):
        make(COMPONENT, "endpoint: 'h:1'")


@pytest.mark.parametrize(
    ("name", "demands", "more", "words"),
    [
        ("other", False, "", "is not for 127.0.0.1: see the endpoint and tls::server_name_override"),
        ("other", False, "server_name_override: x", "is not for x: see the endpoint and tls::server_name_override"),
        ("127.0.0.1", True, "", "if the server demands a certificate of ours, see tls::cert_file and tls::key_file"),
        ("127.0.0.1", False, "insecure: true", "if the server speaks TLS, see tls::insecure"),
    ],
)
async def test_trouble_with_tls_names_the_key_to_look_at(authority, tmp_path, name, demands, more, words):
    """What gRPC says alone does not guide."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    pair = authority.issue_cert(name)
    own = (pair.private_key_pem.bytes(), pair.cert_chain_pems[0].bytes())
    async with GrpcBackend().running(own, clients=authority.cert_pem.bytes() if demands else None) as backend:
        yaml = f"{{endpoint: '127.0.0.1:{backend.port}', tls: {{ca_file: '{tmp_path / 'ca.pem'}', {more}}}}}"
        async with make(COMPONENT, yaml) as out:
            with pytest.raises(RetryableError) as caught:
                await out.consume(batch())
            with pytest.raises(RetryableError, match="cannot connect to"):
                await out.check_backend()
    assert words in str(caught.value)
