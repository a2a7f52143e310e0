"""`time_parser`, and the block `timestamp` of parsers."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, tzinfo
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias
from zoneinfo import ZoneInfo

from pydantic import model_validator

from sluiceway.config.settings import Settings, mistake
from sluiceway.stanza.entry import Entry
from sluiceway.stanza.fields import MISSING, FieldName, field
from sluiceway.stanza.layouts import gotime, strptime
from sluiceway.stanza.operators.operator import Operator, Step

__all__ = ["TimeParser", "Timestamp", "location"]

LayoutType: TypeAlias = Literal["strptime", "gotime", "epoch"]
_Read: TypeAlias = Callable[[Any, int], int]  # the value and the time now give nanoseconds

_EPOCHS: Final = {"s": 9, "ms": 6, "us": 3, "ns": 0, "s.ms": 9, "s.us": 9, "s.ns": 9}  # tens to nanoseconds
_NUMBER: Final = re.compile(r"-?\d{1,20}(?:\.\d{1,20})?", re.ASCII)


class Timestamp(Settings):
    """Where the time stands, and how it is written."""

    parse_from: FieldName
    """The field with the time."""
    layout: str
    """How it is written, in the words of `layout_type`."""
    layout_type: LayoutType = "strptime"
    """The Collector's strptime directives, Go's reference time, or `s`, `ms`, `us`, `ns`, `s.ms`, `s.us`, `s.ns`."""
    location: str = "Local"
    """The IANA zone of times that name none; `Local` is the machine's."""

    @model_validator(mode="after")
    def _check(self) -> Timestamp:
        _check(self.layout, self.layout_type, self.location)
        return self

    def step(self) -> Step:
        """Read the time."""
        return _step(self.parse_from, self.layout, self.layout_type, self.location)


class TimeParser(Timestamp, Operator):
    """Reads an entry's time from a field."""

    type: Literal["time_parser"]
    """Which operator it is."""


def _check(layout: str, kind: LayoutType, zone: str) -> None:
    for key, check in (("layout", lambda: _reader(layout, kind, None)), ("location", lambda: location(zone))):
        try:
            check()
        except ValueError as error:
            raise mistake(str(error), key) from None


def location(name: str) -> tzinfo | None:
    """The zone of an IANA name; None for `Local`. Raises `ValueError` for a name that there is not."""
    if name in ("", "Local"):
        return None
    if name == "UTC":
        return UTC  # where the machine has no data of zones, too
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f'failed to load location "{name}"') from None


def _step(parse_from: str, layout: str, kind: LayoutType, zone: str) -> Step:
    get, read = field(parse_from).get, _reader(layout, kind, location(zone))

    def step(entry: Entry) -> None:
        value = get(entry)
        if value is MISSING:
            raise ValueError("log entry does not have the expected parse_from field")
        entry.time = read(value, entry.observed)

    return step


def _reader(layout: str, kind: LayoutType, zone: tzinfo | None) -> _Read:
    if not layout:
        raise ValueError("missing required configuration parameter `layout`")
    if kind == "epoch":
        if layout not in _EPOCHS:
            raise ValueError(f"invalid `layout` for `epoch` type: {layout}; it is one of {', '.join(_EPOCHS)}")
        return _epoch(layout)
    read = (strptime if kind == "strptime" else gotime)(layout).read

    def parse(value: Any, now: int) -> int:
        if isinstance(value, bytes):
            value = value.decode(errors="replace")
        if not isinstance(value, str):
            raise ValueError(f"type {type(value).__name__} cannot be parsed as a time")  # noqa: TRY004
        return read(value, zone, now)

    return parse


def _epoch(layout: str) -> _Read:
    tens = _EPOCHS[layout]

    def parse(value: Any, now: int) -> int:
        del now
        written = repr(value) if isinstance(value, float) else str(value) if type(value) is int else value
        if isinstance(written, bytes):
            written = written.decode(errors="replace")
        if isinstance(value, float) and ("e" in written):
            written = f"{value:.9f}"
        if not isinstance(written, str) or not _NUMBER.fullmatch(written):
            raise ValueError(f"invalid value '{str(written)[:50]}' for layout '{layout}'")
        result = int(Decimal(written).scaleb(tens))
        if not 0 <= result < 2**64:
            raise ValueError("a time is out of range: OTLP holds those from 1970 to 2554")
        return result

    return parse
