"""Certificates that live for a short time: the receiver follows the files, and nothing is lost or comes twice."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from sluiceway.component import Status
from sluiceway.otlp import Signal
from tests.receivers.kafka.bench import Bench, reading, until
from tests.receivers.records import bodies
from tests.servers.kafka import KafkaBroker, kafka_broker

LOGS = frozenset({Signal.LOGS})
LIFE = 5.0
"""Seconds that a short-lived certificate is valid for."""


class Files:
    """The files that a receiver is told of, whose certificate is replaced as by whoever renews it."""

    def __init__(self, folder: Path, authority: trustme.CA) -> None:
        self.own = folder / "own.pem"
        self.authorities = folder / "ca.pem"
        authority.cert_pem.write_to_path(self.authorities)
        self._authority = authority
        self.expires = datetime.now(UTC)
        """The end of the certificate that is there."""

    def renew(self, seconds: float = 3600) -> None:
        """Put a new certificate in the place of the one that is there."""
        self.expires = datetime.now(UTC) + timedelta(seconds=seconds)
        issued = self._authority.issue_cert("client", not_after=self.expires)
        fresh = self.own.with_suffix(".new")
        issued.private_key_and_cert_chain_pem.write_to_path(fresh)
        fresh.replace(self.own)

    def yaml(self, broker: KafkaBroker, name: str) -> str:
        """Settings of a receiver that proves by them who it is."""
        tls = f"ca_file: {self.authorities}, cert_file: {self.own}, key_file: {self.own}, reload_interval: 10ms"
        return (
            f"{{brokers: ['{broker.ssl}'], group_id: {name}, initial_offset: earliest, heartbeat_interval: 200ms, "
            f"logs: {{topics: [{name}], encoding: text}}, autocommit: {{interval: 50ms}}, tls: {{{tls}}}}}"
        )


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Who signs the certificates of the broker and of its clients."""
    return trustme.CA()


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> Iterator[KafkaBroker]:
    """A broker that lets nobody in without a certificate; tests may restart it."""
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    with kafka_broker(tmp_path_factory.mktemp("strict"), certificate=certificate, client_ca=authority) as running:
        yield running


@pytest.fixture
def files(tmp_path: Path, authority: trustme.CA) -> Files:
    """The files of one receiver."""
    return Files(tmp_path, authority)


def renewals(bench: Bench) -> float:
    """How often partitions were given back."""
    return bench.metrics.read("sluiceway_kafka_receiver_rebalanced_partitions", event="revoked")


async def test_a_renewed_certificate_is_taken_over(strict: KafkaBroker, name: str, files: Files) -> None:
    """Before the old one has expired: a broker that asks later is shown the new one, and each message comes once."""
    strict.create_topic(name)
    files.renew(LIFE)
    async with reading(files.yaml(strict, name), LOGS) as bench:
        strict.produce(name, [b"a"])
        await until(lambda: bench.items == 1)
        end = files.expires
        files.renew()
        await until(lambda: renewals(bench) == 1)
        await until(lambda: datetime.now(UTC) > end)
        strict.kill()
        strict.start()
        strict.produce(name, [b"b"])
        await until(lambda: bench.items == 2)
    assert bodies(bench.batches) == ["a", "b"]


async def test_a_certificate_that_was_renewed_too_late(strict: KafkaBroker, name: str, files: Files) -> None:
    """The status says what the broker does not take, and reading goes on where it stood once there is a new one."""
    strict.create_topic(name)
    files.renew(LIFE)
    async with reading(files.yaml(strict, name), LOGS) as bench:
        strict.produce(name, [b"a"])
        await until(lambda: strict.committed(name) == {(name, 0): 1})
        await until(lambda: datetime.now(UTC) > files.expires)
        strict.kill()
        strict.start()
        await until(bench.says(Status.RECOVERABLE_ERROR, "tls::cert_file"))
        strict.produce(name, [b"b"])
        files.renew()
        await until(lambda: bench.items == 2)
        await until(bench.says(Status.OK, ""))
    assert bodies(bench.batches) == ["a", "b"]


async def test_renewals_under_load(strict: KafkaBroker, name: str, files: Files) -> None:
    """Whatever is under way when a consumer gives way to the next is neither lost nor read again."""
    strict.create_topic(name, 4)
    files.renew()
    written = 0
    async with reading(files.yaml(strict, name), LOGS) as bench:
        for round in range(1, 4):
            values = [str(written + number).encode() for number in range(2000)]
            written += len(values)
            await asyncio.to_thread(strict.produce, name, values)
            files.renew()
            await until(lambda round=round: renewals(bench) == 4 * round)
        await until(lambda: bench.items >= written)
    assert sorted(map(int, bodies(bench.batches))) == list(range(written))


async def test_files_that_cannot_be_used_change_nothing(
    strict: KafkaBroker, name: str, files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says so, and the member stays in its group."""
    strict.create_topic(name)
    files.renew()
    async with reading(files.yaml(strict, name), LOGS) as bench:
        strict.produce(name, [b"a"])
        await until(lambda: bench.items == 1)
        files.own.write_text("nonsense")
        await until(lambda: "what was there before stays in force" in caplog.text)
        strict.produce(name, [b"b"])
        await until(lambda: bench.items == 2)
        assert renewals(bench) == 0
    assert "has failed" not in caplog.text
