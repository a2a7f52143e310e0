"""The flags of commands that need the keys of `anonymize`: from a configuration, or from variables and files alone."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sluiceway.cli.sources import add_source_arguments, read_config
from sluiceway.errors import ConfigError
from sluiceway.personal.keys import parse_key

if TYPE_CHECKING:
    from sluiceway.processors.anonymize import KeysConfig

__all__ = ["add_key_arguments", "read_aes_keys", "read_hmac_key", "read_key"]


def add_key_arguments(parser: argparse.ArgumentParser, flag: str, text: str) -> None:
    """Add the flags that say where keys come from; `flag` names one of them itself."""
    add_source_arguments(parser)
    parser.add_argument("--processor", default="", metavar="ID", help="whose keys, where several have some")
    parser.add_argument(flag, action="append", default=[], dest="keys", metavar=text, help="instead of --config")


def read_hmac_key(arguments: argparse.Namespace) -> bytes:
    """The key for hashes and pseudonyms. Raises `ConfigError` where it is not there."""
    if arguments.keys:
        return read_key(arguments.keys[-1])
    key = _configured(arguments, lambda keys: keys.hmac).hmac
    assert key is not None  # noqa: S101 - or the keys would not have been chosen
    return parse_key(key.reveal())


def read_aes_keys(arguments: argparse.Namespace) -> dict[str, bytes]:
    """The keys for encrypted values by their ids. Raises `ConfigError` where there are none."""
    if arguments.keys:
        pairs = [given.partition("=") for given in arguments.keys]
        return {id: read_key(source) for id, _, source in pairs}
    keys = _configured(arguments, lambda keys: keys.aes).aes
    return {entry.id: parse_key(entry.key.reveal()) for entry in keys}


def read_key(source: str) -> bytes:
    """The key that `env:NAME` or `file:PATH` gives. Raises `ConfigError`."""
    scheme, _, name = source.partition(":")
    try:
        if scheme == "env":
            return parse_key(os.environ.get(name, ""))
        if scheme == "file":
            return parse_key(Path(name).read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{source}: {error}") from None
    raise ConfigError("a key is given by env:NAME or file:PATH, never as it is: others can read command lines")


def _configured(arguments: argparse.Namespace, has: Callable[[KeysConfig], object]) -> KeysConfig:
    from sluiceway.processors.anonymize import AnonymizeConfig

    found = {
        id: entry.settings.keys
        for id, entry in read_config(arguments).processors.items()
        if isinstance(entry.settings, AnonymizeConfig) and has(entry.settings.keys)
    }
    if arguments.processor:
        found = {id: keys for id, keys in found.items() if id == arguments.processor}
    if len(found) != 1:
        known = f"several have them ({', '.join(found)}): say which with --processor" if found else "none has them"
        raise ConfigError(f"the keys of an anonymize processor are needed, and {known}")
    return next(iter(found.values()))
