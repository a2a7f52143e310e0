"""What a condition is about, and the paths and names that it may use there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from enum import StrEnum
from typing import Final

from sluiceway.otlp import Signal
from sluiceway.otlp.conditions import Attribute, Fact, FieldOf
from sluiceway.otlp.fields import FIELDS
from sluiceway.otlp.levels import Level
from sluiceway.ottl.errors import OttlError
from sluiceway.ottl.syntax import (
    And,
    Boolean,
    Call,
    Comparison,
    Enum,
    Expression,
    ListOf,
    Literal,
    MapOf,
    Math,
    Not,
    Or,
    Path,
    Segment,
    Truth,
)

__all__ = ["ENUMS", "Context", "enum_value", "fact", "infer"]


class Context(StrEnum):
    """What a condition looks at, the innermost first: the order in which it is guessed."""

    LOG = "log"
    DATAPOINT = "datapoint"
    METRIC = "metric"
    SPANEVENT = "spanevent"
    SPAN = "span"
    RESOURCE = "resource"
    SCOPE = "scope"

    @property
    def level(self) -> Level:
        """The level of the kernel at which it is."""
        return _LEVELS.get(self, Level.ITEM)

    @property
    def visible(self) -> tuple[Context, ...]:
        """Itself and what lies around it, whose paths it may use."""
        around = (Context.SCOPE, Context.RESOURCE)
        match self:
            case Context.RESOURCE:
                return (self,)
            case Context.SCOPE:
                return (self, Context.RESOURCE)
            case Context.SPANEVENT:
                return (self, Context.SPAN, *around)
            case Context.DATAPOINT:
                return (self, Context.METRIC, *around)
            case _:
                return (self, *around)


_LEVELS: Final = {
    Context.RESOURCE: Level.RESOURCE,
    Context.SCOPE: Level.SCOPE,
    Context.METRIC: Level.METRIC,
    Context.SPANEVENT: Level.EVENT,
}
OF_SIGNAL: Final = {
    Signal.TRACES: (Context.SPANEVENT, Context.SPAN, Context.RESOURCE, Context.SCOPE),
    Signal.METRICS: (Context.DATAPOINT, Context.METRIC, Context.RESOURCE, Context.SCOPE),
    Signal.LOGS: (Context.LOG, Context.RESOURCE, Context.SCOPE),
}
"""The contexts of a signal."""

_ALIASES: Final = {"instrumentation_scope": Context.SCOPE}
_TIMES: Final = ("start_time", "end_time", "time", "observed_time")
_LATER: Final = {
    Context.SPAN: ("events", "links", "status"),
    Context.SPANEVENT: ("event_index",),
    Context.METRIC: ("data_points", "metadata"),
    Context.DATAPOINT: (
        "exemplars", "bucket_counts", "explicit_bounds", "positive", "negative", "quantile_values", "positive.offset",
        "positive.bucket_counts", "negative.offset", "negative.bucket_counts",
    ),
    Context.RESOURCE: ("schema_url",),
    Context.SCOPE: ("schema_url",),
}  # fmt: skip
"""Paths of OTTL that conditions cannot use yet."""

_SEVERITIES = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
_SPAN_ENUMS = {
    f"SPAN_KIND_{name}": number
    for number, name in enumerate(("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"))
} | {"STATUS_CODE_UNSET": 0, "STATUS_CODE_OK": 1, "STATUS_CODE_ERROR": 2}
_METRIC_ENUMS = {
    f"METRIC_DATA_TYPE_{name}": number
    for number, name in enumerate(("NONE", "GAUGE", "SUM", "HISTOGRAM", "EXPONENTIAL_HISTOGRAM", "SUMMARY"))
} | {f"AGGREGATION_TEMPORALITY_{name}": number for number, name in enumerate(("UNSPECIFIED", "DELTA", "CUMULATIVE"))}
_LOG_ENUMS = {"SEVERITY_NUMBER_UNSPECIFIED": 0} | {
    f"SEVERITY_NUMBER_{name}{step or ''}": 4 * place + max(step, 1)
    for place, name in enumerate(_SEVERITIES)
    for step in (0, 2, 3, 4)
}
ENUMS: Final = {
    Context.SPAN: _SPAN_ENUMS,
    Context.SPANEVENT: _SPAN_ENUMS,
    Context.METRIC: _METRIC_ENUMS,
    Context.DATAPOINT: _METRIC_ENUMS | {"FLAG_NONE": 0, "FLAG_NO_RECORDED_VALUE": 1},
    Context.LOG: _LOG_ENUMS,
}
"""The names in capitals that each context knows, with their numbers."""
POINT_FUNCTIONS: Final = ("HasAttrKeyOnDatapoint", "HasAttrOnDatapoint")
"""What only the metric context knows."""


def enum_value(enum: Enum, context: Context) -> int:
    """Return the number of a name in capitals. Raises `OttlError` where the context does not know it."""
    known = ENUMS.get(context, {})
    if enum.name not in known:
        raise _unknown_enum(enum, known, f" in the {context} context")
    return known[enum.name]


def _unknown_enum(enum: Enum, known: Iterable[str], where: str = "") -> OttlError:
    return OttlError(f'enum symbol "{enum.name}" is not known{where}{_nearest(enum.name, known)}', enum.column)


def fact(path: Path, context: Context) -> Fact:
    """Say what of the telemetry a path means. Raises `OttlError` where the context has no such path."""
    of, segments = _owner(path, context)
    if not segments:
        raise OttlError(f'"{path}" needs the name of a field behind it', path.column)
    first, names = segments[0], ".".join(segment.name for segment in segments)
    if names == "attributes" and of is not Context.METRIC:
        return _attribute(of, first)
    if names == "body" and of is Context.LOG:
        return FieldOf("log.body", _keys(first.keys, first))
    name = f"{of}.{names}"
    if name not in FIELDS:
        raise _unknown(path, of, names)
    for segment in segments:
        if segment.keys:
            raise OttlError(f'"{path}" cannot be indexed in a condition yet', segment.keys[0].column)
    return FieldOf(name)


def _owner(path: Path, context: Context) -> tuple[Context, tuple[Segment, ...]]:
    """Whose field a path names: its first name may say so."""
    first = path.segments[0]
    try:
        named = _ALIASES.get(first.name) or Context(first.name)
    except ValueError:
        return context, path.segments
    if named not in context.visible:
        raise OttlError(f'the {context} context cannot see "{first.name}"', first.column)
    return named, path.segments[1:]


def _attribute(context: Context, segment: Segment) -> Attribute:
    if not segment.keys:
        raise OttlError('"attributes" needs a key here: attributes["key"]', segment.column)
    key, *path = _keys(segment.keys, segment)
    if not isinstance(key, str):
        raise OttlError("attributes are found by text, not by number", segment.keys[0].column)
    return Attribute(context.level, key, tuple(path))


def _keys(keys: Iterable[Expression], segment: Segment) -> tuple[str | int, ...]:
    found: list[str | int] = []
    for key in keys:
        if not isinstance(key, Literal) or isinstance(key.value, bool) or not isinstance(key.value, str | int):
            raise OttlError(f'a key of "{segment.name}" must be a text or an integer as it stands, for now', key.column)
        if isinstance(key.value, int) and key.value < 0:
            raise OttlError("an index cannot be negative", key.column)
        found.append(key.value)
    return tuple(found)


def _unknown(path: Path, context: Context, names: str) -> OttlError:
    if names == "cache":
        return OttlError("conditions here have no cache", path.column)
    if names in _TIMES:
        text = f'"{path}" is a time, which conditions cannot compare yet: use "{path}_unix_nano"'
        return OttlError(text, path.column)
    if names in _LATER.get(context, ()) or names == "trace_state":
        return OttlError(f'"{path}" is not supported in conditions yet', path.column)
    known = [name.partition(".")[2] for name in FIELDS if name.startswith(f"{context}.")]
    text = f'"{names}" is not a path of the {context} context'
    return OttlError(text + _nearest(names, [*known, "attributes"]), path.column)


def _nearest(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, list(known), 1)
    return f'; did you mean "{close[0]}"?' if close else ""


# ---- inference


def infer(condition: Boolean, signal: Signal) -> Context:
    """Guess what a condition is about: the innermost context of its paths that knows all its names.

    Raises `OttlError` where there is none.
    """
    nodes = list(_walk(condition))
    found = [_named_context(node, signal) for node in nodes if isinstance(node, Path)]
    order = list(Context)
    best = min(found, key=order.index, default=None)
    candidates = [context for context in OF_SIGNAL[signal] if best is None or best in context.visible]
    if best is None:
        candidates = [Context.METRIC] if any(_is_about_points(node) for node in nodes) else []
    for context in sorted(candidates, key=lambda one: (one is not best, order.index(one))):
        if all(_knows(context, node) for node in nodes):
            return context
    for node in nodes:
        if isinstance(node, Enum) and candidates and not any(_knows(context, node) for context in candidates):
            raise _unknown_enum(node, {name: n for context in candidates for name, n in ENUMS.get(context, {}).items()})
    column = nodes[0].column if nodes else 1
    raise OttlError(f"no context of {signal.value} can be found for this: name it with `context`", column)


def _is_about_points(node: object) -> bool:
    return isinstance(node, Call) and node.name in POINT_FUNCTIONS


def _named_context(path: Path, signal: Signal) -> Context:
    name = path.segments[0].name
    context = next((one for one in OF_SIGNAL[signal] if one.value == name), None) or _ALIASES.get(name)
    if context is None:
        known = ", ".join(OF_SIGNAL[signal])
        text = f'"{path}" must begin with what it is about ({known}), or the group must say its `context`'
        raise OttlError(text, path.column)
    return context


def _knows(context: Context, node: object) -> bool:
    match node:
        case Enum(name):
            return name in ENUMS.get(context, {})
        case Call():
            return not _is_about_points(node) or context is Context.METRIC
        case _:
            return True


def _walk(node: Boolean | Expression) -> Iterator[Path | Enum | Call]:
    match node:
        case And(conditions) | Or(conditions):
            for condition in conditions:
                yield from _walk(condition)
        case Not(condition):
            yield from _walk(condition)
        case Truth(Call() as call):
            yield from _walk(call)
        case Comparison(left, _, right) | Math(left, _, right):
            yield from _walk(left)
            yield from _walk(right)
        case ListOf(items):
            for item in items:
                yield from _walk(item)
        case MapOf(items):
            for _, item in items:
                yield from _walk(item)
        case Call(_, arguments, named):
            yield node
            for argument in (*arguments, *(value for _, value in named)):
                yield from _walk(argument)
        case Path() | Enum():
            yield node
