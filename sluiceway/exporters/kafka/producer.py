"""A producer of librdkafka with the thread that polls it: messages go in on the event loop, their outcomes come back.

Whatever one poll brings is handed to the event loop in one call.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from sluiceway.exporters.kafka.messages import Message

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Producer

__all__ = ["PolledProducer", "Reports"]

POLL: Final = 0.2
"""Seconds that a poll waits for something to happen."""

LOOK: Final = 0.5
"""Seconds for which a thread waits for a broker's answer, before it asks again."""

Reports: TypeAlias = "list[tuple[Message, KafkaError | None]]"
"""Messages with what became of them: None is delivered."""


class PolledProducer:
    """Takes messages until its queue is full, and calls `settle` on the event loop with what became of them.

    Every message that was taken is reported once, whatever happens, if the producer is polled for long enough.
    """

    def __init__(self, producer: Producer, settle: Callable[[PolledProducer, Reports], None]) -> None:
        self._producer: Producer | None = producer
        self._settle = settle
        self._loop = asyncio.get_running_loop()
        self._reports: Reports = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="kafka-producer", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        """Messages that were taken and not reported yet."""
        return len(self._producer) if self._producer is not None else 0

    def send(self, message: Message) -> bool:
        """Take a message; False where the queue is full. Raises `KafkaException` for one that cannot be sent."""
        assert self._producer is not None  # noqa: S101 - nobody sends after closing
        try:
            self._producer.produce(
                message.topic,
                message.value,
                message.key,
                headers=message.headers or None,
                on_delivery=partial(self._reported, message),
            )
        except BufferError:
            return False
        return True

    async def look(self, topic: str, seconds: float) -> KafkaError | None:
        """Ask a broker for a topic, an empty one for none, and return what it says against it.

        Raises `KafkaException` where no broker answers. Its thread ends soon after a cancellation.
        """
        from confluent_kafka import KafkaException

        assert self._producer is not None  # noqa: S101 - nobody asks after closing
        for left in reversed(range(ceil(seconds / LOOK))):
            try:
                found = await asyncio.to_thread(self._producer.list_topics, topic or None, LOOK)
            except KafkaException:
                if not left:
                    raise
            else:
                error: KafkaError | None = found.topics[topic].error if topic else None
                return error
        return None

    async def close(self, seconds: float) -> int:
        """Wait so long for what is on its way, and end; say how many messages are given up."""
        self._is_over.set()
        return await asyncio.to_thread(self._finish, seconds)

    def _reported(self, message: Message, error: KafkaError | None, _: Any) -> None:
        self._reports.append((message, error))

    def _poll(self) -> None:
        while not self._is_over.is_set():
            assert self._producer is not None  # noqa: S101 - it goes after this thread
            self._producer.poll(POLL)
            self._hand_over()

    def _finish(self, seconds: float) -> int:
        self._thread.join()
        assert self._producer is not None  # noqa: S101 - it is closed once
        left = self._producer.flush(seconds)
        if left:
            self._producer.purge()
            self._producer.flush(1.0)
        self._hand_over()
        self._producer = None  # which takes its time, so it is done in this thread
        return int(left)

    def _hand_over(self) -> None:
        if not self._reports:
            return
        reports, self._reports = self._reports, []
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._settle, self, reports)
