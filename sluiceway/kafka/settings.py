"""The settings of a Kafka client: where the brokers are, and how it proves who it is. The names are the Collector's."""

from __future__ import annotations

import re
from typing import Annotated, Final, Self

from pydantic import Field, field_validator, model_validator

from sluiceway.config.settings import mistake
from sluiceway.config.tls import TlsClient
from sluiceway.config.types import Duration, Opaque, Section, Settings, StringList

__all__ = ["KafkaAuth", "KafkaClient", "KafkaTls", "Kerberos", "Metadata", "MetadataRetry", "PlainText", "Sasl"]

MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")
_VERSION: Final = re.compile(r"\d+\.\d+(\.\d+){0,2}", re.ASCII)
_BROKER: Final = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+)(:(?P<port>\d{1,5}))?", re.ASCII)


def _check_broker(broker: str) -> str:
    found = _BROKER.fullmatch(broker)
    if found is None or not 0 < int(found["port"] or 9092) < 65_536:
        raise ValueError(f'invalid broker "{broker[:100]}": expected host:port, such as kafka-1.example.com:9092')
    return broker


class MetadataRetry(Settings):
    """How often the cluster is asked again; librdkafka asks until it is answered."""

    max: int = Field(default=3, ge=0)
    """Without effect: librdkafka asks again until it is answered."""
    backoff: Duration = Field(default=0.25, gt=0)
    """The first wait before a request is repeated; each wait is twice as long as the one before, up to a second."""


class Metadata(Settings):
    """What is known of the cluster: its brokers, topics and partitions."""

    full: bool = True
    """Without effect: only the topics that are used are asked for."""
    refresh_interval: Duration = Field(default=600.0, gt=0)
    """How often the cluster is asked for its brokers and partitions, beside when something has failed."""
    retry: MetadataRetry = MetadataRetry()
    """How requests are repeated."""


class KafkaTls(TlsClient):
    """TLS of the connections. librdkafka has an OpenSSL of its own, which speaks TLS 1.2 and 1.3."""

    @model_validator(mode="after")
    def _check_possible(self) -> Self:
        if self.min_version == "1.3":
            raise mistake("librdkafka cannot be held to TLS 1.3: leave min_version at 1.2", "min_version")
        if self.max_version not in ("", "1.3"):
            raise mistake("librdkafka cannot be kept from TLS 1.3: leave max_version out", "max_version")
        if self.server_name_override:
            raise mistake(
                "librdkafka takes the name from the broker's own address: have the certificate name that",
                "server_name_override",
            )
        return self

    def authorities(self) -> str:
        """The authorities to trust as PEM, where they are more than one file; raise `ConfigError` without that file."""
        found = self._authorities() if self.include_system_ca_certs_pool else None
        return found.decode("ascii", "ignore") if found else self.ca_pem.reveal()


class PlainText(Settings):
    """A user and a password, sent as they are."""

    username: str = ""
    """The user."""
    password: Opaque = Opaque("")
    """The password."""


class AwsMsk(Settings):
    """What AWS MSK's own mechanism needs; read, but that mechanism is not supported."""

    region: str = ""
    """The region of the cluster."""
    broker_addr: str = ""
    """The broker's address."""


