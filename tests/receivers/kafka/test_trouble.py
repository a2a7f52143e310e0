"""What stands in the way: the status tells, data waits, and reading goes on by itself once it is mended."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import trustme
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)  # fmt: skip

from sluiceway.component import Status
from sluiceway.errors import ConfigError
from sluiceway.otlp import Signal
from tests.ports import free_port
from tests.receivers.kafka.bench import from_start, reading, until
from tests.receivers.records import bodies
from tests.servers.kafka import PASSWORD, USER, KafkaBroker, kafka_broker

LOGS = frozenset({Signal.LOGS})


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Who signs the broker's certificate."""
    return trustme.CA()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> Iterator[KafkaBroker]:
    """A broker that speaks TLS and asks for passwords; tests may stop it, and leave it running."""
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    settings = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "true",
        "super.users": "User:ANONYMOUS",
    }
    with kafka_broker(tmp_path_factory.mktemp("guarded"), settings, sasl=True, certificate=certificate) as running:
        yield running


def at(address: str, name: str, *more: str) -> str:
    """Settings of a receiver of texts."""
    parts = [f"brokers: ['{address}']", f"group_id: {name}", "initial_offset: earliest"]
    source = f"logs: {{topics: [{name}], encoding: text}}"
    return f"{{{', '.join([*parts, source, *more])}}}"


def sasl(mechanism: str, password: str = PASSWORD) -> str:
    """How the receiver proves who it is."""
    return f'auth: {{sasl: {{mechanism: {mechanism}, username: {USER}, password: "{password}"}}}}'


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_passwords(guarded: KafkaBroker, name: str, mechanism: str) -> None:
    """A user is let in by each mechanism."""
    guarded.create_topic(name)
    guarded.produce(name, [b"a"])
    async with reading(at(guarded.sasl, name, sasl(mechanism)), LOGS) as bench:
        await until(lambda: bodies(bench.batches) == ["a"])


@pytest.mark.parametrize("listener", ["ssl", "sasl_ssl"])
async def test_tls(guarded: KafkaBroker, name: str, authority: trustme.CA, listener: str) -> None:
    """TLS is spoken with a broker whose certificate the authority has signed, with a password too."""
    guarded.create_topic(name)
    guarded.produce(name, [b"a"])
    with authority.cert_pem.tempfile() as ca:
        parts = [f"tls: {{ca_file: {ca}}}", *([sasl("SCRAM-SHA-512")] if listener == "sasl_ssl" else [])]
        async with reading(at(getattr(guarded, listener), name, *parts), LOGS) as bench:
            await until(lambda: bodies(bench.batches) == ["a"])


async def test_an_unknown_authority(guarded: KafkaBroker, name: str) -> None:
    """A certificate of somebody else is refused, and the status says so."""
    async with reading(at(guarded.ssl, name, "tls: {}"), LOGS) as bench:
        await until(bench.says(Status.RECOVERABLE_ERROR, "certificate"))


async def test_a_wrong_password(guarded: KafkaBroker, name: str) -> None:
    """A wrong password shows, and is not shown itself."""
    async with reading(at(guarded.sasl, name, sasl("SCRAM-SHA-256", "wrong secret")), LOGS) as bench:
        await until(bench.says(Status.RECOVERABLE_ERROR, "see auth::sasl"))
        assert not any("wrong secret" in text for _, text in bench.statuses)


async def test_nobody_there(name: str) -> None:
    """A broker that is not there does not hinder the start; the status names it, and stopping is quick."""
    port = free_port()
    async with reading(at(f"127.0.0.1:{port}", name), LOGS) as bench:
        await until(bench.says(Status.RECOVERABLE_ERROR, f"127.0.0.1:{port}"))


async def test_a_missing_topic(broker: KafkaBroker, name: str) -> None:
    """A topic that is not there is named, and read once it is created."""
    async with reading(from_start(broker, name, f"logs: {{topics: [{name}], encoding: text}}"), LOGS) as bench:
        await until(bench.says(Status.RECOVERABLE_ERROR, f"topic {name}"))
        broker.create_topic(name)
        broker.produce(name, [b"a"])
        await until(lambda: bodies(bench.batches) == ["a"])
        await until(bench.says(Status.OK, ""))


async def test_a_topic_that_is_taken_away(broker: KafkaBroker, name: str) -> None:
    """It is named soon, though nothing comes that could fail, and read from its beginning once it is there again."""
    broker.create_topic(name)
    source = f"logs: {{topics: [{name}], encoding: text}}, autocommit: {{interval: 20ms}}"
    async with reading(from_start(broker, name, source), LOGS) as bench:
        broker.produce(name, [b"a"])
        await until(lambda: broker.committed(name) == {(name, 0): 1})
        broker.delete_topic(name)
        await until(bench.says(Status.RECOVERABLE_ERROR, f"topic {name}"))
        broker.create_topic(name)
        broker.produce(name, [b"b"])
        await until(lambda: bodies(bench.batches) == ["a", "b"])
        await until(bench.says(Status.OK, ""))


