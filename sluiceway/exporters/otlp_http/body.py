"""Request and response bodies on aiohttp: a single write, and a read that ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp.payload import Payload

if TYPE_CHECKING:
    from aiohttp import ClientResponse
    from aiohttp.abc import AbstractStreamWriter

__all__ = ["Body", "read_bounded"]

JOINED: Final = 1024 * 1024
"""Bytes: larger bodies are not copied."""


class Body(Payload):
    """Bytes with a Content-Length, given to the transport in one write.

    aiohttp's own payload warns about large ones, and always copies a body to put the headers in front of it.
    """

    _autoclose = True

    def __init__(self, content: bytes) -> None:
        super().__init__(content, content_type=None)
        self._size = len(content)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The content as text, which nobody asks for but aiohttp's interface."""
        return bytes(self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Hand over the headers and the content, joined where a copy costs less than another system call."""
        if len(self._value) > JOINED:
            writer.send_headers()
        await writer.write(self._value)


async def read_bounded(response: ClientResponse, limit: int) -> bytes | None:
    """Read a response's body; None when it is larger than `limit` bytes, and then its connection will be closed."""
    pieces = bytearray()
    while piece := await response.content.read(limit + 1 - len(pieces)):
        pieces += piece
        if len(pieces) > limit:
            response.close()
            return None
    return bytes(pieces)
