"""The page about operators says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from sluiceway.stanza.functions import FUNCTIONS
from sluiceway.stanza.layouts import DIRECTIVES, strptime
from sluiceway.stanza.operators import OPERATORS
from sluiceway.stanza.operators.operator import Operator
from sluiceway.stanza.operators.parser import Parser
from tests.stanza.programs import program

PAGE = (Path(__file__).parents[2] / "docs" / "operators.md").read_text()
ROWS = {match[1]: match[0] for match in re.finditer(r"^\| `(\w+)` \|.*$", PAGE, re.MULTILINE)}


def test_every_operator_is_on_the_page() -> None:
    """Each operator has a row."""
    assert set(OPERATORS) <= set(ROWS)


@pytest.mark.parametrize("kind", sorted(set(OPERATORS) - {"time_parser", "severity_parser"}))
def test_every_key_is_on_the_page(kind: str) -> None:
    """The row of an operator names each key that is its own."""
    model = OPERATORS[kind]
    common = Parser if issubclass(model, Parser) else Operator
    keys = {field.alias or name for name, field in model.model_fields.items() if name not in common.model_fields}
    assert {key for key in keys if f"`{key}`" not in ROWS[kind]} == set()


def test_every_directive_is_on_the_page() -> None:
    """The table of directives has those that there are, and no others."""
    table = PAGE[PAGE.index("| Directive |") : PAGE.index("Epochs are")]
    named = {letter for row in table.splitlines()[2:] if row for letter in re.findall(r"`%(.)`", row.split("|")[1])}
    assert set(DIRECTIVES) <= named
    for letter in named - set("nt%"):
        strptime(f"%{letter} %Y")


def test_every_function_is_on_the_page() -> None:
    """Each function of expressions is named."""
    assert {name for name in FUNCTIONS if f"`{name}`" not in PAGE} == set()


def test_the_example_loads() -> None:
    """The YAML on the page works."""
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    program(yaml.safe_dump(yaml.safe_load(text)["operators"]))
