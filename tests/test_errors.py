"""The errors: the delays that they carry."""

import math

import pytest

from sluiceway.errors import LONGEST_DELAY, RefusedError, RetryableError, bounded_delay


@pytest.mark.parametrize(
    ("asked", "counted"),
    [
        (None, None),
        (math.nan, None),
        (-1.0, 0.0),
        (0.0, 0.0),
        (7.0, 7.0),
        (3e7, LONGEST_DELAY),
        (math.inf, LONGEST_DELAY),
    ],
)
def test_no_delay_is_longer_than_two_minutes(asked: float | None, counted: float | None) -> None:
    """A year, a negative number and no number at all do no harm, whoever raises the error."""
    assert bounded_delay(asked) == counted
    assert RetryableError("", retry_after=asked).retry_after == counted


@pytest.mark.parametrize(("asked", "counted"), [(math.nan, 1.0), (0.0, 0.0), (7.0, 7.0), (math.inf, LONGEST_DELAY)])
def test_a_refusal_always_carries_a_delay(asked: float, counted: float) -> None:
    """Whoever is refused can come again, after a second where nobody knows better."""
    assert RefusedError("", retry_after=asked).retry_after == counted
