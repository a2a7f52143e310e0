"""Where configuration comes from: files, variables, text on the command line and web servers, by URI."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path as FilePath

from sluiceway.config.download import download, shown
from sluiceway.config.model import Mark
from sluiceway.config.parse import MAX_BYTES, MAX_DEPTH, parse
from sluiceway.config.tree import DELIMITER, Node, kind_of, nest
from sluiceway.errors import ConfigError, Problem

__all__ = ["SCHEMES", "fetch", "read_file", "read_set", "read_source", "split_uri"]

SCHEMES = ("env", "file", "http", "https", "yaml")

_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]+):(.*)", re.DOTALL)  # one letter is a drive on Windows


def split_uri(uri: str, default: str) -> tuple[str, str]:
    """Split `scheme:rest`; without a scheme the default one is meant."""
    match = _URI.fullmatch(uri)
    return (match[1], match[2]) if match else (default, uri)


def read_source(uri: str, environ: Mapping[str, str]) -> Node:
    """Read one whole source: a path, `file:`, `env:`, `yaml:`, `http:` or `https:`. Raises `ConfigError`."""
    scheme, rest = split_uri(uri, "file")
    match scheme:
        case "file":
            root = parse(read_file(rest), rest)
        case "env":
            if rest not in environ:
                raise ConfigError(f'environment variable "{rest}" is not set, so there is no configuration in it')
            root = parse(environ[rest], uri)
        case "yaml":
            root = parse(rest, "yaml:")
        case "http" | "https":
            root = parse(fetch(uri), shown(uri))
        case _:
            raise ConfigError(unsupported(scheme, uri))
    if root.value is not None and not isinstance(root.value, dict):
        raise ConfigError(root.problem(f"a configuration is a map of sections, and this is a {kind_of(root.value)}"))
    return root


def unsupported(scheme: str, uri: str) -> str:
    """Say that a scheme is not one of ours."""
    return f'scheme "{scheme}" is not supported for uri "{uri}" (valid values: [{" ".join(SCHEMES)}])'


def read_file(path: str) -> str:
    """Return a file's text. Raises `ConfigError` when it cannot be read, is too large or is not UTF-8."""
    try:
        with FilePath(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "the path is not valid"
        raise ConfigError(Problem(f"unable to read the file {path}: {reason}")) from None
    return _text(content, path)


def fetch(uri: str) -> str:
    """Return the text at an `http:` or `https:` URI. Raises `ConfigError`, which shows nothing secret of it."""
    return _text(download(uri), shown(uri))


def _text(content: bytes, path: str) -> str:
    if len(content) > MAX_BYTES:
        raise ConfigError(Problem(f"larger than {MAX_BYTES} bytes", file=path))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise ConfigError(Problem("not UTF-8", "", path, line, column)) from None


def read_set(assignment: str) -> Node:
    """Read `a.b.c=value` of the command line, where the value is YAML. Raises `ConfigError`."""
    key, equals, text = assignment.partition("=")
    label = f"--set {key}"
    if not equals:
        raise ConfigError(Problem("missing equal sign", file=label))
    path = key.replace(".", DELIMITER)
    if not all(path.split(DELIMITER)) or path.count(DELIMITER) > MAX_DEPTH:
        raise ConfigError(Problem(f'"{key}" is not a path of keys', file=label))
    mark = Mark(label, 1, 1)
    first, node = nest(path, parse(text, label, mark))
    return Node({first: node}, mark)
