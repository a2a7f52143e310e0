"""Edit plans: what processors want done to attributes, compiled once and run by the kernel in one walk of the bytes.

A plan is a sequence of actions. They take effect in order, each on what the ones before it left; plans of neighbouring
processors are joined by `+`. A duplicate key counts as one attribute: `Put` keeps the first place and removes the rest,
`Remove` removes all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain
from types import MappingProxyType
from typing import NamedTuple, Self, TypeAlias

from sluiceway.otlp._scrub import LongWork
from sluiceway.otlp.actions import (
    Action,
    Convert,
    Copy,
    Drop,
    Extract,
    Hash,
    Level,
    Match,
    Put,
    Remove,
    Sample,
    Scrub,
    Selection,
    Slot,
    Value,
)
from sluiceway.otlp.anyvalue import decode_value, encode_value
from sluiceway.otlp.batch import Batch
from sluiceway.otlp.program import compile_plan
from sluiceway.otlp.walks import walks

__all__ = [
    "Action",
    "Convert",
    "Copy",
    "Drop",
    "Extract",
    "Hash",
    "Level",
    "LongWork",
    "Match",
    "Outcome",
    "Plan",
    "Put",
    "Remove",
    "Sample",
    "Scrub",
    "Selection",
    "Slot",
    "Tally",
    "Value",
    "decode_value",
    "encode_value",
]  # fmt: skip

_NOTHING: Mapping[Slot, Value | list[Value | None] | None] = MappingProxyType({})


Tally: TypeAlias = "tuple[int, ...]"
"""What an action counted that drops items: first how many, then how often a rule failed."""


class Outcome(NamedTuple):
    """A batch after a plan, and the tallies of the plan's actions that drop items, in their order."""

    batch: Batch
    tallies: tuple[Tally, ...] = ()


class Plan:
    """Compiled actions. Immutable; `left + right` does what running `left` and then `right` would.

    Raises `ValueError`, with a text that names the key, for actions that cannot be: a pattern that is not RE2, a value
    that OTLP cannot hold, an empty key, a condition on items for an action on resources.
    """

    def __init__(self, actions: Sequence[Action] = ()) -> None:
        self._compile((tuple(actions),))

    def _compile(self, parts: tuple[tuple[Action, ...], ...]) -> None:
        self._parts = parts
        self.actions = tuple(chain.from_iterable(parts))
        self._walks = [compile_plan(walk) for walk in walks(parts)]
        self.drops = sum(isinstance(action, Drop | Sample) for action in self.actions)
        """How many of the actions drop items."""

    def __add__(self, other: Plan) -> Self:
        joined = type(self).__new__(type(self))
        joined._compile(self._parts + other._parts)
        return joined

    @property
    def asks(self) -> bool:
        """Whether a run asks Python, and remembers the answers: then no two may be under way at the same time."""
        return any(program.asks for program, _ in self._walks)

    def run(self, batch: Batch, arguments: Mapping[Slot, Value | list[Value | None] | None] | None = None) -> Batch:
        """The batch with all actions applied; the same batch if nothing changed.

        Raises `ValueError` where `arguments` lacks one of the plan's slots, holds a value that OTLP cannot, or a list
        that has not one value for each resource entry, and `PermanentError` where a strict rule of a `Drop` fails.
        """
        return self.outcome(batch, arguments).batch

    def outcome(
        self,
        batch: Batch,
        arguments: Mapping[Slot, Value | list[Value | None] | None] | None = None,
        *,
        hurried: bool = False,
    ) -> Outcome:
        """As `run`, and what was dropped.

        Raises `LongWork` where it is `hurried` and there is more to do than some milliseconds allow.
        The rest of the run is then still to be done, once, by the error's `rest`.
        """
        outcome = Outcome(batch)
        return self._run_from(0, outcome, arguments or _NOTHING, hurried) if self.actions else outcome

    def _run_from(
        self, first: int, outcome: Outcome, arguments: Mapping[Slot, Value | list[Value | None] | None], hurried: bool
    ) -> Outcome:
        """What the walks from one on make of what those before it have left."""
        for number, (program, names) in enumerate(self._walks[first:], first):
            batch, tallies = outcome
            slots = [_encode_slot(slot, arguments) for slot in names]
            try:
                payload, counted = program.run(batch.signal.code, batch.payload, slots, hurried)
            except LongWork as work:
                work.rest = partial(self._run_from, number, outcome, arguments, False)
                raise
            if payload is not batch.payload:
                batch = batch.with_payload(payload, batch.items - sum([tally[0] for tally in counted]))
            outcome = Outcome(batch, (*tallies, *counted))
        return outcome


def _encode_slot(
    slot: Slot, arguments: Mapping[Slot, Value | list[Value | None] | None]
) -> bytes | list[bytes | None] | None:
    if slot not in arguments:
        raise ValueError("a slot of the plan has no argument")
    value = arguments[slot]
    if isinstance(value, list):
        return [None if entry is None else encode_value(entry) for entry in value]
    return None if value is None else encode_value(value)
