"""One connection: what the server says of it, and what becomes of the requests."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from grpc.aio import AioRpcError
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from tests.config.grpc_channel.opened import calling, until
from tests.exporters.backends import GrpcBackend
from tests.exporters.http2_backend import Http2Backend, Peer


async def failure(call, request: bytes = b"x", **more) -> AioRpcError:
    """The error of a call that fails."""
    with pytest.raises(AioRpcError) as caught:
        await call(request, **more)
    return caught.value


async def arrivals(backend, number: int) -> None:
    """Wait until so many requests have come."""
    while len(backend.requests) < number:
        backend.arrived.clear()
        await backend.arrived.wait()


async def test_no_more_requests_than_the_server_takes_at_a_time():
    """The others wait, and a request that is cancelled while it waits leaves no trace."""
    settings = {SettingCodes.MAX_CONCURRENT_STREAMS: 2}
    async with (
        Http2Backend(settings=settings, gate=asyncio.Event()).running() as backend,
        calling(backend) as call,
        asyncio.timeout(10),
    ):
        tasks = [asyncio.create_task(call(b"%d" % i)) for i in range(6)]
        await arrivals(backend, 2)
        tasks[5].cancel()
        backend.gate.set()
        await asyncio.wait(tasks)
    assert backend.most_at_once == 2
    assert sorted(request for _, request, _ in backend.requests) == [b"0", b"1", b"2", b"3", b"4"]


@pytest.mark.parametrize("acknowledges", [True, False])
async def test_requests_keep_within_the_windows(acknowledges):
    """A request larger than the window waits for it to grow; one that ends meanwhile gives up its place."""
    settings = {SettingCodes.INITIAL_WINDOW_SIZE: 1000, SettingCodes.MAX_CONCURRENT_STREAMS: 1}
    async with (
        Http2Backend(settings=settings, acknowledges=acknowledges).running() as backend,
        calling(backend, compression="none") as call,
        asyncio.timeout(10),
    ):
        if acknowledges:
            assert await call(bytes(200_000)) == b""
        else:
            assert (await failure(call, bytes(200_000), timeout=0.1)).code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert (await failure(call, bytes(200_000), timeout=0.1)).code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert await call(bytes(900)) == b""


async def test_a_full_socket_holds_requests_back():
    """What the network does not take waits for it in its own coroutine, not in memory behind the socket."""

    class Wide(Peer):
        def connection_made(self, transport):
            super().connection_made(transport)
            self.h2.increment_flow_control_window(2**30)
            self.flush()

    settings = {SettingCodes.INITIAL_WINDOW_SIZE: 2**30}
    async with (
        Http2Backend(settings=settings, peer=Wide).running() as backend,
        calling(backend, compression="none", write_buffer_size=1000) as call,
        asyncio.timeout(20),
    ):
        await call(b"x")
        (connection,) = call._channel._connections._open.values()
        backend.open[0].transport.pause_reading()
        tasks = [asyncio.create_task(call(bytes(20_000_000)))]
        await until(lambda: not connection._is_writable)
        held = connection._transport.get_write_buffer_size()
        tasks.append(asyncio.create_task(call(bytes(1_000_000))))
        await until(lambda: len(connection._streams) == 2)
        assert connection._transport.get_write_buffer_size() < held + 1000
        backend.open[0].transport.resume_reading()
        assert await asyncio.gather(*tasks) == [b"", b""]
    assert [len(request) for _, request, _ in backend.requests] == [1, 20_000_000, 1_000_000]


async def test_goaway_lets_those_under_way_end():
    """What the server has taken is answered on the old connection, and the next request takes a new one."""
    async with (
        Http2Backend(gate=asyncio.Event(), answer=b"yes").running() as backend,
        calling(backend) as call,
        asyncio.timeout(10),
    ):
        under_way = asyncio.create_task(call(b"x"))
        await backend.arrived.wait()
        (peer,) = backend.open
        peer.h2.close_connection()
        peer.flush()
        peer.h2.state_machine.state = type(peer.h2.state_machine.state).SERVER_OPEN  # h2 means it as the end
        later = asyncio.create_task(call(b"y"))
        await arrivals(backend, 2)
        backend.gate.set()
        assert (await under_way, await later) == (b"yes", b"yes")
        await peer.lost.wait()
    assert len(set(backend.peers)) == 2


async def test_goaway_sends_what_was_not_seen_elsewhere():
    """A request behind the last one that the server has taken goes again, on a new connection."""
    async with (
        Http2Backend(gate=asyncio.Event(), answer=b"yes").running() as backend,
        calling(backend) as call,
        asyncio.timeout(10),
    ):
        under_way = asyncio.create_task(call(b"x"))
        await backend.arrived.wait()
        (peer,) = backend.open
        peer.h2.close_connection(last_stream_id=0)
        peer.flush()
        await arrivals(backend, 2)
        backend.gate.set()
        assert await under_way == b"yes"


async def test_grpcio_may_replace_connections_at_any_time():
    """A server that lets no connection grow old costs no call."""
    backend, lives = GrpcBackend(answer=b"yes"), ("grpc.max_connection_age_ms", 30)
    async with (
        backend.running(options=(lives, ("grpc.max_connection_age_grace_ms", 5000))),
        calling(backend) as call,
        asyncio.timeout(20),
    ):
        while len(set(backend.peers)) < 3:
            assert await call(b"x") == b"yes"


@pytest.mark.parametrize(
    ("garbage", "why"),
    [(b"HTTP/1.1 400 Bad Request\r\n\r\n", "speaks HTTP/1"), (b"\0\0\4\1\4\0\0\0\1rubbish", "broke HTTP/2")],
)
async def test_a_server_that_breaks_the_protocol_is_unavailable(garbage, why):
    """Whatever it speaks, the connection is closed and the call may be repeated."""

    class Rude(Peer):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.write(garbage)

    async with Http2Backend(is_silent=True, peer=Rude).running() as backend, calling(backend) as call:
        error = await failure(call, timeout=10)
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert why in error.details()


async def test_a_lost_connection_is_unavailable():
    """A request that was on it may have arrived; whoever sent it decides."""
    async with Http2Backend(gate=asyncio.Event()).running() as backend, calling(backend) as call, asyncio.timeout(10):
        under_way = asyncio.create_task(failure(call))
        await backend.arrived.wait()
        backend.open[0].transport.abort()
        assert (await under_way).code() is grpc.StatusCode.UNAVAILABLE
    assert len(backend.requests) == 1


async def test_a_response_too_large_is_cut():
    """It is reset as soon as it is known to be too large, with grpcio's words."""
    async with (
        Http2Backend(answer=bytes(5_000_000)).running() as backend,
        calling(backend) as call,
        asyncio.timeout(10),
    ):
        error = await failure(call)
        await backend.cancelled.wait()
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error.details().startswith("CLIENT: Received message larger")


