"""Metrics and resource attributes as a component declares them, and the settings by which each is switched.

```python
UPTIME = gauge("redis.uptime", "s", "Seconds since the server started.")


class RedisConfig(ScrapeSettings):
    metrics: Annotated[MetricSettings, Declares(UPTIME)] = MetricSettings()
    \"\"\"Which metrics are emitted, and how.\"\"\"
```
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, Self, TypeAlias, TypeVar

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler, field_validator, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from sluiceway.config.nearest import nearest
from sluiceway.config.settings import Mistake, mistakes
from sluiceway.config.types import Settings
from sluiceway.otlp.selecting import compile_pattern

__all__ = [
    "Declares",
    "Instrument",
    "Metric",
    "MetricSetting",
    "MetricSettings",
    "ResourceAttribute",
    "ResourceSetting",
    "ResourceSettings",
    "ValueFilter",
    "counter",
    "declared",
    "gauge",
    "histogram",
    "updowncounter",
]

Instrument: TypeAlias = Literal["counter", "updowncounter", "gauge", "histogram"]
Number: TypeAlias = type[int] | type[float]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric that a component may emit: sums are cumulative, a `counter` is monotonic. The words are OpenTelemetry's.

    `attributes` are those of its points, and `value` the type of these.
    """

    name: str
    unit: str
    description: str
    instrument: Instrument
    attributes: tuple[str, ...] = ()
    value: Number = int
    enabled: bool = True
    deprecated: str = ""
    """What to use instead."""


def counter(
    name: str, unit: str, text: str, *attributes: str, value: Number = int, on: bool = True, deprecated: str = ""
) -> Metric:
    """A sum that only grows."""
    return Metric(name, unit, text, "counter", attributes, value, on, deprecated)


def updowncounter(
    name: str, unit: str, text: str, *attributes: str, value: Number = int, on: bool = True, deprecated: str = ""
) -> Metric:
    """A sum that may also become smaller: what adds up over attributes and machines."""
    return Metric(name, unit, text, "updowncounter", attributes, value, on, deprecated)


def gauge(
    name: str, unit: str, text: str, *attributes: str, value: Number = int, on: bool = True, deprecated: str = ""
) -> Metric:
    """A value that does not add up."""
    return Metric(name, unit, text, "gauge", attributes, value, on, deprecated)


def histogram(name: str, unit: str, text: str, *attributes: str, on: bool = True) -> Metric:
    """A cumulative distribution in buckets."""
    return Metric(name, unit, text, "histogram", attributes, float, on)


@dataclass(frozen=True, slots=True)
class ResourceAttribute:
    """An attribute of the resources that a component may emit."""

    name: str
    description: str
    enabled: bool = True


class MetricSetting(Settings):
    """How one metric is emitted."""

    enabled: bool | None = None
    """Whether it is emitted; left out, as the table of metrics says."""
    attributes: tuple[str, ...] | None = None
    """The attributes to keep; points that are then alike become one."""
    aggregation_strategy: Literal["", "sum", "avg", "min", "max"] = ""
    """What points that become one are made of: `sum`, unless it is a gauge; then `avg`."""


class ValueFilter(Settings):
    """A condition on a value: one of the two."""

    strict: str | None = None
    """The value itself."""
    regexp: str | None = None
    """An RE2 pattern to be found in the value."""

    @field_validator("regexp")
    @classmethod
    def _check_pattern(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            compile_pattern(pattern)
        return pattern

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.strict is None) == (self.regexp is None):
            raise ValueError("needs either strict or regexp")
        return self

    def holds(self, value: object) -> bool:
        """Whether a value fulfils it."""
        text = str(value)
        if self.regexp is None:
            return text == self.strict
        return compile_pattern(self.regexp).search(text.encode(errors="replace")) is not None


class ResourceSetting(Settings):
    """How one resource attribute is emitted."""

    enabled: bool | None = None
    """Whether it is emitted; left out, as the table of attributes says."""
    metrics_include: tuple[ValueFilter, ...] = ()
    """Only resources are emitted whose value fulfils one of these; all when there is none."""
    metrics_exclude: tuple[ValueFilter, ...] = ()
    """No resources are emitted whose value fulfils one of these."""

    def admits(self, value: object) -> bool:
        """Whether a resource with this value is emitted."""
        if self.metrics_include and not any(condition.holds(value) for condition in self.metrics_include):
            return False
        return not any(condition.holds(value) for condition in self.metrics_exclude)


