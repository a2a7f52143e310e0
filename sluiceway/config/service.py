"""The section `service`: which components run, wired to which pipelines, and whether every reference can be found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from pydantic import Field

from sluiceway.component import Kind
from sluiceway.config.decode import decode
from sluiceway.config.identity import Id, parse_id
from sluiceway.config.model import PipelineConfig
from sluiceway.config.nearest import nearest
from sluiceway.config.telemetry import TelemetryConfig
from sluiceway.config.tree import Node, Path, expect_map
from sluiceway.config.types import Settings, StringList
from sluiceway.errors import ConfigError, Problem
from sluiceway.otlp import Signal

__all__ = ["Known", "Pipeline", "Service", "read_service"]

M = TypeVar("M", bound=Settings)

_ROOT: Path = ("service",)
_PIPELINES: Path = ("service", "pipelines")

Known = Mapping[Kind, Collection[str]]
"""The ids that each section configures."""


class Pipeline(Settings):
    """One pipeline: where data comes from, what is done to it in which order, and where it goes."""

    receivers: StringList = ()
    """Ids of receivers, and of connectors that give data to this pipeline."""
    processors: StringList = ()
    """Ids of processors, in the order in which data passes them."""
    exporters: StringList = ()
    """Ids of exporters, and of connectors that take data from this pipeline."""


class Service(Settings):
    """What runs."""

    extensions: StringList = ()
    """Ids of the extensions to run."""
    pipelines: dict[str, Pipeline] = Field(default_factory=dict)
    """Pipelines by signal or `signal/name`: `traces`, `metrics/internal`."""
    telemetry: TelemetryConfig = TelemetryConfig()
    """How the collector speaks of itself."""


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """The service as names that were all found."""

    extensions: tuple[str, ...]
    pipelines: Mapping[str, PipelineConfig]
    telemetry: TelemetryConfig


def read_service(node: Node, known: Known, problems: list[Problem]) -> ServiceConfig:
    """Check the section and its references to what is configured; mistakes are added to `problems`."""
    parts = dict(_entries(node, _ROOT, problems))
    telemetry = _attempt(TelemetryConfig, parts.pop("telemetry", Node({})), (*_ROOT, "telemetry"), problems)
    pipelines = _read_pipelines(parts.pop("pipelines", Node({}, node.mark)), known, problems)
    service = _attempt(Service, replace(node, value=parts), _ROOT, problems)
    extensions = tuple(dict.fromkeys(map(_trim, service.extensions)))
    for position, id in enumerate(extensions):
        if id not in known[Kind.EXTENSION]:
            message = f'references extension "{id}" which is not configured{nearest(id, known[Kind.EXTENSION])}'
            problems.append(node.at(("extensions", position)).problem(message, (*_ROOT, "extensions")))
    return ServiceConfig(extensions, pipelines, telemetry)


def _entries(node: Node, path: Path, problems: list[Problem]) -> Mapping[str, Node]:
    try:
        return expect_map(node, path)
    except ConfigError as error:
        problems += error.problems
        return {}


def _attempt(model: type[M], node: Node, path: Path, problems: list[Problem]) -> M:
    """Decode, or note what is wrong and go on with the defaults, so that later mistakes are found as well."""
    try:
        return decode(model, node, path)
    except ConfigError as error:
        problems += error.problems
        return model()


def _read_pipelines(section: Node, known: Known, problems: list[Problem]) -> dict[str, PipelineConfig]:
    entries = _entries(section, _PIPELINES, problems)
    if not entries and (section.value is None or isinstance(section.value, dict)):
        problems.append(section.problem("service must have at least one pipeline", _PIPELINES))
    pipelines: dict[str, PipelineConfig] = {}
    for key, place in entries.items():
        try:
            id, signal = _identify(key)
        except ValueError as error:
            problems.append(place.problem(str(error), _PIPELINES, at_key=True))
            continue
        if str(id) in pipelines:
            problems.append(place.problem(f'duplicate name "{id}" after unmarshaling', _PIPELINES, at_key=True))
        path = (*_PIPELINES, str(id))
        found: list[Problem] = []
        pipeline = _attempt(Pipeline, place, path, found)
        problems += found or _check(pipeline, place, known, path)
        pipelines[str(id)] = PipelineConfig(
            str(id),
            signal,
            tuple(dict.fromkeys(map(_trim, pipeline.receivers))),
            tuple(map(_trim, pipeline.processors)),
            tuple(dict.fromkeys(map(_trim, pipeline.exporters))),
            place.key,
        )
    return pipelines


def _identify(key: str) -> tuple[Id, Signal]:
    id = parse_id(key)
    if id.type == "profiles":
        gate = 'profiling signal support is at alpha level, gated under the "service.profilesSupport" feature gate'
        raise ValueError(f'pipeline "{id}": {gate}, and is not available here')
    signals = {signal.value: signal for signal in Signal}
    if id.type not in signals:
        raise ValueError(f'unknown signal "{id.type}" for pipeline "{id}"{nearest(id.type, signals)}')
    return id, signals[id.type]


def _check(pipeline: Pipeline, node: Node, known: Known, path: Path) -> Iterator[Problem]:
    connectors = known[Kind.CONNECTOR]
    ends = {Kind.RECEIVER: pipeline.receivers, Kind.EXPORTER: pipeline.exporters}
    for kind, ids in ends.items():
        if not ids:
            yield node.at((kind.section,)).problem(f"must have at least one {kind}", path)
        yield from _dangling(kind, ids, {*known[kind], *connectors}, node, path)
    yield from _dangling(Kind.PROCESSOR, pipeline.processors, known[Kind.PROCESSOR], node, path)
    for id, times in Counter(map(_trim, pipeline.processors)).items():
        if times > 1:
            yield node.at(("processors",)).problem(f'references processor "{id}" multiple times', path)


def _dangling(kind: Kind, ids: StringList, valid: Collection[str], node: Node, path: Path) -> Iterator[Problem]:
    for position, id in enumerate(map(_trim, ids)):
        if id not in valid:
            message = f'references {kind} "{id}" which is not configured{nearest(id, valid)}'
            yield node.at((kind.section, position)).problem(message, path)


def _trim(text: str) -> str:
    try:
        return str(parse_id(text))
    except ValueError:
        return text


def section_of(root: Node) -> Node:
    """The `service` section, empty when there is none."""
    return Node({}, root.mark) if (node := expect_map(root).get("service")) is None else node
