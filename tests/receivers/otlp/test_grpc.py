"""OTLP over gRPC: each rule with a real client, and the traps of grpcio."""

import asyncio
import contextlib
import time
from contextlib import AsyncExitStack

import grpc
import pytest
import trustme

from sluiceway.component import Identity
from sluiceway.errors import (
    ConfigError,
    DecodeError,
    PermanentError,
    RefusedError,
    RetryableError,
    TooLargeError,
    UnauthenticatedError,
)
from sluiceway.otlp import Signal
from sluiceway.telemetry import Metrics, Scope
from sluiceway.testing import ManualClock, MemorySink
from tests.receivers.otlp.senders import BOTH, METRICS, TRACES, channel, receiving, retry_delay, rpc, spans, until

GRPC = "protocols: {grpc: {endpoint: 'localhost:0', %s}}"


async def failure(receiver, body=b"", method=TRACES, **call) -> grpc.aio.AioRpcError:
    """Call once and return the error."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await rpc(receiver, body or spans(1), method, **call)
    return caught.value


async def test_a_request_reaches_the_pipeline():
    """The bytes arrive as they were sent, with their origin, and success is an empty response."""
    sink = MemorySink()
    async with receiving(sink) as receiver:
        assert await rpc(receiver, spans(3)) == b""
    batch = sink.batches[0]
    assert (batch.signal, batch.payload, batch.items) == (Signal.TRACES, spans(3), 3)
    assert (batch.origin.transport, batch.origin.subject, dict(batch.origin.headers)) == ("grpc", None, {})
    assert batch.origin.peer.startswith(("127.0.0.1:", "[::1]:"))


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_messages_may_be_compressed(compression):
    """Gzip and deflate are decoded by gRPC; a message of a MiB and more is checked in a thread."""
    sink, body = MemorySink(), spans(2, 1_000_000)
    async with receiving(sink) as receiver:
        await rpc(receiver, body, compression=compression)
    assert sink.batches[0].payload == body


async def test_only_signals_with_a_pipeline_are_served():
    """A signal that no pipeline takes is UNIMPLEMENTED."""
    async with receiving(MemorySink(), signals=frozenset({Signal.TRACES})) as receiver:
        assert (await failure(receiver, method=METRICS)).code() is grpc.StatusCode.UNIMPLEMENTED
        assert await rpc(receiver, spans(1)) == b""


@pytest.mark.parametrize("body", [b"\xff\xff\xff", spans(3)[:-1]])
async def test_bad_bytes_are_an_invalid_argument(body):
    """What is no OTLP is the sender's fault and must not come again."""
    async with receiving(MemorySink()) as receiver:
        error = await failure(receiver, body)
    assert (error.code(), retry_delay(error)) == (grpc.StatusCode.INVALID_ARGUMENT, None)


@pytest.mark.parametrize(
    ("raised", "code", "delay"),
    [
        (RefusedError("secret", retry_after=2.5), grpc.StatusCode.UNAVAILABLE, 2.5),
        (RetryableError("secret", code="ABORTED"), grpc.StatusCode.UNAVAILABLE, 1.0),
        (PermanentError("secret"), grpc.StatusCode.INTERNAL, None),
        (PermanentError("secret", code="NOT_FOUND"), grpc.StatusCode.NOT_FOUND, None),
        (TooLargeError("secret"), grpc.StatusCode.RESOURCE_EXHAUSTED, None),
        (DecodeError("secret"), grpc.StatusCode.INVALID_ARGUMENT, None),
        (ZeroDivisionError("secret"), grpc.StatusCode.UNAVAILABLE, 5.0),
        (asyncio.CancelledError("secret"), grpc.StatusCode.UNAVAILABLE, 1.0),
    ],
)
async def test_every_error_has_a_fixed_answer(raised, code, delay):
    """No exception leaks its text or hangs the client: not a bug's, and not a cancellation of something inside."""
    sink = MemorySink()
    sink.error = raised
    async with receiving(sink) as receiver:
        error = await failure(receiver)
    assert (error.code(), retry_delay(error)) == (code, delay)
    assert "secret" not in str(error)


