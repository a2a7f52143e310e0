"""Looks at the cluster: whether it answers, which topics there are, and what stands in the way of reading them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf
from typing import TYPE_CHECKING, Final

from sluiceway.component import Clock
from sluiceway.kafka import KafkaConnection, explain
from sluiceway.otlp import Signal
from sluiceway.receivers.kafka.settings import KafkaReceiverConfig
from sluiceway.receivers.kafka.topics import Topics

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError

__all__ = ["Lookout"]

_PATIENCE: Final = 1.0
"""Seconds that the cluster has to answer; nothing is polled meanwhile."""
_SOONEST, _LATEST = 1.0, 10.0
"""Seconds until the next look while something is wrong; the interval grows."""
_COVERED: Final = frozenset({"UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION"})
"""Errors about topics that are not there, which looks find as well."""


class Lookout:
    """Keeps the subscription, and tells what is wrong: `cluster` with the brokers, `group` with the group and topics.

    It belongs to the thread that polls, in which it asks the cluster for its topics: at the start, while something is
    wrong, and where topics are named by patterns at every `refresh_interval`.
    """

    def __init__(
        self,
        config: KafkaReceiverConfig,
        topics: Topics,
        connection: KafkaConnection,
        clock: Clock,
        *,
        cluster: Callable[[str], object],
        group: Callable[[str], object],
    ) -> None:
        self.chosen: dict[str, Signal] = {}
        """What is subscribed to."""
        self._topics = topics
        self._refresh = config.metadata.refresh_interval if topics.has_patterns else inf
        self._group_id = config.group_id
        self._connection = connection
        self._clock = clock
        self._tell = {"cluster": cluster, "group": group}
        self._told = {"cluster": "", "group": ""}
        self._due = -inf
        self._answers = False
        self._at_first: dict[str, int] | None = None
        """The topics that there were when the cluster was looked at first, with the number of their partitions."""
        self._interval = _SOONEST
        self._missing: list[str] = []
        self._said: dict[str, str] = {}
        connection.on_trouble = lambda _: self.hasten()

    @property
    def is_cut_off(self) -> bool:
        """Whether the cluster did not answer when it was last looked at, or has not been looked at."""
        return not self._answers

    @property
    def is_due(self) -> bool:
        """Whether it is time to look."""
        return self._clock.now() >= self._due

    def has_come_since(self, topic: str, partition: int) -> bool:
        """Whether a partition was not there, or not to be seen, when the cluster was looked at first."""
        return self._at_first is not None and partition >= self._at_first.get(topic, 0)

    def hasten(self) -> None:
        """Look as soon as possible: something is wrong."""
        self._due = min(self._due, self._clock.now())

    def begin(self) -> None:
        """Forget what a consumer before this one knew: what is named is subscribed to at once."""
        self._due = -inf
        self.chosen = self._topics.choose(())

    def look(self, consumer: Consumer) -> bool:
        """Ask the cluster for its topics; return whether what is subscribed to has changed."""
        from confluent_kafka import KafkaException

        try:
            found = consumer.list_topics(timeout=_PATIENCE)
        except KafkaException as error:
            self._answers = False
            self._say("cluster", self._connection.trouble or explain(error.args[0]))
            self._again()
            return False
        self._answers = True
        if self._at_first is None:
            self._at_first = {name: len(topic.partitions) for name, topic in found.topics.items()}
        self._connection.worked()
        self._say("cluster", "")
        # One that is read already is not given up for a passing error.
        there = {name for name, topic in found.topics.items() if topic.error is None or name in self.chosen}
        before, self.chosen = self.chosen, self._topics.choose(there)
        self._missing = sorted(self.chosen.keys() - there)
        self._tell_group()
        if self._missing or self._said or not self.chosen:
            self._again()
        else:
            self._interval = _SOONEST
            self._due = self._clock.now() + self._refresh
        return self.chosen != before

    def complained(self, topic: str, error: KafkaError) -> None:
        """Take an error that came among the messages."""
        if error.name() not in _COVERED:
            self._said[topic] = explain(error, topic=topic, group="" if topic else self._group_id)
            self._tell_group()
        self.hasten()

    def failed(self, why: str) -> None:
        """The consumer has come to an end, and a new one begins."""
        self._said[""] = why
        self._tell_group()

    def assigned(self) -> None:
        """The group has taken us: what it said before no longer holds."""
        if self._said:
            self._said.clear()
            self._tell_group()

    def read(self, topics: Iterable[str]) -> None:
        """Messages of some topics have come: what was said of them no longer holds."""
        if self._said:
            for topic in ("", *topics):
                self._said.pop(topic, None)
            self._tell_group()

    def _again(self) -> None:
        self._due = self._clock.now() + self._interval
        self._interval = min(self._interval * 2, _LATEST)

    def _tell_group(self) -> None:
        texts = list(self._said.values())
        if self._missing:
            names = ", ".join(self._missing[:5]) + (", ..." if len(self._missing) > 5 else "")
            texts.append(f"not there, or not to be seen by this user: topic {names}; it is read once it is created")
        if not self.chosen:
            texts.append("no topic matches the patterns of topics; they are looked for again")
        self._say("group", "; ".join(texts))

    def _say(self, about: str, text: str) -> None:
        if text != self._told[about]:
            self._told[about] = text
            self._tell[about](text)
