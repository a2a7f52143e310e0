"""journalctl as a process of ours: started, read, and started again when it ends."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Final, Self, TypeAlias

from sluiceway.component import Context, Reason, Status
from sluiceway.escape import escape
from sluiceway.stanza import Entry
from sluiceway.stanza.checkpoints import Checkpoints
from sluiceway.stanza.journal.command import command
from sluiceway.stanza.journal.entries import read
from sluiceway.stanza.journal.settings import JournalSettings

__all__ = ["Cursors", "Deliver", "Journal"]

Deliver: TypeAlias = Callable[[list[Entry]], Awaitable[None]]
"""Takes entries, and returns when the pipeline has them or has dropped and counted them."""

_CHUNK: Final = 256 * 1024
_LONGEST: Final = 16 * 1024 * 1024
"""Bytes of one entry; a longer one is dropped and counted."""
_SETTLED: Final = 5.0
_FIRST_DELAY: Final = 2.0
_LONGEST_DELAY: Final = 60.0
_CURSOR: Final = "cursor"
_UNSAVED: Final = 65_536
"""Cursors that are known while an operator keeps an entry in front of them; of more the oldest are not needed."""


class Cursors:
    """Where the reading stands. With checkpoints that are durable it is known after a restart."""

    def __init__(self, checkpoints: Checkpoints | None = None) -> None:
        self._checkpoints = checkpoints
        self._cursor = ""

    async def load(self) -> str:
        """The cursor of the last entry that the pipeline took, empty for none."""
        if not self._cursor and self._checkpoints is not None:
            self._cursor = (await self._checkpoints.load()).get(_CURSOR, b"").decode(errors="replace")
        return self._cursor

    async def save(self, cursor: str) -> None:
        """Keep the cursor."""
        self._cursor = cursor
        if self._checkpoints is not None:
            await self._checkpoints.save({_CURSOR: cursor.encode()})


class Journal:
    """Follows the journal. What has arrived is one batch, and the cursor moves once the pipeline has answered.

    `waiting` gives the marks of entries that operators keep to join them with others: the cursor stays in front of
    those. Without it nothing is ever kept.
    """

    def __init__(
        self, settings: JournalSettings, context: Context, deliver: Deliver, cursors: Cursors | None = None, *,
        convert_message_bytes: bool = False, waiting: Callable[[], Iterable[tuple[str, int, int]]] = tuple,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._context = context
        self._deliver = deliver
        self._cursors = cursors or Cursors()
        self._convert = convert_message_bytes
        self._waiting = waiting
        self._read_up_to: deque[tuple[int, str]] = deque(maxlen=_UNSAVED)  # numbers of entries, and their cursors
        self._count = 0
        self._rest = b""
        self._skipping = False
        self._trouble = ""

    async def __aenter__(self) -> Self:
        """Begin to follow."""
        tasks = self._tasks = asyncio.TaskGroup()
        await tasks.__aenter__()
        self._task = tasks.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; what the pipeline has not taken yet is read again next time."""
        self._task.cancel()
        await self._tasks.__aexit__(None, None, None)

    async def _run(self) -> None:
        """Follow until cancelled; a journalctl that cannot be started or ends is started again, later each time."""
        delay = _FIRST_DELAY
        while True:
            problem, has_read = await self._begin()
            delay = _FIRST_DELAY if has_read else min(delay * 2, _LONGEST_DELAY)
            self._report(problem)
            await self._context.clock.sleep(delay)

    async def _begin(self) -> tuple[str, bool]:
        """Follow from where reading stands: what is said about its end, and whether anything was read."""
        try:
            cursor = await self._cursors.load()
        except OSError as error:
            return f"cannot read where reading stood: {error.strerror or error}", False
        try:
            return await self._follow(command(self._settings, cursor))
        except OSError as error:
            return f"cannot start {self._settings.journalctl_path}: {error.strerror or error}", False

    async def _follow(self, call: list[str]) -> tuple[str, bool]:
        """Read one process to its end: what is said about that, and whether anything was read."""
        process = await asyncio.create_subprocess_exec(
            *call, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            limit=_CHUNK, start_new_session=True,
        )  # fmt: skip
        assert process.stdout is not None and process.stderr is not None  # noqa: S101, PT018 - both are pipes
        try:
            async with asyncio.TaskGroup() as tasks:
                said = tasks.create_task(_last_words(process.stderr))
                settled = tasks.create_task(self._settle())
                has_read = await self._read(process.stdout)
                settled.cancel()
            code = await process.wait()
            return f"journalctl ended with code {code}" + (f": {said.result()}" if said.result() else ""), has_read
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
                await process.wait()

    async def _settle(self) -> None:
        """A journalctl that goes on running works, also where there is nothing to read."""
        await self._context.clock.sleep(_SETTLED)
        self._report("")

    async def _read(self, stdout: asyncio.StreamReader) -> bool:
        self._rest, self._skipping = b"", False
        has_read = False
        while chunk := await stdout.read(_CHUNK):
            lines = self._lines(chunk)
            has_read = has_read or bool(lines)
            await self._hand_on(lines)
        return has_read

    def _lines(self, chunk: bytes) -> list[bytes]:
        """The lines that are complete now."""
        *lines, rest = (self._rest + chunk).split(b"\n")
        if self._skipping and lines:
            lines, self._skipping = lines[1:], False
        self._rest = b"" if self._skipping else rest
        if len(self._rest) > _LONGEST:
            self._rest, self._skipping = b"", True
            self._context.drop(1, Reason.TOO_LARGE)
        return [line for line in lines if line]

    async def _hand_on(self, lines: list[bytes]) -> None:
        observed = self._context.clock.time_ns()
        entries: list[Entry] = []
        for line in lines:
            try:
                entry, cursor = read(line, observed, convert_message_bytes=self._convert)
            except ValueError as error:
                self._context.logger.warning("An entry of the journal cannot be read: %s", escape(str(error)))
                self._context.drop(1, Reason.REJECTED)
            else:
                self._count += 1
                entry.mark = ("", self._count, 0)
                self._read_up_to.append((self._count, cursor))
                entries.append(entry)
        if entries:
            self._report("")
            await self._deliver(entries)
            await self.settle()

    async def settle(self) -> None:
        """Save the cursor of the last entry that the pipeline has, with all in front of it."""
        first = min((number for _, number, _ in self._waiting()), default=self._count + 1)
        cursor = ""
        while self._read_up_to and self._read_up_to[0][0] < first:
            _, cursor = self._read_up_to.popleft()
        if cursor:
            await self._cursors.save(cursor)

    def _report(self, problem: str) -> None:
        if problem == self._trouble:
            return
        self._trouble = problem
        if problem:
            self._context.logger.error("%s; it is started again", problem)
            self._context.report(Status.RECOVERABLE_ERROR, problem)
        else:
            self._context.logger.info("The journal is read again")
            self._context.report(Status.OK)


async def _last_words(stderr: asyncio.StreamReader) -> str:
    """The last line that journalctl wrote to its standard error, made fit for a log."""
    last = b""
    while chunk := await stderr.read(4096):
        last = (last + chunk)[-4096:]
    lines = last.decode(errors="replace").strip().splitlines()
    return escape(lines[-1][:500]) if lines else ""
