"""Decoding reports every mistake where it was written, and reads references by the type of their field."""

from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, Field, model_validator

from sluiceway.config.decode import decode
from sluiceway.config.expand import Expansion
from sluiceway.config.parse import parse
from sluiceway.config.types import Duration, Headers, Opaque, Section, Settings, Size, StringList
from sluiceway.errors import ConfigError


class Level(StrEnum):
    """A closed set."""

    LOW = "1"


class Inner(Settings):
    """A part."""

    endpoint: str = "here"
    """A text."""
    needed: int
    """A number that must be given."""


def _not_empty(key: Opaque) -> Opaque:
    if not key:
        raise ValueError("empty")
    return key


class Key(Settings):
    """A part that takes no empty text."""

    key: Annotated[Opaque, AfterValidator(_not_empty)]
    """The key."""


class Model(Settings):
    """A whole."""

    number: int = 7
    """A number."""
    ratio: float = 0.5
    """A ratio."""
    flag: bool = True
    """A flag."""
    text: str = "x"
    """A text."""
    version: Literal["1.2", "1.3"] = "1.3"
    """A choice."""
    level: Level = Level.LOW
    """Another choice."""
    secret: Opaque = Opaque("")
    """A secret."""
    wait: Duration = 1.0
    """A wait."""
    size: Size = 5
    """A size."""
    names: StringList = ("a",)
    """Names."""
    headers: Headers = {}  # noqa: RUF012 - pydantic copies defaults
    """Headers."""
    limit: int | None = 5
    """A limit."""
    mixed: int | str | None = None
    """A number or a text."""
    section: Section[Inner] = None
    """A section."""
    parts: tuple[Inner, ...] = ()
    """Parts."""
    keys: Annotated[tuple[Key, ...], Field(min_length=1)] = (Key(key=Opaque("k")),)
    """Keys."""
    count: Literal[0, 1] = 0
    """A choice of numbers."""
    by_name: dict[str, Inner] = {}  # noqa: RUF012 - as above
    """Parts by name."""

    @model_validator(mode="after")
    def _check(self) -> Any:
        if self.number > 100:
            raise ValueError("'number' must not be large")
        return self


def read(text: str, **environ: str) -> Model:
    """Decode a text after expansion."""
    return decode(Model, Expansion(environ, []).expand(parse(text, "f")), ("top",))


@pytest.mark.parametrize(
    ("key", "value", "decoded"),
    [
        ("number", "5", 5),
        ("text", "5", "5"),
        ("text", "0123", "0123"),
        ("text", "true", "true"),
        ("text", "null", "null"),
        ("text", "{a: 1}", "{a: 1}"),
        ("secret", "1e5", Opaque("1e5")),
        ("version", "1.2", "1.2"),
        ("level", "1", Level.LOW),
        ("names", "5", ("5",)),
        ("names", "[5, 0x10]", ConfigError),
        ("headers", "{a: b}", {"a": Opaque("b")}),
        ("limit", "5", 5),
        ("mixed", "5", 5),
        ("wait", "10s", 10.0),
        ("size", "1KiB", 1024),
        ("number", "", 0),
        ("ratio", "", 0.0),
        ("flag", "", False),
        ("text", "", ""),
        ("secret", "", Opaque("")),
        ("wait", "", 0.0),
        ("size", "", 0),
        ("limit", "", None),
        ("names", "", ()),
        ("headers", "", {}),
        ("by_name", "", {}),
    ],
)
def test_references_by_type(key: str, value: str, decoded: object) -> None:
    """A reference alone is read by the field's type: text for strings, and for null the zero value."""
    if decoded is ConfigError:
        with pytest.raises(ConfigError):
            read(f"{key}: ${{X}}", X=value)
    else:
        assert getattr(read(f"{key}: ${{X}}", X=value), key) == decoded


def test_references_inside_lists_and_maps() -> None:
    """The same holds deep inside."""
    model = read("headers: {a: '${X}'}\nnames: ['${X}', b]\nparts: [{needed: '${X}', endpoint: '${X}'}]", X="5")
    assert model.headers == {"a": Opaque("5")}
    assert model.names == ("5", "b")
    assert model.parts == (Inner(needed=5, endpoint="5"),)


