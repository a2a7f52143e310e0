"""How fast buckets fill: by the clock, or more slowly while what comes after cannot keep up."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Self

from pydantic import Field, model_validator

from sluiceway.config.types import Duration, Settings

__all__ = ["AdaptiveConfig", "Pace"]


class AdaptiveConfig(Settings):
    """Additive increase, multiplicative decrease of all rates at once."""

    latency: Duration = 1.0
    """A batch that what comes after takes longer for is a sign of overload, as is one that is refused; `0s` looks at
    refusals alone."""
    decrease: float = Field(default=0.5, gt=0, lt=1)
    """What the rates are multiplied by at such a sign, once an `interval` at most."""
    increase: float = Field(default=0.05, gt=0, le=1)
    """The part of the full rates by which they grow at an `interval` that brought no such sign."""
    interval: Duration = 1.0
    """The time between two changes."""
    minimum: float = Field(default=0.05, gt=0, le=1)
    """The part of the rates that is always granted."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.latency < 0:
            raise ValueError("'latency' must be non-negative")
        if self.interval <= 0:
            raise ValueError("'interval' must be positive")
        return self


class Pace:
    """A clock for buckets, at `share` of the real one's speed, so that a change holds for all of them at once."""

    def __init__(self, config: AdaptiveConfig | None, now: Callable[[], float]) -> None:
        self.share = 1.0
        self._config = config
        self._now = now
        self._at = self._time = now()
        self._cut = self._troubled = self._changed = -inf

    @property
    def is_lowest(self) -> bool:
        """Whether the rates are as low as they may be, for want of an answer in time."""
        return self._config is not None and self.share < 1 and self.share <= self._config.minimum

    def time(self) -> float:
        """Seconds of full rates that have passed."""
        now = self._now()
        self._time += (now - self._at) * self.share
        self._at = now
        return self._time

    def seconds(self, wait: float) -> float:
        """How long a time on this clock takes, at the present share."""
        return wait / self.share

    def learn(self, began: float, *, is_refused: bool) -> None:
        """Take note of a batch that was handed on at `began`, and refused or taken now.

        A batch handed on before the last cut does not tell whether that cut was enough, so it leads to no other one.
        """
        config, now = self._config, self._now()
        if config is None:
            return
        if is_refused or 0 < config.latency < now - began:
            self._troubled = now
            if began >= self._cut and now - self._cut >= config.interval:
                self._cut = now
                self._change(max(config.minimum, self.share * config.decrease), now)
        elif self.share < 1 and now - max(self._changed, self._troubled) >= config.interval:
            self._change(min(1.0, self.share + config.increase), now)

    def _change(self, share: float, now: float) -> None:
        self.time()
        self.share = share
        self._changed = now
