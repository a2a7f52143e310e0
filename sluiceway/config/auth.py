"""The `auth` section of servers and clients, and the running extension that it names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from sluiceway.config.types import Settings
from sluiceway.errors import ConfigError

if TYPE_CHECKING:
    from sluiceway.component import Authenticator, Context, Credentials

__all__ = ["Auth", "authenticator", "credentials"]


class Auth(Settings):
    """Which extension proves who a sender is, or who we are."""

    authenticator: str = Field(min_length=1)
    """The id of the extension, such as `bearertokenauth` or `basicauth/gateway`."""


def authenticator(auth: Auth | None, context: Context) -> Authenticator | None:
    """Find the extension by which a server proves its senders; raise `ConfigError` where there is none."""
    if auth is None:
        return None
    found: Authenticator = _extension(auth, context)
    if not hasattr(found, "authenticate"):
        raise ConfigError(f'"{auth.authenticator}": requested authenticator is not a server authenticator')
    return found


def credentials(auth: Auth | None, context: Context, *, encrypted: bool = True) -> Credentials | None:
    """Find the extension by which a client proves itself; raise `ConfigError` where there is none.

    Not `encrypted` is an error as well: whoever listens could use the credentials.
    """
    if auth is None:
        return None
    found: Credentials = _extension(auth, context)
    if not hasattr(found, "request_headers"):
        raise ConfigError(f'"{auth.authenticator}": requested authenticator is not a client authenticator')
    if not encrypted:
        raise ConfigError(
            f'"{auth.authenticator}": the credentials require transport level security; '
            "remove tls::insecure and http:// from this exporter"
        )
    return found


def _extension(auth: Auth, context: Context) -> Any:
    try:
        return context.extension(auth.authenticator)
    except LookupError as error:
        raise ConfigError(f'failed to resolve authenticator "{auth.authenticator}": authenticator not found') from error
