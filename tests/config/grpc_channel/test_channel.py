"""Calls on our own channel, against grpcio's server without compression and against one that takes zstd."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from grpc.aio import AioRpcError

from sluiceway.config.grpc_channel import INLINE
from tests.config.grpc_channel.opened import METHOD, calling
from tests.exporters.backends import GrpcBackend
from tests.exporters.http2_backend import Http2Backend, Peer, answer


@pytest.fixture(params=[GrpcBackend, Http2Backend], ids=["identity", "zstd"])
async def backend(request):
    """A backend that listens."""
    async with request.param().running() as running:
        yield running


@pytest.mark.parametrize("size", [0, 1, 100_000, INLINE + 1, 3_000_000])
async def test_bytes_arrive_and_come_back(backend, size):
    """Request and response are bytes of any size, whatever the windows of flow control."""
    sent = bytes(i * i % 251 for i in range(size))
    backend.answer = sent
    async with calling(backend) as call:
        assert await call(sent) == sent
    assert backend.requests[0][:2] == (METHOD, sent)


async def test_metadata_goes_both_ways(backend):
    """Text and binary values arrive as they were given, and the trailers are there with the error."""
    backend.code = grpc.StatusCode.ABORTED
    backend.details = "größer & 100 %"
    backend.trailers = (("what-bin", b"\x00\xff"), ("what-bin", b"2"))
    async with calling(backend) as call:
        with pytest.raises(AioRpcError) as caught:
            await call(b"x", metadata=(("tenant", "acme"), ("trace-bin", b"\x00\xfe")))
    arrived = backend.requests[0][2]
    assert (arrived["tenant"], arrived["trace-bin"]) == ("acme", b"\x00\xfe")
    assert caught.value.code() is grpc.StatusCode.ABORTED
    assert caught.value.details() == "größer & 100 %"
    assert caught.value.trailing_metadata().get_all("what-bin") == [b"\x00\xff", b"2"]


async def test_metadata_that_cannot_be_sent_fails_its_call_alone():
    """Space around a value is left out, as gRPC has it; a line break is an error, which leaves the others alone."""
    async with Http2Backend(gate=asyncio.Event()).running() as backend, calling(backend) as call, asyncio.timeout(10):
        under_way = asyncio.create_task(call(b"x", metadata=(("a", " b "),)))
        await backend.arrived.wait()
        for name, value in (("a", "b\r\nc"), ("a", "ü"), ("a b", "c"), ("te", "gzip")):
            with pytest.raises(AioRpcError, match="cannot be sent") as caught:
                await call(b"x", metadata=((name, value),))
            assert caught.value.code() is grpc.StatusCode.INTERNAL
        backend.gate.set()
        assert await under_way == b""
        assert await call(b"x", metadata=(("f", "g"),)) == b""
    assert [(fields.get("a"), fields.get("f")) for fields in backend.headers] == [("b", None), (None, "g")]


async def test_the_deadline_ends_a_call_here_and_there(backend):
    """A call that takes too long fails as with grpcio, and the server hears of it."""
    backend.gate = asyncio.Event()
    async with calling(backend) as call, asyncio.timeout(10):
        with pytest.raises(AioRpcError) as caught:
            await call(b"x", timeout=0.2)
        await backend.cancelled.wait()
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert 0 < backend.deadlines[0] <= 0.2


async def test_calls_share_one_connection(backend):
    """Calls run side by side, and a later one that is answered first does not wait."""
    backend.gate = asyncio.Event()
    async with calling(backend) as call, asyncio.timeout(10), asyncio.TaskGroup() as group:
        slow = [group.create_task(call(b"x")) for _ in range(20)]
        while len(backend.requests) < 20:
            backend.arrived.clear()
            await backend.arrived.wait()
        backend.gate.set()
    assert [task.result() for task in slow] == [b""] * 20
    assert len(set(backend.peers)) == 1


async def test_closing_ends_calls():
    """A call that is under way when its channel closes fails, and so does a later one."""
    async with Http2Backend(gate=asyncio.Event()).running() as backend, asyncio.timeout(10):
        async with calling(backend) as call:
            under_way = asyncio.create_task(call(b"x"))
            await backend.arrived.wait()
        with pytest.raises(AioRpcError) as caught:
            await under_way
        assert caught.value.code() is grpc.StatusCode.CANCELLED
        with pytest.raises(AioRpcError, match="the channel was closed") as caught:
            await call(b"x")
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_what_a_call_says_of_itself():
    """The headers are those that gRPC asks for."""
    async with Http2Backend().running() as backend:
        async with calling(backend, user_agent="me/1", authority="front") as call:
            await call(b"x", timeout=5)
        async with calling(backend) as call:
            await call(b"x", timeout=1e9)
    first, second = backend.headers
    assert 0 < int(first.pop("grpc-timeout").removesuffix("m")) <= 5000
    assert first == {
        ":method": "POST",
        ":scheme": "http",
        ":path": METHOD,
        ":authority": "front",
        "te": "trailers",
        "content-type": "application/grpc",
        "user-agent": "me/1",
        "grpc-encoding": "zstd",
        "grpc-accept-encoding": "identity,gzip,zstd",
    }
    assert second[":authority"] == f"127.0.0.1:{backend.port}"
    assert second["grpc-timeout"] == "99999999S"


async def test_what_the_server_has_not_seen_is_sent_once_more():
    """A request that was refused before anybody looked at it goes again at once; refused again, it fails."""
    refusals = [1]

    def refuse(peer: Peer, stream: int) -> None:
        if refusals:
            peer.h2.reset_stream(stream, refusals.pop() and 7)
        else:
            answer(peer, stream)

    async with Http2Backend(answering=refuse, answer=b"yes").running() as backend, calling(backend) as call:
        assert await call(b"x") == b"yes"
        refusals += [1, 1]
        with pytest.raises(AioRpcError) as caught:
            await call(b"x")
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("reason", "code"),
    [(0, "INTERNAL"), (1, "INTERNAL"), (8, "CANCELLED"), (11, "RESOURCE_EXHAUSTED"), (12, "PERMISSION_DENIED")],
)
async def test_a_reset_has_a_code(reason, code):
    """As gRPC's table has it."""

    def reset(peer: Peer, stream: int) -> None:
        peer.h2.reset_stream(stream, reason)

    async with Http2Backend(answering=reset).running() as backend, calling(backend) as call:
        with pytest.raises(AioRpcError) as caught:
            await call(b"x")
    assert caught.value.code().name == code


async def test_an_answer_before_the_end_of_the_request_counts():
    """A server may refuse a large request while it is being sent; the rest stays here."""

    class Early(Peer):
        def take(self, event):
            super().take(event)
            if type(event).__name__ == "RequestReceived":
                answer(self, event.stream_id)

    async with (
        Http2Backend(code=grpc.StatusCode.RESOURCE_EXHAUSTED, acknowledges=False, peer=Early).running() as backend,
        calling(backend, compression="none") as call,
        asyncio.timeout(10),
    ):
        with pytest.raises(AioRpcError) as caught:
            await call(bytes(1_000_000))
        await backend.cancelled.wait()
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
