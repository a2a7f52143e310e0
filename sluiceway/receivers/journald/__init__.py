"""Follows the journal of systemd by `journalctl --follow --output=json`, which must be there and may read it.

Each entry becomes a log record whose body is the map of its fields, with the time of the journal. What has arrived is
handed on as one batch. While the pipeline refuses, nothing more is read: the journal itself holds what comes. The
cursor moves on once the pipeline has answered; with `storage` it survives a restart, and the last batch is then read
twice at worst. Without, reading begins anew at `start_at`. What journald deletes before it was read is lost.

A journalctl that cannot be started or that ends is started again after 2s, and later each time, up to 60s; the status
says why meanwhile. A single entry of more than 16 MiB is dropped and counted.

```yaml
receivers:
  journald:
    units: [ssh, nginx]
```
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from pydantic import Field

from sluiceway.component import Component, Consumer, Context, Kind, Stability
from sluiceway.otlp import Signal, accept
from sluiceway.received import Received
from sluiceway.receivers.journald.follow import Cursors, Journal
from sluiceway.receivers.journald.settings import JournalSettings
from sluiceway.stanza import Entry
from sluiceway.stanza.encoding import encode

__all__ = ["COMPONENT", "JournaldConfig", "JournaldReceiver"]


class JournaldConfig(JournalSettings):
    """The settings of the receiver `journald`."""

    convert_message_bytes: bool = False
    """Whether a message that is no text, which comes as a list of bytes, is made one."""
    attributes: dict[str, str] = Field(default_factory=dict)
    """Attributes that every record gets."""
    resource: dict[str, str] = Field(default_factory=dict)
    """Resource attributes that every record gets."""


class JournaldReceiver:
    """Hands on what it reads, again and again while it is refused for now."""

    def __init__(self, config: JournaldConfig, context: Context, next: Consumer) -> None:
        self._config = config
        self._next = next
        self._received = Received(context)
        self._journal = Journal(
            config, context, self._deliver, Cursors(), convert_message_bytes=config.convert_message_bytes
        )

    async def __aenter__(self) -> Self:
        """Begin to follow."""
        await self._journal.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; what the pipeline has not taken yet is read again next time."""
        await self._journal.__aexit__(kind, error, trace)

    async def _deliver(self, entries: list[Entry]) -> None:
        config = self._config
        for entry in entries:
            entry.attributes.update(config.attributes)
            entry.resource.update(config.resource)
        batch = accept(Signal.LOGS, encode(entries, "sluiceway/journald"))
        await self._received.keep_pushing(batch, self._next)


COMPONENT = Component(
    type="journald",
    kind=Kind.RECEIVER,
    config=JournaldConfig,
    create=JournaldReceiver,
    signals=frozenset({Signal.LOGS}),
    stability=Stability.BETA,
)
