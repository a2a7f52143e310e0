"""What clients of every protocol share: who we say we are, the headers we send, and the proof of it."""

from __future__ import annotations

import platform
import re
import sys
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import AfterValidator, Field

from sluiceway.config.types import Headers, Opaque, Settings
from sluiceway.errors import ConfigError

if TYPE_CHECKING:
    from sluiceway.component import Context, Credentials

__all__ = ["ClientAuth", "RequestHeaders", "credentials", "user_agent"]

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


def _check_headers(headers: dict[str, Opaque]) -> dict[str, Opaque]:
    seen: set[str] = set()
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"invalid header name {name[:100]!r}")
        if not _VALUE.fullmatch(value.reveal()):
            raise ValueError(f"the value of header {name!r} holds characters that no header may have")
        if name.lower() in seen:
            raise ValueError(f"header {name!r} is given twice, in different spellings")
        seen.add(name.lower())
    return headers


RequestHeaders = Annotated[Headers, AfterValidator(_check_headers)]
"""Headers that can be sent: names are tokens, values have no line breaks, none comes twice."""


class ClientAuth(Settings):
    """The `auth` section of a client."""

    authenticator: str = Field(min_length=1)
    """The id of the extension that proves who we are, such as `bearertokenauth` or `basicauth/backend`."""


def credentials(auth: ClientAuth | None, context: Context) -> Credentials | None:
    """Find the extension that `auth` names, which must be running; raise `ConfigError` where there is none."""
    if auth is None:
        return None
    try:
        extension = context.extension(auth.authenticator)
    except LookupError as error:
        raise ConfigError(f'failed to resolve authenticator "{auth.authenticator}": authenticator not found') from error
    if not hasattr(extension, "request_headers"):
        raise ConfigError(f'"{auth.authenticator}": requested authenticator is not a client authenticator')
    found: Credentials = extension
    return found


def user_agent() -> str:
    """Our name and version, and the platform, as every client sends them unless told otherwise."""
    from sluiceway import __version__

    return f"sluiceway/{__version__} ({sys.platform}/{platform.machine()})"
