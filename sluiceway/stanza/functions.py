"""The functions of expressions, by the names that expr-lang gives them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

__all__ = ["FUNCTIONS", "Function", "shown", "text_of"]

_SHOWN: Final = 50  # characters of a value in an error
_WHOLE: Final = re.compile(r"[-+]?[0-9]{1,19}", re.ASCII)


class Function(NamedTuple):
    """What a function does, and how many arguments it may be given."""

    run: Callable[..., Any]
    counts: tuple[int, ...] = (1,)


def shown(value: Any) -> str:
    """A value in an error: what it is, and its beginning."""
    if isinstance(value, dict | list | bytes):
        return f"a {type(value).__name__} of {len(value)}"
    return repr(value)[:_SHOWN]


def text_of(value: Any) -> str:
    """A text, or `ValueError`."""
    if isinstance(value, str):
        return value
    raise ValueError(f"{shown(value)} is no text")


def _len(value: Any) -> int:
    if isinstance(value, str | list | dict | bytes):
        return len(value)
    raise ValueError(f"{shown(value)} has no length")


def _int(value: Any) -> int:
    if isinstance(value, str):
        if not _WHOLE.fullmatch(value):
            raise ValueError(f"{shown(value)} is no integer")
        return int(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return int(value)
        except (OverflowError, ValueError):
            raise ValueError(f"{shown(value)} is no integer") from None
    raise ValueError(f"{shown(value)} is no integer")


def _float(value: Any) -> float:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise ValueError(f"{shown(value)} is out of range") from None
    raise ValueError(f"{shown(value)} is no number")


def _string(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "<nil>"
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return str(value)


def _split(value: Any, separator: Any) -> list[str]:
    text, mark = text_of(value), text_of(separator)
    return text.split(mark) if mark else list(text)


def _trim(value: Any, characters: Any = None) -> str:
    return text_of(value).strip(None if characters is None else text_of(characters))


def _trim_prefix(value: Any, prefix: Any) -> str:
    return text_of(value).removeprefix(text_of(prefix))


def _trim_suffix(value: Any, suffix: Any) -> str:
    return text_of(value).removesuffix(text_of(suffix))


FUNCTIONS: Final = {
    "env": Function(lambda name: os.environ.get(text_of(name), "")),
    "float": Function(_float),
    "hasPrefix": Function(lambda text, start: text_of(text).startswith(text_of(start)), (2,)),
    "hasSuffix": Function(lambda text, end: text_of(text).endswith(text_of(end)), (2,)),
    "int": Function(_int),
    "len": Function(_len),
    "lower": Function(lambda text: text_of(text).lower()),
    "split": Function(_split, (2,)),
    "string": Function(_string),
    "trim": Function(_trim, (1, 2)),
    "trimPrefix": Function(_trim_prefix, (2,)),
    "trimSuffix": Function(_trim_suffix, (2,)),
    "upper": Function(lambda text: text_of(text).upper()),
}
