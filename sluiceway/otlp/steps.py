"""What the edit kernel is told: the plain records that `program` writes and `_edit` reads, once for each plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

__all__ = ["Ask", "Condition", "Fact", "Mode", "Operation", "Selected", "Step", "Test"]

Ask: TypeAlias = "Callable[[bytes], bytes | None]"
"""Answers for a value's bytes. As a condition any bytes mean yes and None means no."""


class Operation(IntEnum):
    """What a step does. DECIDE works out a selection at its place in the order."""

    DECIDE = 0
    PUT = 1
    REMOVE = 2
    REWRITE = 3
    EXTRACT = 4


class Mode(IntEnum):
    """How a test compares."""

    ANYTHING = 0
    ONE_OF = 1
    EQUAL = 2
    ASKED = 3


class Fact(IntEnum):
    """What a condition looks at, in the order in which facts become known."""

    SERVICE = 0
    RESOURCE_ATTRIBUTE = 1
    LIBRARY = 2
    NAME = 3
    KIND = 4
    BODY = 5
    SEVERITY_TEXT = 6
    SEVERITY = 7
    METRIC = 8
    ITEM_ATTRIBUTE = 9


@dataclass(frozen=True, slots=True)
class Test:
    """A test of a text or of an attribute's value. `ask` also judges what cannot be compared as bytes."""

    mode: Mode
    texts: tuple[bytes, ...] = ()
    value: bytes = b""
    ask: Ask | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that must hold. A library has two tests for each alternative: its name's and its version's."""

    fact: Fact
    tests: tuple[Test, ...] = ()
    key: bytes = b""
    absent: bytes | None = None
    kinds: int = 0
    least: int = -1
    undefined: bool = False


@dataclass(frozen=True, slots=True)
class Selected:
    """The conditions of a selection, all of which must hold, ordered by fact; None where there is no such side."""

    included: tuple[Condition, ...] | None
    excluded: tuple[Condition, ...] | None


@dataclass(frozen=True, slots=True)
class Step:
    """One action, or the decision about a selection. `slot` and `selection` are places in lists; -1 means none.

    With `algorithm` (1: SHA-1, 2: SHA-256) the kernel takes digests itself; it asks `values` about arrays and maps.
    """

    operation: Operation
    level: int = 0
    key: bytes | None = None
    insert: bool = True
    update: bool = True
    value: bytes | None = None
    source: bytes | None = None
    slot: int = -1
    selection: int = -1
    names: Ask | None = None
    values: Ask | None = None
    algorithm: int = 0
    groups: tuple[bytes, ...] = ()
