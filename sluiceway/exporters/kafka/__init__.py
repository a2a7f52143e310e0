"""Writes batches to Apache Kafka, each as one message, as the bytes they are.

Every signal has its topic: `otlp_spans`, `otlp_metrics` and `otlp_logs` unless `traces::topic` and so on say otherwise.
A request header (`topic_from_metadata_key`), then a resource attribute (`topic_from_attribute`) come before that. What
these name must be a topic by Kafka's rule (1 to 249 of `a-z A-Z 0-9 . _ -`); else the batch goes to the signal's own
topic, and `sluiceway_kafka_exporter_misnamed_topics` counts it. A sender that may name topics can make them, where the
brokers create what is missing.

A batch is one message unless it is parted by topic, by key (`partition_traces_by_id` and its like, of which the
identity of a resource is a hash of our own, not the Collector's), or because it would be larger than
`producer::max_message_bytes`. The encodings `raw` and `text` write the bodies of log records, a message each, which
costs about 7 CPU seconds per million; records without a body are dropped and counted.

**A batch counts as delivered when the brokers have acknowledged all of its messages**, by default all replicas in sync,
and the producer is idempotent: brokers that die and come back cost no message and make none twice. (The Collector waits
for the leader alone; `required_acks: 1` does that, and then neither holds.) An attempt that ends before all is known,
by `timeout` or because some messages failed, is no loss and no repetition: the next one sends what failed and waits for
what is still on its way. What was given up by `retry_on_failure` may arrive all the same, if the brokers come back. A
batch comes twice when Sluiceway itself ends between the writing and the acknowledgement and something else sends it
again, and when an acknowledgement was lost together with the producer's session (`MSG_TIMED_OUT`, a fatal error).
Batches are not kept in order.

| What the brokers say | What follows |
| --- | --- |
| acknowledged | delivered |
| nothing; no connection, wrong password, no permission, no topic, too few replicas, every other error | sent again |
| message too large | sent by itself, then in halves; a single item that is too large is dropped and counted |
| record invalid, format not supported | sent by itself; if that does not help, its items are dropped and counted |
| a fatal error of the producer | a new producer sends again what was not acknowledged, which may then be there twice |

The errors in the log say which broker and topic they are about and which setting to mend. The exporter's status says it
too where an operator must act: a wrong password or certificate, a topic that is missing or forbidden; data waits
meanwhile. At most `producer::max_buffered_bytes` are on their way; where that is full, batches wait. Stopping waits for
what is on its way for as long as `timeout`, or a second where the brokers are away. With `tls::reload_interval`,
changed certificates are taken over by a new producer while what is on its way in the old one comes to its end.

```yaml
exporters:
  kafka:
    brokers: [kafka-1.example.com:9092]
```
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from sluiceway.component import Component, Context, Kind, PartialSuccess, Stability
from sluiceway.config.durations import format_duration
from sluiceway.errors import ConfigError, PermanentError, RetryableError
from sluiceway.exporters.kafka.messages import Message, Messages
from sluiceway.exporters.kafka.producer import PolledProducer, Reports
from sluiceway.exporters.kafka.sending import Sending
from sluiceway.exporters.kafka.settings import KafkaExporterConfig
from sluiceway.kafka import KafkaConnection, delivery_error, explain
from sluiceway.otlp import Batch
from sluiceway.unfinished import Unfinished

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

__all__ = ["COMPONENT", "KafkaExporter", "KafkaExporterConfig"]

TURN: Final = 500
"""Messages that are handed over before others have a turn: about two milliseconds."""
INLINE: Final = 256 * 1024
"""Bytes: larger batches are encoded in a thread, where that is more than handing them on."""
AWAY: Final = 1.0
"""Seconds for which the end waits where the brokers are away: each batch has had its last attempt by then."""
_BEING_MADE: Final = frozenset({"LEADER_NOT_AVAILABLE", "_WAIT_CACHE"})
_ENDED: Final = frozenset({"_FATAL", "_FENCED"})


class KafkaExporter:
    """A producer. Entering makes it; it connects in the background."""

    def __init__(self, config: KafkaExporterConfig, context: Context) -> None:
        self._config = config
        self._context = context
        self._connection = KafkaConnection(config, context)
        self._messages = {signal: Messages(config, signal) for signal in context.signals}
        self._producers: dict[bool, PolledProducer] = {}
        self._tasks: asyncio.TaskGroup
        self._unfinished: Unfinished[Sending] = Unfinished()
        self._without_room: set[Sending] = set()
        self._delivered = self._failures = self._bytes = self._divided = 0
        self._publish()

    async def __aenter__(self) -> Self:
        self._producer(alone=False)
        self._tasks = asyncio.TaskGroup()
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        seconds = AWAY if self._connection.trouble else self._config.attempt_timeout or 30.0
        producers, self._producers = list(self._producers.values()), {}
        try:
            await asyncio.gather(*(self._end(producer, seconds) for producer in producers))
        finally:
            await self._tasks.__aexit__(None, None, None)

    async def check_backend(self) -> None:
        """Ask for the topics, as the first message will; where the data name them, only whether there are brokers."""
        from confluent_kafka import KafkaException

        for topic in {messages.only_topic for messages in self._messages.values()}:
            try:
                error = await self._producer(alone=False).look(topic, self._config.attempt_timeout or 30.0)
            except KafkaException as raised:
                said, advice = self._connection.trouble, self._connection.advice
                text = said or f"{', '.join(self._config.brokers)}: {explain(raised.args[0])}"
                raise RetryableError(text, code="UNAVAILABLE", advice=advice, cause=text) from raised
            if error is not None and error.name() not in _BEING_MADE:
                raise delivery_error(error, topic=topic)
        self._connection.worked()

    async def consume(self, batch: Batch) -> PartialSuccess | None:
        """Return when the brokers have acknowledged all messages, or raise `RetryableError`; see the module's text."""
        if self._connection.has_new_certificates():
            self._replace("the files of tls have changed")
        sending = self._unfinished.take(batch) or await self._prepare(batch)
        sending.begin()
        try:
            async with self._context.clock.timeout(self._config.attempt_timeout or None):
                await self._deliver(sending, batch)
        except TimeoutError:
            raise self._overdue(sending) from None
        except ConfigError as problem:  # of a producer that is made anew, as when a certificate has gone since
            raise RetryableError(str(problem), code="UNAVAILABLE") from problem
        finally:
            if sending.failed or not sending.is_settled:
                self._unfinished.keep(batch, sending)
        if sending.failed:
            message, error = sending.failed[0]
            raise delivery_error(error, topic=message.topic)
        return sending.outcome(batch)

    async def _prepare(self, batch: Batch) -> Sending:
        messages = self._messages[batch.signal]
        if messages.encodes and len(batch.payload) > INLINE:
            return Sending(*await asyncio.to_thread(messages.of, batch))
        return Sending(*messages.of(batch))

    async def _deliver(self, sending: Sending, batch: Batch) -> None:
        """Hand messages over and wait for their outcomes, until there is none left to wait for."""
        try:
            while not sending.is_settled:
                sending.changed.clear()
                self._divide(sending, batch)
                if not self._hand_over(sending):
                    await asyncio.sleep(0)
                elif not sending.is_settled:
                    await sending.changed.wait()
        finally:
            self._without_room.discard(sending)

    def _divide(self, sending: Sending, batch: Batch) -> None:
        """Send in halves what a broker found too large."""
        while sending.too_large:
            message = sending.too_large.pop()
            self._divided += 1
            halves, refused = self._messages[batch.signal].halves(message, batch)
            sending.unsent.extend(halves)
            sending.refusals.extend(refused)

    def _hand_over(self, sending: Sending) -> bool:
        """Give librdkafka the messages that it has room for; False after a part of them, so that others have a turn."""
        from confluent_kafka import KafkaException

        self._without_room.discard(sending)
        for _ in range(min(len(sending.unsent), TURN)):
            message = sending.unsent[0]
            message.sending = sending
            producer = self._producer(alone=message.alone)
            try:
                if not producer.send(message):
                    self._without_room.add(sending)
                    return True
            except KafkaException as error:
                sending.unsent.popleft()
                sending.on_the_way += 1
                self._settle(producer, [(message, error.args[0])])
            else:
                sending.unsent.popleft()
                sending.on_the_way += 1
        return not sending.unsent

    def _settle(self, producer: PolledProducer, reports: Reports) -> None:
        """Note what became of messages of a producer."""
        has_worked = False
        for message, error in reports:
            sending, message.sending = message.sending, None
            assert sending is not None  # noqa: S101 - it was on its way
            sending.on_the_way -= 1
            sending.changed.set()
            if error is None:
                has_worked = True
                self._delivered += 1
                self._bytes += len(message.value)
            else:
                self._failures += 1
                self._fail(sending, message, error)
                if (error.fatal() or error.name() in _ENDED) and producer in self._producers.values():
                    self._replace(f"the last one has failed for good: {explain(error)}", 1.0)
        if has_worked:
            self._connection.worked()
        for waiting in self._without_room:
            waiting.changed.set()

    def _fail(self, sending: Sending, message: Message, error: KafkaError) -> None:
        """Sort a failure. A broker refuses all messages of a request for one of them: each goes by itself first."""
        reason = delivery_error(error, topic=message.topic)
        if not isinstance(reason, PermanentError):
            sending.failed.append((message, error))
        elif not message.alone:
            message.alone = True
            sending.unsent.append(message)
        elif reason.code == "RESOURCE_EXHAUSTED":
            sending.too_large.append(message)
        else:
            sending.refused.append((message, str(reason)))

    def _producer(self, *, alone: bool) -> PolledProducer:
        """The producer for messages of which many share a request, or for those that go by themselves."""
        if alone not in self._producers:
            from confluent_kafka import Producer

            more = {"batch.num.messages": 1} if alone else {}
            made = self._connection.open(Producer, {**self._config.properties, **more})
            self._producers[alone] = PolledProducer(made, self._settle)
        return self._producers[alone]

    def _replace(self, why: str, seconds: float | None = None) -> None:
        """Let the producers end, with so long for what is on its way; the next message gets a new one."""
        self._context.logger.info("a new producer takes over: %s", why)
        seconds = (self._config.attempt_timeout or 30.0) if seconds is None else seconds
        while self._producers:
            _, old = self._producers.popitem()
            self._tasks.create_task(self._end(old, seconds), name="kafka-producer-end")

    async def _end(self, producer: PolledProducer, seconds: float) -> None:
        if left := await producer.close(seconds):
            self._context.logger.warning("%d messages were on their way and not acknowledged at the end", left)

    def _overdue(self, sending: Sending) -> RetryableError:
        count = sending.on_the_way + len(sending.unsent)
        trouble = self._connection.trouble
        seconds = format_duration(self._config.attempt_timeout)
        within = f"no acknowledgement of {count} messages within {seconds}"
        text = f'topic "{sending.topic}": {within}'
        code = "UNAVAILABLE" if trouble else "DEADLINE_EXCEEDED"
        return RetryableError(
            f"{text}: {trouble or 'they wait for a broker'}",
            code=code,
            advice=self._connection.advice,
            cause="" if self._connection.advice else trouble or f"{within} from {', '.join(self._config.brokers)}",
        )

    def _publish(self) -> None:
        scope, id = self._context.telemetry, self._context.id
        for outcome, read in (("success", lambda: self._delivered), ("failure", lambda: self._failures)):
            scope.counter(
                "otelcol_kafka_exporter_messages", read, "{message}",
                "Messages that brokers have acknowledged, or that failed in one attempt.", exporter=id, outcome=outcome,
            )  # fmt: skip
        scope.counter(
            "otelcol_kafka_exporter_bytes_uncompressed", lambda: self._bytes, "By",
            "Bytes of the acknowledged messages, before compression.", exporter=id,
        )  # fmt: skip
        scope.updown(
            "sluiceway_kafka_exporter_waiting_messages",
            lambda: sum(map(len, self._producers.values())), "{message}",
            "Messages that are on their way to the brokers.", exporter=id,
        )  # fmt: skip
        scope.counter(
            "sluiceway_kafka_exporter_divided_messages", lambda: self._divided, "{message}",
            "Messages that a broker found too large, and that were sent in halves.", exporter=id,
        )  # fmt: skip
        scope.counter(
            "sluiceway_kafka_exporter_misnamed_topics",
            lambda: sum(messages.misnamed for messages in self._messages.values()), "{batch}",
            "Batches that named a topic that cannot be one, and went to the configured topic.", exporter=id,
        )  # fmt: skip


COMPONENT = Component(
    type="kafka",
    kind=Kind.EXPORTER,
    config=KafkaExporterConfig,
    create=KafkaExporter,
    stability=Stability.BETA,
)
