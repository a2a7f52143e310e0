"""How clients are opened, and what becomes of librdkafka's words."""

import logging
from pathlib import Path
from typing import Any

import pytest

from sluiceway.component import Context, Kind
from sluiceway.errors import ConfigError
from sluiceway.kafka import KafkaClient, KafkaConnection
from tests.ports import free_port
from tests.servers.kafka import until

kafka = pytest.importorskip("confluent_kafka")


class Token:
    def request_headers(self) -> dict[str, str]:
        return {"authorization": "Bearer a-token"}


def connection(**settings: Any) -> KafkaConnection:
    """A connection with these settings, which connects to nothing yet."""
    context = Context("kafka", Kind.EXPORTER, extension={"bearertokenauth": Token()}.__getitem__)
    return KafkaConnection(KafkaClient.model_validate(settings), context)


def test_kerberos_is_refused_where_librdkafka_has_none() -> None:
    """The text says what would bring it."""
    with pytest.raises(ConfigError, match=r"was built without Kerberos.*libsasl2"):
        connection(auth={"kerberos": {"username": "a", "use_keytab": True}})


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The mistake is one of the settings, told before anything connects."""
    with pytest.raises(ConfigError, match=r"tls::ca_file: cannot read .*nothing\.pem"):
        connection(tls={"ca_file": str(tmp_path / "nothing.pem")}).open(kafka.Producer)


def test_a_value_that_librdkafka_refuses_is_named() -> None:
    """Its words say which property."""
    with pytest.raises(ConfigError, match=r"acks"):
        connection().open(kafka.Producer, {"acks": "most"})


def test_an_unknown_source_of_tokens_is_named() -> None:
    """The extension must be there."""
    with pytest.raises(ConfigError, match='"nobody": authenticator not found'):
        connection(auth={"sasl": {"mechanism": "OAUTHBEARER", "oauthbearer_token_source": "nobody"}})


def test_a_token_comes_from_the_extension() -> None:
    """Librdkafka asks as it is polled, and gets the token without the scheme."""
    made = connection(auth={"sasl": {"mechanism": "OAUTHBEARER", "oauthbearer_token_source": "bearertokenauth"}})
    assert made._token("")[0] == "a-token"
    made.open(kafka.Producer, {"log_level": 0}).poll(0)


def test_a_broker_that_is_away_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """The trouble names the broker and the setting; it ends when something works. The log has a warning, no error."""
    caplog.set_level(logging.INFO)
    broker = f"127.0.0.1:{free_port()}"
    made, heard = connection(brokers=[broker]), []
    made.on_trouble = heard.append
    producer = made.open(kafka.Producer)
    until(lambda: (producer.poll(0.1), made.trouble)[1], "no trouble")
    assert broker in made.trouble
    assert "Connection refused" in made.trouble
    assert "nobody listens there: see brokers" in made.trouble
    assert heard[0] == made.trouble
    until(lambda: (producer.poll(0.1), caplog.records)[1], "nothing is logged")
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    made.worked()
    assert not made.trouble
