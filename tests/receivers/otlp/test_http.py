"""OTLP over HTTP: each rule over a real socket."""

import asyncio
import gzip
import json
import zlib

import pytest

from sluiceway.component import Identity
from sluiceway.config.compression import zstd_module
from sluiceway.errors import PermanentError, RefusedError, UnauthenticatedError
from sluiceway.otlp import Signal
from sluiceway.telemetry import Metrics, Scope
from sluiceway.testing import MemorySink, settle
from tests.receivers.otlp.senders import BOTH, PROTO, delay_of, http, post, receiving, settings, spans, wired

zstd = zstd_module()
HTTP = "protocols: {http: {endpoint: 'localhost:0', %s}}"


class Doorkeeper:
    """An authenticator that knows one token."""

    async def authenticate(self, headers):
        """Let in who says `please`."""
        await asyncio.sleep(0)
        if headers.get("authorization") == ("please",) or headers.get("key") == ("please",):
            return Identity("alice", {"role": "sender"})
        raise UnauthenticatedError("secret")


async def test_a_request_reaches_the_pipeline():
    """The bytes arrive as they were sent, with their origin, and success is an empty response."""
    sink = MemorySink()
    async with receiving(sink) as receiver:
        answer = await http(receiver, post(spans(3)))
    batch = sink.batches[0]
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"", PROTO)
    assert (batch.signal, batch.payload, batch.items) == (Signal.TRACES, spans(3), 3)
    assert (batch.origin.transport, batch.origin.subject, dict(batch.origin.headers)) == ("http", None, {})
    assert batch.origin.peer.startswith(("127.0.0.1:", "::1:"))
    assert "date" in answer.headers


@pytest.mark.parametrize(
    ("request_", "status", "body"),
    [
        (post(path="/v1/other"), 404, b"404 page not found\n"),
        (post(path="/v1/logs"), 404, b"404 page not found\n"),
        (post(method="GET"), 405, b"405 method not allowed, supported: [POST]"),
        (
            post(kind="text/plain"),
            415,
            b"415 unsupported media type, supported: [application/json, application/x-protobuf]",
        ),
        (post(kind=""), 415, b"415 unsupported media type, supported: [application/json, application/x-protobuf]"),
    ],
)
async def test_wrong_requests_get_the_collectors_texts(request_, status, body):
    """Unknown paths, signals without a pipeline, other methods and other content types are refused."""
    async with receiving(MemorySink(), signals=frozenset({Signal.TRACES})) as receiver:
        answer = await http(receiver, request_)
    assert (answer.status, answer.body) == (status, body)


async def test_a_head_request_gets_no_body():
    """HEAD is refused without a body, so that the next answer is not misread."""
    async with receiving(MemorySink()) as receiver, wired(receiver) as wire:
        await wire.send(post(method="HEAD") + post(spans(1)))
        head = await wire.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 405")
        assert (await wire.answer()).status == 200


async def test_paths_can_be_set():
    """A path without its slash is made absolute, and a query does not belong to it."""
    sink = MemorySink()
    async with receiving(sink, HTTP % "traces_url_path: in") as receiver:
        assert (await http(receiver, post(spans(1), path="/in?x=1"))).status == 200
        assert (await http(receiver, post(spans(1), path="http://localhost/in"))).status == 200
        assert (await http(receiver, post(spans(1)))).status == 404


@pytest.mark.parametrize(
    ("coding", "pack"),
    [
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("zstd", zstd.compress),
        ("deflate", zlib.compress),
        ("zlib", zlib.compress),
        ("identity", bytes),
    ],
)
@pytest.mark.parametrize("size", [10, 3_000_000])
async def test_bodies_may_be_compressed(coding, pack, size):
    """Each coding is decoded, small bodies at once and large ones in a thread."""
    sink, body = MemorySink(), spans(2, size)
    async with receiving(sink) as receiver:
        assert (await http(receiver, post(pack(body), content_encoding=coding))).status == 200
    assert sink.batches[0].payload == body


@pytest.mark.parametrize("coding", ["bogus", "snappy", "gzip, gzip", "gzip,identity", "br"])
async def test_other_codings_are_refused(coding):
    """What is not decoded is never passed on: unknown, layered and doubled codings get 400."""
    sink = MemorySink()
    async with receiving(sink) as receiver:
        answer = await http(receiver, post(spans(1), content_encoding=coding))
    assert (answer.status, answer.as_status.code) == (400, 3)
    assert answer.as_status.message == f"unsupported Content-Encoding: {coding}"
    assert not sink.calls


