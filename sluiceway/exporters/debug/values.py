"""OTLP values as the Collector's debug exporter writes them: `Str(shop)`, hexadecimal ids, times to the nanosecond."""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from sluiceway.escape import escape

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

__all__ = ["attribute_lines", "block", "hexadecimal", "moment", "number", "pairs", "text", "typed"]

_NAMES: Final = {
    "string_value": "Str",
    "bool_value": "Bool",
    "int_value": "Int",
    "double_value": "Double",
    "bytes_value": "Bytes",
    "array_value": "Slice",
    "kvlist_value": "Map",
}


def block(lines: Iterable[str]) -> str:
    """Join lines, with every control character in them escaped: nothing that telemetry holds can move a cursor."""
    return "\n".join(map(escape, lines))


def typed(value: AnyValue) -> str:
    """A value with its type: `Int(5)`, `Map({"a":1})`, `Empty()`."""
    return f"{_NAMES.get(value.WhichOneof('value') or '', 'Empty')}({text(value)})"


def text(value: AnyValue) -> str:
    """A value without its type. Lists and maps are JSON with sorted keys, bytes base64."""
    plain = _plain(value)
    match plain:
        case None:
            return ""
        case str():
            return plain
        case bool():
            return str(plain).lower()
        case float():
            return number(plain)
        case dict() | list():
            return json.dumps(plain, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        case _:
            return str(plain)


def pairs(attributes: Iterable[KeyValue], between: str = " ") -> str:
    """Attributes on one line: `key=value key=value`."""
    return between.join(f"{attribute.key}={text(attribute.value)}" for attribute in attributes)


def attribute_lines(title: str, attributes: Iterable[KeyValue], indent: str = "     ") -> Iterator[str]:
    """Attributes one a line beneath a title; nothing when there are none."""
    lines = [f"{indent}-> {attribute.key}: {typed(attribute.value)}" for attribute in attributes]
    if lines:
        yield title
        yield from lines


def number(value: float) -> str:
    """A float in the fewest digits, as Go writes it in JSON: `1`, `0.1`, `1e-7`."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    if value and not 1e-6 <= abs(value) < 1e21:
        return repr(value).removesuffix(".0").replace("e-0", "e-")
    return format(Decimal(repr(value)), "f").removesuffix(".0")


def hexadecimal(identity: bytes) -> str:
    """A trace or span id; empty when it is missing or all zeros."""
    return identity.hex() if any(identity) else ""


def moment(nanoseconds: int) -> str:
    """Nanoseconds since the Unix epoch as Go prints a time: `2020-02-11 20:26:12.000000321 +0000 UTC`."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    digits = f".{fraction:09d}".rstrip("0") if fraction else ""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}{digits} +0000 UTC"


def _plain(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "kvlist_value":
        return {entry.key: _plain(entry.value) for entry in value.kvlist_value.values}
    if kind == "array_value":
        return [_plain(entry) for entry in value.array_value.values]
    if kind == "bytes_value":
        return b64encode(value.bytes_value).decode()
    return getattr(value, kind) if kind in _NAMES else None
