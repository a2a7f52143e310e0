"""The broker that these tests share."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from tests.servers.kafka import KafkaBroker, kafka_broker

_NUMBERS = count(1)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A broker that nobody stops; each test has topics and a group of its own."""
    with kafka_broker(tmp_path_factory.mktemp("kafka")) as running:
        yield running


@pytest.fixture
def name() -> str:
    """A name for the test's topic and group."""
    return f"test-{next(_NUMBERS)}"
