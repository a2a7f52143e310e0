"""Ids are a type, or a type and a name."""

import pytest

from sluiceway.config.identity import Id, parse_id


@pytest.mark.parametrize(
    ("text", "id"),
    [
        ("otlp", Id("otlp")),
        (" otlp / eu ", Id("otlp", "eu")),
        ("otlp/a/b", Id("otlp", "a/b")),
        ("a_1/ü-1", Id("a_1", "ü-1")),
    ],
)
def test_ids(text: str, id: Id) -> None:
    """Spaces around both parts are trimmed, and a name may hold slashes."""
    assert parse_id(text) == id == parse_id(str(id))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "id must not be empty"),
        (" ", "id must not be empty"),
        ("x/", 'in "x/" id: the part after / should not be empty'),
        ("/x", 'in "/x" id: the part before / should not be empty'),
        ("1x", 'in "1x" id: invalid character(s) in type "1x"'),
        ("a-b", 'in "a-b" id: invalid character(s) in type "a-b"'),
        ("x/a b", 'in "x/a b" id: invalid character(s) in name "a b"'),
        ("x/a+b", 'in "x/a+b" id: invalid character(s) in name "a+b"'),
        ("x/" + "n" * 1025, "in an id of 1027 characters: the name is longer than 1024"),
    ],
)
def test_mistakes(text: str, message: str) -> None:
    """Parts are not empty and hold no white space, control or symbol characters."""
    with pytest.raises(ValueError) as caught:
        parse_id(text)
    assert str(caught.value) == message
