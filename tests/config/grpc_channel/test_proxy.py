"""Calls go through the proxy."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import grpc
import pytest
import trustme
from grpc.aio import AioRpcError
from yarl import URL

from sluiceway.config.grpc_channel.proxy import Proxy
from tests.config.grpc_channel.opened import calling
from tests.exporters.http2_backend import Http2Backend


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    for name in ("https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_a_proxy_may_want_a_name_and_a_password():
    """They are decoded, and sent as its header has them."""
    assert Proxy.at(URL("http://me:p%40ss@a:1")) == Proxy("a", 1, "bWU6cEBzcw==")
    assert Proxy.at(URL("http://a")) == Proxy("a", 80)


@dataclass
class ConnectProxy:
    """A proxy that knows CONNECT, and sends everything on to one port."""

    port: int
    status: bytes = b"200 OK"
    heads: list[bytes] = field(default_factory=list)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader, writer):
        """One tunnel."""
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 " + self.status + b"\r\nVia: me\r\n\r\n" if self.status else b"")
        if self.status.startswith(b"200"):
            inner, outer = await asyncio.open_connection("127.0.0.1", self.port)
            await asyncio.gather(copy(reader, outer), copy(inner, writer))
        writer.close()
        self.done.set()


async def copy(reader, writer):
    """All that comes, until the end."""
    while data := await reader.read(65_536):
        writer.write(data)
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("encrypted", [False, True])
async def test_calls_go_through_the_proxy(monkeypatch, encrypted):
    """By CONNECT, with TLS inside the tunnel, and the name left to the proxy."""
    authority = trustme.CA()
    issued = authority.issue_cert("backend.example.com")
    pair = (issued.private_key_pem.bytes(), issued.cert_chain_pems[0].bytes()) if encrypted else None
    async with Http2Backend(answer=b"yes").running(pair) as backend, asyncio.timeout(10):
        proxy = ConnectProxy(backend.port)
        async with await asyncio.start_server(proxy.serve, "127.0.0.1", 0) as server:
            monkeypatch.setenv("HTTPS_PROXY", f"http://me:secret@127.0.0.1:{server.sockets[0].getsockname()[1]}")
            endpoint = f"http{'s' * encrypted}://backend.example.com:4317"
            async with calling(None, endpoint, tls={"ca_pem": authority.cert_pem.bytes().decode()}) as call:
                assert await call(b"x") == b"yes"
            await proxy.done.wait()
    assert proxy.heads[0].split(b"\r\n") == [
        b"CONNECT backend.example.com:4317 HTTP/1.1",
        b"Host: backend.example.com:4317",
        b"Proxy-Authorization: Basic bWU6c2VjcmV0",
        b"",
        b"",
    ]


@pytest.mark.parametrize(("status", "why"), [(b"407 No", "the proxy says HTTP/1.1 407 No"), (b"", "gave no answer")])
async def test_a_proxy_that_refuses_is_unavailable(monkeypatch, status, why):
    """The error says what the proxy said."""
    proxy = ConnectProxy(0, status)
    async with await asyncio.start_server(proxy.serve, "127.0.0.1", 0) as server, asyncio.timeout(10):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        async with calling(None, "http://backend.example.com:4317") as call:
            with pytest.raises(AioRpcError, match=why) as caught:
                await call(b"x")
        await proxy.done.wait()
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
