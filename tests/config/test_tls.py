"""The `tls` sections: what is refused, and real handshakes over loopback."""

import asyncio
import logging
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest
import trustme
from pydantic import ValidationError

from sluiceway.config.tls import TlsClient, TlsServer
from sluiceway.errors import ConfigError
from sluiceway.testing import ManualClock

PAIR = {"cert_file": "c", "key_file": "k"}


@pytest.fixture(scope="module")
def authority():
    """Make an authority for the whole module."""
    return trustme.CA()


def write(folder: Path, authority: trustme.CA, name: str = "localhost") -> dict[str, str]:
    """Issue a certificate and write it, its key and the authority into a folder."""
    leaf = authority.issue_cert(name)
    leaf.private_key_pem.write_to_path(folder / "key.pem")
    (folder / "cert.pem").write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    authority.cert_pem.write_to_path(folder / "ca.pem")
    return {"cert_file": str(folder / "cert.pem"), "key_file": str(folder / "key.pem")}


@asynccontextmanager
async def listening(context: ssl.SSLContext) -> AsyncIterator[int]:
    """Serve one greeting to each connection."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    server = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def greeting(port: int, context: ssl.SSLContext) -> tuple[bytes, ssl.SSLObject]:
    """Connect, and return what came and the connection."""
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
        text = await reader.read()
        connection = writer.get_extra_info("ssl_object")
        writer.close()
        return text, connection


@asynccontextmanager
async def grpc_listening(credentials: grpc.ServerCredentials) -> AsyncIterator[int]:
    """Serve an echo over gRPC."""

    async def echo(request: bytes, _context: object) -> bytes:
        return request

    server = grpc.aio.server()
    method = grpc.unary_unary_rpc_method_handler(echo)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("s", {"m": method}),))
    port = server.add_secure_port("localhost:0", credentials)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


async def grpc_echo(port: int, credentials: grpc.ChannelCredentials, options: tuple = ()) -> bytes:
    """Call the echo."""
    async with grpc.aio.secure_channel(f"localhost:{port}", credentials, options=options) as channel:
        return await channel.unary_unary("/s/m")(b"hello", timeout=5)


@pytest.mark.parametrize(
    ("section", "text"),
    [
        ({}, "TLS configuration must include both certificate and key for server connections"),
        ({"cert_file": "c"}, "TLS configuration must include both certificate and key (CertFile/CertPem and"),
        (PAIR | {"cert_pem": "x"}, "provide either certificate file or PEM, but not both"),
        (PAIR | {"ca_file": "x", "ca_pem": "x"}, "provide either a CA file or the PEM-encoded string, but not both"),
        (PAIR | {"min_version": "1.3", "max_version": "1.2"}, "min_version cannot be greater than max_version"),
        (PAIR | {"cipher_suites": ["x"]}, 'invalid TLS cipher suite: "x"'),
        (PAIR | {"cipher_suites": ["TLS_RSA_WITH_AES_128_CBC_SHA"]}, "invalid TLS cipher suite"),
        (PAIR | {"tpm": {"enabled": True}}, "keys in a TPM are not supported"),
    ],
)
def test_a_wrong_section_is_refused_with_the_collectors_text(section, text):
    """Each rule of the section has its message."""
    with pytest.raises(ValidationError) as caught:
        TlsServer.model_validate(section)
    assert text in str(caught.value)


def test_a_file_that_is_not_there_is_named():
    """A missing file is an error of whoever wrote the configuration, when the context is built."""
    with pytest.raises(ConfigError, match="tls::key_file: cannot read k"):
        TlsServer.model_validate(PAIR).ssl_context()


def test_a_pair_that_does_not_match_is_refused(tmp_path, authority):
    """A certificate with another certificate's key is found at start, also for gRPC."""
    (tmp_path / "other").mkdir()
    pair = write(tmp_path, authority) | {"key_file": write(tmp_path / "other", authority)["key_file"]}
    with pytest.raises(ConfigError, match="cannot be used together"):
        TlsServer.model_validate(pair).grpc_credentials()


@pytest.mark.parametrize(
    ("broken", "text", "says"),
    [
        ("cert", "rubbish", "tls::cert_file: no usable certificate in it: .*cert.pem"),
        ("key", "rubbish", "tls::key_file: no usable private key in it; encrypted keys are not supported: .*key.pem"),
        ("key", "-----BEGIN ENCRYPTED PRIVATE KEY-----", "encrypted keys are not supported: .*key.pem"),
        ("ca", "rubbish", "tls::client_ca_file: no usable certificate in it: .*ca.pem"),
    ],
)
def test_a_file_that_holds_something_else_is_named(tmp_path, authority, broken, text, says):
    """With what is missing in it."""
    server = TlsServer.model_validate(write(tmp_path, authority) | {"client_ca_file": str(tmp_path / "ca.pem")})
    (tmp_path / f"{broken}.pem").write_text(text)
    with pytest.raises(ConfigError, match=says):
        server.ssl_context()


