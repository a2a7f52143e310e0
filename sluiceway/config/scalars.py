"""What a plain YAML scalar means: YAML 1.2's booleans and null, and numbers as Go's yaml.v3 reads them.

So `on`, `no`, `1:30` and dates are text, `017` is octal, and `1_000` is a number, as users of the Collector know it.
"""

from __future__ import annotations

import re

from sluiceway.config.tree import Scalar

__all__ = ["resolve", "resolve_tagged"]

_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_INTEGER = re.compile(r"([-+]?)(?:0x([0-9a-f]+)|0b([01]+)|0o?([0-7]+)|(0|[1-9][0-9]*))", re.IGNORECASE | re.ASCII)
_BASES = (16, 2, 8, 10)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_MAX_DIGITS = 400
_LARGEST = 2**64

_TAG = "tag:yaml.org,2002:"
_TYPES: dict[str, tuple[type, ...]] = {
    "null": (type(None),),
    "bool": (bool,),
    "int": (int,),
    "float": (float, int),
}


def resolve(text: str) -> Scalar:
    """Return what a plain scalar stands for."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    digits = text.replace("_", "")
    if len(digits) > _MAX_DIGITS:
        return text
    match = _INTEGER.fullmatch(digits)
    if match is not None:
        number = _integer(match)
        return number if -_LARGEST // 2 <= number < _LARGEST else float(number)
    return float(digits) if _FLOAT.fullmatch(digits) else text


def _integer(match: re.Match[str]) -> int:
    sign, *groups = match.groups()
    number = next(int(group, base) for group, base in zip(groups, _BASES, strict=True) if group is not None)
    return -number if sign == "-" else number


def resolve_tagged(text: str, tag: str) -> Scalar:
    """Return what a scalar with an explicit tag (`!!str`, `!!int`) stands for; raise `ValueError` when it cannot be."""
    kind = tag.removeprefix(_TAG)
    if tag == "!" or kind == "str":
        return text
    if not tag.startswith(_TAG) or kind not in _TYPES:
        raise ValueError(f"unsupported tag {tag}")
    value = resolve(text)
    if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "bool"):
        raise ValueError(f'cannot read "{text[:50]}" as {kind}')
    return float(value) if kind == "float" and isinstance(value, int) else value
