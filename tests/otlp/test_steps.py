"""The numbers by which the Python side and the kernel know the same things."""

from __future__ import annotations

import re
from enum import IntEnum
from pathlib import Path

import pytest

from sluiceway.otlp import Signal, actions, fields, steps

KERNEL = Path(steps.__file__).parent


def declared(file: str) -> dict[str, int]:
    """The constants that a file of the kernel declares, one on each line of an enum."""
    lines = re.findall(r"^    ([A-Z_0-9]+) = (-?\w+)", (KERNEL / file).read_text(), re.MULTILINE)
    return {name: int(number, 0) for name, number in lines}


@pytest.mark.parametrize(
    ("enum", "file", "suffix"),
    [
        (steps.Operation, "_steps.pxd", ""),
        (actions.Level, "_steps.pxd", "_LEVEL"),
        (steps.Mode, "_match.pxd", ""),
        (steps.Fact, "_match.pxd", ""),
        (steps.Source, "_facts.pxd", ""),
        (steps.Check, "_expression.pxd", ""),
        (steps.Verdict, "_expression.pxd", ""),
        (steps.SamplerMode, "_sample.pxd", ""),
        (fields.Form, "_facts.pxd", ""),
        (fields.Message, "_fields.pxd", ""),
    ],
)
def test_an_enum_has_the_numbers_of_the_kernel(enum: type[IntEnum], file: str, suffix: str) -> None:
    """The kernel is told the number and reads its own name into it."""
    numbers = declared(file)
    assert {member.name: numbers.get(member.name + suffix) for member in enum} == dict(enum.__members__)


def test_signals_have_the_codes_of_the_kernel() -> None:
    """They are given to each of its functions."""
    assert {signal.name: signal.code for signal in Signal}.items() <= declared("_containers.pxd").items()
