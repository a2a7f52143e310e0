"""One scrape: the page of a store, made and compressed a part at a time, so that nothing else has to wait for it.

A page is whole before anybody gets a part of it, so that who reads slowly holds up nobody, and the store neither.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Final, NamedTuple

from sluiceway.prometheus._page import Page
from sluiceway.prometheus._store import Store
from sluiceway.prometheus.families import Family, Format

__all__ = ["Edition", "PageTooLargeError", "Press", "compressed", "parts"]

SLICE: Final = 500
"""Series that are written before others have their turn: less than a millisecond's work, five for histograms."""
PIECE: Final = 64 * 1024
"""Bytes that are compressed and sent before others have their turn: in protobuf a family comes in one part."""
_GZIP: Final = 31
_LEVEL: Final = 1


class Edition(NamedTuple):
    """What decides the bytes of a page."""

    format: Format
    utf8: bool
    gzip: bool


class PageTooLargeError(Exception):
    """A page has more bytes than may be held."""


class Press:
    """Makes pages one at a time, each for all who ask for its edition before it is begun.

    So a page shows what the store had taken when it was asked for, however many ask, and two pages is the most that
    anybody waits for. `plain` makes the parts of a page without compression; one of more than `largest` bytes fails
    with `PageTooLargeError`.
    """

    def __init__(
        self, plain: Callable[[Edition], AsyncGenerator[bytes]], tasks: asyncio.TaskGroup, *, largest: int
    ) -> None:
        self._plain, self._tasks, self._largest = plain, tasks, largest
        self._turn = asyncio.Lock()
        self._next: dict[Edition, asyncio.Future[tuple[bytes, ...]]] = {}

    async def page(self, edition: Edition) -> tuple[bytes, ...]:
        """The parts of a page that is begun from now on."""
        if edition not in self._next:
            self._next[edition] = asyncio.get_running_loop().create_future()
            self._tasks.create_task(self._make(edition, self._next[edition]))
        return await asyncio.shield(self._next[edition])

    async def _make(self, edition: Edition, made: asyncio.Future[tuple[bytes, ...]]) -> None:
        try:
            async with self._turn:
                del self._next[edition]
                made.set_result(await self._print(edition))
        except Exception as error:  # noqa: BLE001 - it is for those who asked
            made.set_exception(error)
        finally:
            made.cancel()  # where this task was

    async def _print(self, edition: Edition) -> tuple[bytes, ...]:
        found, size = [], 0
        plain = self._plain(edition)
        async with aclosing(compressed(plain) if edition.gzip else plain) as made:
            async for part in made:
                if part:  # a compressor gathers before it gives something
                    found.append(part)
                size += len(part)
                if size > self._largest:
                    raise PageTooLargeError(f"the page has more than {self._largest} bytes")
        return tuple(found)


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
