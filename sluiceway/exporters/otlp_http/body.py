"""Request bodies and response bodies on aiohttp: one write without a copy, and a read that ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp.payload import Payload

if TYPE_CHECKING:
    from aiohttp import ClientResponse
    from aiohttp.abc import AbstractStreamWriter

__all__ = ["Body", "read_bounded"]


class Body(Payload):
    """Bytes with a Content-Length, given to the transport as they are.

    aiohttp's own payload copies the body to put the headers in front of it, and warns about large ones.
    """

    _autoclose = True

    def __init__(self, content: bytes) -> None:
        super().__init__(content, content_type=None)
        self._size = len(content)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The content as text, which nobody asks for but aiohttp's interface."""
        return bytes(self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Hand over the headers and the content as two pieces, which the transport sends together."""
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
