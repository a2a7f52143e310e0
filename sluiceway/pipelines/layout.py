"""What a configuration asks to be built, as plain data: which instances there are and what leads where.

Everything that can be wrong with a graph is found here, before a component is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sluiceway.component import Component
from sluiceway.config.model import ComponentConfig, Config, PipelineConfig
from sluiceway.errors import ConfigError, Problem
from sluiceway.otlp import Signal
from sluiceway.pipelines.headers import missing_headers
from sluiceway.pipelines.listening import collisions
from sluiceway.pipelines.promises import answered_early
from sluiceway.pipelines.writing import rivals

__all__ = ["Connection", "Layout", "arrange"]


@dataclass(frozen=True, slots=True)
class Connection:
    """One instance of a connector: it takes one signal from pipelines and gives one signal to others."""

    id: str
    takes: Signal
    gives: Signal
    to: tuple[str, ...]
    """The pipelines that it leads to."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Pipelines in the order in which data flows through them, and the connectors between them."""

    pipelines: tuple[PipelineConfig, ...]
    connections: tuple[Connection, ...]
    warnings: tuple[Problem, ...] = ()
    """What would work, but hardly as it was meant."""


def arrange(config: Config) -> Layout:
    """Work out the graph of a configuration. Raises `ConfigError` with every mistake that it finds."""
    problems = [*_unsupported(config), *_unconnected(config), *collisions(config), *rivals(config)]
    if problems:
        raise ConfigError(*problems)
    connections = tuple(_connections(config))
    return Layout(_sort(config, connections), connections, (*missing_headers(config), *answered_early(config)))


def gives(component: Component, takes: Signal) -> frozenset[Signal]:
    """The signals that a connector makes of one signal."""
    if takes not in component.signals:
        return frozenset()
    return frozenset([takes]) if component.emits is None else component.emits.get(takes, frozenset())


def _exits(config: Config, pipeline: PipelineConfig) -> tuple[str, ...]:
    """All that data leaves a pipeline by: what it names as exporters, and the routes of its processors."""
    routes = (id for name in pipeline.processors for id in config.processors[name].routes)
    return tuple(dict.fromkeys((*pipeline.exporters, *routes)))


def _unsupported(config: Config) -> Iterator[Problem]:
    for pipeline in config.pipelines.values():
        signal = pipeline.signal
        for id, where in _parts(config, pipeline):
            if id in where and signal not in where[id].component.signals:
                kind = where[id].component.kind
                place = f', in pipeline "{pipeline.id}"' if kind == "processor" else ""
                what = f'failed to create "{id}" {kind}{place}'
                reason = f' for data type "{signal.value}": telemetry type is not supported'
                yield _problem(what + (": telemetry type is not supported" if place else reason), pipeline)


def _parts(config: Config, pipeline: PipelineConfig) -> Iterator[tuple[str, Mapping[str, ComponentConfig]]]:
    yield from ((id, config.receivers) for id in pipeline.receivers if id not in config.connectors)
    yield from ((id, config.processors) for id in pipeline.processors)
    yield from ((id, config.exporters) for id in pipeline.exporters if id not in config.connectors)


def _unconnected(config: Config) -> Iterator[Problem]:
    for id, connector in config.connectors.items():
        sources = [p for p in config.pipelines.values() if id in _exits(config, p)]
        targets = [p for p in config.pipelines.values() if id in p.receivers]
        for source in sources:
            if not any(target.signal in gives(connector.component, source.signal) for target in targets):
                use = "exporter" if id in source.exporters else "route"
                yield _problem(
                    f'connector "{id}" used as {use} in [{source.id}] pipeline but not used in any supported '
                    "receiver pipeline",
                    source,
                )
        for target in targets:
            if not any(target.signal in gives(connector.component, source.signal) for source in sources):
                yield _problem(
                    f'connector "{id}" used as receiver in [{target.id}] pipeline but not used in any supported '
                    "exporter pipeline",
                    target,
                )


def _connections(config: Config) -> Iterator[Connection]:
    pipelines = config.pipelines.values()
    for id, connector in config.connectors.items():
        for takes in sorted({p.signal for p in pipelines if id in _exits(config, p)}, key=lambda s: s.code):
            for out in sorted(gives(connector.component, takes), key=lambda s: s.code):
                to = tuple(p.id for p in pipelines if id in p.receivers and p.signal is out)
                if to:
                    yield Connection(id, takes, out, to)


def _sort(config: Config, connections: Sequence[Connection]) -> tuple[PipelineConfig, ...]:
    order: list[PipelineConfig] = []
    path: list[tuple[str, Connection | None]] = []

    def visit(pipeline: PipelineConfig, by: Connection | None) -> None:
        if any(id == pipeline.id for id, _ in path):
            raise ConfigError(_cycle(config, [*path, (pipeline.id, by)]))
        if pipeline in order:
            return
        path.append((pipeline.id, by))
        for connection in connections:
            if connection.takes is pipeline.signal and connection.id in _exits(config, pipeline):
                for id in connection.to:
                    visit(config.pipelines[id], connection)
        path.pop()
        order.append(pipeline)

    for pipeline in config.pipelines.values():
        visit(pipeline, None)
    return tuple(reversed(order))


def _cycle(config: Config, path: Sequence[tuple[str, Connection | None]]) -> Problem:
    last, _ = path[-1]
    start = next(index for index, (id, _) in enumerate(path) if id == last)
    steps: list[str] = []
    for id, connection in path[start + 1 :]:
        assert connection is not None  # noqa: S101 - only the first pipeline of a path has no connection
        steps.append(f'connector "{connection.id}" ({connection.takes.value} to {connection.gives.value})')
        steps += [f'processor "{processor}" in pipeline "{id}"' for processor in config.pipelines[id].processors]
    return _problem(f"cycle detected: {' -> '.join([*steps, steps[0]])}", config.pipelines[last])


def _problem(message: str, pipeline: PipelineConfig) -> Problem:
    mark = pipeline.mark
    return Problem(message, f"service::pipelines::{pipeline.id}", mark.file, mark.line, mark.column)
