"""Writes batches to a file, one message each: as OTLP/JSON lines or as OTLP bytes; the receiver `file` reads them back.

With `format: json` a message is a line. With `format: proto`, or with `compression: zstd`, which compresses each
message by itself, it is a length of four bytes, big-endian, and that many bytes. Files and defaults are the
Collector's, so **a start empties the file**, unless `append` or `rotation` is set; a reload does not. The JSON form has
no place for fields that are newer than it, so these are left out; `proto` keeps all.

**What is safe.** Nothing is buffered in this process, whatever `flush_interval` says: a batch that was acknowledged
survives `kill -9`. With `fsync: always` it was brought to the disk before, and survives a power cut; batches that come
meanwhile share the next time, so that this is dear for a single sender only. A batch is in its file whole or not at
all: what a full disk cut off is taken back. Messages of which a crash left half are parted from what comes then. For
that a start goes through the lengths of what came since the last 16 MiB, as an extended attribute of the file
(`user.sluiceway.end`) notes how far it is known to be whole; on a file system without these, through all of them.

| What happens | What follows |
| --- | --- |
| no room, a quota, a limit, an error of the disk | it is cut back to the last whole message, batches may come again |
| no directory, or a read-only one; no permission | it starts, the status says so, batches may come again |
| another process or another exporter writes to the file (`flock`) | as above; the file is not touched |
| the file was renamed, deleted or replaced, as logrotate does | it is made anew before the next batch is written |
| the file was truncated (`copytruncate`) | writing goes on at its new end |
| `fsync: always`, and the disk reports an error | the file is cut back, and the batch may come again |
| `fsync: interval`, and the disk reports an error | what was acknowledged since may be lost; the status says so |
| `group_by`, and a resource has no such text | its items are rejected and counted; the others are written |

The status is well again with the next batch that is written, and at the start as soon as the file can be opened; after
an error of the disk with `fsync: interval` only once the disk has taken something again.

Without `retry_on_failure` or a `sending_queue`, both off as in the Collector, whoever sent a batch that was not written
is told at once that it may come again.

`path` may be a pipe or a device, such as `/dev/stdout`, of which nothing can be taken back. That two exporters of one
configuration name the same file is a mistake, which `validate` tells.

With `rotation` a file that would become larger than `max_megabytes` is renamed to `name-2006-01-02T15-04-05.000.ext`
first. With `group_by` the `*` in `path` stands for the value of a resource attribute, and `rotation` has no effect.
Senders write that value: it never leads out of the folder, since whatever is no name (`..`, `/`, a leading dot, control
characters, too many bytes) is replaced and a digest added; unlike in the Collector a `/` makes no folder. Each value
makes a file, so let only senders choose it whom you trust not to make a million.

Metrics: `sluiceway_exporter_file_written` (bytes), `sluiceway_exporter_file_rotations` and
`sluiceway_exporter_file_open_files`.

It writes in a thread of its own. A million spans of 400 bytes take some 0.5 CPU seconds as `proto`, 1.5 with zstd, and
3.3 as `json`; see `benchmarks/`.

```yaml
exporters:
  file:
    path: /var/lib/sluiceway/telemetry.json
    rotation: {max_megabytes: 100, max_backups: 10}
```
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from sluiceway.component import Component, Context, Kind, PartialSuccess, Stability, Status
from sluiceway.exporters.file.pen import Pen
from sluiceway.exporters.file.settings import FileConfig
from sluiceway.otlp import Batch

__all__ = ["COMPONENT", "FileConfig", "FileExporter"]


class FileExporter:
    """Writes the batches of one signal; those of all signals share the file."""

    def __init__(self, config: FileConfig, context: Context) -> None:
        self._config = config
        self._context = context
        if "pen" not in context.shared:
            context.shared["pen"] = Pen(config, context)
        self._pen: Pen = context.shared["pen"]
        self._is_entered = False
        self._unsafe = ""
        """What the status says of the disk."""
        self._tasks: asyncio.TaskGroup
        self._syncing: asyncio.Task[None] | None = None
        self._publish()

    async def __aenter__(self) -> Self:
        """Open the file. Where that fails it is tried again with each batch."""
        self._is_entered = True
        await self._pen.enter()
        if self._config.group_by.enabled and self._config.rotation is not None:
            self._context.logger.warning("With group_by no file is put aside: rotation has no effect")
        self._tasks = asyncio.TaskGroup()
        await self._tasks.__aenter__()
        if self._config.fsync == "interval":
            self._syncing = self._tasks.create_task(self._sync())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file; with `fsync` the disk has everything then."""
        if not self._is_entered:
            return
        self._is_entered = False
        if self._syncing is not None:
            self._syncing.cancel()
        await self._tasks.__aexit__(None, None, None)
        await self._pen.leave()

    async def check_backend(self) -> None:
        """Return when the file can be written to. Raises `RetryableError`."""
        await self._pen.check()

    async def consume(self, batch: Batch) -> PartialSuccess | None:
        """Write the batch, and return when it is as safe as `fsync` says. Raises `RetryableError`."""
        return await self._pen.write(batch) if batch.items else None

    async def _sync(self) -> None:
        """Bring to the disk what was written, and tell when it does not take it, and when it takes something again."""
        while True:
            await self._context.clock.sleep(self._config.flush_interval)
            unsafe = await self._pen.sync()
            if unsafe != self._unsafe:
                self._unsafe = unsafe
                self._context.report(Status.RECOVERABLE_ERROR if unsafe else Status.OK, unsafe)

    def _publish(self) -> None:
        scope, files = self._context.telemetry, self._pen.files
        if self._pen.is_published:
            return
        self._pen.is_published = True
        scope.counter(
            "sluiceway_exporter_file_written", lambda: files.written, "By",
            "Bytes written to files, those that were taken back included.", exporter=self._context.id,
        )  # fmt: skip
        scope.counter(
            "sluiceway_exporter_file_rotations", lambda: files.rotations, "{file}",
            "Files that were put aside.", exporter=self._context.id,
        )  # fmt: skip
        scope.gauge(
            "sluiceway_exporter_file_open_files", lambda: files.open_files, "{file}",
            "Files that are open.", exporter=self._context.id,
        )  # fmt: skip


COMPONENT = Component(
    type="file",
    kind=Kind.EXPORTER,
    config=FileConfig,
    create=FileExporter,
    stability=Stability.BETA,
)
