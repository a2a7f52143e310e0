"""The settings of `prometheus`."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Final, Self

from pydantic import Field, model_validator

from sluiceway.config.server import HttpServer
from sluiceway.config.settings import mistake
from sluiceway.config.types import Duration, Section, Settings, StringList
from sluiceway.prometheus.naming import Strategy, StrategyName, label_name
from sluiceway.prometheus.translation import SERVICE, Rules

__all__ = ["PrometheusConfig"]


class ResourceConstantLabels(Settings):
    """Which attributes of a resource become labels of all its series; `*` stands for any text, `?` for a character."""

    included: StringList = ()
    """Attributes that become labels; without any, all that are not excluded, if some are."""
    excluded: StringList = ()
    """Attributes that do not, although they are included."""

    def takes(self, key: str) -> bool:
        """Whether an attribute becomes a label."""
        included = any(
            fnmatchcase(key, pattern) for pattern in self.included or ("*",) if self.included or self.excluded
        )
        return included and not any(fnmatchcase(key, pattern) for pattern in self.excluded)


class ResourceToTelemetry(Settings):
    """The older way to make labels of a resource's attributes."""

    enabled: bool = False
    """Whether all of them become labels."""
    exclude_service_attributes: bool = False
    """Whether those do not of which `job` and `instance` are made."""


_OWN_LABELS: Final = frozenset({"le", "quantile"})


class PrometheusConfig(HttpServer):
    """The settings of `prometheus`: those of an HTTP server, and what is shown there.

    Requests have no bodies, so that settings of bodies and their compression have no effect, nor have `cors` and
    `include_metadata`. Answers are compressed by gzip for who takes it.
    """

    endpoint: str = Field(min_length=1)
    """`host:port` to listen on, where `/metrics` is shown; for the transport `unix` the path of the socket."""
    namespace: str = ""
    """What stands in front of the name of every metric, with `_` between."""
    const_labels: dict[str, str] = Field(default_factory=dict)
    """Labels that every series gets but `target_info`."""
    send_timestamps: bool = False
    """Whether samples carry the time of their point. Prometheus then keeps what is gone for five minutes."""
    metric_expiration: Duration = Field(default=300.0, ge=0)
    """After how long without a point a series is no longer shown; `0s` never."""
    resource_constant_labels: Section[ResourceConstantLabels] = None
    """Which attributes of a resource become labels of all its series; none unless set."""
    resource_to_telemetry_conversion: ResourceToTelemetry = ResourceToTelemetry()
    """Deprecated: use `resource_constant_labels`, which counts where both are there."""
    enable_open_metrics: bool = False
    """Whether OpenMetrics is given to who asks for it, and exemplars and `_created` with it."""
    without_scope_info: bool = False
    """Whether the labels `otel_scope_...` are left out."""
    add_metric_suffixes: bool = True
    """Deprecated: use `translation_strategy`. Whether names end with unit and type."""
    translation_strategy: StrategyName = ""
    """How names become Prometheus'; empty is `UnderscoreEscapingWithSuffixes`, or as `add_metric_suffixes` has it."""
    max_series: int = Field(default=100_000, ge=1)
    """How many series are kept, of about 1 KiB each and 150 bytes an exemplar, and at most in 4 KiB for each of them,
    64 MiB at least. Beyond that new deltas go to one series a metric, with the label `otel_metric_overflow="true"`, and
    other new points are refused. The Collector has no bound."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        shown: dict[str, str] = {}
        for name in self.const_labels:
            if not label_name(name, self.strategy) or name.startswith("__"):
                raise mistake("this cannot be the name of a label", "const_labels", name)
            if label_name(name, self.strategy) in _OWN_LABELS:
                raise mistake("histograms and summaries have labels of this name", "const_labels", name)
            other = shown.setdefault(label_name(name, self.strategy), name)
            if other != name:
                raise mistake(f"this and {other} are the same label", "const_labels", name)
        return self

    @property
    def strategy(self) -> Strategy:
        """How names are translated."""
        return Strategy.chosen(self.translation_strategy, add_metric_suffixes=self.add_metric_suffixes)

    @property
    def rules(self) -> Rules:
        """What is said of names and labels."""
        return Rules(
            self.strategy, self.namespace, self.const_labels, not self.without_scope_info, self._is_resource_label()
        )

    @property
    def shapes(self) -> str:
        """All that decides what the store holds; where it is the same, a reload keeps the store."""
        return repr((
            self.strategy, self.namespace, sorted(self.const_labels.items()), self.without_scope_info,
            self.resource_constant_labels, self.resource_to_telemetry_conversion, self.enable_open_metrics,
            self.max_series,
        ))  # fmt: skip

    def _is_resource_label(self) -> Callable[[str], bool]:
        if self.resource_constant_labels is not None:
            return self.resource_constant_labels.takes
        conversion = self.resource_to_telemetry_conversion
        left_out = SERVICE if conversion.exclude_service_attributes else ()
        return lambda key: conversion.enabled and key not in left_out
