"""Tokens: what OTTL's grammar cuts a text into, and where each begins."""

from __future__ import annotations

import pytest

from sluiceway.ottl.errors import OttlError
from sluiceway.ottl.lexer import Kind, tokens


def test_every_kind_of_token() -> None:
    """Signs belong to numbers, as in the Collector; words are names."""
    text = 'a.b["c\\"]"] >= -1 and 0x0A != 1.5e3 + (x/y)'
    assert [token.text for token in tokens(text)] == [
        "a", ".", "b", "[", '"c\\"]"', "]", ">=", "-1", "and", "0x0A", "!=", "1.5e3", "+", "(", "x", "/", "y", ")", "",
    ]  # fmt: skip


def test_tokens_know_their_column() -> None:
    """It counts from one, and the end has one, too."""
    assert [(token.kind, token.column) for token in tokens(" a  ==")] == [
        (Kind.NAME, 2),
        (Kind.COMPARISON, 5),
        (Kind.END, 7),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a == 'b'", 'unexpected "\'" (column 6)'),
        ('a == "b', "a text that has no end (column 6)"),
        ("a && b", "unexpected '&' (column 3)"),
    ],
)
def test_what_is_no_token_is_named(text: str, message: str) -> None:
    """With its column."""
    with pytest.raises(OttlError) as caught:
        list(tokens(text))
    assert str(caught.value) == message
