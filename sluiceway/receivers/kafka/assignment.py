"""The partitions that are ours, on the side of the thread that talks to librdkafka."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeAlias

from sluiceway.component import Context
from sluiceway.receivers.kafka.claim import Chunk, Claim, News
from sluiceway.receivers.kafka.lookout import Lookout
from sluiceway.receivers.kafka.partitions import Partitions
from sluiceway.receivers.kafka.settings import KafkaReceiverConfig

if TYPE_CHECKING:
    from confluent_kafka import Consumer, TopicPartition

__all__ = ["Assignment", "Place"]

Place: TypeAlias = tuple[str, int]

GRACE: Final = 10.0
"""Seconds that what is under way has to come to its end when a partition is taken from us."""
_MORE: Final = 5.0
_ASK: Final = 10.0
"""Seconds that the cluster has to answer a question about offsets."""
_GLANCE: Final = 0.5
"""The same for one whose answer is only shown."""
_END: Final = -1
"""The time that asks for the end of a partition."""
_BEGIN: Final = -2
"""The time that asks for its beginning."""


class Assignment:
    """Claims partitions and lets go of them, commits what is done with, pauses those of which enough is held."""

    def __init__(
        self,
        config: KafkaReceiverConfig,
        partitions: Partitions,
        news: News,
        loop: asyncio.AbstractEventLoop,
        context: Context,
    ) -> None:
        self.claims: dict[Place, Claim] = {}
        self._config = config
        self._partitions = partitions
        self._loop = loop
        self._logger = context.logger
        self._news = news

    @property
    def is_full(self) -> bool:
        """Whether nothing is to be fetched at the moment."""
        return bool(self.claims) and all(claim.is_paused for claim in self.claims.values())

    def assign(self, consumer: Consumer, places: Sequence[TopicPartition], lookout: Lookout) -> None:
        """Take on partitions that the group gives to us."""
        if self._config.initial_offset == "latest":
            self._pin(consumer, places, lookout)
        claims = [
            Claim(place.topic, place.partition, signal)
            for place in places
            if (signal := lookout.chosen.get(place.topic)) is not None
        ]
        self.claims |= {(claim.topic, claim.partition): claim for claim in claims}
        self._loop.call_soon_threadsafe(self._partitions.assigned, claims)
        if self._config.is_cooperative:
            consumer.incremental_assign(list(places))
        else:
            consumer.assign(list(places))

    def revoke(self, consumer: Consumer, places: Iterable[TopicPartition]) -> None:
        """Let go of partitions: what is under way may end, and what is done with is committed."""
        self._let_go(consumer, self._pop(consumer, places))

    def lose(self, consumer: Consumer, places: Iterable[TopicPartition]) -> None:
        """Somebody else has these partitions by now: what is under way is given up, and nothing is committed."""
        self._leave(self._pop(consumer, places), 0.0, "lost")

    def let_go(self, consumer: Consumer) -> None:
        """Let go of all partitions, as at the end."""
        self._let_go(consumer, self._pop_all())

    def forget(self) -> None:
        """Let go of all partitions without a consumer, which has failed."""
        self._leave(self._pop_all(), 0.0, "lost")

    def take(self, consumer: Consumer, claim: Claim, chunks: list[Chunk]) -> None:
        """Hand on what was read of a partition."""
        claim.taken += sum([chunk.weight for chunk in chunks])
        self._loop.call_soon_threadsafe(self._partitions.deliver, claim, chunks)
        self._regulate(consumer, [claim])

    def keep_up(self, consumer: Consumer) -> None:
        """Do what follows from what has changed."""
        ours = [claim for claim in self._news.take() if self.claims.get((claim.topic, claim.partition)) is claim]
        if ours:
            self._commit(consumer, ours)
            self._regulate(consumer, ours)

    def look_for_ends(self, consumer: Consumer) -> None:
        """Note the ends of partitions, as answers have brought them, or the cluster tells of those that are paused."""
        from confluent_kafka import KafkaException, TopicPartition

        paused = []
        for claim in self.claims.values():
            place = TopicPartition(claim.topic, claim.partition, _END)
            if claim.is_paused:
                paused.append(place)
                continue
            with suppress(KafkaException):
                _, claim.end = consumer.get_watermark_offsets(place, cached=True)
        if not paused:
            return
        with suppress(KafkaException):
            for end in consumer.offsets_for_times(paused, timeout=_GLANCE):
                claim = self.claims[end.topic, end.partition]
                claim.end = end.offset if end.error is None else claim.end

    def _pop(self, consumer: Consumer, places: Iterable[TopicPartition]) -> list[Claim]:
        found = (self.claims.pop((place.topic, place.partition), None) for place in places)
        claims = [claim for claim in found if claim is not None]
        if paused := [claim for claim in claims if claim.is_paused]:
            consumer.resume(_places(paused))  # or it would stay paused when it is ours again
        return claims

    def _pop_all(self) -> list[Claim]:
        claims = list(self.claims.values())
        self.claims.clear()
        return claims

    def _let_go(self, consumer: Consumer, claims: list[Claim]) -> None:
        self._leave(claims, GRACE, "revoked")
        self._commit(consumer, claims)

    def _leave(self, claims: Sequence[Claim], grace: float, why: str) -> None:
        if not claims:
            return
        left = asyncio.run_coroutine_threadsafe(self._partitions.leave(claims, grace, why), self._loop)
        with suppress(TimeoutError):
            left.result(grace + _MORE)

    def _commit(self, consumer: Consumer, claims: Iterable[Claim]) -> None:
        """Have committed what is done with; librdkafka does it in intervals, before a partition goes, at the end."""
        from confluent_kafka import KafkaException

        stored: list[TopicPartition] = []
        back: list[TopicPartition] = []
        for claim in claims:
            if claim.offset != claim.stored:
                (stored if claim.offset > claim.stored else back).append(self._place(claim))
                claim.stored = claim.offset
        try:
            if stored:
                consumer.store_offsets(offsets=stored)
                if not self._config.autocommit.enable:
                    consumer.commit(asynchronous=True)
            if back:  # as when a topic was made anew; librdkafka commits only what goes on
                consumer.commit(offsets=back, asynchronous=True)
        except KafkaException as error:
            self._logger.warning("Offsets were not committed; what is behind them may come again: %s", error.args[0])

    def _place(self, claim: Claim) -> TopicPartition:
        from confluent_kafka import TopicPartition

        if claim.epoch >= 0 and self._config.use_leader_epoch:
            return TopicPartition(claim.topic, claim.partition, claim.offset, leader_epoch=claim.epoch)
        return TopicPartition(claim.topic, claim.partition, claim.offset)

    def _regulate(self, consumer: Consumer, claims: Iterable[Claim]) -> None:
        """Pause partitions of which enough is held or that are refused, and fetch on where half of it is done with."""
        share = self._config.max_held_size // max(len(self.claims), 1)
        pause, resume = [], []
        for claim in claims:
            if not claim.is_paused and (claim.is_refused or claim.held >= share):
                pause.append(claim)
            elif claim.is_paused and not claim.is_refused and claim.held <= share // 2:
                resume.append(claim)
        if pause:
            consumer.pause(_places(pause))
        if resume:
            consumer.resume(_places(resume))
        for claim in (*pause, *resume):
            claim.is_paused = not claim.is_paused

    def _pin(self, consumer: Consumer, places: Sequence[TopicPartition], lookout: Lookout) -> None:
        """Commit the ends of partitions that the group knows no offset of, and read from there.

        Else what is written before the first commit would be skipped by whoever reads on after a crash. All that is in
        a partition that has come while we read was written meanwhile: it is read from its beginning.
        """
        from confluent_kafka import KafkaException, TopicPartition

        try:
            known = consumer.committed(list(places), timeout=_ASK)
            fresh = [
                TopicPartition(
                    place.topic,
                    place.partition,
                    _BEGIN if lookout.has_come_since(place.topic, place.partition) else _END,
                )
                for place in known
                if place.error is None and place.offset < 0
            ]
            if not fresh:
                return
            ends = consumer.offsets_for_times(fresh, timeout=_ASK)
            ends = [place for place in ends if place.error is None and place.offset >= 0]
            if ends:
                consumer.commit(offsets=ends, asynchronous=False)
        except KafkaException as error:
            self._logger.warning("The offsets at which reading begins could not be committed: %s", error.args[0])
            return
        begin = {(end.topic, end.partition): end.offset for end in ends}
        for place in places:
            place.offset = begin.get((place.topic, place.partition), place.offset)


def _places(claims: Iterable[Claim]) -> list[TopicPartition]:
    from confluent_kafka import TopicPartition

    return [TopicPartition(claim.topic, claim.partition) for claim in claims]
