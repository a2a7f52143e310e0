"""Proves senders by user name and password, or gives our own exporters theirs.

With `htpasswd` a receiver that names this extension takes only requests of the users listed; the user's name becomes
the authenticated subject. With `client_auth` an exporter that names it sends the credentials with every request.
Passwords are compared in constant time and are never printed or passed on; a sender's may have 256 bytes. Files are
read again within a second after they have changed.

```yaml
extensions:
  basicauth:
    htpasswd:
      inline: |
        alice:{SHA}6NSi9zGis3/LFpY50UzLk1CVLVk=
```
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from pydantic import ConfigDict, field_validator, model_validator

from sluiceway.component import Component, Context, Identity, Kind, Stability
from sluiceway.config.files import FileBacked
from sluiceway.config.rules import not_together
from sluiceway.config.types import Opaque, Section, Settings
from sluiceway.errors import ConfigError, RefusedError, UnauthenticatedError
from sluiceway.extensions.basicauth.htpasswd import is_slow, parse, verify

__all__ = ["COMPONENT", "BasicAuthConfig", "BasicCredentials", "BasicUsers"]

REMEMBERED: Final = 1024
"""How many proved credentials are remembered, as keyed digests, so that a slow hash is not run for every request."""
LONGEST_PASSWORD: Final = 256
"""Bytes: a longer password is refused unseen, since the time for a hash grows with it."""
WAITING: Final = 32
"""How many slow verifications may wait; more senders are told to come again."""


class Htpasswd(Settings):
    """The users who may send."""

    file: str = ""
    """A file with `user:hash` lines."""
    inline: Opaque = Opaque("")
    """The same lines in the configuration; they win over those of the file."""

    @field_validator("inline")
    @classmethod
    def _check_inline(cls, lines: Opaque) -> Opaque:
        try:
            parse(lines.reveal())
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return lines


class OwnCredentials(Settings):
    """Who we are."""

    username: str = ""
    """Our user name."""
    password: Opaque = Opaque("")
    """Our password."""
    username_file: str = ""
    """A file that holds the user name; wins over `username`."""
    password_file: str = ""
    """A file that holds the password; wins over `password`."""


class BasicAuthConfig(Settings):
    """The settings of the extension `basicauth`: either of a server or of a client."""

    model_config = ConfigDict(json_schema_extra=not_together(("htpasswd", "client_auth")))

    htpasswd: Section[Htpasswd] = None
    """The users who may send."""
    client_auth: Section[OwnCredentials] = None
    """Who we are."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.htpasswd and self.client_auth:
            raise ValueError("only one of `htpasswd` or `client_auth` can be specified")
        if not (self.htpasswd and (self.htpasswd.file or self.htpasswd.inline)) and not self.client_auth:
            raise ValueError("no credential source provided")
        if self.client_auth and not (self.client_auth.username or self.client_auth.username_file):
            raise ValueError("client_auth needs a username or a username_file")
        return self


class BasicUsers:
    """An `Authenticator`: knows the users of a password file."""

    def __init__(self, settings: Htpasswd, context: Context) -> None:
        self._settings = settings
        self._context = context
        self._key = secrets.token_bytes(32)
        self._proved: dict[bytes, None] = {}
        self._proved_for: Mapping[str, str] = {}
        self._waiting = 0
        self._slow = asyncio.Semaphore(1)

    async def __aenter__(self) -> Self:
        """Read the users; raise `ConfigError` when that is not possible."""
        self._users = FileBacked(
            self._load, [self._settings.file], clock=self._context.clock, logger=self._context.logger
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """End; there is nothing to flush."""
        return None

    async def authenticate(self, headers: Mapping[str, tuple[str, ...]]) -> Identity:
        """Let the sender in when it names a user and the password, in one `authorization` header."""
        user, password = _credentials(headers.get("authorization", ()))
        users = self._users.current()
        if users is not self._proved_for:
            self._proved, self._proved_for = {}, users
        digest = hmac.digest(self._key, user.encode() + b"\0" + password, hashlib.sha256)
        if digest not in self._proved:
            await self._prove(users, user, password)
            if len(self._proved) >= REMEMBERED:
                self._proved.pop(next(iter(self._proved)))
            if users is self._proved_for:
                self._proved[digest] = None
        return Identity(user, {"username": user})

    async def _prove(self, users: Mapping[str, str], user: str, password: bytes) -> None:
        # For an unknown user another's hash is worked on, so that the time does not tell who exists.
        stored = users.get(user) or next(iter(users.values()), "")
        right = await self._verify_slowly(stored, password) if is_slow(stored) else verify(stored, password)
        if not right or user not in users:
            raise UnauthenticatedError("unknown user or wrong password")

    async def _verify_slowly(self, stored: str, password: bytes) -> bool:
        if self._waiting >= WAITING:
            raise RefusedError("too many passwords to verify")
        self._waiting += 1
        try:
            async with self._slow:
                return await asyncio.to_thread(verify, stored, password)
        finally:
            self._waiting -= 1

    def _load(self) -> Mapping[str, str]:
        text = _read(self._settings.file, self._context) if self._settings.file else ""
        return parse(text) | parse(self._settings.inline.reveal())


class BasicCredentials:
    """`Credentials` of an exporter: one user name and password."""

    def __init__(self, settings: OwnCredentials, context: Context) -> None:
        self._settings = settings
        self._context = context

    async def __aenter__(self) -> Self:
        """Read the files; raise `ConfigError` when that is not possible."""
        files = (self._settings.username_file, self._settings.password_file)
        self._header = FileBacked(self._load, files, clock=self._context.clock, logger=self._context.logger)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """End; there is nothing to flush."""
        return None

    def request_headers(self) -> Mapping[str, str]:
        """Give the header with the newest user name and password."""
        return {"authorization": self._header.current()}

    def _load(self) -> str:
        settings = self._settings
        user = _read(settings.username_file, self._context).strip() if settings.username_file else settings.username
        given = settings.password.reveal()
        password = _read(settings.password_file, self._context).strip() if settings.password_file else given
        return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def _credentials(values: tuple[str, ...]) -> tuple[str, bytes]:
    scheme, _, encoded = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    if scheme.lower() != "basic":
        raise UnauthenticatedError("missing or repeated credentials")
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        if not colon:
            raise UnauthenticatedError("malformed credentials")
        if len(password) > LONGEST_PASSWORD:
            raise UnauthenticatedError("the password is too long")
        return user.decode(), password
    except (binascii.Error, ValueError) as error:
        raise UnauthenticatedError("malformed credentials") from error


def _read(file: str, context: Context) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"extensions::{context.id}: cannot read {file}") from error


def _create(config: BasicAuthConfig, context: Context) -> BasicUsers | BasicCredentials:
    if config.client_auth:
        return BasicCredentials(config.client_auth, context)
    return BasicUsers(config.htpasswd or Htpasswd(), context)


COMPONENT = Component(
    type="basicauth",
    kind=Kind.EXTENSION,
    config=BasicAuthConfig,
    create=_create,
    stability=Stability.BETA,
)
