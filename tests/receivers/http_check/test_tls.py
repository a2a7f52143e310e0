"""Certificates: how long they are valid, and what is said of those that are not."""

from __future__ import annotations

import asyncio
import datetime as dt
import subprocess
from pathlib import Path

import pytest
import trustme
import uvloop

from tests.receivers.http_check.bench import errors, measured, status
from tests.servers import program
from tests.servers.nginx import nginx_server

DAY = dt.timedelta(days=1)
REMAINING = "httpcheck.tls.cert_remaining"


async def test_a_good_certificate(nginx: int, ca_file: Path) -> None:
    """Its remaining time, and of whom it is."""
    found = await measured(f"{{endpoint: 'https://localhost:{nginx}', tls: {{ca_file: '{ca_file}'}}}}")
    assert status(found) == (200, "2xx")
    (point,) = found[REMAINING]
    assert point["value"] > 365 * 86_400
    attributes = point["attributes"]
    assert attributes["http.tls.cn"] == "web"
    assert attributes["http.tls.issuer"].startswith("OU=Testing CA")
    assert [entry.string_value for entry in attributes["http.tls.san"].values] == ["127.0.0.1", "localhost"]


async def test_an_expired_certificate(authority: trustme.CA, ca_file: Path, tmp_path: Path) -> None:
    """The check fails in clear words, and the remaining time is negative."""
    now = dt.datetime.now(dt.UTC)
    expired = authority.issue_cert("localhost", not_before=now - 9 * DAY, not_after=now - 2 * DAY)
    with nginx_server(tmp_path, expired) as port:
        found = await measured(f"{{endpoint: 'https://localhost:{port}', tls: {{ca_file: '{ca_file}'}}}}")
    assert errors(found) == ["tls: certificate has expired"]
    assert status(found) == (0, "")
    assert found[REMAINING][0]["value"] == pytest.approx(-2 * 86_400, abs=60)
    assert "httpcheck.client.request.duration" not in found
    assert (tmp_path / "access.log").read_text() == ""


@pytest.mark.parametrize(
    ("tls", "text"),
    [
        ("", "tls: unable to get local issuer certificate"),
        ("ca_file: CA, server_name_override: 127.0.0.2", "tls: the certificate is for another address"),
        ("ca_file: CA, server_name_override: other.example", "tls: the certificate is for another name"),
    ],
)
async def test_a_certificate_that_is_refused(nginx: int, ca_file: Path, tls: str, text: str) -> None:
    """The reason does not hold the server's name, and the remaining time is there."""
    found = await measured(f"{{endpoint: 'https://localhost:{nginx}', tls: {{{tls.replace('CA', str(ca_file))}}}}}")
    assert errors(found) == [text]
    assert found[REMAINING][0]["value"] > 0


async def test_a_certificate_that_signs_itself(tmp_path: Path) -> None:
    """It is nobody's whom we trust, and is looked at all the same."""
    subject = ["-subj", "/CN=self", "-addext", "subjectAltName=DNS:localhost", "-days", "3"]
    files = ["-keyout", tmp_path / "key.pem", "-out", tmp_path / "chain.pem"]
    command = [program("openssl", "openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject, *files]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    with nginx_server(tmp_path) as port:
        found = await measured(f"{{endpoint: 'https://localhost:{port}'}}")
    assert errors(found) == ["tls: self-signed certificate"]
    (point,) = found[REMAINING]
    assert (point["attributes"]["http.tls.cn"], point["attributes"]["http.tls.issuer"]) == ("self", "CN=self")
    assert point["value"] == pytest.approx(3 * 86_400, abs=60)


async def test_handshakes_do_not_wait_for_each_other(nginx: int, ca_file: Path) -> None:
    """Of many checks at once, each shows its own server's time."""
    urls = ", ".join(f"'https://localhost:{nginx}/{number}'" for number in range(100))
    found = await measured(f"{{endpoints: [{urls}], tls: {{ca_file: '{ca_file}'}}}}")
    took = sorted(point["value"] for point in found["httpcheck.tls.handshake.duration"])
    assert len(took) == 100
    assert took[50] < 40


async def test_without_verification(nginx: int) -> None:
    """Any certificate is taken, and its remaining time told."""
    found = await measured(f"{{endpoint: 'https://127.0.0.1:{nginx}', tls: {{insecure_skip_verify: true}}}}")
    assert status(found) == (200, "2xx")
    assert found[REMAINING][0]["value"] > 0


async def test_a_server_without_tls(web: str) -> None:
    """It is said which step fails."""
    found = await measured(f"{{endpoint: '{web.replace('http:', 'https:')}'}}")
    assert errors(found) == ["tls: wrong version number"] or errors(found) == ["tls: record layer failure"]


def test_on_uvloop(nginx: int, ca_file: Path) -> None:
    """TLS, good and refused, is the same on the loop of production."""
    target = f"endpoint: 'https://localhost:{nginx}'"
    found = uvloop.run(measured(f"{{{target}, tls: {{ca_file: '{ca_file}'}}}}"))
    assert (status(found), errors(found)) == ((200, "2xx"), [])
    found = uvloop.run(measured(f"{{{target}}}"))
    assert errors(found) == ["tls: unable to get local issuer certificate"]
    assert found[REMAINING][0]["value"] > 0
