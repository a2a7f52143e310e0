"""The settings of `span_metrics`."""

from __future__ import annotations

from itertools import pairwise
from typing import Final, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from sluiceway.config.nearest import nearest
from sluiceway.config.rules import exactly_one
from sluiceway.config.settings import mistake
from sluiceway.config.types import Duration, Section, Settings, Size, StringList

__all__ = ["BUILT_IN", "INSTANCE", "Dimension", "SpanMetricsConfig"]

BUILT_IN: Final = ("service.name", "span.name", "span.kind", "status.code")
INSTANCE: Final = "collector.instance.id"
_EXCLUDABLE: Final = (*BUILT_IN, INSTANCE)
_BUCKETS: Final = (0.002, 0.004, 0.006, 0.008, 0.01, 0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.4, 2.0, 5.0, 10.0, 15.0)


class Dimension(Settings):
    """An attribute that series are told apart by: the span's, or else the resource's."""

    model_config = ConfigDict(json_schema_extra=exactly_one("name", "glob"))

    name: str = ""
    """The attribute's key."""
    glob: str = ""
    """Instead of `name`: every attribute whose key matches, where `*` stands for any text and `?` for one character."""
    default: str | None = None
    """The value where there is no such attribute; without it the dimension is left out there."""
    values: tuple[str, ...] = Field(default=(), max_length=1000)
    """The only values that are told apart; all others become `_OTHER`. Ours, for what clients may choose."""
    max_values: int = Field(default=0, ge=0, le=1000)
    """How many values are told apart, `values` and then those seen first; others become `_OTHER`. 0: no limit. Ours."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if bool(self.name) == bool(self.glob):
            raise ValueError('needs "name" or "glob", and not both')
        if self.glob:
            if any(sign in self.glob for sign in "[]{}\\"):
                raise mistake("only * and ? have a meaning in a pattern; [ ] { } and \\ are not supported", "glob")
            for key in ("default", "values", "max_values"):
                if getattr(self, key):
                    raise mistake("cannot stand beside glob", key)
        return self


class Explicit(Settings):
    """A histogram with fixed buckets."""

    buckets: tuple[Duration, ...] = _BUCKETS
    """The upper bounds, ascending."""


class Exponential(Settings):
    """An exponential histogram."""

    max_size: int = Field(default=160, ge=2, le=10_000)
    """How many buckets each may have; its resolution is halved until they are enough."""


class Histogram(Settings):
    """The metric `duration`."""

    disable: bool = False
    """Do not make it."""
    unit: Literal["ms", "s"] = "ms"
    """The unit of the durations."""
    dimensions: tuple[Dimension, ...] = ()
    """Dimensions of `duration` alone."""
    explicit: Section[Explicit] = None
    """Fixed buckets, which are the default."""
    exponential: Section[Exponential] = None
    """Exponential buckets instead."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.explicit is not None and self.exponential is not None:
            raise ValueError("use either `explicit` or `exponential` buckets histogram")
        bounds = self.bounds
        if any(low >= high for low, high in pairwise(bounds)):
            raise ValueError("explicit::buckets must be ascending")
        return self

    @property
    def bounds(self) -> tuple[float, ...]:
        """The upper bounds in the unit of the metric."""
        scale = 1000 if self.unit == "ms" else 1
        return tuple(bound * scale for bound in (self.explicit or Explicit()).buckets)


class Exemplars(Settings):
    """Spans that are named as examples beside a histogram."""

    enabled: bool = False
    """Name them."""
    max_per_data_point: int = Field(default=5, ge=0, le=1000)
    """How many, at most, since the last flush; 0 stands for 5, where the Collector has no limit."""


class Events(Settings):
    """The metric `events`."""

    enabled: bool = False
    """Make it."""
    dimensions: tuple[Dimension, ...] = ()
    """The attributes of events that are told apart; needed where it is enabled."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.enabled and not self.dimensions:
            raise ValueError("no dimensions configured for events")
        return self


class SpanMetricsConfig(Settings):
    """The settings of `span_metrics`."""

    namespace: str = "traces.span.metrics"
    """What the metrics' names begin with; empty for none."""
    histogram: Histogram = Histogram()
    """The metric `duration`."""
    dimensions: tuple[Dimension, ...] = ()
    """Dimensions of all metrics."""
    calls_dimensions: tuple[Dimension, ...] = ()
    """Dimensions of `calls` alone."""
    exclude_dimensions: StringList = ()
    """Which of `service.name`, `span.name`, `span.kind`, `status.code`, `collector.instance.id` are left out."""
    aggregation_temporality: Literal["AGGREGATION_TEMPORALITY_CUMULATIVE", "AGGREGATION_TEMPORALITY_DELTA"] = (
        "AGGREGATION_TEMPORALITY_CUMULATIVE"
    )
    """Whether each flush tells of all since the start of a series, or of what came since the flush before."""
    aggregation_cardinality_limit: int = Field(default=0, ge=0)
    """How many series a metric of a resource may have; what is beyond counts in one with `otel.metric.overflow`."""
    max_held_bytes: Size = Field(default=64 << 20, ge=1 << 16)
    """How many bytes all series together may take; what is new beyond overflows likewise. Ours."""
    dimensions_cache_size: int = Field(default=0, ge=0)
    """Has no effect, and warns: use `aggregation_cardinality_limit`."""
    resource_metrics_cache_size: int = Field(default=1000, ge=1, le=1_000_000)
    """How many resources are told apart; what is beyond counts for one without attributes."""
    resource_metrics_key_attributes: StringList = ()
    """The resource attributes by which resources are told apart; all where empty."""
    metric_timestamp_cache_size: int = Field(default=1000, ge=1)
    """Has no effect: with delta temporality each flush begins where the one before ended, without a cache."""
    metrics_flush_interval: Duration = Field(default=60.0, gt=0)
    """How often metrics are sent."""
    metrics_expiration: Duration = Field(default=0.0, ge=0)
    """After how long without a span the series of a resource are forgotten; 0s never."""
    series_expiration: Duration = Field(default=0.0, ge=0)
    """After how long without a span a series is forgotten; 0s never."""
    exemplars: Exemplars = Exemplars()
    """Spans named as examples."""
    events: Events = Events()
    """The metric `events`."""
    include_instrumentation_scope: StringList = ()
    """Names of scopes whose name and version become dimensions."""
    add_resource_attributes: bool = False
    """Keep the spans' resources apart, with their attributes; else all metrics have one resource without any."""

    @field_validator("exclude_dimensions")
    @classmethod
    def _check_excluded(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in _EXCLUDABLE:
                raise ValueError(f'"{name}" is no default dimension{nearest(name, _EXCLUDABLE)}')
        return names

    @model_validator(mode="after")
    def _check(self) -> Self:
        shared = [*(name for name in _EXCLUDABLE if name not in self.exclude_dimensions), *_names(self.dimensions)]
        for own in (self.calls_dimensions, self.histogram.dimensions, self.events.dimensions):
            names = [*shared, *_names(own)]
            for name in names:
                if names.count(name) > 1:
                    raise ValueError(f"duplicate dimension name {name}")
        return self


def _names(dimensions: tuple[Dimension, ...]) -> list[str]:
    return [dimension.name or dimension.glob for dimension in dimensions]
