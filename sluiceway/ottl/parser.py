"""From tokens to a tree: OTTL's grammar, read from left to right.

`not` binds more tightly than `and`, and that more tightly than `or`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from sluiceway.ottl.errors import OttlError
from sluiceway.ottl.lexer import Kind, Token, tokens
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

__all__ = ["parse_condition"]

MAX_DEPTH = 100
"""How deep parentheses, lists and calls may be nested, and how many operators may follow each other."""

_WORDS = {"and", "or", "not", "where", "true", "false", "nil"}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)", re.DOTALL)
_Node = TypeVar("_Node")


def parse_condition(text: str) -> Boolean:
    """Parse a boolean expression. Raises `OttlError` with the column of what is wrong."""
    parser = _Parser(text)
    condition = parser.either()
    if parser.next.text == "where":
        raise OttlError('"where" belongs to a statement, and this is a condition', parser.next.column)
    if parser.next.kind is not Kind.END:
        raise parser.unexpected("and, or, or the end")
    return condition


class _Parser:
    """Reads tokens one by one; every method takes those of what it is called after."""

    def __init__(self, text: str) -> None:
        self.tokens = tokens(text)
        self.place = 0
        self.depth = 0

    @property
    def next(self) -> Token:
        return self.tokens[self.place]

    def unexpected(self, wanted: str) -> OttlError:
        found = f'"{self.next.text}"' if self.next.text else "the end"
        return OttlError(f"expected {wanted}, found {found}", self.next.column)

    def take(self) -> Token:
        token = self.next
        self.place += 1
        return token

    def takes(self, text: str) -> bool:
        if self.next.text != text or self.next.kind is Kind.STRING:
            return False
        self.place += 1
        return True

    def require(self, text: str) -> None:
        if not self.takes(text):
            raise self.unexpected(f'"{text}"')

    def nested(self, read: Callable[[], _Node]) -> _Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise OttlError(f"nested deeper than {MAX_DEPTH}", self.next.column)
        node = read()
        self.depth -= 1
        return node

    # ---- booleans

    def either(self) -> Boolean:
        column = self.next.column
        conditions = [self.all()]
        while self.takes("or"):
            conditions.append(self.all())
        return conditions[0] if len(conditions) == 1 else Or(tuple(conditions), column)

    def all(self) -> Boolean:
        column = self.next.column
        conditions = [self.negation()]
        while self.takes("and"):
            conditions.append(self.negation())
        return conditions[0] if len(conditions) == 1 else And(tuple(conditions), column)

    def negation(self) -> Boolean:
        column = self.next.column
        return Not(self.nested(self.negation), column) if self.takes("not") else self.term()

    def term(self) -> Boolean:
        """A comparison, a truth, or a condition in parentheses, which begins as one of a sum may."""
        start, depth, column = self.place, self.depth, self.next.column
        try:
            return self.comparison()
        except OttlError as error:
            if self.tokens[start].text != "(":
                raise
            self.place, self.depth, failure = start + 1, depth, error
        condition = self.nested(self.either)
        if not self.takes(")"):
            raise failure if failure.column > self.next.column else self.unexpected('")"')
        if self.next.kind is Kind.COMPARISON:
            raise OttlError("a condition in parentheses cannot be compared", column)
        return condition

    def comparison(self) -> Boolean:
        column = self.next.column
        left = self.value()
        if self.next.kind is Kind.COMPARISON:
            return Comparison(left, self.take().text, self.value(), column)
        if isinstance(left, Call) and not left.keys:
            return Truth(left, column)
        if isinstance(left, Literal) and isinstance(left.value, bool):
            return Truth(left.value, column)
        raise self.unexpected("a comparison (==, !=, <, <=, >, >=)")

    # ---- values

    def value(self) -> Expression:
        """A sum."""
        return self.chain("+-", self.product)

    def product(self) -> Expression:
        return self.chain("*/", self.factor)

    def chain(self, operators: str, read: Callable[[], Expression]) -> Expression:
        """What `read` reads, once or with operators between."""
        left, depth = read(), 0
        while self.next.kind is Kind.MATH and self.next.text in operators:
            token, depth = self.take(), depth + 1
            if depth > MAX_DEPTH:
                raise OttlError(f"more than {MAX_DEPTH} operators in a row", token.column)
            left = Math(left, token.text, read(), token.column)
        return left

    def factor(self) -> Expression:
        token = self.next
        if self.takes("("):
            inner = self.nested(self.value)
            self.require(")")
            return inner
        match token.kind:
            case Kind.STRING:
                return Literal(_unquoted(self.take()), token.column)
            case Kind.INT:
                return Literal(_integer(self.take()), token.column)
            case Kind.FLOAT:
                return Literal(float(self.take().text), token.column)
            case Kind.BYTES:
                return Literal(_bytes(self.take()), token.column)
            case Kind.NAME:
                return self.named()
        if self.takes("["):
            return self.nested(lambda: self.list(token.column))
        if self.takes("{"):
            return self.nested(lambda: self.map(token.column))
        raise self.unexpected("a value")

    def named(self) -> Expression:
        token = self.take()
        if token.text in ("true", "false", "nil"):
            return Literal({"true": True, "false": False, "nil": None}[token.text], token.column)
        if token.text in _WORDS:
            self.place -= 1
            raise self.unexpected("a value")
        if self.next.text == "(":
            return self.nested(lambda: self.call(token))
        if token.text[0].islower():
            return self.path(token)
        if token.text.upper() != token.text:
            raise OttlError(f'"{token.text}" is neither a path, which is in lower case, nor a call', token.column)
        return Enum(token.text, token.column)

    def call(self, name: Token) -> Call:
        if name.text[0].islower():
            text = f'converter names must start with an uppercase letter but got "{name.text}"'
            raise OttlError(text, name.column)
        self.require("(")
        arguments: list[Expression] = []
        named: list[tuple[str, Expression]] = []
        while not self.takes(")"):
            if arguments or named:
                self.require(",")
            if self.next.kind is Kind.NAME and self.tokens[self.place + 1].kind is Kind.EQUAL:
                key = self.take().text
                self.take()
                named.append((key, self.value()))
            elif named:
                raise OttlError("an argument without a name stands behind one with a name", self.next.column)
            else:
                arguments.append(self.value())
        return Call(name.text, tuple(arguments), tuple(named), self.keys(), name.column)

    def path(self, first: Token) -> Path:
        segments = [Segment(first.text, self.keys(), first.column)]
        while self.takes("."):
            if self.next.kind is not Kind.NAME:
                raise self.unexpected("a name")
            token = self.take()
            segments.append(Segment(token.text, self.keys(), token.column))
        return Path(tuple(segments), first.column)

    def keys(self) -> tuple[Expression, ...]:
        found: list[Expression] = []
        while self.takes("["):
            found.append(self.nested(self.value))
            self.require("]")
        return tuple(found)

    def list(self, column: int) -> ListOf:
        items: list[Expression] = []
        while not self.takes("]"):
            if items:
                self.require(",")
            items.append(self.value())
        return ListOf(tuple(items), column)

    def map(self, column: int) -> MapOf:
        items: list[tuple[str, Expression]] = []
        while not self.takes("}"):
            if items:
                self.require(",")
            if self.next.kind is not Kind.STRING:
                raise self.unexpected("a text")
            key = _unquoted(self.take())
            self.require(":")
            items.append((key, self.value()))
        return MapOf(tuple(items), column)


def _unquoted(token: Token) -> str:
    def replaced(match: re.Match[str]) -> str:
        escape = match[1]
        if len(escape) > 1:
            try:
                return chr(int(escape.lstrip("xuU"), 8 if escape[0].isdigit() else 16))
            except ValueError:
                raise OttlError(f'invalid escape "\\{escape}"', token.column + 1 + match.start()) from None
        if escape in _ESCAPES or escape in '\\"':
            return _ESCAPES.get(escape, escape)
        text = f'invalid escape "\\{escape}": a backslash itself is written "\\\\"'
        raise OttlError(text, token.column + 1 + match.start())

    return _ESCAPE.sub(replaced, token.text[1:-1])


def _integer(token: Token) -> int:
    value = int(token.text)
    if not -(2**63) <= value < 2**63:
        raise OttlError("an integer that does not fit into 64 bits", token.column)
    return value


def _bytes(token: Token) -> bytes:
    digits = token.text[2:]
    if len(digits) % 2:
        raise OttlError("bytes with half a byte: an odd number of digits", token.column)
    return bytes.fromhex(digits)
