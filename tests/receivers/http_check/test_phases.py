"""Each step shows the time that it took, and no other does."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

import pytest
import trustme

from tests.receivers.http_check.bench import Points, errors, measured, value
from tests.receivers.http_check.raw import saying, serving
from tests.servers import program

STEPS = {
    "dns": "httpcheck.dns.lookup.duration",
    "connect": "httpcheck.client.connection.duration",
    "tls": "httpcheck.tls.handshake.duration",
    "request": "httpcheck.client.request.duration",
    "first byte": "httpcheck.response.wait.duration",
    "response": "httpcheck.response.duration",
}
FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LATE = 0.3
LARGE = 4_100_000


def only_slow(found: Points, step: str, least: float = LATE) -> None:
    """One step has taken at least so many seconds, none of the others nearly as long, and the total is the sum."""
    took = {key: found[name][0]["value"] for key, name in STEPS.items() if name in found}
    assert took.pop(step) >= least * 1000 - 1
    assert all(other < least * 500 for other in took.values()), took
    assert value(found, "httpcheck.duration") >= least * 1000


async def test_a_slow_name_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the lookup is slow."""
    ask = socket.getaddrinfo

    def slowly(host: str, *rest: object, **more: object) -> object:
        time.sleep(LATE)
        return ask(host, *rest, **more)  # type: ignore[arg-type]

    async with serving(saying(FINE)) as port:
        monkeypatch.setattr(socket, "getaddrinfo", slowly)
        only_slow(await measured(f"{{endpoint: 'http://localhost:{port}'}}"), "dns")


async def test_an_address_is_not_looked_up() -> None:
    """So there is no such step, and without TLS there is no handshake."""
    async with serving(saying(FINE)) as port:
        found = await measured(f"{{endpoint: 'http://127.0.0.1:{port}'}}")
    assert {key for key, name in STEPS.items() if name in found} == {"connect", "request", "first byte", "response"}
    (point,) = found[STEPS["connect"]]
    assert point["attributes"] == {"http.url": f"http://127.0.0.1:{port}", "network.transport": "tcp"}


async def test_a_server_that_accepts_late() -> None:
    """Only the connection is slow: the server's queue is full for a while, and the system asks it again."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        address = server.getsockname()
        first = socket.create_connection(address)  # it waits in the queue, which is full with it

        def serve() -> None:
            time.sleep(LATE)
            server.accept()[0].close()
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(FINE)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            found = await measured(f"{{endpoint: 'http://127.0.0.1:{address[1]}'}}")
        finally:
            first.close()
            await asyncio.to_thread(thread.join)
    only_slow(found, "connect")


async def test_a_late_handshake(authority: trustme.CA, ca_file: Path) -> None:
    """Only TLS is slow."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)

    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            accepted, _ = server.accept()
            time.sleep(LATE)
            with context.wrap_socket(accepted, server_side=True) as connection:
                connection.recv(65536)
                connection.sendall(FINE)

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"https://localhost:{server.getsockname()[1]}"
        found = await measured(f"{{endpoint: '{url}', tls: {{ca_file: '{ca_file}'}}}}")
        await asyncio.to_thread(thread.join)
    assert errors(found) == []
    only_slow(found, "tls")


async def test_a_server_that_reads_late() -> None:
    """Only sending the request is slow, when it is larger than what the system holds, which takes time to read too."""
    late = 3 * LATE

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(late)
        await reader.readexactly(LARGE)
        writer.write(FINE)
        await writer.drain()

    async with serving(handler, holds=4096) as port:
        found = await measured(f"{{endpoint: 'http://127.0.0.1:{port}', method: PUT, body: {'x' * LARGE}}}")
    assert errors(found) == []
    only_slow(found, "request", late)


async def test_a_late_first_byte() -> None:
    """Only the wait for it is long."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(LATE)
        writer.write(FINE)
        await writer.drain()

    async with serving(handler) as port:
        only_slow(await measured(f"{{endpoint: 'http://127.0.0.1:{port}'}}"), "first byte")


async def test_a_body_that_drips() -> None:
    """Only receiving is slow."""
    pieces = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *[b"1\r\nx\r\n"] * 6, b"0\r\n\r\n"]
    async with serving(saying(*pieces, apart=LATE / 6)) as port:
        found = await measured(f"{{endpoint: 'http://127.0.0.1:{port}'}}")
    only_slow(found, "response")
    assert value(found, "httpcheck.response.size") == 6


@pytest.mark.parametrize(("late", "step"), [(b"", "first byte"), (b"HTTP/1.1 200 OK\r\n", "response")])
async def test_a_timeout_names_the_step(late: bytes, step: str) -> None:
    """The steps before it are there; the one that did not end is not."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(late)
        await asyncio.sleep(60)

    async with serving(handler) as port:
        found = await measured(f"{{endpoint: 'http://127.0.0.1:{port}', timeout: {LATE}s}}")
    assert errors(found) == [f"{step}: timed out"]
    assert STEPS["request"] in found
    assert STEPS[step] not in found
    assert LATE * 1000 <= value(found, "httpcheck.duration") < LATE * 3000


async def test_beside_curl(nginx: int, ca_file: Path) -> None:
    """Each step takes as long as curl says, give or take what two runs differ by."""
    curl = program("curl", "curl")
    url = f"https://localhost:{nginx}/big"
    names = ("namelookup", "connect", "appconnect", "pretransfer", "starttransfer", "total")
    form = json.dumps({name: f"%{{time_{name}}}" for name in names})
    command = [curl, "-4", "-s", "-o", "/dev/null", "--cacert", ca_file, "-w", form, url]
    ran = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=True)
    at = {name: float(text) * 1000 for name, text in json.loads(ran.stdout).items()}
    found = await measured(f"{{endpoint: '{url}', tls: {{ca_file: '{ca_file}'}}}}")
    theirs = {
        "dns": at["namelookup"],
        "connect": at["connect"] - at["namelookup"],
        "tls": at["appconnect"] - at["connect"],
        "request": at["pretransfer"] - at["appconnect"],
        "first byte": at["starttransfer"] - at["pretransfer"],
        "response": at["total"] - at["starttransfer"],
    }
    ours = {step: value(found, name) for step, name in STEPS.items()}
    assert ours == {step: pytest.approx(took, abs=60) for step, took in theirs.items()}
    assert sum(ours.values()) <= value(found, "httpcheck.duration") + len(ours)
    assert value(found, "httpcheck.response.size") == 1_000_000
