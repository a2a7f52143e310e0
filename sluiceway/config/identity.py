"""The names of components and pipelines: `type` or `type/name`."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

__all__ = ["Id", "parse_id"]

_TYPE = re.compile(r"[a-zA-Z][0-9a-zA-Z_]{0,62}", re.ASCII)
_LONGEST_NAME = 1024


@dataclass(frozen=True, slots=True)
class Id:
    """A type, and the name that tells several of a type apart (empty when there is none)."""

    type: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.type}/{self.name}" if self.name else self.type


def parse_id(text: str) -> Id:
    """Read an id, trimming spaces around both parts; raise `ValueError` with the Collector's text."""
    type, slash, name = (part.strip() for part in text.partition("/"))
    if not type and not slash:
        raise ValueError("id must not be empty")
    if not type:
        raise ValueError(f'in "{text}" id: the part before / should not be empty')
    if slash and not name:
        raise ValueError(f'in "{text}" id: the part after / should not be empty')
    if not _TYPE.fullmatch(type):
        raise ValueError(f'in "{text}" id: invalid character(s) in type "{type[:100]}"')
    if len(name) > _LONGEST_NAME:
        raise ValueError(f"in an id of {len(text)} characters: the name is longer than {_LONGEST_NAME}")
    if any(unicodedata.category(character)[0] in "ZCS" for character in name):
        raise ValueError(f'in "{text}" id: invalid character(s) in name "{name}"')
    return Id(type, name)
