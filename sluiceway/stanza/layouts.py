"""Layouts of times: the Collector's strptime directives and Go's reference time, compiled to one bounded pattern.

The directives differ from those of C and Python: `%s` is a fraction of nine digits and no epoch, `%j` is `±HH:MM`
and no day of the year. Every part of a pattern takes a bounded number of characters, and few of changing width may
follow each other, so that there are few ways to try.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any, Final

__all__ = ["DIRECTIVES", "Layout", "gotime", "strptime"]

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_LONG_MONTHS: Final = (
    "january|february|march|april|may|june|july|august|september|october|november|december"
)  # fmt: skip
_DAYS: Final = "sun|mon|tue|wed|thu|fri|sat"
_LONG_DAYS: Final = "sunday|monday|tuesday|wednesday|thursday|friday|saturday"
_OFFSET: Final = r"[+-]\d\d"

_PARTS: Final = {
    "2006": ("year", r"\d{4}"), "06": ("short_year", r"\d{2}"),
    "01": ("month", r"\d{2}"), "_1": ("month", r" ?\d{1,2}"), "1": ("month", r"\d{1,2}"),
    "Jan": ("month_name", "|".join(_MONTHS)), "January": ("month_name", _LONG_MONTHS),
    "02": ("day", r"\d{2}"), "_2": ("day", r" ?\d{1,2}"), "2": ("day", r"\d{1,2}"),
    "002": ("year_day", r"\d{3}"), "__2": ("year_day", r" {0,2}\d{1,3}"),
    "Mon": ("", _DAYS), "Monday": ("", _LONG_DAYS),
    "15": ("hour", r"\d{1,2}"), "03": ("hour12", r"\d{2}"), "3": ("hour12", r"\d{1,2}"),
    "PM": ("half", "am|pm"), "pm": ("half", "am|pm"),
    "04": ("minute", r"\d{2}"), "4": ("minute", r"\d{1,2}"),
    "05": ("second", r"\d{2}"), "5": ("second", r"\d{1,2}"),
    "fraction": ("fraction", r"\d{1,9}"),
    "MST": ("zone", r"[a-z]{3,5}(?:[+-]\d{1,2})?|[+-]\d\d"),
    "-07": ("offset", _OFFSET), "-0700": ("offset", _OFFSET + r"\d\d"), "-07:00": ("offset", _OFFSET + r":\d\d"),
    "-070000": ("offset", _OFFSET + r"\d{4}"), "-07:00:00": ("offset", _OFFSET + r":\d\d:\d\d"),
    "Z07": ("offset", f"z|{_OFFSET}"), "Z0700": ("offset", rf"z|{_OFFSET}\d\d"),
    "Z07:00": ("offset", rf"z|{_OFFSET}:\d\d"), "Z07:00:00": ("offset", rf"z|{_OFFSET}:\d\d:\d\d"),
    "Z070000": ("offset", rf"z|{_OFFSET}\d{{4}}"),
}  # fmt: skip
"""What a part of Go's reference time means, and the pattern of its text."""

DIRECTIVES: Final = {
    "Y": "2006", "y": "06", "m": "01", "o": "_1", "q": "1", "b": "Jan", "h": "Jan", "B": "January",
    "d": "02", "e": "_2", "g": "2", "a": "Mon", "A": "Monday", "H": "15", "I": "03", "l": "3", "p": "PM", "P": "pm",
    "M": "04", "S": "05", "L": "fraction", "f": "fraction", "s": "fraction",
    "Z": "MST", "z": "-0700", "w": "-070000", "i": "-07", "j": "-07:00", "k": "-07:00:00",
}  # fmt: skip
"""The strptime directives that stand for one part."""
_COMPOSED: Final = {
    "D": "%m/%d/%y", "F": "%Y-%m-%d", "T": "%H:%M:%S", "r": "%I:%M:%S %p", "R": "%H:%M",
    "c": "%a %b %d %H:%M:%S %Y", "n": "\n", "t": "\t", "%": "%%",
}  # fmt: skip
_GO_PART: Final = re.compile(
    r"January|Jan|Monday|Mon|MST|_?2006|-07:00:00|-070000|-07:00|-0700|-07|Z07:00:00|Z070000|Z07:00|Z0700|Z07|002|"
    r"0[1-6]|15|__2|_2|PM|pm|[.,](?:0+|9+)(?!\d)|[1-5]"
)
_MAX_TEXT: Final = 128
_MAX_LAYOUT: Final = 256
_KNOWN: Final = 1024
_MOST_VARYING: Final = 4
_WEEK: Final = timedelta(days=7)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def strptime(layout: str) -> Layout:
    """Compile a layout of strptime directives. Raises `ValueError` for those that there are not."""
    return Layout(layout, list(_directives(layout)))


