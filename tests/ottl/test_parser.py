"""The grammar of conditions: what binds how tightly, and where a mistake stands."""

from __future__ import annotations

from random import Random

import pytest

from sluiceway.ottl.errors import OttlError
from sluiceway.ottl.parser import parse_condition
from sluiceway.ottl.syntax import And, Boolean, Call, Comparison, Literal, Math, Not, Or, Path, Truth


def shape(tree: Boolean) -> str:
    """A tree with all its parentheses."""
    match tree:
        case And(conditions):
            return "(" + " and ".join(map(shape, conditions)) + ")"
        case Or(conditions):
            return "(" + " or ".join(map(shape, conditions)) + ")"
        case Not(condition):
            return f"not {shape(condition)}"
        case Truth(value):
            return value.name if isinstance(value, Call) else str(value).lower()
        case Comparison(Path() as left):
            return str(left)
    return "?"


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a == 1 or b == 1 and c == 1", "(a or (b and c))"),
        ("(a == 1 or b == 1) and c == 1", "((a or b) and c)"),
        ("not a == 1 and b == 1", "(not a and b)"),
        ("not (a == 1 and not b == 1)", "not (a and not b)"),
        ("((((a == 1))))", "a"),
        ("true and IsMatch(a, b) or false", "((true and IsMatch) or false)"),
        ("(a) == 1", "a"),
        ("((a + 1) * 2) == 4 or b == 1", "(? or b)"),
    ],
)
def test_not_binds_more_tightly_than_and_and_that_than_or(text: str, tree: str) -> None:
    """Parentheses override, around conditions and around sums."""
    assert shape(parse_condition(text)) == tree


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"a\\"b\\\\c\\n"', 'a"b\\c\n'),
        ('"\\u00e9\\x41\\101"', "éAA"),
        ("-12", -12),
        (".5", 0.5),
        ("1.5e3", 1500.0),
        ("0x00ff", b"\x00\xff"),
        ("true", True),
        ("nil", None),
    ],
)
def test_literals(text: str, value: object) -> None:
    """Texts have Go's escapes."""
    tree = parse_condition(f"a == {text}")
    assert isinstance(tree, Comparison)
    assert tree.right == Literal(value, 6)  # type: ignore[arg-type]  # of any type


def test_a_path_has_keys_behind_each_name() -> None:
    """By text and by number."""
    tree = parse_condition('resource.attributes["a"]["b"][0] != nil')
    assert isinstance(tree, Comparison)
    assert isinstance(tree.left, Path)
    assert [(s.name, len(s.keys)) for s in tree.left.segments] == [("resource", 0), ("attributes", 3)]


def test_arguments_are_given_by_place_or_by_name() -> None:
    """Those with a name come last; lists, maps and sums may be arguments."""
    tree = parse_condition('F(a, [1, {"k": 2}], b = 1 + 2, c=G())')
    assert isinstance(tree, Truth)
    assert isinstance(tree.value, Call)
    assert [type(argument) for _, argument in tree.value.named] == [Math, Call]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a value, found the end (column 1)"),
        ("a ==", "expected a value, found the end (column 5)"),
        ("a", "expected a comparison (==, !=, <, <=, >, >=), found the end (column 2)"),
        ("a == 1 b == 2", 'expected and, or, or the end, found "b" (column 8)'),
        ("a == 1 and", "expected a value, found the end (column 11)"),
        ("(a == 1", 'expected ")", found the end (column 8)'),
        ("a == 1 where b == 2", '"where" belongs to a statement, and this is a condition (column 8)'),
        ("(a == 1) == true", "a condition in parentheses cannot be compared (column 1)"),
        ("set(a, 1)", 'converter names must start with an uppercase letter but got "set" (column 1)'),
        ("F(a=1, 2)", "an argument without a name stands behind one with a name (column 8)"),
        ("Foo == 1", '"Foo" is neither a path, which is in lower case, nor a call (column 1)'),
        ('a == "\\."', 'invalid escape "\\.": a backslash itself is written "\\\\" (column 7)'),
        ("a == 99999999999999999999", "an integer that does not fit into 64 bits (column 6)"),
        ("a == 0x123", "bytes with half a byte: an odd number of digits (column 6)"),
        ("a. == 1", 'expected a name, found "==" (column 4)'),
        ("a == and", 'expected a value, found "and" (column 6)'),
        ("(" * 120 + "a == 1" + ")" * 120, "nested deeper than 100 (column 102)"),
        ("a == 1" + " + 1" * 101, "more than 100 operators in a row (column 408)"),
    ],
)
def test_a_mistake_is_named_with_its_column(text: str, message: str) -> None:
    """In words for the person who wrote it."""
    with pytest.raises(OttlError) as caught:
        parse_condition(text)
    assert str(caught.value) == message


def test_no_text_makes_anything_but_a_tree_or_an_error() -> None:
    """Pieces of OTTL in any order never raise anything else, and never take long."""
    pieces = ["a", ".", "b", '["c"]', "(", ")", "==", "<", "1", "-1.5", '"x"', "not", "and", "or", "F(", ",", "[", "]",
              "{", "}", ":", "true", "nil", "ENUM", "+", "0x00", "=", " "]  # fmt: skip
    random = Random(5)
    for _ in range(3000):
        text = " ".join(random.choices(pieces, k=random.randint(1, 20)))
        try:
            parse_condition(text)
        except OttlError as error:
            assert 1 <= error.column <= len(text) + 1  # noqa: PT017 - both ends are right
