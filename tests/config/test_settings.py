"""Settings decode as the Collector's do: strict, with null for defaults and sections that are switched on and off."""

from enum import StrEnum
from typing import Any

import pytest
from pydantic import ValidationError

from sluiceway.config.types import Duration, NullText, Section, Settings, StringList


class Colour(StrEnum):
    """A closed set."""

    RED = "red"


class Inner(Settings):
    """A part."""

    port: int = 1
    """A port."""
    type: str = "t"
    """A field that is called as a key of pydantic's own schema."""


class Outer(Settings):
    """A whole."""

    number: int = 3
    """A number."""
    ratio: float = 0.5
    """A ratio."""
    flag: bool = True
    """A flag."""
    text: str = "x"
    """A text."""
    colour: Colour = Colour.RED
    """A colour."""
    wait: Duration = 1.0
    """A wait."""
    names: StringList = ("a",)
    """Names."""
    limit: int | None = 5
    """A limit, or none."""
    anything: Any = 1
    """Anything."""
    off: Section[Inner] = None
    """Off unless it is there."""
    on: Section[Inner] = Inner()
    """On unless it is switched off."""
    part: Inner = Inner()
    """A part that is always there."""
    parts: tuple[Inner, ...] = ()
    """Several parts."""


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("number", "5"),
        ("number", True),
        ("number", 5.0),
        ("ratio", "0.5"),
        ("ratio", True),
        ("ratio", float("nan")),
        ("flag", 1),
        ("flag", "true"),
        ("text", 5),
        ("colour", "green"),
        ("names", 5),
        ("part", []),
        ("part", {"type": 1}),
        ("parts", [{"port": "1"}]),
        ("unknown", 1),
    ],
)
def test_no_weak_typing(key: str, value: object) -> None:
    """No type is made of another, at any depth, and unknown keys are refused."""
    with pytest.raises(ValidationError):
        Outer.model_validate({key: value})


def test_integers_are_numbers_and_words_are_members() -> None:
    """A float takes an integer, an enum its value, and a tuple a list."""
    outer = Outer.model_validate({"ratio": 1, "colour": "red", "parts": [{"port": 2}]})
    assert (outer.ratio, outer.colour, outer.parts) == (1.0, Colour.RED, (Inner(port=2),))


def test_null_keeps_the_default() -> None:
    """Null means the default, except where a value may be none; of an unknown key it is still a mistake."""
    null = dict.fromkeys(("number", "text", "names", "part", "parts", "wait"))
    assert Outer.model_validate(null) == Outer()
    assert Outer.model_validate({"limit": None}).limit is None
    assert Outer.model_validate(None) == Outer()
    with pytest.raises(ValidationError):
        Outer.model_validate({"unknown": None})


@pytest.mark.parametrize(
    ("value", "off", "on"),
    [
        ({}, None, Inner()),
        ({"off": None, "on": None}, Inner(), Inner()),
        ({"off": {}, "on": {}}, Inner(), Inner()),
        ({"off": {"port": 2}, "on": {"port": 2}}, Inner(port=2), Inner(port=2)),
        ({"off": {"enabled": True}, "on": {"enabled": True}}, Inner(), Inner()),
        ({"off": {"enabled": False, "port": 2}, "on": {"enabled": False}}, None, None),
    ],
)
def test_sections(value: dict[str, Any], off: Inner | None, on: Inner | None) -> None:
    """A section that is there is on, with its defaults for null, unless `enabled: false` switches it off."""
    outer = Outer.model_validate(value)
    assert (outer.off, outer.on) == (off, on)


@pytest.mark.parametrize(
    ("value", "place"),
    [({"enabled": "no"}, ("off", "enabled")), ({"enabled": False, "port": "x"}, ("off", "port")), (5, ("off",))],
)
def test_wrong_sections(value: object, place: tuple[str, ...]) -> None:
    """`enabled` is a boolean, and what a section that is off holds is still checked."""
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate({"off": value})
    assert caught.value.errors()[0]["loc"] == place


def test_own_enabled_field() -> None:
    """A model that has a field `enabled` of its own also sees it."""

    class Own(Settings):
        enabled: bool = False

    class Holder(Settings):
        own: Section[Own] = None

    assert Holder.model_validate({"own": {"enabled": True}}).own == Own(enabled=True)
    assert Holder.model_validate({"own": {"enabled": False}}).own is None


def test_unset_reference_where_none_is_allowed() -> None:
    """A reference that reads as null is text for a string, and none where that is allowed."""
    outer = Outer.model_validate({"text": NullText("null"), "limit": NullText("")})
    assert (outer.text, outer.limit) == ("null", None)


def test_written_settings_can_be_loaded_again() -> None:
    """What is written reads back as the same settings, with sections that are off still off."""
    outer = Outer.model_validate({"on": {"enabled": False}, "limit": None, "wait": "2s"})
    written = outer.model_dump(mode="json")
    assert (written["on"], written["limit"], written["wait"]) == ({"enabled": False}, None, "2s")
    assert "off" not in written
    assert Outer.model_validate(written) == outer


def test_equality_ignores_what_was_written() -> None:
    """A value that is written equals the same value by default, so that a reload sees no change."""
    assert Outer(number=3) == Outer()
    assert hash(Inner(port=1)) == hash(Inner())
    assert Outer(number=4) != Outer()


def test_documented_by_docstrings() -> None:
    """A field's docstring is its description, and sections offer `enabled` to editors."""
    schema = Outer.model_json_schema()
    assert schema["properties"]["number"]["description"] == "A number."
    assert schema["$defs"]["Inner"]["properties"]["enabled"]["type"] == "boolean"
