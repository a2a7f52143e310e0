"""Expressions: what they give, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from sluiceway.stanza import Entry
from sluiceway.stanza.expressions import compile_expression


def value(text: str) -> Any:
    """What an expression gives for one entry."""
    entry = Entry({"s": "xyz", "n": 5, "l": [1, "a"], "t": True}, 1, {"k.ey": "v"}, {"host": "h"})
    entry.severity, entry.severity_text = 9, "INFO"
    return compile_expression(text)(entry)


@pytest.mark.parametrize(("text", "result"), [
    ('body.s matches "^x" and attributes["k.ey"] == "v"', True), ("not (body.n > 3)", False), ("body.n + 1 * 2", 7),
    ('body.none ?? "d"', "d"), ("body.n in [1, 5]", True), ('body.s not contains "q"', True),
    ('"s" in body && !("q" in body)', True), ('len(body.s) == 3 ? "y" : "n"', "y"), ("not body.n == 4", True),
    ("-body.n - -1", -4), ("body.l[-1]", "a"), ("2 ** 3 ** 0", 2.0), ("body.none.deeper == nil", True),
    ('resource.host startsWith "h" or body.none', True), ('upper(trim(" a ")) + lower("B")', "Ab"),
    ('split("a,b", ",")', ["a", "b"]), ('int("7") % 4', 3), ("body.t == 1", False), ("7 / 2", 3.5),
    ('"\\u0041\\n" == `A\n`', True), ('severity_number >= 9 and severity_text endsWith "O"', True),
])  # fmt: skip
def test_values(text: str, result: Any) -> None:
    """Each piece of the language gives what expr-lang gives."""
    assert value(text) == result


@pytest.mark.parametrize(("text", "message"), [
    ("f(1)", "unknown function f at column 1"), ("body.", "expected a name"), ("((", "expected a value"),
    ("(" * 100, "nested deeper"), ("!" * 5000, "nested deeper"), ("x", "unknown name x at column 1"),
    ("body matches body", "must be a text that is written out"), ('body matches "("', "invalid pattern"),
    ("1 +" * 100 + "1", "links more than"), ("len()", "takes 1 arguments, not 0"), ("body # 1", "unexpected"),
    ('"a\\d"', "unknown escape"), ("__import__", "unknown name"), ("body" + ".a" * 100, "reaches deeper"),
])  # fmt: skip
def test_refused(text: str, message: str) -> None:
    """What is not of the language, or too deep, is refused when it is compiled."""
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        compile_expression(text)


@pytest.mark.parametrize(
    "text", ["body.s > 1", "body.n and true", "1 / 0", "body.s.x", "len(1)", "9 ** 9999", "-body.s"]
)
def test_types_that_do_not_fit(text: str) -> None:
    """Types that do not fit are an error of the entry."""
    with pytest.raises(ValueError):
        value(text)


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`env` reads the environment."""
    monkeypatch.setenv("SLUICE_TEST", "x")
    assert value('env("SLUICE_TEST")') == "x"
