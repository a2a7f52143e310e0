"""Durations are read and written as Go does."""

import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from sluiceway.config.durations import milliseconds
from sluiceway.config.types import Duration, format_duration, parse_duration

ADAPTER = TypeAdapter(Duration)


@pytest.mark.parametrize(
    ("text", "seconds", "written"),
    [
        ("300ms", 0.3, "300ms"),
        ("1.5h", 5400.0, "1h30m0s"),
        ("1h30m", 5400.0, "1h30m0s"),
        ("-1m", -60.0, "-1m0s"),
        ("+5s", 5.0, "5s"),
        (".5s", 0.5, "500ms"),
        ("5.s", 5.0, "5s"),
        ("0", 0.0, "0s"),
        ("1us", 1e-6, "1µs"),
        ("1µs", 1e-6, "1µs"),
        ("1μs", 1e-6, "1µs"),
        ("7ns", 7e-9, "7ns"),
        ("1m1.25s", 61.25, "1m1.25s"),
    ],
)
def test_syntax(text: str, seconds: float, written: str) -> None:
    """A duration is numbers with units, and is written as Go prints it."""
    assert parse_duration(text) == pytest.approx(seconds)
    assert format_duration(parse_duration(text)) == written


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'time: invalid duration ""'),
        ("-", 'time: invalid duration "-"'),
        ("s", 'time: invalid duration "s"'),
        (".s", 'time: invalid duration ".s"'),
        ("5", 'time: missing unit in duration "5"'),
        ("5 s", 'time: unknown unit " s" in duration "5 s"'),
        ("1d", 'time: unknown unit "d" in duration "1d"'),
        ("9223372037s", 'time: invalid duration "9223372037s"'),
        ("٣s", 'time: invalid duration "٣s"'),
    ],
)
def test_mistakes(text: str, message: str) -> None:
    """What is no duration is refused with Go's text."""
    with pytest.raises(ValueError) as caught:
        parse_duration(text)
    assert str(caught.value) == message


@given(st.integers(-(2**53), 2**53))
def test_round_trip(nanoseconds: int) -> None:
    """What is written reads back as the same duration."""
    assert parse_duration(format_duration(nanoseconds / 1e9)) == pytest.approx(nanoseconds / 1e9, abs=2e-9)


def test_bare_integer_is_nanoseconds() -> None:
    """An integer is nanoseconds, as in Go."""
    assert ADAPTER.validate_python(0) == 0
    assert ADAPTER.validate_python(1_000_000) == 0.001


def test_programs_give_timedeltas() -> None:
    """A program may give a timedelta, and JSON gets Go's text."""
    assert ADAPTER.validate_python(timedelta(minutes=1)) == 60.0
    assert ADAPTER.dump_python(60.0, mode="json") == "1m0s"


@pytest.mark.parametrize("value", [True, 1.5, None, [], 2**80])
def test_other_types_are_refused(value: object) -> None:
    """Nothing else is taken for a duration."""
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(value)


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0.0, 1), (1e-9, 1), (0.0026, 3), (20.0, 20_000), (720 * 3600.0, 2**31 - 1), (math.inf, 2**31 - 1)],
)
def test_milliseconds_fit_into_grpc(seconds: float, written: int) -> None:
    """GRPC takes 32 bits: what is longer means never, and nothing is shorter than a millisecond."""
    assert milliseconds(seconds) == written
