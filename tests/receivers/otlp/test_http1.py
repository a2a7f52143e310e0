"""HTTP/1.1 itself: strict parsing, order, deadlines, bounds and a graceful end, over raw sockets."""

import asyncio
import socket
import struct
from contextlib import AsyncExitStack

import pytest
import trustme

from sluiceway.caller import CALLER
from sluiceway.errors import ConfigError
from sluiceway.testing import ManualClock, MemorySink, settle
from tests.receivers.otlp.senders import BOTH, Wire, http, post, receiving, spans, until, wired

HTTP = "protocols: {http: {endpoint: 'localhost:0', %s}}"
CHUNKED = post(transfer_encoding="chunked", content_length="")


@pytest.mark.parametrize(
    "raw",
    [
        CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\n"),
        post(b"abc").replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\n"),
        post(b"abc").replace(b"\r\n\r\n", b"\r\nContent-Length: 4\r\n\r\n"),
        post(content_length="+3"),
        post(content_length="3_0"),
        post(content_length="0x3"),
        post(content_length="3, 3"),
        post(transfer_encoding="gzip, chunked", content_length=""),
        post(transfer_encoding="identity", content_length=""),
        CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0"),
        post().replace(b"Host: localhost", b"Host: localhost\r\n folded: x"),
        post().replace(b"Host: localhost", b"Host: localhost\nX: y"),
        post().replace(b"Host: localhost", b"Host: localhost\rX: y"),
        post().replace(b"Host: localhost", b"Host: local\0host"),
        post().replace(b"Host:", b"Host :"),
        post().replace(b"Host: localhost", b"Host: a\r\nHost: b"),
        post().replace(b"Host: localhost\r\n", b""),
        b"POST /v1/traces HTTP/1.1\nHost: localhost\n\n",
        b"POST http://[ HTTP/1.1\r\n\r\n",
        b"POST /v1/traces\r\n\r\n",
        b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
async def test_what_could_be_read_in_two_ways_is_refused(raw):
    """Ambiguous or malformed heads are refused, nothing behind them is looked at, and the connection ends."""
    sink = MemorySink()
    async with receiving(sink) as receiver, wired(receiver) as wire:
        answer = await wire.ask(raw + post(spans(1)))
        assert (answer.status in (400, 505), answer.headers["connection"]) == (True, "close")
        assert await wire.ended() == b""
    assert not sink.calls


@pytest.mark.parametrize(
    "chunks",
    [
        b"zz\r\n",
        b"-1\r\n",
        b"3\nabc\r\n0\r\n\r\n",
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"3\r\nabc\n0\r\n\r\n",
        b"3 ; a=\0\r\nabc\r\n0\r\n\r\n",
        b"1" * 20 + b"\r\n",
        b"3;" + b"x" * 5000,
        b"0\r\n" + b"X: y\r\n" * 3000,
    ],
)
async def test_malformed_chunks_are_refused(chunks):
    """Chunk sizes, line ends, extensions and trailers are read strictly and within bounds."""
    async with receiving(MemorySink()) as receiver, wired(receiver) as wire:
        assert (await wire.ask(CHUNKED + chunks)).status == 400
        assert await wire.ended() == b""


async def test_chunks_may_come_in_any_pieces():
    """A chunked body sent byte by byte arrives whole, with extensions and trailers left out."""
    sink, body = MemorySink(), spans(2)
    half = len(body) // 2
    parts = b"%x;e=1\r\n%b\r\n%X\r\n%b\r\n" % (half, body[:half], len(body) - half, body[half:])
    async with receiving(sink) as receiver, wired(receiver) as wire:
        for byte in CHUNKED + parts + b"0\r\nTrailer: x\r\n\r\n":
            await wire.send(bytes([byte]))
        assert (await wire.answer()).status == 200
        assert (await wire.ask(post(body))).status == 200
    assert [batch.payload for batch in sink.batches] == [body, body]


async def test_large_chunked_bodies_arrive_whole():
    """Chunks larger than the buffer are collected."""
    sink, body = MemorySink(), spans(2, 400_000)
    async with receiving(sink) as receiver:
        assert (await http(receiver, CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))).status == 200
    assert sink.batches[0].payload == body


async def test_tiny_chunks_without_end_are_refused():
    """A body cannot cost one step of work for every byte."""
    async with receiving(MemorySink()) as receiver:
        assert (await http(receiver, CHUNKED + b"1\r\na\r\n" * 2000)).status == 400


async def test_pipelined_requests_are_answered_in_order():
    """Requests of all sizes sent at once are served one after the other, refused ones in their place."""
    sink, bodies = MemorySink(), [spans(1, size) for size in (10, 100_000, 0, 500_000, 70_000)]
    async with receiving(sink) as receiver, wired(receiver) as wire:
        sender = asyncio.create_task(wire.send(b"".join(post(body) + post(path="/x") for body in bodies)))
        statuses = [(await wire.answer()).status for _ in range(10)]
        await sender
    assert statuses == [200, 404] * 5
    assert [batch.payload for batch in sink.batches] == bodies


async def test_pipelined_requests_take_turns_with_everybody_else():
    """However many refused requests come in one piece, each turn of the event loop answers one of them."""
    turns, many = 0, 1000

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with receiving(MemorySink()) as receiver, wired(receiver) as wire:
        counting = asyncio.create_task(count())
        await wire.send(post(path="/x") * many)
        assert {(await wire.answer()).status for _ in range(many)} == {404}
        counting.cancel()
    assert turns >= many


async def test_a_connection_that_floods_is_made_to_wait():
    """While one request is served, what follows fills the buffer and then waits at the client."""
    sink = MemorySink()
    sink.gate = asyncio.Event()
    async with receiving(sink) as receiver, wired(receiver) as wire:
        wire.writer.transport.set_write_buffer_limits(0)
        sender = asyncio.create_task(wire.send(post(spans(1)) + post(spans(1, 1_000_000)) * 20))
        await until(lambda: sink.calls)
        sink.gate.set()
        assert [(await wire.answer()).status for _ in range(21)] == [200] * 21
        await sender


async def test_expect_is_answered_before_the_body():
    """`100-continue` lets the body come, unless the head alone is refused; other expectations are not met."""
    body = spans(1)
    async with receiving(MemorySink(), HTTP % "max_request_body_size: 1000") as receiver:
        async with wired(receiver) as wire:
            await wire.send(post(body, expect="100-continue")[: -len(body)])
            assert (await wire.reader.readline()) == b"HTTP/1.1 100 Continue\r\n"
            await wire.reader.readline()
            assert (await wire.ask(body)).status == 200
        async with wired(receiver) as wire:
            assert (await wire.ask(post(content_length="5000", expect="100-continue"))).status == 413
            assert not wire.interim
        assert (await http(receiver, post(expect="200-ok"))).status == 417


async def test_a_head_that_will_never_end_is_refused_at_once():
    """Bare line ends are not waited upon."""
    async with receiving(MemorySink()) as receiver:
        assert (await http(receiver, b"POST /v1/traces HTTP/1.1\nHost: localhost\n\n")).status == 400


async def test_keep_alive_follows_the_client():
    """HTTP/1.0 and `Connection: close` end the connection after the answer, and so does a setting."""
    async with receiving(MemorySink()) as receiver:
        for request in (post(connection="close"), post().replace(b"HTTP/1.1", b"HTTP/1.0")):
            async with wired(receiver) as wire:
                assert (await wire.ask(request)).headers["connection"] == "close"
                assert await wire.ended() == b""
    async with receiving(MemorySink(), HTTP % "keep_alives_enabled: false") as receiver, wired(receiver) as wire:
        assert (await wire.ask(post())).headers["connection"] == "close"


async def test_an_upgrade_is_not_taken_up():
    """A client that offers another protocol is answered in this one."""
    async with receiving(MemorySink()) as receiver:
        assert (await http(receiver, post(spans(1), upgrade="h2c", connection="Upgrade"))).status == 200


async def test_a_client_may_close_its_side_and_wait():
    """A half-closed connection gets its answer."""
    async with receiving(MemorySink()) as receiver, wired(receiver) as wire:
        wire.writer.write(post(spans(1)))
        wire.writer.write_eof()
        assert (await wire.answer()).status == 200
        assert await wire.ended() == b""


async def test_a_client_that_leaves_does_not_stop_its_request():
    """What the pipeline has begun to take is taken to its end."""
    sink = MemorySink()
    sink.gate = asyncio.Event()
    async with receiving(sink) as receiver:
        async with wired(receiver) as wire:
            await wire.send(post(spans(2)))
            await until(lambda: sink.calls)
            connection = await only(receiver)
            raw = wire.writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closing resets
        await until(lambda: connection.state.name == "CLOSED")
        sink.gate.set()
        await until(lambda: sink.items == 2)


@pytest.mark.parametrize("resets", [False, True])
async def test_who_hangs_up_while_it_is_served_is_known_to_have_gone(resets):
    """Whether the connection ends or is cut; what was answered before was not abandoned."""
    callers = []

    class Sink(MemorySink):
        async def consume(self, batch):
            callers.append(CALLER.get())
            await super().consume(batch)

    sink = Sink()
    async with receiving(sink) as receiver:
        async with wired(receiver) as wire:
            assert (await wire.ask(post(spans(1)))).status == 200
            sink.gate = asyncio.Event()
            await wire.send(post(spans(1)))
            await until(lambda: len(callers) == 2)
            assert not callers[1].has_gone
            if resets:
                raw = wire.writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await until(lambda: callers[1].has_gone)
        assert not callers[0].has_gone
        sink.gate.set()
        await until(lambda: sink.items == 2)


async def test_a_head_of_many_fields_is_refused():
    """Fields cost work however short they are."""
    async with receiving(MemorySink()) as receiver:
        fields = "".join(f"X{number}: y\r\n" for number in range(200))
        assert (await http(receiver, post().replace(b"Host:", fields.encode() + b"Host:"))).status == 431


async def test_a_long_head_is_refused():
    """A head beyond 16 KiB gets 431, whether or not it ends."""
    async with receiving(MemorySink()) as receiver:
        for request in (post(x="y" * 20_000), post(x="y" * 70_000)[:40_000]):
            assert (await http(receiver, request)).status == 431


async def advance(clock, seconds):
    """Move the clock in the listener's steps, with real I/O in between."""
    for _ in range(seconds):
        await clock.advance(1)
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("sent", "taken", "settings", "seconds"),
    [
        (b"POST /v1/tr", ("HEAD", 11), "", 10),
        (b"POST /v1/tr", ("HEAD", 11), "read_header_timeout: 3s", 3),
        (post(content_length="100"), ("BODY", 0), "", 20),
        (post(content_length="100"), ("BODY", 0), "read_timeout: 5s", 5),
        (CHUNKED + b"5\r\nab", ("BODY", 2), "", 20),
        (post(content_length="100000") + b"x" * 40960, ("BODY", 40960), "", 30),
    ],
)
async def test_half_sent_requests_end(sent, taken, settings, seconds):
    """A head or body that stops coming gets 408 at its deadline, and not before."""
    clock = ManualClock()
    async with receiving(MemorySink(), HTTP % settings, clock=clock) as receiver, wired(receiver) as wire:
        await wire.send(sent)
        connection = await only(receiver)
        await until(lambda: progress(connection) == taken)
        await advance(clock, seconds - 1)
        assert progress(connection) == taken
        await advance(clock, 3)
        assert (await wire.answer()).status == 408
        assert await wire.ended() == b""


