"""Decoding: from a marked tree to a checked model, with every mistake reported where it was written."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any, Final, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from sluiceway.config.durations import UNITS
from sluiceway.config.nearest import nearest
from sluiceway.config.settings import is_section
from sluiceway.config.tree import Key, Node, Path, kind_of, plain
from sluiceway.errors import ConfigError, Problem

__all__ = ["decode"]

_log = logging.getLogger("sluiceway.config")

M = TypeVar("M", bound=BaseModel)

_TYPES: Final = {
    "int_type": "int",
    "int_from_float": "int",
    "float_type": "float64",
    "bool_type": "bool",
    "string_type": "string",
    "dict_type": "map",
    "mapping_type": "map",
    "model_type": "map",
    "model_attributes_type": "map",
    "list_type": "list",
    "tuple_type": "list",
    "set_type": "list",
    "frozen_set_type": "list",
}
_ZEROS: Final[Mapping[str, object]] = {
    "int_type": 0,
    "float_type": 0.0,
    "bool_type": False,
    "duration": 0,
    "size": 0,
}
_TEXT_WANTED: Final = frozenset({"string_type", "literal_error", "enum", "tuple_type", "list_type", "set_type"})


def decode(model: type[M], node: Node, path: Path = ()) -> M:
    """Check a tree against a model and return its settings; null means all defaults.

    Raises `ConfigError` with every mistake. What came from a `${...}` that stood alone is first taken by its type;
    where that does not fit, a string takes its original text, and a null becomes the zero value of the type.
    """
    data = plain(node) if node.value is not None else {}
    context = {"folder": FilePath(node.mark.file).parent, UNITS: True}
    while True:
        try:
            return model.model_validate(data, context=context)
        except ValidationError as error:
            errors = _errors(error)
        reread = [_reread(node, data, path, error) for error in errors]
        if not any(reread):
            problems = [_problem(model, node, data, path, error) for error in errors]
            hidden = _behind(model, node, data, path, context, errors)
            raise ConfigError(*dict.fromkeys([*problems, *hidden]))


def _behind(
    model: type[BaseModel], root: Node, data: Any, prefix: Path, context: Mapping[str, object],
    errors: Iterable[ErrorDetails],
) -> list[Problem]:  # fmt: skip
    """The mistakes that nobody looks for as long as others are there: those of whole sections with mistakes in them.

    What is wrong is taken out of `data`, and the rest checked, until nothing more can be taken out. A section that has
    lost a setting is not judged as a whole: that it lacks it would be no news.
    """
    found: list[Problem] = []
    judged: set[Path] = set()
    while sum(_take_out(root, data, error, judged) for error in errors):
        try:
            model.model_validate(data, context=context)
        except ValidationError as error:
            errors = _errors(error)
            fresh = [more for more in errors if _locate(root, more["loc"])[1] not in judged]
            found += [_problem(model, root, data, prefix, more) for more in fresh]  # before its value is taken out
        else:
            break
    return found


def _errors(error: ValidationError) -> list[ErrorDetails]:
    """Every mistake once: a list is not called too short for entries that it lacks because they are wrong."""
    errors = error.errors(include_url=False)
    wrong = {other["loc"][:-1] for other in errors}
    wrong |= {other["loc"][:-2] for other in errors}  # of a setting in an entry
    return [one for one in errors if one["type"] != "too_short" or one["loc"] not in wrong]


def _take_out(root: Node, data: Any, error: ErrorDetails, judged: set[Path]) -> bool:
    """Take what an error is about out of `data`, where it is there, and remember the section that it leaves."""
    _, path = _locate(root, error["loc"])
    if error["type"] != "extra_forbidden":
        judged |= {path, path[:-1]}
    container = _follow(data, path[:-1])
    if not path or not isinstance(container, dict) or path[-1] not in container:
        return False
    del container[path[-1]]
    return True


def _reread(root: Node, data: Any, prefix: Path, error: ErrorDetails) -> bool:
    """Take a value another way, and say whether there was another."""
    node, path = _locate(root, error["loc"])
    container: Any = _follow(data, path[:-1])
    if not path or container is None or isinstance(container, str):
        return False
    current = container[path[-1]]
    if error["type"] == UNITS:
        container[path[-1]] = f"{current}ns"
        text = f'the duration {current} has no unit: it is taken as nanoseconds, write "{current}ns"'
        _log.warning("%s", node.problem(text, prefix + path))
        return True
    if not node.referenced:
        return False
    if node.value is None:
        other = _ZEROS.get(error["type"])
        possible = isinstance(current, str)
    else:
        other = node.text
        possible = error["type"] in _TEXT_WANTED and not isinstance(current, str)
    if possible:
        container[path[-1]] = other
    return possible


def _follow(data: Any, path: Path) -> Any:
    for key in path:
        if data is None or isinstance(data, str) or (isinstance(data, dict) and key not in data):
            return None
        data = data[key]
    return data


def _locate(root: Node, location: Iterable[Key]) -> tuple[Node, Path]:
    """Find the node that an error is about; parts of a location that name a type and no key are passed over."""
    node, path = root, []
    for key in location:
        child = node.child(key)
        if child is not None:
            node = child
            path.append(key)
    return node, tuple(path)


def _problem(model: type[BaseModel], root: Node, data: Any, prefix: Path, error: ErrorDetails) -> Problem:
    node, path = _locate(root, error["loc"])
    if error["type"] == "extra_forbidden" and path:
        *parent, key = path
        valid = _keys(model, error["loc"][:-1])
        message = f"'{'.'.join(map(str, parent))}' has invalid keys: {key}{_suggest(str(key), valid)}"
        return node.problem(message, prefix + tuple(parent), at_key=True)
    message = _message(error, _follow(data, path))
    if error["type"] == "missing" and node.referenced and path == error["loc"]:
        message += "; is the variable that it comes from set?"
    return node.problem(message, prefix + path)


def _message(error: ErrorDetails, value: object) -> str:
    kind = error["type"]
    if kind in _TYPES:
        return f"expected type '{_TYPES[kind]}', got unconvertible type '{kind_of(value)}'"
    if kind == "missing":
        return f'requires "{error["loc"][-1]}"'
    if kind in ("value_error", "assertion_error"):
        return str(error["ctx"]["error"])
    if kind == "too_short":
        return f"needs {error['ctx']['min_length']} or more, got {error['ctx']['actual_length']}"
    message = error["msg"].removeprefix("Input ")
    if error["type"] not in ("literal_error", "enum"):
        return message
    hint = f'; write it in quotes: "{value}"' if not isinstance(value, str) and f"'{value}'" in message else ""
    wants_text = "'" in message or isinstance(value, bool)
    got = str(value) if isinstance(value, int) and not wants_text else _quoted(value)
    return f"{message}, got {got}{hint}"


def _quoted(value: object) -> str:
    return f'"{value[:50]}"' if isinstance(value, str) else kind_of(value)


def _suggest(key: str, valid: set[str]) -> str:
    few = f" (valid keys: {', '.join(sorted(valid))})" if 0 < len(valid) <= 12 else ""
    return nearest(key, valid) or few


def _keys(model: type[BaseModel], location: Iterable[Key]) -> set[str]:
    """The keys that are valid at a place of a model."""
    models = {model}
    switch: set[str] = set()
    for key in location:
        fields = [field for candidate in models if (field := _fields(candidate).get(key)) is not None]
        if fields:
            models = {inner for field in fields for inner in _models(field.annotation)}
            switch = {"enabled"} if any(map(is_section, fields)) else set()
    return {str(key) for candidate in models for key in _fields(candidate)} | switch


def _fields(model: type[BaseModel]) -> dict[Key, Any]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)
