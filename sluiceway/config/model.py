"""The typed configuration: what `load` makes of YAML, before anything is built from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from sluiceway.component import Component, Kind
from sluiceway.config.telemetry import TelemetryConfig
from sluiceway.otlp import Signal

if TYPE_CHECKING:
    from sluiceway.config.tree import Node
    from sluiceway.config.tree import Path as KeyPath

__all__ = ["ComponentConfig", "Config", "Mark", "PipelineConfig"]


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a configuration file; line and column count from one, zero means that there is none."""

    file: str = ""
    line: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True)
class ComponentConfig:
    """One entry of a component section: `id` as written (`otlp/eu`), the component, and its checked settings.

    Two are equal when they would build the same component: that is how a reload knows what has changed.
    """

    id: str
    component: Component
    settings: BaseModel
    mark: Mark = field(default=Mark(), compare=False)
    node: Node | None = field(default=None, compare=False, repr=False)
    """The entry as it was written, for the places of its parts."""

    def mark_of(self, path: KeyPath) -> Mark:
        """Where the setting at a path was written, or what it would stand in."""
        node = self.node.at(path) if self.node is not None else None
        return self.mark if node is None or node is self.node else node.mark

    @property
    def routes(self) -> tuple[str, ...]:
        """The connectors to which a processor may hand batches out of the line: its settings' own property `routes`."""
        # A plain class may well have a setting of that name, which is a field and not meant.
        if self.component.kind is not Kind.PROCESSOR or not isinstance(
            getattr(type(self.settings), "routes", 0), property
        ):
            return ()
        routes: Iterable[str] = getattr(self.settings, "routes", ())
        return tuple(dict.fromkeys(routes))


@dataclass(frozen=True, slots=True)
class PipelineConfig:
    """One entry of `service::pipelines`, as names."""

    id: str
    signal: Signal
    receivers: tuple[str, ...]
    processors: tuple[str, ...]
    exporters: tuple[str, ...]
    mark: Mark = field(default=Mark(), compare=False)


@dataclass(frozen=True, slots=True)
class Config:
    """A whole configuration, in which every reference has been found and every setting checked."""

    receivers: Mapping[str, ComponentConfig]
    processors: Mapping[str, ComponentConfig]
    exporters: Mapping[str, ComponentConfig]
    connectors: Mapping[str, ComponentConfig]
    extensions: Mapping[str, ComponentConfig]
    service_extensions: tuple[str, ...]
    pipelines: Mapping[str, PipelineConfig]
    telemetry: TelemetryConfig
    telemetry_node: Node | None = field(default=None, compare=False, repr=False)
    """`service::telemetry` as it was written, for the places of its parts."""
    resolved: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """The merged and expanded YAML, as plain data with secrets still in it."""
    files: tuple[Path, ...] = field(default=(), compare=False)
    """The files it was read from: YAML, those of `${file:...}`, and Python files that hold its components."""

    def running(self) -> Iterator[tuple[Kind, ComponentConfig]]:
        """The entries that pipelines, or the list of extensions, make use of."""
        for id in self.service_extensions:
            yield Kind.EXTENSION, self.extensions[id]
        pipelines = self.pipelines.values()
        for kind, entries, used in (
            (Kind.EXPORTER, self.exporters, (id for p in pipelines for id in p.exporters)),
            (Kind.CONNECTOR, self.connectors, (id for p in pipelines for id in p.receivers)),
            (Kind.PROCESSOR, self.processors, (id for p in pipelines for id in p.processors)),
            (Kind.RECEIVER, self.receivers, (id for p in pipelines for id in p.receivers)),
        ):
            yield from ((kind, entries[id]) for id in dict.fromkeys(used) if id in entries)
