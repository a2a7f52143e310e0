"""What the sanitizers of `redaction` make of texts that are URLs or queries, by the key they stand under."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from sluiceway.processors.redaction.sanitizers.commands import (
    looks_like_memcached,
    looks_like_redis,
    sanitize_memcached,
    sanitize_redis,
)
from sluiceway.processors.redaction.sanitizers.documents import looks_like_document, sanitize_document
from sluiceway.processors.redaction.sanitizers.urls import cluster_url
from sluiceway.sql import looks_like_sql, sanitize_sql

__all__ = ["KINDS", "Sanitizers", "UrlSettings"]

Sanitize: TypeAlias = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of database: what is done to its queries, how it is called, and which texts look like its queries.

    The names are those of `db.system.name` or `db.system`.
    """

    sanitize: Sanitize
    systems: frozenset[str]
    looks_right: Callable[[str], bool]


KINDS: Final = {
    "sql": Kind(sanitize_sql, frozenset({"other_sql", "mysql", "postgresql", "mariadb", "sqlite"}), looks_like_sql),
    "redis": Kind(sanitize_redis, frozenset({"redis"}), looks_like_redis),
    "valkey": Kind(sanitize_redis, frozenset({"valkey"}), looks_like_redis),
    "memcached": Kind(sanitize_memcached, frozenset({"memcached"}), looks_like_memcached),
    "mongo": Kind(sanitize_document, frozenset({"mongodb"}), looks_like_document),
    "opensearch": Kind(sanitize_document, frozenset({"opensearch"}), looks_like_document),
    "es": Kind(sanitize_document, frozenset({"elasticsearch"}), looks_like_document),
}
"""The kinds by their key in the settings."""

_INTERNAL, _SERVER, _CLIENT = 1, 2, 3


@dataclass(frozen=True, slots=True)
class UrlSettings:
    """Which texts are taken for URLs."""

    keys: frozenset[str] = frozenset()
    names: bool = True
    bodies: bool = True


class Sanitizers:
    """All sanitizers that are switched on. They are made so that no text keeps what they do not understand."""

    def __init__(
        self,
        url: UrlSettings | None = None,
        databases: Mapping[str, Sequence[str]] | None = None,
        *,
        query_names: bool = True,
        without_system: bool = False,
    ) -> None:
        self._url = url
        chosen = databases or {}
        self._databases = [(kind, frozenset(chosen[name])) for name, kind in KINDS.items() if name in chosen]
        self._query_names = query_names
        self._without_system = without_system
        keys = (url.keys if url else frozenset(), *(keys for _, keys in self._databases))
        self.keys = frozenset[str]().union(*keys)
        """The keys whose values are sanitized."""
        self.bodies = bool(self._databases) or bool(url and url.bodies)
        """Whether log bodies are."""
        self.knows_systems = bool(self._databases)
        """Whether it matters which database a span is about."""
        self.names = (bool(self._databases) and query_names) or bool(url and url.names)
        """Whether names of spans are sanitized."""

    def attribute(self, key: str, system: str, text: str) -> str:
        """The text of an attribute."""
        if text and self._url and key in self._url.keys:
            text = cluster_url(text)
        kinds = [kind for kind, keys in self._databases if key in keys]
        if system:
            return _each(_about(system, kinds), text)
        return _each(kinds, text) if self._without_system else text

    def body(self, text: str) -> str:
        """A text in a log body. What it is about is not known: those are applied that it looks right for."""
        if self._url and self._url.bodies and "/" in text:
            text = cluster_url(text)
        kinds = [kind for kind, _ in self._databases]
        return _each([kind for kind in kinds if kind.looks_right(text)], text)

    def name(self, name: str, kind: int, system: str, is_http: bool) -> str:
        """The name of a span of some kind; it never becomes empty, or nothing but asterisks."""
        if self._url and self._url.names and kind in (_CLIENT, _SERVER) and (is_http or "/" in name):
            clustered = cluster_url(name)
            if clustered != name and clustered.strip("/*"):
                return clustered
        if self._query_names and system and kind in (_INTERNAL, _SERVER, _CLIENT):
            sanitized = _each(_about(system, [kind for kind, _ in self._databases]), name)
            if sanitized not in ("", "..."):
                return sanitized
        return name


def _about(system: str, kinds: Sequence[Kind]) -> list[Kind]:
    return [kind for kind in kinds if system.lower() in kind.systems][:1]


def _each(kinds: Sequence[Kind], text: str) -> str:
    for kind in kinds:
        text = kind.sanitize(text)
    return text
