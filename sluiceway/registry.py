"""Which components exist: the module `sluiceway.<kind>s.<type>` is the component `<type>`.

Others come from packages that declare entry points in the groups `sluiceway.receivers`, `sluiceway.processors` and so
on, each naming a `COMPONENT` record. Names that differ only in underscores are the same. A module is imported when a
configuration names it, or when an alias can only be found in the modules themselves.
"""

from __future__ import annotations

import logging
import pkgutil
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module, metadata

from sluiceway.component import Component, Kind

__all__ = ["UnknownTypeError", "available", "components", "find"]

_log = logging.getLogger("sluiceway.config")


class UnknownTypeError(LookupError):
    """No component has this name; `valid` holds those that one may have meant."""

    def __init__(self, kind: Kind, type: str, valid: tuple[str, ...]) -> None:
        super().__init__(f'unknown {kind} "{type}"')
        self.kind = kind
        self.type = type
        self.valid = valid


def available(kind: Kind) -> tuple[str, ...]:
    """The names of all components of a kind, sorted, without importing any of them."""
    return tuple(sorted({*_modules(kind), *_plugins(kind)}))


def components(kind: Kind) -> Iterator[Component]:
    """Import and return all components of a kind, by name. One that cannot be imported is logged and left out."""
    for name in available(kind):
        try:
            yield _load(kind, name)
        except ImportError as error:
            _log.info('%s "%s" is not available: %s', kind, name, error)


def find(kind: Kind, type: str) -> Component:
    """Return the component that a configuration calls `type`, by its name or an alias.

    Raises `UnknownTypeError`, or `ImportError` when the component needs a package that is not installed.
    """
    for known in (_modules, _plugins):
        name = _same(type, known(kind))
        if name is not None:
            return _load(kind, name)
        aliased = _by_alias(kind, type, known)
        if aliased is not None:
            return aliased
    raise UnknownTypeError(kind, type, available(kind))


def _same(type: str, names: tuple[str, ...]) -> str | None:
    if type in names:
        return type
    return next((name for name in names if _squash(name) == _squash(type)), None)


def _by_alias(kind: Kind, type: str, known: Callable[[Kind], tuple[str, ...]]) -> Component | None:
    for name in known(kind):
        try:
            component = _load(kind, name)
        except ImportError:
            continue  # who names it directly is told
        if _same(type, component.aliases) is not None:
            return component
    return None


def _squash(name: str) -> str:
    return name.replace("_", "")


@cache
def _modules(kind: Kind) -> tuple[str, ...]:
    package = import_module(f"sluiceway.{kind.section}")
    return tuple(module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_"))


@cache
def _plugins(kind: Kind) -> tuple[str, ...]:
    return tuple(point.name for point in metadata.entry_points(group=f"sluiceway.{kind.section}"))


def _load(kind: Kind, name: str) -> Component:
    if name in _modules(kind):
        component = import_module(f"sluiceway.{kind.section}.{name}").COMPONENT
    else:
        (point, *_) = metadata.entry_points(group=f"sluiceway.{kind.section}", name=name)
        component = point.load()
        component = getattr(component, "COMPONENT", component)
    if not isinstance(component, Component):
        raise ImportError(f"{kind} {name} does not end with a COMPONENT record")  # noqa: TRY004 - the module is at fault
    return component
