"""The rules of `otlp_http`, against a real server on loopback."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import ssl
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import trustme
from aiohttp import ClientOSError
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from pydantic import ValidationError

from sluiceway.component import PartialSuccess
from sluiceway.config.compression import zstd_module
from sluiceway.errors import ConfigError, PermanentError, RetryableError
from sluiceway.exporters.otlp_http import COMPONENT
from sluiceway.exporters.otlp_http.failures import explain
from sluiceway.otlp import Signal, accept
from sluiceway.otlp.json import decode
from sluiceway.pipelines.observation import describe
from sluiceway.testing import ManualClock
from tests.exporters.backends import HttpBackend, batch, make

zstd = zstd_module()
RETRYABLE = {429, 502, 503, 504}
PROTO = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json; charset=utf-8"}


def exporter(backend: HttpBackend, more: str = "", **context):
    """The exporter to a backend, from YAML."""
    return make(COMPONENT, f"{{endpoint: 'http://127.0.0.1:{backend.port}', compression: none, {more}}}", **context)


@pytest.fixture
async def backend():
    """A backend that listens."""
    async with HttpBackend().running() as running:
        yield running


@pytest.mark.parametrize("signal", Signal)
async def test_a_batch_arrives_as_it_is(backend, signal):
    """The body is the payload with its length, at the path of its signal."""
    sent = batch(signal)
    async with exporter(backend) as out:
        assert await out.consume(sent) is None
    line, headers, body = backend.requests[0]
    assert line == f"POST /v1/{signal.value} HTTP/1.1"
    assert (headers["content-length"], headers["content-type"]) == (str(len(body)), "application/x-protobuf")
    assert "content-encoding" not in headers
    assert body == sent.payload


@pytest.mark.parametrize("status", [*range(300, 304), *range(400, 600)])
async def test_each_status_is_sorted_by_the_table(backend, status):
    """429, 502, 503 and 504 are tried again, everything else is permanent; only 429 and 503 may set the delay."""
    backend.status, backend.headers = status, {"Retry-After": "7", "Location": "/elsewhere"}
    async with exporter(backend) as out:
        with pytest.raises(RetryableError if status in RETRYABLE else PermanentError, match=f"Code {status}") as caught:
            await out.consume(batch())
    assert getattr(caught.value, "retry_after", None) == (7.0 if status in (429, 503) else None)
    assert len(backend.requests) == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "INVALID_ARGUMENT"), (401, "UNAUTHENTICATED"), (403, "PERMISSION_DENIED"), (500, "UNKNOWN")],
)
async def test_the_error_carries_a_code(backend, status, code):
    """Whoever passes the error on can say what it was."""
    backend.status = status
    async with exporter(backend) as out:
        with pytest.raises(PermanentError) as caught:
            await out.consume(batch())
    assert caught.value.code == code


async def test_a_server_that_wants_tls_costs_no_data(backend):
    """It refuses the settings, not the data, which waits."""
    backend.status, backend.answer = 400, b"Client sent an HTTP request to an HTTPS server.\n"
    async with exporter(backend) as out:
        with pytest.raises(RetryableError) as caught:
            await out.consume(batch())
    assert "the endpoint's scheme" in caught.value.advice


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_every_2xx_is_success(backend, status):
    """What the backend took is delivered, whatever kind of success it calls it."""
    backend.status, backend.headers = status, {"Content-Length": "0"}
    async with exporter(backend) as out:
        assert await out.consume(batch()) is None


async def test_retry_after_may_be_a_date(backend):
    """An HTTP-date is a delay from now, by the context's clock."""
    clock = ManualClock()
    due = datetime.fromtimestamp(clock.time_ns() / 1e9, UTC) + timedelta(seconds=30)
    backend.status, backend.headers = 503, {"Retry-After": format_datetime(due, usegmt=True)}
    async with exporter(backend, clock=clock) as out:
        with pytest.raises(RetryableError) as caught:
            await out.consume(batch())
    assert caught.value.retry_after == pytest.approx(30, abs=1)


