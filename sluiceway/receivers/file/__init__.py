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
compressed as a whole is read if it is gzip. Without `follow` the status says at the end that everything was read, or
how many files were not: those that cannot be read, that are gone, or that became shorter meanwhile.

**Memory.** No more than some 16 MiB of batches and one record (`max_record_size`) are held, however small they are as
compressed.

```yaml
receivers:
  file:
    path: /var/lib/sluiceway/telemetry.json
    format: json
```
"""

from __future__ import annotations

import logging

from sluiceway.component import Component, Consumer, Context, Kind, Stability, Status
from sluiceway.errors import ConfigError, Problem
from sluiceway.escape import escape
from sluiceway.receivers.file.batches import BatchFiles
from sluiceway.receivers.file.settings import FileReceiverConfig

__all__ = ["COMPONENT", "FileReceiver", "FileReceiverConfig"]


class FileReceiver(BatchFiles):
    """Reads files to their ends, or follows them."""

    def __init__(self, config: FileReceiverConfig, context: Context, next: Consumer) -> None:
        if config.format != "json" and len(context.signals) > 1:
            text = "records may not say which signal they hold: set `format: json`, or use a receiver for each signal"
            raise ConfigError(Problem(text, "format"))
        path, patterns = config.path, " ".join(config.include)
        self._absence = escape(f"there is no file {path}" if path else f"no file matches {patterns}")
        super().__init__(
            config.files, context, next,
            format=config.format, compression=config.compression, limit=config.max_record_size, lines=_lines(config),
            storage=config.storage, is_final=not config.follow, ended=None if config.follow else self._end,
        )  # fmt: skip

    def _end(self) -> None:
        """Tell that everything was read, or what was not."""
        read = f"{self.tally.records} records, {self.tally.damaged} of them damaged"
        if not self.files.found_any:
            self._tell(f"{self._absence}, so nothing was read", Status.RECOVERABLE_ERROR)
        elif unread := self.files.unread:
            self._tell(f"not everything was read: {unread} files not to their ends; {read}", Status.RECOVERABLE_ERROR)
        else:
            self._tell(f"everything was read: {read}", Status.OK)

    def _tell(self, text: str, status: Status) -> None:
        self.context.logger.log(logging.INFO if status is Status.OK else logging.WARNING, text)
        self.context.report(status, text)


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
