"""The question, asked after the start, whether an exporter's backend is there and lets us in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Self

from sluiceway.component import Checked, Context
from sluiceway.config.exporter import RetryOnFailure
from sluiceway.errors import RetryableError
from sluiceway.pipelines.observation import Counts, Health, describe, needs_help
from sluiceway.pipelines.retry import Backoff

__all__ = ["BackendCheck"]

PATIENCE: Final = 30.0
"""Seconds for one answer."""


class BackendCheck:
    """Asks until the answer is good or data were delivered, and tells in the log and to health checks while it is not.

    Entering asks in the background: a collector starts although a backend is away. The same trouble of the instances
    for several signals is logged once. `missing` says what did not come in time.
    """

    def __init__(
        self,
        exporter: Checked,
        counts: Counts,
        health: Health,
        context: Context,
        random: Callable[[], float],
        missing: str = "no answer",
    ) -> None:
        self._exporter = exporter
        self._counts = counts
        self._health = health
        self._clock = context.clock
        self._logger = context.logger
        self._told: set[str] = context.shared.setdefault("troubles at the start", set())
        self._backoff = Backoff(RetryOnFailure(), random)
        self._missing = missing
        self._tasks = AsyncExitStack()

    async def __aenter__(self) -> Self:
        tasks = await self._tasks.enter_async_context(asyncio.TaskGroup())
        self._tasks.callback(tasks.create_task(self._ask(), name="exporter-backend-check").cancel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._tasks.aclose()

    async def _ask(self) -> None:
        while (trouble := await self._trouble()) is not None and not self._counts.sent:
            self._health.troubled(describe(trouble))
            self._tell(trouble)
            await self._clock.sleep(self._backoff.next())
        if self._told:
            self._told.clear()
            self._logger.info("The exporter's backend can be used now.")
        self._health.well()

    async def _trouble(self) -> Exception | None:
        try:
            async with self._clock.timeout(PATIENCE):
                await self._exporter.check_backend()
        except TimeoutError:
            text = f"{self._missing} within {PATIENCE:g}s"
            return RetryableError(text, code="DEADLINE_EXCEEDED", cause=text)
        except Exception as error:  # whatever an exporter raises, it must not end the collector
            return error
        return None

    def _tell(self, trouble: Exception) -> None:
        text = str(trouble) or type(trouble).__name__
        if text not in self._told:
            self._told.add(text)
            level = logging.ERROR if needs_help(trouble) else logging.WARNING
            self._logger.log(level, "The exporter's backend cannot be used.", extra={"error": text})
