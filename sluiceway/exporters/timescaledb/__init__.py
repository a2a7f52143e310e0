"""Writes spans, log records and data points as rows into TimescaleDB or plain PostgreSQL, by binary COPY.

Each batch is one transaction, and its rows are there once, however often it has to be sent: a key that is the batch's
own is written with them, and a batch whose key is known is not written again for `idempotency_window`.
The tables `otel_spans`, `otel_logs`, `otel_gauges`, `otel_sums`, `otel_histograms`,
`otel_exponential_histograms` and `otel_summaries` are made at the start, and made anew where one was dropped:
hypertables where the database has the extension TimescaleDB, with compression, retention and a view of spans by minute;
else partitions of a day each. What people ask for has a column, all attributes are jsonb. It never changes a value
without a word: a time outside `time_window` is moved to its border, counted in `sluiceway_timescaledb_moved_times`, and
kept in the column `overflow` as it was, and so is a number that does not fit its column.

Not stored: unknown fields, the dropped-attributes counts and entity references of resources and scopes. Of an attribute
that comes twice, which OTLP forbids, columns have the first, as processors do, and jsonb keeps the last.

| What happens | What we do |
| --- | --- |
| a NUL in a text or a key, a value beyond `max_value_size`, a resource beyond 256 KiB | these items are rejected |
| SQLSTATE 22, 23, 44, 54, P0001: PostgreSQL, or a trigger, refuses a value | halved until the item stands alone |
| the same, but a row that the table took before and 16 others are refused too | data waits, the status names the rule |
| 08, 40, 53, 57, 55P03 and any other; the connection is lost; no room, shutting down, deadlock, a lock | again later |
| the connection is lost while COMMIT is under way | again later; what was stored is not stored twice |
| 28, 3D, 42501: wrong password, no such database, no permission | data waits, the status says what to do |
| 42, 3F, 0A, 22P03, 22P04: a table is missing or was changed | data waits, the status names the column and what to do |
| a column has another type, from one batch to the next | likewise; no row is written before the tables were looked at |
| no extension, or an edition without a feature | plain partitions, or without the feature, with a log line |

Data waits as long as `retry_on_failure` allows. With a queue on disk a batch is known again after a crash, too; without
one its keys are lost with the process, as is the queue. What the queue has cut, by `max_size` or around a bad item, is
not known after a restart: what was stored of it may be there twice. Rows take 32 MiB of memory for each of `pool_size`
connections at most, and twice that while they are made; a batch with more is written in parts, each a transaction. In
one such batch 32 bad items at most are found; after them a part that is refused is given up with what else is in it.

The column `tenant` is what senders say, unless the processor `tenant` comes before. With `row_level_security` those who
are granted `reader_role` see the rows whose `tenant` is their session's setting `sluiceway.tenant`, which whoever may
write SQL of his own can change: it is a wall behind a dashboard, not around a database client. TimescaleDB then has no
compression and no view by minute. When `reader_role` names another role, the former one loses at the next start what it
was granted; switched off, the wall stays until it is taken down by hand.

The role needs a database of its own: `CREATE ROLE otel LOGIN PASSWORD '...'; CREATE DATABASE telemetry OWNER otel`.

```yaml
exporters:
  timescaledb:
    endpoint: localhost:5432
    database: telemetry
    username: otel
    password: ${env:POSTGRES_PASSWORD}
    tls: {insecure: true}  # on loopback; else {ca_file: ...} with the authority of the server's certificate
```
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from sluiceway.component import Component, Context, Kind, PartialSuccess, Stability
from sluiceway.errors import PermanentError
from sluiceway.exporters.timescaledb.keys import Keys, part_of
from sluiceway.exporters.timescaledb.pieces import Named, Piece, join_rejections
from sluiceway.exporters.timescaledb.settings import TimescaleSettings
from sluiceway.extras import require
from sluiceway.otlp import Batch, Signal

if TYPE_CHECKING:
    from sluiceway.exporters.timescaledb.part import Part, Rows
    from sluiceway.exporters.timescaledb.pool import Pool

__all__ = ["COMPONENT", "TimescaleExporter", "TimescaleSettings"]

UPKEEP_INTERVAL: Final = 300.0
"""Seconds between two looks at partitions, retention and old keys."""
UPKEEP_LIMIT: Final = 60.0
"""Seconds that one look may take, as it keeps a connection from those who write."""

SOUGHT: Final = 32
"""Bad items that are found one by one in a batch that is written in pieces; then a piece is refused as it is."""

_SECOND: Final = 1_000_000_000


class TimescaleExporter:
    """The tables of one signal. Entering waits for nothing; leaving closes the connections."""

    def __init__(self, settings: TimescaleSettings, context: Context) -> None:
        require("the exporter", "timescaledb", "asyncpg")
        self._settings = settings
        self._context = context
        host, port = settings.address
        self.destination = {"server.address": host, "server.port": port}
        self._moved = self._repeated = 0
        self._keys = Keys()
        self._tasks = AsyncExitStack()
        self._parts: dict[Signal, Part] = {}
        self._pool: Pool

    async def __aenter__(self) -> Self:
        from sluiceway.exporters.timescaledb.part import Part
        from sluiceway.exporters.timescaledb.pool import Pool

        settings, context = self._settings, self._context
        tls = None
        if settings.transport == "tcp" and not settings.tls.insecure:
            tls = settings.tls.reloaded_ssl_context(context.clock, context.logger)
            tls()  # a file that cannot be used is told at the start
        self._pool = Pool(settings, tls)
        self._parts = {signal: Part(settings, signal, context) for signal in context.signals}
        scope = context.telemetry
        scope.counter(
            "sluiceway_timescaledb_moved_times", lambda: self._moved, "{item}",
            "Items whose time was outside the window.", exporter=context.id,
        )  # fmt: skip
        scope.counter(
            "sluiceway_timescaledb_known_batches", lambda: self._repeated, "{batch}",
            "Batches that came again and were stored already.", exporter=context.id,
        )  # fmt: skip
        tasks = await self._tasks.enter_async_context(asyncio.TaskGroup())
        self._tasks.callback(tasks.create_task(self._keep_up(), name="timescaledb-upkeep").cancel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._tasks.aclose()
        await self._pool.close()

    async def check_backend(self) -> None:
        """Make the tables, or look whether they can be written to."""
        from sluiceway.exporters.timescaledb.failures import BROKEN, PostgresError, SchemaError, explain

        try:
            async with self._pool.connection() as connection:
                for part in self._parts.values():
                    await part.schema.ready(connection, self._context.clock.time_ns() / _SECOND)
        except (PostgresError, SchemaError, *BROKEN) as error:
            raise explain(error, self._settings.endpoint) from error

    async def consume(self, batch: Batch) -> PartialSuccess | None:
        """Return when the rows are committed, or raise `DeliveryError`.

        After a `PermanentError` none of them is; after another one what is, is known when the batch comes again.
        """
        names = batch.origin.names
        if names and sum(items for _, items in names) == batch.items:
            return await self._deliver(batch, [(part_of(name, 0), items) for name, items in names if items])
        with self._keys.of(batch) as key:
            return await self._deliver(batch, [(key, batch.items)])

    async def _deliver(self, batch: Batch, keys: Named) -> PartialSuccess | None:
        """Store a batch: whole if that can be, else piece by piece, so that those that are stored are not again.

        A batch that is refused whole is the sender's to divide. Once it is in pieces, the bad items are found here.
        """
        pieces, rejected, found = [Piece(batch, keys)], [], 0
        while pieces:
            piece = pieces.pop()
            try:
                made, noted = await self._attempt(piece)
            except PermanentError as error:
                if piece.batch is batch:
                    raise
                if piece.batch.items > 1 and found < SOUGHT:
                    pieces += reversed(piece.halves())
                else:
                    found += 1
                    rejected.append(PartialSuccess(piece.batch.items, str(error), piece.batch))
                continue
            if len(groups := piece.apart(noted)) > 1:
                pieces += groups
            elif piece.batch.items > 1 and (made is None or 0 in noted.values()):
                pieces += reversed(piece.halves())
            elif made is None:
                rejected.append(PartialSuccess(1, "PostgreSQL does not take 1 whose row is too large", piece.batch))
            else:
                self._repeated += len(noted)
                self._moved += 0 if noted else made.moved
                rejected += filter(None, [made.rejection(piece.batch)])
        return join_rejections(rejected)

    async def _attempt(self, piece: Piece) -> tuple[Rows | None, dict[bytes, int]]:
        """Store a piece, unless its rows take too much, which are None then, or keys of it are there, which it returns.

        Raises `PermanentError` where rows were refused for what they hold.
        """
        from sluiceway.exporters.timescaledb.failures import BROKEN, PostgresError, SchemaError, explain, may_be_schema
        from sluiceway.exporters.timescaledb.transaction import store

        part = self._parts[piece.batch.signal]
        try:
            async with self._pool.connection() as connection:
                await part.schema.ready(connection, self._context.clock.time_ns() / _SECOND)
                made = await part.rows(piece.batch)  # with a connection: so many batches have rows at a time
                return made, {} if made is None else await store(connection, part, piece, made)
        except (PostgresError, SchemaError, *BROKEN) as error:
            if may_be_schema(error):
                part.schema.forget()
            raise explain(error, self._settings.endpoint) from error

    async def _keep_up(self) -> None:
        """From time to time make partitions, drop what is too old and forget old keys."""
        from sluiceway.exporters.timescaledb.failures import BROKEN, PostgresError
        from sluiceway.exporters.timescaledb.upkeep import keep_up

        clock = self._context.clock
        while True:
            await clock.sleep(UPKEEP_INTERVAL)
            try:
                async with clock.timeout(UPKEEP_LIMIT), self._pool.connection() as connection:
                    for part in self._parts.values():
                        await keep_up(connection, self._settings, part.schema, clock.time_ns() / _SECOND, part.logger)
            except (PostgresError, *BROKEN) as error:
                self._context.logger.warning("the upkeep of the tables failed: %s", type(error).__name__)


COMPONENT = Component(
    type="timescaledb",
    kind=Kind.EXPORTER,
    config=TimescaleSettings,
    create=TimescaleExporter,
    stability=Stability.BETA,
    aliases=("postgresql", "postgres"),
)
