"""Request headers (metadata) in settings: who keeps them, who reads them, and who forgets them on the way.

Settings say so by having the member of a protocol, wherever in a component's settings they stand. The graph then finds
headers that are read where nobody can have kept them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

__all__ = ["ForgetsHeaders", "KeepsHeaders", "ReadsHeaders"]


@runtime_checkable
class KeepsHeaders(Protocol):
    """Settings of a server: the requests that come by it carry their headers only with `include_metadata`."""

    include_metadata: bool


@runtime_checkable
class ReadsHeaders(Protocol):
    """Settings that make their component look at request headers."""

    @property
    def headers_read(self) -> Iterable[tuple[str, str]]:
        """The setting that names a header, and the header's name in any case."""


@runtime_checkable
class ForgetsHeaders(Protocol):
    """Settings of a processor whose batches no longer know their requests."""

    @property
    def headers_kept(self) -> Iterable[str]:
        """The names of the headers that it keeps all the same, in any case."""
