"""Streams and the groups that read them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sluiceway.receivers.redis import metrics as m
from sluiceway.receivers.redis.connection import Denied, Link, Refused, Reply
from sluiceway.receivers.redis.keys import Walk, is_pattern
from sluiceway.scraping import Recorder

__all__ = ["Stream", "StreamGroup", "Streams", "record_stream"]

MOST_STREAMS: Final = 100
"""Streams of a server that are measured."""
MOST_GROUPS: Final = 100
"""Groups of a stream that are measured."""
LONGEST_NAME: Final = 200


@dataclass(frozen=True, slots=True)
class StreamGroup:
    """A group of consumers; what the server does not say is None."""

    name: str
    consumers: int | None
    pending: int | None
    lag: int | None


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream and its groups."""

    name: str
    length: int
    groups: tuple[StreamGroup, ...]


class Streams:
    """The streams of one server that the settings name."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._named = {name.encode(): None for name in names if not is_pattern(name)}
        self._found: dict[bytes, None] = {}
        self._passes = {pattern: _Search(pattern) for pattern in names if is_pattern(pattern)}

    async def read(self, link: Link, most: int) -> tuple[list[Stream], list[str]]:
        """Read all streams, after having looked at up to `most` keys for further ones; and what is wrong.

        Raises `Denied`.
        """
        for search in self._passes.values():
            await search.advance(link, most)
        found = dict(self._named)
        for search in self._passes.values():
            found |= search.found
        problems = [f"there are more than {MOST_STREAMS} streams"] if len(found) > MOST_STREAMS else []
        names = list(found)[:MOST_STREAMS]
        replies = await link.ask(
            *(command for name in names for command in (("XLEN", name), ("XINFO", "GROUPS", name)))
        )
        streams = []
        for name, length, groups in zip(names, replies[::2], replies[1::2], strict=True):
            if denied := next((reply for reply in (length, groups) if isinstance(reply, Denied)), None):
                raise denied
            if isinstance(length, int) and isinstance(groups, list):
                streams.append(Stream(_text(name), length, tuple(_groups(groups))))
            elif isinstance(length, Refused) and "WRONGTYPE" in str(length) and name in self._named:
                problems.append(f"{_text(name)} is no stream")
        return streams, problems


class _Search:
    """The names of streams that match a pattern."""

    def __init__(self, pattern: str) -> None:
        self.found: dict[bytes, None] = {}
        self._walk = Walk(pattern, "stream")
        self._new: dict[bytes, None] = {}

    async def advance(self, link: Link, most: int) -> None:
        async for keys in self._walk.part(link, most):
            self._new |= dict.fromkeys(keys[: MOST_STREAMS + 1 - len(self._new)])
        if self._walk.complete:
            self.found, self._new = self._new, {}
        elif len(self.found) < MOST_STREAMS:
            self.found |= self._new  # a first pass may be long


def _groups(reply: list[Reply]) -> Iterator[StreamGroup]:
    for group in reply[:MOST_GROUPS]:
        if isinstance(group, list):
            parts = {key: value for key, value in zip(group[::2], group[1::2], strict=False) if isinstance(key, bytes)}
            name = parts.get(b"name")
            if isinstance(name, bytes):
                counts = (_count(parts.get(key)) for key in (b"consumers", b"pending", b"lag"))
                yield StreamGroup(_text(name), *counts)


def _count(reply: Reply) -> int | None:
    return reply if isinstance(reply, int) else None


def _text(name: bytes) -> str:
    return name.decode(errors="replace")[:LONGEST_NAME]


def record_stream(to: Recorder, stream: Stream) -> None:
    """Record a stream and its groups."""
    to.record(m.STREAM_LENGTH, stream.length, {"stream": stream.name})
    for group in stream.groups:
        attributes = {"stream": stream.name, "group": group.name}
        for metric, value in (
            (m.STREAM_LAG, group.lag), (m.STREAM_PENDING, group.pending), (m.STREAM_CONSUMERS, group.consumers)
        ):  # fmt: skip
            if value is not None:
                to.record(metric, value, attributes)