S = TypeVar("S", bound=Settings)


class _ByName(dict[str, S], Generic[S]):
    def __hash__(self) -> int:  # type: ignore[override]  # settings are not changed once they were read
        return hash(frozenset(self))


class MetricSettings(_ByName[MetricSetting]):
    """The settings of metrics by their names; a metric that is not in it is as it was declared."""

    def enables(self, metric: Metric) -> bool:
        """Whether a metric is to be emitted."""
        chosen = self.get(metric.name)
        return metric.enabled if chosen is None or chosen.enabled is None else chosen.enabled

    def enables_any(self, *metrics: Metric) -> bool:
        """Whether one of several metrics is to be emitted, so that it is worth asking for them."""
        return any(map(self.enables, metrics))


class ResourceSettings(_ByName[ResourceSetting]):
    """The settings of resource attributes by their names."""

    def apply(
        self, attributes: Mapping[str, Any], declared: Mapping[str, ResourceAttribute], on: Collection[str] = ()
    ) -> dict[str, Any] | None:
        """The attributes that are switched on; None when a filter says that the resource is not to be emitted.

        Those in `on` are on by default, whatever was declared.
        """
        kept = {}
        for name, value in attributes.items():
            chosen = self.get(name)
            if chosen is not None and not chosen.admits(value):
                return None
            known = declared.get(name)
            by_default = known is None or known.enabled or name in on
            if by_default if chosen is None or chosen.enabled is None else chosen.enabled:
                kept[name] = value
        return kept


class Declares:
    """Stands beside a field of `MetricSettings` or `ResourceSettings`: which names there are.

    Names from `elsewhere` are accepted for the Collector's sake and have no effect: no such thing is measured here.
    """

    def __init__(self, *entries: Metric | ResourceAttribute, elsewhere: tuple[str, ...] = ()) -> None:
        self._elsewhere = elsewhere
        self.entries = {entry.name: entry for entry in entries}
        if len(self.entries) < len(entries):
            raise ValueError("a name is declared twice")

    def __get_pydantic_core_schema__(self, source: type[_ByName[Any]], handler: GetCoreSchemaHandler) -> CoreSchema:
        """Read a map of known names to settings."""
        setting = MetricSetting if issubclass(source, MetricSettings) else ResourceSetting
        written = handler.generate_schema(dict[str, setting])  # type: ignore[valid-type]
        return core_schema.no_info_after_validator_function(
            lambda given: source(self._known(given)),
            written,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda value: {name: chosen.model_dump(mode="json") for name, chosen in value.items()}
            ),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Offer the names, with what each means."""
        setting = handler(schema)["additionalProperties"]
        texts = {name: entry.description for name, entry in self.entries.items()}
        texts |= dict.fromkeys(self._elsewhere, "Accepted, without effect.")
        properties = {name: {"allOf": [setting], "description": text} for name, text in texts.items()}
        return {"type": "object", "properties": properties, "additionalProperties": False}

    def _known(self, given: dict[str, Any]) -> dict[str, Any]:
        wrong = [
            Mistake(mistake, path) for name, chosen in given.items() for path, mistake in self._wrong(name, chosen)
        ]
        if wrong:
            raise mistakes(wrong)
        return given

    def _wrong(self, name: str, chosen: Any) -> Iterator[tuple[tuple[str, ...], str]]:
        entry = self.entries.get(name)
        if name in self._elsewhere:
            return
        if entry is None:
            yield (name,), f'there is no "{name}" here{nearest(name, self.entries)}'
        elif isinstance(entry, Metric) and chosen.attributes is not None and entry.instrument == "histogram":
            yield (name, "attributes"), f"{name} is a histogram, whose points cannot be made one here"
        elif isinstance(entry, Metric) and chosen.attributes is not None:
            for unknown in set(chosen.attributes) - set(entry.attributes):
                text = f'{name} has no attribute "{unknown}"{nearest(unknown, entry.attributes)}'
                yield (name, "attributes"), text


def declared(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Declares]]:
    """Everything that a configuration model declares, and that models in it do, with the keys that lead there."""
    for name, setting in model.model_fields.items():
        here = (*path, setting.alias or name)
        marks = [mark for mark in setting.metadata if isinstance(mark, Declares)]
        yield from ((here, mark) for mark in marks)
        for inner in _models(setting.annotation) if not marks else ():
            yield from declared(inner, here)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    else:
        for part in getattr(annotation, "__args__", ()):
            yield from _models(part)
