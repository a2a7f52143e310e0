"""The sources of records, opened as the settings have them, and followed until the receiver ends."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Self

from sluiceway.component import Context
from sluiceway.ml.engine import Engine
from sluiceway.receivers.ml_model.files import Files
from sluiceway.receivers.ml_model.intake import Intake, Source
from sluiceway.receivers.ml_model.records import Reader
from sluiceway.receivers.ml_model.reference import Reference
from sluiceway.receivers.ml_model.sql import Query

if TYPE_CHECKING:
    from sluiceway.receivers.ml_model import MlModelSettings

__all__ = ["Sources"]


class Sources:
    """All sources of records of one receiver, each a task of its own."""

    def __init__(self, settings: MlModelSettings, engine: Engine, context: Context) -> None:
        self._context = context
        self._engine = engine
        self._opened: list[tuple[Intake, Source]] = []
        sources = (*settings.files.values(), *settings.sql.values())
        joined = any(source.records == "ground_truth" for source in sources)
        for name, files in settings.files.items():
            intake = self._intake(name)
            self._add(intake, Files(files, Reader(files, settings, context.clock, joined=joined), intake))
        for name, query in settings.sql.items():
            intake = self._intake(name)
            self._add(intake, Query(query, Reader(query, settings, context.clock, joined=joined), intake))
        given = settings.reference
        if given.file or given.query:
            intake = self._intake("reference")
            self._add(intake, Reference(given, settings, engine, intake, context))
        self._tasks = asyncio.TaskGroup()
        self._running: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._running = [self._tasks.create_task(intake.follow(source)) for intake, source in self._opened]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._running:
            task.cancel()
        await self._tasks.__aexit__(None, None, None)

    def troubles(self) -> dict[str, str]:
        """What is wrong with each source, by its name; empty texts for those with which nothing is."""
        return {intake.name: intake.trouble for intake, _ in self._opened}

    def _intake(self, name: str) -> Intake:
        return Intake(name, self._engine, self._context)

    def _add(self, intake: Intake, source: Source) -> None:
        self._opened.append((intake, source))
