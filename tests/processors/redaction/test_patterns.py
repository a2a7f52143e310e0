"""Lists of patterns: found and masked in their order, as Go does it, at a cost that the length of a text bounds."""

from __future__ import annotations

import time

import pytest

from sluiceway.processors.redaction import patterns
from sluiceway.processors.redaction.patterns import Patterns

MIB = 1 << 20


def mask(_part: bytes) -> bytes:
    """Four asterisks."""
    return b"****"


def replaced(made: list[str], text: str) -> str:
    """The text with what the patterns match masked."""
    return Patterns(made).replace(text.encode(), mask).decode()


@pytest.mark.parametrize(
    ("made", "text", "becomes"),
    [
        (["b"], "abcb", "a****c****"),
        (["a*"], "baac", "****b****c****"),
        ([""], "né", "****n****é****"),
        ([".*"], "a\nb", "****\n****"),
        (["^a"], "aa", "****a"),
        ([r"\bb"], "ab b", "ab ****"),
        (["x", "y"], "xy", "********"),
        (["x", r"\*"], "x", "*" * 16),
        (["y", "x"], "z", "z"),
    ],
)
def test_matches_are_masked_as_go_replaces_them(made: list[str], text: str, becomes: str) -> None:
    """An empty match right behind another does not count, and a pattern sees what those before it have left."""
    assert replaced(made, text) == becomes


def test_thousands_of_patterns_are_found_in_a_few_passes() -> None:
    """In their order, whichever set they are in."""
    many = Patterns([f"secret-{number:05}x" for number in range(3000)])
    assert many.find(b"a secret-02999x b", unread=False)
    assert not many.find(b"a secret-03000x b", unread=False)
    assert many.replace(b"secret-00000x secret-02999x", mask) == b"**** ****"


def test_where_the_memory_of_a_set_is_out_each_pattern_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """RE2 says that nothing was found then, or refuses the set: neither may let a secret pass."""
    monkeypatch.setattr(patterns, "_MEMORY", (40_000, 40_000, 1))
    crowded = [f"(a|b)*c[d-z]{{{count}}}e" for count in range(20, 40)]
    text = b"ab" * 50 + b"c" + b"q" * 30 + b"e"
    assert Patterns(crowded).replace(text, mask) == b"****"


def test_a_text_that_is_too_long_for_so_many_patterns_is_masked_unread() -> None:
    """Whether it is found or not is what the caller says."""
    many = Patterns([f"word{number}" for number in range(2000)])
    assert many.replace(b"a" * MIB, mask) == b"****"
    assert many.find(b"a" * MIB, unread=True)
    assert not many.find(b"a" * MIB, unread=False)


@pytest.mark.parametrize(
    ("made", "text"),
    [
        ("(a+)+$", b"a" * MIB + b"!"),
        ("[a-z0-9.]+@[a-z0-9.]+[.][a-z]{2,}", b"a" * MIB),
        ("[a-z0-9.]+@[a-z0-9.]+[.][a-z]{2,}", b"a@" * (MIB // 2)),
        ("4[0-9]{12}(?:[0-9]{3})?", b"4" * MIB),
        ("(x[^y]*y|x)", b"x" * MIB),
    ],
)
def test_a_hostile_text_costs_no_more_than_its_length(made: str, text: bytes) -> None:
    """Not even where every match has to look at all that is left: then the rest is masked."""
    started = time.process_time()
    Patterns([made]).replace(text, mask)
    assert time.process_time() - started < 10


def test_where_matches_cost_too_much_the_rest_is_masked() -> None:
    """It fails closed."""
    found = Patterns(["(x[^y]*y|x)"]).replace(b"x" * MIB, mask)
    assert found.strip(b"*") == b""
    assert found.count(b"****") < MIB // 1024


def test_patterns_that_each_change_a_text_cost_a_pass_each() -> None:
    """And when those are too many for its length, it is masked."""
    made = [f"w{number:04}" for number in range(1000)]
    text = b" ".join(word.encode() for word in made) * 250
    assert Patterns(made).replace(text, mask) == b"****"


def test_no_pattern_cuts_a_character() -> None:
    """What matches one byte of it, which Go does not know, is refused; an escaped backslash in front of a C is none."""
    with pytest.raises(ValueError, match=r"invalid escape sequence: \\C"):
        Patterns([r"a\C"])
    assert replaced([r"\\C", r"\Q\C\E"], r"é\C") == "é****"
