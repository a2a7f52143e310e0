"""Python files and processors made from them, for tests of `python`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

from sluiceway.otlp import Signal
from sluiceway.processors.python import COMPONENT, PythonProcessor
from tests.processors.samples import Bench

__all__ = ["running", "until", "write"]


def write(folder: Path, text: str) -> Path:
    """Write `mine.py`, by another name first, so that nobody reads half of it."""
    path, new = folder / "mine.py", folder / "new.py"
    new.write_text(dedent(text))
    new.replace(path)
    return path


@asynccontextmanager
async def running(
    folder: Path, text: str, bench: Bench | None = None, function: str = "mine", **settings: Any
) -> AsyncIterator[tuple[PythonProcessor, Bench]]:
    """A processor with the function `mine` of a file of this text."""
    bench = bench or Bench(frozenset(Signal))
    config = COMPONENT.config.model_validate({"file": str(write(folder, text)), "function": function, **settings})
    async with COMPONENT.create(config, bench.context, bench.sink) as processor:
        yield processor, bench


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread does."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - no event of ours tells it
            await asyncio.sleep(0)
