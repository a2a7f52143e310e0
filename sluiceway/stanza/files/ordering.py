"""`ordering_criteria`: of the files that were found, the first ones by what their names tell."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from sluiceway.config.settings import Settings, mistake
from sluiceway.otlp.selecting import compile_pattern
from sluiceway.stanza.layouts import strptime
from sluiceway.stanza.operators.operator import Pattern
from sluiceway.stanza.operators.timestamp import location

__all__ = ["OrderingCriteria", "SortBy", "ordered"]


class SortBy(Settings):
    """By what files are sorted."""

    sort_type: Literal["numeric", "alphabetical", "timestamp", "mtime"]
    """How values are compared."""
    regex_key: str = ""
    """The group of `regex` that holds the value; not for `mtime`."""
    ascending: bool = False
    """Whether the smallest comes first, instead of the greatest."""
    location: str = "UTC"
    """The time zone of a `timestamp`."""
    layout: str = ""
    """How a `timestamp` is written, in strptime's directives."""
    format: str = ""
    """The old name of `layout`."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.sort_type != "mtime" and not self.regex_key:
            raise mistake("`regex_key` must be specified", "regex_key")
        if self.sort_type == "timestamp":
            if not (self.layout or self.format):
                raise mistake("`layout` must be specified", "layout")
            try:
                location(self.location)
                strptime(self.layout or self.format)
            except ValueError as error:
                raise mistake(str(error), "layout") from None
        return self


class OrderingCriteria(Settings):
    """Which of the files that were found are read."""

    regex: Pattern = ""
    """RE2 with named groups, for a file's name; files that it does not match are left out."""
    group_by: Pattern = ""
    """RE2 with a named group: files are sorted, and counted, within those of the same value."""
    top_n: int = Field(default=1, ge=0)
    """How many files are read, of each group; 0 is 1."""
    sort_by: tuple[SortBy, ...] = ()
    """By what they are sorted; the first counts most."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.regex and any(rule.sort_type != "mtime" for rule in self.sort_by):
            raise mistake("`regex` must be specified when `sort_by` is specified", "regex")
        groups = {name.decode() for name in compile_pattern(self.regex).groupindex}
        for place, rule in enumerate(self.sort_by):
            if rule.regex_key and rule.regex_key not in groups:
                raise mistake(f"`regex` has no group {rule.regex_key}", "sort_by", place, "regex_key")
        return self


def ordered(paths: list[str], criteria: OrderingCriteria, now: int) -> list[str]:
    """The files that are read, best first in each group. `now` is ns since the epoch, for times without a year."""
    regex = compile_pattern(criteria.regex) if criteria.regex else None
    found: list[tuple[str, dict[str, str]]] = []
    for path in paths:
        groups = _groups(regex, path) if regex else {}
        if groups is not None:
            found.append((path, groups))
    for rule in reversed(criteria.sort_by):
        value = _value(rule, now)
        told = [(value(path, groups), path, groups) for path, groups in found]
        told = [item for item in told if item[0] is not None]
        told.sort(key=lambda item: item[0], reverse=not rule.ascending)
        found = [(path, groups) for _, path, groups in told]
    return _first([path for path, _ in found], criteria)


def _groups(pattern: Any, path: str) -> dict[str, str] | None:
    """The named groups that a file's name gives; None where it does not match."""
    match = pattern.search(os.fsencode(Path(path).name))
    if match is None:
        return None
    return {name.decode(): (value or b"").decode(errors="replace") for name, value in match.groupdict().items()}


def _first(paths: list[str], criteria: OrderingCriteria) -> list[str]:
    group_by = compile_pattern(criteria.group_by) if criteria.group_by else None
    counts: dict[Any, int] = {}
    chosen = []
    for path in paths:
        groups = _groups(group_by, path) if group_by else None
        group = tuple(sorted((groups or {}).items()))
        counts[group] = counts.get(group, 0) + 1
        if counts[group] <= max(criteria.top_n, 1):
            chosen.append(path)
    return chosen


def _value(rule: SortBy, now: int) -> Callable[[str, dict[str, str]], Any]:
    """What a file is sorted by; None for one that has no such thing, which is left out."""
    if rule.sort_type == "mtime":
        return lambda path, _: _written_at(path)
    if rule.sort_type == "alphabetical":
        return lambda _, groups: groups.get(rule.regex_key)
    read = strptime(rule.layout or rule.format).read if rule.sort_type == "timestamp" else None
    zone = location(rule.location) or UTC if read else None

    def number(_: str, groups: dict[str, str]) -> int | None:
        text = groups.get(rule.regex_key) or ""
        try:
            return read(text, zone, now) if read else int(text)
        except ValueError:
            return None

    return number


def _written_at(path: str) -> int | None:
    try:
        return Path(path).stat().st_mtime_ns
    except OSError:
        return None
