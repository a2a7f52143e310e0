"""From the tree of a condition to the condition that the kernel checks."""

from __future__ import annotations

import operator as operators
from collections.abc import Callable
from typing import Final, TypeAlias, cast

from sluiceway.otlp import conditions as kernel
from sluiceway.otlp.actions import Value
from sluiceway.otlp.conditions import Attribute, Condition, Constant, Fact, FieldOf, Id, Operator
from sluiceway.otlp.selecting import compile_pattern
from sluiceway.ottl.contexts import Context, enum_value, fact
from sluiceway.ottl.errors import OttlError
from sluiceway.ottl.functions import SIGNATURES, arguments, unknown
from sluiceway.ottl.parser import parse_condition
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
    Truth,
)

__all__ = ["compile_condition", "compile_tree"]

_Operand: TypeAlias = "Fact | Value | Id | None"
_MIRRORED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_IDS: Final = {"TraceID": 16, "SpanID": 8}
_KINDS: Final = {
    "IsString": "string", "IsBool": "bool", "IsInt": "int", "IsDouble": "double", "IsList": "array", "IsMap": "map",
}  # fmt: skip
_MATH: Final[dict[str, Callable[[float, float], float]]] = {
    "+": operators.add, "-": operators.sub, "*": operators.mul,
}  # fmt: skip


def compile_condition(text: str, context: Context) -> Condition:
    """Compile a condition for one context. Raises `OttlError`, which names what is wrong and its column."""
    return compile_tree(parse_condition(text), context)


def compile_tree(tree: Boolean, context: Context) -> Condition:
    """Compile a condition that has been parsed."""
    match tree:
        case And(conditions):
            return kernel.And(tuple(compile_tree(one, context) for one in conditions))
        case Or(conditions):
            return kernel.Or(tuple(compile_tree(one, context) for one in conditions))
        case Not(condition):
            return kernel.Not(compile_tree(condition, context))
        case Truth(value):
            return _truth(value, context) if isinstance(value, Call) else Constant(value)
        case Comparison():
            return _comparison(tree, context)


def _comparison(tree: Comparison, context: Context) -> Condition:
    truth = _compared_truth(tree, context)
    if truth is not None:
        return truth
    left, right = _operand(tree.left, context), _operand(tree.right, context)
    operator = cast("Operator", tree.operator)
    if isinstance(left, Attribute | FieldOf):
        return kernel.Compare(left, operator, right)
    if isinstance(right, Attribute | FieldOf):
        return kernel.Compare(right, cast("Operator", _MIRRORED.get(operator, operator)), left)
    raise OttlError("both sides of the comparison are constant", tree.column)


def _compared_truth(tree: Comparison, context: Context) -> Condition | None:
    """`IsMatch(...) == true`, and the like."""
    for call, literal in ((tree.left, tree.right), (tree.right, tree.left)):
        if isinstance(call, Call) and call.name in SIGNATURES and SIGNATURES[call.name].is_truth:
            if not isinstance(literal, Literal) or not isinstance(literal.value, bool) or tree.operator[0] in "<>":
                raise OttlError(f'"{call.name}" can only be compared with true or false', call.column)
            condition = _truth(call, context)
            return condition if literal.value == (tree.operator == "==") else kernel.Not(condition)
    return None


# ---- values


def _operand(node: Expression, context: Context) -> _Operand:
    match node:
        case Path():
            return fact(node, context)
        case Call(name) if name in _IDS:
            return _id(node)
        case Call():
            arguments(node)
            raise OttlError(f'"{node.name}" gives true or false, which cannot be compared so', node.column)
        case _:
            return _constant(node, context)


def _constant(node: Expression, context: Context) -> Value | None:
    match node:
        case Literal(value):
            return value
        case Enum():
            return enum_value(node, context)
        case ListOf(items):
            return [cast("Value", _constant(item, context)) for item in items]
        case MapOf(items):
            return {key: cast("Value", _constant(item, context)) for key, item in items}
        case Math():
            return _sum(node, context)
        case Call():
            raise unknown(node) if node.name not in SIGNATURES else _not_constant(node)
        case Path():
            raise _not_constant(node)