async def test_a_certificate_past_its_time_is_told(tmp_path, authority, caplog):
    """At the start and when it is taken over, once each, whether a server or a client shows it."""
    old = authority.issue_cert("localhost", not_after=datetime(2020, 1, 1, tzinfo=UTC))
    old.private_key_and_cert_chain_pem.write_to_path(tmp_path / "old.pem")
    pair, clock = {"cert_file": str(tmp_path / "old.pem"), "key_file": str(tmp_path / "old.pem")}, ManualClock()
    logger = logging.getLogger("component")
    server = TlsServer.model_validate(pair)
    made = [server.ssl_context, server.grpc_credentials]
    follow = TlsClient.model_validate(pair | {"reload_interval": "1s"}).reloaded_ssl_context
    for number, make in enumerate([*made, lambda **given: follow(**given)()], 1):
        make(clock=clock, logger=logger)
        lines = [record for record in caplog.records if "has expired on 2020-01-01 00:00 UTC" in record.message]
        assert len(lines) == number
    assert {line.name for line in lines} == {"component"}
    current = follow(clock=clock, logger=logger)
    caplog.clear()
    old.private_key_and_cert_chain_pem.write_to_path(tmp_path / "old.pem", append=True)
    await clock.advance(1)
    current()
    assert "has expired" in caplog.text


@pytest.mark.parametrize(
    ("settings", "key", "message"),
    [
        ({"ca_pem": "rubbish"}, "ca_pem", "no usable certificate in it"),
        ({"cert_pem": "rubbish", "key_file": "k"}, "cert_pem", "no usable certificate in it"),
        ({"cert_file": "c", "key_pem": "rubbish"}, "key_pem", "no usable private key in it"),
        ({"min_version": "1.3", "max_version": "1.2"}, "min_version", "min_version cannot be greater than max_version"),
        ({"cipher_suites": ["TLS_NOT"]}, "cipher_suites", 'invalid TLS cipher suite: "TLS_NOT"'),
    ],
)
def test_what_is_wrong_without_a_file_is_refused_with_its_key(settings, key, message):
    """Text that is no PEM, and choices that cannot be, are found when the settings are read."""
    with pytest.raises(ValidationError, match=re.escape(message)) as caught:
        TlsClient.model_validate(settings)
    assert caught.value.errors()[0]["loc"] == (key,)


def test_a_certificate_and_a_key_in_the_text_must_belong_together(authority):
    """A pair of two certificates is refused, a right one is not, and a key with a password never was possible."""
    mine, other = authority.issue_cert("localhost"), authority.issue_cert("localhost")
    pem = {"cert_pem": mine.cert_chain_pems[0].bytes().decode(), "key_pem": mine.private_key_pem.bytes().decode()}
    assert TlsServer.model_validate(pem).ssl_context()
    with pytest.raises(ValidationError, match="cert_pem and key_pem cannot be used together"):
        TlsServer.model_validate(pem | {"key_pem": other.private_key_pem.bytes().decode()})
    with pytest.raises(ValidationError, match="encrypted keys are not supported"):
        TlsServer.model_validate(pem | {"key_pem": pem["key_pem"].replace("BEGIN ", "BEGIN ENCRYPTED ")})


async def test_a_client_trusts_the_given_authority(tmp_path, authority):
    """`ca_file` on one side fits a certificate on the other."""
    server = TlsServer.model_validate(write(tmp_path, authority))
    client = TlsClient.model_validate({"ca_file": str(tmp_path / "ca.pem")})
    async with listening(server.ssl_context()) as port:
        assert (await greeting(port, client.ssl_context()))[0] == b"hello"


async def test_pem_text_serves_as_well_as_files(tmp_path, authority):
    """Certificate, key and authority may stand in the configuration itself."""
    write(tmp_path, authority)
    text = {name: (tmp_path / f"{name}.pem").read_text() for name in ("cert", "key", "ca")}
    server = TlsServer.model_validate({"cert_pem": text["cert"], "key_pem": text["key"]})
    client = TlsClient.model_validate({"ca_pem": text["ca"], "include_system_ca_certs_pool": True})
    async with listening(server.ssl_context()) as port:
        assert (await greeting(port, client.ssl_context()))[0] == b"hello"


async def test_a_client_refuses_a_stranger(tmp_path, authority):
    """Without the authority a client does not trust the server, unless it is told not to verify."""
    server = TlsServer.model_validate(write(tmp_path, authority))
    async with listening(server.ssl_context()) as port:
        with pytest.raises(ssl.SSLError):
            await greeting(port, TlsClient().ssl_context())
        assert (await greeting(port, TlsClient(insecure_skip_verify=True).ssl_context()))[0] == b"hello"


