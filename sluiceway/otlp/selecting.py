"""Compile the conditions of selections: strict ones to bytes that the kernel compares, patterns to what it asks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from sluiceway.otlp.actions import Match, Value
from sluiceway.otlp.anyvalue import decode_value, encode_value
from sluiceway.otlp.rewriting import match_text, value_text
from sluiceway.otlp.steps import Ask, Condition, Fact, Mode, Test

if TYPE_CHECKING:
    import re2

__all__ = ["check_characters", "comparable", "compile_match", "compile_pattern", "named"]

_KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
_KIND_NAMES = tuple(f"SPAN_KIND_{kind}" for kind in _KINDS)
_UNKNOWN_KINDS = 0xFFFFFFFF & ~0x3F
_NO_SERVICE = "<nil-service-name>"


_ESCAPE = re.compile(r"\\Q.*?(?:\\E|\Z)|\\(.)", re.DOTALL)


def check_characters(pattern: str) -> None:
    r"""Refuse a pattern with `\C`, which cuts characters and which Go's RE2 does not know, either: by `ValueError`."""
    if any(match[1] == "C" for match in _ESCAPE.finditer(pattern)):
        raise ValueError(rf'invalid pattern "{pattern[:200]}": invalid escape sequence: \C')


def compile_pattern(pattern: str) -> re2._Regexp:
    """Compile RE2 for matching bytes of UTF-8. Raises `ValueError` with RE2's reason."""
    import re2

    check_characters(pattern)
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern.encode(), options)
    except (re2.error, UnicodeEncodeError) as error:
        raise ValueError(f'invalid pattern "{pattern}": {_reason(error)}') from None


def _reason(error: Exception) -> str:
    reason = error.args[0] if error.args else "not valid"
    return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)


def named(pattern: re2._Regexp) -> Ask:
    """Ask whether a text matches the pattern."""
    return lambda text: b"" if pattern.search(text) else None


def compile_match(match: Match | None) -> tuple[Condition, ...] | None:
    """The conditions of a match, in the order in which their facts become known; None for no match."""
    if match is None:
        return None
    return (
        *_services(match),
        *(_attribute(Fact.RESOURCE_ATTRIBUTE, key, value, match.regexp) for key, value in match.resources),
        *_libraries(match),
        *_texts(Fact.NAME, match.span_names, match.regexp),
        *_kinds(match),
        *_bodies(match),
        *_texts(Fact.SEVERITY_TEXT, match.log_severity_texts, match.regexp),
        *_severity(match),
        *_texts(Fact.METRIC, match.metric_names, match.regexp),
        *(_attribute(Fact.ITEM_ATTRIBUTE, key, value, match.regexp) for key, value in match.attributes),
    )


def _any_pattern(patterns: Sequence[str]) -> Callable[[bytes], bool]:
    compiled = [compile_pattern(pattern) for pattern in patterns]
    return lambda text: any(pattern.search(text) for pattern in compiled)


def _text_test(texts: Sequence[str], regexp: bool) -> Test:
    if not regexp:
        return Test(Mode.ONE_OF, tuple(text.encode() for text in texts))
    found = _any_pattern(texts)
    return Test(Mode.ASKED, ask=lambda text: b"" if found(text) else None)


def _texts(fact: Fact, texts: Sequence[str], regexp: bool) -> list[Condition]:
    return [Condition(fact, (_text_test(texts, regexp),))] if texts else []


def _value_text_test(texts: Sequence[str], regexp: bool) -> Test:
    """Test the text form of a value of any kind."""
    found = _any_pattern(texts) if regexp else {text.encode() for text in texts}.__contains__

    def ask(content: bytes) -> bytes | None:
        return b"" if found(value_text(decode_value(content)).encode()) else None

    return Test(Mode.ASKED if regexp else Mode.ONE_OF, tuple(text.encode() for text in texts), ask=ask)


def _services(match: Match) -> list[Condition]:
    if not match.services:
        return []
    test = _value_text_test(match.services, match.regexp)
    return [Condition(Fact.SERVICE, (test,), b"service.name", absent=encode_value(_NO_SERVICE))]


def _bodies(match: Match) -> list[Condition]:
    return [Condition(Fact.BODY, (_value_text_test(match.log_bodies, match.regexp),))] if match.log_bodies else []


def _libraries(match: Match) -> list[Condition]:
    tests = [
        test
        for name, version in match.libraries
        for test in (
            _text_test((name,), match.regexp),
            Test(Mode.ANYTHING) if version is None else _text_test((version,), match.regexp),
        )
    ]
    return [Condition(Fact.LIBRARY, tuple(tests))] if tests else []


def _kinds(match: Match) -> list[Condition]:
    if not match.span_kinds:
        return []
    if match.regexp:
        found = _any_pattern(match.span_kinds)
        kinds = sum(1 << number for number, name in enumerate(_KIND_NAMES) if found(name.encode()))
        return [Condition(Fact.KIND, kinds=kinds | (_UNKNOWN_KINDS if found(b"") else 0))]
    return [Condition(Fact.KIND, kinds=sum({1 << _kind_number(kind) for kind in match.span_kinds}))]


def _kind_number(kind: str) -> int:
    short = kind.upper().removeprefix("SPAN_KIND_")
    if short not in _KINDS:
        raise ValueError(f'"{kind}" is not a span kind; they are {", ".join(_KIND_NAMES)}')
    return _KINDS.index(short)


def _severity(match: Match) -> list[Condition]:
    if match.log_severity_min is None and not match.log_severity_undefined:
        return []
    least = -1 if match.log_severity_min is None else match.log_severity_min
    return [Condition(Fact.SEVERITY, least=least, undefined=match.log_severity_undefined)]


def _attribute(fact: Fact, key: str, value: Value | None, regexp: bool) -> Condition:
    if not key:
        raise ValueError("can't have empty key in the list of attributes")
    return Condition(fact, (_attribute_test(key, value, regexp),), key.encode())


def _attribute_test(key: str, value: Value | None, regexp: bool) -> Test:
    if value is None:
        return Test(Mode.ANYTHING)
    content = encode_value(value)
    if not regexp:
        wanted = comparable(decode_value(content))
        return Test(
            Mode.EQUAL,
            value=content,
            ask=lambda found: b"" if comparable(decode_value(found)) == wanted else None,
        )
    if not isinstance(value, str):
        raise ValueError(f'match_type=regexp for "{key}" only supports Str, but found {_kind_of(value)}')  # noqa: TRY004 - one error for all plans
    pattern = compile_pattern(value)

    def ask(found: bytes) -> bytes | None:
        text = match_text(found)
        return b"" if text is not None and pattern.search(text) else None

    return Test(Mode.ASKED, ask=ask)


def _kind_of(value: Value) -> str:
    kinds = {bool: "Bool", int: "Int", float: "Double", bytes: "Bytes"}
    return kinds.get(type(value), "Map" if isinstance(value, Mapping) else "Slice")


def comparable(value: Value | None) -> object:
    """Make a form in which values of different kinds are never equal and maps have no order."""
    match value:
        case list():
            return ("array", tuple(map(comparable, value)))
        case dict():
            return ("map", frozenset((key, comparable(item)) for key, item in value.items()))
        case _:
            return (type(value).__name__, value)
