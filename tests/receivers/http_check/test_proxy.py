"""By way of a real proxy."""

from __future__ import annotations

from pathlib import Path

import pytest

from sluiceway.errors import ConfigError
from tests.receivers.http_check.bench import Bench, errors, measured, status
from tests.servers.tinyproxy import forward_proxy


async def test_http_goes_by_the_proxy(web: str, tmp_path: Path) -> None:
    """With its whole URL, and the proof that the proxy asks for."""
    with forward_proxy(tmp_path, "BasicAuth me secret") as port:
        found = await measured(f"{{endpoint: '{web}/items/1', proxy_url: 'http://me:secret@127.0.0.1:{port}'}}")
        assert (status(found), errors(found)) == ((200, "2xx"), [])
        found = await measured(f"{{endpoint: '{web}/items/1', proxy_url: 'http://127.0.0.1:{port}'}}")
        assert status(found) == (407, "4xx")
    assert f"GET {web}/items/1" in (tmp_path / "log").read_text()


async def test_https_goes_through_the_proxy(nginx: int, ca_file: Path, tmp_path: Path) -> None:
    """TLS is spoken with the server itself, and the certificate is the server's."""
    target = f"endpoint: 'https://localhost:{nginx}', tls: {{ca_file: '{ca_file}'}}"
    with forward_proxy(tmp_path, "BasicAuth me secret") as port:
        found = await measured(f"{{{target}, proxy_url: 'http://me:secret@127.0.0.1:{port}'}}")
        assert (status(found), errors(found)) == ((200, "2xx"), [])
        assert found["httpcheck.tls.cert_remaining"][0]["value"] > 0
        found = await measured(f"{{{target}, proxy_url: 'http://127.0.0.1:{port}'}}")
        assert errors(found) == ["connect: the proxy refuses"]
    assert f"CONNECT localhost:{nginx}" in (tmp_path / "log").read_text()


async def test_the_environments_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is used where none is configured; one that is reached by TLS is told at the start."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert errors(await measured("{endpoint: 'http://nowhere.invalid'}")) == ["connect: connection refused"]
    monkeypatch.setenv("HTTP_PROXY", "https://127.0.0.1:1")
    with pytest.raises(ConfigError, match="not reached by http"):
        await Bench("{endpoint: 'http://nowhere.invalid'}").__aenter__()