def _directives(layout: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(layout):
        sign, letter = layout[at], layout[at + 1 : at + 2]
        if sign != "%":
            yield "text", sign
            at += 1
            continue
        if letter == "%":
            yield "text", "%"
        elif letter in _COMPOSED:
            yield from _directives(_COMPOSED[letter])
        elif letter in DIRECTIVES:
            yield "part", DIRECTIVES[letter]
        else:
            raise ValueError(f"invalid strptime layout: unsupported directive %{letter}")
        at += 2


def gotime(layout: str) -> Layout:
    """Compile a layout that is written as Go's reference time, `2006-01-02T15:04:05Z07:00`."""
    return Layout(layout, list(_go_parts(layout)))


def _go_parts(layout: str) -> Iterator[tuple[str, str]]:
    at = 0
    for match in _GO_PART.finditer(layout):
        yield from (("text", sign) for sign in layout[at : match.start()])
        found = match[0]
        if found[0] in ".,":
            yield from (("text", "."), ("part", "fraction")) if found[1] == "0" else (("optional", ""),)
        elif found == "_2006":
            yield from (("text", "_"), ("part", "2006"))
        else:
            yield "part", found
        at = match.end()
    yield from (("text", sign) for sign in layout[at:])


def _check_widths(layout: str, parts: list[tuple[str, str]]) -> None:
    """Refuse a layout with many parts of changing width side by side: `%g%g%g...` could be read in millions of ways."""
    row = 0
    for kind, text in parts:
        varies = kind == "optional" or (kind == "part" and any(sign in _PARTS[text][1] for sign in ("{1,", "{0,", "?")))
        row = row + 1 if varies else row if kind == "part" else 0
        if row > _MOST_VARYING:
            raise ValueError(f'layout "{layout}" has more than {_MOST_VARYING} parts of changing width side by side')


class Layout:
    """Reads times of one layout."""

    def __init__(self, layout: str, parts: list[tuple[str, str]]) -> None:
        if len(layout) > _MAX_LAYOUT:
            raise ValueError(f"a layout has at most {_MAX_LAYOUT} characters")
        _check_widths(layout, parts)
        self._names: list[str] = []
        self._pattern = re.compile("".join(self._patterns(parts)), re.IGNORECASE | re.ASCII)
        if not {*self._names} - {"zone", "offset"}:
            raise ValueError(f'layout "{layout}" has no part of a time')
        self._layout = layout
        self._fraction = self._names.index("fraction") + 1 if "fraction" in self._names else 0
        self._known: dict[tuple[str, str, tzinfo | None], int] = {}

    def _patterns(self, parts: list[tuple[str, str]]) -> Iterator[str]:
        for index, (kind, text) in enumerate(parts):
            if kind == "text":
                # Go takes a comma for the point in front of a fraction.
                point = text in ".," and parts[index + 1 : index + 2] == [("part", "fraction")]
                yield "[.,]" if point else re.escape(text)
            elif kind == "optional":
                self._names.append("fraction")
                yield r"(?:[.,](\d{1,9}))?"
            else:
                name, pattern = _PARTS[text]
                yield f"(?:{pattern})" if not name else f"({pattern})"
                self._names += [name] if name else []
                follows = "".join(part[1] for part in parts[index + 1 : index + 3])
                if (
                    name == "second"
                    and not follows.startswith((".fraction", ",fraction", "fraction"))
                    and (parts[index + 1 : index + 2] != [("optional", "")])
                ):
                    # As in Go, seconds may have a fraction that the layout does not tell of.
                    self._names.append("fraction")
                    yield r"(?:[.,](\d{1,9}))?"

    def read(self, text: str, zone: tzinfo | None, now: int) -> int:
        """Nanoseconds since the epoch. Without an offset the time is that of `zone`, None for the machine's.

        `now`, in nanoseconds too, completes a time without a year: the current one, or the last, where the time would
        else be more than seven days ahead. Raises `ValueError` where the text does not fit.
        """
        try:
            if "year" in self._names or "short_year" in self._names:
                return self._with_year(text, zone)
            return self._completed(text, zone, now)
        except (OverflowError, OSError):  # at the ends of what a calendar holds
            raise ValueError("a time is out of range") from None

    def _completed(self, text: str, zone: tzinfo | None, now: int) -> int:
        found = self._match(text)
        today = datetime.fromtimestamp(now // 1_000_000_000, UTC)
        for year in range(today.astimezone(zone).year, 0, -1):  # a 29th of February may be eight years away
            try:
                when = _moment(found, year, zone)
            except ValueError:
                if year > today.year - 9:
                    continue
                raise
            if when <= today + _WEEK:
                return _nanoseconds(when, found)
        raise ValueError(f"{text!r} is no time")

    def _with_year(self, text: str, zone: tzinfo | None) -> int:
        """What changes from line to line is the fraction; the rest of a time is kept, for those that follow."""
        match = self._matched(text)
        start, end = match.span(self._fraction) if self._fraction else (-1, -1)
        rest = (text[:start], text[end:], zone) if start >= 0 else (text, "", zone)
        whole = self._known.get(rest)
        if whole is None:
            if len(self._known) >= _KNOWN:
                self._known.clear()
            whole = self._known[rest] = self._seconds(self._found(match), zone)
        return whole + int(text[start:end].ljust(9, "0")) if start >= 0 else whole

    def _seconds(self, found: dict[str, str], zone: tzinfo | None) -> int:
        """Nanoseconds since the epoch, without the fraction."""
        if "year" in found:
            year = int(found["year"])
        else:
            short = int(found["short_year"])
            year = short + (1900 if short >= 69 else 2000)
        _nanoseconds(_moment(found, year, zone), found)  # is it in range with its fraction, too
        found.pop("fraction", None)
        return _nanoseconds(_moment(found, year, zone), found)

    def _match(self, text: str) -> dict[str, str]:
        return self._found(self._matched(text))

    def _matched(self, text: str) -> re.Match[str]:
        match = self._pattern.fullmatch(text) if len(text) <= _MAX_TEXT else None
        if match is None:
            raise ValueError(f'parsing time "{text[:_MAX_TEXT]}" as "{self._layout}": it does not fit')
        return match

    def _found(self, match: re.Match[str]) -> dict[str, str]:
        return {name: value for name, value in zip(self._names, match.groups(), strict=True) if value is not None}


def _moment(found: dict[str, str], year: int, zone: tzinfo | None) -> datetime:
    month = int(found.get("month", 1))
    if "month_name" in found:
        month = _MONTHS.index(found["month_name"][:3].lower()) + 1
    day, minute, second = int(found.get("day", 1)), int(found.get("minute", 0)), int(found.get("second", 0))
    naive = datetime(year, month, day, _hour(found), minute, second)  # noqa: DTZ001 - its zone follows
    if "year_day" in found:
        naive = naive.replace(month=1, day=1) + timedelta(days=int(found["year_day"]) - 1)
    if "offset" in found:
        return naive.replace(tzinfo=_offset(found["offset"]))
    if "zone" in found:
        return _named(naive, found["zone"].upper(), zone)
    return naive.replace(tzinfo=zone) if zone else naive.astimezone(UTC)


def _hour(found: dict[str, str]) -> int:
    hour = int(found.get("hour", found.get("hour12", 0)))
    if "hour12" in found and not 0 <= hour <= 12:
        raise ValueError("hour out of range")
    half = found.get("half", "").lower()
    if half == "pm" and hour < 12:
        return hour + 12
    return 0 if half == "am" and hour == 12 else hour


def _offset(text: str) -> tzinfo:
    if text in "zZ":
        return UTC
    digits = text[1:].replace(":", "").ljust(6, "0")
    hours, minutes, seconds = int(digits[:2]), int(digits[2:4]), int(digits[4:6])
    if hours > 24 or minutes > 59 or seconds > 59:
        raise ValueError("time zone offset out of range")
    size = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    return timezone(-size if text[0] == "-" else size)


def _named(naive: datetime, name: str, zone: tzinfo | None) -> datetime:
    """A time with a zone's abbreviation: that of `zone` if it uses it, else UTC, as Go has it."""
    if name[:3] == "GMT" and name[3:]:
        return naive.replace(tzinfo=timezone(timedelta(hours=int(name[3:]))))
    if name not in ("UTC", "GMT"):
        for fold in (0, 1):
            local = naive.replace(tzinfo=zone, fold=fold) if zone else naive.replace(fold=fold).astimezone()
            if local.tzname() == name:
                return local
    return naive.replace(tzinfo=UTC)


def _nanoseconds(when: datetime, found: dict[str, Any]) -> int:
    since = when - _EPOCH
    result = (since.days * 86_400 + since.seconds) * 1_000_000_000 + int(found.get("fraction", "0").ljust(9, "0"))
    if not 0 <= result < 2**64:
        raise ValueError("a time is out of range: OTLP holds those from 1970 to 2554")
    return result
