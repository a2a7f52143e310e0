"""Follows the journal of systemd by `journalctl --follow --output=json`, which must be there and may read it.

Each entry becomes a log record whose body is the map of its fields, with the time of the journal. What has arrived is
handed on as one batch. While the pipeline refuses, nothing more is read: the journal itself holds what comes. The
cursor moves on once the pipeline has answered. With `storage` it is kept, and reading goes on there after a restart of
the collector; without, it is in memory, and reading begins anew at `start_at`. What journald deletes before it was read
is lost.

A journalctl that cannot be started or that ends is started again after 2s, and later each time, up to 60s; the status
says why meanwhile. A single entry of more than 16 MiB is dropped and counted.

```yaml
receivers:
  journald:
    units: [ssh, nginx]
```
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from sluiceway.component import Component, Consumer, Context, Kind, Stability
from sluiceway.otlp import Signal
from sluiceway.parts import Parts
from sluiceway.received import Received
from sluiceway.stanza.checkpoints import Checkpoints
from sluiceway.stanza.journal.follow import Cursors, Journal
from sluiceway.stanza.journal.settings import JournalSettings
from sluiceway.stanza.outlet import Outlet, OutletSettings, pushing

__all__ = ["COMPONENT", "JournaldConfig", "JournaldReceiver"]


class JournaldConfig(JournalSettings, OutletSettings):
    """The settings of the receiver `journald`."""

    storage: str | None = None
    """The id of a storage extension that keeps the cursor, such as `file_storage`; in memory unless set."""
    convert_message_bytes: bool = False
    """Whether a message that is no text, which comes as a list of bytes, is made one."""


class JournaldReceiver:
    """Hands on what it reads, again and again while it is refused for now."""

    def __init__(self, config: JournaldConfig, context: Context, next: Consumer) -> None:
        parts = Parts(context)
        self._checkpoints = Checkpoints(config.storage, parts.part())
        self._outlet = Outlet(config, context, pushing(Received(context), next, "sluiceway/journald"))
        self._journal = Journal(
            config, parts.part(), self._outlet.deliver, Cursors(self._checkpoints),
            convert_message_bytes=config.convert_message_bytes, waiting=self._outlet.marks,
        )  # fmt: skip
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Begin to follow."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._checkpoints)
            stack.push_async_callback(self._journal.settle)
            await stack.enter_async_context(self._outlet)
            await stack.enter_async_context(self._journal)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; what the pipeline has not taken yet is read again next time."""
        await self._stack.__aexit__(kind, error, trace)


COMPONENT = Component(
    type="journald",
    kind=Kind.RECEIVER,
    config=JournaldConfig,
    create=JournaldReceiver,
    signals=frozenset({Signal.LOGS}),
    stability=Stability.BETA,
)
