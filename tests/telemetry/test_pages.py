"""The small HTTP server of own metrics and health."""

import asyncio
import ssl
from contextlib import suppress

import pytest
import trustme

from sluiceway.errors import ConfigError
from sluiceway.telemetry.pages import MAX_CONNECTIONS, MAX_HEAD, Page, PageServer
from tests.telemetry.asking import ask


def respond(target: str) -> Page | None:
    """One page that works, one that breaks."""
    if target == "/broken":
        raise ZeroDivisionError
    return Page(b"hello") if target == "/" else None


@pytest.mark.parametrize(
    ("line", "status", "body"),
    [
        ("GET / HTTP/1.1", 200, "hello"),
        ("HEAD / HTTP/1.1", 200, ""),
        ("GET /nowhere HTTP/1.1", 404, "404 page not found\n"),
        ("POST / HTTP/1.1", 405, "405 method not allowed\n"),
        ("GET /", 400, "400 bad request\n"),
    ],
)
async def test_answers(line, status, body):
    """GET and HEAD are answered, anything else is told what is wrong with it."""
    async with PageServer("127.0.0.1:0", respond) as server:
        found, head, text = await ask(server.port, f"{line}\r\nHost: x\r\n\r\n")
    assert (found, text) == (status, body)
    assert "Connection: close" in head


async def test_a_page_that_breaks_tells_nothing(caplog):
    """The error is logged, and the asker sees none of it."""
    async with PageServer("127.0.0.1:0", respond) as server:
        status, _, body = await ask(server.port, "GET /broken HTTP/1.1\r\n\r\n")
    assert (status, body) == (500, "500 internal server error\n")
    assert "ZeroDivisionError" in caplog.text


async def test_a_head_is_bounded():
    """A request whose head does not end is refused before it grows."""
    async with PageServer("127.0.0.1:0", respond) as server:
        status, _, _ = await ask(server.port, "GET / HTTP/1.1\r\nX: " + "x" * 2 * MAX_HEAD)
    assert status == 400


async def test_connections_are_bounded():
    """Idle connections cannot take all there is: the next one is closed."""
    async with PageServer("127.0.0.1:0", respond) as server:
        idle = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(MAX_CONNECTIONS)]
        with pytest.raises((ConnectionError, IndexError)):
            await ask(server.port, "GET / HTTP/1.1\r\n\r\n")
        for _, writer in idle:
            writer.close()
            await writer.wait_closed()


async def test_leaving_closes_idle_connections():
    """Nobody who asks nothing holds up the end."""
    async with PageServer("127.0.0.1:0", respond) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /")
        await writer.drain()
    async with asyncio.timeout(5):
        with pytest.raises((ConnectionError, EOFError)):
            await reader.readexactly(1)
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def test_a_port_that_is_taken_is_named():
    """The error says which endpoint cannot be had."""
    async with PageServer("127.0.0.1:0", respond) as first:
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{first.port}"):
            await PageServer(f"127.0.0.1:{first.port}", respond).__aenter__()


async def test_tls():
    """With a context it speaks TLS."""
    authority = trustme.CA()
    ours, theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(ours)
    authority.configure_trust(theirs)
    async with PageServer("127.0.0.1:0", respond, tls=ours) as server:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", server.port, ssl=theirs, server_hostname="localhost"
        )
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert (await reader.read()).endswith(b"hello")
        writer.close()
        await writer.wait_closed()
