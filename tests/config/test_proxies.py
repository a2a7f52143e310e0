"""Which proxy the environment names."""

from __future__ import annotations

import pytest

from sluiceway.config.proxies import environment_proxy
from sluiceway.errors import ConfigError

NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """An environment without proxies, and the way to set its variables."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch.setenv


@pytest.mark.parametrize("spell", [str.upper, str.lower])
def test_each_scheme_has_its_variable(environment, spell):
    """In upper or lower case; a scheme whose variable is not set goes directly."""
    environment(spell("HTTPS_PROXY"), "http://p:1")
    assert environment_proxy("https", "h", 443) == "http://p:1"
    assert environment_proxy("http", "h", 80) is None


def test_upper_case_comes_first(environment):
    """As in Go."""
    environment("http_proxy", "http://lower")
    environment("HTTP_PROXY", "http://upper")
    assert environment_proxy("http", "h", 80) == "http://upper"


@pytest.mark.parametrize("value", ["p:3128", "user:s3cret@p:3128", "p"])
def test_a_proxy_without_a_scheme_is_http(environment, value):
    """The form that Go and curl take as well."""
    environment("HTTPS_PROXY", value)
    assert environment_proxy("https", "h", 443) == f"http://{value}"


@pytest.mark.parametrize("value", ["socks5://user:s3cret@p:1", "user:s3cret@p:port", "http://user:s3cret@"])
def test_what_is_no_proxy_is_refused_without_being_shown(environment, value):
    """A mistake is found at the start; the value may hold a password."""
    environment("HTTPS_PROXY", value)
    with pytest.raises(ConfigError, match="HTTPS_PROXY: the environment does not name a proxy") as caught:
        environment_proxy("https", "h", 443)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("host", ["localhost", "LocalHost", "127.0.0.1", "127.9.9.9", "::1"])
def test_this_machine_is_reached_directly(environment, host):
    """Whatever NO_PROXY says."""
    environment("HTTP_PROXY", "http://p")
    assert environment_proxy("http", host, 80) is None


@pytest.mark.parametrize(
    ("no_proxy", "direct", "by_proxy"),
    [
        ("example.com", ("example.com", "a.Example.com"), ("badexample.com", "example.org")),
        (".example.com", ("a.example.com",), ("example.com",)),
        ("*.example.com", ("a.b.example.com",), ("example.com",)),
        (" other , example.com:443", ("example.com", "other"), ()),
        ("example.com:80", (), ("example.com",)),
        ("10.0.0.0/8,10.1.1.1/x", ("10.9.8.7",), ("11.0.0.1", "example.com")),
        ("192.0.2.1,2001:db8::1", ("192.0.2.1", "2001:db8::1"), ("192.0.2.10",)),
        ("[2001:db8::1]:443,[2001:db8::2]", ("2001:db8::1", "2001:db8::2"), ("2001:db8::3",)),
        ("192.0.2.1:80", (), ("192.0.2.1",)),
        ("*", ("example.com", "192.0.2.1"), ()),
        (",:443", (), ("example.com",)),
    ],
)
def test_no_proxy_lists_what_is_reached_directly(environment, no_proxy, direct, by_proxy):
    """Domains with all below them, addresses, networks, each with a port or without, or everything."""
    environment("HTTPS_PROXY", "http://p")
    environment("no_proxy", no_proxy)
    assert [environment_proxy("https", host, 443) for host in direct] == [None] * len(direct)
    assert [environment_proxy("https", host, 443) for host in by_proxy] == ["http://p"] * len(by_proxy)