PINGS = {"time": "10ms", "timeout": "10ms"}


async def test_a_dead_connection_is_found_by_a_ping():
    """Without an answer the requests on it fail, and may go elsewhere."""
    async with (
        Http2Backend(gate=asyncio.Event()).running() as backend,
        calling(backend, keepalive=PINGS) as call,
        asyncio.timeout(10),
    ):
        under_way = asyncio.create_task(failure(call))
        await backend.arrived.wait()
        backend.open[0].transport.pause_reading()
        error = await under_way
    assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "no answer to a keepalive ping")


async def test_an_answered_ping_keeps_the_connection():
    """Silence alone is no reason to give up."""
    pinged = asyncio.Event()
    backend = Http2Backend(gate=asyncio.Event(), on_ping=lambda peer: pinged.set() if backend.pings > 2 else None)
    async with backend.running(), calling(backend, keepalive=PINGS | {"timeout": "10s"}) as call, asyncio.timeout(10):
        under_way = asyncio.create_task(call(b"x"))
        await pinged.wait()
        backend.gate.set()
        assert await under_way == b""


@pytest.mark.parametrize("when_idle", [True, False])
async def test_an_idle_connection_is_pinged_when_asked_for(when_idle):
    """By `permit_without_stream`, and else with the next request."""
    pinged = asyncio.Event()
    backend = Http2Backend(on_ping=lambda _: pinged.set())
    settings = PINGS | {"timeout": "10s", "permit_without_stream": when_idle}
    async with backend.running(), calling(backend, keepalive=settings) as call, asyncio.timeout(10):
        await call(b"x")
        if not when_idle:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(pinged.wait(), 0.1)
            backend.gate = asyncio.Event()
            under_way = asyncio.create_task(call(b"x"))
        await pinged.wait()
        if not when_idle:
            backend.gate.set()
            await under_way


async def test_too_many_pings_become_fewer():
    """A server that says so gets half as many on the next connection."""

    def scold(peer: Peer) -> None:
        peer.h2.close_connection(ErrorCodes.ENHANCE_YOUR_CALM, b"too_many_pings", 2**31 - 1)

    backend = Http2Backend(gate=asyncio.Event(), on_ping=scold)
    async with backend.running(), calling(backend, keepalive=PINGS | {"timeout": "10s"}) as call, asyncio.timeout(10):
        under_way = asyncio.create_task(failure(call))
        await backend.arrived.wait()
        await until(lambda: backend.pings > 0)
        backend.on_ping = None
        await backend.open[0].end()
        await under_way
        assert call._channel._connections._keepalive.time == 0.02


async def test_used_up_numbers_take_a_new_connection():
    """After 2³⁰ requests a connection has no more of them."""
    async with Http2Backend(answer=b"yes").running() as backend, calling(backend) as call:
        await call(b"x")
        (connection,) = call._channel._connections._open.values()
        connection._h2.highest_outbound_stream_id = 2**31 - 1
        assert await call(b"x") == b"yes"
    assert len(set(backend.peers)) == 2
