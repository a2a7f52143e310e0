"""`service::telemetry::traces`: which spans of our own are recorded, and where they go.

The keys are those of OpenTelemetry's declarative configuration (0.3.0), as in `sluiceway.config.telemetry_export`.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from sluiceway.config.rules import exactly_one
from sluiceway.config.telemetry_export import Processor, TelemetryLevel
from sluiceway.config.types import AnyCase, Section, Settings

__all__ = ["AlwaysOff", "AlwaysOn", "Limits", "ParentBased", "Ratio", "SamplerConfig", "TracesConfig"]


class AlwaysOn(Settings):
    """Record every span."""


class AlwaysOff(Settings):
    """Record no span."""


class Ratio(Settings):
    """Record a share of all traces, chosen by trace id."""

    ratio: float = Field(default=1.0, ge=0, le=1)
    """The share, between 0 and 1."""


class ParentBased(Settings):
    """Do as the parent of a span does, and by the samplers beneath where there is none or where they are set."""

    root: SamplerConfig | None = None
    """For spans without a parent; all are recorded when absent."""
    remote_parent_sampled: SamplerConfig | None = None
    """For parents elsewhere that are recorded; all when absent."""
    remote_parent_not_sampled: SamplerConfig | None = None
    """For parents elsewhere that are not; none when absent."""
    local_parent_sampled: SamplerConfig | None = None
    """For parents in this process that are recorded; all when absent."""
    local_parent_not_sampled: SamplerConfig | None = None
    """For parents in this process that are not; none when absent."""


class SamplerConfig(Settings):
    """A sampler: exactly one of these."""

    model_config = ConfigDict(
        json_schema_extra=exactly_one("always_on", "always_off", "trace_id_ratio_based", "parent_based")
    )

    always_on: Section[AlwaysOn] = None
    """Every span."""
    always_off: Section[AlwaysOff] = None
    """No span."""
    trace_id_ratio_based: Section[Ratio] = None
    """A share of all traces."""
    parent_based: Section[ParentBased] = None
    """What the parent does."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        kinds = (self.always_on, self.always_off, self.trace_id_ratio_based, self.parent_based)
        if sum(kind is not None for kind in kinds) != 1:
            text = "must have exactly one sampler: always_on, always_off, trace_id_ratio_based or parent_based"
            raise PydanticCustomError("sampler", text)
        return self


class Limits(Settings):
    """How much one span may hold; what goes beyond is left out and counted in the span."""

    attribute_value_length_limit: int | None = Field(default=None, ge=0)
    """Characters of an attribute's value; no limit when absent."""
    attribute_count_limit: int | None = Field(default=None, ge=0)
    """Attributes of a span; 128 when absent."""
    event_count_limit: int | None = Field(default=None, ge=0)
    """Events of a span, such as retries; 128 when absent."""
    link_count_limit: int | None = Field(default=None, ge=0)
    """Links of a span, such as the requests that were joined; 128 when absent."""
    event_attribute_count_limit: int | None = Field(default=None, ge=0)
    """Attributes of an event; 128 when absent."""
    link_attribute_count_limit: int | None = Field(default=None, ge=0)
    """Attributes of a link; 128 when absent."""


class TracesConfig(Settings):
    """Our own traces; off, and without cost, unless there is a processor."""

    level: Annotated[TelemetryLevel, AnyCase()] = TelemetryLevel.NORMAL
    """`none` switches traces off; all other levels tell the same."""
    propagators: tuple[Literal["tracecontext", "b3"], ...] = ()
    """How the trace context of a request is read and passed on to backends; neither when empty."""
    processors: tuple[Processor, ...] = ()
    """Where spans go."""
    sampler: SamplerConfig | None = None
    """Which spans are recorded; `parent_based` when absent."""
    limits: Limits = Limits()
    """How much one span may hold."""

    @property
    def is_on(self) -> bool:
        """Whether any span is to be recorded."""
        return bool(self.processors) and self.level is not TelemetryLevel.NONE
