"""The flags that every command with a configuration has, and the configuration they give."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from sluiceway.cli.gates import check_gates
from sluiceway.errors import ConfigError

if TYPE_CHECKING:
    from sluiceway.config.model import Config

__all__ = ["add_source_arguments", "read_config"]


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--config`, `--set` and `--feature-gates`."""
    parser.add_argument(
        "--config", action="append", default=[], metavar="URI",
        help="a file, env:NAME, yaml:TEXT or https://...; may be given several times, later ones win",
    )  # fmt: skip
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="sets",
        help="set one value over those of all files, as in processors.batch.timeout=2s",
    )  # fmt: skip
    parser.add_argument(
        "--feature-gates", action="append", default=[], metavar="LIST",
        help="the Collector's gates; known ones are accepted, with a warning that they change nothing",
    )  # fmt: skip


def read_config(arguments: argparse.Namespace) -> Config:
    """Load what the flags name. Raises `ConfigError` with every mistake."""
    check_gates(arguments.feature_gates)
    if not arguments.config:
        raise ConfigError("at least one config flag must be provided")
    if not all(arguments.config):
        raise ConfigError("--config: the path is empty")
    from sluiceway.config.load import load

    return load(arguments.config, arguments.sets)
