"""The forms of `filter` that hold OTTL conditions: lists by level, and groups whose context is guessed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Final, Literal

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from sluiceway.config.settings import Mistake
from sluiceway.config.types import Settings
from sluiceway.otlp import Signal
from sluiceway.otlp.conditions import Rule
from sluiceway.otlp.plan import Drop
from sluiceway.ottl import Context, OttlError
from sluiceway.ottl.conditions import compile_tree
from sluiceway.ottl.contexts import OF_SIGNAL, infer
from sluiceway.ottl.parser import parse_condition

__all__ = ["ConditionGroup", "ErrorMode", "Groups", "compile_groups", "compile_list", "problems_of", "problems_of_list"]

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
    """Make a group of each text in a list of them."""
    if isinstance(value, list) and None in value:
        raise PydanticCustomError("styles", "an entry of the list is empty")
    if not isinstance(value, list) or not any(isinstance(entry, str) for entry in value):
        return value
    if not all(isinstance(entry, str) for entry in value):
        text = (
            "configuring multiple configuration styles is not supported, please use only Basic configuration or "
            "only Advanced configuration"
        )
        raise PydanticCustomError("styles", "{reason}", {"reason": text})
    return [{"conditions": [text]} for text in value]


class _GroupsRule:
    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(_grouped, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [handler(schema), {"type": "array", "items": {"type": "string"}}]}


Groups = Annotated[tuple[ConditionGroup, ...], _GroupsRule()]
"""A list of conditions, or of groups of them."""

_CONTEXTS: Final = {"log_record": Context.LOG}


def compile_list(conditions: Sequence[str], context: Context, signal: Signal, mode: ErrorMode) -> Drop:
    """Make the action of a list of conditions of one context. Raises `ValueError`, with the condition in its text."""
    return Drop(context.level, tuple(_rule(text, context, mode) for text in conditions), signal=signal)


def compile_groups(groups: Sequence[ConditionGroup], signal: Signal, mode: ErrorMode) -> Iterator[Drop]:
    """Yield one action for each context, the outermost first. Raises `ValueError`, with the condition in its text."""
    rules: dict[Context, list[Rule]] = {}
    for group in groups:
        for text in group.conditions:
            context = _context(group, text, signal)
            rules.setdefault(context, []).append(_rule(text, context, group.error_mode or mode))
    for context in sorted(rules, key=lambda context: len(context.visible)):
        yield Drop(context.level, tuple(rules[context]), signal=signal)


def problems_of(groups: Sequence[ConditionGroup], signal: Signal) -> Iterator[Mistake]:
    """Say what is wrong with groups, each mistake on its own, at its place in them."""
    for number, group in enumerate(groups):
        if group.context and _known(group.context, signal) is None:
            known = ", ".join(OF_SIGNAL[signal])
            text = f'unknown context "{group.context}" for {signal.value}: expected one of {known}'
            yield Mistake(text, (number, "context"))
            continue
        for place, condition in enumerate(group.conditions):
            try:
                _rule(condition, _context(group, condition, signal), "ignore")
            except ValueError as error:
                yield Mistake(str(error), (number, "conditions", place))


def problems_of_list(conditions: Sequence[str], context: Context) -> Iterator[Mistake]:
    """Say what is wrong with conditions of one context, each mistake on its own, at its place in them."""
    for place, text in enumerate(conditions):
        try:
            _rule(text, context, "ignore")
        except ValueError as error:
            yield Mistake(str(error), (place,))


def _rule(text: str, context: Context, mode: ErrorMode) -> Rule:
    with _named(text):
        return Rule(compile_tree(parse_condition(text), context), mode == "propagate", text)


def _context(group: ConditionGroup, text: str, signal: Signal) -> Context:
    """What a condition of a group is about: each may be about something else, where the group does not say it."""
    if named := _known(group.context, signal):
        return named
    with _named(text):
        return infer(parse_condition(text), signal)


def _known(name: str, signal: Signal) -> Context | None:
    return _CONTEXTS.get(name) or next((context for context in OF_SIGNAL[signal] if context.value == name), None)


@contextmanager
def _named(text: str) -> Iterator[None]:
    """Say which condition an error is about."""
    try:
        yield
    except OttlError as error:
        raise ValueError(f'condition "{_shortened(text)}": {error}') from None


def _shortened(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}..."
