"""Durations and sizes as Prometheus writes them."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

__all__ = ["PromDuration", "PromSize", "seconds"]

_DURATION: Final = re.compile(
    r"(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?", re.ASCII
)
_SECONDS: Final = (365 * 86_400.0, 7 * 86_400.0, 86_400.0, 3_600.0, 60.0, 1.0, 0.001)
_SIZE: Final = re.compile(r"(\d{1,15})(?:([KMGT])?i?B)?", re.ASCII)


def seconds(value: object) -> object:
    """Read a duration as Prometheus writes it; raises `ValueError`."""
    if not isinstance(value, str):
        raise ValueError("not a valid duration string: expected such as 30s")  # noqa: TRY004 - pydantic's contract
    match = _DURATION.fullmatch(value)
    if value != "0" and (match is None or not value):
        raise ValueError(f"not a valid duration string: {value[:100]!r}")
    numbers = match.groups() if match else ()
    return sum((int(number) * unit for number, unit in zip(numbers, _SECONDS, strict=False) if number), 0.0)


def _bytes(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value)
    if match is None:
        raise ValueError(f"units: unknown unit in {value[:100]!r}: expected such as 10MB")
    return int(match[1]) * 1024 ** " KMGT".index(match[2] or " ")


PromDuration = Annotated[
    float,
    BeforeValidator(seconds),
    PlainSerializer(lambda value: f"{round(value * 1000)}ms", when_used="json-unless-none"),
    WithJsonSchema({"type": "string", "pattern": f"^(?=.)({_DURATION.pattern.replace('(?:', '(')}|0)$"}),
]
"""Seconds, written as Prometheus has it: `1d`, `1m30s`, `500ms`."""
PromSize = Annotated[
    int,
    BeforeValidator(_bytes),
    WithJsonSchema({"type": ["integer", "string"], "minimum": 0, "pattern": "^[0-9]{1,15}(([KMGT])?i?B)?$"}),
]
"""Bytes, written as `10MB`, where units are powers of 1024 as in Prometheus."""
