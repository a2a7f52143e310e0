"""The receiver's settings in the words of librdkafka."""

from __future__ import annotations

from typing import Final

from sluiceway.kafka.librdkafka import Properties
from sluiceway.receivers.kafka.settings import KafkaReceiverConfig

__all__ = ["properties"]

_POLL_INTERVAL: Final = 300_000
"""Milliseconds in which the thread must poll again, as it does at least every second however slow the pipeline is."""
_QUEUE_KIB: Final = 16 * 1024
_QUEUE: Final = 2000
"""Messages, as librdkafka counts neither keys nor headers into the KiB; as many as are read at a time."""
_GONE: Final = 5000
"""Milliseconds after which a topic that is not there any more is said to be gone."""
_RECEIVE: Final = 100_000_000


def properties(config: KafkaReceiverConfig) -> Properties:
    """The properties of the consumer, beside those that all clients have."""
    session = _milliseconds(config.session_timeout)
    found: Properties = {
        "group.id": config.group_id,
        "partition.assignment.strategy": ",".join(config.strategies),
        "auto.offset.reset": config.initial_offset,
        "session.timeout.ms": session,
        "heartbeat.interval.ms": _milliseconds(config.heartbeat_interval),
        "max.poll.interval.ms": max(_POLL_INTERVAL, session),
        "fetch.min.bytes": config.min_fetch_size,
        "fetch.max.bytes": config.max_fetch_size,
        "fetch.wait.max.ms": _milliseconds(config.max_fetch_wait),
        "max.partition.fetch.bytes": config.max_partition_fetch_size,
        "receive.message.max.bytes": max(_RECEIVE, config.max_fetch_size + 512),
        "queued.max.messages.kbytes": _QUEUE_KIB,
        "queued.min.messages": _QUEUE,
        "fetch.queue.backoff.ms": 20,
        "topic.metadata.propagation.max.ms": _GONE,
        "enable.auto.offset.store": False,  # an offset is stored once the pipeline has answered
        "enable.auto.commit": True,  # without autocommit::enable only what has failed when it was answered for
        "auto.commit.interval.ms": max(1, _milliseconds(config.autocommit.interval)),
        "connections.max.idle.ms": min(_milliseconds(config.conn_idle_timeout), 2_147_483_647),
    }
    if config.group_instance_id:
        found["group.instance.id"] = config.group_instance_id
    return found


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
