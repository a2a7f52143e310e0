"""What clients send of themselves: headers, proof and user agent."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from sluiceway.component import Context, Kind
from sluiceway.config.client import ClientAuth, RequestHeaders, credentials, user_agent
from sluiceway.config.types import Settings
from sluiceway.errors import ConfigError


class _Client(Settings):
    headers: RequestHeaders


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({"bad name": "x"}, "invalid header name 'bad name'"),
        ({"": "x"}, "invalid header name ''"),
        ({"a": "x\r\ninjected: y"}, "holds characters that no header may have"),
        ({"A": "1", "a": "2"}, "given twice, in different spellings"),
    ],
)
def test_headers_that_cannot_be_sent_are_refused(headers, text):
    """What would fail every request, or forge one, is refused before the start; the value is not shown."""
    with pytest.raises(ValidationError, match=text) as caught:
        _Client(headers=headers)
    assert "injected" not in str(caught.value)


def test_headers_may_be_a_list():
    """Both of the Collector's forms give the same headers."""
    assert _Client(headers=[{"name": "X-A", "value": "1"}]) == _Client(headers={"X-A": "1"})


def test_an_extension_that_proves_nothing_is_refused():
    """An authenticator for servers cannot be used by a client."""
    context = Context("otlp_grpc", Kind.EXPORTER, extension=lambda name: object())
    with pytest.raises(ConfigError, match="requested authenticator is not a client authenticator"):
        credentials(ClientAuth(authenticator="oidc"), context)


def test_without_auth_nothing_is_proved():
    """No section, no credentials."""
    assert credentials(None, Context("otlp_grpc", Kind.EXPORTER)) is None


def test_the_user_agent_names_us_and_the_platform():
    """Name, version, system and machine."""
    assert user_agent().startswith("sluiceway/")
    assert user_agent().endswith(")")
