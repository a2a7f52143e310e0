"""Operators that change fields: add, copy, move, remove, retain, flatten, unquote, assign_keys, regex_replace."""

from __future__ import annotations

import copy as copying
import re
from time import thread_time
from typing import Annotated, Any, Final, Literal

from pydantic import Field as PydanticField
from pydantic import model_validator

from sluiceway.config.settings import mistake
from sluiceway.config.types import StringList
from sluiceway.otlp.selecting import compile_pattern
from sluiceway.stanza.entry import Entry
from sluiceway.stanza.expressions import compile_expression
from sluiceway.stanza.fields import MISSING, FieldName, field
from sluiceway.stanza.operators.operator import Operator, Pattern, Step, template

__all__ = ["Add", "AssignKeys", "Copy", "Flatten", "Move", "RegexReplace", "Remove", "Retain", "Unquote"]


class Add(Operator):
    """Puts a value into a field."""

    type: Literal["add"]
    """Which operator it is."""
    field: FieldName
    """The field that takes it."""
    value: Any
    """The value; in a text `EXPR(...)` stands for the value of an expression."""

    def step(self) -> Step:
        """Put the value; each entry gets its own copy."""
        put, whole = field(self.field).set, _whole(self.value)
        get = whole or template(self.value)
        fresh = copying.deepcopy if isinstance(self.value, dict | list) else _same

        def step(entry: Entry) -> None:
            put(entry, fresh(get(entry)))

        return step


def _whole(value: Any) -> Any:
    """For a text that is one `EXPR(...)` and nothing else: its expression, whose value keeps its type."""
    if isinstance(value, str) and value.startswith("EXPR(") and value.endswith(")"):
        try:
            return compile_expression(value[5:-1])
        except ValueError:
            return None  # perhaps two of them: `template` tells
    return None


def _same(value: Any) -> Any:
    return value


class Copy(Operator):
    """Copies a field."""

    type: Literal["copy"]
    """Which operator it is."""
    from_: Annotated[FieldName, PydanticField(alias="from")]
    """The field to copy."""
    to: FieldName
    """The field that takes the copy."""

    def step(self) -> Step:
        """Copy, deeply."""
        source, put = field(self.from_), field(self.to).set

        def step(entry: Entry) -> None:
            value = source.get(entry)
            if value is MISSING:
                raise ValueError(f"copy: from field does not exist in this entry: {source}")
            put(entry, copying.deepcopy(value))

        return step


class Move(Operator):
    """Moves a field."""

    type: Literal["move"]
    """Which operator it is."""
    from_: Annotated[FieldName, PydanticField(alias="from")]
    """The field to move."""
    to: FieldName
    """The field that takes it."""

    def step(self) -> Step:
        """Take it away, and put it; where it cannot be put, it stays."""
        source, target = field(self.from_), field(self.to)

        def step(entry: Entry) -> None:
            value = source.delete(entry)
            if value is MISSING:
                raise ValueError(f"move: field does not exist: {source}")
            try:
                target.set(entry, value)
            except ValueError:
                source.set(entry, value)
                raise

        return step


class Remove(Operator):
    """Takes a field away; `attributes` and `resource` take away all there are."""

    type: Literal["remove"]
    """Which operator it is."""
    field: FieldName
    """The field to take away."""

    def step(self) -> Step:
        """Take it away."""
        place = field(self.field)

        def step(entry: Entry) -> None:
            if place.delete(entry) is MISSING:
                raise ValueError(f"remove: field does not exist: {place}")

        return step


class Retain(Operator):
    """Keeps the fields named; of body, attributes or resource only those are touched that a field is named of."""

    type: Literal["retain"]
    """Which operator it is."""
    fields: Annotated[tuple[FieldName, ...], PydanticField(min_length=1)]
    """The fields to keep."""

    def step(self) -> Step:
        """Keep them, and take away the rest."""
        places = [field(name) for name in self.fields]
        roots = sorted({place.root for place in places})

        def step(entry: Entry) -> None:
            kept = [(place, value) for place in places if (value := place.get(entry)) is not MISSING]
            for root in roots:
                setattr(entry, root, None if root == "body" else {})
            for place, value in kept:
                place.set(entry, value)

        return step


class Flatten(Operator):
    """Lifts the members of a map to where the map stood."""

    type: Literal["flatten"]
    """Which operator it is."""
    field: FieldName
    """The map."""

    @model_validator(mode="after")
    def _need_parent(self) -> Flatten:
        if not field(self.field).keys:
            raise mistake("a root cannot be flattened", "field")
        return self

    def step(self) -> Step:
        """Lift the members."""
        place = field(self.field)
        parent = place.parent()

        def step(entry: Entry) -> None:
            values = place.get(entry)
            if type(values) is not dict:
                raise ValueError(f"apply flatten: field {place} is not a map")
            place.delete(entry)
            parent.set(entry, values)

        return step


class Unquote(Operator):
    """Takes the quotation marks off a text, and its escapes, as Go writes them."""

    type: Literal["unquote"]
    """Which operator it is."""
    field: FieldName
    """The text."""

    def step(self) -> Step:
        """Unquote."""
        place = field(self.field)

        def step(entry: Entry) -> None:
            value = place.get(entry)
            if not isinstance(value, str):
                raise ValueError(f"field {place} is not a string")  # noqa: TRY004 - one error for all values
            place.set(entry, unquoted(value))

        return step


