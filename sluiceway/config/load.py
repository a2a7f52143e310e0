"""Loading: from sources to a checked `Config`, or to every mistake at once.

    sources -> parse -> merge -> expand ${...} -> decode by section -> check references

Each value remembers its file, line and column on the whole way, so that a mistake is reported where it was written.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial, reduce
from pathlib import Path as FilePath

from sluiceway.component import Component, Kind
from sluiceway.config.decode import decode
from sluiceway.config.expand import Expansion
from sluiceway.config.identity import Id, parse_id
from sluiceway.config.model import ComponentConfig, Config
from sluiceway.config.nearest import nearest
from sluiceway.config.service import read_service, section_of
from sluiceway.config.sources import read_set, read_source, split_uri
from sluiceway.config.tree import Node, Path, expect_map, join, merge, plain
from sluiceway.errors import ConfigError, Problem
from sluiceway.plain import from_file, path_of
from sluiceway.registry import UnknownTypeError, find

__all__ = ["load"]

_log = logging.getLogger("sluiceway.config")

_SECTIONS = (*(kind.section for kind in Kind), "service")
_RETIRED = {
    (Kind.EXPORTER, "logging"): "the logging exporter has been deprecated, use the debug exporter instead",
}


def load(sources: Sequence[str], sets: Sequence[str] = (), *, environ: Mapping[str, str] | None = None) -> Config:
    """Read, merge, expand and check a whole configuration; nothing is built.

    `sources` are paths or URIs (`file:`, `env:`, `yaml:`, `http:`, `https:`), of which later ones win; `sets` are
    assignments `a.b=value`, which win over all sources. Blocks while web servers are asked. Raises `ConfigError` with
    every mistake that was found.
    """
    if not sources:
        raise ConfigError("at least one config flag must be provided")
    variables = os.environ if environ is None else environ
    unexpanded: list[Problem] = []
    expansion = Expansion(variables, unexpanded)
    root = expansion.expand(_merge(sources, sets, variables))
    problems: list[Problem] = []
    config = _read(root, problems)
    places = {(problem.file, problem.line, problem.column) for problem in unexpanded}
    problems = [problem for problem in problems if (problem.file, problem.line, problem.column) not in places]
    if unexpanded or problems:
        raise ConfigError(*unexpanded, *problems)
    named = [*(rest for scheme, rest in map(_split, sources) if scheme == "file"), *sorted(expansion.files)]
    return replace(config, files=tuple(dict.fromkeys([*map(FilePath, named), *_own_files(root)])))


def _split(source: str) -> tuple[str, str]:
    return split_uri(source, "file")


def _own_files(root: Node) -> Iterator[FilePath]:
    for kind in Kind:
        for node in _section(kind, root).values():
            reference = node.child("component")
            if reference is not None and (path := path_of(str(reference.value), _folder(reference))) is not None:
                yield path


def _folder(reference: Node) -> FilePath:
    return FilePath(reference.mark.file).parent


def _merge(sources: Sequence[str], sets: Sequence[str], environ: Mapping[str, str]) -> Node:
    roots: list[Node] = []
    problems: list[Problem] = []
    for read in (*(partial(read_source, uri, environ) for uri in sources), *(partial(read_set, text) for text in sets)):
        try:
            roots.append(read())
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(*problems)
    merged = reduce(merge, (root for root in roots if root.value is not None), Node({}))
    entries = {key: part for key, part in expect_map(merged).items() if not key.startswith("x-")}
    if not entries:
        raise ConfigError(Problem("empty configuration file", file=sources[0]))
    return replace(merged, value=entries)


def _read(root: Node, problems: list[Problem]) -> Config:
    for key, part in expect_map(root).items():
        if key not in _SECTIONS:
            problems.append(part.problem(f"'' has invalid keys: {key}{nearest(key, _SECTIONS)}", at_key=True))
    sections = {kind: _read_section(kind, root, problems) for kind in Kind}
    configured = {kind: _configured(kind, root) for kind in Kind}
    needed = (kind for kind in (Kind.RECEIVER, Kind.EXPORTER) if not configured[kind])
    problems += [root.problem(f"no {kind} configuration specified in config") for kind in needed]
    problems += _ambiguous(root, configured)
    problems += _leading_nowhere(sections[Kind.PROCESSOR].values(), configured[Kind.CONNECTOR])
    service = read_service(section_of(root), configured, problems)
    return Config(
        receivers=sections[Kind.RECEIVER],
        processors=sections[Kind.PROCESSOR],
        exporters=sections[Kind.EXPORTER],
        connectors=sections[Kind.CONNECTOR],
        extensions=sections[Kind.EXTENSION],
        service_extensions=service.extensions,
        pipelines=service.pipelines,
        telemetry=service.telemetry,
        telemetry_node=section_of(root).child("telemetry"),
        resolved=plain(root),
    )


def _section(kind: Kind, root: Node) -> Mapping[str, Node]:
    node = root.child(kind.section)
    return {} if node is None else expect_map(node, (kind.section,))


def _configured(kind: Kind, root: Node) -> set[str]:
    """Every id that a section names, also where the settings under it are wrong."""
    try:
        return {_normal(key) for key in _section(kind, root)}
    except ConfigError:
        return set()  # the section itself was reported


def _normal(key: str) -> str:
    try:
        return str(parse_id(key))
    except ValueError:
        return key


def _ambiguous(root: Node, configured: Mapping[Kind, Collection[str]]) -> list[Problem]:
    problems = []
    for key, node in expect_map(root.child("connectors") or Node({})).items() if configured[Kind.CONNECTOR] else ():
        id = _normal(key)
        for kind in (Kind.EXPORTER, Kind.RECEIVER):
            if id in configured[kind]:
                text = (
                    f'ambiguous ID: Found both "{id}" {kind} and "{id}" connector. Change one of the components\' IDs '
                    f'to eliminate ambiguity (e.g. rename "{id}" connector to "{id}/connector")'
                )
                problems.append(node.problem(text, ("connectors", id), at_key=True))
    return problems


def _leading_nowhere(processors: Iterable[ComponentConfig], connectors: Collection[str]) -> Iterator[Problem]:
    """Routes of processors to connectors that are not there, at the key that names them."""
    for processor in processors:
        for id in processor.routes:
            if id not in connectors:
                key = next((name for name, value in processor.settings if value == id), "")
                mark = processor.mark_of((key,))
                text = f'references connector "{id}" which is not configured{nearest(id, connectors)}'
                place = join((Kind.PROCESSOR.section, processor.id, key))
                yield Problem(text, place, mark.file, mark.line, mark.column)


def _read_section(kind: Kind, root: Node, problems: list[Problem]) -> dict[str, ComponentConfig]:
    read: dict[str, ComponentConfig] = {}
    try:
        entries = _section(kind, root)
    except ConfigError as error:
        problems += error.problems
        return read
    for key, node in entries.items():
        try:
            config = _read_component(kind, key, node)
        except ConfigError as error:
            problems += error.problems
            continue
        if config.id in read:
            text = f'duplicate name "{config.id}" after unmarshaling'
            problems.append(node.problem(text, (kind.section,), at_key=True))
        read[config.id] = config
    return read


def _read_component(kind: Kind, key: str, node: Node) -> ComponentConfig:
    path: Path = (kind.section, key)
    try:
        id = parse_id(key)
    except ValueError as error:
        raise ConfigError(node.problem(str(error), path[:1], at_key=True)) from None
    reference = node.child("component")
    if reference is None:
        component = _known(kind, id, node, path)
    else:
        component = _own(kind, id, reference, (*path, "component"))
        node = replace(node, value={name: part for name, part in expect_map(node).items() if name != "component"})
    return ComponentConfig(str(id), component, decode(component.config, node, path), node.key, node)


def _known(kind: Kind, id: Id, node: Node, path: Path) -> Component:
    if (kind, id.type) in _RETIRED:
        raise ConfigError(node.problem(_RETIRED[kind, id.type], path, at_key=True))
    try:
        component = find(kind, id.type)
    except UnknownTypeError as error:
        text = f'unknown type: "{id.type}" for id: "{id}" (valid values: [{" ".join(error.valid)}])'
        raise ConfigError(node.problem(text + nearest(id.type, error.valid), path[:1], at_key=True)) from None
    except ImportError as error:
        raise ConfigError(node.problem(f"cannot be loaded: {error}", path, at_key=True)) from error
    if component.type != id.type:
        text = f'"{id.type}" alias is deprecated; use "{component.type}" instead'
        _log.warning("%s", node.problem(text, path, at_key=True))
    return component


def _own(kind: Kind, id: Id, reference: Node, path: Path) -> Component:
    if not isinstance(reference.value, str):
        raise ConfigError(
            reference.problem("expected the path of a Python file, such as ./redact.py:RedactNames", path)
        )
    try:
        return from_file(reference.value, kind, id.type, _folder(reference))
    except ConfigError as error:
        raise ConfigError(*(reference.problem(problem.message, path) for problem in error.problems)) from error
