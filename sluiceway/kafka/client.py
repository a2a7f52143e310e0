"""A client's connections as its component sees them: how they are opened, and what librdkafka says of them.

librdkafka works in threads of its own. What it has to say it says when it is polled, in the thread that polls: the
objects here are told there, and read anywhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sluiceway.component import Context, Credentials
from sluiceway.config.auth import Auth, credentials
from sluiceway.config.files import stamp_of
from sluiceway.errors import ConfigError
from sluiceway.extras import require
from sluiceway.kafka.failures import advice, explain
from sluiceway.kafka.librdkafka import configuration, secrets
from sluiceway.kafka.log import Log
from sluiceway.kafka.settings import KafkaClient

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

__all__ = ["KafkaConnection"]

C = TypeVar("C")

TOKEN_LIFE: Final = 300.0
"""Seconds after which the extension is asked for the token anew: it does not say how long one is valid."""
_NO_KERBEROS: Final = (
    "auth::kerberos: the librdkafka of the installed confluent-kafka was built without Kerberos, as in the wheels of "
    "PyPI: build confluent-kafka from source with a librdkafka that has libsasl2, or use auth::sasl"
)
_NEWS: Final = frozenset({"_ALL_BROKERS_DOWN"})
"""Errors that only sum up what others said before them."""


class KafkaConnection:
    """Opens clients by one component's settings, and remembers what their connections suffer from.

    Making it raises `ConfigError` for settings that the installed librdkafka cannot do.
    """

    def __init__(self, client: KafkaClient, context: Context) -> None:
        require("kafka", "kafka", "confluent_kafka")
        self._client = client
        self._context = context
        self._proof = _token_source(client, context)
        self._log = Log(context.logger, context.clock, secrets(client))
        self.trouble: str = ""
        """The newest trouble of the connections, as a sentence; empty once something has worked again."""
        self.advice: str = ""
        """What an operator must do about it, where nothing else will help."""
        self._looked = context.clock.now()
        self._stamp = stamp_of(client.encryption.files if client.encryption else ())
        self.on_trouble: Callable[[str], None] | None = None
        """Called for each trouble, in the thread that polls."""
        if client.auth.kerberos is not None:
            self._require_kerberos()

    def open(self, make: Callable[[dict[str, Any]], C], properties: Mapping[str, Any] = MappingProxyType({})) -> C:
        """Make a client (`Producer`, `Consumer`) from our properties and these.

        It connects in the background. Raises `ConfigError` for files and values that cannot be used.
        """
        from confluent_kafka import KafkaException

        if (tls := self._client.encryption) is not None:
            tls.ssl_context()  # says which file is wrong, where librdkafka only names OpenSSL's function
        given: dict[str, Any] = {**configuration(self._client), "logger": self._log, "error_cb": self._failed}
        if self._proof is not None:
            given["oauth_cb"] = self._token
        try:
            return make({**given, **properties})
        except KafkaException as error:
            text = self._log.redacted(str(error.args[0].str()))
            raise ConfigError(f"librdkafka does not take the settings: {text}") from None

    def has_new_certificates(self) -> bool:
        """Whether files of `tls` have changed since this was asked last; looked at every `tls::reload_interval`.

        A client that is open keeps what it has read. True where what is there now can be used.
        """
        tls, now = self._client.encryption, self._context.clock.now()
        if tls is None or not tls.reload_interval or now - self._looked < tls.reload_interval:
            return False
        self._looked = now
        if (stamp := stamp_of(tls.files)) == self._stamp:
            return False
        self._stamp = stamp
        try:
            tls.ssl_context()
        except ConfigError as error:
            text = "a change of the files of tls cannot be used, what was there before stays in force: %s"
            self._context.logger.warning(text, error)
            return False
        return True

    def warning(self, text: str) -> None:
        """Log something that is wrong, and may be so again and again, now and then."""
        self._log.warning(text)

    def worked(self) -> None:
        """Something has worked: what was in the way before is so no longer."""
        self.trouble = self.advice = ""

    def _failed(self, error: KafkaError) -> None:
        """Take one of librdkafka's errors that belong to no message, as it polls."""
        if error.name() in _NEWS and self.trouble:
            return
        text, self.advice = self._log.redacted(explain(error)), advice(error)
        self.trouble = f"{', '.join(self._client.brokers)}: {text}" if error.name() == "_ALL_BROKERS_DOWN" else text
        if self.on_trouble is not None:
            self.on_trouble(self.trouble)

    def _token(self, _config: str) -> tuple[str, float]:
        """Give librdkafka a token, and until when it counts (seconds since the epoch)."""
        assert self._proof is not None  # noqa: S101 - only then are we asked
        header = self._proof.request_headers().get("authorization", "")
        return header.removeprefix("Bearer "), time.time() + TOKEN_LIFE

    def _require_kerberos(self) -> None:
        from confluent_kafka import KafkaException, Producer

        try:
            Producer({"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "GSSAPI", "log_level": 0})
        except KafkaException as error:
            if "No provider" in str(error.args[0].str()):
                raise ConfigError(_NO_KERBEROS) from None


def _token_source(client: KafkaClient, context: Context) -> Credentials | None:
    sasl = client.auth.sasl
    if sasl is None or sasl.mechanism != "OAUTHBEARER":
        return None
    return credentials(Auth(authenticator=sasl.oauthbearer_token_source or ""), context)
