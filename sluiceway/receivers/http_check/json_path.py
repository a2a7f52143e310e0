"""Paths into JSON: `$.status`, `items.0.name`, `items[0]['a.b']`, `items.#` (how many there are)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import orjson

__all__ = ["MISSING", "find", "parse_path", "shown"]

MISSING: Final = object()
"""What `find` gives when nothing is there."""

_STEP: Final = re.compile(
    r"""\.?(?P<name>(?:[^.\[\]'"\\*?|@]|\\.)+)
      | \[(?P<index>\d{1,9})\] | \['(?P<single>[^']+)'\] | \["(?P<double>[^"]+)"\]""",
    re.VERBOSE,
)


def parse_path(path: str) -> tuple[str, ...]:
    """The steps of a path; raises `ValueError` for what is none."""
    rest = path.removeprefix("$") if path == "$" or path.startswith(("$.", "$[")) else path
    steps: list[str] = []
    at = 0
    while at < len(rest):
        step = _STEP.match(rest, at)
        if step is None:
            raise ValueError(f'invalid JSON path "{path[:200]}": expected names and indexes, as in $.items[0].name')
        name = step["name"]
        steps.append(re.sub(r"\\(.)", r"\1", name) if name else step["index"] or step["single"] or step["double"])
        at = step.end()
    if not path:
        raise ValueError("a JSON path must not be empty")
    return tuple(steps)


def find(document: Any, steps: Sequence[str]) -> Any:
    """What stands at a path; `MISSING` if nothing."""
    for step in steps:
        match document:
            case dict() if step in document:
                document = document[step]
            case list() if step == "#":
                document = len(document)
            case list() if step.isdecimal() and int(step) < len(document):
                document = document[int(step)]
            case _:
                return MISSING
    return document


def shown(value: Any) -> str:
    """A value as text: strings as they are, everything else as compact JSON."""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    return orjson.dumps(value).decode()
