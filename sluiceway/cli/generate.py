"""`sluiceway generate`: load for a collector or a backend, and a report of what became of it."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sluiceway.cli.durations import duration
from sluiceway.errors import ConfigError

if TYPE_CHECKING:
    from sluiceway.generate.load import Load
    from sluiceway.generate.report import Report
    from sluiceway.generate.send import Target

__all__ = ["add_arguments", "execute"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `generate`."""
    parser.add_argument("signal", choices=("traces", "metrics", "logs"), help="what to send")
    _add_target(parser.add_argument_group("where to"))
    load = parser.add_argument_group("how much")
    load.add_argument("--rate", type=_not_negative, default=0.0, help="items a second; 0 is as fast as it goes")
    load.add_argument("--count", type=_natural, default=0, help="items to send")
    load.add_argument("--duration", type=duration, help="how long to send (default 10s, unless --count is given)")
    load.add_argument("--batch-size", type=_batch, default=512, help="items a request (default %(default)s)")
    load.add_argument("--connections", "--workers", type=_positive, default=1, help="connections (default 1)")
    load.add_argument("--in-flight", type=_positive, default=16, help="requests under way on each (default 16)")
    load.add_argument(
        "--retry-for", type=duration, default="30s", help="how long a refused request is sent again (default 30s)"
    )
    items = parser.add_argument_group("what")
    items.add_argument("--attributes", type=_natural, default=10, help="attributes an item (default 10)")
    items.add_argument("--size", type=_natural, default=0, help="bytes of text to add to each item")
    items.add_argument("--distinct", type=_positive, default=16, help="different payloads to build (default 16)")
    items.add_argument("--sequence", action="store_true", help="number the requests, in loadgen.sequence")
    items.add_argument("--seed", type=int, default=1, help="the same seed makes the same data, ids included")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def execute(arguments: argparse.Namespace) -> int:
    """Send the load. Returns 1 when anything was lost, 2 for flags that make no sense, 130 when interrupted."""
    try:
        load = _load(arguments)
    except ConfigError as error:
        print(f"sluiceway generate: {error}", file=sys.stderr)
        return 2
    report, was_interrupted = asyncio.run(_generate(load))
    print(json.dumps(report.as_dict()) if arguments.json else report)
    if report.lost:
        print(f"{report.lost:,} items were lost", file=sys.stderr)
    return 130 if was_interrupted else 1 if report.lost else 0


async def _generate(load: Load) -> tuple[Report, bool]:
    """Generate until SIGINT or SIGTERM at the latest; say whether one came."""
    from sluiceway.generate.load import generate

    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    report = await generate(load, stop=stop, tell=lambda text: print(text, file=sys.stderr, flush=True))
    return report, stop.is_set()


def _add_target(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--endpoint", default="", help="host:port or URL (default localhost:4317, HTTP localhost:4318)")
    group.add_argument("--protocol", choices=("grpc", "http", "http-json"), default="grpc", help="default %(default)s")
    group.add_argument("--header", action="append", default=[], metavar="NAME=VALUE", help="a header of each request")
    group.add_argument("--timeout", type=duration, default="10s", help="how long a request may take (default 10s)")
    group.add_argument("--insecure", action="store_true", default=None, help="no TLS; the default to this machine")
    group.add_argument("--tls", action="store_false", dest="insecure", help="TLS; the default to other machines")
    group.add_argument("--ca", default="", metavar="FILE", help="authorities that the other side is checked against")
    group.add_argument("--cert", default="", metavar="FILE", help="our certificate")
    group.add_argument("--key", default="", metavar="FILE", help="its key")


def _load(arguments: argparse.Namespace) -> Load:
    from sluiceway.generate.load import Load
    from sluiceway.generate.send import Target
    from sluiceway.otlp import Signal

    for flag, file in (("--ca", arguments.ca), ("--cert", arguments.cert), ("--key", arguments.key)):
        _check_file(flag, file)
    port = 4317 if arguments.protocol == "grpc" else 4318
    target = Target(
        endpoint=arguments.endpoint or f"localhost:{port}", protocol=arguments.protocol, insecure=arguments.insecure,
        ca_file=arguments.ca, cert_file=arguments.cert, key_file=arguments.key, headers=_headers(arguments.header),
        timeout=arguments.timeout,
    )  # fmt: skip
    _check_endpoint(target)
    seconds = (0.0 if arguments.count else 10.0) if arguments.duration is None else arguments.duration
    if not seconds and not arguments.count:
        raise ConfigError("--duration: must be above zero, unless --count is given")
    return Load(
        signal=Signal(arguments.signal), target=target, duration=seconds,
        rate=arguments.rate, count=arguments.count, batch_size=arguments.batch_size,
        attributes=arguments.attributes, size=arguments.size, distinct=arguments.distinct,
        connections=arguments.connections, in_flight=arguments.in_flight, sequence=arguments.sequence,
        retry_for=arguments.retry_for, seed=arguments.seed,
    )  # fmt: skip


def _headers(pairs: list[str]) -> dict[str, str]:
    wrong = [pair for pair in pairs if "=" not in pair]
    if wrong:
        raise ConfigError("--header: missing equal sign")
    return {name.strip(): value for name, _, value in (pair.partition("=") for pair in pairs)}


def _check_file(flag: str, file: str) -> None:
    try:
        if file:
            Path(file).read_bytes()
    except OSError as error:
        raise ConfigError(f"{flag}: cannot read {file}: {error.strerror}") from error


def _check_endpoint(target: Target) -> None:
    from sluiceway.config.client import is_url
    from sluiceway.config.types import split_endpoint

    try:
        if target.protocol == "grpc" and not target.endpoint.startswith("unix:"):
            split_endpoint(target.address)
    except ValueError as error:
        raise ConfigError(f"--endpoint: {error}") from error
    if target.protocol != "grpc" and not is_url(f"http://{target.address}"):
        raise ConfigError("--endpoint: must be host:port or a URL")


def _natural(text: str) -> int:
    number = int(text.replace("_", ""))
    if number < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return number


def _positive(text: str) -> int:
    number = _natural(text)
    if number == 0:
        raise argparse.ArgumentTypeError("must be above zero")
    return number


def _batch(text: str) -> int:
    number = _positive(text)
    if number > 20_000:
        raise argparse.ArgumentTypeError("must be at most 20000")
    return number


def _not_negative(text: str) -> float:
    number = float(text)
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError("must not be negative")
    return number
