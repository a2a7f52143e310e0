"""The servers that these tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.redis import RedisServer, redis_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server for the tests of one module, which leave it as they like."""
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def empty(server: RedisServer) -> RedisServer:
    """The server without any data."""
    server.call("FLUSHALL")
    server.call("SLOWLOG", "RESET")
    return server
