"""The exporter for tests, and what stands in the files that it wrote."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sluiceway.component import Context, Kind
from sluiceway.exporters.file import COMPONENT, FileExporter
from sluiceway.otlp import Batch, Signal, accept
from sluiceway.otlp.json import decode
from sluiceway.testing import settings

__all__ = ["exporter", "files", "largest_file", "lines", "messages", "until"]


def exporter(keys: str, signal: Signal = Signal.TRACES, **context: Any) -> FileExporter:
    """An exporter with these settings."""
    config = settings(COMPONENT, f"exporters: {{file: {{{keys}}}}}")
    return FileExporter(config, Context("file", Kind.EXPORTER, frozenset({signal}), **context))


def files(folder: Path, pattern: str = "*") -> list[Path]:
    """What is in a folder, in the order of names."""
    return sorted(folder.glob(pattern))


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file of this process may grow beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def messages(path: Path) -> Iterator[bytes]:
    """The messages of a file that have their length in front. All of them are whole."""
    data = path.read_bytes()
    while data:
        size = int.from_bytes(data[:4], "big")
        assert len(data) >= 4 + size
        yield data[4 : 4 + size]
        data = data[4 + size :]


def lines(path: Path, signal: Signal = Signal.TRACES) -> list[Batch]:
    """The batches of a file of lines. All of them are whole."""
    data = path.read_bytes()
    assert not data or data.endswith(b"\n")
    return [accept(signal, decode(signal, line)) for line in data.splitlines()]


async def until(holds: Callable[[], object]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - what is waited for happens elsewhere
            await asyncio.sleep(0.01)
