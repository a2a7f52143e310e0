"""YAML becomes a tree of marked values, within bounds."""

import pytest

from sluiceway.config.model import Mark
from sluiceway.config.parse import MAX_BYTES, parse
from sluiceway.config.tree import plain
from sluiceway.errors import ConfigError


def test_values_know_their_place() -> None:
    """Each value and each key knows its file, line and column."""
    node = parse("a:\n  - b\n  - {c: 5}\n", "f.yaml").value["a"]
    assert node.key == Mark("f.yaml", 1, 1)
    assert node.value[1].value["c"].mark == Mark("f.yaml", 3, 9)
    assert node.value[1].value["c"].key == Mark("f.yaml", 3, 6)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("# nothing", None),
        ("a: &x {b: 1}\nc: *x", {"a": {"b": 1}, "c": {"b": 1}}),
        ("a: &x {b: 1, d: 1}\nc: {<<: *x, b: 2}", {"a": {"b": 1, "d": 1}, "c": {"d": 1, "b": 2}}),
        ("a: {<<: [{b: 1}, {b: 2, c: 3}]}", {"a": {"b": 1, "c": 3}}),
        ('"<<": 1', {"<<": 1}),
        ("a::b: 1\na: {c: 2}\na::d::e: 3", {"a": {"b": 1, "c": 2, "d": {"e": 3}}}),
        ("1: one\ntrue: yes", {"1": "one", "true": "yes"}),
        ("'5'", "5"),
        ("!!str 5", "5"),
        ("a: [1, 'on', on]", {"a": [1, "on", "on"]}),
    ],
)
def test_values(text: str, value: object) -> None:
    """Anchors, merge keys, `::` paths and keys that are no text work as in the Collector."""
    assert plain(parse(text)) == value


@pytest.mark.parametrize(
    ("text", "message", "line", "column"),
    [
        ("a: 1\na: 2", 'mapping key "a" already defined at line 1', 2, 1),
        ("a: [b", "cannot be read as YAML: while parsing a flow sequence, did not find expected ',' or ']'", 2, 1),
        ("[" * 500, "nested deeper than 100 levels", 1, 102),
        ("? " + "::".join("a" * 200) + "\n: 1", "nested deeper than 100 levels", 2, 3),
        ("a: &a [*a]", 'unknown anchor "a"', 1, 8),
        ("a: 1\n--- \nb: 2", "expected a single document, and a second one begins here", 2, 1),
        ("{[1]: 2}", "a key must be text", 1, 2),
        ("a: !foo x", "unsupported tag !foo", 1, 4),
        ("a: !foo [x]", "unsupported tag !foo", 1, 4),
        ("a: !foo {x: y}", "unsupported tag !foo", 1, 4),
        ("<<: 3", "map merge requires map or sequence of maps as the value", 1, 1),
        ("a: \x00", "cannot be read as YAML: it holds characters that YAML does not allow", 0, 0),
        ("a: \ud800", "cannot be read as YAML: it holds text that is not valid Unicode", 0, 0),
        ("a" * (MAX_BYTES + 1), "larger than 4194304 bytes", 0, 0),
    ],
)
def test_mistakes(text: str, message: str, line: int, column: int) -> None:
    """What cannot be read is refused with its place, and what is too large or too deep as well."""
    with pytest.raises(ConfigError) as caught:
        parse(text, "f")
    (problem,) = caught.value.problems
    assert (problem.message, problem.file, problem.line, problem.column) == (message, "f", line, column)


def test_alias_bomb() -> None:
    """Aliases count as often as they are used, so a bomb is refused before it is walked."""
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"{c}: &{c} [{', '.join(['*' + p] * 10)}]" for p, c in zip("abcdefgh", "bcdefghi", strict=True)]
    with pytest.raises(ConfigError, match="holds more than 200000 values, aliases included"):
        parse("\n".join(lines))


def test_alias_tower() -> None:
    """Nesting is counted through aliases."""
    lines = ["a0: &a0 " + "[" * 60 + "]" * 60, "a1: " + "[" * 60 + "*a0" + "]" * 60]
    with pytest.raises(ConfigError, match="nested deeper than 100 levels"):
        parse("\n".join(lines))


def test_text_of_a_variable_stands_where_it_is_used() -> None:
    """With a given place all values, and mistakes, stand there."""
    mark = Mark("f", 7, 3)
    assert parse("a: [1]", "", mark).value["a"].value[0].mark == mark
    with pytest.raises(ConfigError, match=r"^f:7:3: cannot be read"):
        parse("[", "", mark)
