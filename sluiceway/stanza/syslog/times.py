"""The two ways in which syslog writes a time: `Nov 26 11:14:00`, without a year and a zone, and RFC 3339."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final

__all__ = ["MONTHS", "nanoseconds", "rfc3339", "yearless"]

MONTHS: Final = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), start=1
    )
}
_DAY: Final = 86_400
_LONGEST: Final = 40
"""Characters of a time; what is longer is none, and is not to be remembered."""
_AHEAD: Final = timedelta(days=2)
"""How far a time without a year may lie in the future: clocks differ, and zones are misunderstood."""


def yearless(stamp: str, now: int, zone: tzinfo | None = None) -> int:
    """The latest time that reads `Nov 26 11:14:00` and is not in the future, in ns since the epoch; 0 for none.

    `now` is ns since the epoch. Without a zone it is the machine's local time.
    """
    return _complete(stamp, now // (_DAY * 1_000_000_000), zone)


@lru_cache(maxsize=4096)
def _complete(stamp: str, day: int, zone: tzinfo | None) -> int:
    latest = datetime.fromtimestamp(day * _DAY, UTC) + _AHEAD
    month = MONTHS.get(stamp[:3], 0)
    try:
        date, hour, minute, second = (int(stamp[at : at + 2]) for at in (4, 7, 10, 13))
    except ValueError:
        return 0
    for year in range(latest.year + 1, latest.year - 8, -1):  # a 29th of February may be eight years away
        try:
            found = datetime(year, month, date, hour, minute, second, tzinfo=zone).astimezone(UTC)
        except ValueError:
            continue
        if found <= latest:
            return nanoseconds(found)
    return 0


def rfc3339(stamp: str) -> int:
    """Nanoseconds since the epoch of `2026-11-26T11:14:00.123456+01:00`; 0 for none, and where no zone is told."""
    return _rfc3339(stamp) if 20 <= len(stamp) <= _LONGEST and stamp[10:11] == "T" else 0


@lru_cache(maxsize=4096)
def _rfc3339(stamp: str) -> int:
    try:
        found = datetime.fromisoformat(stamp)
    except ValueError:
        return 0
    return max(0, nanoseconds(found)) if found.tzinfo else 0


def nanoseconds(when: datetime) -> int:
    """Nanoseconds since the epoch of a time that has a zone."""
    return round(when.timestamp() * 1_000_000) * 1000