async def test_codings_can_be_restricted():
    """`compression_algorithms` lists what is taken; an empty text is plain."""
    async with receiving(MemorySink(), HTTP % "compression_algorithms: [gzip, lz4]") as receiver:
        assert (await http(receiver, post(gzip.compress(spans(1)), content_encoding="gzip"))).status == 200
        assert (await http(receiver, post(spans(1)))).status == 400
        assert (await http(receiver, post(spans(1), content_encoding="zstd"))).status == 400


@pytest.mark.parametrize("body", [b"\xff\xff\xff", spans(3)[:-1]])
async def test_bad_bytes_get_400(body):
    """What is no OTLP is the sender's fault and must not come again."""
    async with receiving(MemorySink()) as receiver:
        answer = await http(receiver, post(body))
    assert (answer.status, answer.as_status.code, delay_of(answer.as_status)) == (400, 3, None)
    assert "retry-after" not in answer.headers


async def test_a_damaged_compressed_body_gets_400():
    """A body that cannot be decompressed is bad data, and so is garbage behind it."""
    async with receiving(MemorySink()) as receiver:
        for body in (b"rubbish", gzip.compress(spans(1))[:-3], gzip.compress(spans(1)) + b"x"):
            assert (await http(receiver, post(body, content_encoding="gzip"))).status == 400


async def test_an_announced_body_that_is_too_large_gets_413_unread():
    """The length alone is enough to refuse, before anything is received."""
    async with receiving(MemorySink(), HTTP % "max_request_body_size: 1000") as receiver, wired(receiver) as wire:
        answer = await wire.ask(post(content_length="1001"))
        assert (answer.status, answer.as_status.code, answer.headers["connection"]) == (413, 8, "close")
        assert await wire.ended() == b""


async def test_a_body_that_grows_too_large_gets_413():
    """Chunks and decompression are bounded as well."""
    body = spans(100, 100)
    async with receiving(MemorySink(), HTTP % "max_request_body_size: 1000") as receiver:
        assert (await http(receiver, post(gzip.compress(body), content_encoding="gzip"))).status == 413
        chunked = post(transfer_encoding="chunked", content_length="") + b"%x\r\n" % len(body)
        assert (await http(receiver, chunked)).status == 413


@pytest.mark.parametrize("kind", [PROTO, "application/json"])
async def test_pressure_gets_503_with_a_delay(kind):
    """A refusal carries Retry-After and RetryInfo, in the request's encoding."""
    sink = MemorySink()
    sink.error = RefusedError("secret", retry_after=1.5)
    async with receiving(sink) as receiver:
        answer = await http(receiver, post(spans(1) if kind == PROTO else JSON_SPAN, kind=kind))
    assert (answer.status, answer.headers["retry-after"], answer.headers["content-type"]) == (503, "2", kind)
    if kind == PROTO:
        assert (answer.as_status.code, delay_of(answer.as_status)) == (14, 1.5)
    else:
        assert json.loads(answer.body)["code"] == 14
    assert b"secret" not in answer.body


async def test_a_permanent_error_gets_500():
    """Data that a backend will never take must not come again."""
    sink = MemorySink()
    sink.error = PermanentError("secret")
    async with receiving(sink) as receiver:
        answer = await http(receiver, post(spans(1)))
    assert (answer.status, answer.as_status.code) == (500, 13)


async def test_a_bug_is_logged_and_asks_to_come_again(caplog):
    """An unforeseen error tells the sender an id that finds it in our log, and nothing else."""
    sink = MemorySink()
    sink.error = ZeroDivisionError("secret")
    async with receiving(sink) as receiver:
        answer = await http(receiver, post(spans(1)))
    reference = answer.as_status.message.split()[2].rstrip(",")
    assert (answer.status, "retry-after" in answer.headers, b"secret" in answer.body) == (503, True, False)
    assert reference in caplog.text


async def test_an_empty_request_succeeds_without_the_pipeline():
    """No items, no call."""
    sink = MemorySink()
    async with receiving(sink) as receiver:
        assert (await http(receiver, post(b""))).status == 200
        assert (await http(receiver, post(spans(0)))).status == 200
    assert not sink.calls


JSON_SPAN = json.dumps({
    "resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "AB" * 16, "spanId": "cd" * 8, "name": "s"}]}]}]
}).encode()  # fmt: skip


@pytest.mark.parametrize("padding", [0, 200_000])
async def test_json_is_taken(padding):
    """JSON arrives as protobuf, small or large, and is answered in JSON."""
    sink = MemorySink()
    async with receiving(sink) as receiver:
        answer = await http(receiver, post(JSON_SPAN + b" " * padding, kind="application/json; charset=utf-8"))
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"{}", "application/json")
    assert sink.batches[0].proto().resource_spans[0].scope_spans[0].spans[0].trace_id == b"\xab" * 16


