"""`sluiceway print-config`: the configuration as it was understood."""

from __future__ import annotations

import argparse
import sys

from sluiceway.cli.sources import add_source_arguments, read_config

__all__ = ["add_arguments", "execute"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `print-config`."""
    add_source_arguments(parser)
    parser.add_argument(
        "--mode", choices=("redacted", "unredacted"), default="redacted",
        help="whether secrets show as [REDACTED], or as they are (default redacted)",
    )  # fmt: skip
    parser.add_argument("--format", choices=("yaml", "json"), default="yaml", help="default %(default)s")
    parser.add_argument(
        "--validate", choices=("true", "false"), nargs="?", const="true", default="true",
        help="whether to check, as validate does, that it would start (default true)",
    )  # fmt: skip


def execute(arguments: argparse.Namespace) -> int:
    """Print the merged and expanded configuration with all defaults. It can be loaded again."""
    from sluiceway.config.printing import render

    config = read_config(arguments)
    if arguments.validate == "true":
        from sluiceway.service import Collector

        Collector(config)
    sys.stdout.write(render(config, arguments.mode, arguments.format))
    return 0
