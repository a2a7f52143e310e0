"""Payloads as bytes: built once from protobuf objects, with new ids, times and numbers put in for every request.

Putting them in costs about a fifth of a microsecond an item, so that one core can make far more than it can send.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from operator import itemgetter
from random import Random
from typing import Any, Literal

from sluiceway.generate.marks import Id, Mark, Number, Time
from sluiceway.otlp import Signal

__all__ = ["Encoding", "Template", "templates"]

Encoding = Literal["protobuf", "json"]

_FRESH = 500_000_000
"""Nanoseconds for which the times of a template are used again."""


class Template:
    """One payload with places to fill in. `items` counts its spans, data points or log records."""

    def __init__(self, raw: bytes, places: Iterator[tuple[int, int, Mark]], encoding: Encoding, items: int) -> None:
        self.items = items
        self._json = encoding == "json"
        self._pieces: list[bytes] = []
        marks: list[Mark] = []
        end = 0
        for start, stop, mark in places:
            self._pieces += (raw[end:start], b"")
            marks.append(mark)
            end = stop
        self._pieces.append(raw[end:])
        ids = list({mark: None for mark in marks if isinstance(mark, Id)})
        times = list({mark: None for mark in marks if isinstance(mark, Time)})
        self._length = sum(mark.length for mark in ids)
        self._split = struct.Struct("".join(f"{mark.length * (2 if self._json else 1)}s" for mark in ids)).unpack
        self._offsets = [mark.offset for mark in times]
        self._times: tuple[bytes, ...] = ()
        self._timed = -_FRESH
        place = {mark: index for index, mark in enumerate([*ids, *times, Number()])}
        # Picked twice more and dropped again, so that `itemgetter` gives a tuple however few marks there are.
        self._pick = itemgetter(*(place[mark] for mark in marks), len(place) - 1, len(place) - 1)

    def fill(self, number: int, time_ns: int, chance: Random) -> bytes:
        """The payload with ids from `chance`, times around `time_ns` and the request's `number`."""
        if abs(time_ns - self._timed) >= _FRESH:
            self._timed = time_ns
            self._times = tuple(self._moment(time_ns + offset) for offset in self._offsets)
        fresh = chance.randbytes(self._length)
        ids = self._split(fresh.hex().encode() if self._json else fresh)
        self._pieces[1::2] = self._pick((*ids, *self._times, b"%012d" % number))[:-2]
        return b"".join(self._pieces)

    def _moment(self, time_ns: int) -> bytes:
        return b"%019d" % time_ns if self._json else time_ns.to_bytes(8, "little")


def templates(
    signal: Signal,
    items: int = 512,
    *,
    attributes: int = 10,
    size: int = 0,
    distinct: int = 64,
    encoding: Encoding = "protobuf",
    sequence: bool = False,
    seed: int = 1,
) -> list[Template]:
    """Make `distinct` templates of `items` items each, the same ones for the same `seed`.

    Each item has `attributes` attributes and, where `size` is given, one more with that many bytes of text. With
    `sequence` the first item of each request carries its number as the attribute `loadgen.sequence`.
    """
    from sluiceway.generate import shop

    make = {Signal.TRACES: shop.traces, Signal.METRICS: shop.metrics, Signal.LOGS: shop.logs}[signal]
    made = []
    for index in range(distinct):
        chance = Random(f"{seed}:{index}")  # noqa: S311 - load, not cryptography
        order = shop.Order(items, attributes, size, sequence, chance)
        message = make(order)
        if encoding == "json":
            raw = _json(message)
            made.append(Template(raw, order.marks.in_json(raw), encoding, items))
        else:
            raw = message.SerializeToString()
            made.append(Template(raw, order.marks.in_protobuf(raw), encoding, items))
    return made


def _json(message: Any) -> bytes:
    # Protobuf's JSON differs from OTLP's only in ids, which are base64; filling in puts hexadecimal in their place.
    from google.protobuf.json_format import MessageToJson

    return MessageToJson(message, indent=None, use_integers_for_enums=True).encode()