@pytest.mark.parametrize("as_json", [False, True])
async def test_partial_success_is_returned(backend, as_json):
    """Rejected items come back as a value, as the backend tells them."""
    answer = ExportMetricsServiceResponse()
    answer.partial_success.rejected_data_points = 99
    answer.partial_success.error_message = "too old"
    if as_json:
        backend.headers = JSON
        backend.answer = b'{"partialSuccess": {"rejectedDataPoints": "99", "errorMessage": "too old"}}'
    else:
        backend.headers, backend.answer = PROTO, answer.SerializeToString()
    async with exporter(backend) as out:
        assert await out.consume(batch(Signal.METRICS, 3)) == PartialSuccess(99, "too old")


@pytest.mark.parametrize("kind", [PROTO, JSON])
async def test_an_unreadable_answer_is_permanent(backend, kind):
    """What was answered with 200 is not sent again, even when the answer makes no sense."""
    backend.headers, backend.answer = kind, b"\xff\xff\xff"
    async with exporter(backend) as out:
        with pytest.raises(PermanentError, match="no export response"):
            await out.consume(batch())


async def test_an_answer_of_another_type_says_nothing(backend):
    """A backend that answers 200 with a text has taken the data."""
    backend.headers, backend.answer = {"Content-Type": "text/plain"}, b"thanks"
    async with exporter(backend) as out:
        assert await out.consume(batch()) is None


@pytest.mark.parametrize(("status", "error"), [(200, PermanentError), (400, PermanentError), (503, RetryableError)])
async def test_a_response_is_bounded(backend, status, error):
    """No more than 64 KiB of a response is read, even when its end never comes."""
    backend.status, backend.headers = status, {**PROTO, "Content-Length": str(10**12)}
    backend.answer = b"\x00" * 200_000
    async with exporter(backend) as out, asyncio.timeout(10):
        with pytest.raises(error):
            await out.consume(batch())
        await backend.closed.wait()


async def test_a_compressed_response_is_not_unpacked(backend):
    """A response that is a bomb stays packed: it is unreadable, and that is all."""
    backend.headers = {**PROTO, "Content-Encoding": "gzip"}
    backend.answer = gzip.compress(bytes(10_000_000))
    async with exporter(backend) as out:
        with pytest.raises(PermanentError, match="no export response"):
            await out.consume(batch())
    assert backend.requests[0][1]["accept-encoding"] == "identity"


@pytest.mark.parametrize("as_json", [False, True])
async def test_the_error_text_has_the_message_of_the_status(backend, as_json):
    """The backend's own words are in the error, on one line."""
    text = "bad\nERROR forged"
    if as_json:
        backend.headers, backend.answer = JSON, json.dumps({"code": 3, "message": text}).encode()
    else:
        backend.headers, backend.answer = PROTO, Status(message=text).SerializeToString()
    backend.status = 400
    async with exporter(backend) as out:
        with pytest.raises(PermanentError, match=r"Status Code 400, Message=bad\\nERROR forged$"):
            await out.consume(batch())


