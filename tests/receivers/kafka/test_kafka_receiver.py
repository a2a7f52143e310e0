"""The receiver `kafka` end to end."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka.admin import NewPartitions

from sluiceway.component import Reason
from sluiceway.errors import RefusedError
from sluiceway.otlp import Signal, json
from sluiceway.service import Collector
from sluiceway.testing import items
from tests.receivers.kafka.bench import from_start, reading, until
from tests.receivers.records import attributes, bodies, records
from tests.servers.kafka import KafkaBroker
from tests.servers.kafka_raw import produce_with_header

LOGS = frozenset({Signal.LOGS})
TRACES = frozenset({Signal.TRACES})


@pytest.mark.parametrize("signal", list(Signal))
async def test_otlp(broker: KafkaBroker, name: str, signal: Signal) -> None:
    """An export request in a message arrives as it was written."""
    broker.create_topic(name)
    sent = items(signal, 3)
    broker.produce(name, [sent.payload])
    yaml = from_start(broker, name, f"{signal.value}: {{topics: [{name}]}}")
    async with reading(yaml, frozenset({signal})) as bench:
        await until(lambda: bench.items == 3)
        assert bench.batches[0].payload == sent.payload
        await until(lambda: broker.committed(name) == {(name, 0): 1})


@pytest.mark.parametrize("signal", list(Signal))
async def test_otlp_json(broker: KafkaBroker, name: str, signal: Signal) -> None:
    """So does one in JSON."""
    broker.create_topic(name)
    sent = items(signal, 3)
    broker.produce(name, [json.encode(signal, sent.payload)])
    yaml = from_start(broker, name, f"{signal.value}: {{topics: [{name}], encoding: otlp_json}}")
    async with reading(yaml, frozenset({signal})) as bench:
        await until(lambda: bench.items == 3)
        assert bench.batches[0].proto() == sent.proto()


@pytest.mark.parametrize(
    ("encoding", "values", "expected"),
    [
        ("text", [b"caf\xc3\xa9", b"\xff", b""], ["café", "\ufffd", ""]),
        ("text_latin-1", [b"caf\xe9", b"a"], ["café", "a"]),
        ("text_shift_jis", ["日本".encode("shift_jis")], ["日本"]),
        ("raw", [b"\xff\x00", b"a"], [b"\xff\x00", b"a"]),
        ("json", [b'{"a": [1, null, 1.5]}', b'"b"', b"7"], [{"a": [1, None, 1.5]}, "b", 7]),
        ("json", [b"0", b"false", b'""', b"null", b"{}", b"[]", b"0.0"], [0, False, "", None, {}, [], 0.0]),
    ],
)
async def test_records(broker: KafkaBroker, name: str, encoding: str, values: list[bytes], expected: list[Any]) -> None:
    """A message that is no OTLP is one record, in order, observed when it was read."""
    broker.create_topic(name)
    broker.produce(name, values, partition=0)
    async with reading(from_start(broker, name, f"logs: {{topics: [{name}], encoding: {encoding}}}"), LOGS) as bench:
        await until(lambda: bench.items == len(values))
        assert bodies(bench.batches) == expected
        assert all(record.observed_time_unix_nano for record in records(bench.batches))


async def test_joined(broker: KafkaBroker, name: str) -> None:
    """Messages of a partition are joined up to a size, and in order."""
    broker.create_topic(name)
    broker.produce(name, [f"{number:100}".encode() for number in range(1000)])
    yaml = from_start(broker, name, f"logs: {{topics: [{name}], encoding: text}}, max_batch_size: 10KiB")
    async with reading(yaml, LOGS) as bench:
        await until(lambda: bench.items == 1000)
        assert [int(body) for body in bodies(bench.batches)] == list(range(1000))
        assert 10 <= len(bench.batches) < 100
        assert max(batch.items for batch in bench.batches) <= 102


async def test_from_our_exporter(broker: KafkaBroker, name: str) -> None:
    """What the exporter `kafka` writes arrives as it was sent, and the ledgers balance."""
    text = f"""
        receivers: {{feed: {{component: sluiceway.testing:Feeder}}}}
        exporters: {{kafka: {{brokers: ['{broker.bootstrap}'], traces: {{topic: {broker.create_topic(name)}}}}}}}
        service:
          telemetry: {{metrics: {{level: none}}}}
          pipelines: {{traces: {{receivers: [feed], exporters: [kafka]}}}}
    """
    sent = [items(Signal.TRACES, number) for number in (1, 2, 3)]
    async with Collector.from_yaml(text) as collector:
        for batch in sent:
            await collector.component("receiver", "feed").feed(batch)
    text = f"""
        receivers: {{kafka: {from_start(broker, name, f"traces: {{topics: [{name}]}}").strip()}}}
        exporters: {{memory: {{component: sluiceway.testing:MemorySink}}}}
        service:
          telemetry: {{metrics: {{level: none}}}}
          pipelines: {{traces: {{receivers: [kafka], exporters: [memory]}}}}
    """
    async with Collector.from_yaml(text) as collector:
        memory = collector.component("exporter", "memory")
        await until(lambda: memory.items == 6)
        joined = b"".join(batch.payload for batch in memory.batches)
        assert sorted(joined) == sorted(b"".join(batch.payload for batch in sent))
    assert all(balance.missing == 0 for balance in collector.ledger.balances())


async def test_tombstones(broker: KafkaBroker, name: str) -> None:
    """Messages without a value hold nothing; reading goes on behind them."""
    broker.create_topic(name)
    broker.produce(name, [None, b"a", None])
    async with reading(from_start(broker, name, f"logs: {{topics: [{name}], encoding: raw}}"), LOGS) as bench:
        await until(lambda: broker.committed(name) == {(name, 0): 3})
        assert bodies(bench.batches) == [b"a"]


async def test_headers(broker: KafkaBroker, name: str) -> None:
    """Headers that are asked for become attributes of their messages' resources; messages without them get none."""
    broker.create_topic(name)
    one = items(Signal.LOGS, 1).payload
    broker.produce(name, [one, one], headers=[("tenant", b"a"), ("tenant", b"b"), ("other", b"c")])
    broker.produce(name, [one])
    yaml = from_start(
        broker, name, f"logs: {{topics: [{name}]}}, header_extraction: {{extract_headers: true, headers: [tenant, no]}}"
    )
    async with reading(yaml, LOGS) as bench:
        await until(lambda: bench.items == 3)
        resources = [entry.resource for batch in bench.batches for entry in batch.proto().resource_logs]
        found = [attributes(resource).get("kafka.header.tenant") for resource in resources]
        assert found == ["a", "a", None]
        assert all("kafka.header.other" not in attributes(resource) for resource in resources)


