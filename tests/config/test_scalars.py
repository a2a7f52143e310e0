"""Plain scalars mean what users of the Collector expect."""

import math

import pytest

from sluiceway.config.scalars import resolve, resolve_tagged


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("no", "no"),
        ("y", "y"),
        ("true", True),
        ("FALSE", False),
        ("tRUE", "tRUE"),
        ("", None),
        ("~", None),
        ("Null", None),
        ("017", 15),
        ("0o17", 15),
        ("08", 8.0),
        ("0x1F", 31),
        ("0b101", 5),
        ("1_000", 1000),
        ("1:30", "1:30"),
        ("+5", 5),
        ("-0x10", -16),
        ("1.5", 1.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e3", 1000.0),
        ("0e12", 0.0),
        ("1e", "1e"),
        (".", "."),
        ("-", "-"),
        ("2020-01-01", "2020-01-01"),
        ("1.2.3.4", "1.2.3.4"),
        ("18446744073709551615", 2**64 - 1),
        ("18446744073709551616", float(2**64)),
        ("-.inf", -math.inf),
        ("٣", "٣"),
        ("9" * 500, "9" * 500),
    ],
)
def test_resolve(text: str, value: object) -> None:
    """Booleans and null are those of YAML 1.2, numbers those of Go."""
    resolved = resolve(text)
    assert (type(resolved), resolved) == (type(value), value)


def test_not_a_number() -> None:
    """`.nan` is the number that is none."""
    assert math.isnan(resolve(".nan"))


@pytest.mark.parametrize(
    ("tag", "text", "value"),
    [("str", "5", "5"), ("int", "5", 5), ("float", "5", 5.0), ("bool", "true", True), ("null", "", None)],
)
def test_tags(tag: str, text: str, value: object) -> None:
    """A tag says which type is meant."""
    resolved = resolve_tagged(text, f"tag:yaml.org,2002:{tag}")
    assert (type(resolved), resolved) == (type(value), value)


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        ("tag:yaml.org,2002:int", "x"),
        ("tag:yaml.org,2002:int", "true"),
        ("!foo", "x"),
        ("tag:yaml.org,2002:binary", "x"),
    ],
)
def test_wrong_tags(tag: str, text: str) -> None:
    """A text that is not what its tag says is refused, and so is an unknown tag."""
    with pytest.raises(ValueError):
        resolve_tagged(text, tag)
