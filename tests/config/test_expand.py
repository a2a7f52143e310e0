"""References are expanded as in the Collector."""

import logging
from collections.abc import Mapping
from pathlib import Path

import pytest

from sluiceway.config.expand import Expansion
from sluiceway.config.model import Mark
from sluiceway.config.parse import parse
from sluiceway.config.tree import Node, plain
from sluiceway.errors import Problem

VARIABLES = {
    "PORT": "8080", "ZERO": "0123", "YES": "true", "LIST": "[a, 1]", "MAP": "{a: '${PORT}'}", "NULL": "null",
    "EMPTY": "", "QUOTED": '"q"', "COLON": "a: b: c", "TEXT": "some text", "NAME": "PORT", "AGAIN": "x${PORT}",
    "DOLLARS": "a$$b$1",
}  # fmt: skip


def expand(text: str, environ: Mapping[str, str] = VARIABLES) -> tuple[Node, list[Problem]]:
    """Expand a text that stands at line 7 of a file."""
    problems: list[Problem] = []
    node = Expansion(environ, problems).expand(Node(text, Mark("f", 7, 3), text), ("key",))
    return node, problems


@pytest.mark.parametrize(
    ("reference", "value", "text"),
    [
        ("${env:PORT}", 8080, "8080"),
        ("${PORT}", 8080, "8080"),
        ("${ZERO}", 83, "0123"),
        ("${YES}", True, "true"),
        ("${LIST}", ["a", 1], "[a, 1]"),
        ("${MAP}", {"a": 8080}, "{a: '${PORT}'}"),
        ("${NULL}", "null", "null"),
        ("${EMPTY}", "", ""),
        ("${UNSET}", "", ""),
        ("${QUOTED}", '"q"', '"q"'),
        ("${COLON}", "a: b: c", "a: b: c"),
        ("${TEXT}", "some text", "some text"),
        ("${env:${NAME}}", 8080, "8080"),
        ("${AGAIN}", "x8080", "x8080"),
        ("${DOLLARS}", "a$b$1", "a$b$1"),
        ("host:${env:PORT}", "host:8080", "host:8080"),
        ("${PORT}${PORT}/${YES}", "80808080/true", "80808080/true"),
        ("x${MAP}y", "x{a: '8080'}y", "x{a: '8080'}y"),
        ("x${UNSET}y", "xy", "xy"),
        ("${env:UNSET:-5}", 5, "5"),
        ("${UNSET:-a:b}", "a:b", "a:b"),
        ("${env:UNSET:-}", "", ""),
        ("${env:EMPTY:-5}", "", ""),
        ("${env:UNSET:-${PORT}}", 8080, "8080"),
        ("${yaml:[1]}", [1], "[1]"),
        ("$${PORT}", "${PORT}", "${PORT}"),
        ("$$${PORT}", "$8080", "$8080"),
        ("$$$${PORT}", "$${PORT}", "$${PORT}"),
        ("$1 and $$1", "$1 and $1", "$1 and $1"),
        ("a}b", "a}b", "a}b"),
        ("${PORT", "${PORT", "${PORT"),
    ],
)
def test_values(reference: str, value: object, text: str) -> None:
    """A reference alone takes the type of its value and keeps its text, one inside a text is spliced in."""
    node, problems = expand(reference)
    assert problems == []
    assert (plain(node), node.text) == (value, text)
    assert node.mark == Mark("f", 7, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${1X}", 'environment variable "1X" has invalid name: must match regex ^[a-zA-Z_][a-zA-Z0-9_]*$'),
        ("${}", 'environment variable "" has invalid name: must match regex ^[a-zA-Z_][a-zA-Z0-9_]*$'),
        ("${env:$X}", "the uri \"env:$X\" contains unsupported characters ('$')"),
        ("${foo:bar}", 'scheme "foo" is not supported for uri "foo:bar" (valid values: [env file http https yaml])'),
        ("${https://}", "https:// is not a valid URL"),
        ("a${file:missing}", "unable to read the file missing: No such file or directory"),
    ],
)
def test_mistakes(text: str, message: str) -> None:
    """A wrong reference is reported where it stands, and left as it is."""
    node, problems = expand(text)
    assert problems == [Problem(message, "key", "f", 7, 3)]
    assert node.value == text


@pytest.mark.parametrize(
    "variables",
    [
        {"A": "${A}"},
        {"A": "${B}", "B": "${A}"},
        {"A": "x${A}"},
        {"A": "${A}${A}"},
        {"A": "{x: '${A}'}"},
        {"A": "['${A}', '${A}']"},
        {"A": "['${B}', '${B}', '${B}', '${B}', '${B}', '${B}', '${B}']", "B": "x" * 3_000_000},
    ],
)
def test_references_that_hold_themselves(variables: dict[str, str]) -> None:
    """Expansion ends, however a variable refers to itself and however much comes of it."""
    _, problems = expand("a${A}${A}" if len(variables["A"]) < 9 else "${A}", variables)
    assert {problem.message for problem in problems} == {"too many recursive expansions"}
    assert len(problems) < 200


def test_files(tmp_path: Path) -> None:
    """A file is inserted as what it holds: text without the last line's end, or YAML with marks of its own."""
    (tmp_path / "secret").write_text("hunter2\n")
    (tmp_path / "map").write_text("a: 1\nb: ${PORT}\n")
    assert expand(f"${{file:{tmp_path}/secret}}")[0].value == "hunter2"
    node, _ = expand(f"${{file:{tmp_path}/map}}")
    assert plain(node) == {"a": 1, "b": 8080}
    assert node.value["b"].mark == Mark(f"{tmp_path}/map", 2, 4)


def test_unset_and_empty_variables_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """An unset variable is worth a warning, an empty one a note, and a default neither."""
    with caplog.at_level(logging.INFO):
        expand("${UNSET} ${EMPTY} ${UNSET:-x}")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "f:7:3: key: Configuration references unset environment variable: UNSET"),
        ("INFO", "f:7:3: key: Configuration references empty environment variable: EMPTY"),
    ]


def test_only_values_are_expanded() -> None:
    """Keys are left alone, and quotes make no difference to values."""
    problems: list[Problem] = []
    node = Expansion(VARIABLES, problems).expand(parse("${PORT}: '${PORT}'\na: [\"${YES}\", 5]"))
    assert plain(node) == {"${PORT}": 8080, "a": [True, 5]}
