"""The types that settings are made of: durations, sizes, secrets, headers, lists and endpoints.

After parsing they are plain Python: a `Duration` is a float of seconds, a `Size` an int of bytes, a `StringList` a
tuple of strings, `Headers` a dict of `Opaque` values. What may be written is what the Collector takes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, Final

from pydantic import AfterValidator, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from sluiceway.config.durations import Duration, format_duration, parse_duration
from sluiceway.config.secrets import Headers, Opaque
from sluiceway.config.settings import NullText, Section, Settings

__all__ = [
    "AnyCase",
    "Commas",
    "Duration",
    "Headers",
    "NullText",
    "Opaque",
    "OutputPaths",
    "Section",
    "Settings",
    "Size",
    "StringList",
    "any_case",
    "format_duration",
    "parse_duration",
    "parse_size",
    "split_endpoint",
]

_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?) ?([KMGT]i?B|B)", re.ASCII)
_SIZE_PATTERN: Final = r"^[0-9]+(\.[0-9]+)? ?([KMGT]i?B|B)$"
_POWERS: Final = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def parse_size(text: str) -> int:
    """Read a size (`512MiB`, `1.5GiB`, `64KB`, `10B`) and return bytes; raise `ValueError` when it is none."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"invalid size {text[:100]!r}: expected a number of bytes, or a text such as 512MiB or 64KB")
    number, unit = match.groups()
    scale = int((1024 if "i" in unit else 1000) ** _POWERS[unit.rstrip("iB")])
    whole, _, fraction = number.partition(".")
    return int(whole) * scale + int(fraction or "0") * scale // int(10 ** len(fraction))


class _SizeRule:
    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(_bytes, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        limits = handler(schema)
        return {"type": ["integer", "string"], "pattern": _SIZE_PATTERN} | {
            key: value for key, value in limits.items() if key not in ("type", "pattern")
        }


def _bytes(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return parse_size(value)
    except ValueError as error:
        raise PydanticCustomError("size", "{reason}", {"reason": str(error)}) from None


Size = Annotated[int, _SizeRule()]
"""Bytes. Written as an integer, or as `512MiB`, `64KiB`, `1GB`."""


class AnyCase:
    """Marks a choice among lower-case words that may be written in any case.

    Stands beside it, as in `Annotated[Literal["a", "b"], AnyCase()]`.
    """

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Make a text lower-case before it is looked at."""
        return core_schema.no_info_before_validator_function(_lower, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Offer the words as they are, and take them in any case."""
        words = handler(schema)
        return {"anyOf": [words, any_case(handler.resolve_ref_schema(words)["enum"])]}


def any_case(words: Iterable[str]) -> JsonSchemaValue:
    """The JSON Schema of words in any case; its patterns have no flag for that."""
    spelt = ("".join(f"[{c}{c.upper()}]" if c.isalpha() else re.escape(c) for c in word) for word in words)
    return {"type": "string", "pattern": f"^({'|'.join(spelt)})$"}


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


class Commas:
    """Marks a list that may be written as one text with commas between.

    Not for patterns and expressions, in which commas may stand.
    """

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Split a text before it is looked at."""
        return core_schema.no_info_before_validator_function(_split, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Offer the list, and take any text."""
        return handler(schema) | {"type": ["array", "string"]}


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return [part.strip() for part in value.split(",")] if value else []


StringList = Annotated[tuple[str, ...], Commas()]
"""A tuple of strings. A plain string is split on commas."""


def _check_paths(paths: tuple[str, ...]) -> tuple[str, ...]:
    for path in paths:
        if not path or "\0" in path:
            raise ValueError(f"{path!r} is not a path")
    return paths


OutputPaths = Annotated[StringList, AfterValidator(_check_paths)]
"""`stdout`, `stderr`, or files to append to."""


def split_endpoint(endpoint: str) -> tuple[str, int]:
    """Split `host:port` (`[::1]:4317`, `:4317`) into both; raise `ValueError` with the Collector's text.

    The host may be empty, which means every interface; an IPv6 host comes back without its brackets.
    """
    host, colon, port = endpoint.rpartition(":")
    if not colon or (":" in host and not (host.startswith("[") and host.endswith("]"))):
        raise ValueError(f'invalid endpoint "{endpoint}": expected host:port')
    if not (port.isascii() and port.isdigit() and int(port[:6]) <= 65_535):
        raise ValueError(f'invalid port "{port}"')
    return host.removeprefix("[").removesuffix("]"), int(port)
