"""`sluiceway validate`: what passes it, starts."""

from __future__ import annotations

import argparse

from sluiceway.cli.sources import add_source_arguments, read_config

__all__ = ["add_arguments", "execute"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `validate`."""
    add_source_arguments(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Build the whole graph and throw it away. Prints nothing when all is well, as the Collector."""
    from sluiceway.service import Collector

    Collector(read_config(arguments))
    return 0
