"""From a batch to what a message holds: the batch as it is, as JSON, or the bodies of its log records alone."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeAlias

from sluiceway.otlp import Batch
from sluiceway.otlp.view import BatchView

__all__ = ["Encoded", "Encoder", "encoder", "pick"]


class Encoded(NamedTuple):
    """The value of one message, and which items of its batch it holds: all of them, or one record."""

    value: bytes
    record: int = -1


Encoder: TypeAlias = Callable[[Batch], list[Encoded]]
"""The values of a batch's messages. A record of which nothing is to be written has none."""


def encoder(encoding: str) -> Encoder:
    """The function for an encoding."""
    return {"otlp_proto": _proto, "otlp_json": _json, "raw": _raw, "text": _text}[encoding]


def pick(batch: Batch, places: Iterable[int]) -> Batch:
    """Only the items of a batch at these places."""
    mask = bytearray(batch.items)
    for place in places:
        mask[place] = 1
    view = BatchView(batch)
    try:
        view.keep(list(mask))
        return view.finish()
    finally:
        view.close()


def _proto(batch: Batch) -> list[Encoded]:
    return [Encoded(batch.payload)]


def _json(batch: Batch) -> list[Encoded]:
    from sluiceway.otlp.json import encode

    return [Encoded(encode(batch.signal, batch.payload))]


def _raw(batch: Batch) -> list[Encoded]:
    return _bodies(batch, texts_as_json=True)


def _text(batch: Batch) -> list[Encoded]:
    return _bodies(batch, texts_as_json=False)


def _bodies(batch: Batch, *, texts_as_json: bool) -> list[Encoded]:
    view = BatchView(batch)
    try:
        bodies = view.values("body")
    finally:
        view.close()
    written = (_body(body, texts_as_json=texts_as_json) for body in bodies)
    return [Encoded(value, place) for place, value in enumerate(written) if value is not None]


def _body(body: object, *, texts_as_json: bool) -> bytes | None:
    """What is written of a body; None where there is none."""
    match body:
        case None:
            return None
        case bytes():
            return body
        case str() if not texts_as_json:
            return body.encode()
        case _:
            return _dump(body)


def _dump(value: object) -> bytes:
    import orjson

    return orjson.dumps(value, default=_base64, option=orjson.OPT_SORT_KEYS)  # as the Collector writes maps


def _base64(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(type(value).__name__)
