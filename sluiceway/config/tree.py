"""The configuration as a tree of values that know where they were written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from sluiceway.config.model import Mark
from sluiceway.config.types import NullText
from sluiceway.errors import ConfigError, Problem

__all__ = [
    "DELIMITER",
    "Entries",
    "Items",
    "Key",
    "Node",
    "Path",
    "Scalar",
    "expect_map",
    "join",
    "kind_of",
    "merge",
    "nest",
    "plain",
]

Scalar: TypeAlias = bool | int | float | str | None
Key: TypeAlias = str | int
Path: TypeAlias = tuple[Key, ...]

DELIMITER = "::"
NOWHERE = Mark()


@dataclass(frozen=True, slots=True)
class Node:
    """One value of the tree: a scalar, or a map or list of nodes.

    `text` is how a scalar was written. `referenced` says that the value came from a `${...}` that stood alone; then a
    string field takes `text` and not the value. `key` is where the key stands of which this is the value, and `tag`
    says how a list joins one that was there before (`!append`, `!prepend`, `!remove`).
    """

    value: Scalar | Entries | Items
    mark: Mark = NOWHERE
    text: str = ""
    referenced: bool = False
    key: Mark = NOWHERE
    tag: str = ""

    def child(self, key: Key) -> Node | None:
        """The value under a key of a map or at a place of a list, where there is one."""
        if isinstance(self.value, dict) and isinstance(key, str):
            return self.value.get(key)
        if isinstance(self.value, list) and isinstance(key, int) and key < len(self.value):
            return self.value[key]
        return None

    def at(self, path: Path) -> Node:
        """The value at a path, or the last on the way to it."""
        node = self
        for key in path:
            child = node.child(key)
            if child is None:
                break
            node = child
        return node

    def problem(self, message: str, path: Path = (), *, at_key: bool = False) -> Problem:
        """Describe a mistake in this value, or with `at_key` in its key."""
        mark = self.key if at_key and self.key.line else self.mark
        return Problem(message, join(path), mark.file, mark.line, mark.column)


Entries: TypeAlias = dict[str, Node]
Items: TypeAlias = list[Node]


def join(path: Sequence[Key]) -> str:
    """Write a path as the Collector does: `service::pipelines::traces`."""
    return DELIMITER.join(map(str, path))


def plain(node: Node) -> Any:
    """Turn a tree into plain data. A null that came from a reference becomes a `NullText`."""
    if isinstance(node.value, dict):
        return {key: plain(part) for key, part in node.value.items()}
    if isinstance(node.value, list):
        return [plain(part) for part in node.value]
    return NullText(node.text) if node.value is None and node.referenced else node.value


def nest(key: str, node: Node) -> tuple[str, Node]:
    """Turn the key `a::b` of a node into the key `a` of a map that holds it under `b`."""
    first, *rest = key.split(DELIMITER)
    for part in reversed(rest):
        node = Node({part: node}, node.mark, key=node.key)
    return first, node


def merge(below: Node, above: Node) -> Node:
    """Lay one tree over another: maps merge, anything else is replaced, and null replaces too."""
    if isinstance(below.value, dict) and isinstance(above.value, dict):
        merged = dict(below.value)
        for key, part in above.value.items():
            merged[key] = merge(merged[key], part) if key in merged else part
        return replace(above, value=merged)
    if above.tag and isinstance(below.value, list) and isinstance(above.value, list):
        return replace(above, value=_combine(below.value, above.value, above.tag), tag="")
    return above


def _combine(below: Items, above: Items, tag: str) -> Items:
    if tag == "!remove":
        gone = [plain(item) for item in above]
        return [item for item in below if plain(item) not in gone]
    return below + above if tag == "!append" else above + below


def expect_map(node: Node, path: Path = ()) -> Mapping[str, Node]:
    """Return the entries of a map, none for null; raise `ConfigError` for anything else."""
    if node.value is None:
        return {}
    if isinstance(node.value, dict):
        return node.value
    raise ConfigError(node.problem(f"expected a map, got {kind_of(node.value)}", path))


def kind_of(value: object) -> str:
    """Name the type of a plain value as the Collector's messages do."""
    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "float64"
        case str():
            return "string"
        case Mapping():
            return "map"
        case _:
            return "list"