class Sasl(Settings):
    """SASL: how the client proves who it is."""

    username: str = ""
    """The user."""
    password: Opaque = Opaque("")
    """The password."""
    mechanism: str = ""
    """`PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512` or `OAUTHBEARER`."""
    version: int = 1
    """Without effect: the version of the handshake is agreed with the broker."""
    aws_msk: AwsMsk = AwsMsk()
    """What AWS MSK's own mechanism needs, which is not supported."""
    oauthbearer_token_source: str | None = None
    """For `OAUTHBEARER`: the id of an extension that has the token, such as `bearertokenauth/kafka`."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.mechanism == "AWS_MSK_IAM_OAUTHBEARER":
            raise mistake(
                "AWS_MSK_IAM_OAUTHBEARER needs requests that are signed for AWS, which is not supported: "
                "use SCRAM-SHA-512, or OAUTHBEARER with a token that something else keeps fresh in a file",
                "mechanism",
            )
        if self.mechanism not in MECHANISMS:
            known = ", ".join(f"'{name}'" for name in MECHANISMS[:-1])
            text = f"mechanism should be one of {known} or '{MECHANISMS[-1]}'. configured value {self.mechanism[:100]}"
            raise mistake(text, "mechanism")
        if self.mechanism == "OAUTHBEARER":
            if not self.oauthbearer_token_source:
                raise mistake("OAUTHBEARER needs an extension that has the token", "oauthbearer_token_source")
            return self
        for key in ("username", "password"):
            if not getattr(self, key):
                raise mistake(f"{key} is required", key)
        if self.version not in (0, 1):
            raise mistake(f"version has to be either 0 or 1. configured value {self.version}", "version")
        return self


class Kerberos(Settings):
    """Kerberos, for a librdkafka that was built with it; that of the wheels on PyPI is not."""

    service_name: str = ""
    """The brokers' own name, as in `kafka/host@REALM`."""
    realm: str = ""
    """The realm."""
    use_keytab: bool = False
    """Whether the key is in a keytab; must be true, as librdkafka takes no password."""
    username: str = ""
    """The client's name, before the `@`."""
    password: Opaque = Opaque("")
    """A password, which librdkafka cannot use."""
    config_file: str = ""
    """Without effect: set `KRB5_CONFIG` in the environment."""
    keytab_file: str = ""
    """The keytab."""
    disable_fast_negotiation: bool = False
    """Without effect."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.password or not self.use_keytab:
            raise ValueError("librdkafka takes no password for Kerberos: set use_keytab and keytab_file")
        return self


class KafkaAuth(Settings):
    """How the client proves who it is: at most one of these ways."""

    plain_text: Section[PlainText] = None
    """Deprecated: `sasl` with the mechanism `PLAIN`."""
    sasl: Section[Sasl] = None
    """A user and a password, or a token."""
    kerberos: Section[Kerberos] = None
    """A ticket."""
    tls: Section[KafkaTls] = None
    """Deprecated: `tls` beside `auth`, which wins."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if sum(way is not None for way in (self.plain_text, self.sasl, self.kerberos)) > 1:
            raise ValueError("only one of plain_text, sasl and kerberos can be given")
        return self


class KafkaClient(Settings):
    """What every client of Kafka is told."""

    brokers: Annotated[StringList, Field(min_length=1)] = ("localhost:9092",)
    """Where to ask for the cluster's brokers, as `host:port`; one that answers is enough."""
    resolve_canonical_bootstrap_servers_only: bool = False
    """Whether the brokers' names are replaced by what their addresses are called, as Kerberos may need it."""
    protocol_version: str = "2.1.0"
    """Without effect: the versions of all requests are agreed with the broker, which may be 0.10 or newer."""
    client_id: str = "otel-collector"
    """What the client calls itself, for the brokers' logs and quotas."""
    rack_id: str = ""
    """Where the client is, so that it is served by brokers nearby."""
    metadata: Metadata = Metadata()
    """What is known of the cluster."""
    tls: Section[KafkaTls] = None
    """TLS; without this section, and with `insecure: true`, connections are plain text."""
    auth: KafkaAuth = KafkaAuth()
    """How the client proves who it is."""

    @field_validator("brokers")
    @classmethod
    def _check_brokers(cls, brokers: tuple[str, ...]) -> tuple[str, ...]:
        for place, broker in enumerate(brokers):
            try:
                _check_broker(broker)
            except ValueError as error:
                raise mistake(str(error), place) from None
        return brokers

    @field_validator("protocol_version")
    @classmethod
    def _check_version(cls, version: str) -> str:
        if version and not _VERSION.fullmatch(version):
            raise ValueError(f"invalid protocol version: {version[:100]}")
        return version

    @property
    def encryption(self) -> KafkaTls | None:
        """The TLS that is in force, None for plain text."""
        tls = self.tls or self.auth.tls
        return None if tls is None or tls.insecure else tls
