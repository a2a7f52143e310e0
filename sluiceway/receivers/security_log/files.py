"""The lines of files as they grow. Keys, and what they mean, are those of `file_log`.

A file is known by its device and inode: one that was renamed is read to its end, and one that became shorter is read
from its beginning. Where reading stands is kept in memory only.
"""

from __future__ import annotations

import asyncio
import glob
import os
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from pydantic import Field

from sluiceway.component import Context, Status
from sluiceway.config.types import Duration, Settings, Size
from sluiceway.escape import escape
from sluiceway.receivers.syslog.framing import Trailed
from sluiceway.stanza import Entry

__all__ = ["FileSettings", "Files"]

_CHUNK: Final = 256 * 1024


class FileSettings(Settings):
    """Which files are read."""

    include: tuple[str, ...] = ()
    """Files to read, as patterns; `**` is any number of directories."""
    exclude: tuple[str, ...] = ()
    """Files not to read, as patterns."""
    start_at: Literal["beginning", "end"] = "end"
    """Where to begin in files that are there at the start; those that come later are read from their beginning."""
    poll_interval: Duration = Field(default=0.2, gt=0)
    """How often files are looked at."""
    max_log_size: Size = Field(default=1024 * 1024, ge=1)
    """The longest line; what is longer is cut, and costs the lines around it nothing."""
    max_concurrent_files: int = Field(default=1024, ge=1)
    """Files that are open at the same time; further ones wait until others are gone."""
    include_file_name: bool = True
    """Whether `log.file.name` is added."""
    include_file_path: bool = False
    """Whether `log.file.path` is added."""


@dataclass
class _Open:
    """A file that is being read."""

    path: str
    descriptor: int
    offset: int
    lines: Trailed
    attributes: dict[str, str] = field(default_factory=dict)


class Files:
    """Reads a piece of each file in turn; what was read is handed on before more is."""

    def __init__(
        self, settings: FileSettings, context: Context, deliver: Callable[[list[Entry]], Awaitable[None]]
    ) -> None:
        self._settings = settings
        self._context = context
        self._deliver = deliver
        self._open: dict[tuple[int, int], _Open] = {}
        self._is_first = True
        self._problems: dict[str, str] = {}
        self._told: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        """Begin to read. What is there now, is there before anything that comes later."""
        await asyncio.to_thread(self._look)
        tasks = self._tasks = asyncio.TaskGroup()
        await tasks.__aenter__()
        self._task = tasks.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop and close the files."""
        self._task.cancel()
        await self._tasks.__aexit__(None, None, None)
        for opened in self._open.values():
            os.close(opened.descriptor)
        self._open.clear()

    async def _run(self) -> None:
        while True:
            while await self._read_each():
                pass
            self._report()
            await self._context.clock.sleep(self._settings.poll_interval)
            gone = await asyncio.to_thread(self._look)
            self._report()
            await self._close(gone)

    async def _read_each(self) -> bool:
        """Hand on what came to each file; whether there may be more."""
        has_more = False
        for opened in list(self._open.values()):
            data = await asyncio.to_thread(self._read, opened)
            has_more = has_more or len(data) == _CHUNK
            await self._hand_on(opened, opened.lines.feed(data))
        return has_more

    def _read(self, opened: _Open) -> bytes:
        try:
            if os.fstat(opened.descriptor).st_size < opened.offset:  # copied and truncated
                opened.offset = 0
                opened.lines = Trailed(b"\n", self._settings.max_log_size)
            data = os.pread(opened.descriptor, _CHUNK, opened.offset)
        except OSError as error:
            self._problems[opened.path] = _problem(opened.path, error)
            return b""
        opened.offset += len(data)
        return data

    async def _hand_on(self, opened: _Open, lines: list[bytes]) -> None:
        if lines:
            now = self._context.clock.time_ns()
            texts = (line.decode(errors="replace").removesuffix("\r") for line in lines)
            await self._deliver([Entry(text, now, opened.attributes, {}) for text in texts if text])

    async def _close(self, gone: list[tuple[int, int]]) -> None:
        """Read files to their end that have no name of ours any more, and close them."""
        for key in gone:
            opened = self._open.pop(key)
            try:
                while data := await asyncio.to_thread(self._read, opened):
                    await self._hand_on(opened, opened.lines.feed(data))
                await self._hand_on(opened, opened.lines.end())
            finally:
                os.close(opened.descriptor)

    def _look(self) -> list[tuple[int, int]]:
        """Open what is new; give those that are open and were not found."""
        found: set[tuple[int, int]] = set()
        self._problems.clear()
        for path in self._paths():
            try:
                status = Path(path).stat()
                key = (status.st_dev, status.st_ino)
                found.add(key)
                if key not in self._open and len(self._open) < self._settings.max_concurrent_files:
                    at_end = self._is_first and self._settings.start_at == "end"
                    self._open[key] = self._new(path, status.st_size if at_end else 0)
            except OSError as error:
                self._problems[path] = _problem(path, error)
        self._is_first = False
        return [key for key in self._open if key not in found]

    def _paths(self) -> Iterator[str]:
        excluded = {path for pattern in self._settings.exclude for path in _matching(pattern)}
        for pattern in self._settings.include:
            for path in _matching(pattern):
                if path not in excluded and Path(path).is_file():
                    yield path

    def _new(self, path: str, offset: int) -> _Open:
        settings = self._settings
        named = {"log.file.name": Path(path).name} if settings.include_file_name else {}
        if settings.include_file_path:
            named["log.file.path"] = path
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        return _Open(path, descriptor, offset, Trailed(b"\n", settings.max_log_size), named)

    def _report(self) -> None:
        """Say it when the files that cannot be read are others than before."""
        if self._problems == self._told:
            return
        self._told = dict(self._problems)
        if self._told:
            text = "; ".join(list(self._told.values())[:5])
            self._context.logger.error("%s", text)
            self._context.report(Status.RECOVERABLE_ERROR, text)
        else:
            self._context.logger.info("All files are read again")
            self._context.report(Status.OK)


def _matching(pattern: str) -> Iterator[str]:
    return glob.iglob(pattern, recursive=True)  # noqa: PTH207 - patterns may be absolute


def _problem(path: str, error: OSError) -> str:
    return f"cannot read {escape(path)}: {error.strerror or error}"
