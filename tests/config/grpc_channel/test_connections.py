"""Where a channel connects to, and when."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import AsyncExitStack

import grpc
import pytest
import trustme
from grpc.aio import AioRpcError
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes
from hyperframe.frame import GoAwayFrame

from sluiceway.config.grpc_channel import Channel, connections, http2
from sluiceway.config.grpc_client import GrpcClient
from tests.config.grpc_channel.opened import METHOD, calling, until
from tests.exporters.http2_backend import Http2Backend
from tests.ports import free_port


@pytest.fixture
async def name(monkeypatch):
    """What the name `backend` stands for; a test fills it."""
    addresses: list[str] = []

    async def look_up(host, port, *, type=0, **_):
        if host != "backend" or not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "nobody knows it")
        return [(socket.AF_INET, type, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
    return addresses


async def three(stack: AsyncExitStack) -> list[Http2Backend]:
    """Backends on three addresses with one port."""
    backends = [await stack.enter_async_context(Http2Backend().running())]
    for last in (2, 3):
        backend = Http2Backend(port=backends[0].port)
        backends.append(await stack.enter_async_context(backend.running(host=f"127.0.0.{last}")))
    return backends


def counts(backends: list[Http2Backend]) -> list[int]:
    """How many requests each has got."""
    return [len(backend.requests) for backend in backends]


async def failure(call, **more) -> AioRpcError:
    """The error of a call that fails."""
    with pytest.raises(AioRpcError) as caught:
        await call(b"x", **more)
    return caught.value


@pytest.mark.parametrize(("balancer", "expected"), [("round_robin", [2, 2, 2]), ("pick_first", [6, 0, 0])])
async def test_the_balancer_spreads_calls(name, balancer, expected):
    """Over all addresses in turn, or to the first that answers."""
    name += ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    async with AsyncExitStack() as stack:
        backends = await three(stack)
        endpoint = f"http://backend:{backends[0].port}"
        call = await stack.enter_async_context(calling(None, endpoint, balancer_name=balancer))
        await call(b"x")
        if balancer == "round_robin":
            await until(lambda: len(call._channel._connections._open) == 3)
        while sum(counts(backends)) < 6:
            await call(b"x")
    assert sorted(counts(backends)) == sorted(expected)


@pytest.mark.parametrize("balancer", ["round_robin", "pick_first"])
async def test_an_address_where_nobody_answers_is_passed_over(name, balancer):
    """One address that works is enough."""
    name += ["127.0.0.4", "127.0.0.1"]
    async with (
        Http2Backend().running() as backend,
        calling(None, f"http://backend:{backend.port}", balancer_name=balancer) as call,
    ):
        for _ in range(3):
            assert await call(b"x") == b""


async def test_the_name_is_looked_up_for_each_connection(name):
    """A backend that has moved is found where it is now, and what is no longer its address is left."""
    async with AsyncExitStack() as stack:
        first, second, third = await three(stack)
        call = await stack.enter_async_context(calling(None, f"http://backend:{first.port}"))
        name[:] = ["127.0.0.1", "127.0.0.2"]
        while not (first.open and second.open):
            await call(b"x")
        name[:] = ["127.0.0.3"]
        await first.open[0].end()
        async with asyncio.timeout(10):
            await until(lambda: len(call._channel._connections._open) == 1)
            while not third.requests:
                await call(b"x")
            await second.left.wait()
    assert not second.open


async def test_a_connection_that_ends_while_others_are_made_is_made_again(name):
    """All is well only when there is a connection to every address at the end."""
    name += ["127.0.0.1", "127.0.0.2"]
    async with Http2Backend().running() as first, asyncio.timeout(10):
        late = Http2Backend(port=first.port, is_silent=True)
        async with late.running(host="127.0.0.2"), calling(None, f"http://backend:{first.port}") as call:
            await call(b"x")
            await first.open[0].end()
            await until(lambda: not call._channel._connections._open and bool(late.open))
            late.open[0].speak()
            while not (first.connections == 2 and late.requests):
                await call(b"x")


@pytest.mark.parametrize("balancer", ["round_robin", "pick_first"])
async def test_no_address_that_answers_is_unavailable(name, balancer):
    """The error tells of one of them."""
    name += ["127.0.0.1", "127.0.0.2"]
    async with calling(None, f"http://backend:{free_port()}", balancer_name=balancer) as call:
        error = await failure(call)
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert "127.0.0.2: " in error.details()


async def test_a_name_that_nobody_knows_is_unavailable(name):
    """The error says why."""
    async with calling(None, "http://backend:1") as call:
        error = await failure(call)
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert "dns:///backend:1" in error.details()
    assert "nobody knows it" in error.details()


async def test_a_name_that_cannot_be_one_is_unavailable():
    """A label of more than 63 characters fails before the question is asked."""
    async with calling(None, f"http://{'ü' * 64}:1") as call:
        assert (await failure(call)).code() is grpc.StatusCode.UNAVAILABLE


async def test_after_a_failure_calls_fail_at_once_for_a_while(name):
    """There is a pause between attempts, however many calls there are."""
    name.append("127.0.0.1")
    backend = Http2Backend(port=free_port())
    async with calling(None, f"http://backend:{backend.port}") as call:
        first = await failure(call)
        async with backend.running():
            second = await failure(call)
    assert first.details() == second.details()
    assert "Connect call failed" in second.details()
    assert backend.connections == 0


async def test_who_waits_for_ready_gets_a_connection(monkeypatch):
    """As soon as there is one, or its time is over."""
    monkeypatch.setattr(connections, "_FIRST_PAUSE", 0.01)
    backend = Http2Backend(port=free_port())
    async with calling(backend) as call, asyncio.timeout(10):
        late = await failure(call, timeout=0.05, wait_for_ready=True)
        assert late.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        waiting = asyncio.create_task(call(b"x", wait_for_ready=True))
        async with backend.running():
            assert await waiting == b""


async def test_a_connection_that_ends_is_replaced_at_once():
    """A server that comes back needs no pause."""
    backend = Http2Backend()
    async with calling(None, f"http://127.0.0.1:{(port := free_port())}") as call:
        backend.port = port
        for _ in range(3):
            async with backend.running():
                assert await call(b"x") == b""
                peer = backend.open[0]
            await peer.lost.wait()
            await until(lambda: not call._channel._connections._open)
    assert backend.connections == 3


async def test_a_server_that_never_speaks_uses_up_the_time():
    """The call fails at its deadline, and the channel can be closed while it still connects."""
    async with Http2Backend(is_silent=True).running() as backend:
        async with calling(backend) as call, asyncio.timeout(10):
            error = await failure(call, timeout=0.05)
            assert len(backend.open) == 1
        async with asyncio.timeout(10):
            await backend.left.wait()
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_server_that_never_speaks_is_given_up(monkeypatch):
    """After a while another attempt is due."""
    monkeypatch.setattr(connections, "_PATIENCE", 0.05)
    async with Http2Backend(is_silent=True).running() as backend, calling(backend) as call, asyncio.timeout(10):
        error = await failure(call)
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert "no answer in time" in error.details()


async def test_a_unix_socket(tmp_path):
    """Its host is called localhost."""
    path = str(tmp_path / "s")
    async with (
        Http2Backend().running(path=path) as backend,
        calling(backend, f"unix://{path}", tls={"insecure": True}) as call,
    ):
        assert await call(b"x") == b""
    assert backend.headers[0][":authority"] == "localhost"


AUTHORITY = trustme.CA()
TRUST = {"ca_pem": AUTHORITY.cert_pem.bytes().decode()}


def pair(of: str) -> tuple[bytes, bytes]:
    """A key and its certificate."""
    issued = AUTHORITY.issue_cert(of)
    return issued.private_key_pem.bytes(), issued.cert_chain_pems[0].bytes()


@pytest.mark.parametrize(
    ("settings", "authority"),
    [
        ({"tls": TRUST | {"server_name_override": "back"}}, "back"),
        ({"tls": TRUST, "authority": "back"}, "back"),
        ({"tls": TRUST, "authority": "back:443"}, "back:443"),
        ({"tls": TRUST | {"server_name_override": "back"}, "authority": "front"}, "front"),
        ({"tls": {"insecure_skip_verify": True}}, ""),
        ({"tls": TRUST | {"server_name_override": "back", "min_version": "1.3"}}, "back"),
    ],
)
async def test_the_name_that_a_certificate_must_have(settings, authority):
    """The override, else the authority's host, else the endpoint's; and what grpcio cannot do of TLS can be done."""
    async with (
        Http2Backend().running(pair("back")) as backend,
        calling(backend, f"https://127.0.0.1:{backend.port}", **settings) as call,
    ):
        assert await call(b"x") == b""
    assert backend.headers[0][":scheme"] == "https"
    assert backend.headers[0][":authority"] == (authority or f"127.0.0.1:{backend.port}")


async def test_another_name_is_not_taken():
    """The error says what is wrong with the certificate."""
    async with (
        Http2Backend().running(pair("back")) as backend,
        calling(backend, f"https://127.0.0.1:{backend.port}", tls=TRUST) as call,
    ):
        error = await failure(call)
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert "CERTIFICATE_VERIFY_FAILED" in error.details()


async def test_a_server_without_http2_is_not_spoken_to():
    """TLS tells before the first byte."""
    async with (
        Http2Backend(alpn=("http/1.1",)).running(pair("127.0.0.1")) as backend,
        calling(backend, f"https://127.0.0.1:{backend.port}", tls=TRUST) as call,
    ):
        error = await failure(call)
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert "does not offer HTTP/2" in error.details()


async def test_we_prove_ourselves_by_a_certificate():
    """MTLS works as with every other client."""
    key, certificate = pair("me")
    ours = {"key_pem": key.decode(), "cert_pem": certificate.decode()}
    backend = Http2Backend(trusts=TRUST["ca_pem"])
    async with backend.running(pair("127.0.0.1")):
        async with calling(backend, f"https://127.0.0.1:{backend.port}", tls=TRUST | ours) as call:
            assert await call(b"x") == b""
        async with calling(backend, f"https://127.0.0.1:{backend.port}", tls=TRUST) as call:
            assert (await failure(call)).code() is grpc.StatusCode.UNAVAILABLE


async def test_a_channel_that_is_closed_before_it_has_begun_to_connect_ends_its_calls():
    """Nobody waits for a connection that will not be made."""
    client = GrpcClient(endpoint=f"http://127.0.0.1:{free_port()}", compression="zstd")
    channel = Channel(client, None)
    calling_first = asyncio.create_task(channel.unary_unary(METHOD)(b"x", timeout=None))
    await until(lambda: channel._connections._attempt is not None)
    await channel.close()
    async with asyncio.timeout(10):
        with pytest.raises(AioRpcError):
            await calling_first


async def test_a_server_that_stops_reading_holds_up_neither_memory_nor_connections(monkeypatch):
    """No more of a request waits for the socket than may, and a connection that is left ends with what it holds."""
    monkeypatch.setattr(http2, "_CLOSING", 0.05)

    async def greet_and_leave(reader, writer):
        peer = H2Connection(H2Configuration(client_side=False))
        peer.initiate_connection()
        peer.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 2**30})
        peer.increment_flow_control_window(2**30)
        writer.write(peer.data_to_send())
        await reader.read(1)
        writer.transport.pause_reading()
        await waits.wait()
        writer.write(GoAwayFrame(0, last_stream_id=2**31 - 1).serialize())
        await ended.wait()
        writer.close()

    waits, ended = asyncio.Event(), asyncio.Event()
    async with asyncio.timeout(20), await asyncio.start_server(greet_and_leave, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        channel = Channel(GrpcClient(endpoint=f"http://127.0.0.1:{port}", compression="zstd"), None)
        call = asyncio.create_task(channel.unary_unary(METHOD)(os.urandom(20_000_000), timeout=None))
        opened = channel._connections._open
        await until(lambda: any(not connection._is_writable for connection in opened.values()))
        (connection,) = opened.values()
        assert connection._transport.get_write_buffer_size() < 2 * 1024 * 1024
        waits.set()
        await until(lambda: connection in channel._connections._ending)
        call.cancel()
        await until(lambda: not channel._connections._ending)
        ended.set()
        await channel.close()
