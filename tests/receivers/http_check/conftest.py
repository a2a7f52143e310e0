"""The servers that these tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.servers.nginx import nginx_server
from tests.servers.web import web_application


@pytest.fixture(scope="session")
def web() -> Iterator[str]:
    """The URL of a FastAPI application."""
    with web_application() as url:
        yield url


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Who issues the certificates."""
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file with its certificate."""
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


@pytest.fixture(scope="session")
def nginx(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of nginx, whose certificate is good for localhost."""
    certificate = authority.issue_cert("localhost", "127.0.0.1", common_name="web")
    with nginx_server(tmp_path_factory.mktemp("nginx"), certificate) as port:
        yield port