async def test_a_bug_is_logged_under_the_id_that_was_told(caplog):
    """The sender's text finds the trace in our log."""
    sink = MemorySink()
    sink.error = ZeroDivisionError("secret")
    async with receiving(sink) as receiver:
        error = await failure(receiver)
    assert error.details().split()[2].rstrip(",") in caplog.text


async def test_too_large_a_message_is_resource_exhausted():
    """`max_recv_msg_size_mib` bounds the message, also one that is small before decompression."""
    async with receiving(MemorySink(), GRPC % "max_recv_msg_size_mib: 1") as receiver:
        for compression in (None, grpc.Compression.Gzip):
            error = await failure(receiver, spans(1, 2_000_000), compression=compression)
            assert (error.code(), retry_delay(error)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, None)
        assert await rpc(receiver, spans(1)) == b""


async def test_large_metadata_is_refused():
    """A header of 20 KB does not get in."""
    async with receiving(MemorySink()) as receiver:
        error = await failure(receiver, metadata=(("x-large", "y" * 20_000),))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_requests_in_flight_are_bounded_by_a_retryable_answer():
    """Beyond the bound senders are told to come again, never by a bare RESOURCE_EXHAUSTED."""
    sink = MemorySink()
    sink.gate = asyncio.Event()
    async with receiving(sink, BOTH + "\nlimits: {max_requests_in_flight: 2}") as receiver, channel(receiver) as opened:
        calls = [opened.unary_unary(TRACES)(spans(1)) for _ in range(2)]
        await until(lambda: sink.calls == 2)
        error = await failure(receiver)
        assert (error.code(), retry_delay(error)) == (grpc.StatusCode.UNAVAILABLE, 1.0)
        sink.gate.set()
        assert [await call for call in calls] == [b"", b""]


async def test_connections_are_bounded():
    """One more than the limit is closed again, and those that are open are served on."""
    async with (
        receiving(
            MemorySink(), "protocols: {grpc: {endpoint: '127.0.0.1:0'}}\nlimits: {max_connections: 1}"
        ) as receiver,
        channel(receiver) as first,
        channel(receiver) as second,
    ):
        await first.unary_unary(TRACES)(spans(1), timeout=10)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await second.unary_unary(TRACES)(spans(1), timeout=10)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        await first.unary_unary(TRACES)(spans(1), timeout=10)


async def test_a_client_that_gives_up_loses_nothing_that_was_taken():
    """A cancelled call ends at once, counts as refused when it was not taken, and leaves the server sound."""
    sink, metrics = MemorySink(), Metrics()
    sink.gate = asyncio.Event()
    async with receiving(sink, telemetry=Scope(metrics)) as receiver, channel(receiver) as opened:
        for number, timeout in enumerate((None, 0.2), 1):
            call = opened.unary_unary(TRACES)(spans(2), timeout=timeout)
            await until(lambda number=number: sink.calls == number)
            if timeout is None:
                call.cancel()
            with contextlib.suppress(grpc.aio.AioRpcError, asyncio.CancelledError):
                await call
        await until(lambda: metrics.read("otelcol_receiver_refused_spans", transport="grpc") == 4)
        sink.gate.set()
        assert await opened.unary_unary(TRACES)(spans(3)) == b""
        assert (sink.items, metrics.read("otelcol_receiver_accepted_spans")) == (3, 3)


async def test_an_empty_request_succeeds_without_the_pipeline():
    """No items, no call."""
    sink = MemorySink()
    async with receiving(sink) as receiver, channel(receiver) as opened:
        assert await opened.unary_unary(TRACES)(b"") == b""
    assert not sink.calls


class Doorkeeper:
    """An authenticator that lets in who says `please`, once."""

    async def authenticate(self, headers):
        """Look at one header."""
        if headers.get("authorization") != ("please",):
            raise UnauthenticatedError("secret")
        return Identity("alice", {"role": "sender"})