@pytest.mark.parametrize(
    "raw", [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", b"rubbish\r\n\r\n", b"HTTP/1.1 20"]
)
async def test_a_broken_answer_is_retryable(backend, raw):
    """Whoever gets no whole answer does not know what became of the data, and sends it again."""
    backend.raw = raw
    async with exporter(backend) as out:
        with pytest.raises(RetryableError) as caught:
            await out.consume(batch())
    assert caught.value.code == "UNAVAILABLE"


async def test_no_backend_is_retryable_and_the_text_has_no_secrets():
    """Starting works while nobody listens; the error names the place, but neither password nor query."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with make(
        COMPONENT, f"logs_endpoint: http://me:pa55@127.0.0.1:{port}/in?key=s3cret", signals={Signal.LOGS}
    ) as out:
        with pytest.raises(RetryableError, match=f"http://127.0.0.1:{port}/in failed") as caught:
            await out.consume(batch(Signal.LOGS))
    assert "pa55" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


async def test_cancelling_closes_the_connection(backend):
    """A request that timed out is not left running, and its connection is not used again."""
    backend.gate = asyncio.Event()
    async with exporter(backend) as out, asyncio.timeout(10), asyncio.TaskGroup() as group:
        request = group.create_task(out.consume(batch()))
        await backend.arrived.wait()
        request.cancel()
        backend.gate.set()
        await backend.closed.wait()
    assert request.cancelled()


async def test_connections_are_kept_unless_told_otherwise(backend):
    """Requests share a connection; with `disable_keep_alives` each has its own."""
    async with exporter(backend) as out:
        for _ in range(3):
            await out.consume(batch())
    assert backend.connections == 1
    async with exporter(backend, "disable_keep_alives: true") as out:
        for _ in range(3):
            await out.consume(batch())
    assert backend.connections == 4


@pytest.mark.parametrize(
    ("compression", "unpack"),
    [("gzip", gzip.decompress), ("zstd", zstd.decompress), ("zlib", zlib.decompress), ("deflate", zlib.decompress)],
)
@pytest.mark.parametrize("items", [3, 40_000])
async def test_bodies_are_compressed(backend, compression, unpack, items):
    """The body unpacks to the payload, small or so large that a thread packs it."""
    sent = batch(items=items)
    async with make(COMPONENT, f"{{endpoint: 'http://127.0.0.1:{backend.port}/', compression: {compression}}}") as out:
        await out.consume(sent)
    line, headers, body = backend.requests[0]
    assert line == "POST /v1/traces HTTP/1.1"
    assert headers["content-encoding"] == compression
    assert unpack(body) == sent.payload


@pytest.mark.parametrize("signal", Signal)
@pytest.mark.parametrize("compression", ["none", "gzip"])
async def test_json_is_the_same_message(backend, signal, compression):
    """With `encoding: json` the body is OTLP/JSON of the same items."""
    sent = batch(signal)
    yaml = f"{{endpoint: 'http://127.0.0.1:{backend.port}', encoding: json, compression: {compression}}}"
    async with make(COMPONENT, yaml) as out:
        await out.consume(sent)
    _, headers, body = backend.requests[0]
    assert headers["content-type"] == "application/json"
    text = gzip.decompress(body) if compression == "gzip" else body
    assert accept(signal, decode(signal, text)).proto() == sent.proto()


async def test_gzip_is_the_default(backend):
    """Without `compression` bodies are gzip."""
    async with make(COMPONENT, f"endpoint: http://127.0.0.1:{backend.port}") as out:
        await out.consume(batch())
    assert backend.requests[0][1]["content-encoding"] == "gzip"


async def test_a_large_body_needs_no_copy_and_gives_no_warning(backend):
    """Several mebibytes go out whole."""
    sent = batch(items=300_000)
    async with exporter(backend) as out:
        await out.consume(sent)
    assert backend.requests[0][2] == sent.payload


async def test_headers_host_and_proof_go_with_each_request(backend):
    """Configured headers replace ours, `Host` replaces the URL's, and the authenticator adds its own."""

    class Token:
        def request_headers(self):
            return {"authorization": "Bearer t0ken"}

    more = "headers: [{name: X-Tenant, value: acme}, {name: Host, value: other}], auth: {authenticator: tokens}"
    async with exporter(backend, more, extension={"tokens": Token()}.__getitem__) as out:
        await out.consume(batch())
    headers = backend.requests[0][1]
    assert (headers["host"], headers["x-tenant"], headers["authorization"]) == ("other", "acme", "Bearer t0ken")
    assert headers["user-agent"].startswith("sluiceway/")


@pytest.mark.parametrize(
    ("endpoint", "warns"),
    [("http://backend.test:4318", True), ("https://backend.test:4318", False), ("http://[::1]:4318", False)],
)
async def test_credentials_in_plain_text_are_warned_of(caplog, endpoint, warns):
    """As in the Collector they are sent all the same, which is harmless only on this machine."""

    class Token:
        def request_headers(self):
            return {"authorization": "Bearer t0ken"}

    text = f"{{endpoint: '{endpoint}', auth: {{authenticator: tokens}}}}"
    async with make(COMPONENT, text, extension={"tokens": Token()}.__getitem__):
        assert ("backend.test in plain text" in caplog.text) is warns


async def test_cookies_come_back_only_when_asked_for(backend):
    """The `cookies` section keeps what the server sets."""
    backend.headers = {"Set-Cookie": "route=a; Path=/"}
    for more, cookie in (("", None), ("cookies: {}", "route=a")):
        async with make(COMPONENT, f"{{endpoint: 'http://localhost:{backend.port}', {more}}}") as out:
            await out.consume(batch())
            await out.consume(batch())
        assert backend.requests[-1][1].get("cookie") == cookie


async def test_requests_go_through_the_proxy(backend):
    """With `proxy_url` the proxy gets the whole URL."""
    yaml = f"{{endpoint: 'http://backend.invalid:4318', proxy_url: 'http://127.0.0.1:{backend.port}'}}"
    async with make(COMPONENT, yaml) as out:
        await out.consume(batch())
    assert backend.requests[0][0] == "POST http://backend.invalid:4318/v1/traces HTTP/1.1"


async def test_the_environment_names_a_proxy(backend, monkeypatch):
    """HTTP_PROXY is followed, except for this machine and hosts in NO_PROXY."""
    monkeypatch.setenv("HTTP_PROXY", f"127.0.0.1:{backend.port}")
    async with make(COMPONENT, "endpoint: http://backend.invalid") as out:
        await out.consume(batch())
    async with exporter(backend) as out:
        await out.consume(batch())
    assert [line for line, _, _ in backend.requests] == [
        "POST http://backend.invalid/v1/traces HTTP/1.1",
        "POST /v1/traces HTTP/1.1",
    ]


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_the_password_of_a_proxy_is_told_to_the_proxy_alone(backend, monkeypatch, scheme):
    """The proxy gets it, and the error does not, whatever the proxy answers."""
    monkeypatch.setenv(f"{scheme.upper()}_PROXY", f"user:s3cret@127.0.0.1:{backend.port}")
    backend.status = 407
    async with make(COMPONENT, f"endpoint: {scheme}://backend.invalid") as out:
        with pytest.raises((RetryableError, PermanentError)) as caught:
            await out.consume(batch())
    assert backend.requests[0][1]["proxy-authorization"] == "Basic dXNlcjpzM2NyZXQ="
    assert "407" in str(caught.value)
    assert "s3cret" not in str(caught.value)


async def test_tls_checks_the_server(tmp_path):
    """An https endpoint is encrypted; a certificate of another authority is refused, retryably."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("backend.example").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with HttpBackend().running(context) as backend:
        url = f"https://127.0.0.1:{backend.port}"
        tls = f"{{ca_file: '{tmp_path / 'ca.pem'}', server_name_override: backend.example}}"
        async with make(COMPONENT, f"{{endpoint: '{url}', tls: {tls}}}") as out:
            await out.consume(batch())
        async with make(COMPONENT, f"endpoint: {url}") as out:
            with pytest.raises(RetryableError):
                await out.consume(batch())
    assert len(backend.requests) == 1


@dataclass
class Side:
    """The TLS of a backend: its certificate, and whether it demands one of its clients."""

    authority: trustme.CA
    name: str = "localhost"
    is_old: bool = False
    demands: bool = False
    versions: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED

    def context(self) -> ssl.SSLContext:
        """What the backend listens with."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.maximum_version = self.versions
        past = {"not_after": datetime(2020, 1, 1, tzinfo=UTC)} if self.is_old else {}
        self.authority.issue_cert(self.name, **past).configure_cert(made)
        if self.demands:
            made.verify_mode = ssl.CERT_REQUIRED
            self.authority.configure_trust(made)
        return made


MINE = trustme.CA()


@pytest.mark.parametrize(
    ("side", "more", "words", "key"),
    [
        (Side(trustme.CA()), "", "unable to get local issuer certificate; .*nobody who is trusted", "tls::ca_file"),
        (Side(MINE, is_old=True), "", "certificate has expired; the server's certificate has to be renewed", ""),
        (Side(MINE, "other"), "", "mismatch.*; .*is not for localhost", "tls::server_name_override"),
        (Side(MINE), "server_name_override: x", "mismatch.*; .*is not for x", "tls::server_name_override"),
        (Side(MINE, demands=True, versions=ssl.TLSVersion.TLSv1_2), "", "demand", "tls::cert_file and tls::key_file"),
        (Side(MINE, demands=True), "", "demand", "tls::cert_file and tls::key_file"),
    ],
)
async def test_trouble_with_tls_names_the_key_to_look_at(tmp_path, side, more, words, key):
    """The text says what is wrong and where to look, and holds no object of Python's."""
    MINE.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with HttpBackend().running(side.context()) as backend:
        tls = f"{{ca_file: '{tmp_path / 'ca.pem'}', {more}}}"
        async with make(
            COMPONENT, f"{{endpoint: 'https://localhost:{backend.port}', tls: {tls}}}", signals={Signal.TRACES}
        ) as out:
            with pytest.raises(RetryableError, match=words) as caught:
                await out.consume(batch())
            if not side.demands:  # a certificate that is missing is asked for once there is a request
                with pytest.raises(RetryableError, match=words):
                    await out.check_backend()
    assert key in str(caught.value)
    assert "object at" not in str(caught.value)
    assert "ssl:" not in str(caught.value)


async def test_who_cannot_be_reached_is_named():
    """With address and reason alone."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        for more, what in (("", ""), (f", proxy_url: 'http://localhost:{port}'", "the proxy ")):
            async with make(
                COMPONENT, f"{{endpoint: 'https://localhost:{port}'{more}}}", signals={Signal.TRACES}
            ) as out:
                for ask in (lambda out=out: out.consume(batch()), out.check_backend):
                    with pytest.raises(
                        RetryableError, match=f"cannot connect to {what}localhost:{port}: Connect"
                    ) as caught:
                        await ask()
                    assert f"cannot connect to {what}localhost:{port}" in describe(caught.value)


@pytest.mark.parametrize("encrypted", [False, True])
async def test_the_question_whether_the_backend_is_there_sends_nothing(tmp_path, encrypted):
    """A connection answers it; with TLS that has to be made as well."""
    MINE.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with HttpBackend().running(Side(MINE).context() if encrypted else None) as backend:
        scheme = "https" if encrypted else "http"
        yaml = f"{{endpoint: '{scheme}://localhost:{backend.port}', tls: {{ca_file: '{tmp_path / 'ca.pem'}'}}}}"
        async with make(COMPONENT, yaml, signals={Signal.TRACES}) as out:
            await out.check_backend()
        async with asyncio.timeout(10):
            await backend.closed.wait()
    assert not backend.requests
    assert backend.connections == 1


def test_an_alert_that_is_lost_leaves_a_hint():
    """Written to too late, a connection shows only that it is closed."""
    error = ClientOSError(None, "Can not write request body")
    error.__cause__ = ConnectionResetError()
    assert "see tls::cert_file" in explain(error, "h", encrypted=True)
    assert explain(error, "h", encrypted=False) == "the server closed the connection before it had the request"
    assert explain(ClientOSError(104, "reset"), "h", encrypted=True) == "ClientOSError: [Errno 104] reset"


def test_what_openssl_says_without_a_name_is_told_as_it_is():
    """Python knows the reasons of some alerts by number only."""
    error = ssl.SSLError(1, "[SSL] unknown error (_ssl.c:1006)")
    assert explain(error, "h", encrypted=True) == "TLS: [ssl] unknown error ( ssl.c:1006)"


@pytest.mark.parametrize(
    ("yaml", "text"),
    [
        ("{}", "at least one endpoint must be specified"),
        ("metrics_endpoint: nonsense", "metrics_endpoint must be a valid URL"),
        ("endpoint: http://h:x", "endpoint must be a valid URL"),
        ("endpoint: localhost:4318", 'endpoint must be a valid URL, such as "http://localhost:4318" or "https://'),
        ("endpoint: me:pa55@h:4318", "endpoint must be a valid URL, as http://host:4318 or https://host"),
        ("{endpoint: 'http://h', encoding: xml}", "invalid encoding type: xml (valid values: [proto json])"),
        ("{endpoint: 'http://h', encoding: [proto]}", "invalid encoding type: ['proto']"),
        ("{endpoint: 'http://h', compression: snappy}", 'compression "snappy" is not available here'),
        ("{endpoint: 'http://h', timeout: -1s}", "'timeout' must be non-negative"),
    ],
)
def test_what_is_missing_or_wrong_is_said(yaml, text):
    """Mistakes are found without any I/O, in the Collector's words."""
    with pytest.raises(ValidationError) as caught:
        make(COMPONENT, yaml)
    assert text in str(caught.value)
    assert "pa55" not in str(caught.value)


@pytest.mark.parametrize("setting", ["logs_endpoint: h", "compression: lz4"])
def test_mistakes_stand_at_their_keys(setting):
    """Not at the exporter as a whole."""
    with pytest.raises(ValidationError) as caught:
        make(COMPONENT, f"{{endpoint: 'http://h', {setting}}}")
    assert caught.value.errors()[0]["loc"] == (setting.partition(":")[0],)


def test_every_used_signal_needs_an_endpoint():
    """A pipeline whose signal has nowhere to go is a mistake in the configuration."""
    with pytest.raises(ConfigError, match="either endpoint or metrics_endpoint must be specified"):
        make(COMPONENT, "traces_endpoint: http://h/t", signals={Signal.METRICS})
