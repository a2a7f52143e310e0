"""A TCP proxy on loopback that can cut connections at a moment of a test's choice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

__all__ = ["Proxy"]


class Proxy:
    """Passes bytes on both ways. `on_request` sees what the client sends, and says whether the answer is withheld.

    Then the server gets the request and carries it out, and as soon as it has answered, both connections are cut. With
    `hangs` they stay instead, and no byte comes back any more, as from a machine that has gone.
    With `whole_copies` all data of a COPY goes on as one piece with its end, which PostgreSQL in WASM wants.
    """

    def __init__(self, port: int, *, whole_copies: bool = False) -> None:
        self._to = port
        self._whole_copies = whole_copies
        self.port = 0
        self.connections = 0
        self.hangs = False
        self.on_request: Callable[[bytes], bool] = lambda _: False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Proxy]:
        """Listen as long as the block lasts."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        back_reader, back_writer = await asyncio.open_connection("127.0.0.1", self._to)
        cut = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._forward(reader, back_writer, cut))
                tasks.create_task(self._answer(back_reader, writer, cut))
        except* OSError:
            pass
        finally:
            for each in (writer, back_writer):
                with suppress(OSError):
                    each.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cut: asyncio.Event) -> None:
        while data := await reader.read(65536):
            while self._whole_copies and data[:1] == b"d" and not data.endswith(b"c\0\0\0\x04"):
                data += await reader.read(65536)
            if self.on_request(data):
                cut.set()
            writer.write(data)
            await writer.drain()
        writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cut: asyncio.Event) -> None:
        while data := await reader.read(65536):
            if cut.is_set():
                if self.hangs:
                    continue
                break
            writer.write(data)
            await writer.drain()
        writer.transport.abort()