def progress(connection):
    """What the connection reads, and how many bytes of it are here."""
    chunks = connection._chunks
    return connection.state.name, len(connection._buffer) + (len(chunks.data) if chunks else 0)


async def only(receiver):
    """Wait for the only connection."""
    await until(lambda: receiver._http.listener.connections)
    return next(iter(receiver._http.listener.connections))


async def test_an_idle_connection_ends():
    """A connection without a request is closed, without a word, and gives its buffer back before that."""
    clock = ManualClock()
    async with receiving(MemorySink(), HTTP % "idle_timeout: 30s", clock=clock) as receiver, wired(receiver) as wire:
        assert (await wire.ask(post(spans(1, 200_000)))).status == 200
        connection = await only(receiver)
        assert len(connection._buffer.data) > 65536
        await advance(clock, 10)
        assert len(connection._buffer.data) == 65536
        await advance(clock, 25)
        assert await wire.ended() == b""


async def test_a_client_that_does_not_read_is_cut():
    """Answers that are not taken end the connection after `write_timeout`, and cost no memory meanwhile."""
    clock, long = ManualClock(), f"write_timeout: 10s, response_headers: {{pad: {'x' * 4000}}}"
    async with receiving(MemorySink(), HTTP % long, clock=clock) as receiver:
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.setblocking(False)
        loop = asyncio.get_running_loop()
        host, port = receiver.http_address
        await loop.sock_connect(raw, (host, port))
        flood = asyncio.create_task(loop.sock_sendall(raw, post(path="/x") * 200_000))
        connection = await only(receiver)
        await until(lambda: connection._writable is not None and connection._paused)
        assert connection._transport.get_write_buffer_size() < 200_000
        await advance(clock, 12)
        await until(lambda: not receiver._http.listener.connections)
        with pytest.raises(OSError):
            await flood
        raw.close()


