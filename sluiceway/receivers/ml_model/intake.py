"""Between the sources of records and the engine: threads for what blocks, and what is wrong with each source."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, Protocol, TypeVar

from sluiceway.component import Context
from sluiceway.errors import SluicewayError
from sluiceway.ml.batches import Predictions
from sluiceway.ml.engine import Engine
from sluiceway.receivers.ml_model.records import Read

__all__ = ["Intake", "Source"]

P = ParamSpec("P")
T = TypeVar("T")


class Source(Protocol):
    """A source of records."""

    poll_interval: float

    async def poll(self) -> str:
        """Take in what is new; returns what is wrong with a part of it, and raises when nothing can be had."""

    def close(self) -> None:
        """Let go of what is open."""


class Intake:
    """Asks one source again and again, and hands what it gives to the engine.

    What blocks runs in a thread of the source's own, so that a disk that hangs holds up nobody else.
    """

    def __init__(self, name: str, engine: Engine, context: Context) -> None:
        self.name = name
        self.trouble = ""
        """What is wrong with the source; empty when nothing is."""
        self._engine = engine
        self._context = context
        self._thread = ThreadPoolExecutor(1, f"{context.id} {name}")

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function that may block."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(function, *args, **kwargs))

    def now(self) -> float:
        """Seconds on the collector's clock."""
        return self._context.clock.now()

    def take(self, read: Read) -> None:
        """Hand records to the engine."""
        if read.rejected:
            self._engine.reject(read.rejected)
        for batch in read.batches:
            if isinstance(batch, Predictions):
                self._engine.predictions(batch)
            else:
                self._engine.ground_truth(batch)

    def warn(self, text: str) -> None:
        """Log something that is no error, but may be a mistake."""
        self._context.logger.warning("%s: %s", self.name, text)

    async def follow(self, source: Source) -> None:
        """Poll the source until cancelled. Whatever goes wrong shows in `trouble`, and is tried again."""
        try:
            while True:
                try:
                    self.trouble = await source.poll()
                except Exception as error:  # noqa: BLE001 - whatever is wrong with one source, the others go on
                    self.trouble = self._text(error)
                await self._context.clock.sleep(source.poll_interval)
        finally:
            self._thread.shutdown(wait=False, cancel_futures=True)
            source.close()

    def _text(self, error: Exception) -> str:
        if isinstance(error, OSError | SluicewayError) and str(error):
            return str(error)
        self._context.logger.debug("a source failed", exc_info=error)
        return f"{type(error).__name__}: {error}"
