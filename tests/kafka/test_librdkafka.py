"""The translation of a client's settings for librdkafka."""

from typing import Any

import pytest

from sluiceway.kafka import KafkaClient, configuration


def of(**settings: Any) -> dict[str, Any]:
    """The properties for these settings."""
    return configuration(KafkaClient.model_validate(settings))


def test_without_settings_it_is_plain_text_on_this_machine() -> None:
    """The Collector's defaults."""
    found = of()
    assert found["bootstrap.servers"] == "localhost:9092"
    assert found["client.id"] == "otel-collector"
    assert found["security.protocol"] == "PLAINTEXT"
    assert found["topic.metadata.refresh.interval.ms"] == 600_000


@pytest.mark.parametrize(("settings", "protocol"), [
    ({"tls": {}}, "SSL"),
    ({"tls": {"insecure": True}}, "PLAINTEXT"),
    ({"auth": {"tls": {}}}, "SSL"),
    ({"auth": {"plain_text": {"username": "a", "password": "b"}}}, "SASL_PLAINTEXT"),
    ({"tls": {}, "auth": {"plain_text": {"username": "a", "password": "b"}}}, "SASL_SSL"),
])  # fmt: skip
def test_the_protocol_follows_from_tls_and_auth(settings: dict[str, Any], protocol: str) -> None:
    """Nobody has to name it."""
    assert of(**settings)["security.protocol"] == protocol


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_user_and_a_password(mechanism: str) -> None:
    """They are handed on with the mechanism."""
    found = of(auth={"sasl": {"username": "a", "password": "b", "mechanism": mechanism}})
    assert (found["sasl.mechanism"], found["sasl.username"], found["sasl.password"]) == (mechanism, "a", "b")


def test_files_of_tls_are_named_and_texts_are_handed_on() -> None:
    """A file with a certificate may hold a chain, so librdkafka reads it itself."""
    found = of(tls={"ca_file": "/ca", "cert_file": "/c", "key_file": "/k"})
    assert found["ssl.ca.location"] == "/ca"
    assert (found["ssl.certificate.location"], found["ssl.key.location"]) == ("/c", "/k")
    assert found["enable.ssl.certificate.verification"] is True
    assert found["ssl.endpoint.identification.algorithm"] == "https"


def test_verification_can_be_skipped() -> None:
    """Neither the certificate nor the name in it is looked at."""
    found = of(tls={"insecure_skip_verify": True})
    assert found["enable.ssl.certificate.verification"] is False
    assert found["ssl.endpoint.identification.algorithm"] == "none"


def test_kerberos() -> None:
    """The principal is made of the name and the realm."""
    kerberos = {"username": "otel", "realm": "EXAMPLE.COM", "use_keytab": True, "keytab_file": "/k"}
    found = of(auth={"kerberos": kerberos})
    assert found["sasl.kerberos.principal"] == "otel@EXAMPLE.COM"
    assert (found["sasl.mechanism"], found["sasl.kerberos.service.name"]) == ("GSSAPI", "kafka")


def test_librdkafka_takes_every_property() -> None:
    """What is made of all settings together is no mistake to the library that is installed."""
    kafka = pytest.importorskip("confluent_kafka")
    found = of(
        brokers=["127.0.0.1:1"], rack_id="a", resolve_canonical_bootstrap_servers_only=True,
        metadata={"refresh_interval": "24h", "retry": {"backoff": "1m"}},
        tls={"insecure_skip_verify": True, "curve_preferences": ["X25519", "P256"],
             "cipher_suites": ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]},
        auth={"sasl": {"username": "a", "password": "b", "mechanism": "SCRAM-SHA-256"}},
    )  # fmt: skip
    kafka.Producer(found | {"log_level": 0})
