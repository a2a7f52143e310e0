"""The forms of `filter` that hold OTTL conditions: lists by level, and groups whose context is guessed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Final, Literal

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from sluiceway.config.types import Settings
from sluiceway.otlp import Signal
from sluiceway.otlp.conditions import Condition, Rule
from sluiceway.otlp.plan import Drop
from sluiceway.ottl import Context, OttlError
from sluiceway.ottl.conditions import compile_tree
from sluiceway.ottl.contexts import OF_SIGNAL, infer
from sluiceway.ottl.parser import parse_condition
from sluiceway.ottl.syntax import Boolean

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
    """Make one group of a list of texts."""
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
    return [{"conditions": value}]


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
    return _drop([(text, _parsed(text)) for text in conditions], context, signal, mode)


def compile_groups(groups: Sequence[ConditionGroup], signal: Signal, mode: ErrorMode) -> Iterator[Drop]:
    """Yield the action of each group. Raises `ValueError`, with the condition in its text."""
    for group in groups:
        if group.conditions:
            parsed = [(text, _parsed(text)) for text in group.conditions]
            yield _drop(parsed, _context(group, parsed, signal), signal, group.error_mode or mode)


def problems_of(groups: Sequence[ConditionGroup], signal: Signal) -> Iterator[str]:
    """Say what is wrong with groups, each mistake on its own."""
    for group in groups:
        try:
            list(compile_groups([group], signal, "ignore"))
        except ValueError as error:
            yield from dict.fromkeys(_own_problems(group, signal)) or [str(error)]


def _own_problems(group: ConditionGroup, signal: Signal) -> Iterator[str]:
    for text in group.conditions:
        try:
            parsed = [(text, _parsed(text))]
            _compiled(*parsed[0], _context(group, parsed, signal))
        except ValueError as error:
            yield str(error)


def problems_of_list(conditions: Sequence[str], context: Context) -> Iterator[str]:
    """Say what is wrong with conditions of one context, each mistake on its own."""
    for text in conditions:
        try:
            _compiled(text, _parsed(text), context)
        except ValueError as error:
            yield str(error)


_Parsed = tuple[str, Boolean]


def _parsed(text: str) -> Boolean:
    with _named(text):
        return parse_condition(text)


def _compiled(text: str, tree: Boolean, context: Context) -> Condition:
    with _named(text):
        return compile_tree(tree, context)


def _drop(parsed: Sequence[_Parsed], context: Context, signal: Signal, mode: ErrorMode) -> Drop:
    strict = mode == "propagate"
    rules = tuple(Rule(_compiled(text, tree, context), strict, text) for text, tree in parsed)
    return Drop(context.level, rules, signal=signal)


def _context(group: ConditionGroup, parsed: Sequence[_Parsed], signal: Signal) -> Context:
    if not group.context:
        with _named(parsed[0][0]):
            return infer([tree for _, tree in parsed], signal)
    named = _CONTEXTS.get(group.context) or next((c for c in OF_SIGNAL[signal] if c.value == group.context), None)
    if named is None:
        known = ", ".join(OF_SIGNAL[signal])
        raise ValueError(f'unknown context "{group.context}" for {signal.value}: expected one of {known}')
    return named


@contextmanager
def _named(text: str) -> Iterator[None]:
    """Say which condition an error is about."""
    try:
        yield
    except OttlError as error:
        raise ValueError(f'condition "{_shortened(text)}": {error}') from None


def _shortened(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}..."
