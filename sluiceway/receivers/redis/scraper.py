"""What is measured each time: the endpoint, or all nodes of the cluster that it belongs to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from sluiceway.clock import Clock
from sluiceway.receivers.redis.cluster import Member, members
from sluiceway.receivers.redis.connection import Access, Address, Denied, Link, Refused
from sluiceway.receivers.redis.server import Reading, Server
from sluiceway.scraping import Scrape

if TYPE_CHECKING:
    from sluiceway.receivers.redis import RedisSettings

__all__ = ["RedisScraper"]

ASKED: Final = 8
"""Nodes that are asked for the others at the same time, besides the endpoint."""
AT_ONCE: Final = 100
"""Nodes that are asked at the same time."""


class RedisScraper:
    """Measures one server, or every node of its cluster at the same time."""

    def __init__(self, settings: RedisSettings, address: Address, access: Access, clock: Clock, *, logs: bool) -> None:
        self._settings = settings
        self._access = access
        self._clock = clock
        self._slowlog = settings.slowlog if logs else None
        self._since = clock.time_ns()
        self._endpoint = self._open(address)
        self._nodes: dict[str, tuple[Member, Server]] = {}
        """The nodes by their ids; empty until the endpoint has said that it is one of a cluster."""
        self._refresh_at = 0.0
        """When the nodes are to be asked for again, on the clock."""

    async def scrape(self, scrape: Scrape) -> None:
        """Measure once. Raises `OSError` when nothing can be read."""
        if not self._nodes:
            reading = await self._read_endpoint()
            if self._settings.cluster.mode == "off" or reading.info.text("cluster_enabled") != "1":
                self._record_endpoint(reading, scrape)
                return
            refused = await self._find_nodes([])
            if not self._nodes:
                reading.problems.append(refused)
                self._record_endpoint(reading, scrape)
                return
        elif self._clock.now() >= self._refresh_at:
            answering = sorted(self._nodes.values(), key=lambda node: not node[1].answered)
            if refused := await self._find_nodes([server for _, server in answering[:ASKED]]):
                scrape.problem(refused)
        await self._scrape_nodes(scrape)

    async def close(self) -> None:
        """Close all connections."""
        for server in (self._endpoint, *(server for _, server in self._nodes.values())):
            await server.link.close()

    def _open(self, address: Address) -> Server:
        return Server(Link(address, self._access), self._settings, self._slowlog, self._since)

    async def _read_endpoint(self) -> Reading:
        try:
            return await self._endpoint.read(self._clock)
        except OSError as error:
            raise type(error)(f"{self._endpoint.link.address}: {error}") from None

    def _record_endpoint(self, reading: Reading, scrape: Scrape) -> None:
        self._endpoint.record(reading, scrape)
        for problem in reading.problems:
            scrape.problem(problem)

    async def _scrape_nodes(self, scrape: Scrape) -> None:
        wanted = [node for node in self._nodes.values() if node[0].primary or self._settings.cluster.scrape == "all"]
        room = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as tasks:
            reads = [tasks.create_task(self._read(server, room)) for _, server in wanted]
        problems: dict[str, list[Address]] = {}
        for (member, server), read in zip(wanted, reads, strict=True):
            match read.result():
                case Reading() as reading:
                    server.record(reading, scrape, member.id)
                    for problem in reading.problems:
                        problems.setdefault(problem, []).append(member.address)
                case error:
                    problems.setdefault(str(error), []).append(member.address)
                    self._refresh_at = self._clock.now()
        told = [f"{_places(addresses)}: {problem}" for problem, addresses in problems.items()]
        if not any(server.answered for _, server in wanted):
            raise ConnectionError("; ".join(told))
        for text in told:
            scrape.problem(text)

    async def _read(self, server: Server, room: asyncio.Semaphore) -> Reading | OSError:
        async with room:
            try:
                return await server.read(self._clock)
            except OSError as error:
                return error

    async def _find_nodes(self, servers: Sequence[Server]) -> str:
        """Take over the nodes that one of these servers, or else the endpoint, names; returns what was wrong.

        All are asked at once: one that does not answer, such as a pod that has gone, keeps nobody waiting.
        """
        answers = await asyncio.gather(*(self._members(server) for server in (*servers, self._endpoint)))
        found = next((answer for answer in answers if not isinstance(answer, str)), None)
        if found is None:
            return f"the nodes of the cluster are not known: {answers[-1]}"
        await self._take_over(found)
        return ""

    async def _members(self, server: Server) -> list[Member] | str:
        """The nodes that a server names, or what was wrong."""
        try:
            async with self._clock.timeout(self._settings.limit):
                found = await members(server.link, tls=self._access.tls is not None)
        except TimeoutError:
            return "no answer"
        except OSError as error:
            return str(error)
        if isinstance(found, Refused):
            return server.hint(found, "+cluster|shards") if isinstance(found, Denied) else str(found)
        return found

    async def _take_over(self, found: list[Member]) -> None:
        before, nodes = self._nodes, {}
        for member in found:
            known = before.get(member.id)
            is_same = known is not None and known[0].address == member.address
            nodes[member.id] = (member, known[1] if known is not None and is_same else self._open(member.address))
        self._nodes = nodes
        self._refresh_at = self._clock.now() + self._settings.cluster.refresh_interval
        kept = {id(server) for _, server in nodes.values()}
        for _, gone in before.values():
            if id(gone) not in kept:
                await gone.link.close()
        await self._endpoint.link.close()  # its place is taken by a node


def _places(addresses: list[Address]) -> str:
    more = len(addresses) - 1
    return f"{addresses[0]} and {more} more" if more else str(addresses[0])
