"""How a target is told who we are, and how the way to it is encrypted."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from sluiceway.config.settings import mistake
from sluiceway.config.tls import TlsClient
from sluiceway.config.types import Opaque, Settings

__all__ = ["Authorization", "BasicAuth", "TlsConfig"]


class BasicAuth(Settings):
    """A user and a password."""

    username: str = ""
    """The user."""
    username_file: str = ""
    """A file with the user's name."""
    password: Opaque = Opaque("")
    """The password."""
    password_file: str = ""
    """A file with the password, read for each scrape."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.password and self.password_file:
            raise mistake("at most one of basic_auth password & password_file must be configured")
        if self.username and self.username_file:
            raise mistake("at most one of basic_auth username & username_file must be configured")
        return self


class Authorization(Settings):
    """A header `Authorization`."""

    type: str = "Bearer"
    """Its first word."""
    credentials: Opaque = Opaque("")
    """What follows."""
    credentials_file: str = ""
    """A file with it, read for each scrape."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.type.strip().lower() == "basic":
            raise mistake('authorization type cannot be set to "basic", use "basic_auth" instead', "type")
        if self.credentials and self.credentials_file:
            raise mistake("at most one of authorization credentials & credentials_file must be configured")
        return self


class TlsConfig(Settings):
    """How to encrypt."""

    ca: str = ""
    """The authorities to trust, as PEM."""
    ca_file: str = ""
    """A file with them."""
    cert: str = ""
    """Our certificate, as PEM."""
    cert_file: str = ""
    """A file with it."""
    key: Opaque = Opaque("")
    """Its key, as PEM."""
    key_file: str = ""
    """A file with it."""
    server_name: str = ""
    """The name that the target's certificate must have, when it is not the address."""
    insecure_skip_verify: bool = False
    """Whether to take any certificate."""
    min_version: Literal["", "TLS10", "TLS11", "TLS12", "TLS13"] = ""
    """The lowest version."""
    max_version: Literal["", "TLS10", "TLS11", "TLS12", "TLS13"] = ""
    """The highest version."""

    @property
    def client(self) -> TlsClient:
        """The same in our own keys. Raises pydantic's error where they contradict."""
        versions = {f"TLS1{minor}": f"1.{minor}" for minor in range(4)}
        return TlsClient.model_validate({
            "ca_pem": self.ca, "ca_file": self.ca_file, "cert_pem": self.cert, "cert_file": self.cert_file,
            "key_pem": self.key.reveal(), "key_file": self.key_file, "server_name_override": self.server_name,
            "insecure_skip_verify": self.insecure_skip_verify, "reload_interval": "5s",
            "min_version": versions.get(self.min_version, ""), "max_version": versions.get(self.max_version, ""),
        })  # fmt: skip

    @model_validator(mode="after")
    def _check(self) -> Self:
        _ = self.client
        return self
