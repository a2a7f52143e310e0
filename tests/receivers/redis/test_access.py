"""Ways in: passwords, users with few permissions, TLS and sockets, against real servers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from sluiceway.component import Status
from sluiceway.errors import ConfigError
from tests.ports import free_port
from tests.receivers.redis.bench import EVERYTHING, Bench, values
from tests.servers.redis import RedisServer, redis_server

EVERYTHING_ASKED = "streams: ['s*', named], key_groups: {all: '*'}"


async def test_a_password(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The right one lets in, and a wrong one is told without being shown."""
    with redis_server(tmp_path, "--requirepass", "correct-horse") as server, caplog.at_level(logging.DEBUG):
        async with Bench(f"{{endpoint: '{server.endpoint}', password: correct-horse}}") as bench:
            assert await bench.measure()
        async with Bench(f"{{endpoint: '{server.endpoint}', password: wrong-horse}}") as bench:
            assert await bench.measure() == {}
            status, text = bench.status
            assert status is Status.RECOVERABLE_ERROR
            assert "invalid username-password pair" in text
        async with Bench(f"{{endpoint: '{server.endpoint}'}}") as bench:
            await bench.measure()
            assert "Authentication required" in bench.status[1]
    shown = caplog.text + str(caplog.records) + text + repr(bench.settings)
    assert "horse" not in shown.replace(str(tmp_path), "")


async def test_a_user_who_may_only_ask_info(empty: RedisServer) -> None:
    """What INFO says is there; the status names each permission that is missing."""
    empty.call("XADD", "s", "*", "f", "v")
    empty.call("ACL", "SETUSER", "poor", "on", ">secret", "resetkeys", "-@all", "+info")
    yaml = f"{{endpoint: '{empty.endpoint}', username: poor, password: secret, {EVERYTHING_ASKED}}}"
    async with Bench(yaml) as bench:
        found = await bench.measure()
    status, text = bench.status
    assert status is Status.OK
    assert "redis.uptime" in found
    assert "redis.stream.length" not in found
    assert "ACL SETUSER poor +slowlog|get" in text
    assert "ACL SETUSER poor +scan" in text


async def test_what_the_hints_name_is_enough(empty: RedisServer) -> None:
    """A user with the permissions of the hints and of the example sees everything."""
    empty.call("XADD", "s", "*", "f", "v")
    granted = "+info +cluster|info +cluster|shards +slowlog|get +scan +xlen +xinfo|groups +memory|usage %R~*"
    empty.call("ACL", "SETUSER", "otel", "on", ">secret", "resetkeys", "-@all", *granted.split())
    yaml = (
        f"{{endpoint: '{empty.endpoint}', username: otel, password: secret, {EVERYTHING_ASKED}, metrics: {EVERYTHING}}}"
    )
    async with Bench(yaml) as bench:
        found = await bench.measure()
    assert bench.status == (Status.OK, "")
    assert {"redis.stream.length", "redis.key_group.memory"} <= set(found)


async def test_keys_are_counted_though_they_may_not_be_weighed(empty: RedisServer) -> None:
    """And the status goes on saying what is missing."""
    empty.call("SET", "a", "1")
    empty.call("ACL", "SETUSER", "counter", "on", ">secret", "resetkeys", "-@all", "+info", "+scan", "+slowlog|get")
    more = "username: counter, password: secret, key_groups: {all: '*'}"
    on = "metrics: {redis.key_group.memory: {enabled: true}}"
    async with Bench(f"{{endpoint: '{empty.endpoint}', {more}, {on}}}") as bench:
        for _ in range(2):
            found = await bench.measure()
            assert values(found, "redis.key_group.keys", "key_group") == {"all": 1}
            assert "redis.key_group.memory" not in found
            assert "+memory|usage" in bench.status[1]


async def test_a_user_who_may_not_even_ask_info(empty: RedisServer) -> None:
    """There is nothing, and the status says what it takes."""
    empty.call("ACL", "SETUSER", "nobody", "on", ">secret", "-@all")
    async with Bench(f"{{endpoint: '{empty.endpoint}', username: nobody, password: secret}}") as bench:
        assert await bench.measure() == {}
    status, text = bench.status
    assert status is Status.RECOVERABLE_ERROR
    assert "ACL SETUSER nobody +info" in text


async def test_a_unix_socket(server: RedisServer) -> None:
    """Its path is the address of the resource, which has no port."""
    on = "{server.address: {enabled: true}, server.port: {enabled: true}}"
    async with Bench(f"{{endpoint: {server.socket}, transport: unix, resource_attributes: {on}}}") as bench:
        found = await bench.measure()
        assert found["redis.uptime"][0]["resource"] == {
            "server.address": str(server.socket),
            "redis.version": server.info()["redis_version"],
        }
    async with Bench(f"{{endpoint: {server.socket}.not, transport: unix}}") as bench:
        await bench.measure()
        assert bench.status == (Status.RECOVERABLE_ERROR, f"redis: {server.socket}.not: No such file or directory")


class Certificates:
    """An authority, and certificates of it."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.authority = folder / "ca.pem"
        self.certificate, self.key = folder / "cert.pem", folder / "key.pem"
        authority.cert_pem.write_to_path(self.authority)
        issued = authority.issue_cert("localhost", "redis.example")
        issued.private_key_pem.write_to_path(self.key)
        for part in issued.cert_chain_pems:
            part.write_to_path(self.certificate, append=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """For the name localhost, not for 127.0.0.1."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def encrypted(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[tuple[RedisServer, int]]:
    """A server that asks clients for certificates, and its port for TLS."""
    port = free_port()
    options = [
        "--tls-port", str(port), "--tls-cert-file", str(certificates.certificate), "--tls-key-file",
        str(certificates.key), "--tls-ca-cert-file", str(certificates.authority), "--tls-auth-clients", "yes",
    ]  # fmt: skip
    with redis_server(tmp_path_factory.mktemp("tls"), *options) as server:
        yield server, port


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_tls_with_certificates_on_both_sides(
    encrypted: tuple[RedisServer, int], certificates: Certificates, host: str
) -> None:
    """The server must prove its name, which may be given, and we prove ours."""
    c, name = certificates, "" if host == "localhost" else "server_name_override: redis.example,"
    tls = f"{{insecure: false, {name} ca_file: {c.authority}, cert_file: {c.certificate}, key_file: {c.key}}}"
    async with Bench(f"{{endpoint: '{host}:{encrypted[1]}', tls: {tls}}}") as bench:
        assert await bench.measure()
        assert bench.status == (Status.OK, "")


async def test_a_server_that_cannot_prove_its_name(
    encrypted: tuple[RedisServer, int], certificates: Certificates
) -> None:
    """It is not spoken to, and the status says why."""
    tls = f"{{insecure: false, ca_file: {certificates.authority}}}"
    async with Bench(f"{{endpoint: '127.0.0.1:{encrypted[1]}', tls: {tls}}}") as bench:
        assert await bench.measure() == {}
    assert "certificate" in bench.status[1].lower()


async def test_a_file_that_cannot_be_used_is_told_at_the_start() -> None:
    """By the key that names it."""
    bench = Bench("{endpoint: 'localhost:1', tls: {insecure: false, ca_file: /does/not/exist}}")
    with pytest.raises(ConfigError, match="tls::ca_file"):
        await bench.receiver.__aenter__()
