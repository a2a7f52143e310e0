"""Which extension an `auth` section names."""

from __future__ import annotations

import pytest

from sluiceway.component import Context, Kind
from sluiceway.config.auth import Auth, authenticator, credentials
from sluiceway.errors import ConfigError

AUTH = Auth(authenticator="oidc")


class Both:
    """What proves senders and ourselves."""

    async def authenticate(self, headers):
        """Let nobody in."""

    def request_headers(self):
        """Prove nothing."""
        return {}


def running(extension) -> Context:
    """A component among whose extensions is one called `oidc`."""
    return Context("otlp", Kind.RECEIVER, extension={"oidc": extension}.__getitem__)


@pytest.mark.parametrize("find", [authenticator, credentials])
def test_the_extension_that_is_named_is_found(find):
    """Servers and clients look in the same place, and without a section nothing is proved."""
    extension = Both()
    assert find(AUTH, running(extension)) is extension
    assert find(None, running(extension)) is None
    with pytest.raises(ConfigError, match='failed to resolve authenticator "nobody": authenticator not found'):
        find(Auth(authenticator="nobody"), running(extension))


@pytest.mark.parametrize(("find", "side"), [(authenticator, "server"), (credentials, "client")])
def test_an_extension_that_proves_nothing_is_refused(find, side):
    """Each side needs its own ability."""
    with pytest.raises(ConfigError, match=f'"oidc": requested authenticator is not a {side} authenticator'):
        find(AUTH, running(object()))


def test_credentials_need_encryption_where_it_is_asked_for():
    """Nothing is sent before anybody reads this."""
    with pytest.raises(ConfigError, match='"oidc": the credentials require transport level security'):
        credentials(AUTH, running(Both()), encrypted=False)
    assert credentials(None, running(Both()), encrypted=False) is None