async def test_a_lingering_client_is_cut():
    """After a refusal what is still sent is thrown away, for two seconds at most."""
    clock = ManualClock()
    async with receiving(MemorySink(), clock=clock) as receiver, wired(receiver) as wire:
        assert (await wire.ask(b"rubbish\r\n\r\n")).status == 400
        connection = await only(receiver)
        await wire.send(b"more")
        await advance(clock, 4)
        await until(lambda: connection.state.name == "CLOSED")


async def test_a_liar_costs_no_memory():
    """The buffer grows with what has come, not with what was announced."""
    async with receiving(MemorySink()) as receiver, wired(receiver) as wire:
        await wire.send(post(content_length="20000000") + b"x" * 1000)
        connection = await only(receiver)
        await until(lambda: connection.state.name == "BODY")
        assert len(connection._buffer.data) == 65536


async def test_bytes_in_flight_are_bounded():
    """When bodies being received fill the room, a further one is told to come again, and the room comes back."""
    text = HTTP % "max_request_body_size: 1048576" + "\nlimits: {max_in_flight_mib: 1}"
    body = spans(1, 1_000_000)
    async with receiving(MemorySink(), text) as receiver:
        room = receiver._http.room
        async with wired(receiver) as first, wired(receiver) as second:
            await first.send(post(body)[:-1])
            await until(lambda: room.size < 400_000)
            sender = asyncio.create_task(second.send(post(body)))
            answer = await second.answer()
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            sender.cancel()
        await until(lambda: room.size == 1048576)


