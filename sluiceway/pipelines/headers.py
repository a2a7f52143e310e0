"""Which request headers a configuration reads where they cannot be: the values would be missing, in silence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sluiceway.config.metadata import ForgetsHeaders, KeepsHeaders, ReadsHeaders
from sluiceway.config.model import ComponentConfig, Config, PipelineConfig
from sluiceway.config.settings import walk
from sluiceway.config.tree import Path, join
from sluiceway.errors import Problem

__all__ = ["missing_headers"]


def missing_headers(config: Config) -> Iterator[Problem]:
    """Find settings that read a header which never reaches them, one problem for each setting.

    A header is there when one receiver of the pipeline, or of a pipeline that a connector joins to it, keeps it and no
    processor on the way forgets it. What cannot be known, such as what a component of one's own does, is taken for yes.
    """
    seen: set[tuple[Path, str]] = set()
    for pipeline in config.pipelines.values():
        before: list[ComponentConfig] = []
        parts = [("processors", config.processors[id]) for id in pipeline.processors]
        parts += [("exporters", config.exporters[id]) for id in pipeline.exporters if id in config.exporters]
        for section, entry in parts:
            for path, name in _reads(entry):
                culprits = _culprits(config, pipeline, before, name.lower())
                place: Path = (section, entry.id, *path)
                if culprits and (place, name) not in seen:
                    seen.add((place, name))
                    yield _problem(place, name, pipeline, culprits, entry, path)
            if section == "processors":
                before.append(entry)


def _reads(entry: ComponentConfig) -> Iterator[tuple[Path, str]]:
    for path, part in walk(entry.settings):
        if isinstance(part, ReadsHeaders):
            yield from (((*path, key), name) for key, name in part.headers_read)


def _culprits(
    config: Config, pipeline: PipelineConfig, before: Sequence[ComponentConfig], name: str, seen: tuple[str, ...] = ()
) -> list[str]:
    """Say why a header cannot be where some processors have passed; nothing when it can, or when that is unknown."""
    for entry in reversed(before):
        settings = entry.settings
        if isinstance(settings, ForgetsHeaders) and name not in map(str.lower, settings.headers_kept):
            return [f"processors::{entry.id} forgets it"]
    found: list[str] = []
    for id in pipeline.receivers:
        culprits = _sources(config, id, pipeline, name, (*seen, pipeline.id))
        if not culprits:
            return []
        found += culprits
    return found


def _sources(config: Config, id: str, pipeline: PipelineConfig, name: str, seen: tuple[str, ...]) -> list[str]:
    if id in config.receivers:
        return _forgetful(config.receivers[id])
    if config.connectors[id].component.emits is not None:
        return []  # only what passes on the signal it was given passes on the batch, with what it knows of its request
    found: list[str] = []
    for source in config.pipelines.values():
        if source.signal is not pipeline.signal or source.id in seen:
            continue
        for passed in _ways(config, source, id):
            culprits = _culprits(config, source, passed, name, seen)
            if not culprits:
                return []
            found += culprits
    return found


def _ways(config: Config, source: PipelineConfig, connector: str) -> Iterator[list[ComponentConfig]]:
    """The processors that have been passed on each way from a pipeline into a connector."""
    passed: list[ComponentConfig] = []
    for entry in (config.processors[id] for id in source.processors):
        if connector in entry.routes:
            yield list(passed)
        passed.append(entry)
    if connector in source.exporters:
        yield passed


def _forgetful(receiver: ComponentConfig) -> list[str]:
    """The servers of a receiver that keeps no headers; none when one of them does, or when it has none to ask."""
    servers = [(path, part) for path, part in walk(receiver.settings) if isinstance(part, KeepsHeaders)]
    if any(server.include_metadata for _, server in servers):
        return []
    return [f"include_metadata is false in {join(('receivers', receiver.id, *path))}" for path, _ in servers]


def _problem(
    place: Path, name: str, pipeline: PipelineConfig, culprits: Sequence[str], entry: ComponentConfig, path: Path
) -> Problem:
    mark = entry.mark_of(path)
    reasons = ", ".join(dict.fromkeys(culprits))
    text = f'the request header "{name}" never reaches pipeline {pipeline.id}, and will always be missing: {reasons}'
    return Problem(text, join(place), mark.file, mark.line, mark.column)