@pytest.mark.parametrize(
    ("text", "line", "column", "path", "message"),
    [
        ("a: 1\nnumbr: 2", 2, 1, "top", """'' has invalid keys: numbr; did you mean "number"?"""),
        (
            "section:\n  needed: 1\n  Endpoint: x", 3, 3, "top::section",
            """'section' has invalid keys: Endpoint; did you mean "endpoint"?""",
        ),
        (
            "parts:\n- needed: 1\n  zzz: 1", 3, 3, "top::parts::0",
            "'parts.0' has invalid keys: zzz (valid keys: endpoint, needed)",
        ),
        (
            "by_name:\n  x: {needed: 1, neede: 1}", 2, 18, "top::by_name::x",
            """'by_name.x' has invalid keys: neede; did you mean "needed"?""",
        ),
        ("number: '5'", 1, 9, "top::number", "expected type 'int', got unconvertible type 'string'"),
        ("number: 5.5", 1, 9, "top::number", "expected type 'int', got unconvertible type 'float64'"),
        ("flag: 1", 1, 7, "top::flag", "expected type 'bool', got unconvertible type 'int'"),
        ("ratio: true", 1, 8, "top::ratio", "expected type 'float64', got unconvertible type 'bool'"),
        ("text: []", 1, 7, "top::text", "expected type 'string', got unconvertible type 'list'"),
        ("parts: {}", 1, 8, "top::parts", "expected type 'list', got unconvertible type 'map'"),
        ("section: x", 1, 10, "top::section", "expected type 'map', got unconvertible type 'string'"),
        ("section: {enabled: 5}", 1, 20, "top::section::enabled", "expected type 'bool', got unconvertible type 'int'"),
        ("section:", 1, 9, "top::section", 'requires "needed"'),
        ("wait: 5x", 1, 7, "top::wait", 'time: unknown unit "x" in duration "5x"'),
        ("number: 101", 1, 1, "top", "'number' must not be large"),
        (
            "version: 1.2", 1, 10, "top::version",
            """should be '1.2' or '1.3', got float64; write it in quotes: "1.2\"""",
        ),
        ("version: 1.4", 1, 10, "top::version", "should be '1.2' or '1.3', got float64"),
        ("version: x", 1, 10, "top::version", """should be '1.2' or '1.3', got "x\""""),
        ("count: 2", 1, 8, "top::count", "should be 0 or 1, got 2"),
        ("keys: []", 1, 7, "top::keys", "needs 1 or more, got 0"),
        ("5", 1, 1, "top", "expected type 'map', got unconvertible type 'int'"),
    ],
)  # fmt: skip
def test_mistakes(text: str, line: int, column: int, path: str, message: str) -> None:
    """A mistake has its line, its column, its path and the Collector's text."""
    with pytest.raises(ConfigError) as caught:
        read(text)
    problem = caught.value.problems[-1]
    assert (problem.file, problem.line, problem.column, problem.path) == ("f", line, column, path)
    assert problem.message == message


@pytest.mark.parametrize("entry", ["{key: ''}", "{kee: a}", "5"])
def test_a_list_with_wrong_entries_is_not_called_empty(entry: str) -> None:
    """That would be a second mistake where there is one."""
    with pytest.raises(ConfigError) as caught:
        read(f"keys: [{entry}]")
    assert not any("or more" in problem.message for problem in caught.value.problems)


def test_all_mistakes_at_once() -> None:
    """No mistake hides another."""
    with pytest.raises(ConfigError) as caught:
        read("number: x\nflag: 1\nunknown: 2\nmixed: [1]\nsection: {needed: y}")
    assert {problem.line for problem in caught.value.problems} == {1, 2, 3, 4, 5}


@pytest.mark.parametrize(("text", "lines"), [
    ("number: 200\nunknown: 1", {1, 2}),
    ("number: 200\nsection: {needed: 1, endpoint: 5}", {1, 2}),
    ("number: 200\nparts: [{needed: 1, endpoint: 5}]", {1, 2}),
    ("number: 200\nsection: {}", {2}),
    ("number: 200\nflag: 1", {2}),
])  # fmt: skip
def test_wrong_parts_do_not_hide_what_is_wrong_with_the_whole(text: str, lines: set[int]) -> None:
    """Unless the whole may be wrong only because of them."""
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert {problem.line for problem in caught.value.problems} == lines


def test_durations_without_a_unit_are_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    """Where they stand; zero needs none."""
    assert read("number: 5\nwait: 5").wait == 5e-9
    assert read("wait: 0").wait == 0
    (record,) = caplog.records
    assert record.getMessage() == (
        'f:2:7: top::wait: the duration 5 has no unit: it is taken as nanoseconds, write "5ns"'
    )


def test_mistake_in_a_reference_stands_at_the_reference() -> None:
    """A variable of the wrong type is reported where it is used."""
    with pytest.raises(
        ConfigError, match=r"^f:2:9: top::number: expected type 'int', got unconvertible type 'string'$"
    ):
        read("text: x\nnumber: ${X}", X="abc")


def test_what_is_missing_because_its_variable_is_not_set() -> None:
    """The text asks for the variable; that the key is there everybody sees."""
    with pytest.raises(ConfigError, match=r'top::keys::0::key: requires "key"; is the variable that it comes from set'):
        read("keys: [{key: '${X}'}]", X="")
    with pytest.raises(ConfigError, match=r'top::keys::0: requires "key"$'):
        read("keys: [{}]")


def test_null_is_all_defaults() -> None:
    """A component without settings has its defaults."""
    assert read("") == Model()
