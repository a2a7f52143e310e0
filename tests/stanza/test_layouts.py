"""Layouts of times: whatever text they are given, they give a time or a `ValueError`."""

from __future__ import annotations

from datetime import UTC
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluiceway.stanza.layouts import Layout, gotime, strptime
from tests.stanza.programs import NOW

LAYOUTS = [
    strptime("%Y-%m-%d %H:%M:%S.%f %z"), strptime("%b %e %H:%M:%S"), strptime("%F %T %Z"),
    gotime("2006 002 15:04:05 MST"), gotime("02/01/06 3PM -07"), gotime("2006-01-02T15:04:05.999Z07:00"),
]  # fmt: skip
DIGITS = st.from_regex(
    r"[0-9]{4}[ -][0-9]{2,3}[ -][0-9]{2} [0-9]{2}(:[0-9]{2}){2} (GMT[+-][0-9]{2}|CET|XYZ|[+-][0-9]{4})"
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(LAYOUTS), DIGITS | st.text(), st.sampled_from([None, UTC, ZoneInfo("Europe/Berlin")]))
def test_any_text(layout: Layout, text: str, zone: ZoneInfo | None) -> None:
    """A text gives a time that OTLP can hold, or a `ValueError`, and nothing else."""
    try:
        found = layout.read(text, zone, NOW)
    except ValueError:
        return
    assert 0 <= found < 2**64


@pytest.mark.parametrize("text", [
    "9999-12-31 23:59:59 -2359", "0001-01-01 00:00:00 +2359", "1969-12-31 23:59:59 +0000", "2600-01-01 00:00:00 +0000",
])  # fmt: skip
def test_ends_of_the_calendar(text: str) -> None:
    """Times beyond what OTLP holds are errors, those beyond the calendar too."""
    with pytest.raises(ValueError, match="out of range"):
        strptime("%F %T %z").read(text, None, NOW)


@pytest.mark.parametrize("text", ["9999 999 00:00:00 UTC", "9999 366 23:00:00 GMT-12"])
def test_days_beyond_the_year(text: str) -> None:
    """A day of the year that leads out of the calendar is an error, too."""
    with pytest.raises(ValueError):
        gotime("2006 002 15:04:05 MST").read(text, UTC, NOW)


def test_zones_by_abbreviation() -> None:
    """An abbreviation that the zone uses is its own, winter and summer; another is UTC, as in Go."""
    read = strptime("%F %T %Z").read
    berlin = ZoneInfo("Europe/Berlin")
    assert read("2023-11-14 23:13:20 CET", berlin, NOW) == NOW
    assert read("2023-11-14 22:13:20 XYZ", berlin, NOW) == NOW


def test_a_leap_day_without_a_year() -> None:
    """A 29th of February without a year is that of the last leap year."""
    assert strptime("%b %d").read("Feb 29", UTC, NOW) == 1_582_934_400_000_000_000


@pytest.mark.parametrize("layout", ["%Y" + "%g" * 20, "%o%q%g%l%e"])
def test_many_parts_of_changing_width_in_a_row_are_refused(layout: str) -> None:
    """They could be read in more ways than anybody can try."""
    with pytest.raises(ValueError, match="parts of changing width side by side"):
        strptime(layout)
