"""Work that must not stop half-way, whoever gives up waiting for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import TypeVar

__all__ = ["to_its_end"]

T = TypeVar("T")


async def to_its_end(work: Awaitable[T]) -> T:
    """Await something that always comes to its end: a cancellation is raised when it has."""
    running = asyncio.ensure_future(work)
    interrupted = False
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError:
            interrupted = True
    if interrupted:
        with suppress(Exception):
            running.result()
        raise asyncio.CancelledError
    return running.result()
