"""Rules between keys as JSON Schema, so that editors mark what breaks them. The models' validators have the last word.

A file may be one of several that are merged, so nothing is demanded of a section; of an entry of a list it may be,
because lists are replaced as a whole.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any, Final

__all__ = ["Schema", "exactly_one", "not_together"]

Schema = dict[str, Any]

_GIVEN: Final[Schema] = {
    "anyOf": [
        {"type": "string", "pattern": r"^[^$]+$"},  # what a reference brings may be empty
        {"type": "array", "minItems": 1},
        {"type": "object", "not": {"required": ["enabled"], "properties": {"enabled": {"const": False}}}},
        {"const": True},
    ]
}


def not_together(*pairs: tuple[str, str]) -> Schema:
    """Of each pair of keys at most one may be given."""
    return {
        "allOf": [{"not": {"required": list(pair), "properties": dict.fromkeys(pair, _GIVEN)}} for pair in pairs],
    }


def exactly_one(*keys: str) -> Schema:
    """One of the keys must be there, and no second one may be given."""
    return {"anyOf": [{"required": [key]} for key in keys], **not_together(*combinations(keys, 2))}
