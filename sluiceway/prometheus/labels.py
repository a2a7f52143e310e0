"""Attribute values as the texts of labels: OpenTelemetry's attribute specification, "Non-OTLP representation"."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Iterable
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

import orjson

from sluiceway.otlp.anyvalue import decode_value
from sluiceway.prometheus.naming import Strategy, label_name

__all__ = ["exemplar_labels", "exemplar_name", "number_text", "text_of"]

LONGEST_EXEMPLAR: Final = 128
"""Characters of all labels of an exemplar together, as OpenMetrics has it."""


def text_of(content: bytes) -> bytes:
    """What an encoded `AnyValue` is as a label: numbers in few digits, lists and maps as JSON, bytes in base64."""
    match decode_value(content):
        case None:
            return b""
        case str() as text:
            return text.encode()
        case bool() as flag:
            return b"true" if flag else b"false"
        case float() as number:
            return number_text(number).encode()
        case bytes() as data:
            return b64encode(data)
        case list() | dict() as nested:
            return orjson.dumps(_plain(nested), option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
        case other:
            return str(other).encode()


@lru_cache(maxsize=1024)
def exemplar_name(key: bytes) -> bytes:
    """The name of an exemplar's label, by the old rules whatever the strategy: OpenMetrics 1.0 has no other ones."""
    escaped = label_name(key.decode(errors="replace"), Strategy.UNDERSCORES_SUFFIXES)
    return escaped.encode() or b"key"


def exemplar_labels(trace_id: bytes, span_id: bytes, attributes: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The ids of an exemplar, and as many of its attributes as OpenMetrics has room for; ids of zeros are none."""
    ids = {b"trace_id": trace_id, b"span_id": span_id}
    labels = {name: id.hex().encode() for name, id in ids.items() if any(id)}
    left = LONGEST_EXEMPLAR - sum(len(name) + len(text) for name, text in labels.items())
    for key, text in attributes:
        name = exemplar_name(key)
        size = len(name.decode(errors="replace")) + len(text.decode(errors="replace"))
        if name not in labels and text and size <= left:
            left -= size
            labels[name] = text
    return labels


def number_text(value: float) -> str:
    """A float in the fewest digits, as Go writes it: `1`, `0.1`, `1e-7`."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    if value and not 1e-6 <= abs(value) < 1e21:
        return repr(value).removesuffix(".0").replace("e-0", "e-")
    return format(Decimal(repr(value)), "f").removesuffix(".0")


def _plain(value: Any) -> Any:
    match value:
        case bytes():
            return b64encode(value).decode()
        case float() if not math.isfinite(value):
            return number_text(value)
        case list():
            return [_plain(item) for item in value]
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case _:
            return value
