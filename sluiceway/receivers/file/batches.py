"""A receiver of the batches that stand in files: what those that read records have in common."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from sluiceway.component import Consumer, Context
from sluiceway.otlp import Batch
from sluiceway.parts import Parts
from sluiceway.received import Received
from sluiceway.receivers.file.reader import RecordReader
from sluiceway.receivers.file.records import Decoder
from sluiceway.receivers.file.tally import Tally
from sluiceway.stanza.checkpoints import Checkpoints
from sluiceway.stanza.files import Files, FileSettings

__all__ = ["BatchFiles"]


class BatchFiles:
    """Hands on the batches of files, again and again while they are refused for now.

    Records are of a `format`, compressed or not, lines or not (None looks at each file), and no larger than `limit`.
    With `is_final` half a record at the end of a file is damaged. `ended` and `again` are those of `Files`.
    """

    def __init__(
        self, files: FileSettings, context: Context, next: Consumer, *, format: str, compression: str, limit: int,
        lines: bool | None, storage: str | None, is_final: bool,
        ended: Callable[[], None] | None = None, again: bool = False,
    ) -> None:  # fmt: skip
        parts = Parts(context)
        self.context = parts.part()
        self.tally = Tally(context)
        self._received = Received(context, "file")
        self._next = next
        self._checkpoints = Checkpoints(storage, parts.part(), otherwise="after a restart records come again")
        decoder = Decoder(context.signals, context.clock.now, format=format, compression=compression, limit=limit)
        reader = RecordReader(
            decoder, self.tally, limit=limit, lines=lines, ends=is_final, fingerprint=files.fingerprint_size
        )
        self.files = Files(
            files, parts.part(), self._deliver, self._checkpoints, reader=reader, ended=ended, again=again
        )
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Begin to read. Raises `StartError` where the storage cannot be used."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._checkpoints)
            await stack.enter_async_context(self.files)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop once what is under way has been answered; the rest is read next time."""
        await self._stack.__aexit__(kind, error, trace)

    async def _deliver(self, batches: list[Batch]) -> None:
        for batch in batches:
            await self._received.keep_pushing(batch, self._next)
