"""The forms of `filter` that hold OTTL conditions: lists by level, and groups whose context is guessed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from sluiceway.config.types import Settings
from sluiceway.otlp import Signal
from sluiceway.otlp.conditions import Rule
from sluiceway.otlp.plan import Drop
from sluiceway.ottl import Context, OttlError
from sluiceway.ottl.conditions import compile_tree
from sluiceway.ottl.contexts import OF_SIGNAL, infer
from sluiceway.ottl.parser import parse_condition

__all__ = ["ConditionGroup", "ErrorMode", "Groups", "compile_groups", "compile_list", "problems_of"]

ErrorMode = Literal["ignore", "silent", "propagate"]


class ConditionGroup(Settings):
    """Conditions that are tried together; what one of them holds for is dropped."""

    context: str = ""
    """What they are about, where it cannot be told from their paths: `span`, `datapoint`, `log` and so on."""
    conditions: tuple[str, ...] = ()
    """OTTL conditions; one suffices."""
    error_mode: ErrorMode | None = None
    """What becomes of a condition that fails, where it is not as the processor's `error_mode` says."""


def _grouped(value: Any) -> Any:
    """Make one group of a list of texts."""
    if not isinstance(value, list) or not any(isinstance(entry, str) for entry in value):
        return value
    if not all(isinstance(entry, str) for entry in value):
        text = (
            "configuring multiple configuration styles is not supported, please use only Basic configuration or "
            "only Advanced configuration"
        )
        raise PydanticCustomError("styles", "{reason}", {"reason": text})
    return [{"conditions": value}]


Groups = Annotated[tuple[ConditionGroup, ...], BeforeValidator(_grouped)]
"""A list of conditions, or of groups of them."""

_CONTEXTS: Final = {"log_record": Context.LOG}


def compile_list(conditions: Sequence[str], context: Context, signal: Signal, mode: ErrorMode) -> Drop:
    """Make the action of a list of conditions of one context. Raises `OttlError`, with the condition in its text."""
    rules = tuple(_rule(text, context, mode) for text in conditions)
    return Drop(context.level, rules, signal=signal)


def _rule(text: str, context: Context, mode: ErrorMode) -> Rule:
    try:
        condition = compile_tree(parse_condition(text), context)
    except OttlError as error:
        raise ValueError(f'condition "{_shortened(text)}": {error}') from None
    return Rule(condition, strict=mode == "propagate", text=text)


def compile_groups(groups: Sequence[ConditionGroup], signal: Signal, mode: ErrorMode) -> Iterator[Drop]:
    """Yield the action of each group. Raises `ValueError`, with the condition in its text."""
    for group in groups:
        if group.conditions:
            context = _context(group, signal)
            yield compile_list(group.conditions, context, signal, group.error_mode or mode)


def _context(group: ConditionGroup, signal: Signal) -> Context:
    if group.context:
        named = _CONTEXTS.get(group.context) or next((c for c in OF_SIGNAL[signal] if c.value == group.context), None)
        if named is None:
            known = ", ".join(OF_SIGNAL[signal])
            raise ValueError(f'unknown context "{group.context}" for {signal.value}: expected one of {known}')
        return named
    trees = []
    for text in group.conditions:
        try:
            trees.append(parse_condition(text))
            infer(trees[-1:], signal)
        except OttlError as error:
            raise ValueError(f'condition "{_shortened(text)}": {error}') from None
    return infer(trees, signal)


def problems_of(groups: Sequence[ConditionGroup], signal: Signal) -> Iterator[str]:
    """Say what is wrong with groups, each mistake on its own."""
    for group in groups:
        for text in group.conditions:
            one = group.model_copy(update={"conditions": (text,)})
            try:
                list(compile_groups([one], signal, "ignore"))
            except ValueError as error:
                yield str(error)


def _shortened(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}..."
