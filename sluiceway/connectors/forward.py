"""Passes on what one pipeline ends with to the beginning of others of the same signal.

It joins pipelines (several that name it among their exporters) and parts them (several that name it among their
receivers). It changes nothing and holds nothing: what the pipelines behind it refuse is refused to the sender.

```yaml
connectors:
  forward:
```
"""

from __future__ import annotations

from sluiceway.component import Component, Consumer, Context, Kind, PartialSuccess, Stability
from sluiceway.config.types import Settings
from sluiceway.otlp import Batch

__all__ = ["COMPONENT", "Forward", "ForwardConfig"]


class ForwardConfig(Settings):
    """`forward` has no settings."""


class Forward:
    """Hands batches on as they are."""

    def __init__(self, _config: ForwardConfig, _context: Context, next: Consumer) -> None:
        self._next = next

    async def consume(self, batch: Batch) -> PartialSuccess | None:
        """Return when the pipelines behind have taken the batch, or raise what they raised."""
        return await self._next.consume(batch)


COMPONENT = Component(
    type="forward",
    kind=Kind.CONNECTOR,
    config=ForwardConfig,
    create=Forward,
    stability=Stability.STABLE,
)