async def test_versions_ciphers_and_curves_are_in_force(tmp_path, authority):
    """`max_version`, `cipher_suites` and a single curve bind the handshake."""
    choice = {
        "max_version": "1.2",
        "cipher_suites": ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"],
        "curve_preferences": ["P384"],
    }
    server = TlsServer.model_validate(write(tmp_path, authority) | choice)
    client = TlsClient.model_validate({"ca_file": str(tmp_path / "ca.pem")})
    async with listening(server.ssl_context()) as port:
        _, connection = await greeting(port, client.ssl_context())
    assert connection.cipher()[:2] == ("ECDHE-ECDSA-AES256-GCM-SHA384", "TLSv1.2")


async def test_a_client_certificate_is_demanded(tmp_path, authority):
    """`client_ca_file` shuts out clients without a certificate, and lets the others in."""
    pair = write(tmp_path, authority)
    server = TlsServer.model_validate(pair | {"client_ca_file": str(tmp_path / "ca.pem")})
    trust = {"ca_file": str(tmp_path / "ca.pem")}
    async with listening(server.ssl_context()) as port:
        with suppress(ssl.SSLError, ConnectionError):  # with TLS 1.3 the client may see no more than an end
            assert (await greeting(port, TlsClient.model_validate(trust).ssl_context()))[0] == b""
        assert (await greeting(port, TlsClient.model_validate(trust | pair).ssl_context()))[0] == b"hello"


async def test_a_changed_certificate_is_taken_over(tmp_path, authority):
    """After `reload_interval` new connections see the new certificate; a broken file leaves the old in force."""
    clock, client = ManualClock(), TlsClient(insecure_skip_verify=True).ssl_context()
    server = TlsServer.model_validate(write(tmp_path, authority) | {"reload_interval": "10s"})
    async with listening(server.ssl_context(clock=clock)) as port:
        seen = [(await greeting(port, client))[1].getpeercert(binary_form=True)]
        write(tmp_path, authority)
        seen.append((await greeting(port, client))[1].getpeercert(binary_form=True))
        await clock.advance(10)
        seen.append((await greeting(port, client))[1].getpeercert(binary_form=True))
        (tmp_path / "key.pem").write_text("broken")
        await clock.advance(10)
        seen.append((await greeting(port, client))[1].getpeercert(binary_form=True))
    assert seen[0] == seen[1] != seen[2] == seen[3]


async def test_grpc_speaks_tls_both_ways(tmp_path, authority):
    """The same sections make gRPC credentials, mTLS included."""
    pair, trust = write(tmp_path, authority), {"ca_file": str(tmp_path / "ca.pem")}
    server = TlsServer.model_validate(pair | {"client_ca_file": str(tmp_path / "ca.pem")})
    async with grpc_listening(server.grpc_credentials()) as port:
        assert await grpc_echo(port, TlsClient.model_validate(pair | trust).grpc_credentials()) == b"hello"
        with pytest.raises(grpc.aio.AioRpcError):
            await grpc_echo(port, TlsClient.model_validate(trust).grpc_credentials())


async def test_grpc_takes_over_a_changed_certificate(tmp_path, authority):
    """A gRPC server gives new connections the new certificate, here one of another authority."""
    server = TlsServer.model_validate(write(tmp_path, authority) | {"reload_interval": "1ns"})
    async with grpc_listening(server.grpc_credentials()) as port:
        write(tmp_path, trustme.CA())
        client = TlsClient.model_validate({"ca_file": str(tmp_path / "ca.pem")})
        assert await grpc_echo(port, client.grpc_credentials()) == b"hello"


async def test_the_servers_name_can_be_another(tmp_path, authority):
    """`server_name_override` is the name that the certificate must have."""
    server = TlsServer.model_validate(write(tmp_path, authority, "collector.example"))
    client = TlsClient.model_validate(
        {"ca_file": str(tmp_path / "ca.pem"), "server_name_override": "collector.example"}
    )
    async with grpc_listening(server.grpc_credentials()) as port:
        assert await grpc_echo(port, client.grpc_credentials(), client.grpc_options) == b"hello"


@pytest.mark.parametrize(
    "section", [{"min_version": "1.3"}, {"cipher_suites": ["TLS_AES_128_GCM_SHA256"]}, {"insecure_skip_verify": True}]
)
def test_what_grpc_cannot_do_is_refused(section):
    """A setting that grpcio would silently ignore is an error instead."""
    with pytest.raises(ConfigError, match="gRPC in Python cannot"):
        TlsClient.model_validate(section).grpc_credentials()


async def test_a_clients_credentials_follow_their_files(tmp_path, authority):
    """Another object tells an exporter that it is time for a new channel."""
    clock = ManualClock()
    client = TlsClient.model_validate(write(tmp_path, authority) | {"reload_interval": "1m"})
    contexts, credentials = client.reloaded_ssl_context(clock), client.reloaded_grpc_credentials(clock)
    before = contexts(), credentials()
    assert (contexts(), credentials()) == before
    write(tmp_path, authority)
    await clock.advance(60)
    assert contexts() is not before[0]
    assert credentials() is not before[1]
