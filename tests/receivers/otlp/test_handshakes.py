"""TLS handshakes that fail: the client is told by an alert, and we by a count and a line."""

import asyncio
import logging
import ssl
from datetime import UTC, datetime

import pytest
import trustme
import uvloop

from sluiceway.receivers.otlp import handshakes
from sluiceway.receivers.otlp.handshakes import _explain
from sluiceway.telemetry import Metrics, Scope
from sluiceway.testing import ManualClock, MemorySink
from tests.receivers.otlp.senders import post, receiving, spans, until, wired

FAILED = "sluiceway_receiver_failed_handshakes"
LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


@pytest.fixture(scope="module")
def authority():
    """Who issues the certificates of both sides."""
    return trustme.CA()


@pytest.fixture
def text(tmp_path, authority):
    """The settings of a receiver that demands certificates of clients."""
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(tmp_path / "pair.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    tls = f"cert_file: {tmp_path}/pair.pem, key_file: {tmp_path}/pair.pem, client_ca_file: {tmp_path}/ca.pem"
    return f"protocols: {{http: {{endpoint: 'localhost:0', tls: {{{tls}, min_version: '1.3'}}}}}}"


def client(authority, leaf=None) -> ssl.SSLContext:
    """What a client trusts, and the certificate it shows."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if leaf is not None:
        leaf.configure_cert(context)
    return context


async def alert(receiver, context: ssl.SSLContext) -> str:
    """Connect and ask, and return the reason why that failed."""
    try:
        async with wired(receiver, ssl=context, server_hostname="localhost") as wire:
            await wire.send(post(spans(1)))
            await wire.reader.read()
    except ssl.SSLError as error:
        return error.reason
    return ""


@pytest.mark.parametrize("factory", LOOPS)
def test_a_client_is_told_by_an_alert_why_it_is_refused(text, authority, factory):
    """On both event loops; each reason counts by itself, and good clients are served beside bad ones."""
    old = authority.issue_cert("client", not_after=datetime(2020, 1, 1, tzinfo=UTC))
    aged = client(authority)
    aged.maximum_version = ssl.TLSVersion.TLSv1_2
    metrics, sink = Metrics(), MemorySink()

    async def scenario() -> None:
        async with receiving(sink, text, telemetry=Scope(metrics)) as receiver:
            assert await alert(receiver, client(authority)) == "TLSV13_ALERT_CERTIFICATE_REQUIRED"
            assert await alert(receiver, client(authority, trustme.CA().issue_cert("x"))) == "TLSV1_ALERT_UNKNOWN_CA"
            assert await alert(receiver, client(authority, old)) == "SSLV3_ALERT_CERTIFICATE_EXPIRED"
            assert await alert(receiver, aged) == "TLSV1_ALERT_PROTOCOL_VERSION"
            good = client(authority, authority.issue_cert("client"))
            async with wired(receiver, ssl=good, server_hostname="localhost") as wire:
                assert (await wire.ask(post(spans(1)))).status == 200

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(scenario())
    counts = [metrics.read(FAILED, reason=reason) for reason in ("no_certificate", "bad_certificate", "version")]
    assert (counts, sink.items) == ([1, 2, 1], 1)


async def test_a_failed_handshake_is_told_with_peer_and_reason(text, authority, caplog):
    """At once, and then not more often than every ten seconds, with the number of those that failed meanwhile."""
    clock, metrics = ManualClock(), Metrics()
    async with receiving(MemorySink(), text, clock=clock, telemetry=Scope(metrics)) as receiver:
        for number in (1, 2, 3):
            await alert(receiver, client(authority))
            await until(lambda number=number: metrics.read(FAILED, reason="no_certificate") == number)
            await clock.advance(handshakes.INTERVAL if number == 2 else 1)
    first, second = (record for record in caplog.records if record.message == "A TLS handshake failed.")
    assert (first.levelno, first.error) == (logging.WARNING, "the client shows no certificate")
    assert first.peer.startswith(("127.0.0.1:", "::1:"))
    assert (first.failed_handshakes, second.failed_handshakes) == (1, 2)


async def test_plain_text_is_cut_and_counted(text):
    """Who speaks no TLS is closed at once, and who only looks whether the port is open is not in the log."""
    metrics = Metrics()
    async with receiving(MemorySink(), text, telemetry=Scope(metrics)) as receiver:
        async with wired(receiver) as wire:
            await wire.send(post(spans(1)))
            assert await wire.ended() == b""
        async with wired(receiver) as wire:
            wire.writer.write_eof()
            assert await wire.ended() == b""
        await until(lambda: metrics.read(FAILED, reason="closed") == 1)
    assert metrics.read(FAILED, reason="not_tls") == 1


async def test_a_handshake_has_a_deadline(text, monkeypatch):
    """One that never goes on is closed, and one that has been refused too when its client stays."""
    monkeypatch.setattr(handshakes, "LONGEST", 0.05)
    metrics = Metrics()
    async with receiving(MemorySink(), text, telemetry=Scope(metrics)) as receiver, wired(receiver) as wire:
        assert await wire.ended() == b""
        await until(lambda: metrics.read(FAILED, reason="timeout") == 1)


async def test_a_client_that_stays_after_the_alert_is_closed(text, monkeypatch):
    """It has a moment to read it, and what it sends meanwhile is dropped."""
    monkeypatch.setattr(handshakes, "LINGER", 0.05)
    metrics = Metrics()
    hello, unused = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(unused, hello, server_hostname="localhost").do_handshake()
    async with receiving(MemorySink(), text, telemetry=Scope(metrics)) as receiver, wired(receiver) as wire:
        await wire.send(hello.read())
        assert (await wire.reader.readexactly(7))[0] == 21  # an alert
        await wire.send(b"more")
        assert await wire.ended() == b""
        await until(lambda: metrics.read(FAILED, reason="version") == 1)


async def test_a_stop_ends_handshakes_that_are_under_way(text):
    """And closes the port."""
    async with receiving(MemorySink(), text) as receiver:
        async with wired(receiver) as wire:
            await asyncio.sleep(0)
            address = receiver.http_address
            began = asyncio.get_running_loop().time()
            await receiver.__aexit__(None, None, None)
            assert asyncio.get_running_loop().time() - began < handshakes.LONGEST / 2
            assert await wire.ended() == b""
        with pytest.raises(OSError, match=r"Connect call failed|Multiple exceptions"):
            await asyncio.open_connection(*address)


@pytest.mark.parametrize(
    ("error", "reason", "words"),
    [
        (TimeoutError(), "timeout", "not over within"),
        (ConnectionResetError(), "closed", "went away"),
        (ssl.SSLError(1, "x"), "other", ""),
    ],
)
def test_every_error_has_a_reason(error, reason, words):
    """One of a fixed list, so that the metric has few series."""
    found, text = _explain(error)
    assert found == reason
    assert words in text
