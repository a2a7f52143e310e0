"""Proves senders by a bearer token, and gives our own exporters theirs.

A receiver that names this extension takes only requests that carry one of the tokens; an exporter that names it sends
the first token with every request. Tokens are compared in constant time and are never printed. With `filename` the
tokens are read from a file, one a line, and again within a second after it has changed. A token says nothing of who
its bearer is, so the authenticated subject is empty.

```yaml
extensions:
  bearertokenauth:
    token: ${env:SLUICEWAY_TOKEN:-change-me}
```
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import ConfigDict, Field, model_validator

from sluiceway.component import Component, Context, Identity, Kind, Stability
from sluiceway.config.client import check_header
from sluiceway.config.files import FileBacked
from sluiceway.config.rules import not_together
from sluiceway.config.types import Opaque, Settings
from sluiceway.errors import ConfigError, UnauthenticatedError

__all__ = ["COMPONENT", "BearerToken", "BearerTokenConfig"]


class BearerTokenConfig(Settings):
    """The settings of the extension `bearertokenauth`."""

    model_config = ConfigDict(json_schema_extra=not_together(("token", "tokens")))

    scheme: str = "Bearer"
    """What stands before the token; empty for the token alone."""
    token: Opaque = Opaque("")
    """The token."""
    tokens: tuple[Opaque, ...] = ()
    """Tokens of which a sender must have one; an exporter sends the first."""
    filename: str = ""
    """A file with tokens, one a line; wins over `token` and `tokens`."""
    header: str = Field(default="Authorization", min_length=1)
    """The header that carries the token."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.token and self.tokens:
            raise ValueError("either tokens or token should be set, not both")
        if not (self.filename or self.token or (self.tokens and all(self.tokens))):
            raise ValueError("no bearer token provided")
        for token in (self.token, *self.tokens):
            check_header(self.header, f"{self.scheme} {token.reveal()}")
        return self


class BearerToken:
    """An `Authenticator` for receivers and `Credentials` for exporters."""

    def __init__(self, config: BearerTokenConfig, context: Context) -> None:
        self._config = config
        self._context = context
        self._header = config.header.lower()

    async def __aenter__(self) -> Self:
        """Read the tokens; raise `ConfigError` when there are none."""
        self._expected = FileBacked(
            self._load, [self._config.filename], clock=self._context.clock, logger=self._context.logger
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """End; there is nothing to flush."""
        return None

    async def authenticate(self, headers: Mapping[str, tuple[str, ...]]) -> Identity:
        """Let the sender in when its header holds one of the tokens, and holds it once."""
        given = headers.get(self._header, ())
        if len(given) != 1:
            raise UnauthenticatedError("missing or repeated header")
        shown = given[0].encode("utf-8", "surrogatepass")
        # All are compared, so that the time says nothing of which one was nearly right.
        if not sum(hmac.compare_digest(shown, expected) for expected in self._expected.current()):
            raise UnauthenticatedError("wrong token")
        return Identity(None)

    def request_headers(self) -> Mapping[str, str]:
        """Give the header with the newest first token."""
        return {self._header: self._expected.current()[0].decode()}

    def _load(self) -> tuple[bytes, ...]:
        prefix = f"{self._config.scheme} " if self._config.scheme else ""
        tokens = tuple(f"{prefix}{token}".encode() for token in self._tokens())
        if not tokens:
            raise ConfigError(f"extensions::{self._context.id}: no token in {self._config.filename}")
        return tokens

    def _tokens(self) -> list[str]:
        if not self._config.filename:
            return [token.reveal() for token in self._config.tokens or (self._config.token,)]
        try:
            text = Path(self._config.filename).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"extensions::{self._context.id}: cannot read {self._config.filename}") from error
        return [line.strip() for line in text.splitlines() if line.strip()]


COMPONENT = Component(
    type="bearertokenauth",
    kind=Kind.EXTENSION,
    config=BearerTokenConfig,
    create=BearerToken,
    stability=Stability.BETA,
)
