"""From the messages of one partition to batches: read by their encoding, joined, with what their headers say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import methodcaller
from sys import getsizeof
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias

from sluiceway.component import Clock
from sluiceway.errors import SenderError
from sluiceway.otlp import Batch, Origin, Signal
from sluiceway.otlp.plan import Level, Plan, Put, Slot
from sluiceway.receivers.kafka.claim import Chunk, Claim
from sluiceway.receivers.kafka.encodings import decoder
from sluiceway.receivers.kafka.settings import KafkaReceiverConfig

if TYPE_CHECKING:
    from confluent_kafka import Message

__all__ = ["Reader"]

PREFIX: Final = "kafka.header."
CHUNK: Final = 512
"""Bytes that a chunk takes besides the payload of its batch and its metadata; an upper bound."""
HEADER: Final = 128
"""Bytes that an entry of a batch's metadata takes besides its name and values; an upper bound."""
_headers: Final = methodcaller("headers")
"""The headers of a message. A plain call may return them with an error still set, which then comes up anywhere."""
_Headers: TypeAlias = tuple[tuple[str, bytes], ...]
_NONE: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({})


class Reader:
    """Reads messages. It does so in whatever thread it is called in."""

    def __init__(self, config: KafkaReceiverConfig, clock: Clock) -> None:
        self._clock = clock
        self._decoders = {signal: decoder(signal, source.encoding) for signal, source in config.sources()}
        self._most = config.max_batch_size
        wanted = config.header_extraction
        names = tuple(dict.fromkeys(wanted.headers)) if wanted.extract_headers else ()
        self._slots = {name: Slot() for name in names}
        self._plan = Plan([Put(Level.RESOURCE, f"{PREFIX}{name}", slot) for name, slot in self._slots.items()])
        self._keeps = config.include_metadata

    def read(self, claim: Claim, messages: Sequence[Message]) -> Iterator[Chunk]:
        """Read consecutive messages of one partition; each batch is of at most `max_batch_size` bytes, or one message.

        Messages whose headers matter and differ are not joined.
        """
        if not (self._slots or self._keeps):
            for part in self._parts(messages):
                yield from self._chunks(claim, part, ())
            return
        for headers, run in groupby(messages, self._headers):
            if headers is None:
                yield from [self._chunk((message,), None, "the name of a header is not UTF-8") for message in run]
                continue
            for part in self._parts(list(run)):
                yield from self._chunks(claim, part, headers)

    def _headers(self, message: Message) -> _Headers | None:
        """Those of its headers that matter; None where they cannot be read."""
        try:
            found = _headers(message) or ()
        except (SystemError, UnicodeDecodeError):
            return None
        pairs = found.items() if isinstance(found, Mapping) else found
        return tuple((name, _bytes(value)) for name, value in pairs if self._keeps or name in self._slots)

    def _parts(self, messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
        begin = size = 0
        for place, message in enumerate(messages):
            more = len(message)
            if size + more > self._most and place > begin:
                yield messages[begin:place]
                begin, size = place, 0
            size += more
        yield messages[begin:]

    def _chunks(self, claim: Claim, messages: Sequence[Message], headers: _Headers) -> Iterator[Chunk]:
        """One chunk, or where something cannot be read one for each message."""
        origin = Origin(self._clock.now(), "", "kafka", headers=self._metadata(claim, headers))
        try:
            batch = self._batch(claim.signal, messages, headers, origin)
        except SenderError as error:
            if len(messages) == 1:
                yield self._chunk(messages, None, str(error))
                return
            for message in messages:
                yield from self._chunks(claim, (message,), headers)
        else:
            yield self._chunk(messages, batch)

    def _batch(self, signal: Signal, messages: Sequence[Message], headers: _Headers, origin: Origin) -> Batch | None:
        values = [value for message in messages if (value := message.value()) is not None]
        if not values:
            return None
        batch = self._decoders[signal](values, self._clock.time_ns(), origin)
        if not self._slots:
            return batch
        first = {name: value.decode(errors="replace") for name, value in reversed(headers)}
        return self._plan.run(batch, {slot: first.get(name) for name, slot in self._slots.items()})

    def _chunk(self, messages: Sequence[Message], batch: Batch | None, problem: str = "") -> Chunk:
        last = messages[-1]
        offset, epoch = last.offset(), last.leader_epoch()
        assert offset is not None  # noqa: S101 - what was consumed has one
        delay = self._clock.time_ns() / 1e9 - last.timestamp()[1] / 1e3
        size = sum([len(message) for message in messages])
        weight = CHUNK if batch is None else CHUNK + len(batch.payload) + _weight(batch.origin.headers)
        return Chunk(batch, weight, offset + 1, -1 if epoch is None else epoch, size, len(messages), delay, problem)

    def _metadata(self, claim: Claim, headers: _Headers) -> Mapping[str, tuple[str, ...]]:
        if not self._keeps:
            return _NONE
        found = {"kafka.topic": [claim.topic], "kafka.partition": [str(claim.partition)]}
        for name, value in headers:
            found.setdefault(name.lower(), []).append(value.decode(errors="replace"))
        return {name: tuple(values) for name, values in found.items()}


def _weight(metadata: Mapping[str, tuple[str, ...]]) -> int:
    """The bytes that metadata takes."""
    return sum([HEADER + getsizeof(name) + sum(map(getsizeof, values)) for name, values in metadata.items()])


def _bytes(value: str | bytes | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""
