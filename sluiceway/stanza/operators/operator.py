"""What all operators have in common: their keys, and what they make of an entry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import AfterValidator
from pydantic import Field as PydanticField

from sluiceway.config.settings import Settings
from sluiceway.otlp.selecting import compile_pattern
from sluiceway.stanza.entry import Entry
from sluiceway.stanza.expressions import Evaluate, Expression, compile_expression

__all__ = ["OnError", "Operator", "Outputs", "Pattern", "Step", "Template", "is_template", "template"]

Step: TypeAlias = Callable[[Entry], None]
"""Changes one entry. Raises `ValueError` where it cannot."""
OnError: TypeAlias = Literal["send", "drop", "send_quiet", "drop_quiet"]


def _check_pattern(text: str) -> str:
    compile_pattern(text)
    return text


Pattern = Annotated[str, AfterValidator(_check_pattern)]
"""A setting that holds RE2."""

_OPEN: Final = "EXPR("


def is_template(value: Any) -> bool:
    """Whether a value depends on the entry."""
    return isinstance(value, str) and _OPEN in value


def template(value: Any) -> Evaluate:
    """What gives a value in which a text may hold `EXPR(...)`; a text stays a text, as in the Collector."""
    if not is_template(value):
        return lambda entry: value  # noqa: ARG005 - as every closure
    parts = _cut(value)

    def fill(entry: Entry) -> str:
        texts = []
        for part in parts:
            if isinstance(part, str):
                texts.append(part)
            else:
                result = part(entry)
                if not isinstance(result, str):
                    raise ValueError(f"an EXPR() gives a text, not {type(result).__name__}")  # noqa: TRY004
                texts.append(result)
        return "".join(texts)

    return fill


def _cut(text: str) -> list[str | Evaluate]:
    parts: list[str | Evaluate] = []
    at = 0
    while (start := text.find(_OPEN, at)) >= 0:
        end = _closing(text, start + len(_OPEN))
        parts += [text[at:start], compile_expression(text[start + len(_OPEN) : end])]
        at = end + 1
    return [*parts, text[at:]]


def _closing(text: str, at: int) -> int:
    """The place of the parenthesis that ends an `EXPR(`: those inside it come in pairs, but for those in texts."""
    level, quote, place = 0, "", at
    while place < len(text):
        sign = text[place]
        if quote:
            if sign == "\\" and quote != "`":
                place += 1
            elif sign == quote:
                quote = ""
        elif sign in "\"'`":
            quote = sign
        elif sign == "(":
            level += 1
        elif sign == ")":
            if not level:
                return place
            level -= 1
        place += 1
    raise ValueError(f'"{text[:100]}" lacks the ) that ends its EXPR(')


def _check_template(value: Any) -> Any:
    template(value)
    return value


Template = Annotated[str, AfterValidator(_check_template)]
"""A setting in which `EXPR(...)` stands for the value of an expression."""


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Outputs: TypeAlias = str | tuple[str, ...]


class Operator(Settings):
    """The keys that every operator knows."""

    type: str
    """Which operator it is."""
    id: str = ""
    """Its name, by which others send entries to it; its type where none is given."""
    output: Outputs | None = None
    """The operators that get the entries next; the one that follows by default."""
    if_: Annotated[Expression | None, PydanticField(alias="if")] = None
    """An expression: entries for which it is not true pass by unchanged."""
    on_error: OnError = "send"
    """What becomes of an entry that cannot be processed: it goes on, or is dropped, with an error logged or without."""

    @property
    def name(self) -> str:
        """The id that others send entries to."""
        return self.id or self.type

    @property
    def outputs(self) -> tuple[str, ...]:
        """The operators named as outputs; none means the next one."""
        return () if self.output is None else (self.output,) if isinstance(self.output, str) else self.output

    def step(self) -> Step:
        """What is done with one entry. Raises `ValueError` for settings that make no sense together."""
        raise NotImplementedError
