"""Refuses data while the process uses too much memory, so that senders wait instead of the process being killed.

Above the soft limit (`limit_mib` minus `spike_limit_mib`) every batch is refused with an error that asks the sender to
come again; nothing is dropped and nothing is held. Above the limit itself garbage is collected, and freed memory given
back to the system, at every check; between the two at most every ten seconds. Collections that free little become
rarer. Memory is the resident set of the process. A batch that was let in is never stopped here.

All pipelines that name the same entry share one limiter. It belongs first in a pipeline, in front of `batch`.

```yaml
processors:
  memory_limiter:
    check_interval: 1s
    limit_percentage: 80
    spike_limit_percentage: 20
```
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self

from pydantic import Field, model_validator

from sluiceway.component import Component, Consumer, Context, Kind, Stability, Status
from sluiceway.config.types import Duration, Settings
from sluiceway.errors import RefusedError
from sluiceway.otlp import Batch
from sluiceway.processors.memory_limiter.limiter import Limiter, Limits, Pace
from sluiceway.processors.memory_limiter.usage import Memory, ProcessMemory

__all__ = ["COMPONENT", "MemoryLimiter", "MemoryLimiterConfig"]

_MIB: Final = 1 << 20
_REFUSAL: Final = "data refused due to high memory usage"


class MemoryLimiterConfig(Settings):
    """The settings of `memory_limiter`."""

    check_interval: Duration = 0.0
    """How often memory is measured; required, 1s is a good value."""
    limit_mib: int = Field(default=0, ge=0)
    """The hard limit in MiB; wins over `limit_percentage`."""
    spike_limit_mib: int = Field(default=0, ge=0)
    """How far below the limit data is refused already, in MiB; 0 stands for a fifth of the limit."""
    limit_percentage: int = Field(default=0, ge=0)
    """The hard limit in percent of the memory there is: the limit of its cgroups, or the machine's memory."""
    spike_limit_percentage: int = Field(default=0, ge=0)
    """As `spike_limit_mib`, in percent of the same memory; 0 stands for a fifth of the limit."""
    min_gc_interval_when_soft_limited: Duration = 10.0
    """The shortest time between collections above the soft limit."""
    min_gc_interval_when_hard_limited: Duration = 0.0
    """The shortest time between collections above the hard limit."""
    max_gc_interval_when_soft_limited: Duration = 30.0
    """The longest time to which collections that free little are put off above the soft limit; 0s never does that."""
    max_gc_interval_when_hard_limited: Duration = 30.0
    """The same above the hard limit."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = [*self._limit_problems(), *self._interval_problems()]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _limit_problems(self) -> Iterator[str]:
        if self.limit_mib == 0 and self.limit_percentage == 0:
            yield "'limit_mib' or 'limit_percentage' must be greater than zero"
        if self.limit_percentage > 100 or self.spike_limit_percentage > 100:
            yield "'limit_percentage' and 'spike_limit_percentage' must be less than or equal to hundred"
        if 0 < self.limit_mib <= self.spike_limit_mib:
            yield "'spike_limit_mib' must be smaller than 'limit_mib'"
        if 0 < self.limit_percentage <= self.spike_limit_percentage:
            yield "'spike_limit_percentage' must be smaller than 'limit_percentage'"

    def _interval_problems(self) -> Iterator[str]:
        if self.check_interval <= 0:
            yield "'check_interval' must be greater than zero"
        if self.min_gc_interval_when_soft_limited < self.min_gc_interval_when_hard_limited:
            yield "'min_gc_interval_when_soft_limited' should be larger than 'min_gc_interval_when_hard_limited'"
        if 0 < self.max_gc_interval_when_soft_limited < self.max_gc_interval_when_hard_limited:
            yield "'max_gc_interval_when_soft_limited' should be larger than 'max_gc_interval_when_hard_limited'"
        if 0 < self.max_gc_interval_when_soft_limited < self.min_gc_interval_when_soft_limited:
            yield "'max_gc_interval_when_soft_limited' should be 0 or larger than 'min_gc_interval_when_soft_limited'"
        if 0 < self.max_gc_interval_when_hard_limited < self.min_gc_interval_when_hard_limited:
            yield "'max_gc_interval_when_hard_limited' should be 0 or larger than 'min_gc_interval_when_hard_limited'"

    def limits(self, total: int) -> Limits:
        """Return the two limits in bytes, for a process that may have `total` bytes."""
        if self.limit_mib:
            hard, spike = self.limit_mib * _MIB, self.spike_limit_mib * _MIB
        else:
            hard, spike = total * self.limit_percentage // 100, total * self.spike_limit_percentage // 100
        return Limits(soft=hard - (spike or hard // 5), hard=hard)


class MemoryLimiter:
    """Asks the limiter it shares before every batch, and has it look at the memory regularly."""

    def __init__(
        self, config: MemoryLimiterConfig, context: Context, next: Consumer, memory: Memory | None = None
    ) -> None:
        self._interval = config.check_interval
        self._retry_after = max(1.0, config.check_interval)
        self._context = context
        self._next = next
        self._limiter = self._share(config, memory or ProcessMemory())
        self._is_well = True
        self._checks = asyncio.TaskGroup()
        self.accepted = 0
        self.refused = 0
        for signal in context.signals:
            self._publish(signal.items)

    async def __aenter__(self) -> Self:
        self._check()
        await self._checks.__aenter__()
        self._ticking = self._checks.create_task(self._tick(), name=f"{self._context.id} check")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ticking.cancel()
        await self._checks.__aexit__(None, None, None)

    async def consume(self, batch: Batch) -> None:
        """Hand the batch on, or raise `RefusedError` while there is too little memory."""
        if self._limiter.is_refusing:
            self.refused += batch.items
            raise RefusedError(_REFUSAL, retry_after=self._retry_after)
        self.accepted += batch.items
        await self._next.consume(batch)

    async def _tick(self) -> None:
        while True:
            await self._context.clock.sleep(self._interval)
            self._check()

    def _check(self) -> None:
        self._limiter.check(self._context.clock.now())
        if self._limiter.is_refusing == self._is_well:
            self._is_well = not self._is_well
            self._context.report(*((Status.OK,) if self._is_well else (Status.RECOVERABLE_ERROR, _REFUSAL)))

    def _share(self, config: MemoryLimiterConfig, memory: Memory) -> Limiter:
        shared = self._context.shared
        if "limiter" not in shared:
            soft = Pace(config.min_gc_interval_when_soft_limited, config.max_gc_interval_when_soft_limited)
            hard = Pace(config.min_gc_interval_when_hard_limited, config.max_gc_interval_when_hard_limited)
            limits = config.limits(memory.total())
            shared["limiter"] = Limiter(limits, soft, hard, config.check_interval, memory, self._context.logger)
        limiter: Limiter = shared["limiter"]
        return limiter

    def _publish(self, noun: str) -> None:
        name, scope = "otelcol_processor_memory_limiter", self._context.telemetry
        scope.counter(f"{name}_accepted_{noun}", lambda: self.accepted, "", "Items let in.", processor=self._context.id)
        scope.counter(
            f"{name}_refused_{noun}", lambda: self.refused, "", "Items refused for want of memory.",
            processor=self._context.id,
        )  # fmt: skip


COMPONENT = Component(
    type="memory_limiter",
    kind=Kind.PROCESSOR,
    config=MemoryLimiterConfig,
    create=MemoryLimiter,
    stability=Stability.BETA,
)
