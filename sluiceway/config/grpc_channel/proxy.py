"""The way through an HTTP proxy."""

from __future__ import annotations

import asyncio
import base64
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from yarl import URL

__all__ = ["Proxy"]

_LARGEST_HEAD: Final = 8 * 1024


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, and the name and password that it wants, as its header has them."""

    host: str
    port: int
    proof: str = ""

    @classmethod
    def at(cls, url: URL) -> Proxy:
        """The proxy that a URL names."""
        proof = f"{url.user}:{url.password or ''}" if url.user else ""
        return cls(url.host or "", url.port or 80, base64.b64encode(proof.encode()).decode())

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


async def _accepted(tunnel: socket.socket) -> None:
    """Read the proxy's answer, byte by byte: what comes behind it is the server's."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = await asyncio.get_running_loop().sock_recv(tunnel, 1)
        head += byte
        if not byte or len(head) > _LARGEST_HEAD:
            raise ConnectionError("the proxy gave no answer")
    status = head.split(b"\r\n", 1)[0].decode("ascii", "replace")
    if not "".join(status.split(" ")[1:2]).startswith("2"):  # any 2xx is a tunnel, RFC 9110 §9.3.6
        raise ConnectionError(f"the proxy says {status}")
