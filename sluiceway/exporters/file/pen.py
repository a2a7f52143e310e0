"""Writes batches to files, in a thread: what waits while one write is under way is written together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, TypeVar

from sluiceway.component import Context, PartialSuccess
from sluiceway.errors import RetryableError
from sluiceway.exporters.file.files import Files
from sluiceway.exporters.file.messages import Message, message_maker
from sluiceway.exporters.file.openfile import explain
from sluiceway.exporters.file.segments import Segments
from sluiceway.exporters.file.settings import FileConfig
from sluiceway.otlp import Batch, join

__all__ = ["Pen"]

T = TypeVar("T")

_AT_ONCE: Final = 16 * 1024 * 1024
"""Bytes of batches beyond which the others that wait are written later."""


@dataclass(slots=True, eq=False)
class _Entry:
    """A batch that waits to be written, the messages that it becomes, and what became of it."""

    batch: Batch
    done: asyncio.Future[None]
    messages: list[tuple[str, Message]] = field(default_factory=list)
    left_out: list[Batch] = field(default_factory=list)
    error: OSError | None = None


class Pen:
    """The one writer of an exporter's files, for all its signals. It is in use from `enter` to as many `leave`s."""

    def __init__(self, config: FileConfig, context: Context) -> None:
        self._config = config
        self.files = Files(config, context)
        self._message = message_maker(config)
        groups = config.group_by
        self._segments = Segments(config.path, groups.resource_attribute) if groups.enabled else None
        self.is_published = False
        """Whether the metrics of the files are shown already."""
        self._users = 0
        self._thread: ThreadPoolExecutor
        self._waiting: list[_Entry] = []
        self._is_writing = False

    async def enter(self) -> None:
        """Begin to use it. Whether the file can be written to is for `check` and `write` to say."""
        if not self._users:
            self._thread = ThreadPoolExecutor(1, "file")
        self._users += 1
        with suppress(RetryableError):
            await self.check()

    async def leave(self) -> None:
        """Cease to use it; the last one closes the files."""
        self._users -= 1
        if not self._users:
            await self._run(self.files.close)
            self._thread.shutdown(wait=False)

    async def check(self) -> None:
        """Return when the file can be written to. Raises `RetryableError`."""
        try:
            await self._run(self.files.begin)
        except OSError as error:
            raise self._failure(error) from error

    async def sync(self) -> str:
        """Bring to the disk what was written; what was lost there since it last took something, or nothing."""
        error = await self._run(self.files.sync)
        return f"not on the disk: {explain(error, self._config.path)}" if error is not None else ""

    async def write(self, batch: Batch) -> PartialSuccess | None:
        """Return when a batch is in its files, as far as `fsync` asks for. Raises `RetryableError`.

        A batch is written in whole or not at all. What has no place is left out and told. Cancelled, it returns when
        nothing is under way any more.
        """
        entry = _Entry(batch, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        if not self._is_writing:
            self._start()
        try:
            await asyncio.shield(entry.done)
        except asyncio.CancelledError:
            if entry in self._waiting:
                self._waiting.remove(entry)
            else:
                await asyncio.wait([entry.done])
            raise
        if entry.error is not None:
            raise self._failure(entry.error) from entry.error
        if entry.left_out:
            lost = join(entry.left_out)
            attribute = self._config.group_by.resource_attribute
            return PartialSuccess(lost.items, f"no text in the resource attribute {attribute}, so no file", lost)
        return None

    def _start(self) -> None:
        """Have all that waits written."""
        self._is_writing = True
        count, size = 0, 0
        while count < len(self._waiting) and size < _AT_ONCE:
            size += len(self._waiting[count].batch.payload)
            count += 1
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        loop = asyncio.get_running_loop()
        job = self._thread.submit(self._work, group)
        job.add_done_callback(lambda job: loop.call_soon_threadsafe(self._end, group, job))

    def _end(self, group: list[_Entry], job: Future[None]) -> None:
        self._is_writing = False
        bug = job.exception()
        for entry in group:
            if bug is not None:
                entry.done.set_exception(bug)
            else:
                entry.done.set_result(None)
        if self._waiting:
            self._start()

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _failure(self, error: OSError) -> RetryableError:
        text = explain(error, self._config.path)
        return RetryableError(text, code="UNAVAILABLE", cause=text)

    def _work(self, group: list[_Entry]) -> None:
        for entry in group:
            self._prepare(entry)
        if self._segments is None:
            written = self.files.append(
                self._config.path, [message for entry in group for _, message in entry.messages]
            )
            for entry in group[written.count :]:
                entry.error = written.error
        elif self._write_whole(group) is not None:
            for entry in group:
                entry.error = self._write_whole([entry])

    def _prepare(self, entry: _Entry) -> None:
        if self._segments is None:
            entry.messages.append((self._config.path, self._message(entry.batch)))
            return
        for path, part in self._segments.parts(entry.batch):
            if path is None:
                entry.left_out.append(part)
            else:
                entry.messages.append((path, self._message(part)))

    def _write_whole(self, group: list[_Entry]) -> OSError | None:
        """Write batches that may go to several files: all of them, or none."""
        by_path: dict[str, list[Message]] = {}
        for entry in group:
            for path, message in entry.messages:
                by_path.setdefault(path, []).append(message)
        sizes: dict[str, int] = {}
        for path, messages in by_path.items():
            try:
                sizes[path] = self.files.opened(path).size
            except OSError as error:
                failed: OSError | None = error
            else:
                failed = self.files.append(path, messages).error
            if failed is not None:
                for begun, size in sizes.items():
                    self.files.take_back(begun, size)
                return failed
        return None
