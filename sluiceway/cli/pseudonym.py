"""`sluiceway pseudonym`: under which pseudonym a person is found, told to whoever holds the key."""

from __future__ import annotations

import argparse

from sluiceway.cli.keys import add_key_arguments, read_hmac_key
from sluiceway.errors import ConfigError
from sluiceway.personal.pseudonyms import keyed_hash, pseudonym

__all__ = ["add_arguments", "execute"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `pseudonym`."""
    add_key_arguments(parser, "--hmac", "SOURCE")
    parser.add_argument("--detector", default="", help="which detector found it (default: the one that finds it now)")
    parser.add_argument("--hash", action="store_true", help="print what the action hash makes of it instead")
    parser.add_argument("values", nargs="+", metavar="VALUE", help="an address, a number, an id")


def execute(arguments: argparse.Namespace) -> int:
    """Print one line for each value."""
    key = read_hmac_key(arguments)
    try:
        for value in arguments.values:
            print(keyed_hash(key, value) if arguments.hash else pseudonym(key, value, arguments.detector))
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return 0
