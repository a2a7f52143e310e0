"""`sluiceway run`: the life of a collector process."""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import signal
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, cast

from sluiceway.cli.durations import duration
from sluiceway.cli.sources import add_source_arguments, read_config

if TYPE_CHECKING:
    from sluiceway.config.model import Config

__all__ = ["add_arguments", "execute"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `run`."""
    add_source_arguments(parser)
    parser.add_argument(
        "--watch", action="store_true",
        help="reload, as on SIGHUP, when a file changes that the configuration was read from",
    )  # fmt: skip
    parser.add_argument(
        "--drain-timeout", type=duration, default="30s", metavar="DURATION",
        help="how long stopping may take; what is still held then is dropped and counted (default 30s)",
    )  # fmt: skip


def execute(arguments: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT, and print the summary of the ledger."""
    from sluiceway.config.telemetry import LogsConfig
    from sluiceway.telemetry.outputs import LogOutputs

    _prepare_process()
    # A reload that is asked for before there is anything to reload must not end the process.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # The first lines, from loading, are written as the defaults have it; what was loaded may say otherwise.
    with LogOutputs(LogsConfig()):
        config = read_config(arguments)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_run(config, arguments))


async def _run(config: Config, arguments: argparse.Namespace) -> int:
    from sluiceway.cli.summary import summary
    from sluiceway.service import Collector
    from sluiceway.telemetry.outputs import LogOutputs

    collector = Collector(config, drain_timeout=arguments.drain_timeout)
    code = None
    with LogOutputs(config.telemetry.logs, collector.telemetry.resource):
        try:
            code = await collector.run(partial(read_config, arguments), watch=arguments.watch)
        finally:
            balances, outside = collector.ledger.balances(), collector.ledger.outside
            if code is not None or outside or any(balance.accepted for balance in balances):
                print(summary(balances, outside), file=sys.stderr)
    return code


def _prepare_process() -> None:
    # gRPC's core writes a line to stderr for each malformed header: a hostile peer makes 50,000 of them a second.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # The soft limit, often 1024, is meant for programs that use `select`; all our connections count towards it.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return cast("Callable[[], asyncio.AbstractEventLoop]", uvloop.new_event_loop)