async def test_bad_json_gets_400_in_json():
    """Text that is no JSON, or nested beyond reason, is bad data."""
    async with receiving(MemorySink()) as receiver:
        for text in (b"{", b"[" * 100_000):
            answer = await http(receiver, post(text, kind="application/json"))
            assert (answer.status, json.loads(answer.body)["code"]) == (400, 3)


async def test_a_sender_is_proved_before_its_body_is_read():
    """Wrong credentials get 401 though the body never comes; a doubled header never gets that far."""
    text = HTTP % "auth: {authenticator: door}"
    async with receiving(MemorySink(), text, extension=lambda name: Doorkeeper()) as receiver:
        answer = await http(receiver, post(content_length="5000"))
        assert (answer.status, answer.as_status.code, b"secret" in answer.body) == (401, 16, False)
        doubled = post().replace(b"Host", b"Authorization: please\r\nAuthorization: please\r\nHost")
        assert (await http(receiver, doubled)).status == 400


async def test_a_proved_sender_is_known_to_the_pipeline():
    """The subject and what the authenticator knows travel with the data; bodies and refusals work as without."""
    sink, text = MemorySink(), HTTP % "auth: {authenticator: door, request_params: [key]}, max_request_body_size: 9999"
    async with receiving(sink, text, extension=lambda name: Doorkeeper()) as receiver:
        async with wired(receiver) as wire:
            await wire.send(post(spans(50), authorization="please")[:500])
            await wire.send(post(spans(50), authorization="please")[500:] + post(path="/x", authorization="please"))
            assert [(await wire.answer()).status for _ in range(2)] == [200, 404]
        assert (await http(receiver, post(spans(1, 300_000), path="/v1/traces?key=please"))).status == 413
        assert (await http(receiver, post(spans(1), path="/v1/traces?key=please"))).status == 200
        assert (await http(receiver, post(content_length="10000", authorization="please"))).status == 413
        chunked = post(transfer_encoding="chunked", content_length="", authorization="please") + b"ffff\r\n"
        assert (await http(receiver, chunked)).status == 413
    assert (sink.batches[0].origin.subject, sink.batches[0].origin.auth) == ("alice", {"role": "sender"})


async def test_a_large_body_waits_until_its_sender_is_proved():
    """What comes before the proof fills the buffer and then waits at the client; all of it arrives."""
    sink, text = MemorySink(), HTTP % "auth: {authenticator: door}"
    async with receiving(sink, text, extension=lambda name: Doorkeeper()) as receiver:
        assert (await http(receiver, post(spans(2, 500_000), authorization="please"))).status == 200
    assert sink.batches[0].payload == spans(2, 500_000)


async def test_a_client_that_leaves_while_it_is_proved_does_no_harm():
    """A connection that ends before its body is forgotten."""
    text = HTTP % "auth: {authenticator: door}"
    async with receiving(MemorySink(), text, extension=lambda name: Doorkeeper()) as receiver:
        async with wired(receiver) as wire:
            await wire.send(post(content_length="10", authorization="please"))
        assert (await http(receiver, post(spans(1), authorization="please"))).status == 200


async def test_headers_travel_when_asked_for():
    """`include_metadata` hands on all headers, by lower-case name, repeated ones together."""
    sink = MemorySink()
    async with receiving(sink, HTTP % "include_metadata: true") as receiver:
        await http(receiver, post(spans(1), X_Tenant="a").replace(b"Host", b"x-tenant: b\r\nHost"))
    assert sink.batches[0].origin.headers["x-tenant"] == ("b", "a")


async def test_response_headers_are_sent_with_every_answer():
    """The headers of the settings stand in refusals as well."""
    async with receiving(MemorySink(), HTTP % "response_headers: {X-Served-By: here}") as receiver:
        for request in (post(spans(1)), post(path="/x"), b"rubbish\r\n\r\n"):
            assert (await http(receiver, request)).headers["x-served-by"] == "here"


CORS = HTTP % (
    "cors: {allowed_origins: ['https://*.example.com'], allowed_headers: [X-Key], exposed_headers: [Date], max_age: 60}"
)


def preflight(origin="https://a.example.com", headers="x-key, content-type", method="POST"):
    """Write the question of a browser."""
    asked = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in asked.items())
    return f"OPTIONS /v1/traces HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode()


