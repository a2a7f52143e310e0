"""Lines that are JSON: their texts are made visible once more, for JSON has escapes of its own."""

from __future__ import annotations

from typing import Any

import orjson

from sluiceway.escape import escape

__all__ = ["load", "take"]


def load(line: str) -> dict[str, Any]:
    """The map that a line is, without control characters in its texts. Raises `ValueError` or `TypeError`."""
    data = orjson.loads(line)
    if not isinstance(data, dict):
        raise TypeError("the line is no map")
    return _visible(data) if "\\" in line else data


def _visible(value: Any) -> Any:
    match value:
        case str():
            return value if value.isprintable() else escape(value)
        case dict():
            return {_visible(key): _visible(part) for key, part in value.items()}
        case list():
            return [_visible(part) for part in value]
        case _:
            return value


def take(data: dict[str, Any], key: str) -> str:
    """Take a text out of a map; empty where it is missing or null. Raises `TypeError` for what is no text."""
    value = data.pop(key, None)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError(f"{key} is no text")
    return value
