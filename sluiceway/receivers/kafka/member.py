"""A member of the consumer group: the thread that talks to librdkafka.

librdkafka's consumer is touched by this thread alone. It goes on polling however slow the pipeline is, so that the
group counts us in; partitions of which enough is held are paused meanwhile.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from sluiceway.component import Context
from sluiceway.errors import ConfigError
from sluiceway.kafka import KafkaConnection, explain
from sluiceway.receivers.kafka.assignment import Assignment
from sluiceway.receivers.kafka.claim import Claim, News
from sluiceway.receivers.kafka.librdkafka import properties
from sluiceway.receivers.kafka.lookout import Lookout
from sluiceway.receivers.kafka.metrics import Figures
from sluiceway.receivers.kafka.reading import Reader
from sluiceway.receivers.kafka.settings import KafkaReceiverConfig

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

__all__ = ["Member"]

_POLL: Final = 0.05
"""Seconds that a poll may wait for messages, and so what else there is to do for the poll."""
_MOST: Final = 2000
"""Messages read at a time; their bytes are bounded by what librdkafka holds."""
_LAG_EVERY: Final = 2.0
_FAREWELL: Final = 5.0
"""Seconds that the brokers have to take the last commit and to hear that we leave."""
_LINGER: Final = 3.0
"""Seconds of these that a rebalance under way is waited for."""
_RESTLESS: Final = frozenset({"PREPARING_REBALANCING", "COMPLETING_REBALANCING"})
_AGAIN: Final = frozenset({"ILLEGAL_GENERATION", "REBALANCE_IN_PROGRESS"})
"""Commits that met a rebalance: they are repeated after it."""
_RESTART: Final = 10.0
"""Seconds until a consumer that has failed is replaced."""


class Member:
    """Reads the partitions that the group gives it, in a thread of its own, until it is stopped."""

    def __init__(
        self,
        config: KafkaReceiverConfig,
        connection: KafkaConnection,
        lookout: Lookout,
        assignment: Assignment,
        news: News,
        figures: Figures,
        context: Context,
    ) -> None:
        self._config = config
        self._connection = connection
        self._lookout = lookout
        self._assignment = assignment
        self._news = news
        self._figures = figures
        self._context = context
        self._reader = Reader(config, context.clock)
        self._stopping = threading.Event()
        self._has_let_go = asyncio.Event()
        self._ended = asyncio.Event()
        self._lag_due = 0.0

    def start(self) -> None:
        """Begin to read; raise `ConfigError` for settings that librdkafka does not take."""
        loop = asyncio.get_running_loop()
        first = self._open()
        name = f"kafka {self._context.id}"
        threading.Thread(target=self._run, args=(first, loop), name=name, daemon=True).start()

    async def stop(self) -> None:
        """Let what is under way end, commit, and leave the group; a broker that does not answer is not waited for."""
        self._stopping.set()
        self._news.wake.set()
        await self._has_let_go.wait()
        try:
            async with self._context.clock.timeout(_FAREWELL):
                await self._ended.wait()
        except TimeoutError:
            text = "The brokers do not answer: what was done with last may come again, to others once we are given up"
            self._context.logger.warning(text)

    def _open(self) -> Consumer:
        from confluent_kafka import Consumer

        return self._connection.open(Consumer, {**properties(self._config), "on_commit": self._committed})

    def _run(self, consumer: Consumer | None, loop: asyncio.AbstractEventLoop) -> None:
        while not self._stopping.is_set():
            try:
                consumer = self._read_on(consumer or self._open(), loop)
            except Exception as error:  # noqa: BLE001 - whatever has failed, reading must go on
                self._failed(error)
                consumer = None
        if consumer is not None:
            consumer.close()
        with suppress(RuntimeError):  # nobody waits any more
            loop.call_soon_threadsafe(self._has_let_go.set)
            loop.call_soon_threadsafe(self._ended.set)

    def _failed(self, error: Exception) -> None:
        """Give up what was under way: it comes again with the next consumer."""
        self._context.logger.error("The consumer has failed, a new one begins in %ss", _RESTART, exc_info=error)
        self._lookout.failed(_told(error))
        self._assignment.forget()
        self._stopping.wait(_RESTART)

    def _read_on(self, consumer: Consumer, loop: asyncio.AbstractEventLoop) -> Consumer | None:
        """Read until the end, or until there is a consumer to go on with, and leave the group."""
        loop.call_soon_threadsafe(self._has_let_go.clear)
        try:
            self._lookout.begin()
            self._subscribe(consumer)
            successor = None
            while successor is None and not self._stopping.is_set():
                self._step(consumer)
                successor = self._successor()
            self._assignment.let_go(consumer)
            loop.call_soon_threadsafe(self._has_let_go.set)
            self._await_calm(consumer)
        finally:
            consumer.close()
        return successor

    def _successor(self) -> Consumer | None:
        """A consumer with the certificates that are there now, where they have changed and can be used."""
        if not self._connection.has_new_certificates():
            return None
        try:
            successor = self._open()
        except ConfigError as error:  # they have changed again meanwhile, which the next look finds
            self._context.logger.warning("Reading goes on with the certificates that were there before: %s", error)
            return None
        self._context.logger.info("A new consumer takes over: the files of tls have changed")
        return successor

    def _await_calm(self, consumer: Consumer) -> None:
        """Wait a moment for a rebalance that is under way.

        A broker reads no commit and no farewell from a member that joins: what was done with would come again, and the
        others wait for us until our session ends.
        """
        from confluent_kafka.admin import AdminClient

        if self._lookout.is_cut_off:
            return
        group, deadline = self._config.group_id, self._context.clock.now() + _LINGER
        try:
            admin = self._connection.open(AdminClient)
        except ConfigError:  # files of tls that cannot be used since: the farewell is worth a try all the same
            return
        while self._context.clock.now() < deadline:
            answer = admin.describe_consumer_groups([group], request_timeout=_LINGER)[group]
            while not answer.done():
                consumer.poll(_POLL)
            if answer.exception() is not None or answer.result().state.name not in _RESTLESS:
                return
            consumer.poll(_POLL)
            self._assignment.let_go(consumer)

    def _step(self, consumer: Consumer) -> None:
        assignment, lookout = self._assignment, self._lookout
        assignment.keep_up(consumer)
        if lookout.is_due and lookout.look(consumer):
            self._subscribe(consumer)
        self._look_for_lag(consumer)
        wait = _POLL
        if assignment.is_full:
            self._news.wake.wait(_POLL)
            wait = 0.0
        if (first := consumer.poll(wait)) is not None:
            self._take(consumer, [first, *consumer.consume(_MOST, 0)])

    def _subscribe(self, consumer: Consumer) -> None:
        if names := sorted(self._lookout.chosen):
            consumer.subscribe(names, on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)
        else:
            consumer.unsubscribe()

    def _take(self, consumer: Consumer, messages: list[Message]) -> None:
        claims = self._assignment.claims
        runs: dict[Claim, list[Message]] = {}
        for message in messages:
            if (error := message.error()) is not None:
                self._complained(message.topic() or "", error)
            elif (claim := claims.get((message.topic(), message.partition()))) is not None:  # type: ignore[arg-type]  # it has both
                runs.setdefault(claim, []).append(message)
        if runs:
            self._lookout.read(claim.topic for claim in runs)
        for claim, run in runs.items():
            self._assignment.take(consumer, claim, list(self._reader.read(claim, run)))

    def _complained(self, topic: str, error: KafkaError) -> None:
        from confluent_kafka import KafkaException

        if error.fatal() or error.name() == "_FATAL":
            raise KafkaException(error)
        self._lookout.complained(topic, error)

    def _assigned(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        self._lookout.assigned()
        self._assignment.assign(consumer, places, self._lookout)

    def _revoked(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        self._assignment.revoke(consumer, places)

    def _lost(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        self._context.logger.warning("%d partitions were given to others, as the group did not hear of us", len(places))
        self._assignment.lose(consumer, places)

    def _committed(self, error: KafkaError | None, places: list[TopicPartition]) -> None:
        """Take the outcome of a commit."""
        failed = [found for place in places if (found := error or place.error) is not None]
        self._figures.commits["success"] += len(places) - len(failed)
        if failed and failed[0].name() != "_NO_OFFSET":
            self._figures.commits["failure"] += len(failed)
            if failed[0].name() in _AGAIN:
                return
            self._lookout.hasten()
            text = explain(failed[0], group=self._config.group_id)
            self._connection.warning(f"Offsets were not committed; what is behind them may come again: {text}")

    def _look_for_lag(self, consumer: Consumer) -> None:
        """Note the ends of partitions: as the last answers had them, and of those that are paused by asking."""
        now = self._context.clock.now()
        if now >= self._lag_due:
            self._lag_due = now + _LAG_EVERY
            self._assignment.look_for_ends(consumer)


def _told(error: Exception) -> str:
    from confluent_kafka import KafkaException

    about = explain(error.args[0]) if isinstance(error, KafkaException) else f"internal error: {type(error).__name__}"
    return f"the consumer has failed, a new one begins in {_RESTART:g}s: {about}"