@pytest.mark.parametrize("auth", ["", ", auth: {authenticator: door}"])
async def test_a_browser_is_told_what_it_may_send(auth):
    """A preflight request from an allowed origin is answered without credentials."""
    text = CORS.replace("}}}", f"}}{auth}}}}}")
    async with receiving(MemorySink(), text, extension=lambda name: Doorkeeper()) as receiver:
        answer = await http(receiver, preflight())
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (204, "https://a.example.com")
    assert answer.headers["access-control-allow-headers"] == "x-key, content-type"
    assert answer.headers["access-control-max-age"] == "60"


@pytest.mark.parametrize(
    "question", [preflight("https://example.org"), preflight(headers="x-other"), preflight(method="PUT")]
)
async def test_a_browser_is_not_told_what_it_may_not(question):
    """Other origins, headers and methods get no permission."""
    async with receiving(MemorySink(), CORS) as receiver:
        answer = await http(receiver, question)
    assert (answer.status, "access-control-allow-origin" in answer.headers) == (204, False)


async def test_a_page_may_read_its_answer():
    """An actual request from an allowed origin, refused or not, carries the permission."""
    async with receiving(MemorySink(), CORS) as receiver:
        for request in (
            post(spans(1), origin="https://a.example.com"),
            post(path="/x", origin="https://a.example.com"),
        ):
            answer = await http(receiver, request)
            assert answer.headers["access-control-allow-credentials"] == "true"
            assert answer.headers["access-control-expose-headers"] == "Date"
        assert "access-control-allow-origin" not in (await http(receiver, post(origin="null"))).headers


async def test_a_bare_star_never_reflects_the_origin():
    """With `*` the answer says `*`, which browsers do not combine with credentials."""
    async with receiving(MemorySink(), HTTP % "cors: {allowed_origins: ['*']}") as receiver:
        answer = await http(receiver, post(spans(1), origin="https://evil.example"))
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_our_own_counts_tell_what_became_of_requests():
    """Accepted, refused and failed items and requests are counted by receiver and transport."""
    sink, metrics = MemorySink(), Metrics()
    async with receiving(sink, telemetry=Scope(metrics)) as receiver:
        for error, body in ((None, spans(3)), (RefusedError(""), spans(4)), (KeyError(), spans(5)), (None, b"\xff")):
            sink.error = error
            await http(receiver, post(body))
        read = {
            name: metrics.read(f"otelcol_receiver_{name}_spans", receiver="otlp", transport="http")
            for name in ("accepted", "refused", "failed")
        }
        outcomes = {
            name: metrics.read("otelcol_receiver_requests", outcome=name) for name in ("success", "refused", "failure")
        }
    assert read == {"accepted": 3, "refused": 4, "failed": 5}
    assert outcomes == {"success": 1, "refused": 1, "failure": 2}


async def test_requests_in_flight_are_bounded():
    """What goes beyond the bound is told to come again, and what is being served is served."""
    sink = MemorySink()
    sink.gate = asyncio.Event()
    async with receiving(sink, BOTH + "\nlimits: {max_requests_in_flight: 1}") as receiver, wired(receiver) as first:
        await first.send(post(spans(1)))
        while not sink.calls:
            await settle()
        answer = await http(receiver, post(spans(1)))
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        sink.gate.set()
        assert (await first.answer()).status == 200


@pytest.mark.parametrize("bound", ["max_request_items", "max_request_messages", "max_request_entries"])
async def test_what_a_request_holds_is_bounded(bound: str):
    """A request of more items, nested messages or resources than allowed is too large."""
    async with receiving(MemorySink(), BOTH + f"\nlimits: {{{bound}: 10}}") as receiver:
        assert (await http(receiver, post(spans(1)))).status == 200
        assert (await http(receiver, post(spans(1) * 11))).status == 413


def test_a_bound_below_one_request_is_refused():
    """The room in flight must hold the largest request."""
    with pytest.raises(ValueError, match="max_in_flight_mib"):
        settings(BOTH + "\nlimits: {max_in_flight_mib: 10}")


def test_two_signals_on_one_path_are_an_error() -> None:
    """A path leads to one signal, or data would go to the wrong one."""
    with pytest.raises(ValueError, match="a url path of its own"):
        settings("protocols: {http: {traces_url_path: /x, metrics_url_path: x}}")


def test_a_large_request_size_makes_its_own_room() -> None:
    """Allowing larger requests needs no second key; a room that is given too small is an error."""
    assert settings("protocols: {http: {max_request_body_size: 104857600}}").room == 104857600
    with pytest.raises(ValueError, match="max_in_flight_mib"):
        settings("{protocols: {http: {max_request_body_size: 104857600}}, limits: {max_in_flight_mib: 64}}")
