"""The tree of values: merging, paths and what a value is called."""

import pytest

from sluiceway.config.model import Mark
from sluiceway.config.parse import parse
from sluiceway.config.tree import Node, expect_map, join, kind_of, merge, nest, plain
from sluiceway.config.types import NullText
from sluiceway.errors import ConfigError, Problem


@pytest.mark.parametrize(
    ("below", "above", "merged"),
    [
        ("a: {b: 1, c: 2}", "a: {c: 3}", {"a": {"b": 1, "c": 3}}),
        ("a: [1, 2]", "a: [3]", {"a": [3]}),
        ("a: {b: 1}", "a:", {"a": None}),
        ("a: {b: 1}", "a: {}", {"a": {"b": 1}}),
        ("a: {b: 1}", "a: 5", {"a": 5}),
        ("a: {b: 1}", "a::c: 2", {"a": {"b": 1, "c": 2}}),
        ("a: [1, 2]", "a: !append [3]", {"a": [1, 2, 3]}),
        ("a: [1, 2]", "a: !prepend [3]", {"a": [3, 1, 2]}),
        ("a: [1, 2, 3]", "a: !remove [2]", {"a": [1, 3]}),
        ("b: 1", "a: !append [3]", {"b": 1, "a": [3]}),
    ],
)
def test_merge(below: str, above: str, merged: object) -> None:
    """Maps merge, lists and scalars are replaced, null overwrites; a tagged list joins the one below."""
    assert plain(merge(parse(below), parse(above))) == merged


def test_a_merged_value_keeps_its_own_place() -> None:
    """After merging, a value still stands where it was written."""
    merged = merge(parse("a: {b: 1}", "below"), parse("a: {c: 2}", "above"))
    assert [part.mark.file for part in merged.value["a"].value.values()] == ["below", "above"]


def test_paths() -> None:
    """Paths are written with double colons, and such a key is nested."""
    assert join(("a", 0, "b")) == "a::0::b"
    key, node = nest("a::b::c", Node(1))
    assert (key, plain(node)) == ("a", {"b": {"c": 1}})


def test_children() -> None:
    """A child is found by key or place, and what is not there is none."""
    node = parse("a: [1]").value["a"]
    assert node.child(0).value == 1
    assert node.child(1) is node.child("x") is Node(5).child(0) is None


def test_null_of_a_reference_keeps_its_text() -> None:
    """A null that was written is None, one that a reference gave is a text that stands for null."""
    assert plain(Node(None)) is None
    assert isinstance(plain(Node(None, referenced=True)), NullText)


def test_expect_map() -> None:
    """Null is an empty map, and anything else is a mistake at its place."""
    assert expect_map(Node(None)) == {}
    with pytest.raises(ConfigError) as caught:
        expect_map(Node("x", Mark("f", 2, 3)), ("a", "b"))
    assert caught.value.problems == (Problem("expected a map, got string", "a::b", "f", 2, 3),)


@pytest.mark.parametrize(
    ("value", "kind"),
    [(None, "null"), (True, "bool"), (1, "int"), (1.0, "float64"), ("", "string"), ({}, "map"), ([], "list")],
)
def test_kinds(value: object, kind: str) -> None:
    """Types are called as in the Collector's messages."""
    assert kind_of(value) == kind
