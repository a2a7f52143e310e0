"""Which actions of plans that run one after the other can share a walk of the bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sluiceway.otlp.actions import Action, Drop, Level, Match, Sample, Scrub, Selection
from sluiceway.otlp.conditions import PointHas, facts

__all__ = ["walks"]


def walks(parts: Sequence[Sequence[Action]]) -> Iterator[list[list[Action]]]:
    """Split parts where one walk cannot do.

    A walk reads what is no attribute where it meets it, so what decides by such things, or looks into points, needs a
    walk of its own behind what may have changed them. A scrub rewrites events and trace states as a whole, so what
    takes out some of them has a walk before it. Raises `ValueError` where one plan both scrubs texts and selects by
    them, as its selections are decided at once.
    """
    walk: list[list[Action]] = []
    left: set[str] = set()
    for part in parts:
        _check_part(part)
        walk.append([])
        for action in part:
            if left & _minds(action):
                yield walk
                walk, left = [[]], set()
            walk[-1].append(action)
            left |= _leaves(action)
    yield walk


def _check_part(part: Sequence[Action]) -> None:
    if any(isinstance(action, Scrub) for action in part) and any(map(_selects_by_text, part)):
        raise ValueError("one plan cannot both scrub texts and select by them: make two and add them")


def _leaves(action: Action) -> set[str]:
    """What an action changes beyond what the rest of its walk sees."""
    match action:
        case Scrub():
            return {"texts"}
        case Sample():
            return {"items", "states"}  # it writes the tracestate in every mode
        case _:
            return {"items"} if action.level is Level.ITEM else {"events"} if action.level is Level.EVENT else set()


def _minds(action: Action) -> set[str]:
    """What an action must not find changed in its walk."""
    match action:
        case Scrub():
            return {"events", "states"}
        case Sample():
            return {"texts"}
        case Drop():
            return {"texts", "items"} if _looks_into_points(action) else {"texts"}
        case _:
            return {"texts"} if _selects_by_text(action) else set()


def _looks_into_points(action: Drop) -> bool:
    return any(isinstance(fact, PointHas) for rule in action.where for fact in facts(rule.condition))


def _selects_by_text(action: Action) -> bool:
    where = getattr(action, "where", None)
    return isinstance(where, Selection) and any(map(_names_text, (where.include, where.exclude)))


def _names_text(match: Match | None) -> bool:
    return match is not None and bool(
        match.libraries or match.span_names or match.log_bodies or match.log_severity_texts or match.metric_names
    )
