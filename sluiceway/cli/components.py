"""`sluiceway components`: what there is, in the Collector's form."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

import sluiceway

if TYPE_CHECKING:
    from sluiceway.component import Component

__all__ = ["add_arguments", "execute"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `components`."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of YAML")


def execute(arguments: argparse.Namespace) -> int:
    """Import every component and print its name, module and stability."""
    from sluiceway import registry
    from sluiceway.component import Kind
    from sluiceway.config.sources import SCHEMES

    order = (Kind.RECEIVER, Kind.PROCESSOR, Kind.EXPORTER, Kind.CONNECTOR, Kind.EXTENSION)
    listed: dict[str, Any] = {
        "buildinfo": {
            "command": "sluiceway", "description": sluiceway.__doc__, "version": sluiceway.__version__,
        },
        **{kind.section: [_entry(component) for component in registry.components(kind)] for kind in order},
        "providers": [{"name": scheme, "module": "sluiceway.config.sources"} for scheme in sorted(SCHEMES)],
    }  # fmt: skip
    if arguments.json:
        import json

        print(json.dumps(listed, indent=2))
    else:
        import yaml

        yaml.safe_dump(listed, sys.stdout, sort_keys=False)
    return 0


def _entry(component: Component) -> dict[str, Any]:
    return {"name": component.type, "module": component.config.__module__, "stability": _stability(component)}


def _stability(component: Component) -> dict[str, str]:
    from sluiceway.component import Kind
    from sluiceway.otlp import Signal

    level = component.stability.value.capitalize()
    match component.kind:
        case Kind.EXTENSION:
            return {"extension": level}
        case Kind.CONNECTOR:
            emits = component.emits or {signal: frozenset({signal}) for signal in component.signals}
            return {
                f"{taken.value}-to-{given.value}": level if given in emits.get(taken, ()) else "Undefined"
                for taken in Signal
                for given in Signal
            }
        case _:
            return {signal.value: level if signal in component.signals else "Undefined" for signal in Signal}
