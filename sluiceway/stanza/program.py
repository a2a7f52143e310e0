"""Operators at work: a list of entries goes through one operator after the other, whole."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from sluiceway.component import Context
from sluiceway.stanza.entry import Entry
from sluiceway.stanza.operators.container import Container
from sluiceway.stanza.operators.flow import Filter, Recombine, Router
from sluiceway.stanza.operators.operator import Operator
from sluiceway.stanza.stages import Containing, Failures, Filtering, Keeping, Passing, Recombining, Routing, Stage
from sluiceway.stanza.wiring import wire

__all__ = ["Program", "compile_operators"]


def compile_operators(operators: Sequence[Operator], context: Context) -> Program:
    """Make operators ready to work. Raises `ValueError` where they make no sense, which `Operators` has looked for."""
    wiring = wire(operators)
    if wiring.faults:
        raise ValueError(wiring.faults[0][0])
    stages = [_stage(operator, wiring.places, place + 1, context) for place, operator in enumerate(operators)]
    return Program(stages, wiring.order)


def _stage(operator: Operator, places: dict[str, int], following: int, context: Context) -> Stage:
    failures = Failures(operator.name, operator.on_error, context)
    outputs = tuple(places[name] for name in operator.outputs) or (following,)
    match operator:
        case Filter():
            return Filtering(operator, outputs, failures, context)
        case Router():
            return Routing(operator, outputs if operator.outputs else (), places, failures, context)
        case Recombine():
            return Recombining(operator, outputs, failures)
        case Container():
            return Containing(operator, outputs, failures)
        case _:
            return Passing(operator, outputs, failures)


class Program:
    """Compiled operators, and what those with a memory keep."""

    def __init__(self, stages: Sequence[Stage], order: Sequence[int]) -> None:
        self._stages = tuple((place, stages[place]) for place in order)
        self._keeping: dict[int, Keeping] = {
            place: stage for place, stage in enumerate(stages) if isinstance(stage, Recombining | Containing)
        }
        self._end = len(stages)
        fed: dict[int, int] = {}
        for stage in stages:
            for target in {target for targets in stage.targets for target in targets}:
                fed[target] = fed.get(target, 0) + 1
        self._joins = {place for place, count in fed.items() if count > 1}

    @property
    def pending(self) -> int:
        """How many entries are kept inside, waiting for others."""
        return sum(stage.pending for stage in self._keeping.values())

    @property
    def marks(self) -> list[tuple[str, int, int]]:
        """The marks of entries kept inside, of several that are joined that of the first."""
        return [mark for stage in self._keeping.values() for mark in stage.marks]

    def run(self, entries: list[Entry], now_ns: int) -> list[Entry]:
        """Take entries through the operators, and give those that come out. They are changed in place.

        `now_ns` is the time in nanoseconds since the epoch. Of entries that took different ways, those that came
        earlier leave earlier.
        """
        return self._walk(entries, now_ns, None)

    def flush(self, now_ns: int, force: bool = False) -> list[Entry]:
        """Give what has waited for others long enough, or, by `force`, all that waits."""
        if not self.pending:
            return []
        return self._walk([], now_ns, force)

    def _walk(self, entries: list[Entry], now: int, flush: bool | None) -> list[Entry]:
        inboxes: list[list[Entry]] = [[] for _ in range(self._end + 1)]
        inboxes[0] = entries
        ranks = {id(entry): rank for rank, entry in enumerate(entries)} if self._joins else {}
        for place, stage in self._stages:
            arrived = inboxes[place]
            if place in self._joins:
                arrived.sort(key=lambda entry: ranks.get(id(entry), -1))
            if arrived:
                sent = stage.run(arrived, now)
            elif flush is None or place not in self._keeping:
                continue
            else:
                sent = []
            if flush is not None and place in self._keeping:
                sent = [*sent, (self._keeping[place].flush(now, flush), stage.targets[0])]
            for found, targets in sent:
                for at, target in enumerate(targets):
                    inboxes[target] += found if not at else _copies(found, ranks)
        last = inboxes[self._end]
        if self._end in self._joins:
            last.sort(key=lambda entry: ranks.get(id(entry), -1))
        return last


def _copies(entries: list[Entry], ranks: dict[int, int]) -> list[Entry]:
    copies = copy.deepcopy(entries)
    for old, new in zip(entries, copies, strict=True):
        ranks[id(new)] = ranks.get(id(old), -1)
    return copies
