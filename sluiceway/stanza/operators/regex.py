"""`regex_parser`: the named groups of a pattern become attributes, in time that is linear in the line."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from sluiceway.config.settings import Settings, mistake
from sluiceway.otlp.selecting import compile_pattern
from sluiceway.stanza._groups import Groups
from sluiceway.stanza.operators.operator import Pattern
from sluiceway.stanza.operators.parser import Parse, Parser, text
from sluiceway.stanza.sequences import sequence

__all__ = ["RegexParser"]


class Cache(Settings):
    """Accepted as the Collector has it; it has no effect, for matching costs less than a cache would."""

    size: int = 0
    """How many results the Collector would keep."""


class RegexParser(Parser):
    """Named groups of a pattern become attributes."""

    type: Literal["regex_parser"]
    """Which operator it is."""
    regex: Pattern
    """RE2 with at least one named group; it may match anywhere in the text."""
    cache: Cache = Cache()
    """Has no effect."""

    @model_validator(mode="after")
    def _need_groups(self) -> RegexParser:
        if not compile_pattern(self.regex).groupindex:
            raise mistake("no named capture groups in regex pattern", "regex")
        return self

    def parse(self) -> Parse:
        """Match, and give the named groups; a group that took no part gives an empty text."""
        groups = sequence(self.regex) or _by_re2(self.regex)

        def parse(value: Any) -> dict[str, str]:
            return groups(value if type(value) is str else text(value, "regex"))

        return parse


def _by_re2(text: str) -> Groups:
    import re2

    pattern = compile_pattern(text)
    names: list[str | None] = [None] * (pattern.groups + 1)
    for name, index in pattern.groupindex.items():
        names[index] = name.decode()
    return Groups(pattern._regexp.Match, re2._Anchor.UNANCHORED, tuple(names))  # noqa: SLF001 - half the time
