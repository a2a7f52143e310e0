"""What an instance of a component was made from, so that a reload knows whether it would be made the same way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sluiceway.config.model import ComponentConfig
from sluiceway.config.telemetry_export import TelemetryLevel
from sluiceway.config.telemetry_traces import TracesConfig
from sluiceway.otlp import Signal

__all__ = ["Recipe", "strings"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What an instance was made from; equal recipes make interchangeable instances."""

    settings: ComponentConfig
    signals: frozenset[Signal]
    extensions: tuple[ComponentConfig, ...]
    level: TelemetryLevel
    traces: TracesConfig
    """What is recorded of a component is decided when it is made, so that what is not wanted costs nothing."""


def strings(value: object) -> Iterator[str]:
    """All strings in some settings, wherever they stand."""
    match value:
        case str():
            yield value
        case Mapping():
            for item in value.values():
                yield from strings(item)
        case list() | tuple():
            for item in value:
                yield from strings(item)
