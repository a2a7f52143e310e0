"""YAML text to a tree of marked values, within bounds.

Works on the parser's events, so that nothing is built before it was counted: the text's size, the nesting and the
number of values are limited, with each use of an alias counted as often as it appears. Duplicate keys are refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from sluiceway.config.model import Mark
from sluiceway.config.scalars import resolve, resolve_tagged
from sluiceway.config.tree import DELIMITER, Entries, Items, Node, merge, nest
from sluiceway.errors import ConfigError, Problem

__all__ = ["MAX_BYTES", "MAX_DEPTH", "MAX_NODES", "parse"]

MAX_BYTES = 4 * 1024 * 1024
MAX_NODES = 200_000
MAX_DEPTH = 100

_LIST_TAGS = ("!append", "!prepend", "!remove")
_MERGE = "<<"

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse(text: str, file: str = "", at: Mark | None = None) -> Node:
    """Read one YAML document; raise `ConfigError` with the place of the mistake.

    An empty text reads as null. With `at`, every value is said to stand there, as when the text is a variable's.
    """
    if len(text) > MAX_BYTES:
        raise ConfigError(Problem(f"larger than {MAX_BYTES} bytes", file=file))
    try:
        loader = _Loader(text)
    except (yaml.YAMLError, UnicodeError) as error:
        raise ConfigError(_problem(error, file, at)) from None
    try:
        return _Composer(loader, file, at).document()
    except (yaml.YAMLError, UnicodeError) as error:
        raise ConfigError(_problem(error, file, at)) from None
    finally:
        loader.dispose()


def _problem(error: Exception, file: str, at: Mark | None) -> Problem:
    if at is not None:
        return Problem(f"cannot be read as YAML: {_reason(error)}", "", at.file, at.line, at.column)
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)
    return Problem(f"cannot be read as YAML: {_reason(error)}", "", file, line, column)


def _reason(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError):
        return ", ".join(part for part in (error.context, error.problem) if part)
    if isinstance(error, UnicodeError):
        return "it holds text that is not valid Unicode"
    return "it holds characters that YAML does not allow"


@dataclass(slots=True)
class _Composer:
    loader: Any
    file: str
    at: Mark | None
    anchors: dict[str, Node] = field(default_factory=dict)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    count: int = 0
    deepest: int = 0

    def document(self) -> Node:
        self.loader.get_event()  # the stream's start
        if isinstance(self.loader.get_event(), yaml.StreamEndEvent):
            return Node(None, self.at or Mark(self.file, 1, 1))
        root = self.node(self.loader.get_event(), 0)
        self.loader.get_event()  # the document's end
        event = self.loader.get_event()
        if not isinstance(event, yaml.StreamEndEvent):
            raise self.error(event, "expected a single document, and a second one begins here")
        return root

    def node(self, event: Any, depth: int) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, depth)
        count, deepest = self.count, self.deepest
        self.deepest = 0
        self.grow(1, depth, event)
        if isinstance(event, yaml.ScalarEvent):
            node = self.scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self.sequence(event, depth)
        else:
            node = self.mapping(event, depth)
        if event.anchor:
            self.anchors[event.anchor] = node
            self.sizes[event.anchor] = (self.count - count, self.deepest - depth)
        self.deepest = max(deepest, self.deepest)
        return node

    def grow(self, nodes: int, depth: int, event: Any) -> None:
        self.count += nodes
        self.deepest = max(self.deepest, depth)
        if self.count > MAX_NODES:
            raise self.error(event, f"holds more than {MAX_NODES} values, aliases included")
        if depth > MAX_DEPTH:
            raise self.error(event, f"nested deeper than {MAX_DEPTH} levels")

    def alias(self, event: Any, depth: int) -> Node:
        if event.anchor not in self.anchors:
            raise self.error(event, f'unknown anchor "{event.anchor}"')
        nodes, height = self.sizes[event.anchor]
        self.grow(nodes, depth + height, event)
        return self.anchors[event.anchor]

    def scalar(self, event: Any) -> Node:
        text: str = event.value
        try:
            if event.tag is not None:
                value = resolve_tagged(text, event.tag)
            else:
                value = resolve(text) if event.implicit[0] else text
        except ValueError as error:
            raise self.error(event, str(error)) from None
        return Node(value, self.mark(event), text)

    def sequence(self, event: Any, depth: int) -> Node:
        tag = event.tag or ""
        if tag and tag not in (*_LIST_TAGS, "!", "tag:yaml.org,2002:seq"):
            raise self.error(event, f"unsupported tag {tag}")
        items: Items = []
        while not isinstance(part := self.loader.get_event(), yaml.SequenceEndEvent):
            items.append(self.node(part, depth + 1))
        return Node(items, self.mark(event), tag=tag if tag in _LIST_TAGS else "")

    def mapping(self, event: Any, depth: int) -> Node:
        if event.tag and event.tag not in ("!", "tag:yaml.org,2002:map"):
            raise self.error(event, f"unsupported tag {event.tag}")
        entries: Entries = {}
        merged: list[Node] = []
        while not isinstance(part := self.loader.get_event(), yaml.MappingEndEvent):
            key, mark = self.key(part)
            levels = 1 + key.count(DELIMITER)
            value = replace(self.node(self.loader.get_event(), depth + levels), key=mark)
            if key == _MERGE and part.implicit[0]:
                merged += self.merged(value, part)
            elif key in entries:
                line = entries[key].key.line
                raise self.error(part, f'mapping key "{key}" already defined at line {line}')
            else:
                entries[key] = value
        for node in merged:
            entries = {**node.value, **entries}  # type: ignore[dict-item]  # `merged` holds maps only
        return Node(self.unfold(entries), self.mark(event))

    def key(self, event: Any) -> tuple[str, Mark]:
        if not isinstance(event, yaml.ScalarEvent):
            raise self.error(event, "a key must be text")
        self.grow(1, 0, event)
        return event.value, self.mark(event)

    def merged(self, value: Node, event: Any) -> list[Node]:
        nodes = value.value if isinstance(value.value, list) else [value]
        if not all(isinstance(node.value, dict) for node in nodes):
            raise self.error(event, "map merge requires map or sequence of maps as the value")
        return nodes

    def unfold(self, entries: Entries) -> Entries:
        if not any(DELIMITER in key for key in entries):
            return entries
        unfolded: Entries = {}
        for key, value in entries.items():
            first, node = nest(key, value)
            unfolded[first] = merge(unfolded[first], node) if first in unfolded else node
        return unfolded

    def mark(self, event: Any) -> Mark:
        return self.at or Mark(self.file, event.start_mark.line + 1, event.start_mark.column + 1)

    def error(self, event: Any, message: str) -> ConfigError:
        mark = self.mark(event)
        return ConfigError(Problem(message, "", mark.file, mark.line, mark.column))
