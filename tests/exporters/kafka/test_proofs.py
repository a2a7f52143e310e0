"""Proving who we are by more than a password: a certificate of ours, a token."""

from __future__ import annotations

import base64
import json
import time

import pytest
import trustme

from sluiceway.errors import RetryableError
from tests.exporters.backends import batch
from tests.exporters.kafka.test_delivery import exporter_to, failure, persist
from tests.servers.kafka import PASSWORD, USER, kafka_broker

LOGIN = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required"
TOKENS = {
    "sasl.enabled.mechanisms": "OAUTHBEARER",
    "listener.name.sasl_plaintext.oauthbearer.sasl.jaas.config": f'{LOGIN} unsecuredLoginStringClaim_sub="b";',
}


class Token:
    """An extension that has a token nobody signed, which Kafka takes unless it is told otherwise."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def request_headers(self) -> dict[str, str]:
        """As bearertokenauth gives them."""
        now = time.time()
        parts = [{"alg": "none"}, {"sub": "alice", "iat": now - 10, "exp": now + self.seconds}]
        encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
        return {"authorization": f"Bearer {'.'.join(encoded)}."}


async def test_a_token_from_an_extension(tmp_path):
    """The token is that of the extension; one that the broker does not take is told."""
    yaml = "auth: {sasl: {mechanism: OAUTHBEARER, oauthbearer_token_source: bearertokenauth}}, traces: {topic: spans}"
    with kafka_broker(tmp_path, TOKENS, sasl=True) as broker:
        broker.create_topic("spans")
        async with exporter_to(broker.sasl, yaml, extension={"bearertokenauth": Token(600)}.__getitem__) as out:
            await out.consume(batch())
        assert len(broker.messages("spans")) == 1
        extension = {"bearertokenauth": Token(-60)}.__getitem__
        async with exporter_to(broker.sasl, f"timeout: 3s, {yaml}", extension=extension) as out:
            with pytest.raises(RetryableError, match="auth::sasl"):
                await out.consume(batch())
            out._config = out._config.model_copy(update={"attempt_timeout": 0.01})


async def test_a_certificate_of_ours(tmp_path, ca):
    """A broker that asks for one takes it, chain and all, and without it the error says what is missing."""
    certificate, own = ca.issue_cert("127.0.0.1"), ca.create_child_ca().issue_cert("client")
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    own.private_key_pem.write_to_path(tmp_path / "key.pem")
    (tmp_path / "cert.pem").write_bytes(b"".join(blob.bytes() for blob in own.cert_chain_pems))
    tls = f"ca_file: {tmp_path}/ca.pem"
    mine = f"{tls}, cert_file: {tmp_path}/cert.pem, key_file: {tmp_path}/key.pem"
    with kafka_broker(tmp_path / "broker", certificate=certificate, client_ca=ca) as broker:
        broker.create_topic("spans")
        async with exporter_to(broker.ssl, f"tls: {{{mine}}}, traces: {{topic: spans}}") as out:
            await out.consume(batch())
        assert len(broker.messages("spans")) == 1
        assert "tls::cert_file" in str(await failure(broker.ssl, f"tls: {{{tls}}}"))


async def test_a_changed_certificate_is_taken_over(tmp_path, ca):
    """A new producer reads the files anew; what cannot be used changes nothing, and is told."""
    certificate, strangers = ca.issue_cert("127.0.0.1"), trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    own = tmp_path / "own.pem"
    ca.issue_cert("client").private_key_and_cert_chain_pem.write_to_path(own)
    yaml = (
        f"tls: {{ca_file: {tmp_path}/ca.pem, cert_file: {own}, key_file: {own}, reload_interval: 1ms}}, "
        "timeout: 3s, traces: {topic: spans}"
    )
    with kafka_broker(tmp_path / "broker", certificate=certificate, client_ca=ca) as broker:
        broker.create_topic("spans")
        async with exporter_to(broker.ssl, yaml) as out:
            await out.consume(batch())
            own.write_text("nonsense")
            await out.consume(batch())
            strangers.issue_cert("stranger").private_key_and_cert_chain_pem.write_to_path(own)
            with pytest.raises(RetryableError, match="tls::cert_file"):
                await out.consume(given := batch())
            ca.issue_cert("client").private_key_and_cert_chain_pem.write_to_path(own)
            while True:
                try:
                    await out.consume(given)
                except RetryableError:
                    continue
                break
        assert len(broker.messages("spans")) == 3


ALLOWED = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS",
}


async def test_who_may_not_write_is_told_so_and_the_data_waits(tmp_path):
    """The error names the topic and what is missing; once it is there, the same batch arrives."""
    from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, ResourcePatternType, ResourceType

    sasl = f'auth: {{sasl: {{username: {USER}, password: "{PASSWORD}", mechanism: SCRAM-SHA-256}}}}'
    with kafka_broker(tmp_path, ALLOWED, sasl=True) as broker:
        broker.create_topic("spans")
        async with exporter_to(broker.sasl, f"{sasl}, timeout: 3s, traces: {{topic: spans}}") as out:
            with pytest.raises(RetryableError, match='an ACL of the cluster must allow it for topic "spans"') as caught:
                await out.consume(given := batch())
            assert caught.value.code == "PERMISSION_DENIED"
            allowed = AclBinding(
                ResourceType.TOPIC, "spans", ResourcePatternType.LITERAL, f"User:{USER}", "*", AclOperation.WRITE,
                AclPermissionType.ALLOW,
            )  # fmt: skip
            for answer in broker.admin.create_acls([allowed]).values():
                answer.result(30)
            await persist(out, given)
        assert len(broker.messages("spans")) == 1
