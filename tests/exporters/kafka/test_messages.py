"""What becomes of a batch at a real broker: topics, keys, headers, partitions and values."""

from __future__ import annotations

import json

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from sluiceway.clock import SystemClock
from sluiceway.exporters.kafka import COMPONENT
from sluiceway.otlp import Batch, Origin, Signal, accept, join
from sluiceway.otlp.json import decode
from tests.exporters.backends import batch, make


def exporter(broker, yaml, signal=Signal.TRACES, **context):
    """The exporter to a broker, from YAML."""
    return make(
        COMPONENT, f"{{brokers: ['{broker.bootstrap}'], {yaml}}}",
        signals=frozenset({signal}), **{"clock": SystemClock(), **context},
    )  # fmt: skip


async def sent(broker, topic, yaml, given):
    """The messages that a batch becomes."""
    section = f"{given.signal.value}: {{topic: {topic}, {yaml.pop(given.signal.value, '')}}}"
    text = ", ".join([section, *(f"{key}: {value}" for key, value in yaml.items())])
    async with exporter(broker, text, given.signal) as out:
        assert await out.consume(given) is None
    return broker.messages(topic)


def spans(*services):
    """Spans of traces by their numbers, under a resource for each service."""
    message = TracesData()
    for service, traces in services:
        entry = message.resource_spans.add()
        entry.resource.attributes.add(key="service.name").value.string_value = service
        spans = entry.scope_spans.add().spans
        for trace in traces:
            spans.add(trace_id=bytes([trace]) * 16, name=f"{service}{trace}")
    return Batch.from_proto(message)


def records(*bodies):
    """Log records with these bodies."""
    message = LogsData()
    for body in bodies:
        message.resource_logs.add().scope_logs.add().log_records.add(body=body)
    return Batch.from_proto(message)


@pytest.mark.parametrize("signal", Signal)
async def test_a_batch_is_one_message_as_it_is(broker, topic, signal):
    """Without settings the value is the payload, and there is neither key nor header."""
    given = batch(signal)
    (message,) = await sent(broker, topic(), {}, given)
    assert message.value() == given.payload
    assert (message.key(), message.headers()) == (None, None)


@pytest.mark.parametrize("signal", Signal)
async def test_a_batch_as_json(broker, topic, signal):
    """What is read back is the batch again."""
    given = batch(signal)
    (message,) = await sent(broker, topic(), {signal.value: "encoding: otlp_json"}, given)
    assert json.loads(message.value())
    assert accept(signal, decode(signal, message.value())).proto() == given.proto()


BODIES = (
    {"string_value": 'a "quoted" line ä'}, {"bytes_value": b"\xff\x00"}, {"int_value": -7}, {"bool_value": False},
    {"double_value": 1.5}, {"array_value": {"values": [{"string_value": "a"}, {"bytes_value": b"b"}]}},
    {"kvlist_value": {"values": [{"key": "b", "value": {"int_value": 2}}, {"key": "a", "value": {"int_value": 1}}]}},
)  # fmt: skip
WRITTEN = (b"\xff\x00", b"-7", b"false", b"1.5", b'["a","Yg=="]', b'{"a":1,"b":2}')


@pytest.mark.parametrize(("encoding", "first"), [
    ("raw", '"a \\"quoted\\" line ä"'.encode()), ("text", 'a "quoted" line ä'.encode()),
])  # fmt: skip
async def test_bodies_alone(broker, topic, encoding, first):
    """One message for each record; `raw` puts texts in quotes as the Collector does, `text` leaves them as they are."""
    found = await sent(broker, topic(), {"logs": f"encoding: {encoding}"}, records(*BODIES))
    assert [message.value() for message in found] == [first, *WRITTEN]


async def test_records_without_a_body_are_said_to_be_lost(broker, topic):
    """Those with one are written, be it empty; the others come back to be counted and kept."""
    given = records({"string_value": "a"}, {}, {"string_value": ""}, {"string_value": "b"})
    name = topic()
    async with exporter(broker, f"logs: {{topic: {name}, encoding: text}}", Signal.LOGS) as out:
        partial = await out.consume(given)
    assert (partial.rejected, partial.batch.items) == (1, 1)
    assert "without a body" in partial.message
    assert [message.value() for message in broker.messages(name)] == [b"a", b"", b"b"]


async def test_one_message_for_each_trace_with_its_id_as_the_key(broker, topic):
    """Spans of one trace come together, whatever resource they lie in."""
    given = spans(("shop", (1, 2)), ("bank", (2, 1, 0)))
    found = await sent(broker, topic(), {"partition_traces_by_id": "true"}, given)
    parts = {message.key(): accept(Signal.TRACES, message.value()) for message in found}
    assert list(parts) == [None, b"01" * 16, b"02" * 16]
    names = {
        key: [s.name for entry in part.proto().resource_spans for scope in entry.scope_spans for s in scope.spans]
        for key, part in parts.items()
    }
    assert names == {None: ["bank0"], b"01" * 16: ["shop1", "bank1"], b"02" * 16: ["shop2", "bank2"]}


async def test_logs_by_trace(broker, topic):
    """Records of a trace have its id as the key, the others none."""
    message = LogsData()
    records = message.resource_logs.add().scope_logs.add().log_records
    for trace in (b"\1" * 16, b"", b""):
        records.add(trace_id=trace)
    found = await sent(broker, topic(), {"partition_logs_by_trace_id": "true"}, Batch.from_proto(message))
    assert [message.key() for message in found] == [None, b"01" * 16]