async def test_connections_are_bounded():
    """A further connection displaces the one that has brought nothing; when all are busy it is cut itself."""
    sink = MemorySink()
    bounded = receiving(sink, BOTH + "\nlimits: {max_connections: 2}")
    async with bounded as receiver, wired(receiver) as oldest, wired(receiver) as second:
        assert (await second.ask(post())).status == 200
        async with wired(receiver) as third:
            assert await oldest.ended() == b""
            sink.gate = asyncio.Event()
            await second.send(post(spans(1)))
            await third.send(post(spans(1)))
            await until(lambda: sink.calls == 2)
            async with wired(receiver) as fourth:
                assert await fourth.ended() == b""
            sink.gate.set()
            assert [(await second.answer()).status, (await third.answer()).status] == [200, 200]


async def test_who_holds_most_connections_makes_way():
    """Half-sent requests of one peer push out one another, and no idle connection of somebody else."""
    where = "protocols: {http: {endpoint: '127.0.0.1:0'}}\nlimits: {max_connections: 3}"
    async with receiving(MemorySink(), where) as receiver, wired(receiver) as honest:
        assert (await honest.ask(post())).status == 200
        async with AsyncExitStack() as stack:
            flood = []
            for _ in range(5):
                flood.append(await stack.enter_async_context(wired(receiver, local_addr=("127.0.0.2", 0))))
                await flood[-1].send(b"P")
            assert [await wire.ended() for wire in flood[:3]] == [b""] * 3
            assert (await honest.ask(post())).status == 200


