"""What all parsers have in common: where they read, where they write, and the blocks that read on from there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from sluiceway.stanza.entry import Entry
from sluiceway.stanza.fields import MISSING, FieldName, field
from sluiceway.stanza.operators.operator import Operator, Step
from sluiceway.stanza.operators.scope import ScopeName
from sluiceway.stanza.operators.severity import Severity
from sluiceway.stanza.operators.timestamp import Timestamp
from sluiceway.stanza.operators.trace import Trace

__all__ = ["Parse", "Parser"]

Parse: TypeAlias = Callable[[Any], Any]
"""From a value to what was read in it; raises `ValueError`."""


class Parser(Operator):
    """An operator that reads a value and puts what it found into the entry."""

    parse_from: FieldName = "body"
    """The field to read."""
    parse_to: FieldName = "attributes"
    """The field that takes what was found; a map is merged into what is there."""
    timestamp: Timestamp | None = None
    """Reads the entry's time from a field, once this parser has filled it."""
    severity: Severity | None = None
    """Reads the entry's severity from a field."""
    trace: Trace | None = None
    """Reads the ids of trace and span, and the flags."""
    scope_name: ScopeName | None = None
    """Reads the name of the scope from a field."""

    def parse(self) -> Parse:
        """What reads a value. Raises `ValueError` for settings that make no sense."""
        raise NotImplementedError

    def step(self) -> Step:
        """Parse, put, and then read what the blocks ask for."""
        return then(self.put(), self.blocks())

    def put(self) -> Step:
        """Parse, and put what was found."""
        parse, get, put = self.parse(), field(self.parse_from).get, field(self.parse_to).set

        def step(entry: Entry) -> None:
            value = get(entry)
            if value is MISSING:
                raise ValueError("log entry does not have the expected parse_from field")
            put(entry, parse(value))

        if self.parse_to != "attributes":
            return step
        if self.parse_from != "body":
            return step

        def body_to_attributes(entry: Entry) -> None:
            found = parse(entry.body)
            if type(found) is not dict:
                raise ValueError("cannot set attributes root")
            entry.attributes.update(found)

        return body_to_attributes

    def blocks(self) -> tuple[Step, ...]:
        """The steps of the blocks that are there, in the Collector's order."""
        return tuple(
            block.step() for block in (self.timestamp, self.severity, self.trace, self.scope_name) if block is not None
        )


def then(first: Step, blocks: tuple[Step, ...]) -> Step:
    """One step of several. All blocks are tried, and the first error that one met is raised at the end."""
    if not blocks:
        return first

    def step(entry: Entry) -> None:
        first(entry)
        failed: ValueError | None = None
        for block in blocks:
            try:
                block(entry)
            except ValueError as error:
                failed = failed or error
        if failed:
            raise failed

    return step


def text(value: Any, what: str) -> str:
    """The text that a parser reads; bytes are taken as UTF-8."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode(errors="replace")
    raise ValueError(f"type '{type(value).__name__}' cannot be parsed as {what}")
