"""`sluiceway schema`: the JSON Schema of configuration files."""

from __future__ import annotations

import argparse
import json

__all__ = ["add_arguments", "execute"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `schema`."""
    parser.add_argument("--indent", type=int, default=2, help="spaces a level (default 2)")


def execute(arguments: argparse.Namespace) -> int:
    """Print the schema; it knows every component that is installed."""
    from sluiceway.config.schema import schema

    print(json.dumps(schema(), indent=arguments.indent))
    return 0
