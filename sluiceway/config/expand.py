"""Expansion of `${...}` references in the values of a merged configuration.

A reference that stands alone takes the type of what it refers to, read as YAML, and keeps the text for string fields;
one inside other text is spliced in as text. Expansion repeats until nothing is left to expand. Nothing that is spliced
in can become a key or a structure of the file around it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sluiceway.config.download import shown
from sluiceway.config.model import Mark
from sluiceway.config.parse import MAX_BYTES, parse
from sluiceway.config.sources import fetch, read_file, split_uri, unsupported
from sluiceway.config.tree import Node, Path
from sluiceway.errors import ConfigError, Problem

__all__ = ["Expansion"]

_log = logging.getLogger("sluiceway.config")

MAX_ROUNDS = 1000
MAX_DEPTH = 120
MAX_REFERENCES = 10_000
MAX_DOWNLOADS = 20
MAX_TOTAL = 16 * 1024 * 1024
"""Characters that all references of a configuration may bring in."""

_SHOWN = 16
"""Keys of a path that a message has."""

TOO_MANY = "too many recursive expansions"

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_BARE_DEFAULT = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*:-", re.ASCII)


@dataclass(slots=True)
class Expansion:
    """One pass over a configuration: expands references and gathers what is wrong with them in `problems`."""

    environ: Mapping[str, str]
    problems: list[Problem]
    taken: int = 0
    references: int = 0
    spent: bool = False
    files: set[str] = field(default_factory=set)
    """The files that references have named."""
    downloads: dict[str, str | None] = field(default_factory=dict)
    """What references have fetched; None for what could not be."""

    @property
    def exhausted(self) -> bool:
        """Whether so much was expanded that a reference must hold itself."""
        return self.references > MAX_REFERENCES or self.taken > MAX_TOTAL

    def expand(self, node: Node, path: Path = ()) -> Node:
        """Return the tree with every reference in its values expanded, each value keeping its place."""
        if isinstance(node.value, dict):
            return replace(node, value={key: self.expand(part, (*path, key)) for key, part in node.value.items()})
        if isinstance(node.value, list):
            return replace(node, value=[self.expand(part, (*path, i)) for i, part in enumerate(node.value)])
        if not isinstance(node.value, str) or "$" not in node.value:
            return node
        try:
            return self.scalar(node, path)
        except ConfigError as error:
            if not (self.exhausted and self.spent):
                self.problems += [_place(problem, node, path) for problem in error.problems]
            self.spent = self.exhausted
            return node

    def scalar(self, node: Node, path: Path) -> Node:
        if len(path) > MAX_DEPTH:
            self.references += MAX_REFERENCES  # no other branch of this reference need be tried
            raise ConfigError(TOO_MANY)
        text, referenced = str(node.value), False
        for _ in range(MAX_ROUNDS):
            uri = _innermost(text)
            if uri is None:
                text = text.replace("$$", "$")
                return replace(node, value=text, text=text, referenced=referenced)
            found = self.retrieve(uri[2:-1], node, path)
            self.take(found.text)
            if uri == text:
                if not isinstance(found.value, str):
                    return self.typed(node, found, path)
                referenced, text = True, found.text
            else:
                self.take(found.text * (text.count(uri) - 1))
                text = text.replace(uri, found.text)
        raise ConfigError(TOO_MANY)

    def typed(self, node: Node, found: Node, path: Path) -> Node:
        """Put a value that is no text in the place of the reference that stood alone."""
        expanded = self.expand(replace(found, key=node.key), path) if isinstance(found.value, dict | list) else found
        return replace(expanded, mark=found.mark, key=node.key, text=found.text.replace("$$", "$"), referenced=True)

    def take(self, text: str) -> None:
        self.taken += len(text)
        if self.exhausted or len(text) > MAX_BYTES:
            raise ConfigError(TOO_MANY)

    def retrieve(self, uri: str, node: Node, path: Path) -> Node:
        """Return what a reference in `node` stands for; its `text` is the text form."""
        self.references += 1
        mark = node.mark
        scheme, rest = ("env", uri) if _BARE_DEFAULT.match(uri) else split_uri(uri, "env")
        if "$" in rest:
            raise ConfigError(f"the uri \"{scheme}:{rest}\" contains unsupported characters ('$')")
        match scheme:
            case "env":
                return self.variable(rest, node, path)
            case "file":
                self.files.add(rest)
                return _read(read_file(rest).rstrip("\r\n"), mark, rest)
            case "yaml":
                return _read(rest, mark)
            case "http" | "https":
                return _read(self.fetched(f"{scheme}:{rest}").rstrip("\r\n"), mark, shown(uri))
            case _:
                raise ConfigError(unsupported(scheme, uri))

    def fetched(self, uri: str) -> str:
        """What lies at a URI, which is asked for once however often it is named."""
        if uri not in self.downloads:
            if len(self.downloads) >= MAX_DOWNLOADS:
                raise ConfigError(f"more than {MAX_DOWNLOADS} references to fetch")
            self.downloads[uri] = None
            self.downloads[uri] = fetch(uri)
        text = self.downloads[uri]
        if text is None:
            raise ConfigError(f"unable to fetch {shown(uri)}, as said before")
        return text

    def variable(self, reference: str, node: Node, path: Path) -> Node:
        name, has_default, default = reference.partition(":-")
        if not _NAME.fullmatch(name):
            text = f'environment variable "{name}" has invalid name: must match regex ^{_NAME.pattern}$'
            raise ConfigError(text)
        if name not in self.environ:
            if has_default:
                return _read(default, node.mark) if default else Node("", node.mark)
            text = f"Configuration references unset environment variable: {name}"
            _log.warning("%s", node.problem(text, path[:_SHOWN]))
            return Node(None, node.mark)
        if not self.environ[name]:
            text = f"Configuration references empty environment variable: {name}"
            _log.info("%s", node.problem(text, path[:_SHOWN]))
        return _read(self.environ[name], node.mark)


def _read(text: str, mark: Mark, file: str = "") -> Node:
    """Read text as YAML, or take it as it is where it is none; a text is never unquoted."""
    try:
        node = parse(text, file, None if file else mark)
    except ConfigError:
        return Node(text, mark, text)
    if isinstance(node.value, dict | list):
        return replace(node, text=text)
    return Node(text if isinstance(node.value, str) else node.value, mark, text)


def _innermost(text: str) -> str | None:
    """Find the first reference that holds no other and is not escaped by an odd number of dollar signs before it."""
    start = 0
    while (end := text.find("}", start)) >= 0:
        opening = text.rfind("${", start, end)
        if opening >= 0:
            dollars = opening - len(text[:opening].rstrip("$"))
            if dollars % 2 == 0:
                return text[opening : end + 1]
        start = end + 1
    return None


def _place(problem: Problem, node: Node, path: Path) -> Problem:
    return problem if problem.line else node.problem(problem.message, path[:_SHOWN])
