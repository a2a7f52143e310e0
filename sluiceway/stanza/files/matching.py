"""Patterns of paths: `*`, `?`, `[a-z]`, `[^a-z]` and `{a,b}` within a name, and `**` for any number of directories.

As in the Collector, hidden files are matched like others. `**` does not follow symbolic links, of which a circle could
be made; names that are written out, and `*`, do.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final

__all__ = ["compile_glob", "find"]

_MAGIC: Final = re.compile(r"[*?\[{]")
_DEEPEST: Final = 64
"""Directories that `**` goes down."""


@lru_cache(maxsize=1024)
def compile_glob(pattern: str) -> re.Pattern[str]:
    """What matches whole paths. Raises `ValueError` for a pattern that makes no sense."""
    parts = _normal(pattern).split("/")
    text = ""
    for at, part in enumerate(parts):
        is_last = at == len(parts) - 1
        if part == "**":
            text += ".*" if is_last else "(?:.*/)?"
        else:
            text += _segment(part) + ("" if is_last else "/")
    return _compile(text)


def find(pattern: str) -> Iterator[str]:
    """The paths that match and exist, in the order of their names. What cannot be looked into holds none."""
    parts = _normal(pattern).split("/")
    start = "/" if parts[0] == "" else ""
    yield from _descend(start, [part for part in parts if part])


def _descend(folder: str, parts: list[str]) -> Iterator[str]:
    part, rest = parts[0], parts[1:]
    if part == "**":
        for below in _below(folder, _DEEPEST):
            if rest:
                yield from _descend(below, rest)
            else:
                yield from (_join(below, entry.name) for entry in _entries(below))
    elif _MAGIC.search(part) is None:
        path = _join(folder, part.replace("\\", ""))
        if rest:
            yield from _descend(path, rest)
        elif os.path.lexists(path):
            yield path
    else:
        fits = _name(part)
        for entry in _entries(folder):
            if fits(entry.name) is not None:
                path = _join(folder, entry.name)
                if not rest:
                    yield path
                elif _is_directory(entry):
                    yield from _descend(path, rest)


def _below(folder: str, depth: int) -> Iterator[str]:
    """A directory and all in it."""
    yield folder
    if depth:
        for entry in _entries(folder):
            if entry.is_dir(follow_symlinks=False):
                yield from _below(_join(folder, entry.name), depth - 1)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder or ".") as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _join(folder: str, name: str) -> str:
    return f"{folder}{name}" if not folder or folder.endswith("/") else f"{folder}/{name}"


def _normal(pattern: str) -> str:
    """Without what says nothing: `a//./b` is `a/b`."""
    if not pattern:
        raise ValueError("an empty pattern matches nothing")
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    if not parts:
        raise ValueError(f"'{pattern[:100]}' names no file")
    return ("/" if pattern.startswith("/") else "") + "/".join(parts)


@lru_cache(maxsize=1024)
def _name(part: str) -> Callable[[str], re.Match[str] | None]:
    return _compile(_segment(part)).fullmatch


def _compile(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text, re.DOTALL)
    except re.error as error:
        raise ValueError(f"syntax error in pattern: {error}") from None


def _segment(part: str) -> str:
    """A name's pattern as a regular expression."""
    text, at, open_braces = "", 0, 0
    while at < len(part):
        sign = part[at]
        if sign == "*":
            while part[at + 1 : at + 2] == "*":
                at += 1
            text += "[^/]*"
        elif sign == "?":
            text += "[^/]"
        elif sign == "[":
            end = part.find("]", at + 2)
            if end < 0:
                raise ValueError(f"syntax error in pattern: '{part[:100]}' lacks a ]")
            inside = part[at + 1 : end].replace("\\", "\\\\").replace("[", "\\[")
            text += f"[^{inside[1:]}]" if inside[0] in "!^" else f"[{inside}]"
            at = end
        elif sign == "{":
            text += "(?:"
            open_braces += 1
        elif sign == "}" and open_braces:
            text += ")"
            open_braces -= 1
        elif sign == "," and open_braces:
            text += "|"
        elif sign == "\\" and at + 1 < len(part):
            at += 1
            text += re.escape(part[at])
        else:
            text += re.escape(sign)
        at += 1
    if open_braces:
        raise ValueError(f"syntax error in pattern: '{part[:100]}' lacks a }}")
    return text
