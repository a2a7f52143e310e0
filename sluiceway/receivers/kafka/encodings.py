"""What messages hold: from their bytes to a batch."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias

import orjson

from sluiceway.errors import DecodeError
from sluiceway.otlp import Batch, Origin, Signal, accept, join, json
from sluiceway.receivers.kafka._records import records
from sluiceway.stanza import encode
from sluiceway.stanza.entry import Entry

__all__ = ["Decode", "decoder", "encoding_problem"]

Decode: TypeAlias = Callable[[list[bytes], int, Origin], Batch]
"""Makes one batch of the values of messages, at least one, that were observed at a time (ns since the Unix epoch).

Raises a `SenderError` where one of them is not what it should be.
"""

_TEXT: Final = "text_"
_FOR_ALL: Final = ("otlp_proto", "otlp_json")
_FOR_LOGS: Final = (*_FOR_ALL, "text", "raw", "json")


def encoding_problem(signal: Signal, encoding: str) -> str:
    """Why an encoding cannot be read, and what to use; empty where it can."""
    if encoding in (_FOR_LOGS if signal is Signal.LOGS else _FOR_ALL):
        return ""
    if signal is not Signal.LOGS:
        return f'unsupported encoding "{encoding[:100]}": {signal.value} are read as {_or(_FOR_ALL)}'
    if not encoding.startswith(_TEXT):
        known = _or((*_FOR_LOGS, "text_<CHARSET>"))
        return f'unsupported encoding "{encoding[:100]}": logs are read as {known}'
    if not _is_charset(encoding.removeprefix(_TEXT)):
        return f'unsupported encoding "{encoding[:100]}": no such charset is known, as utf-8, latin-1 or shift_jis are'
    return ""


def decoder(signal: Signal, encoding: str) -> Decode:
    """Find what reads an encoding; one that has no `encoding_problem`."""
    match encoding:
        case "otlp_proto":
            return partial(_otlp, signal)
        case "otlp_json":
            return partial(_otlp_json, signal)
        case "raw":
            return partial(_records, is_text=False)
        case "json":
            return _json
    charset = codecs.lookup(encoding.removeprefix(_TEXT) if encoding.startswith(_TEXT) else "utf-8").name
    return partial(_records, is_text=True) if charset == "utf-8" else partial(_charset, charset)


def _otlp(signal: Signal, values: list[bytes], _observed: int, origin: Origin) -> Batch:
    return join([accept(signal, value, origin) for value in values])


def _otlp_json(signal: Signal, values: list[bytes], _observed: int, origin: Origin) -> Batch:
    return join([accept(signal, json.decode(signal, value), origin) for value in values])


def _records(values: list[bytes], observed: int, origin: Origin, *, is_text: bool) -> Batch:
    return accept(Signal.LOGS, records(values, observed, is_text), origin)


def _charset(charset: str, values: list[bytes], observed: int, origin: Origin) -> Batch:
    try:
        texts = [value.decode(charset, "replace").encode("utf-8", "replace") for value in values]
    except UnicodeError:  # some charsets cannot replace
        raise DecodeError(f"not to be read as {charset}") from None
    return _records(texts, observed, origin, is_text=True)


def _json(values: list[bytes], observed: int, origin: Origin) -> Batch:
    try:
        bodies = [orjson.loads(value) for value in values]
    except orjson.JSONDecodeError as error:
        raise DecodeError(f"no JSON: line {error.lineno}, column {error.colno}") from None
    resource: dict[str, object] = {}
    return accept(Signal.LOGS, encode([Entry(body, observed, {}, resource) for body in bodies]), origin)


def _is_charset(name: str) -> bool:
    try:
        "a".encode(name)
    except (LookupError, UnicodeError, ValueError):
        return False
    return True


def _or(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
