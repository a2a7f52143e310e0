"""One scrape: the page of a store, made and compressed a part at a time, so that nothing else has to wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Final

from sluiceway.prometheus._page import Page
from sluiceway.prometheus._store import Store
from sluiceway.prometheus.families import Family, Format

__all__ = ["compressed", "parts"]

SLICE: Final = 500
"""Series that are written before others have their turn: less than a millisecond's work, five for histograms."""
PIECE: Final = 256 * 1024
"""Bytes that are compressed and sent before others have their turn: in protobuf a family comes in one part."""
_GZIP: Final = 31
_LEVEL: Final = 1


async def parts(
    store: Store, claims: Mapping[str, Family], format: Format, *, utf8: bool, timestamps: bool, limit: float
) -> AsyncGenerator[bytes]:
    """All series that have been seen since `limit`, seconds of the monotonic clock."""
    page = Page(store, claims, format, utf8=utf8, timestamps=timestamps, limit=limit)
    try:
        while (part := page.slice(SLICE)) is not None:
            for begin in range(0, len(part), PIECE):
                yield part[begin : begin + PIECE]
                await asyncio.sleep(0)
            if not part:
                await asyncio.sleep(0)
    finally:
        page.close()


async def compressed(plain: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """The same in gzip."""
    from isal import isal_zlib

    compressor = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _GZIP)
    async with aclosing(plain):
        async for part in plain:
            yield compressor.compress(part)
    yield compressor.flush()
