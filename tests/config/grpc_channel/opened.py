"""A channel to a backend, for tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager

from sluiceway.config.grpc_channel import Channel
from sluiceway.config.grpc_client import GrpcClient

METHOD = "/test.Service/Export"


async def until(is_so: Callable[[], bool]) -> None:
    """Let everything else go on until something is so."""
    while not is_so():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0)


@asynccontextmanager
async def calling(backend, endpoint: str = "", **settings):
    """What calls a backend, on a channel that is closed at the end."""
    given = {"endpoint": endpoint or f"http://127.0.0.1:{backend.port}", "compression": "zstd"}
    if backend is not None:
        given["compression"] = backend.compression
    client = GrpcClient(**given | settings)
    channel = Channel(client, client.tls.ssl_context() if client.is_encrypted else None)
    try:
        yield channel.unary_unary(METHOD)
    finally:
        await channel.close()
