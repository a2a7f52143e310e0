"""Which addresses a configuration listens on, and whether two of its parts want the same one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import BaseModel

from sluiceway.config.address import Address, Listens
from sluiceway.config.model import Config, Mark
from sluiceway.config.settings import walk
from sluiceway.config.telemetry import TelemetryLevel
from sluiceway.config.tree import Path, join
from sluiceway.errors import Problem

__all__ = ["collisions"]


@dataclass(frozen=True, slots=True)
class _Listener:
    """Who listens where: its key path and the place where that was written, none for a default."""

    address: Address
    path: str
    mark: Mark


def collisions(config: Config) -> Iterator[Problem]:
    """Find parts of a configuration that would listen at the same address. Only what will run counts.

    A component listens wherever its settings hold a model that `Listens`; nothing is opened or looked up.
    """
    before: list[_Listener] = []
    for listener in (*_components(config), *_own_metrics(config)):
        first = next((other for other in before if other.address.overlaps(listener.address)), None)
        before.append(listener)
        if first is not None:
            yield _problem(first, listener) if listener.mark.line else _problem(listener, first)


def _problem(first: _Listener, second: _Listener) -> Problem:
    mark = second.mark
    text = f"cannot listen on {second.address.endpoint}: {first.path} listens on {first.address.endpoint}"
    return Problem(text, second.path, mark.file, mark.line, mark.column)


def _components(config: Config) -> Iterator[_Listener]:
    for kind, entry in config.running():
        for path, address in _addresses(entry.settings):
            yield _Listener(address, join((kind.section, entry.id, *path)), entry.mark_of(path))


def _own_metrics(config: Config) -> Iterator[_Listener]:
    metrics, node = config.telemetry.metrics, config.telemetry_node
    if metrics.level is TelemetryLevel.NONE:
        return
    for path, address in _addresses(metrics):
        place = node.at(("metrics", *path)) if node is not None and "readers" in metrics.model_fields_set else None
        yield _Listener(address, join(("service", "telemetry", "metrics", *path)), place.mark if place else Mark())


def _addresses(settings: BaseModel) -> Iterator[tuple[Path, Address]]:
    for path, part in walk(settings):
        if isinstance(part, Listens):
            yield (*path, "endpoint") if "endpoint" in type(part).model_fields else path, part.listens_on
