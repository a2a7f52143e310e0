"""Holds everyone to a rate: so many items, or bytes, a second, with bursts, for each tenant or for all together.

`by` says whose buckets there are: one for each value of a resource attribute (`tenant` is short for `tenant.id`,
which the `tenant` processor sets), of a request header, or of the authenticated `subject`; without it there is one
for all. What has no such value, or one that is no number and no text of at most 256 bytes, shares a bucket. A header
or attribute is what a sender claims: put `tenant` in front where that matters. What is over the limit is, by
`on_limit`:

- `refuse`: the whole request is refused and its sender told when its turn comes; it has spent nothing. Of a request
  with several tenants, one that is over its limit has all of it refused: where senders mix tenants, choose another.
- `drop`: of each tenant only what its bucket holds goes on, to the item, the first ones of the batch; the rest is
  dropped, with the reason `rate_limited`, in the ledger by tenant.
- `sample`: of each tenant about the share that its bucket holds goes on, whole traces by a hash of the trace id
  (spans, and log records that have one), everything else evenly; the rest is dropped as with `drop`.

A bucket fills at the rate and holds at most `burst`. With `refuse` a batch passes while there is one item's (or
byte's) worth in it, pays in full, and what it owes has to be made up before the next one passes: so a batch of any
size passes in its turn, the average is exact, and a burst is exceeded by one batch at most. What the next component
refuses is given back and not counted as dropped, since it comes again; what it took is paid for, whatever becomes of
it. Of a request that names more than a thousand tenants, those beyond count as one without a name.

All pipelines that name the same entry share its buckets, so that a tenant's limit holds for all its signals; name
several entries (`rate_limiter/logs`) for separate limits. A reload keeps the buckets unless the entry has changed.
There are at most `max_keys` of them; full ones are forgotten without a difference, and when all are in use, new names
share one: so invented names cost no memory. To limit them in sum, put a second one without `by` behind.

`adaptive` lowers all rates while what comes after refuses, or is slower than `latency`, and raises them again bit by
bit: each to its share, so that it is not one tenant that pays for the load of another.

```yaml
processors:
  rate_limiter:
    by: tenant
    items_per_second: 10000
    burst: 50000
    on_limit: refuse
    overrides:
      acme: {items_per_second: 100000}
```
"""

from __future__ import annotations

import random as dice
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Final, Literal, Self

from pydantic import Field, model_validator

from sluiceway.component import Component, Consumer, Context, Kind, Reason, Stability, Status
from sluiceway.config.settings import Mistake, mistakes
from sluiceway.config.types import Section, Settings, Size
from sluiceway.errors import RefusedError, RetryableError
from sluiceway.otlp import Batch, join
from sluiceway.processors.rate_limiter.admission import Admission, Admit, Part, all_or_nothing, cut, thin
from sluiceway.processors.rate_limiter.buckets import Buckets, Limit
from sluiceway.processors.rate_limiter.counts import Counts
from sluiceway.processors.rate_limiter.keys import ByConfig, Keys
from sluiceway.processors.rate_limiter.pace import AdaptiveConfig, Pace

__all__ = ["COMPONENT", "OverrideConfig", "RateLimiter", "RateLimiterConfig"]

_SOONEST: Final = 0.05
"""Seconds before which nobody is asked to come again."""
_REFUSAL: Final = "rate limit exceeded"
_SLOWED: Final = "what comes after is slow or refuses: rates are as low as they may be"


class OverrideConfig(Settings):
    """The limit of one tenant. A `burst` that is left out is what comes in a second."""

    items_per_second: float = Field(default=0.0, ge=0)
    """Its rate in items, where the others' is in items."""
    bytes_per_second: Size = Field(default=0, ge=0)
    """Its rate in bytes, where the others' is in bytes."""
    burst: Size = Field(default=0, ge=0)
    """What its bucket holds at most, in the same unit."""
    unlimited: bool = False
    """Whether it has no limit."""

    @model_validator(mode="after")
    def _check_rate(self) -> Self:
        if self.unlimited and (self.rate or self.burst):
            raise ValueError("'unlimited' goes with no other key")
        return self

    @property
    def rate(self) -> float:
        """Items or bytes a second, zero when it says neither."""
        return self.items_per_second or float(self.bytes_per_second)


