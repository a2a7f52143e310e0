"""Follows files of OTLP/JSON, one object a line, as the Collector's `otlpjsonfile`: traces, metrics and logs alike.

Files are followed as by `file_log`: they are told apart by their first bytes and inodes, so that rotation loses nothing
and repeats nothing, and where reading stands moves when the pipeline has answered. Each line becomes one batch. What is
refused for now is sent again, as long as it takes, and nothing more is read meanwhile. For a file that was written once
and is to be read from its beginning to its end, and for other formats, take the receiver `file`.

`start_at: end`, the default, passes over what is in the files at the first start. Lines of signals that no pipeline
takes from here are passed over and counted. A line that is damaged, or longer than `max_log_size`, costs itself: it is
counted (`sluiceway_receiver_file_damaged_records`) and logged with file and offset. A line without an end waits for the
rest, or is taken after `force_flush_period` if it is whole. What may be lost beside that is told at
[file_log](file_log.md).

```yaml
receivers:
  otlp_json_file:
    include: [/var/lib/otel/*.json]
```
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sluiceway.component import Component, Consumer, Context, Kind, Stability
from sluiceway.config.types import StringList
from sluiceway.receivers.file.batches import BatchFiles
from sluiceway.receivers.file.settings import LARGEST_RECORD
from sluiceway.stanza.files import FileSettings
from sluiceway.stanza.files.settings import AnySize, Header, Multiline

__all__ = ["COMPONENT", "OtlpJsonFileConfig", "OtlpJsonFileReceiver"]


class OtlpJsonFileConfig(FileSettings):
    """The settings of the receiver `otlp_json_file`: those of `file_log` that tell which files are read."""

    include: StringList = Field(min_length=1)
    """Files to read, as patterns: `*`, `?`, `[a-z]`, `{a,b}`, and `**` for any number of directories."""
    storage: str | None = None
    """The id of a storage extension that keeps where reading stands, such as `file_storage`; in memory unless set."""
    replay_file: bool = False
    """Whether the files are read from their beginnings again each time that everything was read: data without end, to
    try things out."""
    max_log_size: AnySize = Field(default=LARGEST_RECORD, ge=1, le=LARGEST_RECORD)
    """The longest line, in bytes. Unlike in the Collector, where a line of more than 1 MiB is lost by default."""
    multiline: Multiline | None = None
    """Has no effect."""
    header: Header | None = None
    """Has no effect."""
    encoding: str = "utf-8"
    """Has no effect: OTLP/JSON is UTF-8."""
    max_log_size_behavior: Literal["split", "truncate"] = "split"
    """Has no effect."""


class OtlpJsonFileReceiver(BatchFiles):
    """Follows files of lines."""

    def __init__(self, config: OtlpJsonFileConfig, context: Context, next: Consumer) -> None:
        super().__init__(
            config, context, next, format="json", compression="none", limit=config.max_log_size, lines=True,
            storage=config.storage, is_final=config.delete_after_read, again=config.replay_file,
        )  # fmt: skip


COMPONENT = Component(
    type="otlp_json_file",
    kind=Kind.RECEIVER,
    config=OtlpJsonFileConfig,
    create=OtlpJsonFileReceiver,
    stability=Stability.BETA,
    aliases=("otlpjsonfile",),
)
