"""The servers that these tests share."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.servers.audited import Audited, audited
from tests.servers.mlflow import MlflowServer, mlflow_server


@pytest.fixture(scope="session")
def database() -> Iterator[str]:
    """A PostgreSQL, as a URL; tests make tables of their own in it."""
    with asyncio.Runner() as runner:
        manager = audited()
        server: Audited = runner.run(manager.__aenter__())
        try:
            yield f"postgresql://postgres@127.0.0.1:{server.port}/postgres"
        finally:
            runner.run(manager.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """An MLflow server for the tests of one module."""
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as server:
        yield server
