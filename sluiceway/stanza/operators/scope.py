"""`scope_name_parser`, and the block `scope_name` of parsers."""

from __future__ import annotations

from typing import Literal

from sluiceway.config.settings import Settings
from sluiceway.stanza.entry import Entry
from sluiceway.stanza.fields import MISSING, FieldName, field
from sluiceway.stanza.operators.operator import Operator, Step

__all__ = ["ScopeName", "ScopeNameParser"]


class ScopeName(Settings):
    """Where the name of the scope stands."""

    parse_from: FieldName = "body"
    """The field with the name."""

    def step(self) -> Step:
        """Read the name."""
        return _step(self.parse_from)


class ScopeNameParser(ScopeName, Operator):
    """Reads the name of the scope from a field."""

    type: Literal["scope_name_parser"]
    """Which operator it is."""


def _step(parse_from: str) -> Step:
    get = field(parse_from).get

    def step(entry: Entry) -> None:
        value = get(entry)
        if value is MISSING:
            raise ValueError("log entry does not have the expected parse_from field")
        if not isinstance(value, str):
            raise ValueError("unable to decode a scope name: it is no text")  # noqa: TRY004 - one error for all values
        entry.scope = value

    return step
