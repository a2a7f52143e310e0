"""Operators that decide where entries go: `filter`, `router`, `recombine`, `noop`, `stdout`."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any, Literal

from pydantic import Field as PydanticField
from pydantic import model_validator

from sluiceway.config.settings import Settings, mistake
from sluiceway.config.types import Duration, Size
from sluiceway.escape import escape
from sluiceway.stanza.entry import Entry
from sluiceway.stanza.expressions import Expression
from sluiceway.stanza.fields import FieldName
from sluiceway.stanza.operators.operator import Operator, Outputs, Step, Template

__all__ = ["Filter", "Noop", "Recombine", "Route", "Router", "Stdout"]


class Filter(Operator):
    """Drops entries for which an expression is true."""

    type: Literal["filter"]
    """Which operator it is."""
    expr: Expression
    """Entries for which it is true are dropped."""
    drop_ratio: Annotated[float, PydanticField(ge=0, le=1)] = 1.0
    """How many of these are dropped, from 0 to 1; which ones is left to chance."""


class Route(Settings):
    """Where entries go for which an expression is true."""

    expr: Expression
    """Entries for which it is true take this route; the first that fits counts."""
    output: Outputs
    """The operators that get them."""
    attributes: Annotated[dict[str, Template], PydanticField(default_factory=dict)]
    """Attributes that they are given; a value may hold `EXPR(...)`."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """The operators that get them."""
        return (self.output,) if isinstance(self.output, str) else self.output


class Router(Operator):
    """Sends each entry along the first route that fits; without one, and without `default`, it is dropped."""

    type: Literal["router"]
    """Which operator it is."""
    routes: tuple[Route, ...]
    """The routes, in the order in which they are tried."""
    default: Outputs | None = None
    """The operators that get what fits no route."""

    @model_validator(mode="after")
    def _need_routes(self) -> Router:
        if not self.routes:
            raise mistake("missing required field 'routes': at least one is needed")
        if self.if_ is not None:
            raise mistake("a router has no `if`: its routes have expressions of their own", "if")
        if self.on_error != "send":
            raise mistake("a router has no `on_error`: where an expression fails the next route is tried", "on_error")
        return self

    @property
    def defaults(self) -> tuple[str, ...]:
        """The operators that get what fits no route."""
        return () if self.default is None else (self.default,) if isinstance(self.default, str) else self.default


class Recombine(Operator):
    """Joins entries that are parts of one."""

    type: Literal["recombine"]
    """Which operator it is."""
    combine_field: FieldName
    """The field whose texts are joined."""
    is_first_entry: Expression | None = None
    """True for the entry that begins a new one."""
    is_last_entry: Expression | None = None
    """True for the entry that ends one. Exactly one of the two is needed."""
    combine_with: str = "\n"
    """What is put between the texts."""
    source_identifier: FieldName = 'attributes["log.file.path"]'
    """The field that tells sources apart, whose entries are joined among themselves."""
    overwrite_with: Literal["first", "last", "oldest", "newest"] = "first"
    """Which of the joined entries gives the rest; `oldest` and `newest` are old names of them."""
    max_batch_size: Annotated[int, PydanticField(ge=0)] = 1000
    """How many entries become one at most; 0 for no limit."""
    max_unmatched_batch_size: Annotated[int, PydanticField(ge=0)] = 100
    """How many entries become one at most before any of them was a first one; 0 for no limit."""
    max_log_size: Size = 0
    """The most bytes of a joined text; 0 for 16 MiB, our own bound."""
    max_sources: Annotated[int, PydanticField(ge=1)] = 1000
    """How many sources are kept at once; beyond, the oldest is sent on as it is."""
    force_flush_period: Duration = 5
    """How long an entry waits for the rest of it."""

    @model_validator(mode="after")
    def _need_one(self) -> Recombine:
        if self.is_first_entry is not None and self.is_last_entry is not None:
            raise mistake("only one of is_first_entry and is_last_entry can be set", "is_last_entry")
        if self.is_first_entry is None and self.is_last_entry is None:
            raise mistake("one of is_first_entry and is_last_entry must be set")
        return self


class Noop(Operator):
    """Does nothing: a place to send entries to."""

    type: Literal["noop"]
    """Which operator it is."""

    def step(self) -> Step:
        """Do nothing."""
        return lambda entry: None  # noqa: ARG005 - as every step


class Stdout(Operator):
    """Writes each entry to standard output as a line of JSON, control characters escaped, and passes it on."""

    type: Literal["stdout"]
    """Which operator it is."""

    def step(self) -> Step:
        """Write."""
        return _show


def _show(entry: Entry) -> None:
    shown: dict[str, Any] = {
        "timestamp": entry.time, "observed_timestamp": entry.observed, "body": entry.body, "severity": entry.severity,
        "severity_text": entry.severity_text, "attributes": entry.attributes, "resource": entry.resource,
    }  # fmt: skip
    sys.stdout.write(escape(json.dumps(shown, ensure_ascii=False, default=repr)) + "\n")
