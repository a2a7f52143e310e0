"""Reads back what the exporter `file` wrote, here or in a Collector, and hands on the same batches: a replay.

Every file is read once, from its beginning to its end, one after the other in the order of their names; with `follow`
reading goes on as the files grow and new ones come. Each record becomes the batch that it was. It goes as fast as the
pipeline takes it: what is refused for now is sent again, as long as it takes, and nothing is read meanwhile. Files are
only ever read.

Records are lines of OTLP/JSON, or OTLP messages with a length of four bytes in front (big-endian), each compressed by
zstd or not; `auto` looks which. A line says which signal it holds, and those that no pipeline takes are passed over and
counted. The others do not: without `format: json` a receiver belongs to the pipelines of one signal.

**What is lost, and what comes twice.** A record that is damaged costs itself. Where its length is damaged the next
sound record is looked for. Half a record at the end of a file is not read; with `follow` its rest may come, and a later
start with `storage` finds it. Each is counted (`sluiceway_receiver_file_damaged_records`) and logged with file and
offset. What the pipeline refuses for good is dropped and counted. With `storage` a replay that was interrupted goes on
where it stood, and no more than the records of the last 256 KiB come twice; without, every start reads everything
again. With `follow` a copy of a file that was read is not read again, as by [file_log](file_log.md). A file that is
compressed as a whole is read if it is gzip.

```yaml
receivers:
  file:
    path: /var/lib/sluiceway/telemetry.json
    format: json
```
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from sluiceway.component import Component, Consumer, Context, Kind, Stability, Status
from sluiceway.errors import ConfigError, Problem
from sluiceway.escape import escape
from sluiceway.otlp import Batch
from sluiceway.parts import Parts
from sluiceway.received import Received
from sluiceway.receivers.file.reader import RecordReader
from sluiceway.receivers.file.records import Decoder
from sluiceway.receivers.file.settings import FileReceiverConfig
from sluiceway.receivers.file.tally import Tally
from sluiceway.stanza.checkpoints import Checkpoints
from sluiceway.stanza.files import Files

__all__ = ["COMPONENT", "FileReceiver", "FileReceiverConfig"]


class FileReceiver:
    """Hands on the batches of files, again and again while they are refused for now."""

    def __init__(self, config: FileReceiverConfig, context: Context, next: Consumer) -> None:
        if config.format != "json" and len(context.signals) > 1:
            text = "records may not say which signal they hold: set `format: json`, or use a receiver for each signal"
            raise ConfigError(Problem(text, "format"))
        parts = Parts(context)
        self._context = parts.part()
        path, patterns = config.path, " ".join(config.include)
        self._absence = escape(f"there is no file {path}" if path else f"no file matches {patterns}")
        self._received = Received(context, "file")
        self._next = next
        self._tally = Tally(context)
        self._checkpoints = Checkpoints(config.storage, parts.part(), otherwise="after a restart records come again")
        settings, limit = config.files, config.max_record_size
        decoder = Decoder(
            context.signals, context.clock.now, format=config.format, compression=config.compression, limit=limit
        )
        reader = RecordReader(
            decoder, self._tally, limit=limit, lines=_lines(config), ends=not config.follow,
            fingerprint=settings.fingerprint_size,
        )  # fmt: skip
        ended = None if config.follow else self._end
        self._files = Files(settings, parts.part(), self._deliver, self._checkpoints, reader=reader, ended=ended)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Begin to read. Raises `StartError` where the storage cannot be used."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._checkpoints)
            await stack.enter_async_context(self._files)
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

    def _end(self) -> None:
        """Tell that everything was read, or that there was nothing to read."""
        if not self._files.found_any:
            text = f"{self._absence}, so nothing was read"
            self._context.logger.warning(text)
            self._context.report(Status.RECOVERABLE_ERROR, text)
            return
        text = f"everything was read: {self._tally.records} records, {self._tally.damaged} of them damaged"
        self._context.logger.info(text)
        self._context.report(Status.OK, text)


def _lines(config: FileReceiverConfig) -> bool | None:
    """Whether the records are lines, None where the settings leave it open."""
    if config.format == "proto" or config.compression == "zstd":
        return False
    return True if config.format == "json" and config.compression == "none" else None


COMPONENT = Component(
    type="file",
    kind=Kind.RECEIVER,
    config=FileReceiverConfig,
    create=FileReceiver,
    stability=Stability.BETA,
)
