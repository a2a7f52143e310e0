"""Which operator's entries go where, and in which order the operators work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sluiceway.config.nearest import nearest
from sluiceway.stanza.operators.flow import Router
from sluiceway.stanza.operators.operator import Operator

__all__ = ["Wiring", "numbered", "wire"]


class Wiring(NamedTuple):
    """The graph of a list of operators, each known by its place in the list; the place behind the last is the end.

    `order` has each operator before those that it sends to. `faults` are what is wrong, each with the path to it.
    """

    places: dict[str, int]
    order: tuple[int, ...]
    faults: tuple[tuple[str, tuple[str | int, ...]], ...]


def numbered(operators: Sequence[Operator]) -> tuple[Operator, ...]:
    """Give ids to those that have none: the first of a type has the type's name, the next a number behind it.

    They are `move`, `move1`, `move2` ..., as in the Collector; a number that is another's id is left out.
    """
    taken = {operator.name for operator in operators if operator.name != operator.type}
    next_number: Counter[str] = Counter()
    found = []
    for operator in operators:
        name = operator.name
        if name == operator.type:
            while (number := next_number[name]) and f"{name}{number}" in taken:
                next_number[name] += 1
            next_number[name] += 1
            found.append(operator.model_copy(update={"id": f"{name}{number}"}) if number else operator)
        else:
            found.append(operator)
    return tuple(found)


def wire(operators: Sequence[Operator]) -> Wiring:
    """Find every operator's place, and an order; nothing is raised."""
    places: dict[str, int] = {}
    faults: list[tuple[str, tuple[str | int, ...]]] = []
    for place, operator in enumerate(operators):
        if operator.name in places:
            faults.append((f'operator with id "{operator.name}" already exists', (place,)))
        places.setdefault(operator.name, place)
    edges: list[set[int]] = []
    for place, operator in enumerate(operators):
        targets = set() if operator.outputs or isinstance(operator, Router) else {place + 1}
        for name, path in _named(operator):
            target = places.get(name)
            if target is None:
                text = f'operator "{operator.name}" sends to "{name}", which is not there{nearest(name, places)}'
                faults.append((text, (place, *path)))
            elif target == place:
                faults.append((f'operator "{name}" sends to itself', (place, *path)))
            else:
                targets.add(target)
        edges.append(targets)
    order = _order(edges)
    if len(order) < len(operators) and not faults:
        stuck = min(set(range(len(operators))) - set(order))
        faults.append((f'operators send in a circle, of which "{operators[stuck].name}" is a part', (stuck,)))
    return Wiring(places, order, tuple(faults))


def _named(operator: Operator) -> Iterator[tuple[str, tuple[str | int, ...]]]:
    """Every operator that is named as an output, and the key that names it."""
    for name in operator.outputs:
        yield name, ("output",)
    if isinstance(operator, Router):
        for index, route in enumerate(operator.routes):
            for name in route.outputs:
                yield name, ("routes", index, "output")
        for name in operator.defaults:
            yield name, ("default",)


def _order(edges: list[set[int]]) -> tuple[int, ...]:
    """Kahn's algorithm; of those that are ready the first in the list comes first."""
    waiting = [0] * len(edges)
    for targets in edges:
        for target in targets:
            if target < len(edges):
                waiting[target] += 1
    ready = [place for place, count in enumerate(waiting) if not count]
    order: list[int] = []
    while ready:
        place = min(ready)
        ready.remove(place)
        order.append(place)
        for target in edges[place]:
            if target < len(edges):
                waiting[target] -= 1
                if not waiting[target]:
                    ready.append(target)
    return tuple(order)
