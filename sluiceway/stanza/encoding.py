"""Entries as OTLP bytes, written without protobuf objects: some microseconds a record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from struct import Struct
from typing import Any, Final

from sluiceway.otlp.anyvalue import encode_value
from sluiceway.stanza.entry import Entry

__all__ = ["attributes", "content", "encode", "resource_logs", "sized"]

_TIME: Final = Struct("<BQ")


def encode(entries: Iterable[Entry], scope: str = "") -> bytes:
    """The message `LogsData`: entries with equal resources share one; `scope` is that of entries that name none."""
    groups: dict[tuple[bytes, str], list[bytes]] = {}
    for entry in entries:
        key = (attributes(0x0A, entry.resource), entry.scope or scope)
        groups.setdefault(key, []).append(sized(0x12, _record(entry)))
    return b"".join(resource_logs(resource, name, records) for (resource, name), records in groups.items())


def resource_logs(resource: bytes, scope: str, records: Iterable[bytes]) -> bytes:
    """A `ResourceLogs` as a field of `LogsData`, from the content of its resource and its encoded records."""
    name = sized(0x0A, sized(0x0A, scope.encode(errors="replace"))) if scope else b""
    return sized(0x0A, sized(0x0A, resource) + sized(0x12, name + b"".join(records)))


def _record(entry: Entry) -> bytes:
    parts = [_TIME.pack(0x09, entry.time)] if entry.time else []
    if entry.severity:
        parts.append(b"\x10" + _length(entry.severity))
    if entry.severity_text:
        parts.append(sized(0x1A, entry.severity_text.encode(errors="replace")))
    if entry.body is not None:
        parts.append(sized(0x2A, _value(entry.body, 0)))
    parts.append(attributes(0x32, entry.attributes))
    if entry.flags:
        parts.append(b"\x45" + entry.flags.to_bytes(4, "little"))
    if entry.trace_id:
        parts.append(sized(0x4A, entry.trace_id))
    if entry.span_id:
        parts.append(sized(0x52, entry.span_id))
    parts.append(_TIME.pack(0x59, entry.observed))
    if entry.event_name:
        parts.append(sized(0x62, entry.event_name.encode(errors="replace")))
    return b"".join(parts)


def sized(tag: int, data: bytes) -> bytes:
    """A field with its length in front; `tag` is the number of the field times 8 plus 2, at most 0x7A."""
    return bytes((tag,)) + _length(len(data)) + data


def attributes(tag: int, values: Mapping[str, Any]) -> bytes:
    """A map as the repeated field of `KeyValue` with this tag."""
    if not values:
        return b""
    entries = [_entry(key, value, 1) for key, value in values.items()]
    if tag != 0x0A:  # with which they come
        entries = [bytes((tag,)) + entry[1:] for entry in entries]
    return b"".join(entries)


def content(value: Mapping[str, Any]) -> bytes:
    """The entries of a map, as they stand in an OTLP `KeyValueList`.

    What OTLP cannot hold does not fail: larger integers become texts, lone surrogates `?`, and what is nested deeper
    than 16 `...`.
    """
    return b"".join([_entry(key, part, 1) for key, part in value.items()])


def _long(size: int) -> bytes:
    out = bytearray()
    while size >= 0x80:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    out.append(size)
    return bytes(out)


_SHORT: Final = 512
_LENGTHS: Final = tuple(map(_long, range(16_384)))
_ENTRIES: Final = tuple(b"\x0a" + _long(size) for size in range(_SHORT))
"""The tag and length of a `KeyValue`, by its length."""
_TEXTS: Final = tuple(b"\x12" + _long(size + 1 + len(_long(size))) + b"\x0a" + _long(size) for size in range(_SHORT))
"""The tags and lengths of a value that is a text, by the length of this."""
_DEPTH: Final = 16
_keys: dict[str, bytes] = {}


def _length(size: int) -> bytes:
    return _LENGTHS[size] if size < 16_384 else _long(size)


def _key(key: str) -> bytes:
    name = key.encode(errors="replace")
    name = b"\x0a" + _length(len(name)) + name
    if len(_keys) < 4096 and len(key) < 64:  # keys come from outside too, as those of JSON
        _keys[key] = name
    return name


def _entry(key: str, value: Any, depth: int) -> bytes:
    name = _keys.get(key) or _key(key)
    if value.__class__ is str:
        text = value.encode(errors="replace")
        size = len(text)
        if size < 256 and len(name) < 128:
            return _ENTRIES[len(name) + len(_TEXTS[size]) + size] + name + _TEXTS[size] + text
        wrapped = b"\x0a" + _length(size) + text
    else:
        wrapped = _value(value, depth)
    size = len(wrapped)
    inner = b"\x12" + _length(size)
    return b"\x0a" + _length(len(name) + len(inner) + size) + name + inner + wrapped


def _value(value: Any, depth: int) -> bytes:
    kind = value.__class__
    if kind is int:
        if 0 <= value < 16_384:
            return b"\x18" + _length(value)
        return _whole(value)
    if depth >= _DEPTH and kind in (dict, list, tuple):
        return b"\x0a\x03..."
    if kind is dict:
        inside = b"".join([_entry(str(key), part, depth + 1) for key, part in value.items()])
        return b"\x32" + _length(len(inside)) + inside
    if kind is list or kind is tuple:
        parts = [_value(part, depth + 1) for part in value]
        inside = b"".join([b"\x0a" + _length(len(part)) + part for part in parts])
        return b"\x2a" + _length(len(inside)) + inside
    if isinstance(value, str):
        text = value.encode(errors="replace")
        return b"\x0a" + _length(len(text)) + text
    if value is None:
        return b""
    if isinstance(value, int) and not isinstance(value, bool):
        return _whole(int(value))
    return encode_value(value)  # a bool or float


def _whole(value: int) -> bytes:
    return encode_value(value if -(2**63) <= value < 2**63 else str(value))
