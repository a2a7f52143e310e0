"""`sluiceway decrypt`: what `anonymize` has encrypted, read by whoever holds the keys."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable

from sluiceway.cli.keys import add_key_arguments, read_aes_keys
from sluiceway.errors import ConfigError
from sluiceway.extras import require
from sluiceway.personal.cipher import TOKEN, Cipher, UnknownKeyError

__all__ = ["add_arguments", "execute"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `decrypt`."""
    add_key_arguments(parser, "--aes", "ID=SOURCE")
    parser.add_argument(
        "values", nargs="*", metavar="TEXT",
        help="texts with encrypted values in them; without any, lines are read from standard input",
    )  # fmt: skip


def execute(arguments: argparse.Namespace) -> int:
    """Print the texts with all that can be decrypted in clear. The exit code is 1 where something could not be."""
    require("decryption", "privacy", "cryptography")
    try:
        cipher = Cipher(read_aes_keys(arguments))
    except ValueError as error:
        raise ConfigError(str(error)) from None
    lines: Iterable[str] = (f"{text}\n" for text in arguments.values) if arguments.values else sys.stdin
    failures: set[str] = set()

    def plain(token: re.Match[str]) -> str:
        try:
            return cipher.decrypt(token.group()).decode(errors="replace")
        except (UnknownKeyError, ValueError) as error:
            failures.add(str(error))
            return token.group()

    for line in lines:
        sys.stdout.write(TOKEN.sub(plain, line))
    for failure in sorted(failures):
        print(f"sluiceway: {failure}", file=sys.stderr)
    return int(bool(failures))
