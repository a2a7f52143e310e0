"""The exporter with all that is around it: what its status says while data waits, and that nothing of it is lost."""

from __future__ import annotations

import asyncio

from sluiceway.component import Status
from sluiceway.otlp import Batch, Origin, Signal, accept
from sluiceway.service import Collector
from sluiceway.testing import spans
from tests.servers.kafka import USER, KafkaBroker, kafka_broker

CONFIG = """
receivers:
  feed: {{component: sluiceway.testing:Feeder}}
exporters:
  kafka:
    brokers: ['{brokers}']
    timeout: 1s
    retry_on_failure: {{initial_interval: 10ms, max_interval: 100ms, max_elapsed_time: 0s}}
    {more}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines: {{traces: {{receivers: [feed], exporters: [kafka]}}}}
"""


def collector(brokers: str, more: str) -> Collector:
    """A collector that writes what it is fed."""
    return Collector.from_yaml(CONFIG.format(brokers=brokers, more=more))


async def status(running: Collector, wanted: Status, text: str = "") -> str:
    """Wait until the exporter has this status, and return its text."""
    async with asyncio.timeout(60):
        while True:
            entry = running.status()["exporter:kafka"]
            if entry.status is wanted and text in entry.message:
                return entry.message
            await asyncio.sleep(0.02)


async def test_a_wrong_password_shows_in_the_status_and_the_data_waits(broker):
    """It is one that can be mended, so nothing is dropped."""
    more = f"auth: {{sasl: {{username: {USER}, password: wrong, mechanism: SCRAM-SHA-256}}}}"
    async with collector(broker.sasl, more) as running:
        await running.component("receiver", "feed").feed(spans(3))
        await status(running, Status.RECOVERABLE_ERROR, "see auth::sasl (username, password, mechanism)")
        (row,) = running.ledger.balances()
        assert (row.accepted, row.dropped) == (3, {})


async def test_a_missing_topic_shows_in_the_status_until_it_is_there(broker):
    """The data waits for whoever makes it, and then arrives."""
    more = "producer: {allow_auto_topic_creation: false}\n    traces: {topic: made-later}"
    async with collector(broker.bootstrap, more) as running:
        await running.component("receiver", "feed").feed(spans(3))
        await status(running, Status.RECOVERABLE_ERROR, 'topic "made-later": the topic is not there: create it')
        broker.create_topic("made-later")
        await status(running, Status.OK)
    assert len(broker.messages("made-later")) == 1


async def test_a_wrong_password_is_told_before_there_are_data(broker):
    """The start asks, so that whoever looks at the status need not send anything."""
    more = f"auth: {{sasl: {{username: {USER}, password: wrong, mechanism: SCRAM-SHA-256}}}}"
    async with collector(broker.sasl, more) as running:
        assert "see auth::sasl" in await status(running, Status.RECOVERABLE_ERROR)


async def test_a_topic_that_nobody_may_make_is_told_before_there_are_data(broker):
    """It is asked for, and its being made later is noticed."""
    more = "producer: {allow_auto_topic_creation: false}\n    traces: {topic: asked-for}"
    async with collector(broker.bootstrap, more) as running:
        assert 'topic "asked-for": the topic is not there' in await status(running, Status.RECOVERABLE_ERROR)
        broker.create_topic("asked-for")
        await status(running, Status.OK)


async def test_brokers_may_come_later_than_we_do(tmp_path):
    """What is fed meanwhile arrives once they are there, and the status is well again."""
    broker = KafkaBroker(tmp_path)
    broker.format()
    async with collector(broker.bootstrap, "") as running:
        for number in range(10):
            await running.component("receiver", "feed").feed(spans(number + 1))
        assert "UNAVAILABLE" in await status(running, Status.RECOVERABLE_ERROR)
        await asyncio.to_thread(broker.start)
        await status(running, Status.OK)
    try:
        assert sum(accept(Signal.TRACES, each.value()).items for each in broker.messages("otlp_spans")) == 55
    finally:
        broker.kill()


async def test_requests_that_name_other_topics_are_not_joined(broker, topic):
    """What waits in the queue is joined only where the headers that the exporter reads are the same."""
    one, other = topic(), topic()
    async with collector(broker.bootstrap, "traces: {topic_from_metadata_key: x-topic}") as running:
        feed = running.component("receiver", "feed")
        for number in range(40):
            given = spans(1)
            origin = Origin(headers={"x-topic": ((one, other)[number % 2],)})
            await feed.feed(Batch(given.signal, given.payload, given.items, origin))
    for name in (one, other):
        assert sum(accept(Signal.TRACES, each.value()).items for each in broker.messages(name)) == 20


async def test_a_stop_while_the_brokers_are_away_ends_and_balances(tmp_path):
    """What could not be written is dropped as the stop's, and counted."""
    with kafka_broker(tmp_path) as broker:
        pass
    async with collector(broker.bootstrap, "") as running:
        await running.component("receiver", "feed").feed(spans(3))
        await status(running, Status.RECOVERABLE_ERROR)
    (row,) = running.ledger.balances()
    assert (row.accepted, row.delivered, sum(row.dropped.values()), row.held) == (3, 0, 3, 0)
