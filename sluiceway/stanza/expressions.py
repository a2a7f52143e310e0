"""The language of `if`, `expr` and `EXPR(...)`: what the Collector's users write of expr-lang, compiled to closures.

Nothing is evaluated by Python itself: a text becomes tokens, these a tree of closures, and each closure does one thing.
Sizes are bounded where it is compiled, and patterns are RE2, so that the time stays linear in the entry.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final, NamedTuple, TypeAlias

from pydantic import AfterValidator

from sluiceway.otlp.selecting import compile_pattern
from sluiceway.stanza.entry import Entry
from sluiceway.stanza.functions import FUNCTIONS, shown, text_of

__all__ = ["Evaluate", "Expression", "compile_expression"]

Evaluate: TypeAlias = Callable[[Entry], Any]
"""Gives the value for an entry; raises `ValueError` where types do not fit."""

_MAX_TEXT: Final = 10_000
_MAX_DEPTH: Final = 40

_TOKEN: Final = re.compile(
    r"""\s*(?:
    (?P<number>\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)
  | (?P<text>"(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*')
  | (?P<raw>`[^`]*`)
  | (?P<name>[A-Za-z_$][A-Za-z0-9_]*)
  | (?P<sign>\?\?|\?\.|\*\*|==|!=|<=|>=|&&|\|\||[-+*/%<>!?:.,()\[\]{}])
    )""",
    re.VERBOSE | re.DOTALL,
)
_NAMES: Final = frozenset({"and", "or", "not", "in", "matches", "contains", "startsWith", "endsWith"})
_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'"}

_LEVELS: Final = {
    "??": 1, "||": 2, "or": 2, "&&": 3, "and": 3, "==": 4, "!=": 4, "<": 4, "<=": 4, ">": 4, ">=": 4, "in": 4,
    "matches": 4, "contains": 4, "startsWith": 4, "endsWith": 4, "+": 5, "-": 5, "*": 6, "/": 6, "%": 6, "**": 7,
}  # fmt: skip
_UNARY_LEVEL: Final = 6

_ROOTS: Final[dict[str, Evaluate]] = {
    "body": operator.attrgetter("body"),
    "attributes": operator.attrgetter("attributes"),
    "resource": operator.attrgetter("resource"),
    "timestamp": operator.attrgetter("time"),
    "severity": operator.attrgetter("severity"),
    "severity_number": operator.attrgetter("severity"),
    "severity_text": operator.attrgetter("severity_text"),
    "$": operator.attrgetter("body"),
    "$body": operator.attrgetter("body"),
    "$attributes": operator.attrgetter("attributes"),
    "$resource": operator.attrgetter("resource"),
}
_CONSTANTS: Final = {"true": True, "false": False, "nil": None}


class _Token(NamedTuple):
    kind: str
    text: str
    column: int


@dataclass(frozen=True, slots=True)
class _Constant:
    """A closure whose value does not depend on the entry."""

    value: Any

    def __call__(self, entry: Entry) -> Any:  # noqa: ARG002 - as every closure
        return self.value


def compile_expression(text: str) -> Evaluate:
    """Compile an expression. Raises `ValueError` that tells the column and what was expected."""
    if len(text) > _MAX_TEXT:
        raise ValueError(f"an expression has at most {_MAX_TEXT} characters")
    return _Parser(list(_tokens(text))).whole()


def _tokens(text: str) -> Iterator[_Token]:
    at, end = 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise ValueError(f"unexpected {text[at:].lstrip()[:1]!r} at column {end - len(text[at:end].lstrip()) + 1}")
        kind, value = match.lastgroup, match[match.lastgroup]
        yield _Token("sign" if kind == "name" and value in _NAMES else kind, value, match.start(kind) + 1)
        at = match.end()
    yield _Token("end", "the end", end + 1)


class _Parser:
    """Precedence climbing over the tokens of one expression."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def whole(self) -> Evaluate:
        found = self._expression()
        if self._next.kind != "end":
            raise self._unexpected()
        return found

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _unexpected(self, wanted: str = "") -> ValueError:
        token = self._next
        hint = f", expected {wanted}" if wanted else ""
        return ValueError(f"unexpected {token.text[:50]} at column {token.column}{hint}")

    def _take(self, *signs: str) -> str:
        """Take the next token if it is one of these."""
        token = self._next
        if token.kind != "sign" or token.text not in signs:
            return ""
        self._at += 1
        return token.text

    def _need(self, sign: str) -> None:
        if not self._take(sign):
            raise self._unexpected(sign)

    def _expression(self) -> Evaluate:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise ValueError(f"an expression is nested deeper than {_MAX_DEPTH}")
        found = self._binary(self._unary(), 0)
        if self._take("?"):
            first = self._expression()
            self._need(":")
            found = _choice(found, first, self._expression())
        self._depth -= 1
        return found

    def _binary(self, left: Evaluate, lowest: int) -> Evaluate:
        links = 0
        while True:
            negated = self._negated()
            sign = self._tokens[self._at + negated].text if self._tokens[self._at + negated].kind == "sign" else ""
            level = _LEVELS.get(sign, 0)
            if level <= lowest:
                return left
            links += 1
            if links > _MAX_DEPTH:
                raise ValueError(f"an expression links more than {_MAX_DEPTH} parts")
            self._at += 1 + negated
            # `**` binds to the right, all others to the left.
            right = self._binary(self._unary(), level - 1 if sign == "**" else level)
            left = _not(_link(sign, left, right)) if negated else _link(sign, left, right)

    def _negated(self) -> bool:
        """Whether `not in`, `not matches` and the like comes."""
        token = self._next
        if token.kind != "sign" or token.text != "not":
            return False
        return self._tokens[self._at + 1].text in ("in", "matches", "contains", "startsWith", "endsWith")

    def _unary(self) -> Evaluate:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise ValueError(f"an expression is nested deeper than {_MAX_DEPTH}")
        sign = self._take("not", "!", "-", "+")
        if not sign:
            found = self._postfix(self._primary())
        elif sign in ("not", "!"):
            # As in expr-lang, `not` binds more weakly than comparisons do.
            found = _not(self._binary(self._unary(), 3) if sign == "not" else self._unary())
        else:
            found = _signed(self._binary(self._unary(), _UNARY_LEVEL), sign)
        self._depth -= 1
        return found

    def _primary(self) -> Evaluate:
        token = self._next
        self._at += 1
        match token.kind:
            case "number":
                return _Constant(int(token.text) if token.text.isdigit() else float(token.text))
            case "text":
                return _Constant(_unquoted(token.text))
            case "raw":
                return _Constant(token.text[1:-1])
            case "name":
                return self._named(token)
            case "sign" if token.text == "(":
                found = self._expression()
                self._need(")")
                return found
            case "sign" if token.text == "[":
                items = self._list("]")
                return lambda entry: [item(entry) for item in items]
        self._at -= 1
        raise self._unexpected("a value")

    def _named(self, token: _Token) -> Evaluate:
        name = token.text
        if self._take("("):
            call = FUNCTIONS.get(name)
            if call is None:
                raise ValueError(f"unknown function {name[:50]} at column {token.column}")
            parameters = self._list(")")
            if len(parameters) not in call.counts:
                raise ValueError(f"{name} takes {call.counts[0]} arguments, not {len(parameters)}")
            run = call.run
            return lambda entry: run(*[parameter(entry) for parameter in parameters])
        if name in _CONSTANTS:
            return _Constant(_CONSTANTS[name])
        if name not in _ROOTS:
            raise ValueError(f"unknown name {name[:50]} at column {token.column}")
        return _ROOTS[name]

    def _list(self, end: str) -> list[Evaluate]:
        found: list[Evaluate] = []
        while not self._take(end):
            if found:
                self._need(",")
            found.append(self._expression())
        return found

    def _postfix(self, found: Evaluate) -> Evaluate:
        steps = 0
        while sign := self._take(".", "?.", "["):
            steps += 1
            if steps > _MAX_DEPTH:
                raise ValueError(f"an expression reaches deeper than {_MAX_DEPTH}")
            if sign == "[":
                found = _item(found, self._expression())
                self._need("]")
            else:
                if self._next.kind != "name":
                    raise self._unexpected("a name")
                found = _item(found, _Constant(self._next.text))
                self._at += 1
        return found


def _unquoted(text: str) -> str:
    def meaning(match: re.Match[str]) -> str:
        if match[3] is None:
            return chr(int(match[1] or match[2], 16))
        if match[3] not in _ESCAPES:
            raise ValueError(rf"unknown escape \{match[3]}: write a pattern's backslash twice, or use `...`")
        return _ESCAPES[match[3]]

    return _ESCAPE.sub(meaning, text[1:-1])


def _choice(asked: Evaluate, first: Evaluate, second: Evaluate) -> Evaluate:
    return lambda entry: first(entry) if _truth(asked(entry)) else second(entry)


def _not(value: Evaluate) -> Evaluate:
    return lambda entry: not _truth(value(entry))


def _truth(value: Any) -> bool:
    if value is True or value is False:
        return value
    raise ValueError(f"{shown(value)} is not true or false")


def _signed(value: Evaluate, sign: str) -> Evaluate:
    if sign == "+":
        return lambda entry: +_number(value(entry))
    return lambda entry: -_number(value(entry))


def _item(container: Evaluate, key: Evaluate) -> Evaluate:
    """A member of a map, nil where there is none; an item of a list, from its end where the index is negative."""

    def get(entry: Entry) -> Any:
        values, name = container(entry), key(entry)
        if isinstance(values, dict):
            return values.get(name) if isinstance(name, str) else None
        if values is None:
            return None
        if isinstance(values, list | str) and isinstance(name, int) and not isinstance(name, bool):
            if -len(values) <= name < len(values):
                return values[name]
            raise ValueError(f"there is no item {name} in a list of {len(values)}")
        raise ValueError(f"{shown(values)} has no member {shown(name)}")

    return get


def _link(sign: str, left: Evaluate, right: Evaluate) -> Evaluate:
    match sign:
        case "&&" | "and":
            return lambda entry: _truth(left(entry)) and _truth(right(entry))
        case "||" | "or":
            return lambda entry: _truth(left(entry)) or _truth(right(entry))
        case "??":
            return lambda entry: right(entry) if (found := left(entry)) is None else found
        case "matches":
            return _matches(left, right)
        case "==":
            return lambda entry: _equal(left(entry), right(entry))
        case "!=":
            return lambda entry: not _equal(left(entry), right(entry))
    run = _BINARY[sign]
    return lambda entry: run(left(entry), right(entry))


def _matches(left: Evaluate, right: Evaluate) -> Evaluate:
    if not isinstance(right, _Constant) or not isinstance(right.value, str):
        raise ValueError("the pattern of matches must be a text that is written out")  # noqa: TRY004
    search = compile_pattern(right.value).search

    def matches(entry: Entry) -> bool:
        value = left(entry)
        return value is not None and search(text_of(value).encode(errors="replace")) is not None

    return matches


def _equal(left: Any, right: Any) -> bool:
    if isinstance(left, bool) is not isinstance(right, bool):
        return False
    return bool(left == right)


def _number(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise ValueError(f"{shown(value)} is no number")


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def run(left: Any, right: Any) -> bool:
        if isinstance(left, str) and isinstance(right, str):
            return compare(left, right)
        return compare(_number(left), _number(right))

    return run


def _add(left: Any, right: Any) -> Any:
    if isinstance(left, str) and isinstance(right, str):
        return left + right
    return _arithmetic(operator.add)(left, right)


def _arithmetic(calculate: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def run(left: Any, right: Any) -> Any:
        try:
            result = calculate(_number(left), _number(right))
        except ArithmeticError as error:
            raise ValueError(str(error)) from None
        if isinstance(result, complex) or (isinstance(result, int) and not -(2**63) <= result < 2**63):
            raise ValueError("a result is out of range")
        return result

    return run


def _within(left: Any, right: Any) -> bool:
    if right is None:
        return False
    if isinstance(right, dict):
        return isinstance(left, str) and left in right
    if isinstance(right, list):
        return any(_equal(left, item) for item in right)
    raise ValueError(f"{shown(right)} is neither a list nor a map")


def _remainder(left: Any, right: Any) -> Any:
    """As Go has it: of integers, and with the sign of the first."""
    if not isinstance(left, int) or not isinstance(right, int):
        raise ValueError("% takes integers")  # noqa: TRY004 - one error for all values
    return abs(left) % abs(right) * (-1 if left < 0 else 1)


_BINARY: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "<": _ordered(operator.lt),
    "<=": _ordered(operator.le),
    ">": _ordered(operator.gt),
    ">=": _ordered(operator.ge),
    "in": _within,
    "contains": lambda left, right: text_of(right) in text_of(left),
    "startsWith": lambda left, right: text_of(left).startswith(text_of(right)),
    "endsWith": lambda left, right: text_of(left).endswith(text_of(right)),
    "+": _add,
    "-": _arithmetic(operator.sub),
    "*": _arithmetic(operator.mul),
    "/": _arithmetic(operator.truediv),
    "%": _arithmetic(_remainder),
    "**": _arithmetic(lambda left, right: float(left) ** float(right)),
}


def _check(text: str) -> str:
    compile_expression(text)
    return text


Expression = Annotated[str, AfterValidator(_check)]
"""A setting that holds an expression; `compile_expression` reads it."""