class RateLimiterConfig(Settings):
    """The settings of `rate_limiter`."""

    by: ByConfig | None = None
    """Whose limits: `tenant`, `subject`, `header: <name>` or `attribute: <key>`; left out, one limit for all."""
    items_per_second: float = Field(default=0.0, ge=0)
    """Spans, data points and log records a second; this or `bytes_per_second`."""
    bytes_per_second: Size = Field(default=0, ge=0)
    """Bytes a second, as OTLP, uncompressed."""
    burst: Size = Field(default=0, ge=0)
    """What a bucket holds at most, in items or bytes; left out, what comes in a second."""
    on_limit: Literal["refuse", "drop", "sample"] = "refuse"
    """What becomes of data over the limit."""
    overrides: dict[str, OverrideConfig] = Field(default_factory=dict)
    """Other limits, by the value of `by`. These tenants keep their buckets and their series whatever else comes."""
    max_keys: int = Field(default=10_000, ge=1)
    """How many have a bucket of their own at a time; further ones share one."""
    max_series: int = Field(default=100, ge=1)
    """How many get series of their own in our metrics and lines in the ledger; the rest is summed."""
    adaptive: Section[AdaptiveConfig] = None
    """Lowers the rates while what comes after is overloaded."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = list(self._problems())
        if problems:
            raise mistakes(problems)
        return self

    def _problems(self) -> Iterator[Mistake]:
        if bool(self.items_per_second) == bool(self.bytes_per_second):
            yield Mistake("exactly one of 'items_per_second' and 'bytes_per_second' must be greater than zero")
        if self.overrides and self.by is None:
            yield Mistake("'overrides' needs 'by'", ("overrides",))
        for name, override in self.overrides.items():
            other = override.bytes_per_second if self.items_per_second else override.items_per_second
            if other:
                yield Mistake("must have its rate in the unit of the others", ("overrides", name))
            elif not (override.rate or override.burst or override.unlimited):
                yield Mistake("must have a rate, a 'burst', or 'unlimited'", ("overrides", name))

    def limit(self) -> Limit:
        """The limit of all that have none of their own."""
        return Limit.of(self.items_per_second or float(self.bytes_per_second), self.burst)

    def exceptions(self) -> Mapping[str, Limit | None]:
        """The limits of those who have one of their own, None for no limit."""
        return {
            name: None if o.unlimited else Limit.of(o.rate or self.limit().rate, o.burst)
            for name, o in self.overrides.items()
        }


class RateLimiter:
    """Spends before it hands on, and takes back what was not taken. `random` gives numbers from zero to one."""

    def __init__(
        self, config: RateLimiterConfig, context: Context, next: Consumer, *, random: Callable[[], float] = dice.random
    ) -> None:
        self._context = context
        self._next = next
        self._now = context.clock.now
        self._keys = Keys(config.by, by_items=bool(config.items_per_second))
        answers: dict[str, Admit] = {"refuse": all_or_nothing, "drop": cut, "sample": partial(thin, random)}
        self._admit = answers[config.on_limit]
        self._buckets, self._pace = self._share(config)
        self._counts = Counts(context, config.max_series, config.overrides)
        self._is_slowed = False
        context.telemetry.gauge(
            "sluiceway_processor_rate_limiter_share", lambda: self._pace.share, "1",
            "The part of the rates that is granted at the moment.", processor=context.id, pipeline=context.pipeline,
        )  # fmt: skip

    async def consume(self, batch: Batch) -> None:
        """Hand on what the limits let through; raise `RefusedError` with a delay where that is what they say."""
        if not batch.items:
            await self._next.consume(batch)
            return
        parts = self._keys.parts(batch)
        admission = self._admit(parts, self._buckets, self._pace.time())
        if admission.wait > 0:
            for part in parts:
                self._counts.refuse(part.key, part.batch.items)
            delay = max(_SOONEST, self._pace.seconds(admission.wait))
            raise RefusedError(_REFUSAL, delay, reason=Reason.RATE_LIMITED)
        await self._hand_on(batch, parts, admission)
        for part, kept in zip(parts, admission.kept, strict=True):
            passed = 0 if kept is None else kept.items
            self._counts.settle(part.key, passed, part.batch.items - passed)
            lost, name = part.batch.items - passed, self._counts.name(part.key)
            self._context.drop(lost, Reason.RATE_LIMITED, intended=True, tenant=name)

    async def _hand_on(self, batch: Batch, parts: list[Part], admission: Admission) -> None:
        kept = [part for part in admission.kept if part is not None]
        if not kept:
            return
        is_whole = all(part.batch is left for part, left in zip(parts, admission.kept, strict=True))
        began = self._now()
        try:
            await self._next.consume(batch if is_whole else join(kept))
        except BaseException as error:
            now = self._pace.time()
            for spent in admission.spent:
                spent.give_back(now)
            if isinstance(error, RefusedError | RetryableError):
                self._learn(began, is_refused=True)
            raise
        self._learn(began, is_refused=False)

    def _learn(self, began: float, *, is_refused: bool) -> None:
        self._pace.learn(began, is_refused=is_refused)
        if self._pace.is_lowest is not self._is_slowed:
            self._is_slowed = self._pace.is_lowest
            self._context.report(*((Status.RECOVERABLE_ERROR, _SLOWED) if self._is_slowed else (Status.OK,)))

    def _share(self, config: RateLimiterConfig) -> tuple[Buckets, Pace]:
        shared = self._context.shared
        if "limits" not in shared:
            buckets = Buckets(config.limit(), config.exceptions(), config.max_keys)
            shared["limits"] = (buckets, Pace(config.adaptive, self._now))
        limits: tuple[Buckets, Pace] = shared["limits"]
        return limits


COMPONENT = Component(
    type="rate_limiter",
    kind=Kind.PROCESSOR,
    config=RateLimiterConfig,
    create=RateLimiter,
    stability=Stability.BETA,
)
