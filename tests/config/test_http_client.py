"""The settings of HTTP clients."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from yarl import URL

from sluiceway.config.http_client import HttpClient, is_url, way_to
from sluiceway.config.types import Opaque


@pytest.mark.parametrize("text", ["http://h", "https://h:4318/base", "http://[::1]:80/", "http://u:p@h/x?y=z"])
def test_urls(text):
    """Anything absolute that can be connected to is a URL."""
    assert is_url(text)


@pytest.mark.parametrize(
    "text", ["", "h:4318", "ftp://h", "http://", "http://:80", "http://h:0", "http://h:x", "http://h/\n", "http://a\\b"]
)
def test_no_urls(text):
    """Everything else is refused before the start."""
    assert not is_url(text)


def test_a_proxy_must_be_a_url():
    """The text does not show the value, which may hold a password."""
    with pytest.raises(ValidationError, match="proxy_url must be a valid URL") as caught:
        HttpClient(proxy_url=Opaque("me:pa55@proxy"))
    assert "pa55" not in str(caught.value)


def test_compression_is_checked():
    """A name that nobody knows is refused."""
    with pytest.raises(ValidationError, match='unsupported compression type "brotli"'):
        HttpClient(compression="brotli")


def test_the_configured_proxy_wins(monkeypatch):
    """Only an empty `proxy_url` lets the environment decide."""
    monkeypatch.setenv("HTTPS_PROXY", "http://env:1")
    assert way_to(URL("https://h"), Opaque("http://given:2")).proxy == URL("http://given:2")
    assert way_to(URL("https://h"), Opaque("")).proxy == URL("http://env:1")


def test_the_password_of_a_proxy_stands_in_headers_alone():
    """The proxy gets it with the CONNECT, or with the request where there is none; no URL holds it."""
    proof = {"Proxy-Authorization": "Basic bWVAaDpwYTU1"}
    proxy = Opaque("http://me%40h:pa55@p:1")
    assert way_to(URL("https://h"), proxy) == (URL("http://p:1"), proof, {})
    assert way_to(URL("http://h"), proxy) == (URL("http://p:1"), None, proof)


async def test_settings_become_a_session():
    """Limits and headers arrive in the session; the configured headers win over a component's."""
    client = HttpClient(max_conns_per_host=7, idle_conn_timeout="0s", headers={"Content-Type": "x/y", "A": "b"})
    async with client.open_session(content_type="application/json") as session:
        assert session.connector.limit_per_host == 7
        assert session.connector._keepalive_timeout > 86_400
        assert session.headers["content-type"] == "x/y"
        assert session.headers["a"] == "b"
