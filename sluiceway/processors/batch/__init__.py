"""Joins small batches to larger ones, by number of items and by time.

`consume` answers early, as in the Collector: what it returned for is held here, in memory, and is lost if the process
dies. Unlike in the Collector nothing is lost without a count. When the next component refuses a batch, or may take it
later, the batch stays and is tried again, in order, after the delay that was asked for (at most two minutes). What is
refused for good is dropped and counted, and so is what a stop could not flush within its deadline.

Memory is bounded over all shards by `max_held_items` and `max_held_bytes`. Beyond them `consume` waits for room, up to
five seconds, and then refuses; it refuses at once when the next component does. Joining copies, so the peak is these
bounds and one outgoing batch more. A request larger than the bounds is taken when nothing else is held.

A joined batch no longer knows its requests, but for the headers in `metadata_keys`: put `tenant`, and `attributes` with
`from_context`, in front. Order is kept inside a shard, that is among all data with the same values of these headers.

```yaml
processors:
  batch:
    send_batch_size: 8192
    timeout: 200ms
```
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final, Self

from pydantic import Field, model_validator

from sluiceway.component import Component, Consumer, Context, Kind, Stability
from sluiceway.config.types import Duration, Settings, Size, StringList
from sluiceway.errors import PermanentError, RefusedError
from sluiceway.otlp import Batch
from sluiceway.processors.batch.room import Room
from sluiceway.processors.batch.shard import Sends, Shard, Trigger

__all__ = ["COMPONENT", "BatchConfig", "BatchProcessor"]

_PATIENCE: Final = 5.0
"""Seconds that `consume` waits for room before it refuses."""


class BatchConfig(Settings):
    """The settings of `batch`."""

    send_batch_size: int = Field(default=8192, ge=0)
    """How many items (spans, data points, log records) are sent without waiting for `timeout`; 0 sends at once."""
    timeout: Duration = 0.2
    """How long an item waits for others at most; 0s sends at once."""
    send_batch_max_size: int = Field(default=0, ge=0)
    """How many items a batch may have; larger ones are split. 0 has no limit."""
    metadata_keys: StringList = ()
    """Request headers that part the data: each combination of their values is batched apart, and keeps them."""
    metadata_cardinality_limit: int = Field(default=1000, ge=0)
    """How many such combinations are taken before data is refused for good; 0 has no limit."""
    max_held_items: int = Field(default=0, ge=0)
    """How many items are held at most; 0 stands for four batches. Ours: the Collector bounds requests instead."""
    max_held_bytes: Size = Field(default=64 << 20, gt=0)
    """How many bytes are held at most. Ours."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = []
        if self.timeout < 0:
            problems.append("timeout must be greater or equal to 0")
        if 0 < self.send_batch_max_size < self.send_batch_size:
            problems.append("send_batch_max_size must be greater or equal to send_batch_size")
        if 0 < self.max_held_items < self.send_batch_size:
            problems.append("max_held_items must be greater or equal to send_batch_size")
        names = [key.lower() for key in self.metadata_keys]
        problems += [
            f'duplicate entry in metadata_keys: "{name}" (case-insensitive)'
            for name in sorted({name for name in names if names.count(name) > 1})
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def headers_read(self) -> tuple[tuple[str, str], ...]:
        """The headers that part the data."""
        return tuple(("metadata_keys", name) for name in self.metadata_keys)

    @property
    def headers_kept(self) -> tuple[str, ...]:
        """The headers that a joined batch still knows."""
        return self.metadata_keys


class BatchProcessor:
    """Sorts batches into shards by metadata, as long as there is room. Leaving it flushes all of them."""

    def __init__(self, config: BatchConfig, context: Context, next: Consumer) -> None:
        self._context = context
        self._next = next
        self._limit = config.metadata_cardinality_limit
        self._keys = tuple(key.lower() for key in config.metadata_keys)
        self._trigger = Trigger(config.send_batch_size, config.send_batch_max_size, config.timeout)
        items = config.max_held_items or 4 * max(config.send_batch_size, config.send_batch_max_size, 1024)
        self._room = Room(items, config.max_held_bytes)
        self._sends = Sends(context)
        self._shards: dict[tuple[tuple[str, ...], ...], Shard] = {}
        self._tasks = asyncio.TaskGroup()
        self._leaving = False
        context.telemetry.updown(
            "otelcol_processor_batch_metadata_cardinality",
            lambda: len(self._shards),
            "{combination}",
            "Combinations of metadata values that are batched apart.",
            processor=context.id,
        )

    @property
    def held(self) -> int:
        """How many items have been taken and not yet been delivered or dropped."""
        return self._room.items

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leaving = True
        for shard in self._shards.values():
            shard.finish()
        try:
            await self._tasks.__aexit__(None, None, None)
        finally:
            for shard in self._shards.values():
                shard.abandon()

    async def consume(self, batch: Batch) -> None:
        """Take the batch into memory; raise `RefusedError` when there is no room for it, and will not soon be."""
        if not batch.items:
            await self._next.consume(batch)
            return
        shard = self._shard(batch)
        if not self._room.fits(batch):
            await self._wait_for_room(batch, shard)
        if self._leaving:
            raise RefusedError("the batch processor is shutting down")
        self._room.take(batch)
        shard.put(batch)

    async def _wait_for_room(self, batch: Batch, shard: Shard) -> None:
        for other in self._shards.values():
            other.hurry()
        if shard.refused_for > 0:
            raise RefusedError("the batch processor is full", retry_after=shard.refused_for)
        try:
            async with self._context.clock.timeout(_PATIENCE):
                await self._room.wait_for(batch)
        except TimeoutError:
            raise RefusedError("the batch processor is full", retry_after=max(1.0, shard.refused_for)) from None

    def _shard(self, batch: Batch) -> Shard:
        headers = batch.origin.headers
        values = tuple(headers.get(key, ()) for key in self._keys)
        shard = self._shards.get(values)
        return shard if shard is not None else self._open(values)

    def _open(self, values: tuple[tuple[str, ...], ...]) -> Shard:
        if self._keys and 0 < self._limit <= len(self._shards):
            raise PermanentError("too many batcher metadata-value combinations")
        if self._leaving:
            raise RefusedError("the batch processor is shutting down")
        headers = {key: value for key, value in zip(self._keys, values, strict=True) if value}
        shard = Shard(self._trigger, headers, self._room, self._sends, self._context, self._next)
        self._shards[values] = shard
        self._tasks.create_task(shard.run(), name=f"{self._context.id} shard {len(self._shards)}")
        return shard


COMPONENT = Component(
    type="batch",
    kind=Kind.PROCESSOR,
    config=BatchConfig,
    create=BatchProcessor,
    stability=Stability.BETA,
)
