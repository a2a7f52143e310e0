"""The slow log: which entries are new, and what of their commands is shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from sluiceway.escape import escape
from sluiceway.receivers.redis.connection import Reply
from sluiceway.scraping import Recorder

__all__ = ["Command", "SlowEntry", "SlowLog", "read_command", "record_entry"]

EVENT: Final = "redis.slowlog.entry"
"""The name of the log records."""
LONGEST_TEXT: Final = 2048
"""Characters of a command that are shown."""
LATEST: Final = 2**33
"""A time that is no time any more, in seconds since the Unix epoch."""
SHOWN: Final = 3
"""Arguments that are shown as a `?` each; `...` stands for the rest, so that equal queries have equal texts."""
_CONTAINERS: Final = frozenset({
    "ACL", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "DEBUG", "FUNCTION", "LATENCY", "MEMORY", "MODULE", "OBJECT",
    "PUBSUB", "SCRIPT", "SLOWLOG", "XGROUP", "XINFO",
})  # fmt: skip
"""Commands whose second word says what they do."""
_SECRET: Final = frozenset({"ACL", "AUTH", "CONFIG", "HELLO", "MIGRATE", "SENTINEL"})
"""Commands whose arguments may be passwords, which old servers do not hide."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command as it may be shown."""

    name: str
    text: str
    arguments: int


@dataclass(frozen=True, slots=True)
class SlowEntry:
    """One entry of the slow log."""

    id: int
    time: int
    """When it was carried out, seconds since the Unix epoch; 0 when that is nonsense."""
    duration: float
    """Seconds."""
    command: Command
    client: str
    """Where the client is, `host:port`; empty before Redis 4."""
    client_name: str


class SlowLog:
    """The slow log of one server, and which of its entries were seen. Their ids begin at 0 with every run."""

    def __init__(self) -> None:
        self._last: int | None = None

    def restart(self, *, skip: bool) -> None:
        """Another run of the server begins. Of the first that we meet, what is there already is skipped."""
        self._last = None if skip else -1

    def take(self, reply: Reply, *, arguments: bool) -> tuple[list[SlowEntry], bool]:
        """The entries of a SLOWLOG GET that were not seen before, oldest first; and whether some are missing."""
        entries = sorted(_entries(reply, arguments=arguments), key=lambda entry: entry.id)
        last, newest = self._last, entries[-1].id if entries else -1
        self._last = max(newest, -1 if last is None else last)
        if last is None:
            return [], False
        new = [entry for entry in entries if entry.id > last]
        return new, bool(new) and last >= 0 and new[0].id > last + 1


def _entries(reply: Reply, *, arguments: bool) -> Iterator[SlowEntry]:
    """Each entry is `[id, time, microseconds, [command, ...], client, name]`; the last two came with Redis 4."""
    for entry in reply if isinstance(reply, list) else ():
        match entry:
            case [int() as number, int() as time, int() as duration, [bytes() as name, *rest], *client]:
                words = [word for word in rest if isinstance(word, bytes)]
                address, called = ([part for part in client if isinstance(part, bytes)] + [b"", b""])[:2]
                command = read_command(name, words, shown=arguments)
                time = time if 0 < time < LATEST else 0
                yield SlowEntry(number, time, duration / 1e6, command, _text(address, 200), _text(called, 200))


def read_command(name: bytes, words: list[bytes], *, shown: bool) -> Command:
    """A command, whose arguments are shown or hidden.

    Redis keeps 32 words of a command at most; the last then says how many more there were.
    """
    name_text = _text(name, 64).upper()
    subcommand = words[0] if words and name_text in _CONTAINERS and words[0].isalpha() else None
    if subcommand is not None:
        words = words[1:]
    full = f"{name_text} {_text(subcommand, 64).upper()}" if subcommand is not None else name_text
    count = len(words)
    if count and (more := _more(words[-1])):
        count += more - 1
    if shown and name_text not in _SECRET:
        text = " ".join((full, *(_text(word, LONGEST_TEXT) or '""' for word in words)))
    else:
        text = " ".join((full, *["?"] * min(count, SHOWN), *(["..."] if count > SHOWN else [])))
    return Command(full, text[:LONGEST_TEXT], count)


def _more(word: bytes) -> int:
    """How many words `... (12 more arguments)` stands for."""
    begin, end = b"... (", b" more arguments)"
    digits = word.removeprefix(begin).removesuffix(end)
    return int(digits) if len(word) == len(begin) + len(digits) + len(end) and digits.isdigit() else 0


def _text(word: bytes, most: int) -> str:
    return escape(word[: most * 4].decode(errors="replace"))[:most]


def record_entry(to: Recorder, entry: SlowEntry) -> None:
    """Record an entry as a log record."""
    attributes: dict[str, Any] = {
        "db.system.name": "redis",
        "db.operation.name": entry.command.name,
        "db.query.text": entry.command.text,
        "redis.slowlog.id": entry.id,
        "redis.slowlog.duration": entry.duration,
        "redis.slowlog.arguments": entry.command.arguments,
    }
    host, colon, port = entry.client.rpartition(":")
    if colon and port.isdigit() and len(port) < 6:
        attributes["client.address"] = host.removeprefix("[").removesuffix("]")
        if int(port):
            attributes["client.port"] = int(port)
    if entry.client_name:
        attributes["redis.client.name"] = entry.client_name
    to.event(EVENT, entry.command.text, attributes, time=entry.time * 1_000_000_000, severity=13)
