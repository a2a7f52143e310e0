"""Durations in Go's syntax, as floats of seconds."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

__all__ = ["UNITS", "Duration", "format_duration", "milliseconds", "parse_duration"]

UNITS: Final = "duration_without_unit"
"""Set in a validation's context: integers are no durations, and the error that says so is of this type."""

_NANOSECONDS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,  # Go takes both the micro sign and the Greek letter
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_LONGEST: Final = 2**63 - 1  # nanoseconds, as Go holds them
_FOREVER: Final = 2**31 - 1  # milliseconds, as gRPC holds them
_PART = re.compile(r"(\d*)(?:\.(\d*))?([^\d.]*)", re.ASCII)
_DURATION_PATTERN: Final = r"^[-+]?(0|([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$"


def parse_duration(text: str) -> float:
    """Read a duration in Go's syntax (`1h30m`, `-1.5s`, `300ms`) and return seconds, or raise `ValueError`."""
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0.0
    if not rest or len(rest) > 100:
        raise ValueError(f"time: invalid duration {_quote(text)}")
    total, position = 0, 0
    while position < len(rest):
        part = _PART.match(rest, position)
        if part is None or not (part[1] or part[2]):
            raise ValueError(f"time: invalid duration {_quote(text)}")
        total += _nanoseconds(part[1], part[2] or "", part[3], text)
        position = part.end()
    if total > _LONGEST:
        raise ValueError(f"time: invalid duration {_quote(text)}")
    return (-total if text.startswith("-") else total) / 1e9


def _nanoseconds(whole: str, fraction: str, unit: str, text: str) -> int:
    if not unit:
        raise ValueError(f"time: missing unit in duration {_quote(text)}")
    if unit not in _NANOSECONDS:
        raise ValueError(f"time: unknown unit {_quote(unit)} in duration {_quote(text)}")
    scale = _NANOSECONDS[unit]
    return int(whole or "0") * scale + int(fraction or "0") * scale // int(10 ** len(fraction))


def _quote(text: str) -> str:
    return f'"{text[:100]}"'


def format_duration(seconds: float) -> str:
    """Write seconds as Go prints a duration: `1h30m0s`, `1.5s`, `300ms`, `0s`."""
    nanoseconds = round(seconds * 1e9)
    sign, rest = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    if rest < 1_000_000_000:
        unit = "s" if rest == 0 else "ns" if rest < 1_000 else "µs" if rest < 1_000_000 else "ms"
        return f"{sign}{_decimal(rest, _NANOSECONDS[unit])}{unit}"
    minutes, rest = divmod(rest, 60_000_000_000)
    hours, minutes = divmod(minutes, 60)
    large = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{sign}{large}{_decimal(rest, 1_000_000_000)}s"


def milliseconds(seconds: float) -> int:
    """Write seconds for gRPC: at least 1, at most the largest number of 32 bits, which means never."""
    return round(min(max(seconds * 1000, 1), _FOREVER))


def _decimal(value: int, scale: int) -> str:
    whole, fraction = divmod(value, scale)
    digits = f"{fraction:0{len(str(scale)) - 1}d}".rstrip("0") if fraction else ""
    return f"{whole}.{digits}" if digits else str(whole)


class _DurationRule:
    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_before_validator_function(
            _seconds,
            handler(source),
            serialization=core_schema.plain_serializer_function_ser_schema(format_duration, when_used="json"),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        limits = handler(schema)
        return {"type": ["string", "integer"], "pattern": _DURATION_PATTERN} | {
            key: value for key, value in limits.items() if key in ("title", "description", "default")
        }


def _seconds(value: object, info: ValidationInfo) -> object:
    match value:
        case str():
            return _parsed(value)
        case timedelta():
            return value.total_seconds()
        case bool() | float():
            reason = f"time: missing unit in duration {_quote(str(value))}"
            raise PydanticCustomError("duration", "{reason}", {"reason": reason})
        case int():
            if value and info.context and info.context.get(UNITS):
                raise PydanticCustomError(UNITS, "the duration has no unit")
            return value / 1e9 if abs(value) <= _LONGEST else _parsed(f"{value}ns")
        case _:
            raise PydanticCustomError("duration", "expected a duration such as 300ms or 1h30m")


def _parsed(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise PydanticCustomError("duration", "{reason}", {"reason": str(error)}) from None


Duration = Annotated[float, _DurationRule()]
"""Seconds. Written as Go does: `300ms`, `1.5h`, `1h30m`. A bare integer is nanoseconds; the loader warns of it."""
