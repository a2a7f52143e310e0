"""What conditions say, and what dropping leaves, told plainly on protobuf objects: the oracle of expressions."""

from __future__ import annotations

import math

import re2

from sluiceway.otlp import Signal
from sluiceway.otlp.conditions import (
    And,
    Attribute,
    Compare,
    Constant,
    EndsWith,
    FieldOf,
    HasKind,
    Id,
    Matches,
    Not,
    Or,
    PointHas,
    StartsWith,
)  # fmt: skip
from sluiceway.otlp.levels import Level
from sluiceway.otlp.plan import decode_value
from sluiceway.otlp.rewriting import value_text

DATA = ("gauge", "sum", "histogram", "exponential_histogram", "summary")
KINDS = ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")


class FailedError(Exception):
    """A condition failed."""


class Around:
    """The messages around the one that a condition is about, by level."""

    def __init__(self, signal, *messages):
        self.signal = signal
        self.messages = dict(messages)

    def below(self, level, message):
        return Around(self.signal, *self.messages.items(), (level, message))


def holds(rule, around):
    """Whether a rule holds; one that fails does not."""
    try:
        return _evaluate(rule.condition, around)
    except FailedError:
        if rule.strict:
            raise
        return False


def _evaluate(condition, around):
    match condition:
        case Constant(value):
            return value
        case Not(inner):
            return not _evaluate(inner, around)
        case And(conditions):
            return all(_evaluate(each, around) for each in conditions)
        case Or(conditions):
            return any(_evaluate(each, around) for each in conditions)
        case Compare(left, operator, right):
            other = _value_of(right, around) if isinstance(right, Attribute | FieldOf) else right
            return _compare(_value_of(left, around), operator, other)
        case Matches(fact, pattern):
            value = _value_of(fact, around)
            return value is not None and re2.search(pattern, _text_of(value)) is not None
        case StartsWith(fact, prefix):
            return _string(_value_of(fact, around)).startswith(prefix)
        case EndsWith(fact, suffix):
            return _string(_value_of(fact, around)).endswith(suffix)
        case HasKind(fact, kinds):
            return _kind_of(_value_of(fact, around)) in kinds
        case PointHas(key, text):
            return _point_has(around.messages[Level.METRIC], key, text)
    raise TypeError(condition)


def _string(value):
    if not isinstance(value, str):
        raise FailedError
    return value


def _text_of(value):
    if isinstance(value, Id):
        return value.value.hex()
    return value.hex() if isinstance(value, bytes) else value_text(value)


def _kind_of(value):
    kinds = {str: "string", bool: "bool", int: "int", float: "double", list: "array", dict: "map", bytes: "bytes"}
    return "bytes" if isinstance(value, Id) else kinds.get(type(value))


def _compare(left, operator, right):
    numbers = (int, float)
    if type(left) in numbers and type(right) in numbers:
        if type(left) is not type(right):
            left, right = float(left), float(right)
        if isinstance(left, float) and (math.isnan(left) or math.isnan(right)):
            return operator == "!="
        return _ordered(left, operator, right)
    if type(left) is not type(right):
        return operator == "!="
    if left is None:
        return operator in ("==", "<=", ">=")
    if isinstance(left, Id | list | dict):
        same = left == right if isinstance(left, Id) else repr(_normal(left)) == repr(_normal(right))
        return same if operator == "==" else not same if operator == "!=" else False
    if isinstance(left, str):
        left, right = left.encode(), right.encode()
    return _ordered(left, operator, right)


def _normal(value):
    if isinstance(value, dict):
        return {key: _normal(value[key]) for key in sorted(value)}
    return [_normal(item) for item in value] if isinstance(value, list | tuple) else value


def _ordered(left, operator, right):
    return {
        "==": left == right, "!=": left != right, "<": left < right, "<=": left <= right, ">": left > right,
        ">=": left >= right,
    }[operator]  # fmt: skip


# ---- values


def _value_of(fact, around):
    if isinstance(fact, Attribute):
        message = around.messages[fact.level]
        holder = message.resource if fact.level is Level.RESOURCE else message
        holder = message.scope if fact.level is Level.SCOPE else holder
        found = next((kv.value for kv in holder.attributes if kv.key == fact.key), None)
        value = None if found is None else _decoded(found)
        any_value = found
    else:
        value = _field_of(fact.name, around)
        any_value = around.messages[Level.ITEM].body if fact.name == "log.body" else None
    for key in fact.path:
        value, any_value = _inside(value, any_value, key)
    return value


def _decoded(any_value):
    return decode_value(any_value.SerializeToString())


def _inside(value, any_value, key):
    if value is None:
        return None, None
    if not isinstance(value, dict if isinstance(key, str) else list):
        raise FailedError
    if isinstance(key, str):
        found = next((kv.value for kv in any_value.kvlist_value.values if kv.key == key), None)
        return (None if found is None else _decoded(found)), found
    if key >= len(value):
        raise FailedError
    return value[key], any_value.array_value.values[key]


