"""The receiver `kafka` end to end."""

from __future__ import annotations

import pytest

from sluiceway.otlp import Signal, json
from sluiceway.testing import items
from tests.receivers.kafka.bench import reading, until
from tests.receivers.records import bodies
from tests.servers.kafka import KafkaBroker


@pytest.mark.parametrize("signal", list(Signal))
async def test_otlp(broker: KafkaBroker, name: str, signal: Signal) -> None:
    """An export request in a message arrives as it was written."""
    broker.create_topic(name)
    sent = items(signal, 3)
    broker.produce(name, [sent.payload])
    yaml = f"""
        brokers: ["{broker.bootstrap}"]
        group_id: {name}
        initial_offset: earliest
        {signal.value}: {{topics: [{name}]}}
    """
    async with reading(yaml, frozenset({signal})) as bench:
        await until(lambda: bench.items == 3)
        assert bench.batches[0].payload == sent.payload
        await until(lambda: broker.committed(name) == {(name, 0): 1})
