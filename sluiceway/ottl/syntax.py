"""The tree that the parser makes of a text. Every node knows the column where it begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

__all__ = [
    "And", "Boolean", "Call", "Comparison", "Enum", "Expression", "ListOf", "Literal", "MapOf", "Math", "Not", "Or",
    "Path", "Segment", "Truth",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Literal:
    """A text, number, boolean, bytes or `nil` (None) as it stands."""

    value: str | int | float | bool | bytes | None
    column: int


@dataclass(frozen=True, slots=True)
class Enum:
    """A name in capitals: `SPAN_KIND_SERVER`."""

    name: str
    column: int


@dataclass(frozen=True, slots=True)
class Segment:
    """One name of a path, and the keys behind it."""

    name: str
    keys: tuple[Expression, ...]
    column: int


@dataclass(frozen=True, slots=True)
class Path:
    """Names with dots between: `resource.attributes["service.name"]`."""

    segments: tuple[Segment, ...]
    column: int

    def __str__(self) -> str:
        return ".".join(segment.name for segment in self.segments)


@dataclass(frozen=True, slots=True)
class Call:
    """A function with its arguments, by place and by name, and the keys behind it."""

    name: str
    arguments: tuple[Expression, ...]
    named: tuple[tuple[str, Expression], ...]
    keys: tuple[Expression, ...]
    column: int


@dataclass(frozen=True, slots=True)
class ListOf:
    """Values in brackets."""

    items: tuple[Expression, ...]
    column: int


@dataclass(frozen=True, slots=True)
class MapOf:
    """Texts and values in braces."""

    items: tuple[tuple[str, Expression], ...]
    column: int


@dataclass(frozen=True, slots=True)
class Math:
    """Two values and `+`, `-`, `*` or `/`."""

    left: Expression
    operator: str
    right: Expression
    column: int


Expression: TypeAlias = Literal | Enum | Path | Call | ListOf | MapOf | Math


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two values and a comparison."""

    left: Expression
    operator: str
    right: Expression
    column: int


@dataclass(frozen=True, slots=True)
class Truth:
    """`true`, `false`, or a function that says one of them."""

    value: bool | Call
    column: int


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite of what follows."""

    condition: Boolean
    column: int


@dataclass(frozen=True, slots=True)
class And:
    """All of them."""

    conditions: tuple[Boolean, ...]
    column: int


@dataclass(frozen=True, slots=True)
class Or:
    """One of them."""

    conditions: tuple[Boolean, ...]
    column: int


Boolean: TypeAlias = Comparison | Truth | Not | And | Or
