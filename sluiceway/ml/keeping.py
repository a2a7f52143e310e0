"""References kept in a storage extension, so that drift after a restart is told from what was usual before."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final, Self

from sluiceway.component import Context
from sluiceway.ml.engine import Engine
from sluiceway.stanza.checkpoints import Checkpoints

__all__ = ["Keeper"]

_KEY: Final = "references"


class Keeper:
    """Gives an engine the references that were kept, and keeps them whenever they have changed."""

    def __init__(self, engine: Engine, storage: str | None, context: Context) -> None:
        """Raises `ConfigError` where there is no such storage."""
        self._engine = engine
        self._context = context
        self._kept = engine.changes()
        self._store = Checkpoints(
            storage, context, what="references", otherwise="after a restart they are collected anew"
        )

    async def __aenter__(self) -> Self:
        """Read what was kept. Raises `StartError`, and `OSError` for a store that cannot be read."""
        await self._store.__aenter__()
        kept = (await self._store.load()).get(_KEY)
        if kept is not None:
            try:
                self._engine.restore(kept)
            except ValueError as error:
                self._context.logger.warning("what was kept are no references, and they are collected anew: %s", error)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.save()
        finally:
            await self._store.__aexit__(kind, error, trace)

    async def save(self) -> None:
        """Keep the references, if any has changed."""
        changes = self._engine.changes()
        if not self._store.is_durable or changes == self._kept:
            return
        await self._store.save({_KEY: await asyncio.to_thread(self._engine.snapshot())})
        self._kept = changes