async def test_a_sender_is_proved():
    """Missing, wrong and repeated credentials are UNAUTHENTICATED; the right ones give the subject."""
    sink, text = MemorySink(), GRPC % "auth: {authenticator: door}"
    async with receiving(sink, text, extension=lambda name: Doorkeeper()) as receiver:
        for values in ((), ("no",), ("please", "please"), ("no", "please")):
            error = await failure(receiver, metadata=[("authorization", value) for value in values])
            assert (error.code(), "secret" in error.details()) == (grpc.StatusCode.UNAUTHENTICATED, False)
        await rpc(receiver, spans(1), metadata=(("authorization", "please"),))
    origin = sink.batches[0].origin
    assert (origin.subject, origin.auth, origin.headers) == ("alice", {"role": "sender"}, {})


async def test_metadata_travels_when_asked_for():
    """`include_metadata` hands on all text headers, repeated ones together."""
    sink = MemorySink()
    async with receiving(sink, GRPC % "include_metadata: true") as receiver:
        await rpc(receiver, spans(1), metadata=(("x-tenant", "a"), ("x-tenant", "b"), ("key-bin", b"\xff")))
    headers = sink.batches[0].origin.headers
    assert (headers["x-tenant"], "key-bin" in headers) == (("a", "b"), False)


@pytest.mark.parametrize(
    ("extension", "text"),
    [
        (LookupError("door"), 'failed to resolve authenticator "door"'),
        (object(), '"door": requested authenticator is not a server authenticator'),
    ],
)
async def test_an_authenticator_must_be_one(extension, text):
    """A missing extension, or one that cannot prove senders, is an error before anything starts."""

    def find(_name):
        if isinstance(extension, Exception):
            raise extension
        return extension

    opened = receiving(MemorySink(), GRPC % "auth: {authenticator: door}", extension=find)
    with pytest.raises(ConfigError) as caught:
        await opened.__aenter__()
    assert text in str(caught.value)


async def test_a_busy_port_is_a_clear_error():
    """A second server on the same port is refused, where gRPC alone would share the traffic."""
    async with receiving(MemorySink()) as receiver:
        text = f"protocols: {{grpc: {{endpoint: 'localhost:{receiver.grpc_address[1]}'}}}}"
        with pytest.raises(ConfigError, match=r"receivers::otlp: cannot listen on localhost:\d+: .*in use"):
            await receiving(MemorySink(), text).__aenter__()


async def test_a_unix_socket_serves(tmp_path):
    """With the transport `unix` the endpoint is a path."""
    sink, path = MemorySink(), tmp_path / "otlp.sock"
    async with receiving(sink, f"protocols: {{grpc: {{endpoint: {path}, transport: unix}}}}") as receiver:
        assert await rpc(receiver, spans(1)) == b""
        with pytest.raises(ConfigError, match="cannot listen on"):
            await receiving(sink, f"protocols: {{grpc: {{endpoint: {path}, transport: unix}}}}").__aenter__()
    assert sink.batches[0].origin.peer == ""


async def test_tls_with_client_certificates(tmp_path):
    """TLS serves those who have a certificate of the right authority."""
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost")
    for name, blob in (("cert", leaf.cert_chain_pems[0]), ("key", leaf.private_key_pem), ("ca", authority.cert_pem)):
        blob.write_to_path(tmp_path / f"{name}.pem")
    tls = f"cert_file: {tmp_path}/cert.pem, key_file: {tmp_path}/key.pem, client_ca_file: {tmp_path}/ca.pem"
    own = [(tmp_path / f"{name}.pem").read_bytes() for name in ("ca", "key", "cert")]
    async with receiving(MemorySink(), GRPC % f"tls: {{{tls}}}") as receiver:
        target = f"localhost:{receiver.grpc_address[1]}"
        async with grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(*own)) as opened:
            assert await opened.unary_unary(TRACES)(spans(1), timeout=5) == b""
        async with grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(own[0])) as opened:
            with pytest.raises(grpc.aio.AioRpcError):
                await opened.unary_unary(TRACES)(spans(1), timeout=5)


