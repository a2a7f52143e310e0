"""Compile rules to the jumps that the kernel follows.

Rules are tried in order until one holds. Where that cannot be told apart they are found by what they need: all that
need an attribute or field to have one of several values are one look into a table, and rules on many different
attributes are found by the attributes that are there. So ten thousand rules cost little more than those that apply.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NoReturn

from sluiceway.errors import PermanentError
from sluiceway.otlp.anyvalue import decode_value, encode_value
from sluiceway.otlp.conditions import (
    And,
    Attribute,
    Compare,
    Condition,
    Constant,
    EndsWith,
    Fact,
    FieldOf,
    HasKind,
    Id,
    Matches,
    Not,
    Or,
    PointHas,
    Rule,
    StartsWith,
    facts,
)
from sluiceway.otlp.fields import FIELDS, Form
from sluiceway.otlp.levels import Level
from sluiceway.otlp.rewriting import string_like, value_text
from sluiceway.otlp.selecting import comparable, compile_pattern, named
from sluiceway.otlp.steps import Asked, Check, Expression, Jump, Source, Verdict

__all__ = ["compile_rules"]

_CHECKS = {
    "==": Check.EQUAL, "!=": Check.UNEQUAL, "<": Check.LESS, "<=": Check.LESS_OR_EQUAL, ">": Check.GREATER,
    ">=": Check.GREATER_OR_EQUAL,
}  # fmt: skip
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_KINDS = {"string": 1, "bool": 2, "int": 3, "double": 4, "array": 5, "map": 6, "bytes": 7}
_ESCAPED = r"\\([!-/:-@\[-^`{-~])"
"""What a backslash may stand before without a meaning of its own."""
_FEW = 8
"""Up to so many different attributes are looked up one by one."""
_EXACT = 2**53
"""Integers beyond it may equal a double that is another number."""


def compile_rules(rules: Sequence[Rule]) -> Expression:
    """Make the expression that holds where one of the rules does. Raises `ValueError` for what is no RE2 pattern."""
    writer = _Writer()
    start = writer.any(
        [_Unit(rule.condition, _refusal(rule) if rule.strict else None) for rule in rules],
        Verdict.HOLDS,
        Verdict.FAILS,
        None,
    )
    return Expression(tuple(writer.facts), tuple(writer.jumps), start)


def _refusal(rule: Rule) -> Callable[[], NoReturn]:
    def refuse() -> NoReturn:
        raise PermanentError(f"a condition failed: {rule.text}")

    return refuse


class _Unit:
    """A condition among several of which one suffices; `refusal` raises where it fails, else it just does not hold."""

    def __init__(self, condition: Condition, refusal: Callable[[], NoReturn] | None) -> None:
        self.condition = condition
        self.refusal = refusal
        self.needs = _needs(condition)


class _Writer:
    """The jumps of an expression, written from the last to the first: where one leads is known when it is made."""

    def __init__(self) -> None:
        self.facts: list[Asked] = []
        self.jumps: list[Jump] = []
        self._places: dict[Fact, int] = {}
        self._refusal: Callable[[], NoReturn] | None = None

    def any(self, units: Sequence[_Unit], yes: int, no: int, failed: int | None) -> int:
        """Where to begin, so that it leads to `yes` if one unit holds.

        A unit that fails leads to `failed`; None means that only its own chance is over.
        """
        if (failed is not None or any(unit.refusal for unit in units)) and any(map(_can_fail, units)):
            return self._in_order(units, yes, no, failed)
        by_fact: dict[Fact, list[_Unit]] = {}
        rest = []
        for unit in units:
            if unit.needs is None:
                rest.append(unit)
            else:
                by_fact.setdefault(unit.needs[0], []).append(unit)
        target = self._in_order(rest, yes, no, failed)
        return self._sets(by_fact, yes, target, failed)

    def _in_order(self, units: Sequence[_Unit], yes: int, no: int, failed: int | None) -> int:
        target = no
        for unit in reversed(units):
            self._refusal = unit.refusal or self._refusal
            on_failure = Verdict.REFUSES if unit.refusal else target if failed is None else failed
            target = self._condition(unit.condition, yes, target, on_failure)
        return target

    def _sets(self, by_fact: dict[Fact, list[_Unit]], yes: int, no: int, failed: int | None) -> int:
        """Find units by the values that they need, and by which attributes are there if those are many."""
        target = no
        for level in reversed(Level):
            found = {fact: units for fact, units in by_fact.items() if fact.level == level}
            plain = [fact for fact in found if isinstance(fact, Attribute) and not fact.path]
            if len(plain) > _FEW and yes == Verdict.HOLDS:
                targets = tuple(
                    (self._fact(fact), self._set(fact, found.pop(fact), yes, Verdict.FAILS, None)) for fact in plain
                )
                target = self._jump(Jump(Check.ANY_AMONG, level, targets=targets, yes=yes, no=target))
            for fact, units in reversed(found.items()):
                if len(units) == 1:
                    target = self._in_order(units, yes, target, failed)
                else:
                    target = self._set(fact, units, yes, target, failed)
        return target

    def _set(self, fact: Fact, units: Sequence[_Unit], yes: int, no: int, failed: int | None) -> int:
        by_value: dict[str | int, list[_Unit]] = {}
        for unit in units:
            assert unit.needs is not None  # noqa: S101 - they are here because of it
            for value in unit.needs[1]:
                by_value.setdefault(value, []).append(unit)
        targets = {value: self._chain(fact, found, yes, no, failed) for value, found in by_value.items()}
        return self._jump(
            Jump(
                Check.AMONG,
                self._fact(fact),
                texts=tuple((value.encode(), target) for value, target in targets.items() if isinstance(value, str)),
                integers=tuple(
                    (struct.pack("<q", value), target) for value, target in targets.items() if isinstance(value, int)
                ),
                no=no,
            )
        )

    def _chain(self, fact: Fact, units: Sequence[_Unit], yes: int, no: int, failed: int | None) -> int:
        if any(_is_decided_by(fact, unit.condition) for unit in units):
            return yes
        return self._in_order(units, yes, no, failed)

    def _condition(self, condition: Condition, yes: int, no: int, failed: int) -> int:
        match condition:
            case Constant(value):
                return yes if value else no
            case Not(inner):
                return self._condition(inner, no, yes, failed)
            case And(conditions):
                for each in reversed(conditions):
                    yes = self._condition(each, yes, no, failed)
                return yes
            case Or(conditions):
                return self.any([_Unit(each, None) for each in conditions], yes, no, failed)
            case Compare():
                return self._compare(condition, yes, no, failed)
            case _:
                return self._jump(self._check(condition, yes, no, failed))

    def _compare(self, condition: Compare, yes: int, no: int, failed: int) -> int:
        check, right = _CHECKS[condition.operator], condition.right
        if isinstance(right, list | tuple | dict):
            if check > Check.UNEQUAL:
                return no
            if check == Check.UNEQUAL:
                yes, no = no, yes
            content = encode_value(right)
            return self._to(Check.SAME_AS, condition.left, yes, no, failed, text=content, ask=_are_same)
        if isinstance(right, Attribute | FieldOf):
            other = self._fact(right)
            return self._to(check, condition.left, yes, no, failed, other=other, ask=_are_same)
        if isinstance(right, Id):
            return self._to(check, condition.left, yes, no, failed, id=right.value)
        wanted = b"" if right is None else encode_value(right)
        return self._to(check, condition.left, yes, no, failed, wanted=wanted)

    def _to(self, check: Check, fact: Fact, yes: int, no: int, failed: int, **more: object) -> int:
        place = self._fact(fact)
        refusal = self._refusal
        return self._jump(Jump(check, place, yes=yes, no=no, failed=failed, refusal=refusal, **more))  # type: ignore[arg-type]  # by name

    def _check(self, condition: Condition, yes: int, no: int, failed: int) -> Jump:
        leads = {"yes": yes, "no": no, "failed": failed, "refusal": self._refusal}
        match condition:
            case Matches(fact, pattern):
                check, text = _literal(pattern)
                ask = None if check is not Check.PATTERN else named(compile_pattern(pattern))
                return Jump(check, self._fact(fact), text=text, pattern=ask, ask=string_like, **leads)  # type: ignore[arg-type]  # by name
            case StartsWith(fact, text):
                return Jump(Check.STARTS, self._fact(fact), text=text.encode(), **leads)  # type: ignore[arg-type]  # by name
            case EndsWith(fact, text):
                return Jump(Check.ENDS, self._fact(fact), text=text.encode(), **leads)  # type: ignore[arg-type]  # by name
            case HasKind(fact, kinds):
                bits = sum(1 << _KINDS[kind] for kind in kinds)
                return Jump(Check.KIND, self._fact(fact), kinds=bits, **leads)  # type: ignore[arg-type]  # by name
            case PointHas(key, text):
                wanted = b"" if text is None else encode_value(text)
                return Jump(Check.POINT, text=key.encode(), wanted=wanted, **leads)  # type: ignore[arg-type]  # by name
            case _:
                raise TypeError(f"{condition!r} is no condition")

    def _jump(self, jump: Jump) -> int:
        self.jumps.append(jump)
        return len(self.jumps) - 1

    def _fact(self, fact: Fact) -> int:
        if fact not in self._places:
            self._places[fact] = self._write_fact(fact)
        return self._places[fact]

    def _write_fact(self, fact: Fact) -> int:
        if fact.path:
            *above, last = fact.path
            key, index = (last.encode(), -1) if isinstance(last, str) else (b"", last)
            base = self._fact(replace(fact, path=tuple(above)))
            asked = Asked(fact.level, Source.NESTED, key, base=base, index=index)
        elif isinstance(fact, Attribute):
            asked = Asked(fact.level, Source.ATTRIBUTE, fact.key.encode())
        else:
            field = FIELDS[fact.name]
            text = _any_text if field.form is Form.ANY_TEXT else None
            asked = Asked(fact.level, Source.FIELD, field=field, text=text)
        self.facts.append(asked)
        return len(self.facts) - 1


def _any_text(content: bytes) -> bytes:
    return value_text(decode_value(content)).encode()


def _are_same(left: bytes, right: bytes) -> bool:
    return comparable(decode_value(left)) == comparable(decode_value(right))


def _can_fail(unit: _Unit) -> bool:
    return any(_fails(condition) for condition in _leaves(unit.condition))


def _leaves(condition: Condition) -> Iterator[Condition]:
    match condition:
        case And(conditions) | Or(conditions):
            for each in conditions:
                yield from _leaves(each)
        case Not(inner):
            yield from _leaves(inner)
        case _:
            yield condition


def _fails(condition: Condition) -> bool:
    if isinstance(condition, StartsWith | EndsWith | PointHas):
        return True
    return any(fact.path for fact in facts(condition) if isinstance(fact, Attribute | FieldOf))


_Needs = tuple[Fact, tuple[str | int, ...]]


def _needs(condition: Condition) -> _Needs | None:
    """A fact and the values one of which it must have for the condition to hold."""
    match condition:
        case Compare(fact, "==", str() | int() as value) if not isinstance(value, bool):
            if isinstance(value, int) and abs(value) > _EXACT:
                return None
            return fact, (value,)
        case And(conditions):
            return next(filter(None, map(_needs, conditions)), None)
        case Or(conditions):
            each = [_needs(one) for one in conditions]
            known = [one for one in each if one is not None]
            if len(known) == len(each) and len({fact for fact, _ in known}) == 1:
                return known[0][0], tuple(value for _, values in known for value in values)
    return None


def _is_decided_by(fact: Fact, condition: Condition) -> bool:
    """Say whether the condition holds whenever the fact has a value that it needs."""
    match condition:
        case Compare(left, "==", str() | int()):
            return left == fact
        case Or(conditions):
            return all(_is_decided_by(fact, each) for each in conditions)
        case _:
            return False


def _literal(pattern: str) -> tuple[Check, bytes]:
    """What to compare for a pattern that is only a text, anchored or not; PATTERN for one that is more."""
    begins, ends = pattern.startswith("^"), pattern.endswith("$") and not pattern.endswith("\\$")
    body = pattern[begins : len(pattern) - ends]
    if not begins:
        body = body.removeprefix(".*")
    if not ends and not body.endswith("\\.*"):
        body = body.removesuffix(".*")
    text = re.sub(_ESCAPED, r"\1", body)
    if re.search(r"[\\^$.|?*+()\[\]{}]", re.sub(_ESCAPED, "", body)):
        return Check.PATTERN, b""
    check = {
        (True, True): Check.WHOLE_TEXT, (True, False): Check.PREFIX, (False, True): Check.SUFFIX,
        (False, False): Check.FOUND,
    }[begins, ends]  # fmt: skip
    return check, text.encode()
