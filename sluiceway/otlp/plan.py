"""Edit plans: what processors want done to attributes, compiled once and run by the kernel in one walk of the bytes.

A plan is a sequence of actions. They take effect in order, each on what the ones before it left; plans of neighbouring
processors are joined by `+`. A duplicate key counts as one attribute: `Put` keeps the first place and removes the rest,
`Remove` removes all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import Self

from sluiceway.otlp.actions import (
    Action,
    Convert,
    Copy,
    Extract,
    Hash,
    Level,
    Match,
    Put,
    Remove,
    Selection,
    Slot,
    Value,
)
from sluiceway.otlp.anyvalue import decode_value, encode_value
from sluiceway.otlp.batch import Batch
from sluiceway.otlp.program import compile_plan

__all__ = [
    "Action", "Convert", "Copy", "Extract", "Hash", "Level", "Match", "Plan", "Put", "Remove", "Selection", "Slot",
    "Value", "decode_value", "encode_value",
]  # fmt: skip

_NOTHING: Mapping[Slot, Value | list[Value | None] | None] = MappingProxyType({})


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
        self._program, self._slots = compile_plan(parts)

    def __add__(self, other: Plan) -> Self:
        joined = type(self).__new__(type(self))
        joined._compile(self._parts + other._parts)
        return joined

    @property
    def runs_in_threads(self) -> bool:
        """Whether a run neither holds the GIL nor disturbs another: so it is unless it asks something of Python."""
        return not self._program.asks

    def run(self, batch: Batch, arguments: Mapping[Slot, Value | list[Value | None] | None] | None = None) -> Batch:
        """The batch with all actions applied; the same batch if nothing changed.

        Raises `ValueError` where `arguments` lacks one of the plan's slots, holds a value that OTLP cannot, or a list
        that has not one value for each resource entry.
        """
        if not self.actions:
            return batch
        slots = [_encode_slot(slot, arguments or _NOTHING) for slot in self._slots]
        payload = self._program.run(batch.signal.code, batch.payload, slots)
        return batch if payload is batch.payload else batch.with_payload(payload)


def _encode_slot(
    slot: Slot, arguments: Mapping[Slot, Value | list[Value | None] | None]
) -> bytes | list[bytes | None] | None:
    if slot not in arguments:
        raise ValueError("a slot of the plan has no argument")
    value = arguments[slot]
    if isinstance(value, list):
        return [None if entry is None else encode_value(entry) for entry in value]
    return None if value is None else encode_value(value)