def _not_constant(node: Expression) -> OttlError:
    return OttlError("only constants can stand here yet", node.column)


def _sum(node: Math, context: Context) -> Value:
    if any(isinstance(side, Path | Call) for side in (node.left, node.right)):
        raise OttlError(f'arithmetic ("{node.operator}") with paths is not supported in conditions yet', node.column)
    left, right = _constant(node.left, context), _constant(node.right, context)
    if type(left) is not type(right) or not isinstance(left, int | float) or isinstance(left, bool):
        raise OttlError(f'"{node.operator}" takes two integers or two numbers with a point', node.column)
    result = _calculated(left, cast("float", right), node)
    if isinstance(result, int) and not -(2**63) <= result < 2**63:
        raise OttlError("the result does not fit into 64 bits", node.column)
    return result


def _calculated(left: float, right: float, node: Math) -> float:
    """Integers divide as Go's do: towards zero."""
    if node.operator != "/":
        return _MATH[node.operator](left, right)
    if right == 0:
        raise OttlError("division by zero", node.column)
    if isinstance(left, int) and isinstance(right, int):
        quotient = abs(left) // abs(right)
        return quotient if (left < 0) == (right < 0) else -quotient
    return left / right


def _id(call: Call) -> Id:
    (argument,) = arguments(call)
    size = _IDS[call.name]
    value = argument.value if isinstance(argument, Literal) else None
    if isinstance(value, str) and len(value) == 2 * size:
        try:
            value = bytes.fromhex(value)
        except ValueError:
            value = None
    if not isinstance(value, bytes) or len(value) != size:
        raise OttlError(f'"{call.name}" takes {size} bytes, such as 0x{"00" * size}', argument.column)
    return Id(value)


# ---- functions that say true or false


def _truth(call: Call, context: Context) -> Condition:
    found = arguments(call)
    match call.name:
        case "IsMatch":
            return kernel.Matches(_target(call, found[0], context), _pattern(call, found[1]))
        case "HasPrefix":
            return kernel.StartsWith(_target(call, found[0], context), _text(call, found[1]))
        case "HasSuffix":
            return kernel.EndsWith(_target(call, found[0], context), _text(call, found[1]))
        case "IsRootSpan":
            return _root(call, context)
        case "HasAttrKeyOnDatapoint" | "HasAttrOnDatapoint":
            if context is not Context.METRIC:
                raise OttlError(f'"{call.name}" belongs to the metric context', call.column)
            return kernel.PointHas(_text(call, found[0]), _text(call, found[1]) if len(found) > 1 else None)
        case name if name in _KINDS:
            return kernel.HasKind(_target(call, found[0], context), (cast("kernel.Kind", _KINDS[name]),))
        case name:
            raise OttlError(f'"{name}" does not say true or false', call.column)


def _root(call: Call, context: Context) -> Condition:
    if context is not Context.SPAN:
        raise OttlError('"IsRootSpan" belongs to the span context', call.column)
    return kernel.Compare(FieldOf("span.parent_span_id"), "==", Id(bytes(8)))


def _target(call: Call, node: Expression, context: Context) -> Fact:
    if not isinstance(node, Path):
        raise OttlError(f'"{call.name}" can only look at a path yet', node.column)
    return fact(node, context)


def _text(call: Call, node: Expression) -> str:
    if not isinstance(node, Literal) or not isinstance(node.value, str):
        raise OttlError(f'"{call.name}" takes a text as it stands, for now', node.column)
    return node.value


def _pattern(call: Call, node: Expression) -> str:
    pattern = _text(call, node)
    try:
        compile_pattern(pattern)
    except ValueError as error:
        raise OttlError(str(error), node.column) from None
    return pattern
