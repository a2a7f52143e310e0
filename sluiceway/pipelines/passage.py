"""The door of an exporter without a queue: it is not left while senders are inside."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from sluiceway.pipelines.request import Request, Sender

__all__ = ["Passage"]


class Passage:
    """Counts the requests under way. Leaving waits for them: a reload may take an exporter from its senders."""

    def __init__(self, sender: Sender) -> None:
        self._next = sender
        self._under_way = 0
        self._quiet = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._under_way:
            self._quiet.clear()
            await self._quiet.wait()

    async def send(self, request: Request) -> None:
        """Send on."""
        self._under_way += 1
        try:
            await self._next.send(request)
        finally:
            self._under_way -= 1
            self._quiet.set()