async def test_no_topic_matches(broker: KafkaBroker, name: str) -> None:
    """Patterns that match nothing show, too."""
    yaml = from_start(broker, name, f"logs: {{topics: ['^{name}-'], encoding: text}}")
    async with reading(yaml, LOGS) as bench:
        await until(bench.says(Status.RECOVERABLE_ERROR, "no topic matches"))
        broker.create_topic(f"{name}-a")
        broker.produce(f"{name}-a", [b"a"])
        await until(lambda: bodies(bench.batches) == ["a"])
        await until(bench.says(Status.OK, ""))


async def test_a_refused_session(broker: KafkaBroker, name: str) -> None:
    """What the group coordinator objects to shows."""
    broker.create_topic(name)
    more = "session_timeout: 1h, heartbeat_interval: 1s"
    yaml = from_start(broker, name, f"logs: {{topics: [{name}], encoding: text}}, {more}")
    async with reading(yaml, LOGS) as bench:
        await until(bench.says(Status.RECOVERABLE_ERROR, f'group "{name}"'))


@pytest.mark.parametrize(("kind", "text"), [("GROUP", "group_id"), ("TOPIC", "topic")])
async def test_a_missing_permission(guarded: KafkaBroker, name: str, kind: str, text: str) -> None:
    """What an ACL forbids shows, and is read once it is allowed."""
    guarded.create_topic(name)
    guarded.produce(name, [b"a"])
    who = f"User:{USER}", "*"
    rule = AclBinding(
        ResourceType[kind], name, ResourcePatternType.LITERAL, *who, AclOperation.READ, AclPermissionType.DENY
    )
    answered(guarded.admin.create_acls([rule]))
    async with reading(at(guarded.sasl, name, sasl("PLAIN")), LOGS) as bench:
        await until(bench.says(Status.RECOVERABLE_ERROR, text))
        every = AclBindingFilter(
            ResourceType[kind], name, ResourcePatternType.LITERAL, None, None, AclOperation.ANY, AclPermissionType.ANY
        )
        answered(guarded.admin.delete_acls([every]))
        await until(lambda: bodies(bench.batches) == ["a"])
        await until(bench.says(Status.OK, ""))


def answered(answers: dict[Any, Any]) -> None:
    """Wait until the broker has done what it was asked."""
    for answer in answers.values():
        answer.result(30)


async def test_the_same_instance(broker: KafkaBroker, name: str) -> None:
    """Of two members with the same group_instance_id the older one fails, and the status says why."""
    broker.create_topic(name)
    yaml = from_start(broker, name, f"logs: {{topics: [{name}], encoding: text}}, group_instance_id: a")
    async with reading(yaml, LOGS) as first:
        await until(lambda: broker.members(name))
        async with reading(yaml, LOGS):
            await until(first.says(Status.RECOVERABLE_ERROR, "the same group_instance_id"))


async def test_a_restart(guarded: KafkaBroker, name: str) -> None:
    """While the broker is down the status tells; when it is back reading goes on, and nothing is lost or repeated."""
    guarded.create_topic(name)
    guarded.produce(name, [b"a"])
    async with reading(at(guarded.bootstrap, name, "autocommit: {interval: 50ms}"), LOGS) as bench:
        await until(lambda: guarded.committed(name) == {(name, 0): 1})
        guarded.kill()
        await until(bench.says(Status.RECOVERABLE_ERROR, guarded.bootstrap))
        guarded.start()
        guarded.produce(name, [b"b"])
        await until(lambda: bodies(bench.batches) == ["a", "b"])
        await until(bench.says(Status.OK, ""))
        await until(lambda: guarded.committed(name) == {(name, 0): 2})


async def test_stopping_without_a_broker(guarded: KafkaBroker, name: str) -> None:
    """Stopping does not wait for a broker that hangs; reading goes on later."""
    guarded.create_topic(name)
    guarded.produce(name, [b"a"])
    yaml = at(guarded.bootstrap, name, "autocommit: {interval: 1h}")
    async with reading(yaml, LOGS) as bench:
        await until(lambda: bodies(bench.batches) == ["a"])
        guarded.pause()
        began = time.monotonic()
    assert time.monotonic() - began < 9
    guarded.resume()
    guarded.produce(name, [b"b"])
    async with reading(yaml, LOGS) as bench:
        await until(lambda: bodies(bench.batches)[-1:] == ["b"])


async def test_a_missing_file(broker: KafkaBroker, name: str) -> None:
    """A certificate file that is not there is an error of the configuration, at the start."""
    yaml = at(broker.bootstrap, name, "tls: {ca_file: /nowhere/ca.pem}")
    with pytest.raises(ConfigError, match="ca_file"):
        async with reading(yaml, LOGS):
            pass
