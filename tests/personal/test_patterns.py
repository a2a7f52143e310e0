"""One's own patterns: what they cannot do without."""

from __future__ import annotations

import pytest

from sluiceway.personal.patterns import finder, required_literal


@pytest.mark.parametrize(
    ("pattern", "literal"),
    [
        ("ORD-[0-9]{8}", "ORD-"),
        ("a|b", ""),
        ("(?i)abc", ""),
        ("ab(?i)c", ""),
        ("ab*cd", "cd"),
        ("ab+c", "ab"),
        (r"x\.y(foo|bar)ba", "x.y"),
        ("[a-z]{3}-x", "-x"),
        ("ab{2}c", "a"),
        ("ab?", "a"),
        (r"\bid=\d+", "id="),
        (r"\x41B", ""),
        ("[]x]y", "y"),
        ("(a|b)c", "c"),
        ("", ""),
        ("größe", "größe"),
        (".*", ""),
    ],
)
def test_the_longest_run_that_every_match_has(pattern: str, literal: str) -> None:
    """It is a sure sign: a text without it has no match."""
    assert required_literal(pattern).decode() == literal


def test_a_finder_finds_in_bytes() -> None:
    """With the places in bytes."""
    _, finditer = finder("ö+")
    assert [match.span() for match in finditer("aöö b ö".encode())] == [(1, 5), (8, 10)]


def test_what_re2_does_not_take_is_refused() -> None:
    """With its reason."""
    with pytest.raises(ValueError, match="invalid pattern"):
        finder("(")
