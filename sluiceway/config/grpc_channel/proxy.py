"""The HTTP proxy that the environment names for gRPC, by grpcio's rules, and the way through it."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

__all__ = ["Proxy", "proxy_for"]

_VARIABLES: Final = ("grpc_proxy", "https_proxy", "http_proxy")
_EXCEPTIONS: Final = ("no_grpc_proxy", "no_proxy")
_LARGEST_HEAD: Final = 8 * 1024


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, and the name and password that it wants, as its header has them."""

    host: str
    port: int
    proof: str = ""

    async def tunnel(self, family: int, address: str, to: str) -> socket.socket:
        """Connect to `to`, `host:port`, through the proxy at this address; raise `OSError`."""
        loop, tunnel = asyncio.get_running_loop(), socket.socket(family, socket.SOCK_STREAM)
        try:
            tunnel.setblocking(False)
            await loop.sock_connect(tunnel, (address, self.port))
            proof = f"Proxy-Authorization: Basic {self.proof}\r\n" if self.proof else ""
            await loop.sock_sendall(tunnel, f"CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n{proof}\r\n".encode())
            await _accepted(tunnel)
        except BaseException:
            tunnel.close()
            raise
        return tunnel


def proxy_for(host: str) -> Proxy | None:
    """The proxy to reach a host by; None for the straight way."""
    url = urlsplit(_first(_VARIABLES))
    if url.scheme != "http" or not url.hostname or _is_excepted(host):
        return None
    proof = f"{unquote(url.username)}:{unquote(url.password or '')}" if url.username else ""
    return Proxy(url.hostname, url.port or 80, base64.b64encode(proof.encode()).decode())


def _first(variables: tuple[str, ...]) -> str:
    return next((value for name in variables if (value := os.environ.get(name))), "")


def _is_excepted(host: str) -> bool:
    names = (name.strip().lstrip(".") for name in _first(_EXCEPTIONS).split(","))
    return any(name in ("*", host) or (name and host.endswith(f".{name}")) for name in names)


async def _accepted(tunnel: socket.socket) -> None:
    """Read the proxy's answer, byte by byte: what comes behind it is the server's."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = await asyncio.get_running_loop().sock_recv(tunnel, 1)
        head += byte
        if not byte or len(head) > _LARGEST_HEAD:
            raise ConnectionError("the proxy gave no answer")
    status = head.split(b"\r\n", 1)[0].decode("ascii", "replace")
    if status.split(" ")[1:2] != ["200"]:
        raise ConnectionError(f"the proxy says {status}")
