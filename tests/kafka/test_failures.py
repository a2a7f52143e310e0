"""What librdkafka's errors mean."""

import pytest

from sluiceway.errors import PermanentError, RetryableError
from sluiceway.kafka import delivery_error

kafka = pytest.importorskip("confluent_kafka")


def error(name: str, words: str = "words") -> object:
    """An error as librdkafka reports it."""
    return kafka.KafkaError(getattr(kafka.KafkaError, name), words)


@pytest.mark.parametrize(("name", "words", "advice"), [
    ("_AUTHENTICATION", "127.0.0.1:1/bootstrap: SASL authentication error", "auth::sasl"),
    ("_RESOLVE", "kafka:9092/bootstrap: Failed to resolve", "see brokers"),
    ("_TRANSPORT", "kafka:9092/bootstrap: Connect failed: Connection refused", "nobody listens there"),
    ("_TRANSPORT", "kafka:9092/bootstrap: Failed to resolve 'kafka:9092'", "name is not known"),
    ("_TRANSPORT", "a: Disconnected while requesting ApiVersion", "asks for TLS or a password"),
    ("_SSL", "kafka.example.com:9093/1: SSL handshake failed: certificate verify failed", "tls::ca_file"),
    ("_SSL", "kafka.example.com:9093/1: hostname mismatch", "not for kafka.example.com:9093"),
    ("UNKNOWN_TOPIC_OR_PART", "Broker: Unknown topic or partition", "create it"),
    ("_UNKNOWN_TOPIC", "Local: Unknown topic", "create it"),
    ("TOPIC_AUTHORIZATION_FAILED", "Broker: Topic authorization failed", "ACL of the cluster must allow it for topic"),
    ("NOT_ENOUGH_REPLICAS", "Broker: Not enough in-sync replicas", "min.insync.replicas"),
    ("_MSG_TIMED_OUT", "Local: Message timed out", "is not known"),
])  # fmt: skip
def test_what_the_cluster_or_the_settings_suffer_from_comes_again(name: str, words: str, advice: str) -> None:
    """The text has librdkafka's words and the setting to mend, and the data waits."""
    found = delivery_error(error(name, words), topic="otlp_spans")
    assert isinstance(found, RetryableError)
    assert str(found).startswith(f'topic "otlp_spans": {words}; ')
    assert advice in str(found)


@pytest.mark.parametrize(("name", "code"), [
    ("MSG_SIZE_TOO_LARGE", "RESOURCE_EXHAUSTED"), ("RECORD_LIST_TOO_LARGE", "RESOURCE_EXHAUSTED"),
    ("INVALID_RECORD", "INVALID_ARGUMENT"), ("INVALID_MSG", "INVALID_ARGUMENT"),
])  # fmt: skip
def test_what_is_wrong_with_a_message_itself_is_for_good(name: str, code: str) -> None:
    """Coming again does not mend it."""
    found = delivery_error(error(name))
    assert isinstance(found, PermanentError)
    assert found.code == code


def test_an_error_nobody_has_heard_of_comes_again() -> None:
    """A newer broker's errors lose nothing."""
    assert isinstance(delivery_error(kafka.KafkaError(12345, "new")), RetryableError)
