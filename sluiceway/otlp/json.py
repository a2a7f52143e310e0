"""OTLP/JSON: between the JSON form of an export request and its OTLP bytes, without protobuf objects.

The rules are those of the OTLP specification where they differ from protobuf's own JSON: trace and span ids are hex,
enums are integers, names are lowerCamelCase and no others, unknown fields are ignored. 64-bit integers are written as
strings and read as strings or numbers, null is as good as absent.
"""

from __future__ import annotations

from sluiceway.otlp import _json_decode, _json_encode
from sluiceway.otlp.batch import Signal

__all__ = ["decode", "encode"]


def decode(signal: Signal, text: bytes | bytearray | memoryview) -> bytes:
    """OTLP bytes for `accept`, at most four and a half times as long as the text.

    Raises `DecodeError` for what is no JSON object, for values of the wrong type or out of range, for half a surrogate
    pair, and for nesting of more than 100 messages.
    """
    return _json_decode.decode(signal.code, text if type(text) is bytes else bytes(memoryview(text)))


def encode(signal: Signal, payload: bytes) -> bytes:
    """The JSON text of a batch's payload, in UTF-8. Unknown fields have no name in JSON and are left out."""
    return _json_encode.encode(signal.code, payload)
