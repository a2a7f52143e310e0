"""The settings of everything that measures at an interval."""

from __future__ import annotations

from pydantic import Field, field_validator

from sluiceway.config.types import Duration, Settings

__all__ = ["ScrapeSettings"]


class ScrapeSettings(Settings):
    """When to measure. Components have these keys at their top level."""

    collection_interval: Duration = 60.0
    """Time from one measurement to the next. A slow one delays the next, and those that were missed are left out."""
    initial_delay: Duration = 1.0
    """Time before the first measurement."""
    timeout: Duration = Field(default=0.0, ge=0)
    """How long each part of a measurement may take; 0s has no limit."""
    jitter: Duration = Field(default=0.0, ge=0)
    """The first measurement is put off by a random time up to this, so that many collectors do not ask at once."""

    @field_validator("collection_interval")
    @classmethod
    def _check_interval(cls, interval: float) -> float:
        if interval <= 0:
            raise ValueError('"collection_interval": requires positive value')
        return interval
