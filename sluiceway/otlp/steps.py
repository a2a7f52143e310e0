"""What the edit kernel is told: the plain records that `program` writes and `_edit` reads, once for each plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import NoReturn, TypeAlias

from sluiceway.otlp._scrub import Scrubber
from sluiceway.otlp.fields import Field

__all__ = [
    "Ask", "Asked", "Check", "Condition", "Expression", "Fact", "Jump", "Mode", "Operation", "Sampler", "SamplerMode",
    "Selected", "Source", "Step", "Test", "Verdict",
]  # fmt: skip

Ask: TypeAlias = "Callable[[bytes], bytes | None]"
"""Answers for a value's bytes. As a condition any bytes mean yes and None means no."""


class Operation(IntEnum):
    """What a step does.

    DECIDE works out a selection at its place in the order, CAPTURE takes down what an expression asks about. SCRUB has
    its place at several levels.
    """

    DECIDE = 0
    PUT = 1
    REMOVE = 2
    REWRITE = 3
    EXTRACT = 4
    CAPTURE = 5
    DROP = 6
    SAMPLE = 7
    SCRUB = 8


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


class Source(IntEnum):
    """Where a fact comes from; NESTED ones lie in another."""

    ATTRIBUTE = 0
    FIELD = 1
    NESTED = 2


class Check(IntEnum):
    """What a jump depends on."""

    EQUAL = 0
    UNEQUAL = 1
    LESS = 2
    LESS_OR_EQUAL = 3
    GREATER = 4
    GREATER_OR_EQUAL = 5
    AMONG = 6
    ANY_AMONG = 7
    FOUND = 8
    PREFIX = 9
    SUFFIX = 10
    WHOLE_TEXT = 11
    PATTERN = 12
    STARTS = 13
    ENDS = 14
    KIND = 15
    POINT = 16
    SAME_AS = 17


class Verdict(IntEnum):
    """Where a jump leads that leads to no other."""

    HOLDS = -2
    FAILS = -3
    REFUSES = -4


@dataclass(frozen=True, slots=True)
class Asked:
    """A fact that an expression asks about. `base` is the fact in which a nested one lies, by `key` or `index`."""

    level: int
    source: Source
    key: bytes = b""
    field: Field | None = None
    base: int = -1
    index: int = -1
    text: Callable[[bytes], bytes] | None = None


@dataclass(frozen=True, slots=True)
class Jump:
    """A check and where it leads: to other jumps by their place, or to a `Verdict`.

    `fact` is the place of a fact, for ANY_AMONG a level. `among` are values with where each leads, for ANY_AMONG pairs
    of a fact and where it leads.
    """

    check: Check
    fact: int = -1
    other: int = -1
    wanted: bytes = b""
    id: bytes | None = None
    text: bytes = b""
    kinds: int = 0
    texts: tuple[tuple[bytes, int], ...] = ()
    integers: tuple[tuple[bytes, int], ...] = ()
    targets: tuple[tuple[int, int], ...] = ()
    pattern: Ask | None = None
    ask: Callable[..., object] | None = None
    refusal: Callable[[], NoReturn] | None = None
    yes: int = Verdict.HOLDS
    no: int = Verdict.FAILS
    failed: int = Verdict.FAILS


@dataclass(frozen=True, slots=True)
class Expression:
    """Conditions as jumps; `start` is the first of them, or the verdict where there is nothing to check."""

    facts: tuple[Asked, ...]
    jumps: tuple[Jump, ...]
    start: int


class SamplerMode(IntEnum):
    """How a sampler decides."""

    NEVER_MODE = 0
    HASH_SEED = 1
    EQUALIZING = 2
    PROPORTIONAL = 3


@dataclass(frozen=True, slots=True)
class Sampler:
    """What a sampler decides by. `text` gives the text of an attribute that is none."""

    mode: SamplerMode
    threshold: int
    ratio: float
    precision: int
    seed: int
    fail_closed: bool
    from_trace_id: bool
    attribute: bytes | None
    priority: bytes | None
    text: Callable[[bytes], bytes]


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
    expression: int = -1
    signal: int = -1
    sampler: Sampler | None = None
    scrubber: Scrubber | None = None
