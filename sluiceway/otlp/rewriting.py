"""How values are turned into other values: text, digests, conversions and the groups of a pattern.

Values are the contents of `AnyValue` messages. The kernel remembers the answers, so each distinct value costs once.
Text forms and conversions follow the Collector, so those of Go's `strconv` and `encoding/json`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import struct
from decimal import Decimal
from typing import TYPE_CHECKING

from sluiceway.otlp.actions import Value
from sluiceway.otlp.anyvalue import decode_value, encode_value, varint
from sluiceway.otlp.steps import Ask

if TYPE_CHECKING:
    import re2

__all__ = ["conversion", "digest", "groups", "match_text", "string_like", "value_text"]


def value_text(value: Value | None) -> str:
    """The text of any value: JSON for arrays and maps, base64 for bytes, nothing for an empty value."""
    match value:
        case None:
            return ""
        case str():
            return value
        case float() if not math.isfinite(value):
            return f"json: unsupported value: {_plain_number(value)}"
        case list() | dict():
            return _json(value) if _is_finite(value) else ""
        case bytes():
            return base64.b64encode(value).decode()
        case _:
            return _json(value)


def match_text(content: bytes) -> bytes | None:
    """What a pattern is held against: the text of strings, booleans and numbers, None for values of other kinds."""
    value = decode_value(content)
    match value:
        case str():
            return value.encode()
        case bool() | int():
            return _json(value).encode()
        case float():
            return _plain_number(value).encode()
        case _:
            return None


def string_like(content: bytes) -> bytes:
    """The text of any value as OTTL has it where it wants one: that of bytes is hexadecimal."""
    value = decode_value(content)
    return (value.hex() if isinstance(value, bytes) else value_text(value)).encode()


def _is_finite(value: object) -> bool:
    match value:
        case float():
            return math.isfinite(value)
        case list():
            return all(map(_is_finite, value))
        case dict():
            return all(map(_is_finite, value.values()))
        case _:
            return True


def _json(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return _json_number(value)
        case bytes():
            return f'"{base64.b64encode(value).decode()}"'
        case list():
            return f"[{','.join(map(_json, value))}]"
        case dict():
            return "{" + ",".join(f"{_json(key)}:{_json(item)}" for key, item in sorted(value.items())) + "}"
        case _:
            text = json.dumps(value, ensure_ascii=False)
            return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _json_number(value: float) -> str:
    if value and not 1e-6 <= abs(value) < 1e21:
        return repr(value).replace(".0e", "e").replace("e-0", "e-")
    return _plain_number(value)


def _plain_number(value: float) -> str:
    """The shortest decimal that reads back as the same number, without an exponent."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    text = format(Decimal(repr(value)), "f")
    return text.removesuffix(".0")


def digest(algorithm: str) -> Ask:
    """Make the replacement of a value by the lower-case hex digest of it.

    Strings and bytes are hashed as they are, a boolean as one byte, integers and doubles as eight bytes with the least
    significant first, all as the Collector does; an empty string stays empty. Arrays and maps, which the Collector
    replaces by an empty string, are hashed as their JSON text.
    """

    def answer(content: bytes) -> bytes:
        plain = _hashed_bytes(decode_value(content))
        hashed = hashlib.new(algorithm, plain, usedforsecurity=False).hexdigest() if plain else ""
        return encode_value(hashed)

    return answer


def _hashed_bytes(value: Value | None) -> bytes:
    match value:
        case bytes():
            return value
        case bool():
            return b"\x01" if value else b"\x00"
        case int():
            return struct.pack("<q", value)
        case float():
            return struct.pack("<d", value)
        case _:
            return value_text(value).encode()


def conversion(to: str) -> Ask:
    """Make the conversion of a value to `int`, `double` or `string`; its answer is None where there is none."""
    convert = {"int": _to_int, "double": _to_double, "string": value_text}[to]
    kind = {"int": int, "double": float, "string": str}[to]

    def answer(content: bytes) -> bytes | None:
        value = decode_value(content)
        converted = None if type(value) is kind else convert(value)
        return None if converted is None else _content(converted)

    return answer


def _content(value: str | float) -> bytes:
    # Not-a-number may come from data, though nobody may configure it.
    return b"\x21" + struct.pack("<d", value) if isinstance(value, float) else encode_value(value)


def _to_int(value: Value | None) -> int | None:
    match value:
        case bool():
            return int(value)
        case float() if -(2.0**63) <= value < 2.0**63:
            return int(value)
        case str() if re.fullmatch(r"[+-]?[0-9]{1,200}", value):
            number = int(value)
            return number if -(2**63) <= number < 2**63 else None
        case _:
            return None


_DECIMAL = re.compile(r"[0-9._eE+-]+")
_HEXADECIMAL = re.compile(r"[+-]?0[xX](?=\.?[0-9a-fA-F])[0-9a-fA-F]*+\.?[0-9a-fA-F]*+[pP][+-]?[0-9]+")
_SPECIAL = re.compile(r"nan|[+-]?inf(?:inity)?", re.IGNORECASE)


def _to_double(value: Value | None) -> float | None:
    match value:
        case bool() | int():
            return float(value)
        case str():
            return _parse_double(value)
        case _:
            return None


def _parse_double(text: str) -> float | None:
    if _SPECIAL.fullmatch(text):
        return float(text)
    try:
        if _DECIMAL.fullmatch(text):
            number = float(text)
        elif _HEXADECIMAL.fullmatch(text):
            number = float.fromhex(text)
        else:
            return None
    except (ValueError, OverflowError):
        return None
    return None if math.isinf(number) else number


def groups(pattern: re2._Regexp, names: tuple[bytes, ...]) -> Ask:
    """Make the reading of a string's named groups: for each, its size and an `AnyValue` with its text."""
    places = [pattern.groupindex[name] for name in names]

    def answer(text: bytes) -> bytes | None:
        match = pattern.search(text)
        if match is None:
            return None
        values = (b"\x0a" + varint(len(found)) + found for found in (match.group(place) or b"" for place in places))
        return b"".join(varint(len(value)) + value for value in values)

    return answer