async def test_metadata(broker: KafkaBroker, name: str) -> None:
    """With include_metadata a batch carries its messages' headers, and those that differ are not joined."""
    broker.create_topic(name)
    broker.produce(name, [b"a", b"b"], headers=[("Tenant", b"x")])
    broker.produce(name, [b"c"], headers=[("Tenant", b"y")])
    yaml = from_start(broker, name, f"logs: {{topics: [{name}], encoding: raw}}, include_metadata: true")
    async with reading(yaml, LOGS) as bench:
        await until(lambda: bench.items == 3)
        found = {body: batch.origin.headers for batch in bench.batches for body in bodies([batch])}
        assert found[b"a"] == {"tenant": ("x",), "kafka.topic": (name,), "kafka.partition": ("0",)}
        assert found[b"b"]["tenant"] == ("x",)
        assert found[b"c"]["tenant"] == ("y",)


@pytest.mark.parametrize(
    "more", ["", "include_metadata: true", "header_extraction: {extract_headers: true, headers: [a]}"]
)
async def test_a_header_without_a_proper_name(broker: KafkaBroker, name: str, more: str) -> None:
    """It costs its own message where headers are asked for, and nothing where they are not."""
    broker.create_topic(name)
    for header in (b"a", b"\xff", b"a"):
        produce_with_header(broker.bootstrap, name, b"v", header)
    yaml = from_start(broker, name, f"logs: {{topics: [{name}], encoding: text}}{more and ', '}{more}")
    async with reading(yaml, LOGS) as bench:
        await until(lambda: broker.committed(name) == {(name, 0): 3})
        assert bodies(bench.batches) == ["v"] * (2 if more else 3)
        assert bench.dropped.total() == (1 if more else 0)


async def test_unreadable(broker: KafkaBroker, name: str) -> None:
    """A message that cannot be read is dropped and counted; its neighbours arrive and reading goes on."""
    broker.create_topic(name)
    one = items(Signal.TRACES, 1).payload
    broker.produce(name, [one, b"no otlp", one])
    async with reading(from_start(broker, name, f"traces: {{topics: [{name}]}}"), TRACES) as bench:
        await until(lambda: broker.committed(name) == {(name, 0): 3})
        assert bench.items == 2
        assert bench.dropped == {Reason.PERMANENT_ERROR: 1}
        assert bench.metrics.read("otelcol_kafka_receiver_unmarshal_failed_spans", topic=name) == 1
        assert bench.metrics.read("otelcol_kafka_receiver_records", outcome="success") == 2


