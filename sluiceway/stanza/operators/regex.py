"""`regex_parser`: the named groups of a pattern become attributes. RE2, so that the time is linear in the line."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from sluiceway.config.settings import Settings, mistake
from sluiceway.otlp.selecting import compile_pattern
from sluiceway.stanza.operators.operator import Pattern
from sluiceway.stanza.operators.parser import Parse, Parser, text

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
        import re2

        pattern = compile_pattern(self.regex)
        groups = [
            (name.decode(), index) for name, index in sorted(pattern.groupindex.items(), key=lambda item: item[1])
        ]
        match, anywhere = pattern._regexp.Match, re2._Anchor.UNANCHORED  # noqa: SLF001 - a third of the binding's cost

        def parse(value: Any) -> dict[str, str]:
            line = value if type(value) is str else text(value, "regex")
            raw = line.encode(errors="replace")
            spans = match(anywhere, raw, 0, len(raw))
            if not spans or spans[0][0] < 0:
                raise ValueError("regex pattern does not match")
            found = {}
            if len(raw) == len(line):  # ASCII: places in bytes are places in the text
                for name, index in groups:
                    start, end = spans[index]
                    found[name] = line[start:end] if start >= 0 else ""
            else:
                for name, index in groups:
                    start, end = spans[index]
                    found[name] = raw[start:end].decode(errors="replace") if start >= 0 else ""
            return found

        return parse
