"""A real Apache Kafka broker: one Java process that is broker and controller (KRaft), in a folder of its own.

Its jars lie in the folder that `SLUICEWAY_KAFKA` names; `mvn -f .ci/kafka dependency:copy-dependencies
-DincludeScope=runtime -DoutputDirectory=FOLDER` gathers them there, from the place that is served to `.ci/run` too.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import trustme
from confluent_kafka import (
    Consumer,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)  # fmt: skip
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec
from cryptography.hazmat.primitives import serialization

from tests.ports import free_port
from tests.servers import program

__all__ = ["PASSWORD", "USER", "KafkaBroker", "kafka_broker", "until"]

USER, PASSWORD = "alice", "alice's secret"
"""Who the listeners `sasl` and `sasl_ssl` let in, by PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512."""

PATIENCE = 60.0
"""Seconds that anything here may take."""
_JAVA = ("-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
_CLUSTER = "MkU3OEVBNTcwNTJENDM2Qg"
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "broker.session.timeout.ms": "1000",  # so long it takes to come back after it was killed
    "broker.heartbeat.interval.ms": "200",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "100",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "log.segment.delete.delay.ms": "0",
}


def until(happens: Callable[[], Any], what: str) -> Any:
    """Wait until something holds, and return it."""
    deadline = time.monotonic() + PATIENCE
    while not (found := happens()):
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
    return found


def _jars() -> str:
    folder = os.environ.get("SLUICEWAY_KAFKA")
    if not folder or not any(Path(folder).glob("kafka_*.jar")):
        text = "no Kafka: SLUICEWAY_KAFKA names no folder that has its jars (Maven)"
        pytest.fail(text) if os.environ.get("CI") else pytest.skip(text)
    return f"{folder}/*"


class KafkaBroker:
    """One broker; it can be killed or stopped, and started again on the same ports with its data.

    It always listens without encryption and without a password at `bootstrap`. With a certificate it listens at `ssl`
    too, with `sasl` at `sasl`, with both at `sasl_ssl`. `settings` are more of Kafka's own.
    """

    def __init__(
        self,
        folder: Path,
        settings: dict[str, str] | None = None,
        *,
        sasl: bool = False,
        certificate: trustme.LeafCert | None = None,
        client_ca: trustme.CA | None = None,
    ) -> None:
        self.folder = folder
        names = ["PLAINTEXT", "CONTROLLER"]
        names += ["SASL_PLAINTEXT"] * sasl + ["SSL"] * bool(certificate) + ["SASL_SSL"] * bool(sasl and certificate)
        self._ports = {name: free_port() for name in names}
        self._settings = _SETTINGS | self._listeners() | {"log.dirs": str(folder / "data")}
        self._settings |= _passwords() if sasl else {}
        self._settings |= _certificates(folder, certificate, client_ca) if certificate else {}
        self._settings |= settings or {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """`host:port` without encryption and password."""
        return self._endpoint("PLAINTEXT")

    @property
    def ssl(self) -> str:
        """`host:port` of the listener with TLS."""
        return self._endpoint("SSL")

    @property
    def sasl(self) -> str:
        """`host:port` of the listener that asks for a password."""
        return self._endpoint("SASL_PLAINTEXT")

    @property
    def sasl_ssl(self) -> str:
        """`host:port` of the listener with TLS that asks for a password."""
        return self._endpoint("SASL_SSL")

    @property
    def log(self) -> str:
        """What it has logged."""
        return (self.folder / "log").read_text()

    @cached_property
    def admin(self) -> AdminClient:
        """A client that may do all."""
        return AdminClient(self._client())

    def format(self) -> None:
        """Write the settings and an empty log of metadata, with the users of SCRAM."""
        text = "".join(f"{key}={value}\n" for key, value in self._settings.items())
        (self.folder / "server.properties").write_text(text)
        users = [
            word
            for mechanism in _MECHANISMS[1:]
            for word in ("--add-scram", f'{mechanism}=[name="{USER}",password="{PASSWORD}"]')
        ]
        command = self._java("kafka.tools.StorageTool", "format", "-t", _CLUSTER, "-c", "server.properties", *users)
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        """Start, and wait until it listens everywhere."""
        command = self._java("kafka.Kafka", "server.properties")
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=subprocess.STDOUT)
        until(self._listens, f"{self.bootstrap} does not listen: {self.log[-4000:]}")

    def kill(self) -> None:
        """End the process without a warning."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End the process in an orderly way."""
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """Let it hang: it accepts connections and says nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def create_topic(self, name: str, partitions: int = 1, **settings: str) -> str:
        """Make a topic whose settings are written with `_` for `.`; its name."""
        config = {key.replace("_", "."): value for key, value in settings.items()}
        _wait(self.admin.create_topics([NewTopic(name, partitions, 1, config=config)]))
        until(lambda: len(self.partitions(name)) == partitions, f"{name} is not there")
        return name

    def delete_topic(self, name: str) -> None:
        """Take a topic away."""
        _wait(self.admin.delete_topics([name]))
        until(lambda: not self.partitions(name), f"{name} is still there")

    def partitions(self, topic: str) -> list[int]:
        """The partitions of a topic that have a leader."""
        found = self.admin.list_topics(timeout=PATIENCE).topics.get(topic)
        return [number for number, place in found.partitions.items() if place.leader == 1] if found else []

    def ends(self, topic: str) -> dict[int, int]:
        """The offset that the next message of each partition gets."""
        asked = {TopicPartition(topic, number): OffsetSpec.latest() for number in self.partitions(topic)}
        return {place.partition: answer.result(PATIENCE).offset for place, answer in _asked(self.admin, asked)}

    def produce(
        self,
        topic: str,
        values: Sequence[bytes | None],
        *,
        key: bytes | None = None,
        partition: int = -1,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        """Write messages, and wait until they are written."""
        failures: list[Any] = []
        producer = Producer(self._client() | {"linger.ms": 0, "message.max.bytes": 100_000_000})
        for value in values:
            producer.produce(
                topic, value, key, partition, headers=list(headers),
                on_delivery=lambda error, _: failures.append(error) if error else None,
            )  # fmt: skip
        assert producer.flush(PATIENCE) == 0
        assert not failures, failures[0]

    def messages(self, topic: str) -> list[Message]:
        """All messages of a topic, partition by partition."""
        ends = {number: end for number, end in self.ends(topic).items() if end}
        with_group = self._client() | {"group.id": "tests", "enable.auto.commit": False, "enable.partition.eof": True}
        consumer = Consumer(with_group)
        try:
            consumer.assign([TopicPartition(topic, number, 0) for number in ends])
            return _read(consumer, len(ends))
        finally:
            consumer.close()

    def committed(self, group: str) -> dict[tuple[str, int], int]:
        """The offsets that a consumer group has committed.

        A consumer asks for them: an `AdminClient` of librdkafka 2.16 ends the process if the coordinator is not ready.
        """
        topics = self.admin.list_topics(timeout=PATIENCE).topics
        asked = [TopicPartition(name, number) for name, topic in topics.items() for number in topic.partitions]
        consumer = Consumer(self._client() | {"group.id": group, "enable.auto.commit": False})
        try:
            places = _answer(lambda: consumer.committed(asked, timeout=PATIENCE))
        finally:
            consumer.close()
        return {(place.topic, place.partition): place.offset for place in places if place.offset >= 0}

    def members(self, group: str) -> dict[str, list[int]]:
        """The members of a group that is stable, each with its partitions; empty while it is not."""
        found = _answer(lambda: self.admin.describe_consumer_groups([group])[group].result(PATIENCE / 10))
        if found.state.name != "STABLE":
            return {}
        return {
            member.member_id: sorted(place.partition for place in member.assignment.topic_partitions)
            for member in found.members
        }

    def _client(self) -> dict[str, Any]:
        return {"bootstrap.servers": self.bootstrap, "log_level": 0, "reconnect.backoff.max.ms": 200}

    def _endpoint(self, name: str) -> str:
        return f"127.0.0.1:{self._ports[name]}"

    def _java(self, *arguments: str) -> list[str]:
        java = program("java", "default-jre-headless")
        return [str(java), *_JAVA, "-cp", _jars(), *arguments]

    def _listeners(self) -> dict[str, str]:
        listen = {name: f"{name}://127.0.0.1:{port}" for name, port in self._ports.items()}
        return {
            "listeners": ",".join(listen.values()),
            "advertised.listeners": ",".join(text for name, text in listen.items() if name != "CONTROLLER"),
            "listener.security.protocol.map": ",".join(
                f"{name}:{'PLAINTEXT' if name == 'CONTROLLER' else name}" for name in listen
            ),
            "controller.quorum.voters": f"1@{self._endpoint('CONTROLLER')}",
        }

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"the broker has ended: {self.log[-4000:]}"
        for port in self._ports.values():
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)):
                    return False
        return True

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.send_signal(signal.SIGCONT)
            self._process.wait(PATIENCE)
            self._process = None
        self.__dict__.pop("admin", None)  # one that has lost its broker is slow to find it again


@contextmanager
def kafka_broker(folder: Path, settings: dict[str, str] | None = None, **options: Any) -> Iterator[KafkaBroker]:
    """A broker that runs as long as the block does; see `KafkaBroker` for what it can be told."""
    folder.mkdir(parents=True, exist_ok=True)
    broker = KafkaBroker(folder, settings, **options)
    broker.format()
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


def _passwords() -> dict[str, str]:
    """One user for all mechanisms, on the listeners that ask."""
    package = "org.apache.kafka.common.security"
    plain = f'{package}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
    found = {"sasl.enabled.mechanisms": ",".join(_MECHANISMS)}
    for listener in ("sasl_plaintext", "sasl_ssl"):
        found[f"listener.name.{listener}.plain.sasl.jaas.config"] = plain
        for mechanism in ("scram-sha-256", "scram-sha-512"):
            key = f"listener.name.{listener}.{mechanism}.sasl.jaas.config"
            found[key] = f"{package}.scram.ScramLoginModule required;"
    return found


def _certificates(folder: Path, certificate: trustme.LeafCert, client_ca: trustme.CA | None) -> dict[str, str]:
    """The certificate and its key as Kafka reads them: PEM, the key as PKCS #8."""
    key = serialization.load_pem_private_key(certificate.private_key_pem.bytes(), None)
    blob = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    keys = folder / "keys.pem"
    keys.write_bytes(b"".join([blob, *(each.bytes() for each in certificate.cert_chain_pems)]))
    found = {"ssl.keystore.type": "PEM", "ssl.keystore.location": str(keys)}
    if client_ca is not None:
        client_ca.cert_pem.write_to_path(folder / "clients.pem")
        found |= {
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(folder / "clients.pem"),
            "ssl.client.auth": "required",
        }
    return found


def _asked(admin: AdminClient, asked: dict[TopicPartition, OffsetSpec]) -> list[tuple[TopicPartition, Any]]:
    return list(admin.list_offsets(asked).items()) if asked else []


def _answer(ask: Callable[[], Any]) -> Any:
    """What the coordinator of a group answers, once it is ready to."""

    def answer() -> Any:
        try:
            return ask()
        except TimeoutError:  # asked of a broker that has ended meanwhile
            return None
        except KafkaException as error:
            if "COORDINATOR" not in error.args[0].name():
                raise
            return None

    return until(answer, "the coordinator is not ready")


def _wait(answers: dict[str, Any]) -> None:
    for answer in answers.values():
        answer.result(PATIENCE)


def _read(consumer: Consumer, partitions: int) -> list[Message]:
    """What there is until each partition has told its end."""
    found: list[Message] = []
    deadline = time.monotonic() + PATIENCE
    while partitions:
        assert time.monotonic() < deadline, "a topic has no end"
        for message in consumer.consume(1000, 0.1):
            error = message.error()
            partitions -= error is not None
            if error is None:
                found.append(message)
    return sorted(found, key=lambda each: (each.partition(), each.offset()))
