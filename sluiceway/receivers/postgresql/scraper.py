"""What is asked in each measurement: the server, then its databases one after the other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING

from sluiceway.clock import Clock
from sluiceway.otlp import Signal
from sluiceway.receivers.postgresql import metrics as m
from sluiceway.receivers.postgresql import tables
from sluiceway.receivers.postgresql.connection import Access, Denied, Link, NoDatabase, Refused
from sluiceway.receivers.postgresql.databases import MOST_DATABASES, read_databases, record_database
from sluiceway.receivers.postgresql.parts import Facts
from sluiceway.receivers.postgresql.place import Place
from sluiceway.receivers.postgresql.samples import Samples
from sluiceway.receivers.postgresql.server import SERVER, read_facts
from sluiceway.receivers.postgresql.statements import TopQueries, read_execution_time
from sluiceway.receivers.postgresql.timescale import TIMESCALE_METRICS, read_timescale
from sluiceway.scraping import Scrape

if TYPE_CHECKING:
    from sluiceway.receivers.postgresql import PostgresSettings

__all__ = ["PostgresScraper"]

HOME = "postgres"
"""The database that every server has, unless somebody took it away."""
OLDEST = 12


class PostgresScraper:
    """Measures one server; keeps a connection to each database, up to a number of them."""

    def __init__(self, settings: PostgresSettings, access: Access, clock: Clock, signals: Collection[Signal]) -> None:
        self._settings = settings
        self._access = access
        self._clock = clock
        self._signals = signals
        self._home = HOME
        self._links: dict[str, Link] = {}
        chosen = (settings.databases, settings.exclude_databases)
        samples, top = settings.query_sample_collection, settings.top_query_collection
        self._samples = Samples(*chosen, samples.max_rows_per_query)
        self._top = TopQueries(*chosen, top.max_rows_per_query, top.top_n_query)
        self._top_due = clock.now()

    async def scrape(self, scrape: Scrape) -> None:
        """Measure once. Raises `OSError` when nothing can be read."""
        place = Place(scrape, self._access.host, self._access.port)
        home = await self._find_home()
        try:
            facts = await read_facts(home)
            await self._scrape_server(home, facts, place)
        finally:
            await self._tidy()

    async def close(self) -> None:
        """Close all connections."""
        links, self._links = self._links, {}
        for link in links.values():
            await link.close()

    async def _find_home(self) -> Link:
        """A connection that answers: to `postgres`, or to a database that the settings name, or to the role's own."""
        tried = dict.fromkeys((self._home, HOME, *self._settings.databases, self._settings.username))
        wrong: Refused | None = None
        for name in tried:
            link = self._link(name)
            try:
                await link.ask("SELECT 1")
            except (NoDatabase, Denied) as refused:
                wrong = refused
                self._links.pop(name)
            except OSError as error:
                raise type(error)(f"{self._settings.endpoint}: {error}") from None
            else:
                self._home = name
                return link
        raise ConnectionError(f"{self._settings.endpoint}: {wrong}")

    async def _scrape_server(self, home: Link, facts: Facts, place: Place) -> None:
        if facts.major < OLDEST:
            raise ConnectionError(f"PostgreSQL {facts.major} is too old: {OLDEST} is the oldest that is supported")
        if not facts.monitor:
            place.problem(f"{facts.user} does not see what other roles do; what it takes: {_grant(facts.user)}")
        if Signal.LOGS in self._signals:
            await self._scrape_events(home, facts, place)
        if Signal.METRICS in self._signals:
            await self._scrape_metrics(home, facts, place)

    async def _scrape_events(self, home: Link, facts: Facts, place: Place) -> None:
        settings, now = self._settings, self._clock.now()
        if settings.samples:
            await self._try(place, facts, partial(self._samples.read, home, facts, place.recorder()))
        if settings.top_queries and now >= self._top_due:
            self._top_due = now + settings.top_query_collection.collection_interval
            await self._try(place, facts, partial(self._top.read, home, facts.user, place.recorder()))

    async def _scrape_metrics(self, home: Link, facts: Facts, place: Place) -> None:
        place.recorder().record(m.CONNECTION_MAX, facts.max_connections)
        for part in SERVER:
            query = part.query(facts)
            if query and self._settings.metrics.enables_any(*part.metrics):
                await self._try(place, facts, partial(_ask_part, home, query, part.record, place))
        await self._try(place, facts, partial(self._scrape_databases, home, facts, place))

    async def _scrape_databases(self, home: Link, facts: Facts, place: Place) -> None:
        settings = self._settings
        rows = await read_databases(home, settings.databases, sizes=settings.metrics.enables_any(m.DB_SIZE))
        if len(rows) == MOST_DATABASES:
            place.problem(f"only the first {MOST_DATABASES} databases are measured")
        for missing in set(settings.databases) - {row["name"] for row in rows}:
            place.of(missing).problem("there is no such database")
        rows = [row for row in rows if row["name"] not in settings.exclude_databases]
        times: Mapping[str, float] = {}
        if settings.metrics.enables_any(m.EXECUTION_TIME):
            try:
                times = await read_execution_time(home)
            except Refused as refused:
                place.problem(str(refused))
        place.recorder().record(m.DATABASE_COUNT, len(rows))
        for gone in set(self._links) - {row["name"] for row in rows} - {self._home}:
            await self._links.pop(gone).close()
        for row in rows:
            own = place.of(row["name"])
            record_database(own.recorder(), row, facts)
            if row["name"] in times:
                own.recorder().record(m.EXECUTION_TIME, times[row["name"]])
            if row["open"] and row["allowed"]:
                await self._scrape_database(facts, own)
            elif row["open"]:
                own.problem(f"no connection is allowed; what it takes: {_connect(row['name'], facts.user)}")

    async def _scrape_database(self, facts: Facts, place: Place) -> None:
        link, settings, enables = self._link(place.database), self._settings, self._settings.metrics.enables_any
        asked: list[Callable[[], Awaitable[None]]] = []
        if enables(*tables.TABLE_METRICS):
            asked.append(partial(tables.read_tables, link, place, settings.max_tables))
        if enables(m.INDEX_SCANS, m.INDEX_SIZE):
            asked.append(partial(tables.read_indexes, link, place, settings.max_indexes))
        if enables(m.FUNCTION_CALLS):
            asked.append(partial(tables.read_functions, link, place, settings.max_tables))
        if enables(m.LOCKS):
            asked.append(partial(tables.read_locks, link, place))
        if settings.timescaledb.enabled is not False and enables(*TIMESCALE_METRICS):
            asked.append(partial(self._scrape_timescale, link, place))
        try:
            for ask in asked:
                await self._try(place, facts, ask)
        except OSError as error:
            place.problem(str(error))
        if sum(kept.is_open for kept in self._links.values()) > settings.connection_pool.max_idle:
            await self._drop(place.database)

    async def _scrape_timescale(self, link: Link, place: Place) -> None:
        found = await read_timescale(link, place, self._settings.timescaledb, self._settings.metrics)
        if not found and self._settings.timescaledb.enabled is True:
            place.problem("there is no timescaledb in it")

    async def _try(self, place: Place, facts: Facts, ask: Callable[[], Awaitable[None]]) -> None:
        """Ask one thing; what is refused is a problem and nothing more."""
        try:
            await ask()
        except Denied as denied:
            place.problem(f"{denied}; what it takes: {_grant(facts.user)}")
        except Refused as refused:
            place.problem(str(refused))

    def _link(self, database: str) -> Link:
        if database not in self._links:
            self._links[database] = Link(database, self._access, self._clock)
        return self._links[database]

    async def _drop(self, database: str) -> None:
        if database != self._home:
            await self._links.pop(database).close()

    async def _tidy(self) -> None:
        """Close connections that are too old, or would be idle for too long."""
        pool = self._settings.connection_pool
        idle = 0 < pool.max_idle_time < self._settings.collection_interval or not pool.max_idle
        for link in self._links.values():
            if link.is_open and (idle or 0 < pool.max_lifetime <= link.age):
                await link.close()


async def _ask_part(link: Link, query: str, record: Callable[..., None], place: Place) -> None:
    record(place.recorder(), await link.ask(query))


def _grant(user: str) -> str:
    return f"GRANT pg_monitor TO {_quoted(user)}"


def _connect(database: str, user: str) -> str:
    return f"GRANT CONNECT ON DATABASE {_quoted(database)} TO {_quoted(user)}"


def _quoted(name: str) -> str:
    return '"{}"'.format(name.replace('"', '""'))
