"""The command line: `sluiceway run`, `validate`, `generate` and the rest, one module each."""

from sluiceway.cli.main import main

__all__ = ["main"]
