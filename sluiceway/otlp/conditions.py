"""Conditions on items, as plain frozen records: what `Drop` is told, and what OTTL and settings are compiled to.

A condition is true, false, or fails: a prefix of what is no text, an index into what is no list. A failure is not a
value. It ends the whole `Rule` that it stands in, as an error ends an OTTL condition.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from sluiceway.otlp.fields import FIELDS
from sluiceway.otlp.levels import Level

if TYPE_CHECKING:
    from sluiceway.otlp.actions import Value

__all__ = [
    "And", "Attribute", "Compare", "Condition", "Constant", "EndsWith", "Fact", "FieldOf", "HasKind", "Id", "Kind",
    "Matches", "Not", "Operator", "Or", "PointHas", "Rule", "StartsWith", "facts", "lowest",
]  # fmt: skip

Operator: TypeAlias = Literal["==", "!=", "<", "<=", ">", ">="]
Kind: TypeAlias = Literal["string", "bool", "int", "double", "array", "map", "bytes"]


@dataclass(frozen=True, slots=True)
class Id:
    """A trace or span id: equal to the same id, and to nothing else."""

    value: bytes


@dataclass(frozen=True, slots=True)
class Attribute:
    """The value of an attribute of a resource, scope, item or span event, or one nested in it; nothing where absent."""

    level: Level
    key: str
    path: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class FieldOf:
    """What stands in a field of `FIELDS`; of a log's body also a value nested in it."""

    name: str
    path: tuple[str | int, ...] = ()

    @property
    def level(self) -> Level:
        """Whose field it is."""
        return FIELDS[self.name].level


Fact: TypeAlias = Attribute | FieldOf


@dataclass(frozen=True, slots=True)
class Constant:
    """Always or never."""

    value: bool


@dataclass(frozen=True, slots=True)
class Compare:
    """Two values, compared by OTTL's rules: None is nothing, numbers are compared as numbers, kinds are never mixed."""

    left: Fact
    operator: Operator
    right: Fact | Value | Id | None


@dataclass(frozen=True, slots=True)
class Matches:
    """The text of a value of any kind holds the RE2 pattern; nothing never does."""

    fact: Fact
    pattern: str


@dataclass(frozen=True, slots=True)
class StartsWith:
    """A text begins so; fails for what is no text."""

    fact: Fact
    prefix: str


@dataclass(frozen=True, slots=True)
class EndsWith:
    """A text ends so; fails for what is no text."""

    fact: Fact
    suffix: str


@dataclass(frozen=True, slots=True)
class HasKind:
    """A value is of one of the kinds."""

    fact: Fact
    kinds: tuple[Kind, ...]


@dataclass(frozen=True, slots=True)
class PointHas:
    """The first data point of the metric that has the attribute has this text as its value; None: any value."""

    key: str
    text: str | None = None

    @property
    def level(self) -> Level:
        """It is about a metric, though it looks into its points."""
        return Level.METRIC


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    condition: Condition


@dataclass(frozen=True, slots=True)
class And:
    """All hold; looked at in order, until one does not."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """One holds; looked at in order, until one does."""

    conditions: tuple[Condition, ...]


Condition: TypeAlias = Constant | Compare | Matches | StartsWith | EndsWith | HasKind | PointHas | Not | And | Or


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition that stands alone: when it fails it does not hold, or with `strict` the whole batch is refused.

    `text` is how a person wrote it, for the error.
    """

    condition: Condition
    strict: bool = False
    text: str = ""


def facts(condition: Condition) -> Iterator[Fact | PointHas]:
    """All that a condition asks about."""
    match condition:
        case And(conditions) | Or(conditions):
            for each in conditions:
                yield from facts(each)
        case Not(inner):
            yield from facts(inner)
        case Compare(left, _, right):
            yield left
            if isinstance(right, Attribute | FieldOf):
                yield right
        case PointHas():
            yield condition
        case Matches(fact, _) | StartsWith(fact, _) | EndsWith(fact, _) | HasKind(fact, _):
            yield fact


def lowest(rules: Sequence[Rule]) -> Level:
    """The level at which all that the rules ask about is known."""
    return max((fact.level for rule in rules for fact in facts(rule.condition)), default=Level.RESOURCE)
