"""Servers that do what a real one seldom does: late, slow or wrong, by a function that is handed each connection."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

__all__ = ["Handler", "saying", "serving"]

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(handler: Handler, *, host: str = "127.0.0.1", holds: int = 0) -> AsyncIterator[int]:
    """Serve for a while; the port. `holds` is how many bytes the system takes in before they are read."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await handler(reader, writer)
        finally:
            writer.transport.abort()

    tasks: set[asyncio.Task[None] | None] = set()
    sock = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=128)
    if holds:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, holds)
    server = await asyncio.start_server(handle, sock=sock)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            if task is not None:
                task.cancel()
        await asyncio.gather(*(task for task in tasks if task is not None), return_exceptions=True)
        await asyncio.sleep(0)  # transports close in the next turn


def saying(*pieces: bytes, apart: float = 0.0) -> Handler:
    """Answers each request with these pieces, and closes."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(apart)
        writer.close()
        await writer.wait_closed()

    return handler
