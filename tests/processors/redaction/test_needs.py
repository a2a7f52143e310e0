"""What patterns need: no text that RE2 finds a pattern in lacks it, and most other texts do."""

from __future__ import annotations

from random import Random

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.processors.redaction.needs import Need, needs
from tests.otlp.strategies import checked

ATOMS = [
    "a", "K", "s", "4", "[0-9]", "[a-c]", "[^a]", "[^a-zé]", ".", r"\d", r"\w", r"\W", r"\s", r"\.", "@", "é", "[é-ü]",
    r"\b", "^", "$", "(?i)", "(?-i)", "(?-s)", "(?i:k)", r"\x41", r"\pL", "[[:digit:]]", "]", "}", "[]a]", "[a-]",
    r"[\d.-]", "-", "\u017f", "{", "{,3}", r"\t", r"\Qa\E",
]  # fmt: skip
REPEATS = ["", "", "", "*", "+", "?", "{3}", "{2,}", "{0,2}", "{2,4}", "+?", "{3}?"]
LETTERS = "aabck4K7Ks\u017fS.@é\u212a -_\t{}]\n3üA"


def pattern(random: Random, depth: int = 3) -> str:
    """Any pattern, which RE2 may refuse."""
    parts = []
    for _ in range(random.randint(1, 4)):
        if depth and random.random() < 0.3:
            opening = random.choice(["(", "(?:", "(?i:", "(?P<n>", "(?s-i:"])
            parts.append(f"{opening}{pattern(random, depth - 1)}){random.choice(REPEATS)}")
        else:
            parts.append(random.choice(ATOMS) + random.choice(REPEATS))
    return "".join(parts) + (f"|{pattern(random, depth - 1)}" if depth and random.random() < 0.2 else "")


def meets(need: Need, text: bytes) -> bool:
    """Whether a text has what is needed."""
    if len(text) < need.size or not all(any(byte in wanted for byte in text) for wanted in need.classes):
        return False
    return any(
        all(byte in wanted for byte, wanted in zip(text[start:], need.row, strict=False))
        for start in range(len(text) - len(need.row) + 1)
    )


@checked
@given(st.integers(0, 2**32))
def test_what_matches_has_what_is_needed(seed: int) -> None:
    """Whatever the pattern and the text."""
    random = Random(seed)
    options = re2.Options()
    options.log_errors = False
    for _ in range(30):
        made = pattern(random)
        try:
            compiled = re2.compile(made.encode(), options)
        except re2.error:
            continue
        need = needs(made)
        for _ in range(20):
            text = "".join(random.choices(LETTERS, k=random.randint(0, 12))).encode()
            if compiled.search(text):
                assert meets(need, text), (made, text, need)


@pytest.mark.parametrize(
    ("made", "text"),
    [
        ("4[0-9]{12}(?:[0-9]{3})?", "order 411111111111"),
        ("4[0-9]{12}(?:[0-9]{3})?", "0af7651916cd43dd8448eb211c80319c"),
        (r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}", "https://example.com/a.b"),
        ("(?i)bearer [a-z0-9._-]+", "a bear er"),
        ("(?i)bearer [a-z0-9._-]+", "the bearer"),
        ("password|passwd", "the word pass"),
        (r"\b\d{3}-\d{2}-\d{4}\b", "2026-11-25T10:00:00Z"),
        ("(?P<key>AKIA|ASIA)[A-Z0-9]{16}", "ASIAN MARKETS"),
    ],
)
def test_what_is_needed_tells_most_texts_apart(made: str, text: str) -> None:
    """They need not be shown to RE2."""
    assert not meets(needs(made), text.encode())


@pytest.mark.parametrize(
    "made", ["", ".*", "a*", "a?", "(a|)", r"\pL", "(?i)\u017f", "[[:alpha:]]", "((((((((((a*))))))))))", "(?<!a"]
)
def test_some_patterns_need_nothing(made: str) -> None:
    """As they match nothing at all, or as they are not understood."""
    assert needs(made).size == 0


def test_the_meaning_of_braces_is_that_of_re2() -> None:
    """What is no repetition is a text."""
    assert needs("a{2,3}").size == 2
    assert needs("a{,3}").size == len("a{,3}")
    assert needs("a{").size == 2
