"""Keys by pattern, looked for by SCAN a part at a time, so that no measurement costs more for having many keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from sluiceway.receivers.redis.connection import Link, Refused

__all__ = ["Group", "GroupCount", "Walk", "is_pattern"]

STEP: Final = 1000
"""Keys that one SCAN looks at: well under a millisecond of the server's time."""


def is_pattern(name: str) -> bool:
    """Whether SCAN would read a name as a pattern."""
    return any(mark in name for mark in "*?[\\")


class Walk:
    """Goes through the keys of a server that match, again and again. A key may come twice while tables are resized."""

    def __init__(self, pattern: str, kind: str = "") -> None:
        self.complete = False
        """Whether the last part was the end of a pass."""
        self._match = ("MATCH", pattern, "COUNT", STEP)
        self._kind = ("TYPE", kind) if kind else ()
        self._cursor: bytes = b"0"

    async def part(self, link: Link, most: int) -> AsyncIterator[list[bytes]]:
        """Keys as they are found, until `most` were looked at or all were. Raises `Refused`."""
        self.complete = False
        for _ in range(-(-most // STEP)):
            try:
                reply = await link.need("SCAN", self._cursor, *self._match, *self._kind)
            except Refused as refused:
                if not self._kind or "syntax" not in str(refused):
                    raise
                self._kind = ()  # Redis before 6 cannot tell types apart; who asks further sees what is none
                continue
            cursor, keys = reply if isinstance(reply, list) and len(reply) == 2 else (b"0", [])
            self._cursor = cursor if isinstance(cursor, bytes) else b"0"
            yield [key for key in keys if isinstance(key, bytes)] if isinstance(keys, list) else []
            if self._cursor == b"0":
                self.complete = True
                return


@dataclass(frozen=True, slots=True)
class GroupCount:
    """What a complete pass found of a group of keys; `memory` is None when nobody asked."""

    keys: int
    memory: int | None


class Group:
    """The keys of a group on one server."""

    def __init__(self, pattern: str, *, weigh: bool) -> None:
        self.last: GroupCount | None = None
        """What the last complete pass found; None before the first."""
        self._weigh = weigh
        self._walk = Walk(pattern)
        self._keys = 0
        self._memory: int | None = 0

    async def advance(self, link: Link, most: int) -> None:
        """Look at up to `most` keys further. Raises `Refused`, after having counted when only MEMORY USAGE is."""
        refused: Refused | None = None
        async for keys in self._walk.part(link, most):
            self._keys += len(keys)
            if self._weigh and keys and refused is None:
                refused = await self._add_memory(link, keys)
        if self._walk.complete:
            self.last = GroupCount(self._keys, self._memory if self._weigh else None)
            self._keys = self._memory = 0
        if refused is not None:
            raise refused

    async def _add_memory(self, link: Link, keys: list[bytes]) -> Refused | None:
        sizes = await link.ask(*(("MEMORY", "USAGE", key) for key in keys))
        if refused := next((size for size in sizes if isinstance(size, Refused)), None):
            self._memory = None
        elif self._memory is not None:
            self._memory += sum(size for size in sizes if isinstance(size, int))  # None for a key that is gone
        return refused
