"""Files are looked for, read in turn, and what was read is handed on before more is."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

from sluiceway.component import Context, Status
from sluiceway.errors import StartError
from sluiceway.escape import escape
from sluiceway.stanza.checkpoints import Checkpoints
from sluiceway.stanza.files.positions import Position
from sluiceway.stanza.files.reader import Piece, Reader, Reads, TruncatedError
from sluiceway.stanza.files.settings import FileSettings
from sluiceway.stanza.files.tracked import Tracked
from sluiceway.stanza.files.tracking import Tracking, problem

__all__ = ["Files"]

_BATCH: Final = 256 * 1024
"""Bytes after which what was read of several files is handed on."""
_PATIENCE: Final = 5.0
"""Seconds that a batch under way may take when reading is to end."""

Deliver: TypeAlias = Callable[[list[Any]], Awaitable[None]]
"""Takes entries, or what another reader makes of records.

Returns when the pipeline has them, has refused them for good, or an operator keeps them.
"""


class Files:
    """Reads files. A position moves, and is kept, once the pipeline has answered.

    `waiting` gives the marks of entries that operators keep to join them with others: positions stay in front of those.
    Without it nothing is ever kept. `reader` makes something else of records than entries.

    With `ended` all files are read to their ends, one after the other, and no longer: then it is called. With `again`
    they are read anew each time that all was read.
    """

    def __init__(
        self, settings: FileSettings, context: Context, deliver: Deliver, checkpoints: Checkpoints,
        waiting: Callable[[], Iterable[tuple[str, int, int]]] | None = None,
        *, reader: Reads | None = None, ended: Callable[[], None] | None = None, again: bool = False,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._context = context
        self._deliver = deliver
        self._checkpoints = checkpoints
        self._waiting = waiting
        self._tracking = Tracking(settings)
        self._registry = self._tracking.registry
        self._reader: Reads = reader or Reader(settings, context, marked=waiting is not None)
        self._registry.left = self._reader.leave
        self._ended = ended
        self._again = again
        self._held: dict[str, Position] = {}
        self._told: dict[str, str] = {}
        self._found_any = True
        self._stopping = asyncio.Event()
        context.telemetry.gauge(
            "otelcol_fileconsumer_open_files", lambda: self._registry.open_files, "1", "Files that are open.",
            receiver=context.id,
        )  # fmt: skip

    async def __aenter__(self) -> Self:
        """Begin to read. What is there now, is there before anything that comes later. Raises `StartError`."""
        try:
            self._tracking.load(await self._checkpoints.load(), self._context.clock.now())
        except (OSError, ValueError) as error:
            raise StartError(f"cannot read where reading stood: {error}") from error
        await self._look()
        await self._checkpoints.save({"started": b"1"})
        await self._save()
        tasks = self._tasks = asyncio.TaskGroup()
        await tasks.__aenter__()
        self._task = tasks.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, once what is under way has been answered, or after some seconds: then it is read again next time."""
        self._stopping.set()
        try:
            async with self._context.clock.timeout(_PATIENCE):
                await asyncio.wait([self._task])
        except TimeoutError:
            pass
        finally:
            self._task.cancel()
            try:
                await self._tasks.__aexit__(None, None, None)
            finally:
                self._registry.close()

    @property
    def found_any(self) -> bool:
        """Whether there was a file to read when files were last looked for."""
        return self._found_any

    @property
    def unread(self) -> int:
        """How many files were not read to their ends: they cannot be read, are gone, or became shorter meanwhile."""
        left = {file.path for file in self._registry.files.values() if file.has_more}
        return len(left | self._tracking.problems.keys() | {lost.position.path for lost in self._registry.cut})

    async def settle(self) -> None:
        """Keep all positions, once operators keep nothing any more."""
        await self._save()

    async def _run(self) -> None:
        if self._ended is not None:
            await self._read_once(self._ended)
        else:
            await self._follow()

    async def _read_once(self, ended: Callable[[], None]) -> None:
        for is_last in (False, True):
            for tracked in self._registry.files.values():
                tracked.flush = is_last and tracked.rest
            while not self._stopping.is_set() and await self._turn():
                pass
        if not self._stopping.is_set():
            self._report()
            ended()

    async def _follow(self) -> None:
        clock, interval = self._context.clock, self._settings.poll_interval
        while not self._stopping.is_set():
            due = clock.now() + interval
            while (has_more := await self._turn()) and clock.now() < due and not self._stopping.is_set():
                pass
            if self._again and not has_more:
                self._registry.rewind()
            if clock.now() < due:
                await self._pause(due - clock.now())
            if not self._stopping.is_set():
                await self._look()
                await self._save()

    async def _pause(self, seconds: float) -> None:
        """Sleep, but not when reading is to end."""
        async with asyncio.TaskGroup() as tasks:
            ends = [tasks.create_task(self._context.clock.sleep(seconds)), tasks.create_task(self._stopping.wait())]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for end in ends:
                end.cancel()

    async def _look(self) -> None:
        clock = self._context.clock
        if self._settings.delete_after_read:
            await asyncio.to_thread(self._delete)
        await asyncio.to_thread(self._tracking.look, clock.now(), clock.time_ns() / 1e9)
        self._report()

    async def _turn(self) -> bool:
        """Read a batch of some files and hand it on; whether there may be more."""
        pieces = await asyncio.to_thread(self._read)
        if not pieces:
            return False
        entries = pieces[0].entries if len(pieces) == 1 else [entry for piece in pieces for entry in piece.entries]
        if entries:
            await self._deliver(entries)
        for piece in pieces:
            self._registry.move(piece.tracked, piece.position)
        await self._save()
        return True

    def _read(self) -> list[Piece]:
        """What can be read now, of each file a block, up to a batch."""
        pieces: list[Piece] = []
        size = 0
        now = self._context.clock.time_ns()
        for tracked in [tracked for tracked in self._registry.files.values() if tracked.has_more]:
            piece = self._read_one(tracked, now)
            if piece is not None:
                pieces.append(piece)
                size += piece.size
            if size > _BATCH // 2:
                break
        for piece in pieces if self._ended is None else ():  # whose turn it was comes last
            key = piece.position.key
            self._registry.files[key] = self._registry.files.pop(key)
        return pieces

    def _read_one(self, tracked: Tracked, now: int) -> Piece | None:
        try:
            piece = self._reader.read(tracked, self._registry.opened(tracked), now)
        except TruncatedError:
            self._registry.truncate(tracked)
            return None
        except OSError as error:
            tracked.problem = problem(tracked.path, error)
            return None
        tracked.flush = tracked.flush and tracked.seen != tracked.version
        tracked.problem = ""
        return piece

    def _delete(self) -> None:
        """Delete the files of which the pipeline has all, and that are still what their names lead to."""
        for tracked in self._registry.files.values():
            if tracked.has_more or tracked.rest or tracked.seen != tracked.version:
                continue
            try:
                found = os.stat(tracked.path)  # noqa: PTH116 - as the tracking does
                is_it = (found.st_dev, found.st_ino) == tracked.position.key
                if is_it and (found.st_size, found.st_mtime_ns) == tracked.seen:
                    os.unlink(tracked.path)  # noqa: PTH108
            except FileNotFoundError:
                continue
            except OSError as error:
                tracked.problem = f"cannot delete {escape(tracked.path)}: {error.strerror}"

    async def _save(self) -> None:
        """Keep the positions that moved, but none behind an entry that an operator still keeps."""
        changed, self._registry.changed = self._registry.changed, {}
        if self._waiting is not None:
            self._hold_back(changed)
        await self._checkpoints.save(
            {name: None if position is None else position.dump() for name, position in changed.items()}
        )

    def _hold_back(self, changed: dict[str, Position | None]) -> None:
        assert self._waiting is not None  # noqa: S101 - the caller looked
        first: dict[str, tuple[int, int]] = {}
        for name, offset, number in self._waiting():
            first[name] = min(first.get(name, (offset, number)), (offset, number))
        held, self._held = self._held, {}
        changed |= {name: position for name, position in held.items() if name not in changed}
        for name, (offset, number) in first.items():
            position = changed.get(name)
            if position is not None and position.offset > offset:
                self._held[name] = position
                changed[name] = replace(position, offset=offset, number=number, tail="", skipping=False)

    def _report(self) -> None:
        """Say it when the files that cannot be read are others than before, and when there are none at all."""
        self._report_absence()
        problems = dict(self._tracking.problems)
        problems |= {file.path: file.problem for file in self._registry.files.values() if file.problem}
        if problems == self._told:
            return
        self._told = problems
        if problems:
            text = "; ".join(list(problems.values())[:5])
            self._context.logger.error("%s", text)
            self._context.report(Status.RECOVERABLE_ERROR, text)
        else:
            self._context.logger.info("All files are read again")
            self._context.report(Status.OK)

    def _report_absence(self) -> None:
        if self._tracking.found_any == self._found_any:
            return
        self._found_any = self._tracking.found_any
        text = "no files match the configured criteria"
        if self._found_any:
            self._context.logger.info("There are files that match now")
        else:
            settings = self._settings
            patterns = {"include": list(settings.include), "exclude": list(settings.exclude)}
            self._context.logger.warning(text, extra=patterns)
        if not self._told:
            self._context.report(Status.OK, "" if self._found_any else text)