async def test_stopping_answers_what_is_served_and_refuses_what_is_not():
    """Running requests are answered, half-sent ones told to come again, idle connections closed."""
    sink = MemorySink()
    sink.gate = asyncio.Event()
    opened = receiving(sink)
    receiver = await opened.__aenter__()
    async with wired(receiver) as busy, wired(receiver) as half, wired(receiver) as idle:
        await busy.send(post(spans(1)))
        await half.send(post(content_length="10"))
        assert (await idle.ask(post())).status == 200
        await until(lambda: sink.calls)
        await until(lambda: {c.state.name for c in receiver._http.listener.connections} == {"BUSY", "BODY", "HEAD"})
        stopping = asyncio.create_task(opened.__aexit__(None, None, None))
        assert (await half.answer()).status == 503
        assert await idle.ended() == b""
        sink.gate.set()
        answer = await busy.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
    await stopping


async def test_stopping_does_not_wait_for_ever():
    """A request that is not done at the end of the grace is interrupted, and its items are not counted as taken."""
    sink, clock = MemorySink(), ManualClock()
    sink.gate = asyncio.Event()
    opened = receiving(sink, HTTP % "", clock=clock)
    receiver = await opened.__aenter__()
    async with wired(receiver) as wire:
        await wire.send(post(spans(1)))
        await until(lambda: sink.calls)
        stopping = asyncio.create_task(opened.__aexit__(None, None, None))
        await settle()
        await clock.advance(11)
        assert await wire.ended() == b""
        await stopping
    assert sink.items == 0


async def test_a_busy_port_is_a_clear_error():
    """The error names the component and the endpoint, and what had started is stopped."""
    async with receiving(MemorySink(), HTTP % "") as receiver:
        port = receiver.http_address[1]
        text = f"protocols: {{grpc: {{endpoint: 'localhost:0'}}, http: {{endpoint: 'localhost:{port}'}}}}"
        with pytest.raises(ConfigError, match=rf"receivers::otlp: cannot listen on localhost:{port}"):
            await receiving(MemorySink(), text).__aenter__()


async def test_a_unix_socket_serves(tmp_path):
    """With the transport `unix` the endpoint is a path, which is gone after the stop."""
    path = tmp_path / "otlp.sock"
    sink = MemorySink()
    async with receiving(sink, f"protocols: {{http: {{endpoint: {path}, transport: unix}}}}") as receiver:
        assert (await http(receiver, post(spans(1)))).status == 200
        assert receiver.http_address == (str(path), 0)
    assert not path.exists()
    assert sink.batches[0].origin.peer == ""


async def test_tls_with_client_certificates(tmp_path):
    """HTTPS serves requests of any size, and demands the client's certificate."""
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost")
    for name, blob in (("cert", leaf.cert_chain_pems[0]), ("key", leaf.private_key_pem), ("ca", authority.cert_pem)):
        blob.write_to_path(tmp_path / f"{name}.pem")
    tls = f"cert_file: {tmp_path}/cert.pem, key_file: {tmp_path}/key.pem, client_ca_file: {tmp_path}/ca.pem"
    sink, client = MemorySink(), trust(authority)
    authority.issue_cert("client").configure_cert(client)
    async with receiving(sink, HTTP % f"tls: {{{tls}}}") as receiver:
        async with wired(receiver, ssl=client, server_hostname="localhost") as wire:
            assert wire.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
            assert (await wire.ask(post(spans(2, 300_000)))).status == 200
            assert (await wire.ask(b"rubbish\r\n\r\n")).status == 400
            assert await wire.ended() == b""
        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            await refused(receiver, trust(authority))
    assert sink.items == 2


def trust(authority):
    """Make a client's context."""
    import ssl

    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    authority.configure_trust(context)
    return context


async def refused(receiver, context) -> None:
    """Try to send without a certificate."""
    async with wired(receiver, ssl=context, server_hostname="localhost") as wire:
        assert isinstance(wire, Wire)
        await wire.ask(post(spans(1)))
