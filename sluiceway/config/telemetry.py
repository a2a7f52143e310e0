"""`service::telemetry`: how the collector speaks of itself, in logs, metrics and traces."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from sluiceway.config.settings import mistake
from sluiceway.config.telemetry_export import MetricReader, Processor, PullReader, TelemetryLevel
from sluiceway.config.telemetry_traces import TracesConfig
from sluiceway.config.types import AnyCase, Duration, OutputPaths, Section, Settings, StringList

__all__ = [
    "LogSampling",
    "LogsConfig",
    "MetricsConfig",
    "ResourceAttribute",
    "ResourceConfig",
    "TelemetryConfig",
    "TelemetryLevel",
    "TracesConfig",
]

_log = logging.getLogger("sluiceway.config")


class MetricsConfig(Settings):
    """Our own metrics."""

    level: Annotated[TelemetryLevel, AnyCase()] = TelemetryLevel.NORMAL
    """How much to tell: `none`, `basic`, `normal` or `detailed`."""
    readers: tuple[MetricReader, ...] = (MetricReader(pull=PullReader()),)
    """Who reads the metrics; by default a Prometheus endpoint on `localhost:8888`."""
    views: tuple[Mapping[str, Any], ...] = ()
    """Views in the declarative spelling that drop metrics by name; only with level `detailed`."""
    address: str | None = Field(default=None, exclude=True)
    """Removed in the Collector: use `readers`. It is ignored, with a warning."""

    @model_validator(mode="before")
    @classmethod
    def _ignore_address(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or data.get("address") is None:
            return data
        _log.warning("service::telemetry::metrics::address is ignored; use service::telemetry::metrics::readers")
        return {key: value for key, value in data.items() if key != "address"}

    @model_validator(mode="after")
    def _check_level(self) -> Self:
        if self.level is not TelemetryLevel.NONE and not self.readers:
            text = "collector telemetry metrics reader should exist when metric level is not none"
            raise PydanticCustomError("readers", text)
        if self.views and self.level is not TelemetryLevel.DETAILED:
            text = (
                "service::telemetry::metrics::views can only be set when service::telemetry::metrics::level is detailed"
            )
            raise PydanticCustomError("views", text)
        for index, view in enumerate(self.views):
            if not _drops(view):
                raise mistake("only views that drop metrics by instrument_name are supported", "views", index)
        return self

    @property
    def dropped(self) -> tuple[str, ...]:
        """The patterns of names whose metrics are not shown."""
        return tuple(view["selector"]["instrument_name"] for view in self.views)


def _drops(view: Mapping[str, Any]) -> bool:
    match view:
        case {"selector": {"instrument_name": str()}, "stream": {"aggregation": {"drop": _}}}:
            return True
        case _:
            return False


class LogSampling(Settings):
    """Which of many equal log lines are written."""

    tick: Duration = 10.0
    """The interval over which lines are counted."""
    initial: int = Field(default=10, ge=0)
    """How many equal lines of an interval are all written."""
    thereafter: int = Field(default=100, ge=0)
    """Of those that follow, every how many-th is written; 0 writes none."""


class LogsConfig(Settings):
    """Our own logs."""

    level: Annotated[Literal["debug", "info", "warn", "error", "dpanic", "panic", "fatal"], AnyCase()] = "info"
    """The least severe level that is written."""
    encoding: Annotated[Literal["console", "json"], AnyCase()] = "console"
    """How lines look."""
    development: bool = False
    """Accepted, with a warning; changes nothing."""
    disable_caller: bool = False
    """Leave out where a line was logged."""
    disable_stacktrace: bool = False
    """Leave out stack traces."""
    disable_zap_resource: bool = False
    """Leave out the `resource` field."""
    sampling: Section[LogSampling] = LogSampling()
    """Write only some of many equal lines; null or `enabled: false` writes them all."""
    output_paths: OutputPaths = ("stderr",)
    """Where lines go: files, `stdout` or `stderr`."""
    error_output_paths: StringList = ("stderr",)
    """Accepted; errors of logging itself go to `stderr`, and anything else is a warning."""
    initial_fields: Mapping[str, Any] = {}
    """Fields that every line gets."""
    processors: tuple[Processor, ...] = ()
    """Where log records go besides, by OTLP."""

    @model_validator(mode="before")
    @classmethod
    def _null_sampling_is_off(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and "sampling" in data and data["sampling"] is None:
            return {**data, "sampling": {"enabled": False}}
        return data


class ResourceAttribute(Settings):
    """An attribute of our own resource; a null value removes a default."""

    name: str
    """Name of the attribute."""
    value: str | bool | int | float | tuple[str, ...] | None = None
    """Its value; null takes a default away."""
    type: str | None = None
    """Type of the value, which YAML already tells."""


class Detector(Settings):
    """Nothing to set: a detector is named and that is all."""


class Detection(Settings):
    """Which surroundings are asked for more resource attributes."""

    detectors: tuple[Mapping[Literal["container", "host", "process", "service"], Section[Detector]], ...] = ()
    """Detectors by name, one a list entry: `[{host: }, {process: }]`."""


class ResourceConfig(Settings):
    """The resource of our own telemetry, in either spelling: a plain map of attributes, or the declarative form."""

    model_config = ConfigDict(
        json_schema_extra={"additionalProperties": {"type": ["string", "number", "boolean", "array", "null"]}}
    )

    attributes: tuple[ResourceAttribute, ...] = ()
    """What to set, or to take away by null; `service.name`, `service.version` and `service.instance.id` are there."""
    schema_url: str | None = None
    """Schema of the attributes."""
    attributes_list: str | None = None
    """Attributes as one text, `a=b,c=d`; those of `attributes` win."""
    detection: Detection | None = Field(default=None, alias="detection/development")
    """Which surroundings to ask."""

    @model_validator(mode="before")
    @classmethod
    def _take_plain_map(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        keys = {"attributes", "schema_url", "attributes_list", "detection/development"}
        plain = [{"name": name, "value": value} for name, value in data.items() if name not in keys]
        given = data.get("attributes") or []
        if not plain or not isinstance(given, list | tuple):
            return data
        return {key: data[key] for key in keys & set(data)} | {"attributes": [*plain, *given]}


class TelemetryConfig(Settings):
    """`service::telemetry`: our own logs, metrics and traces, and the resource they all carry."""

    logs: LogsConfig = LogsConfig()
    """Our own logs."""
    metrics: MetricsConfig = MetricsConfig()
    """Our own metrics."""
    traces: TracesConfig = TracesConfig()
    """Our own traces."""
    resource: ResourceConfig = ResourceConfig()
    """Attributes of the resource: a plain map (`service.name: x`; null removes a default) or the declarative form."""
