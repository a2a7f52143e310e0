"""A client's settings in the words of librdkafka."""

from __future__ import annotations

from typing import Final, TypeAlias

from sluiceway.config.ciphers import openssl_ciphers
from sluiceway.kafka.settings import KafkaAuth, KafkaClient, KafkaTls

__all__ = ["Properties", "configuration", "secrets"]

Properties: TypeAlias = dict[str, str | int | bool]

_CURVES: Final = {"X25519": "X25519", "P256": "P-256", "P384": "P-384", "P521": "P-521"}


def configuration(client: KafkaClient) -> Properties:
    """The properties that a producer and a consumer have in common.

    They hold passwords. `ConfigError` says that a file with the system's authorities or ours cannot be read; no other
    file is looked at.
    """
    tls = client.encryption
    proven = _proof(client.auth)
    protocol = ("SASL_" if proven else "") + ("SSL" if tls else "PLAINTEXT")
    refresh = _milliseconds(client.metadata.refresh_interval)
    backoff = min(_milliseconds(client.metadata.retry.backoff), 300_000)
    found: Properties = {
        "bootstrap.servers": ",".join(client.brokers),
        "client.id": client.client_id,
        "security.protocol": protocol,
        "topic.metadata.refresh.interval.ms": min(max(refresh, 10), 3_600_000),
        "metadata.max.age.ms": min(max(3 * refresh, 10), 86_400_000),
        "retry.backoff.ms": backoff,
        "retry.backoff.max.ms": max(backoff, 1000),
        "reconnect.backoff.ms": 100,
        "reconnect.backoff.max.ms": 5000,  # after a long outage no later than this
        "log.connection.close": False,  # brokers close what is idle
    }
    if client.resolve_canonical_bootstrap_servers_only:
        found["client.dns.lookup"] = "resolve_canonical_bootstrap_servers_only"
    if client.rack_id:
        found["client.rack"] = client.rack_id
    return found | proven | (_encryption(tls) if tls else {})


def secrets(client: KafkaClient) -> tuple[str, ...]:
    """What must never be shown."""
    auth = client.auth
    given = [part.password for part in (auth.plain_text, auth.sasl) if part is not None]
    if client.encryption is not None:
        given.append(client.encryption.key_pem)
    return tuple(secret.reveal() for secret in given if secret)


def _proof(auth: KafkaAuth) -> Properties:
    if auth.plain_text is not None:
        return {
            "sasl.mechanism": "PLAIN",
            "sasl.username": auth.plain_text.username,
            "sasl.password": auth.plain_text.password.reveal(),
        }
    if auth.sasl is not None:
        found: Properties = {"sasl.mechanism": auth.sasl.mechanism}
        if auth.sasl.mechanism != "OAUTHBEARER":
            found |= {"sasl.username": auth.sasl.username, "sasl.password": auth.sasl.password.reveal()}
        return found
    if auth.kerberos is not None:
        name, realm = auth.kerberos.username, auth.kerberos.realm
        return {
            "sasl.mechanism": "GSSAPI",
            "sasl.kerberos.service.name": auth.kerberos.service_name or "kafka",
            "sasl.kerberos.principal": f"{name}@{realm}" if realm else name,
            "sasl.kerberos.keytab": auth.kerberos.keytab_file,
        }
    return {}


def _encryption(tls: KafkaTls) -> Properties:
    found: Properties = {"enable.ssl.certificate.verification": not tls.insecure_skip_verify}
    found["ssl.endpoint.identification.algorithm"] = "none" if tls.insecure_skip_verify else "https"
    if authorities := tls.authorities():
        found["ssl.ca.pem"] = authorities
    elif tls.ca_file:
        found["ssl.ca.location"] = tls.ca_file
    for key, file, text in (
        ("ssl.certificate", tls.cert_file, tls.cert_pem),
        ("ssl.key", tls.key_file, tls.key_pem),
    ):
        if file:
            found[f"{key}.location"] = file
        elif text:
            found[f"{key}.pem"] = text.reveal()
    if ciphers := openssl_ciphers(tls.cipher_suites, insecure=tls.include_insecure_cipher_suites):
        found["ssl.cipher.suites"] = ciphers
    if tls.curve_preferences:
        found["ssl.curves.list"] = ":".join(_CURVES[curve] for curve in tls.curve_preferences)
    return found


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