async def test_stopping_lets_running_calls_end():
    """A call that is being served is answered; new ones are refused so that they may come again."""
    sink = MemorySink()
    sink.gate = asyncio.Event()
    opened = receiving(sink, GRPC % "")
    receiver = await opened.__aenter__()
    async with channel(receiver) as client:
        call = client.unary_unary(TRACES)(spans(1))
        await until(lambda: sink.calls)
        stopping = asyncio.create_task(opened.__aexit__(None, None, None))
        error = await failure(receiver, timeout=2)
        assert error.code().name in ("UNAVAILABLE", "CANCELLED", "DEADLINE_EXCEEDED")  # all of them say "again"
        sink.gate.set()
        assert await call == b""
        await stopping


HALF_SENT = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"  # preface and empty SETTINGS
    b"\x00\x00%b\x01\x04\x00\x00\x00\x01%b"  # HEADERS, which do not end the stream
    b"\x00\x00\x06\x00\x00\x00\x00\x00\x01\x00\x00\x00\x01\x00x"  # DATA: 256 bytes announced, one sent
)


def literal(name: bytes, value: bytes) -> bytes:
    """Write a header as HPACK's literal without indexing."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


async def half_sent(receiver, stack: AsyncExitStack) -> asyncio.StreamReader:
    """Open a connection on which a message never comes whole."""
    headers = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", TRACES.encode()), (b":authority", b"x")]
    block = b"".join(
        literal(*pair) for pair in [*headers, (b"content-type", b"application/grpc"), (b"te", b"trailers")]
    )
    reader, writer = await asyncio.open_connection(*receiver.grpc_address)
    stack.callback(asyncio.StreamWriter.close, writer)
    writer.write(HALF_SENT % (bytes([len(block)]), block))
    return reader


async def test_a_half_sent_message_has_a_deadline():
    """`max_connection_age` and its grace end a stream whose message never comes whole."""
    keepalive = "keepalive: {server_parameters: {max_connection_age: 500ms, max_connection_age_grace: 500ms}}"
    async with receiving(MemorySink(), GRPC % keepalive) as receiver, AsyncExitStack() as stack:
        reader = await half_sent(receiver, stack)
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(10):
                await reader.read(-1)
        assert 0.4 < time.monotonic() - began < 5


@pytest.mark.parametrize(("room", "seconds"), [(4, 2.0), (64, 61.0)])
async def test_half_sent_messages_are_bounded_in_number_and_time(room, seconds):
    """When there is no room for so many the oldest have to come again at once, otherwise each has a minute."""
    clock = ManualClock()
    text = f"{GRPC % ''}\nlimits: {{max_in_flight_mib: {room}}}"
    async with receiving(MemorySink(), text, clock=clock) as receiver, AsyncExitStack() as stack:
        readers = []
        for number in range(2):
            readers.append(await half_sent(receiver, stack))
            await until(lambda number=number: len(receiver._grpc._arrivals._under_way) == number + 1)
        await clock.advance(seconds - 1.5)
        assert len(receiver._grpc._arrivals._under_way) == 2
        await clock.advance(1.5)
        assert b"send it again later" in await readers[0].readuntil(b"later")
        assert len(receiver._grpc._arrivals._under_way) == (room == 4)
        await rpc(receiver, spans(1))


async def test_a_call_without_a_message_is_an_invalid_argument():
    """There is nothing to take."""
    async with receiving(MemorySink()) as receiver, channel(receiver) as opened:
        call = opened.stream_unary(TRACES)(iter(()), timeout=10)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_young_connection_is_not_disturbed_by_its_age():
    """A client whose connection has grown too old reconnects without a failed call."""
    keepalive = "keepalive: {server_parameters: {max_connection_age: 100ms, max_connection_age_grace: 5s}}"
    sink = MemorySink()
    async with receiving(sink, GRPC % keepalive) as receiver, channel(receiver) as opened:
        call, end = opened.unary_unary(TRACES), time.monotonic() + 0.6
        while time.monotonic() < end:
            assert await call(spans(1), wait_for_ready=True) == b""