_GO_ESCAPE: Final = re.compile(
    r"""\\(?:([abfnrtv\\'"])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|.|\Z)""", re.DOTALL
)
_SIMPLE: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def unquoted(text: str) -> str:
    """What a Go literal in quotation marks, back quotes or apostrophes stands for. Raises `ValueError` for others."""
    mark, inner = text[:1], text[1:-1]
    if len(text) < 2 or mark not in ('"', "`", "'") or text[-1] != mark:
        raise ValueError("invalid syntax")
    if mark == "`":
        if "`" in inner:
            raise ValueError("invalid syntax")
        return inner
    bare = _GO_ESCAPE.sub("", inner)
    if mark in bare or "\n" in bare:
        raise ValueError("invalid syntax")
    result = _GO_ESCAPE.sub(_meaning, inner)
    if mark == "'" and len(result) != 1:
        raise ValueError("invalid syntax")
    return result


def _meaning(match: re.Match[str]) -> str:
    simple, *codes = match.groups()
    if simple:
        return _SIMPLE.get(simple, simple)
    for digits, radix in zip(codes, (16, 16, 16, 8), strict=True):
        if digits:
            code = int(digits, radix)
            if code < 0x110000 and not 0xD800 <= code < 0xE000:
                return chr(code)
    raise ValueError("invalid syntax")


class AssignKeys(Operator):
    """Makes a map of a list, given the names of its items."""

    type: Literal["assign_keys"]
    """Which operator it is."""
    field: FieldName
    """The list."""
    keys: Annotated[StringList, PydanticField(min_length=1)]
    """The names."""

    def step(self) -> Step:
        """Name the items."""
        place, keys = field(self.field), self.keys

        def step(entry: Entry) -> None:
            values = place.get(entry)
            if not isinstance(values, list):
                raise ValueError(f"couldn't assign keys: field {place} is not a list")  # noqa: TRY004
            if len(values) != len(keys):
                raise ValueError(f"couldn't assign keys: {len(keys)} keys for {len(values)} values")
            place.set(entry, dict(zip(keys, values, strict=True)))

        return step


_NAMED: Final = {
    "ansi_control_sequences": r"\x1B(?:[@-Z\\-_]|\[[0-?]*[ -/]*[@-~])",
}
_REFERENCE: Final = re.compile(r"\$(?:\$|\{(\w+)\}|(\w+))", re.ASCII)
_MAX_SECONDS: Final = 0.1  # of work for one text
_MAX_RESULT: Final = 16 * 1024 * 1024


class RegexReplace(Operator):
    """Replaces what a pattern matches in a text."""

    type: Literal["regex_replace"]
    """Which operator it is."""
    field: FieldName
    """The text."""
    regex: Pattern = ""
    """RE2. Exactly one of `regex` and `regex_name` is needed."""
    regex_name: str = ""
    """A pattern by name: `ansi_control_sequences`."""
    replace_with: str = ""
    """What takes the place; `$1`, `${1}` and `${name}` are groups, `$$` is a dollar sign."""

    @model_validator(mode="after")
    def _need_one(self) -> RegexReplace:
        if bool(self.regex) is bool(self.regex_name):
            raise mistake("either regex or regex_name must be set")
        if self.regex_name and self.regex_name not in _NAMED:
            raise mistake(f"regex_name {self.regex_name[:50]} is unknown", "regex_name")
        return self

    def step(self) -> Step:
        """Replace."""
        place, pattern = field(self.field), compile_pattern(self.regex or _NAMED[self.regex_name])
        parts = _pieces(self.replace_with, {name.decode(): at for name, at in pattern.groupindex.items()})
        groups = pattern.groups

        deadline = 0.0

        def fill(match: Any) -> bytes:
            if thread_time() > deadline:
                raise ValueError("regex_replace: it takes too long")
            return b"".join(
                part if isinstance(part, bytes) else (match[part] or b"") if part <= groups else b"" for part in parts
            )

        def step(entry: Entry) -> None:
            value = place.get(entry)
            if not isinstance(value, str):
                raise ValueError(f"regex_replace: field {place} is not a string")  # noqa: TRY004
            nonlocal deadline
            # One search is linear, but as many of them as there are matches may be quadratic.
            deadline = thread_time() + _MAX_SECONDS
            result = pattern.sub(fill, value.encode(errors="replace"))
            if len(result) > _MAX_RESULT:
                raise ValueError("regex_replace: the result is too long")
            place.set(entry, result.decode(errors="replace"))

        return step


def _pieces(text: str, names: dict[str, int]) -> list[bytes | int]:
    """Texts and numbers of groups. As in Go, a name that no group has stands for nothing."""
    parts: list[bytes | int] = []
    at = 0
    for match in _REFERENCE.finditer(text):
        parts.append(text[at : match.start()].encode(errors="replace"))
        name = match[1] or match[2]
        if name is None:
            parts.append(b"$")
        elif name.isdigit():
            parts.append(int(name[:6]))
        else:
            parts.append(names.get(name, 10**6))
        at = match.end()
    return [*parts, text[at:].encode(errors="replace")]
