"""Connections whose steps are timed: the lookup of the name, TCP (by a proxy or not), and the TLS handshake."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address
from time import perf_counter
from typing import Any, Final, NamedTuple, TypeAlias

from yarl import URL

from sluiceway.config.http_client import Way
from sluiceway.receivers.http_check.failures import CheckError

__all__ = ["Connection", "Steps", "Tls", "connect", "peek"]

LARGEST_ANSWER: Final = 8192
"""Bytes of a proxy's answer to CONNECT."""
_HEAD_START: Final = 0.25
"""Seconds after which the next address is tried beside the first (RFC 8305)."""
_Addresses: TypeAlias = "list[tuple[int, int, int, str, Any]]"


@dataclass
class Steps:
    """How long each step took, in seconds; over redirects they add up. A step that fails is not in `spent`."""

    current: str = "dns"
    """The step that is under way."""
    spent: dict[str, float] = field(default_factory=dict)

    def add(self, step: str, seconds: float) -> None:
        """Add to the time of a step."""
        self.spent[step] = self.spent.get(step, 0.0) + seconds

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Time a step."""
        self.current = step
        began = perf_counter()
        yield
        self.add(step, perf_counter() - began)


class Tls(NamedTuple):
    """How to encrypt."""

    context: ssl.SSLContext
    name: str
    """The name that the certificate must have."""


class Connection(NamedTuple):
    """An open connection. It is closed by `abort`, which waits for nobody."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def certificate(self) -> bytes | None:
        """What the server showed, in DER; None without TLS."""
        encrypted = self.writer.get_extra_info("ssl_object")
        return None if encrypted is None else encrypted.getpeercert(binary_form=True)

    def abort(self) -> None:
        """Close at once."""
        self.writer.transport.abort()


async def connect(url: URL, way: Way, tls: Tls | None, steps: Steps, lookups: Executor) -> Connection:
    """Connect to the server of a URL, or to its proxy; raise `OSError` or `CheckError`."""
    target = way.proxy or url
    addresses = await _look_up(target.raw_host or "", target.port or 0, steps, lookups)
    with steps.timed("connect"):
        sock = await _open(addresses)
        try:
            if way.proxy is not None and tls is not None:
                await _ask_proxy(sock, url, way)
        except BaseException:
            sock.close()
            raise
    if tls is None:
        return await _streams(sock)
    with steps.timed("tls"):
        return await _streams(sock, tls)


async def peek(url: URL, way: Way, tls: Tls, lookups: Executor) -> bytes | None:
    """The certificate that a server shows, in DER, whether it is valid or not; nothing is sent to that server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = await connect(url, way, Tls(context, tls.name), Steps(), lookups)
    try:
        return connection.certificate
    finally:
        connection.abort()


async def _look_up(host: str, port: int, steps: Steps, lookups: Executor) -> _Addresses:
    steps.current = "dns"
    took, addresses = await asyncio.get_running_loop().run_in_executor(lookups, partial(_ask, host, port))
    if not _is_address(host):
        steps.add("dns", took)
    return addresses


def _ask(host: str, port: int) -> tuple[float, _Addresses]:
    began = perf_counter()  # here, so that waiting for a thread is no lookup
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return perf_counter() - began, addresses  # type: ignore[return-value]


def _is_address(host: str) -> bool:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


async def _open(addresses: _Addresses) -> socket.socket:
    from aiohappyeyeballs import start_connection

    sock = await start_connection(addresses, happy_eyeballs_delay=_HEAD_START, interleave=1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


async def _ask_proxy(sock: socket.socket, url: URL, way: Way) -> None:
    """Have the proxy connect to the server (CONNECT, RFC 9110 9.3.6)."""
    host = f"[{url.host}]" if ":" in (url.raw_host or "") else url.raw_host
    lines = [f"CONNECT {host}:{url.port} HTTP/1.1", f"Host: {host}:{url.port}"]
    lines += [f"{name}: {value}" for name, value in (way.proxy_headers or {}).items()]
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, "\r\n".join([*lines, "", ""]).encode("latin-1"))
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = await loop.sock_recv(sock, LARGEST_ANSWER)
        answer += piece
        if not piece or len(answer) > LARGEST_ANSWER:
            raise CheckError("the proxy does not answer as a proxy")
    version, _, rest = answer.partition(b" ")
    if not version.startswith(b"HTTP/1.") or not rest.startswith(b"2") or not answer.endswith(b"\r\n\r\n"):
        raise CheckError("the proxy refuses")


async def _streams(sock: socket.socket, tls: Tls | None = None) -> Connection:
    secure: dict[str, Any] = {}
    if tls is not None:
        secure = {"ssl": tls.context, "server_hostname": tls.name, "ssl_handshake_timeout": 3600.0}
    try:
        reader, writer = await asyncio.open_connection(sock=sock, **secure)
    except BaseException:
        sock.close()
        raise
    writer.transport.set_write_buffer_limits(0)  # a request is written when the system has taken all of it
    return Connection(reader, writer)
