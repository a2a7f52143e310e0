"""Whether an answer is what it must be: validations of its body, and what GraphQL over HTTP says of errors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeAlias

import orjson

from sluiceway.otlp.selecting import compile_pattern
from sluiceway.receivers.http_check.exchange import Answer
from sluiceway.receivers.http_check.json_path import MISSING, find, parse_path, shown
from sluiceway.receivers.http_check.settings import Validation

__all__ = ["Judge", "graphql_fault"]

_Test: TypeAlias = Callable[[Answer, Any], bool]
_MEDIA_TYPES: Final = ("application/json", "application/graphql-response+json")
NO_JSON: Final = object()


def graphql_fault(answer: Answer) -> str:
    """What is wrong with the answer to a GraphQL request, in one of a few fixed texts; empty if nothing."""
    if answer.media_type not in _MEDIA_TYPES:
        return "the answer is no GraphQL"
    match read_json(answer):
        case {"errors": errors} if errors:
            return "the answer has errors"
        case {"data": _}:
            return "" if 200 <= answer.status < 300 else "the status is no success"
        case _:
            return "the answer is no GraphQL"


def read_json(answer: Answer) -> Any:
    """The body as JSON; `NO_JSON` when it is none."""
    try:
        return orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return NO_JSON


class Judge:
    """The validations of one target. Patterns are RE2's and so take linear time, whatever the body is."""

    def __init__(self, validations: Sequence[Validation]) -> None:
        self._tests = [test for validation in validations for test in _tests(validation)]
        self._wants_json = any(kind == "json_path" for kind, _ in self._tests)

    def __bool__(self) -> bool:
        return bool(self._tests)

    def __call__(self, answer: Answer) -> tuple[Counter[str], Counter[str]]:
        """How many validations of each type passed, and how many failed; each type is in both."""
        document = read_json(answer) if self._wants_json else NO_JSON
        passed: Counter[str] = Counter()
        failed: Counter[str] = Counter()
        for kind, test in self._tests:
            holds = test(answer, document)
            passed[kind] += holds
            failed[kind] += not holds
        return passed, failed


def _tests(validation: Validation) -> Iterator[tuple[str, _Test]]:
    if validation.contains:
        wanted = validation.contains.encode()
        yield "contains", lambda answer, _: wanted in answer.body
    if validation.not_contains:
        unwanted = validation.not_contains.encode()
        yield "contains", lambda answer, _: unwanted not in answer.body
    if validation.regex:
        pattern = compile_pattern(validation.regex)
        yield "regex", lambda answer, _: pattern.search(bytes(answer.body)) is not None
    if validation.json_path:
        yield "json_path", _at_path(validation)
    elif validation.equals is not None:
        whole = shown(validation.equals).encode()
        yield "contains", lambda answer, _: answer.body.strip() == whole
    if validation.min_size is not None or validation.max_size is not None:
        yield "size", _size(validation.min_size, validation.max_size)


def _size(least: int | None, most: int | None) -> _Test:
    return lambda answer, _: (least is None or answer.size >= least) and (most is None or answer.size <= most)


def _at_path(validation: Validation) -> _Test:
    steps, equals = parse_path(validation.json_path), validation.equals

    def test(_: Answer, document: Any) -> bool:
        found = MISSING if document is NO_JSON else find(document, steps)
        if found is MISSING or equals is None:
            return found is not MISSING
        if isinstance(equals, bool) or isinstance(found, bool) or isinstance(equals, str) or isinstance(found, str):
            return shown(found) == shown(equals)
        return bool(found == equals)

    return test
