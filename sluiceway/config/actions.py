"""The action and include/exclude settings of `attributes` and `resource`, and their compilation to edit plans.

Texts of errors are the Collector's. An action is checked alone, but reported with its place in the list, so that all
mistakes of all actions are told at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal, TypeAlias, cast

from pydantic import AfterValidator, ConfigDict, Field, field_validator

from sluiceway.config.rules import not_together
from sluiceway.config.settings import Mistake, mistakes
from sluiceway.config.types import Settings, any_case
from sluiceway.otlp.plan import (
    Action,
    Convert,
    Copy,
    Extract,
    Hash,
    Level,
    Put,
    Remove,
    Selection,
    Slot,
    Value,
    encode_value,
)
from sluiceway.otlp.selecting import compile_pattern

__all__ = ["ActionConfig", "Actions", "ContextKey", "compile_actions", "is_value", "named_groups"]

_ACTIONS: Final = ("insert", "update", "upsert", "delete", "hash", "extract", "convert")
_TYPES: Final = ("int", "double", "string")
_Mode: TypeAlias = Literal["insert", "update", "upsert"]
_Type: TypeAlias = Literal["int", "double", "string"]
_SETTERS: Final = ("insert", "update", "upsert")
_SOURCES: Final = ("value", "from_attribute", "from_context")

ContextKey: TypeAlias = str
"""Where a `from_context` value comes from: `metadata.<header>`, `auth.<attribute>` or `client.address`."""


def _demand(action: str | tuple[str, ...], *keys: str) -> dict[str, Any]:
    """For editors: who names this action must give one of the keys."""
    words = any_case([action] if isinstance(action, str) else action)
    return {
        "if": {"required": ["action"], "properties": {"action": words}},
        "then": {"anyOf": [{"required": [key]} for key in keys]},
    }


class ActionConfig(Settings):
    """One entry of a list of actions."""

    model_config = ConfigDict(
        json_schema_extra={
            "required": ["action"],
            "allOf": [
                _demand(_SETTERS, *_SOURCES, "default_value"),
                _demand((*_SETTERS, "extract", "convert"), "key"),
                _demand(("delete", "hash"), "key", "pattern"),
                _demand("extract", "pattern"),
                _demand("convert", "converted_type"),
                not_together(("from_attribute", "from_context")),
            ],
        }
    )

    key: str = ""
    """The attribute to act on."""
    action: str = Field(default="", json_schema_extra=any_case(_ACTIONS))
    """insert (only where absent), update (only where present), upsert (always), delete, hash, extract or convert."""
    value: Any = None
    """The value to set, with the type it has in YAML: text, number, boolean, list or map."""
    from_attribute: str = ""
    """Set the value of this attribute of the same span, record, data point or resource; nothing where it is absent."""
    from_context: ContextKey = ""
    """Set what is known of the request: `metadata.<header>`, `auth.<attribute>` or `client.address`."""
    default_value: Any = None
    """The value where the one of `from_attribute` or `from_context` is absent."""
    pattern: str = ""
    """extract: an RE2 pattern with named groups. delete and hash: act on all attributes whose names it matches."""
    converted_type: str = Field(default="", json_schema_extra={"enum": ["", *_TYPES]})
    """The type to convert to: int, double or string."""
    algorithm: Literal["sha1", "sha256"] = "sha1"
    """The digest of hash. Ours: the Collector has SHA-1 only, or SHA-256 by a feature gate."""

    @property
    def headers_read(self) -> tuple[tuple[str, str], ...]:
        """The header that `from_context` asks for."""
        kind, _, name = self.from_context.partition(".")
        return (("from_context", name),) if kind == "metadata" else ()

    @field_validator("action", mode="after")
    @classmethod
    def _lower(cls, action: str) -> str:
        return action.lower()


def _check_actions(actions: tuple[ActionConfig, ...]) -> tuple[ActionConfig, ...]:
    problems = [Mistake(reason, (i,)) for i, action in enumerate(actions) for reason in _problems(action, i)]
    if problems:
        raise mistakes(problems)
    return actions


Actions = Annotated[tuple[ActionConfig, ...], AfterValidator(_check_actions)]
"""A list of actions that take effect in order, each checked."""


def _problems(action: ActionConfig, i: int) -> Iterator[str]:
    kind = action.action
    if kind not in _ACTIONS:
        text = f'error creating AttrProc due to unsupported action "{kind}" at the {i}-th actions'
        yield f"{text} (valid values: [{' '.join(_ACTIONS)}])"
        return
    if not action.key and (kind not in ("delete", "hash") or not action.pattern):
        what = '"key"' if kind not in ("delete", "hash") else '"key" or "pattern"'
        yield f"error creating AttrProc due to missing required field {what} at the {i}-th actions"
    yield from _source_problems(action, i)
    if action.pattern:
        yield from _pattern_problems(action, i)
    elif kind == "extract":
        yield (
            f'error creating AttrProc due to missing required field "pattern" for action "extract" at the {i}-th action'
        )
    yield from _type_problems(action, i)


def _source_problems(action: ActionConfig, i: int) -> Iterator[str]:
    sources = [name for name in _SOURCES if getattr(action, name) not in (None, "")]
    has_default = action.default_value is not None
    if action.value == "":
        sources.append("value")
    if action.action not in _SETTERS:
        if sources or has_default:
            yield (
                f'error creating AttrProc. Action "{action.action}" does not use a value source field. '
                f"These must not be specified for {i}-th action"
            )
        return
    if not sources and not has_default:
        yield (
            'error creating AttrProc. Either field "value", "from_attribute" or "from_context" setting '
            f"must be specified for {i}-th action"
        )
    if len(sources) > 1 or ("value" in sources and has_default):
        yield f"error creating AttrProc due to multiple value sources being set at the {i}-th actions"
    if action.from_context and not _is_context_key(action.from_context):
        yield (
            f'unknown from_context "{action.from_context}" at the {i}-th actions: '
            "expected metadata.<header>, auth.<attribute> or client.address"
        )
    for name in ("value", "default_value"):
        if not is_value(getattr(action, name)):
            yield f'field "{name}" at the {i}-th actions holds what no attribute can: a date, or a huge number'


def _pattern_problems(action: ActionConfig, i: int) -> Iterator[str]:
    if action.action not in ("extract", "delete", "hash"):
        yield (
            f'error creating AttrProc. Action "{action.action}" does not use the "pattern" field. '
            f"This must not be specified for {i}-th action"
        )
        return
    groups = named_groups(action.pattern)
    if groups is None:
        yield (
            'error creating AttrProc. Field "pattern" has invalid pattern: '
            f'"{action.pattern}" to be set at the {i}-th actions'
        )
    elif action.action == "extract" and groups[0] == 0:
        yield f'error creating AttrProc. Field "pattern" contains no named matcher groups at the {i}-th actions'
    elif action.action == "extract" and groups[0] != groups[1]:
        yield (
            'error creating AttrProc. Field "pattern" contains at least one unnamed matcher group '
            f"at the {i}-th actions"
        )


def _type_problems(action: ActionConfig, i: int) -> Iterator[str]:
    if action.action != "convert":
        if action.converted_type:
            yield (
                f'error creating AttrProc. Action "{action.action}" does not use the "converted_type" field. '
                f"This must not be specified for {i}-th action"
            )
    elif not action.converted_type:
        yield (
            'error creating AttrProc due to missing required field "converted_type" '
            f'for action "convert" at the {i}-th action'
        )
    elif action.converted_type not in _TYPES:
        yield (
            f'error creating AttrProc due to invalid value "{action.converted_type}" in field "converted_type" '
            f'for action "convert" at the {i}-th action (valid values: [{" ".join(_TYPES)}])'
        )
    if action.algorithm != "sha1" and action.action != "hash":
        yield f'action "{action.action}" does not use the "algorithm" field at the {i}-th actions'


def _is_context_key(key: str) -> bool:
    kind, dot, name = key.partition(".")
    return key == "client.address" or (kind in ("metadata", "auth") and bool(dot and name))


def is_value(value: Any) -> bool:
    """Say whether an attribute can have this value, or it is None, which stands for no value at all."""
    try:
        return value is None or bool(encode_value(value))
    except ValueError:
        return False


def named_groups(pattern: str) -> tuple[int, int] | None:
    """Return how many named groups and how many groups an RE2 pattern has, or None when it is none."""
    try:
        compiled = compile_pattern(pattern)
    except ValueError:
        return None
    return len(compiled.groupindex), compiled.groups


def compile_actions(
    actions: tuple[ActionConfig, ...], level: Level, where: Selection | None = None
) -> tuple[list[Action], dict[Slot, tuple[ContextKey, Value | None]]]:
    """Turn checked settings into kernel actions.

    The second part says which slots to fill for each batch: from which context key, and with what when it is absent.
    """
    compiled: list[Action] = []
    slots: dict[Slot, tuple[ContextKey, Value | None]] = {}
    for action in actions:
        if action.from_context:
            slot = Slot()
            slots[slot] = (action.from_context, action.default_value)
            compiled.append(Put(level, action.key, slot, _mode(action), where))
        else:
            compiled.extend(_compile(action, level, where))
    return compiled, slots


def _compile(action: ActionConfig, level: Level, where: Selection | None) -> Iterator[Action]:
    match action.action:
        case "delete":
            yield Remove(level, action.key, action.pattern, where)
        case "hash":
            yield Hash(level, action.key, action.pattern, action.algorithm, where)
        case "extract":
            yield Extract(level, action.key, action.pattern, where)
        case "convert":
            yield Convert(level, action.key, cast("_Type", action.converted_type), where)
        case _ if action.from_attribute:
            yield from _copy(action, level, where)
        case _:
            value = action.default_value if action.value is None else action.value
            yield Put(level, action.key, value, _mode(action), where)


def _copy(action: ActionConfig, level: Level, where: Selection | None) -> Iterator[Action]:
    mode, key = _mode(action), action.key
    copy = Put(level, key, Copy(action.from_attribute), mode, where)
    if action.default_value is None:
        yield copy
    elif mode == "insert" or key == action.from_attribute:
        # The copy comes first, and the default then finds the key already there.
        yield copy
        if mode != "update":
            yield Put(level, key, action.default_value, "insert", where)
    else:
        yield Put(level, key, action.default_value, mode, where)
        yield copy


def _mode(action: ActionConfig) -> _Mode:
    return cast("_Mode", action.action)
