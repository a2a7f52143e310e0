"""Which messages a batch becomes: by topic, by key, and none larger than allowed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from sluiceway.exporters.kafka.encoding import Encoder, encoder, pick
from sluiceway.exporters.kafka.settings import KafkaExporterConfig
from sluiceway.kafka import is_topic
from sluiceway.otlp import Batch, Signal, by_trace, group_resources, identities, partition, split
from sluiceway.otlp.anyvalue import decode_value

if TYPE_CHECKING:
    from sluiceway.exporters.kafka.sending import Sending

__all__ = ["Message", "Messages", "Refusal"]

OVERHEAD: Final = 160
"""Bytes that a message takes besides what is in it, with those of the batch around it; an upper bound."""

Header: TypeAlias = tuple[str, str | bytes | None]


@dataclass(slots=True, eq=False)
class Message:
    """One message, and what it holds: `part`, or the whole batch where that is None, or one record of it.

    The whole batch is not held here, so that it can go while the message is on its way.
    """

    topic: str
    key: bytes | None
    value: bytes
    headers: list[Header]
    items: int
    part: Batch | None = None
    record: int = -1
    alone: bool = False
    """Whether it must share its request with no other message, so that what is said of that is about itself."""
    sending: Sending | None = None
    """Whose it is, while it is on its way."""

    @property
    def size(self) -> int:
        """Its bytes in a request."""
        return len(self.value) + _size_around(self.key, self.headers)

    def content(self, batch: Batch) -> Batch:
        """The items that it holds, given the whole batch."""
        part = batch if self.part is None else self.part
        return part if self.record < 0 else pick(part, [self.record])


class Refusal(NamedTuple):
    """Items that cannot be sent, and why."""

    batch: Batch
    reason: str


@dataclass(slots=True)
class _Made:
    budget: int
    """Bytes that cutting may still cost, as each piece repeats the headers of what it was cut from."""
    messages: list[Message] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)


class Messages:
    """Makes the messages of one signal."""

    def __init__(self, config: KafkaExporterConfig, signal: Signal) -> None:
        own = config.of(signal)
        self._topic = own.topic
        self._topic_header = own.topic_from_metadata_key.lower()
        self._topic_attribute = config.topic_from_attribute
        self._key_header = own.message_key_from_metadata_key.lower()
        self._key_attribute = config.message_key_from_attribute
        self._by_trace = config.by_trace(signal)
        self._by_resource = config.by_resource(signal)
        self._included = tuple(config.include_metadata_keys)
        self._fixed = [(name, value.reveal().encode()) for name, value in config.record_headers.items()]
        self._encode: Encoder = encoder(own.encoding)
        self.encodes = own.encoding != "otlp_proto"
        """Whether making messages is more than handing on what there is."""
        self._largest = config.producer.max_message_bytes
        self.misnamed = 0
        """Batches that named a topic that cannot be one, and went to the configured topic."""

    @property
    def only_topic(self) -> str:
        """The topic of all messages; empty where data may name it."""
        return "" if self._topic_header or self._topic_attribute else self._topic

    def of(self, batch: Batch) -> tuple[list[Message], list[Refusal]]:
        """The messages of a batch, and what of it cannot be one."""
        made = _Made(_budget(batch))
        headers = [*self._fixed, *self._headers(batch)]
        for topic, part in self._by_topic(batch):
            for key, piece in self._by_key(part):
                self._make(made, piece, batch, Message(topic, key, b"", headers, 0))
        return made.messages, made.refusals

    def halves(self, message: Message, batch: Batch) -> tuple[list[Message], list[Refusal]]:
        """Two messages in the place of one that a broker found too large; a refusal where it holds a single item."""
        content = message.content(batch)
        made = _Made(_budget(content))
        if content.items < 2:
            return [], [self._too_large(content, message)]
        for half in split(content, items=(content.items + 1) // 2):
            self._make(made, half, batch, message)
        return made.messages, made.refusals

    def _make(self, made: _Made, part: Batch, batch: Batch, like: Message) -> None:
        """Encode a part of a batch, in pieces where it is too large."""
        found = [
            Message(
                like.topic, like.key, value, like.headers, part.items if record < 0 else 1,
                None if part is batch else part, record, like.alone,
            )
            for value, record in self._encode(part)
        ]  # fmt: skip
        missing = part.items - sum(message.items for message in found)
        if missing:
            there = {message.record for message in found}
            rest = pick(part, (place for place in range(part.items) if place not in there))
            made.refusals.append(Refusal(rest, "log records without a body cannot be sent by themselves"))
        for message in found:
            if message.size <= self._largest:
                made.messages.append(message)
            elif message.items == 1 or made.budget < 0:
                made.refusals.append(self._too_large(message.content(batch), message))
            else:
                pieces = self._smaller(part, message)
                made.budget -= sum(len(piece.payload) for piece in pieces) - len(part.payload)
                for piece in pieces:
                    self._make(made, piece, batch, like)

    def _smaller(self, part: Batch, message: Message) -> list[Batch]:
        """At least two pieces of a part whose message is too large."""
        room = self._largest - _size_around(message.key, message.headers)
        if room > 0 and message.value is part.payload and len(pieces := split(part, size=room)) > 1:
            return pieces
        return split(part, items=(part.items + 1) // 2)

    def _too_large(self, part: Batch, message: Message) -> Refusal:
        limit = "the topic's max.message.bytes" if message.alone else f"producer::max_message_bytes ({self._largest})"
        what = "a single item makes" if part.items == 1 else "the attributes of a resource make"
        return Refusal(part, f'topic "{message.topic}": {what} a message larger than {limit}')

    def _headers(self, batch: Batch) -> Iterator[Header]:
        for name in self._included:
            for value in batch.origin.headers.get(name.lower(), ()):
                yield name, value.encode("utf-8", "surrogateescape")

    def _by_topic(self, batch: Batch) -> Iterator[tuple[str, Batch]]:
        if self._topic_header and (named := batch.origin.headers.get(self._topic_header)):
            yield self._checked(named[0]), batch
        elif self._topic_attribute:
            for value, part in partition(batch, self._topic_attribute):
                named_by = _text(value)
                yield self._checked(named_by) if named_by else self._topic, part
        else:
            yield self._topic, batch

    def _checked(self, name: str) -> str:
        """A sender's word as the name of a topic, where it can be one."""
        if is_topic(name):
            return name
        self.misnamed += 1
        return self._topic

    def _by_key(self, batch: Batch) -> Iterator[tuple[bytes | None, Batch]]:
        if self._key_header:
            named = batch.origin.headers.get(self._key_header)
            yield named[0].encode("utf-8", "surrogateescape") if named else None, batch
        elif self._key_attribute:
            for value, part in partition(batch, self._key_attribute):
                yield _text(value).encode() or None, part
        elif self._by_trace:
            for trace, part in by_trace(batch):
                yield trace.hex().encode() or None, part
        elif self._by_resource:
            yield from _each_resource(batch)
        else:
            yield None, batch


def _each_resource(batch: Batch) -> Iterator[tuple[bytes, Batch]]:
    """The batch by what its resources are; resources of the same attributes come together."""
    found = identities(batch)
    places = {identity: place for place, identity in enumerate(dict.fromkeys(found))}
    if len(places) < 2:
        yield from ((identity, batch) for identity in places)
        return
    groups = [places[identity] for identity in found]
    yield from zip(places, group_resources(batch, groups, len(places)), strict=True)


def _budget(batch: Batch) -> int:
    return 8 * len(batch.payload) + 1024 * 1024


def _size_around(key: bytes | None, headers: list[Header]) -> int:
    return OVERHEAD + len(key or b"") + sum(len(name.encode()) + len(value or b"") + 10 for name, value in headers)


def _text(value: bytes | None) -> str:
    """An encoded `AnyValue` as a text; empty where it is none, or not there."""
    found = decode_value(value) if value else None
    return found if isinstance(found, str) else ""
