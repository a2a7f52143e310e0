"""One server: what it is asked, and how what it answers is recorded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sluiceway.clock import Clock
from sluiceway.receivers.redis import metrics as m
from sluiceway.receivers.redis.connection import Denied, Link, Refused, Reply
from sluiceway.receivers.redis.fields import record_cluster, record_info
from sluiceway.receivers.redis.info import Info
from sluiceway.receivers.redis.keys import Group, GroupCount
from sluiceway.receivers.redis.life import Life
from sluiceway.receivers.redis.slowlog import SlowLog, record_entry
from sluiceway.receivers.redis.streams import Stream, Streams, record_stream
from sluiceway.scraping import Recorder, Scrape

if TYPE_CHECKING:
    from sluiceway.receivers.redis import RedisSettings
    from sluiceway.receivers.redis.settings import SlowLogSettings

__all__ = ["Reading", "Server"]

LONGEST_VERSION: Final = 50
_COMMANDS = (m.CMD_CALLS, m.CMD_USEC, m.CMD_LATENCY, m.CMD_FAILED, m.CMD_REJECTED)
_CLUSTER = (
    m.CLUSTER_STATE, m.SLOTS_ASSIGNED, m.SLOTS_OK, m.SLOTS_PFAIL, m.SLOTS_FAIL, m.KNOWN_NODES, m.NODE_COUNT,
    m.MESSAGES_SENT, m.MESSAGES_RECEIVED, m.LINKS_EXCEEDED,
)  # fmt: skip


@dataclass
class Reading:
    """What a server said in one measurement."""

    info: Info
    cluster: Info | None = None
    slow: Reply = None
    """What SLOWLOG GET answered."""
    streams: list[Stream] = field(default_factory=list)
    groups: dict[str, GroupCount] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    """What it did not say, and why."""


class Server:
    """A server, and what is remembered of it from one measurement to the next.

    `slowlog` is None where nobody wants its slow log; what is in there of a run that began before `since` (ns since the
    epoch) is left out.
    """

    def __init__(self, link: Link, settings: RedisSettings, slowlog: SlowLogSettings | None, since: int) -> None:
        self.link = link
        self._settings = settings
        self._slowlog = slowlog
        self._since = since
        self._slow = SlowLog()
        self.answered = False
        """Whether it said anything when it was last asked."""
        self._life = Life()
        self._streams = Streams(settings.streams)
        weigh = settings.metrics.enables(m.GROUP_MEMORY)
        self._groups = {name: Group(pattern, weigh=weigh) for name, pattern in settings.key_groups.items()}
        self._info = ("INFO", "all") if settings.metrics.enables_any(*_COMMANDS) else ("INFO",)

    async def read(self, clock: Clock) -> Reading:
        """Ask everything, for no longer than the settings allow; what was said until then is kept.

        Raises `ConnectionError` or `PermissionError` when there is nothing.
        """
        reading: Reading | None = None
        self.answered = False
        try:
            async with clock.timeout(self._settings.limit):
                reading = Reading(await self._ask_info())
                self.answered = True
                await self._ask_rest(reading)
        except TimeoutError:
            text = f"no answer within {self._settings.limit:g}s"
            if reading is None:
                raise ConnectionError(text) from None
            reading.problems.append(text)
        except OSError as error:
            if reading is None:
                raise
            reading.problems.append(str(error))
        return reading

    def record(self, reading: Reading, scrape: Scrape, node: str = "") -> None:
        """Record what was said, as a resource of its own; `node` is the id that a node of a cluster has."""
        info = reading.info
        known = bool(self._life.time)
        if self._life.measured(info, scrape.time):
            self._slow.restart(skip=not known and self._life.started < self._since)
        to = scrape.resource(self._resource(info, node), on=(m.ADDRESS.name, m.PORT.name) if node else ())
        record_info(to, info, self._life)
        if reading.cluster is not None:
            record_cluster(to, reading.cluster, self._life)
        for stream in reading.streams:
            record_stream(to, stream)
        for name, group in reading.groups.items():
            to.record(m.GROUP_KEYS, group.keys, {"key_group": name})
            if group.memory is not None:
                to.record(m.GROUP_MEMORY, group.memory, {"key_group": name})
        self._record_slow(to, reading)
        wrong = [*info.wrong, *(reading.cluster.wrong if reading.cluster else ())]
        if wrong:
            reading.problems.append(f"not a number: {', '.join(wrong[:10])}")

    def _record_slow(self, to: Recorder, reading: Reading) -> None:
        if self._slowlog is None or reading.slow is None:
            return
        entries, missing = self._slow.take(reading.slow, arguments=self._slowlog.arguments)
        for entry in entries:
            record_entry(to, entry)
        if missing:
            reading.problems.append(
                "the slow log had more new entries than max_entries or slowlog-max-len; some are lost"
            )

    def _resource(self, info: Info, node: str) -> dict[str, Any]:
        address = self.link.address
        attributes: dict[str, Any] = {m.ADDRESS.name: address.host}
        if address.port:
            attributes[m.PORT.name] = address.port
        for declared, name in ((m.VERSION, "redis_version"), (m.VALKEY, "valkey_version")):
            if version := info.text(name):
                attributes[declared.name] = version[:LONGEST_VERSION]
        if node:
            attributes[m.NODE_ID.name] = node
            attributes[m.NODE_ROLE.name] = "primary" if info.text("role") == "master" else "replica"
        return attributes

    async def _ask_info(self) -> Info:
        try:
            reply = await self.link.need(*self._info)
        except Denied as denied:
            raise PermissionError(self.hint(denied, "+info")) from None
        except Refused as refused:
            raise ConnectionError(str(refused)) from None
        if not isinstance(reply, bytes):
            raise ConnectionError("its answer to INFO is no text")
        return Info(reply)

    async def _ask_rest(self, reading: Reading) -> None:
        settings, clustered = self._settings, reading.info.text("cluster_enabled") == "1"
        if clustered and settings.metrics.enables_any(*_CLUSTER):
            await self._part(reading, "+cluster|info", self._ask_cluster)
        if reading.info.text("redis_mode") == "sentinel":
            return  # it has neither keys nor a slow log
        if self._slowlog is not None:
            await self._part(reading, "+slowlog|get", self._ask_slowlog)
        if clustered and reading.info.text("role") != "master":
            return  # a replica redirects whoever asks for keys
        if settings.streams:
            await self._part(reading, "+scan +xlen +xinfo|groups ~*", self._ask_streams)
        for name, group in self._groups.items():
            await self._part(reading, "+scan +memory|usage ~*", partial(self._ask_group, name, group))

    async def _part(self, reading: Reading, permissions: str, ask: Callable[[Reading], Awaitable[None]]) -> None:
        """Ask one thing; what is refused is a problem and nothing more."""
        try:
            await ask(reading)
        except Denied as denied:
            reading.problems.append(self.hint(denied, permissions))
        except Refused as refused:
            reading.problems.append(str(refused))

    async def _ask_cluster(self, reading: Reading) -> None:
        reply = await self.link.need("CLUSTER", "INFO")
        if isinstance(reply, bytes):
            reading.cluster = Info(reply)

    async def _ask_slowlog(self, reading: Reading) -> None:
        if self._slowlog is not None:
            reading.slow = await self.link.need("SLOWLOG", "GET", self._slowlog.max_entries)

    async def _ask_streams(self, reading: Reading) -> None:
        reading.streams, problems = await self._streams.read(self.link, self._settings.scan.max_keys)
        reading.problems += problems

    async def _ask_group(self, name: str, group: Group, reading: Reading) -> None:
        try:
            await group.advance(self.link, self._settings.scan.max_keys)
        finally:
            if group.last is not None:
                reading.groups[name] = group.last

    def hint(self, denied: Denied, permissions: str) -> str:
        """What was denied, and what would allow it."""
        user = self._settings.username or "default"
        return f"{denied}; what it takes: ACL SETUSER {user} {permissions}"
