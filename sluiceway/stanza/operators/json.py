"""`json_parser` and `json_array_parser`."""

from __future__ import annotations

from typing import Any, Literal

import orjson

from sluiceway.stanza.fields import FieldName
from sluiceway.stanza.operators.parser import Parse, Parser, text

__all__ = ["JsonArrayParser", "JsonParser"]

_MAX_DEPTH = 24
"""How deep JSON may be nested: what the encoder writes."""


class JsonParser(Parser):
    """A JSON object becomes a map. Of a key that comes twice the last counts; NaN and the like are refused."""

    type: Literal["json_parser"]
    """Which operator it is."""
    parse_ints: bool = False
    """Whether integers stay integers; else every number becomes a double."""

    def parse(self) -> Parse:
        """Read an object; integers beyond 64 bits become doubles."""
        keep = self.parse_ints

        def parse(value: Any) -> dict[str, Any]:
            found = _load(value)
            if type(found) is not dict:
                raise ValueError("a JSON object was expected")
            _normal(found, keep)
            return found

        return parse


class JsonArrayParser(Parser):
    """A JSON array becomes a list, or, with `header`, a map."""

    type: Literal["json_array_parser"]
    """Which operator it is."""
    parse_to: FieldName = "body"
    """The field that takes the list."""
    header: str | None = None
    """Names for the items, separated by commas: the array then becomes a map."""

    def parse(self) -> Parse:
        """Read an array."""
        names = None if self.header is None else [name.strip() for name in self.header.split(",")]

        def parse(value: Any) -> Any:
            found = _load(value)
            if type(found) is not list:
                raise ValueError("a JSON array was expected")
            _normal(found, keep=True)
            if names is None:
                return found
            if len(names) != len(found):
                raise ValueError(f"wrong number of fields: expected {len(names)}, found {len(found)}")
            return dict(zip(names, found, strict=True))

        return parse


def _load(value: Any) -> Any:
    try:
        return orjson.loads(value if isinstance(value, bytes) else text(value, "JSON").encode(errors="replace"))
    except orjson.JSONDecodeError as error:
        raise ValueError(str(error)) from None


def _normal(values: Any, keep: bool, depth: int = 1) -> None:
    """In a map or list, make numbers what they are asked to be, and refuse what is nested too deeply."""
    if depth > _MAX_DEPTH:
        raise ValueError(f"JSON is nested deeper than {_MAX_DEPTH}")
    for key, value in values.items() if type(values) is dict else enumerate(values):
        kind = type(value)
        if kind is int:
            if not keep or not -(2**63) <= value < 2**63:
                values[key] = float(value)
        elif kind is dict or kind is list:
            _normal(value, keep, depth + 1)