@pytest.mark.parametrize("signal", [Signal.METRICS, Signal.LOGS])
async def test_one_message_for_each_resource(broker, topic, signal):
    """The key is the same for the same attributes, in another batch too, and 16 bytes long."""

    def of(*services):
        parts = [batch(signal).proto() for _ in services]
        for part, service in zip(parts, services, strict=True):
            (entry,) = getattr(part, f"resource_{signal.value}")
            entry.resource.attributes.add(key="service.name").value.string_value = service
        return join([Batch.from_proto(part) for part in parts])

    name = topic()
    key = f"partition_{signal.value}_by_resource_attributes"
    first = await sent(broker, name, {key: "true"}, of("a", "b", "a"))
    assert [accept(signal, message.value()).items for message in first] == [6, 3]
    again = (await sent(broker, name, {key: "true"}, of("b")))[2]
    assert again.key() == first[1].key() != first[0].key()
    assert len(again.key()) == 16


async def test_an_attribute_as_the_key(broker, topic):
    """A tenant's data has the tenant's id as its key, so that it keeps to one partition."""
    found = await sent(broker, topic(), {"message_key_from_attribute": "service.name"}, spans(("a", (1,)), ("b", (2,))))
    assert [message.key() for message in found] == [b"a", b"b"]


async def test_headers_choose_the_topic_and_the_key_and_go_along(broker, topic):
    """A request's header comes before the attribute, and that before the configured topic."""
    by_header, by_attribute, configured = topic(), topic(), topic()
    yaml = (
        f"traces: {{topic: {configured}, topic_from_metadata_key: X-Topic, message_key_from_metadata_key: x-key}}, "
        "topic_from_attribute: service.name, include_metadata_keys: [X-Tenant], record_headers: {fixed: value}"
    )
    headers = {"x-topic": (by_header,), "x-key": ("k",), "x-tenant": ("a", "b")}
    async with exporter(broker, yaml) as out:
        given = spans((by_attribute, (1,)), ("no topic!", (2,)))
        await out.consume(Batch(given.signal, given.payload, given.items, Origin(headers=headers)))
        await out.consume(given)
    (message,) = broker.messages(by_header)
    assert (message.key(), accept(Signal.TRACES, message.value()).items) == (b"k", 2)
    assert message.headers() == [("fixed", b"value"), ("X-Tenant", b"a"), ("X-Tenant", b"b")]
    (message,) = broker.messages(by_attribute)
    assert message.headers() == [("fixed", b"value")]
    assert len(broker.messages(configured)) == 1


@pytest.mark.parametrize("name", ["../../etc", "a b", "", "x" * 250, ".", "ä"])
async def test_what_a_sender_says_is_a_topic_only_if_it_can_be_one(broker, topic, name):
    """Everything else goes to the configured topic, and is counted."""
    configured = topic()
    async with exporter(broker, f"traces: {{topic: {configured}, topic_from_metadata_key: x-topic}}") as out:
        given = batch()
        await out.consume(Batch(given.signal, given.payload, given.items, Origin(headers={"x-topic": (name,)})))
        assert out._context.telemetry.metrics.read("sluiceway_kafka_exporter_misnamed_topics") == 1
    assert len(broker.messages(configured)) == 1


MURMUR2 = {  # from Apache Kafka's own UtilsTest
    b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829, b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}  # fmt: skip


def fnv1a(key: bytes) -> int:
    """The hash of sarama's partitioner."""
    value = 0x811C9DC5
    for byte in key:
        value = (value ^ byte) * 0x01000193 % 2**32
    return abs(value - 2**32 if value >= 2**31 else value)


@pytest.mark.parametrize(("hasher", "partition_of"), [
    ("murmur2", lambda key: (MURMUR2[key] & 0x7FFFFFFF) % 7), ("sarama_compat", lambda key: fnv1a(key) % 7),
])  # fmt: skip
async def test_a_key_finds_the_partition_that_other_clients_find(broker, topic, hasher, partition_of):
    """By Java's hash or sarama's, so that producers of all kinds share a topic."""
    name = topic(7)
    yaml = (
        f"traces: {{topic: {name}, message_key_from_metadata_key: k}}, "
        f"record_partitioner: {{sticky_key: {{hasher: {hasher}}}}}"
    )
    async with exporter(broker, yaml) as out:
        for key in MURMUR2:
            given = batch()
            await out.consume(Batch(given.signal, given.payload, 3, Origin(headers={"k": (key.decode(),)})))
    assert {message.key(): message.partition() for message in broker.messages(name)} == {
        key: partition_of(key) for key in MURMUR2
    }


async def test_messages_are_spread_whatever_the_key(broker, topic):
    """`round_robin` lets no key draw messages to one partition."""
    name = topic(4)
    yaml = f"traces: {{topic: {name}}}, message_key_from_attribute: service.name, record_partitioner: {{round_robin: }}"
    async with exporter(broker, yaml) as out:
        for _ in range(60):
            await out.consume(spans(("a", (1,))))
    assert {message.partition() for message in broker.messages(name)} == {0, 1, 2, 3}


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_compression(broker, topic, codec):
    """Every codec of Kafka's arrives."""
    (message,) = await sent(broker, topic(), {"producer": f"{{compression: {codec}}}"}, batch())
    assert message.value() == batch().payload


@pytest.mark.parametrize("acks", ["all", "-1", "0", "1"])
async def test_acknowledgements(broker, topic, acks):
    """Whoever has to acknowledge, the message is there in the end."""
    (message,) = await sent(broker, topic(), {"producer": f"{{required_acks: {acks}}}"}, batch())
    assert message.value() == batch().payload


async def test_nothing_is_no_message(broker, topic):
    """An empty batch costs nothing, but for `otlp` encodings an empty message is no harm."""
    name = topic()
    async with exporter(broker, f"logs: {{topic: {name}, encoding: text}}", Signal.LOGS) as out:
        assert await out.consume(records()) is None
    assert broker.messages(name) == []
