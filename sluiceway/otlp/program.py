"""Compile plans: from actions to the steps that the kernel runs, with every value encoded and every pattern checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sluiceway.otlp._edit import Program
from sluiceway.otlp.actions import (
    Action,
    Convert,
    Copy,
    Drop,
    Edit,
    Extract,
    Hash,
    Level,
    Put,
    Remove,
    Sample,
    Scrub,
    Selection,
    Slot,
)
from sluiceway.otlp.anyvalue import encode_value
from sluiceway.otlp.conditions import facts, lowest
from sluiceway.otlp.expressions import compile_rules
from sluiceway.otlp.rewriting import conversion, digest, groups
from sluiceway.otlp.sampling import compile_sampler
from sluiceway.otlp.selecting import compile_match, compile_pattern, named
from sluiceway.otlp.steps import Ask, Expression, Fact, Operation, Selected, Step

if TYPE_CHECKING:
    import re2

__all__ = ["compile_plan"]

_LAST_FACT = {
    Level.RESOURCE: Fact.RESOURCE_ATTRIBUTE, Level.SCOPE: Fact.LIBRARY, Level.METRIC: Fact.LIBRARY,
    Level.ITEM: Fact.ITEM_ATTRIBUTE, Level.EVENT: Fact.ITEM_ATTRIBUTE,
}  # fmt: skip
_ATTRIBUTED = (Level.RESOURCE, Level.SCOPE, Level.ITEM)
_ALGORITHMS = {"sha1": 1, "sha256": 2}


def compile_plan(parts: Sequence[Sequence[Action]]) -> tuple[Program, tuple[Slot, ...]]:
    """Make the program for plans that run one after the other, and say which slots it has, in its order."""
    writer = _Writer()
    for actions in parts:
        writer.begin_part()
        for action in actions:
            writer.write(action)
    return Program(writer.steps, writer.selections, writer.expressions, len(writer.slots)), tuple(writer.slots)


class _Writer:
    """The steps of a program as they are written down."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.selections: list[Selected] = []
        self.expressions: list[Expression] = []
        self.slots: list[Slot] = []
        self.decided: dict[int, int] = {}

    def begin_part(self) -> None:
        self.decided = {}

    def write(self, action: Action) -> None:
        if isinstance(action, Drop):
            self._drop(action)
            return
        if isinstance(action, Scrub):
            self.steps.append(Step(Operation.SCRUB, scrubber=action.scrubber))
            return
        if isinstance(action, Sample):
            self.steps.append(Step(Operation.SAMPLE, Level.ITEM, sampler=compile_sampler(action)))
            return
        name = action.key or getattr(action, "pattern", "")
        try:
            _check_attributed(action.level)
            selection = self._selection(action.where, action.level)
            self.steps.append(self._step(action, selection))
        except ValueError as error:
            raise ValueError(f"{name or 'an action without a key'}: {error}") from None

    def _drop(self, action: Drop) -> None:
        signal = -1 if action.signal is None else action.signal.code
        if action.unless is not None:
            selection = self._selection(action.unless, action.level)
            self.steps.append(Step(Operation.DROP, action.level, selection=selection, signal=signal))
            return
        if lowest(action.where) > action.level:
            raise ValueError(f"what drops a {action.level.name.lower()} cannot depend on what is below it")
        asked = {fact.level for rule in action.where for fact in facts(rule.condition)} | {action.level}
        place = len(self.expressions)
        self.expressions.append(compile_rules(action.where))
        self.steps += [Step(Operation.CAPTURE, level, expression=place, signal=signal) for level in sorted(asked)]
        self.steps.append(Step(Operation.DROP, action.level, expression=place, signal=signal))

    def _step(self, action: Edit, selection: int) -> Step:
        match action:
            case Put():
                return self._put(action, selection)
            case Remove():
                key, names = _target(action)
                return Step(Operation.REMOVE, action.level, key, selection=selection, names=names)
            case Hash():
                key, names = _target(action)
                return Step(
                    Operation.REWRITE,
                    action.level,
                    key,
                    selection=selection,
                    names=names,
                    values=digest(action.algorithm),
                    algorithm=_ALGORITHMS[action.algorithm],
                )
            case Convert():
                answer = conversion(action.to)
                return Step(Operation.REWRITE, action.level, _key(action.key), selection=selection, values=answer)
            case Extract():
                return _extract(action, selection)

    def _put(self, action: Put, selection: int) -> Step:
        value = source = None
        slot = -1
        match action.value:
            case Copy(key):
                source = _key(key)
            case Slot() as place:
                slot = self._slot(place)
            case constant:
                value = encode_value(constant)
        return Step(
            Operation.PUT,
            action.level,
            _key(action.key),
            insert=action.mode != "update",
            update=action.mode != "insert",
            value=value,
            source=source,
            slot=slot,
            selection=selection,
        )

    def _slot(self, slot: Slot) -> int:
        if slot not in self.slots:
            self.slots.append(slot)
        return self.slots.index(slot)

    def _selection(self, where: Selection | None, level: Level) -> int:
        if where is None:
            return -1
        if id(where) not in self.decided:
            self.decided[id(where)] = len(self.selections)
            self.steps.append(Step(Operation.DECIDE, selection=len(self.selections)))
            self.selections.append(Selected(compile_match(where.include), compile_match(where.exclude)))
        place = self.decided[id(where)]
        _check_level(self.selections[place], level)
        return place


def _check_attributed(level: Level) -> None:
    if level not in _ATTRIBUTED:
        raise ValueError(f"attributes of a {level.name.lower()} cannot be edited")


def _check_level(selected: Selected, level: Level) -> None:
    for condition in (*(selected.included or ()), *(selected.excluded or ())):
        if condition.fact > _LAST_FACT[level]:
            raise ValueError(f"an action on a {level.name.lower()} cannot depend on {condition.fact.name.lower()}")


def _key(key: str) -> bytes:
    if not key:
        raise ValueError("the key is empty")
    return encode_key(key)


def encode_key(key: str) -> bytes:
    """The bytes of a key. Raises `ValueError` for a lone surrogate."""
    try:
        return key.encode()
    except UnicodeEncodeError:
        raise ValueError("the key holds a lone surrogate, which is not valid Unicode") from None


def _target(action: Remove | Hash) -> tuple[bytes | None, Ask | None]:
    if not action.key and not action.pattern:
        raise ValueError("a key or a pattern is needed")
    names = named(compile_pattern(action.pattern)) if action.pattern else None
    return encode_key(action.key) if action.key else None, names


def _extract(action: Extract, selection: int) -> Step:
    pattern = compile_pattern(action.pattern)
    names = _group_names(pattern)
    return Step(
        Operation.EXTRACT,
        action.level,
        _key(action.key),
        selection=selection,
        values=groups(pattern, names),
        groups=names,
    )


def _group_names(pattern: re2._Regexp) -> tuple[bytes, ...]:
    by_place = {place: name for name, place in pattern.groupindex.items()}
    if pattern.groups == 0:
        raise ValueError("the pattern contains no named matcher groups")
    if len(by_place) < pattern.groups:
        raise ValueError("the pattern contains at least one unnamed matcher group")
    return tuple(by_place[place] for place in sorted(by_place))
