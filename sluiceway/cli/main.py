"""Finds the sub-command and runs it; only its module is imported.

Exit codes: 0 all went well, 1 the command failed (a configuration that cannot be used included, as in the Collector),
2 the command line was wrong, 130 interrupted. Data goes to standard output, everything else to standard error.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import NoReturn, Protocol

import sluiceway

__all__ = ["COMMANDS", "Command", "main"]

COMMANDS = {
    "run": ("run", "Run a configuration until SIGTERM; `sluiceway --config=FILE` is short for it."),
    "validate": ("validate", "Check a configuration by building everything that run would, without any I/O."),
    "components": ("components", "List the components there are, as YAML."),
    "print-config": ("print_config", "Print a configuration as it was understood, defaults included, secrets hidden."),
    "schema": ("schema", "Print the JSON Schema of configuration files, for editors."),
    "decrypt": ("decrypt", "Decrypt what the anonymize processor has encrypted, for whoever holds the keys."),
    "pseudonym": ("pseudonym", "Tell the pseudonym of a value, for whoever holds the key."),
    "queue": ("queue", "List, show, replay or purge what is in queues on disk and among dead letters."),
    "generate": ("generate", "Send traces, metrics or logs at a rate, and report what became of them."),
}
ALIASES = {"print-initial-config": "print-config"}


class Command(Protocol):
    """What a sub-command's module has."""

    add_arguments: Callable[[argparse.ArgumentParser], None]
    execute: Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code. Wrong usage and `--help` raise `SystemExit`, as argparse does."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given:
        given = ["run"]
    if given[0] in {"-h", "--help", "help"}:
        print(_overview())
        return 0
    if given[0] in {"-v", "--version"}:
        print(f"sluiceway version {sluiceway.__version__}")
        return 0
    if given[0].startswith("-"):
        given.insert(0, "run")
    return _execute(ALIASES.get(given[0], given[0]), given[1:])


def _execute(name: str, arguments: Sequence[str]) -> int:
    if name not in COMMANDS:
        _usage_error(f'unknown command "{name}"; there are: {", ".join(COMMANDS)}')
    module, purpose = COMMANDS[name]
    command: Command = import_module(f"sluiceway.cli.{module}")
    parser = argparse.ArgumentParser(f"sluiceway {name}", description=purpose, allow_abbrev=False)
    command.add_arguments(parser)
    parsed = parser.parse_intermixed_args(arguments)
    try:
        return command.execute(parsed)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; nothing more may be written, not even by the interpreter's own flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        from sluiceway.cli.report import is_expected, print_error

        if not is_expected(error):
            raise
        print_error(error)
        return 1


def _overview() -> str:
    commands = "\n".join(f"  {name:<14}{purpose}" for name, (_, purpose) in COMMANDS.items())
    return (
        "usage: sluiceway COMMAND [OPTIONS]\n"
        "       sluiceway --config=FILE [OPTIONS]\n\n"
        f"{sluiceway.__doc__}\n\ncommands:\n{commands}\n\n"
        "options:\n  -h, --help    Show this, or with a command the options it takes.\n"
        "  -v, --version Show the version.\n\n"
        "exit codes: 0 all went well, 1 the command failed, 2 the command line was wrong"
    )


def _usage_error(text: str) -> NoReturn:
    print(f"sluiceway: {text}", file=sys.stderr)
    raise SystemExit(2)
