"""Attribute values in Python and on the wire: OTLP's `AnyValue`, encoded and decoded without protobuf objects."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from sluiceway.otlp.actions import Value

__all__ = ["decode_value", "encode_value", "sized", "varint"]

MAX_DEPTH = 32
"""How deep arrays and maps may be nested in a value that is encoded."""

_Field: TypeAlias = "tuple[int, int, int, bytes]"  # number, wire type, integer, bytes


def encode_value(value: Value) -> bytes:
    """The content of an `AnyValue` message. None inside an array or map becomes an empty value.

    Raises `ValueError` for what OTLP cannot hold or a backend would choke on: integers beyond 64 bits, strings with
    lone surrogates, NaN, keys that are no strings, values nested deeper than 32 and other types.
    """
    return _encode(value, 0)


def _encode(value: object, depth: int) -> bytes:
    match value:
        case str():
            return sized(0x0A, _utf8(value))
        case bool():
            return b"\x10\x01" if value else b"\x10\x00"
        case int():
            return b"\x18" + varint(_int64(value))
        case float():
            return b"\x21" + struct.pack("<d", _number(value))
        case bytes() | bytearray():
            return sized(0x3A, bytes(value))
        case None if depth:
            return b""
        case Mapping() | Sequence() if depth >= MAX_DEPTH:
            raise ValueError(f"a value is nested deeper than {MAX_DEPTH}")
        case Mapping():
            return sized(0x32, b"".join(sized(0x0A, _keyvalue(key, item, depth)) for key, item in value.items()))
        case Sequence():
            return sized(0x2A, b"".join(sized(0x0A, _encode(item, depth + 1)) for item in value))
        case _:
            raise ValueError(f"an attribute cannot hold a value of type {type(value).__name__}")


def _keyvalue(key: object, value: object, depth: int) -> bytes:
    if not isinstance(key, str):
        raise ValueError(f"a key must be a string, not {type(key).__name__}")  # noqa: TRY004 - one error for all values
    return sized(0x0A, _utf8(key)) + sized(0x12, _encode(value, depth + 1))


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ValueError("a string holds a lone surrogate, which is not valid Unicode") from None


def _int64(value: int) -> int:
    if not -(2**63) <= value < 2**63:
        raise ValueError("an integer does not fit into 64 bits")
    return value & (2**64 - 1)


def _number(value: float) -> float:
    if math.isnan(value):
        raise ValueError("NaN is not a value")
    return value


def sized(tag: int, content: bytes) -> bytes:
    """A field with its length in front; `tag` is the number of the field times 8 plus 2, at most 0x7A."""
    size = len(content)
    return bytes((tag, size)) + content if size < 0x80 else bytes((tag,)) + varint(size) + content


def varint(value: int) -> bytes:
    """A number of at most 64 bits, without sign, in protobuf's variable length."""
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode_value(content: bytes) -> Value | None:
    """What an `AnyValue` message holds; None where it is empty or of a kind that is not known.

    Arrays become lists, maps dictionaries (of a repeated key the last value). Raises `ValueError` where the bytes are
    no protobuf message. Members of the oneof merge as protobuf has it: the last one counts, and an array or map that
    comes again right after itself goes on.
    """
    if content[:1] == b"\x0a" and 1 < len(content) < 130 and len(content) == content[1] + 2:
        return content[2:].decode(errors="replace")  # a short string and nothing else: nearly all values
    kind = 0
    result: Value | None = None
    for number, wire, integer, data in _fields(content):
        if (number, wire) not in _KINDS:
            continue
        if number in (5, 6):
            result = _decode_nested(number, data, result if kind == number else None)
        else:
            result = _decode_scalar(number, integer, data)
        kind = number
    return result


_KINDS = {(1, 2), (2, 0), (3, 0), (4, 1), (5, 2), (6, 2), (7, 2), (8, 0)}


def _decode_scalar(number: int, integer: int, data: bytes) -> Value | None:
    match number:
        case 1:
            return data.decode(errors="replace")
        case 2:
            return integer != 0
        case 3:
            return integer - 2**64 if integer >= 2**63 else integer
        case 4:
            return float(struct.unpack("<d", data)[0])
        case 7:
            return data
        case _:
            return None


def _decode_nested(number: int, data: bytes, so_far: Value | None) -> Value:
    entries = [item for field, wire, _, item in _fields(data) if (field, wire) == (1, 2)]
    if number == 5:
        earlier = so_far if isinstance(so_far, list) else []
        return [*earlier, *map(decode_value, entries)]
    return {**(so_far if isinstance(so_far, dict) else {}), **dict(map(_decode_keyvalue, entries))}


def _decode_keyvalue(content: bytes) -> tuple[str, Value]:
    key, value = b"", b""
    for number, wire, _, data in _fields(content):
        if (number, wire) == (1, 2):
            key = data
        elif (number, wire) == (2, 2):
            value += data
    return key.decode(errors="replace"), decode_value(value)  # type: ignore[return-value]  # as above


def _fields(content: bytes) -> Iterator[_Field]:
    position = 0
    while position < len(content):
        tag, position = read_varint(content, position)
        integer, data = 0, b""
        match tag & 7:
            case 0:
                integer, position = read_varint(content, position)
            case 1:
                data, position = _take(content, position, 8)
            case 2:
                size, position = read_varint(content, position)
                data, position = _take(content, position, size)
            case 5:
                data, position = _take(content, position, 4)
            case 3:
                position = _skip_group(content, position)
            case _:
                raise ValueError("not an AnyValue: an unknown wire type")
        yield tag >> 3, tag & 7, integer, data


def read_varint(content: bytes, position: int) -> tuple[int, int]:
    """The number of at most 64 bits at a place, and the place behind it; raises `ValueError` where there is none."""
    result = 0
    for shift in range(0, 70, 7):
        if position >= len(content):
            break
        byte = content[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & (2**64 - 1), position
    raise ValueError("not an AnyValue: a number is cut off or too long")


def _take(content: bytes, position: int, size: int) -> tuple[bytes, int]:
    if position + size > len(content):
        raise ValueError("not an AnyValue: a field is cut off")
    return content[position : position + size], position + size


def _skip_group(content: bytes, position: int) -> int:
    level = 1
    while level:
        tag, position = read_varint(content, position)
        match tag & 7:
            case 0:
                _, position = read_varint(content, position)
            case 2:
                size, position = read_varint(content, position)
                _, position = _take(content, position, size)
            case 3:
                level += 1
            case 4:
                level -= 1
            case wire:
                _, position = _take(content, position, 8 if wire == 1 else 4)
    return position