def _field_of(name, around):
    of, _, field = name.partition(".")
    message = {
        "resource": lambda: around.messages[Level.RESOURCE].resource,
        "scope": lambda: around.messages[Level.SCOPE].scope,
        "metric": lambda: around.messages[Level.METRIC],
        "spanevent": lambda: around.messages[Level.EVENT],
    }.get(of, lambda: around.messages[Level.ITEM])()
    if of == "metric":
        return _metric_field(field, message)
    if of == "datapoint":
        return _point_field(field, message)
    match field:
        case "trace_id":
            return Id(message.trace_id or bytes(16))
        case "span_id" | "parent_span_id":
            return Id(getattr(message, field) or bytes(8))
        case "trace_id.string":
            return (message.trace_id or bytes(16)).hex()
        case "span_id.string" | "parent_span_id.string":
            return (getattr(message, field.removesuffix(".string")) or bytes(8)).hex()
        case "kind.string":
            return KINDS[message.kind] if 0 <= message.kind < 6 else ""
        case "kind.deprecated_string":
            return f"SPAN_KIND_{KINDS[message.kind].upper()}" if 0 <= message.kind < 6 else ""
        case "status.code":
            return message.status.code
        case "status.message":
            return message.status.message
        case "body":
            return _decoded(message.body)
        case "body.string":
            return value_text(_decoded(message.body))
    return signed(getattr(message, field))


def signed(value):
    """Integers are 64 bits with a sign, as OTTL has them."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value - 2**64 if value >= 2**63 else value
    return value


def _metric_field(field, metric):
    data = metric.WhichOneof("data")
    if field == "type":
        return 0 if data is None else DATA.index(data) + 1
    if field in ("aggregation_temporality", "is_monotonic"):
        value = getattr(metric, data, None) if data else None
        return getattr(value, field, None)
    return getattr(metric, field)


def _point_field(field, point):
    number = type(point).__name__ == "NumberDataPoint"
    if field in ("value_double", "value_int"):
        if not number:
            return None
        return getattr(point, "as_double" if field == "value_double" else "as_int")
    if field == "scale" and type(point).__name__ != "ExponentialHistogramDataPoint":
        return None
    return signed(getattr(point, field, None))


def _point_has(metric, key, text):
    data = metric.WhichOneof("data")
    if data is None:
        raise FailedError
    for point in getattr(metric, data).data_points:
        for kv in point.attributes:
            if kv.key == key:
                value = _decoded(kv.value)
                return text is None or (value if isinstance(value, str) else "") == text
    return False


# ---- dropping


def drop(action, signal, message, is_chosen):
    """Take out of a message what a `Drop` would; give back how many items went.

    `is_chosen(selection, around)` says what its `unless` chooses.
    """
    if action.signal is not None and action.signal is not signal:
        return 0

    def goes(around):
        if action.unless is not None:
            return not is_chosen(action.unless, around)
        return any(holds(rule, around) for rule in action.where)

    name = signal.value if signal is not Signal.TRACES else "spans"
    before = _items(signal, message)
    entries = getattr(message, f"resource_{name}")
    keep(
        entries,
        lambda entry: _entry(action, Around(signal, (Level.RESOURCE, entry)), getattr(entry, f"scope_{name}"), goes),
    )
    return before - _items(signal, message)


def _items(signal, message):
    from tests.otlp.oracle import items_in

    return items_in(message)


def keep(repeated, is_kept):
    """Leave what is kept; True where something went and nothing is left."""
    kept = [is_kept(each) for each in repeated]
    for place in reversed([place for place, one in enumerate(kept) if not one]):
        del repeated[place]
    return not all(kept) and not any(kept)


def _entry(action, around, scopes, goes):
    if action.level is Level.RESOURCE:
        return not goes(around)
    return not keep(scopes, lambda scope: _scope(action, around.below(Level.SCOPE, scope), scope, goes))


def _scope(action, around, scope, goes):
    if action.level is Level.SCOPE:
        return not goes(around)
    if around.signal is Signal.METRICS:
        return not keep(scope.metrics, lambda metric: _metric(action, around.below(Level.METRIC, metric), metric, goes))
    children = scope.spans if around.signal is Signal.TRACES else scope.log_records
    return not keep(children, lambda item: _item(action, around.below(Level.ITEM, item), item, goes))


def _metric(action, around, metric, goes):
    if action.level is Level.METRIC:
        return not goes(around)
    data = metric.WhichOneof("data")
    if data is None:
        return True
    points = getattr(metric, data).data_points
    return not keep(points, lambda point: _item(action, around.below(Level.ITEM, point), point, goes))


def _item(action, around, item, goes):
    if action.level is Level.ITEM:
        return not goes(around)
    if action.level is Level.EVENT and around.signal is Signal.TRACES:
        keep(item.events, lambda event: not goes(around.below(Level.EVENT, event)))
    return True
