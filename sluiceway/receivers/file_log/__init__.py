"""Reads the lines of files as they grow, through rotation, and where `storage` is named, through restarts.

Each line, or what `multiline` makes one, becomes a log record: the body is its text, `log.file.name` an attribute.
`operators` make more of it. Files are only ever read, unless `delete_after_read` is set.

**What is lost, and what comes twice.** A file is known by its first bytes and its inode, so that one that was renamed
is read to its end and not once more, a copy of it is not read again, and one that was truncated is read anew. Where
reading stands moves only when the pipeline has answered for a batch (of some 256 KiB), and what is refused for now is
sent again, as long as it takes. With `storage` that place survives `kill -9` and a power cut. What was handed on but
not yet noted then comes again: the one batch under way, and nothing else; `include_file_record_offset` lets a backend
tell. Nothing that came into the file is left out, unless

- without `storage`, what is written while the collector does not run: `start_at` decides (a reload loses nothing);
- the file is truncated or deleted before it was read, and no copy of it is among the files that `include` names. With
  logrotate's `copytruncate`, include the copies (`app.log*`); what is written between copy and truncation is lost by
  logrotate itself;
- a file is begun and renamed out of `include` while the collector does not run (include the rotated names, too), or is
  then deleted or moved to another folder, or comes and goes between two polls;
- two files have the same content: they count as one until they differ, as in the Collector;
- a pipeline answers before its data is safe, as one with a queue in memory does, or refuses data for good, as a backend
  may: it is then counted as dropped.

A record longer than `max_log_size` costs itself. Lines without an end wait `force_flush_period` for the rest. Bytes
that are no text in the `encoding` are replaced.

```yaml
receivers:
  file_log:
    include: [/var/log/myapp/*.log]
```
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from pydantic import Field

from sluiceway.component import Component, Consumer, Context, Kind, Stability
from sluiceway.config.types import StringList
from sluiceway.otlp import Signal
from sluiceway.parts import Parts
from sluiceway.received import Received
from sluiceway.stanza.checkpoints import Checkpoints
from sluiceway.stanza.files import Files, FileSettings
from sluiceway.stanza.outlet import Outlet, OutletSettings, pushing

__all__ = ["COMPONENT", "FileLogConfig", "FileLogReceiver"]


class FileLogConfig(FileSettings, OutletSettings):
    """The settings of the receiver `file_log`."""

    include: StringList = Field(min_length=1)
    """Files to read, as patterns: `*`, `?`, `[a-z]`, `{a,b}`, and `**` for any number of directories."""
    storage: str | None = None
    """The id of a storage extension that keeps where reading stands, such as `file_storage`; in memory unless set."""


class FileLogReceiver:
    """Hands on what it reads, again and again while it is refused for now."""

    def __init__(self, config: FileLogConfig, context: Context, next: Consumer) -> None:
        parts = Parts(context)
        self._checkpoints = Checkpoints(config.storage, parts.part())
        self._outlet = Outlet(config, context, pushing(Received(context), next, "sluiceway/file_log"))
        waiting = self._outlet.marks if self._outlet.keeps else None
        self._files = Files(config, parts.part(), self._outlet.deliver, self._checkpoints, waiting)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Begin to read. Raises `StartError` where the storage cannot be used."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._checkpoints)
            stack.push_async_callback(self._files.settle)
            await stack.enter_async_context(self._outlet)
            await stack.enter_async_context(self._files)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop once what is under way has been answered; the rest is read next time."""
        await self._stack.__aexit__(kind, error, trace)


COMPONENT = Component(
    type="file_log",
    kind=Kind.RECEIVER,
    config=FileLogConfig,
    create=FileLogReceiver,
    signals=frozenset({Signal.LOGS}),
    stability=Stability.BETA,
    aliases=("filelog",),
)
