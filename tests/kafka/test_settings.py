"""A Kafka client's settings."""

import pytest
from pydantic import ValidationError

from sluiceway.kafka import KafkaClient, is_topic


def problem(**settings: object) -> str:
    """Where the mistake in these settings is, and what it says."""
    with pytest.raises(ValidationError) as caught:
        KafkaClient.model_validate(settings)
    return "; ".join(f"{'::'.join(map(str, error['loc']))}: {error['msg']}" for error in caught.value.errors())


@pytest.mark.parametrize("broker", ["kafka:9092", "kafka", "10.0.0.1:9092", "[::1]:9092", "a_b.example.com:1"])
def test_a_broker_is_a_host_and_maybe_a_port(broker: str) -> None:
    """Names and addresses of both families are taken."""
    assert KafkaClient(brokers=(broker,)).brokers == (broker,)


@pytest.mark.parametrize("broker", ["", "http://kafka:9092", "kafka:99999", "kafka:0", "a b:1", "::1:9092"])
def test_what_is_no_broker_is_refused_where_it_stands(broker: str) -> None:
    """The mistake is reported at its place in the list."""
    assert problem(brokers=["kafka:9092", broker]).startswith("brokers::1: invalid broker")


def test_there_is_a_broker() -> None:
    """No list of brokers can be empty."""
    assert problem(brokers=[]).startswith("brokers")


def test_a_mechanism_must_be_known() -> None:
    """The text is the Collector's, with the mechanisms that there are here."""
    found = problem(auth={"sasl": {"username": "a", "password": "b", "mechanism": "NTLM"}})
    assert found == (
        "auth::sasl::mechanism: mechanism should be one of 'PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512' or 'OAUTHBEARER'. "
        "configured value NTLM"
    )


@pytest.mark.parametrize("key", ["username", "password"])
def test_a_mechanism_needs_both(key: str) -> None:
    """A user without a password, or the other way round, is a mistake."""
    sasl = {"username": "a", "password": "b", "mechanism": "PLAIN"} | {key: ""}
    assert problem(auth={"sasl": sasl}) == f"auth::sasl::{key}: {key} is required"


def test_signing_for_aws_is_refused_with_a_way_out() -> None:
    """AWS MSK's own mechanism is not there, and the text says what is."""
    assert "use SCRAM-SHA-512" in problem(auth={"sasl": {"mechanism": "AWS_MSK_IAM_OAUTHBEARER"}})


def test_a_token_needs_a_source() -> None:
    """OAUTHBEARER names the extension that has the token."""
    found = problem(auth={"sasl": {"mechanism": "OAUTHBEARER"}})
    assert found == "auth::sasl::oauthbearer_token_source: OAUTHBEARER needs an extension that has the token"


def test_there_is_one_way_to_prove_who_one_is() -> None:
    """Two of them are a mistake."""
    sasl = {"username": "a", "password": "b", "mechanism": "PLAIN"}
    assert "only one of" in problem(auth={"sasl": sasl, "plain_text": {"username": "a", "password": "b"}})


@pytest.mark.parametrize(
    ("key", "value"), [("min_version", "1.3"), ("max_version", "1.2"), ("server_name_override", "a")]
)
def test_what_librdkafka_cannot_do_of_tls_is_refused(key: str, value: str) -> None:
    """A setting that would have no effect on a connection's safety is not ignored."""
    assert problem(tls={key: value}).startswith(f"tls::{key}: librdkafka ")


@pytest.mark.parametrize(("name", "fits"), [
    ("otlp_spans", True), ("a.B-9_", True), ("a" * 249, True), ("a" * 250, False), ("", False), (".", False),
    ("..", False), ("a b", False), ("a/b", False), ("ä", False), ("a\n", False),
])  # fmt: skip
def test_a_topic_has_the_letters_that_kafka_allows(name: str, fits: bool) -> None:
    """Kafka's own rule, so that no name reaches a broker that it would refuse."""
    assert is_topic(name) is fits
