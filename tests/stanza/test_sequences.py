"""Patterns that are matched without RE2 give what RE2 gives."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sluiceway.otlp.selecting import compile_pattern
from sluiceway.stanza.operators.regex import _by_re2
from sluiceway.stanza.sequences import sequence
from tests.growth import grows_evenly

ATOMS = st.sampled_from([
    "a", "b", "-", " ", "]", ",", ".", r"\d", r"\D", r"\w", r"\W", r"\s", r"\S", r"\.", r"\[", r"\n", r"\t", "[ab]",
    "[^a]", "[^ ]", "[a-c]", "[]a]", "[^]]", r"[\d.]", r"[^\s:]", "[a-]", "[-a]", r"[\]]", ":", r"\"",
])  # fmt: skip
TIMES = st.sampled_from(["", "", "", "*", "+", "+", "?", "{2}", "{1,3}", "{2,}", "{0,1}"])
PARTS = st.tuples(ATOMS, TIMES).map("".join)
TEXTS = st.text(st.sampled_from('ab- ].,0c[\n\t:"é€😀_'), max_size=12)


@st.composite
def patterns(draw: st.DrawFn) -> str:
    """Patterns of parts and groups, of which many can be matched in one walk."""
    pieces, number, depth = ["^"], 0, 0
    for part in draw(st.lists(PARTS, min_size=1, max_size=6)):
        if draw(st.booleans()):
            kind = draw(st.sampled_from(["(?P<g{}>", "(?P<g{}>", "(", "(?:"]))
            pieces.append(kind.format(number))
            number, depth = number + 1, depth + 1
        pieces.append(part)
        if depth and draw(st.booleans()):
            pieces.append(")")
            depth -= 1
    return "".join([*pieces, ")" * depth, draw(st.sampled_from(["", "$"]))])


def outcome(parse, text: str):
    """The groups, or that there are none."""
    try:
        return parse(text)
    except ValueError as error:
        return str(error)


@given(patterns(), st.lists(TEXTS, max_size=8))
def test_a_sequence_finds_what_re2_finds(pattern: str, texts: list[str]) -> None:
    """Groups, their order, and that a text does not match; also of characters beyond ASCII and over several lines."""
    made = sequence(pattern)
    assume(made is not None)
    by_re2 = _by_re2(pattern)
    for text in texts:
        found, wanted = outcome(made, text), outcome(by_re2, text)
        assert found == wanted
        assert list(found) == list(wanted)


@pytest.mark.parametrize("pattern", [
    r"^(?P<time>\S+) (?P<level>[A-Z]+) \[(?P<thread>[^\]]+)\] (?P<logger>[^:]+): (?P<message>.*)$",
    r"^(?P<time>[^ Z]+) (?P<stream>stdout|stderr) (?P<log>.*)$".replace("stdout|stderr", r"\w+"),
    r'^(?P<host>\S+) \S+ (?P<user>\S+) \[(?P<time>[^\]]*)\] "(?P<method>\S+) (?P<path>\S+)',
    r"^(?P<date>\d{4}-\d{2}-\d{2}),(?P<rest>.*)",
])  # fmt: skip
def test_patterns_of_log_lines_are_sequences(pattern: str) -> None:
    """What people write for their logs is matched the fast way."""
    assert sequence(pattern) is not None


@pytest.mark.parametrize("pattern", [
    r"(?P<a>\S+)", "^(?P<a>a|b)", "^(?P<a>.*) (?P<b>b)", "^(?P<a>a+?)b", "^(?P<a>a)*", "^(?i)(?P<a>a)", r"^(?P<a>\pL+)",
    r"^(?P<a>\bx)", "^(?P<a>a$)b", "^(?P<a>[[:alpha:]]+)", "^(?P<a>é)", r"^(?P<a>\x41)", "^(?P<a>a?)(?P<b>a)",
    "^^(?P<a>a)",
])  # fmt: skip
def test_other_patterns_are_left_to_re2(pattern: str) -> None:
    """Those that may begin anywhere, that have choices, or of which RE2 alone knows what they mean."""
    compile_pattern(pattern)
    assert sequence(pattern) is None


def test_the_time_is_linear() -> None:
    """A line of any length is looked at once."""
    made = sequence(r"^(?P<a>[^ ]+) (?P<b>[^ ]*)$")
    assert made is not None
    few, many = "a" * 300_000 + " b c", "a" * 1_200_000 + " b c"
    assert grows_evenly(lambda: outcome(made, few), lambda: outcome(made, many))
