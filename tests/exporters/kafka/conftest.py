"""A real broker for the tests of the exporter, with every kind of listener."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest
import trustme

from tests.servers.kafka import KafkaBroker, kafka_broker


@pytest.fixture(scope="session")
def ca() -> trustme.CA:
    """The authority behind the broker's certificate."""
    return trustme.CA()


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory, ca: trustme.CA) -> Iterator[KafkaBroker]:
    """A broker that no test ends."""
    certificate = ca.issue_cert("127.0.0.1", "localhost")
    with kafka_broker(tmp_path_factory.mktemp("broker"), sasl=True, certificate=certificate) as running:
        yield running


@pytest.fixture(scope="session")
def topic(broker: KafkaBroker) -> Callable[..., str]:
    """Makes a topic that nobody else uses."""
    numbers = itertools.count()
    return lambda partitions=1, **settings: broker.create_topic(f"topic-{next(numbers)}", partitions, **settings)