async def test_several_signals(broker: KafkaBroker, name: str) -> None:
    """Each topic's messages are read as its signal; topics of signals that no pipeline wants are not read."""
    for kind in ("traces", "metrics", "logs"):
        broker.create_topic(f"{name}-{kind}")
        broker.produce(f"{name}-{kind}", [items(Signal(kind), 2).payload])
    sources = ", ".join(f"{kind}: {{topics: [{name}-{kind}]}}" for kind in ("traces", "metrics", "logs"))
    async with reading(from_start(broker, name, sources), frozenset({Signal.TRACES, Signal.LOGS})) as bench:
        await until(lambda: bench.items == 4)
        assert {batch.signal for batch in bench.batches} == {Signal.TRACES, Signal.LOGS}
        assert {topic for topic, _ in broker.committed(name)} <= {f"{name}-traces", f"{name}-logs"}


async def test_patterns(broker: KafkaBroker, name: str) -> None:
    """A pattern chooses topics, also those that come later; excluded ones are not read."""
    for topic in ("a", "b", "dev"):
        broker.create_topic(f"{name}.{topic}")
        broker.produce(f"{name}.{topic}", [topic.encode()])
    source = f"logs: {{topics: ['^{name}[.][a-z]+$'], exclude_topics: ['dev$'], encoding: text}}"
    async with reading(from_start(broker, name, f"{source}, metadata: {{refresh_interval: 200ms}}"), LOGS) as bench:
        await until(lambda: sorted(bodies(bench.batches)) == ["a", "b"])
        broker.create_topic(f"{name}.c")
        broker.produce(f"{name}.c", [b"c"])
        await until(lambda: sorted(bodies(bench.batches)) == ["a", "b", "c"])


async def test_latest(broker: KafkaBroker, name: str) -> None:
    """Reading begins at the end, which is committed at once: a crash before the first message loses nothing."""
    broker.create_topic(name, 2)
    broker.produce(name, [b"old"], partition=0)
    yaml = f"{{brokers: ['{broker.bootstrap}'], group_id: {name}, logs: {{topics: [{name}], encoding: text}}}}"
    async with reading(yaml, LOGS) as bench:
        await until(lambda: broker.committed(name) == {(name, 0): 1, (name, 1): 0})
        broker.produce(name, [b"new"], partition=0)
        await until(lambda: bodies(bench.batches) == ["new"])


async def test_what_comes_later_is_read_from_its_beginning(broker: KafkaBroker, name: str) -> None:
    """With `latest` too: all that is in a partition that was added, or in a topic that was made, was written since."""
    broker.create_topic(name)
    broker.produce(name, [b"old"])
    source = f"logs: {{topics: [{name}, {name}-new], encoding: text}}, metadata: {{refresh_interval: 3s}}"
    async with reading(from_start(broker, name, source).replace("earliest", "latest"), LOGS) as bench:
        await until(lambda: broker.committed(name) == {(name, 0): 1})
        for answer in broker.admin.create_partitions([NewPartitions(name, 3)]).values():
            answer.result(30)
        broker.create_topic(f"{name}-new")
        await until(lambda: len(broker.partitions(name)) == 3)
        for partition in range(3):
            broker.produce(name, [str(partition).encode()], partition=partition)
        broker.produce(f"{name}-new", [b"new"])
        await until(lambda: sorted(bodies(bench.batches)) == ["0", "1", "2", "new"])


async def test_figures(broker: KafkaBroker, name: str) -> None:
    """Records, bytes, offsets, lag, commits and rebalances are told; those of a partition end with it."""
    broker.create_topic(name)
    broker.produce(name, [b"abc"] * 5)
    telemetry = "telemetry: {metrics: {kafka_receiver_records_delay: {enabled: true}}}"
    source = f"logs: {{topics: [{name}], encoding: text}}, {telemetry}"
    async with reading(from_start(broker, name, source), LOGS) as bench:
        read = bench.metrics.read
        await until(lambda: bench.items == 5 and read("sluiceway_kafka_receiver_commits", outcome="success") >= 1)
        assert read("otelcol_kafka_receiver_records", topic=name, partition=0, outcome="success") == 5
        assert read("otelcol_kafka_receiver_bytes_uncompressed", topic=name) == 15
        assert read("otelcol_kafka_receiver_current_offset", topic=name) == 4
        assert read("otelcol_kafka_receiver_partition_start") == 1
        assert bench.metrics.family("otelcol_kafka_receiver_records_delay", "histogram", "s", "").series
        bench.sink.error = RefusedError("full", 60)
        broker.produce(name, [b"abc"] * 3)
        await until(lambda: read("otelcol_kafka_receiver_offset_lag", topic=name) == 3)
        broker.produce(name, [b"abc"])
        await until(lambda: read("otelcol_kafka_receiver_offset_lag", topic=name) == 4)  # also while it is paused
        assert read("sluiceway_kafka_receiver_held_bytes") > 9
    assert read("sluiceway_kafka_receiver_rebalanced_partitions", event="revoked") == 1
    assert read("otelcol_kafka_receiver_offset_lag", topic=name) == 0
