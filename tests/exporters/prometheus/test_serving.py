"""The small server: requests, bounds, concurrency, TLS and proofs of identity."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme

from sluiceway.errors import ConfigError, UnauthenticatedError
from sluiceway.exporters.prometheus.scrape import Edition
from sluiceway.prometheus._page import Page
from sluiceway.prometheus.families import Format
from sluiceway.testing import settle
from tests.exporters.prometheus.bench import PROTOBUF, Shop, families, histogram, number
from tests.prometheus.model import read_page


async def exchange(shop: Shop, text: str, *, more: str = "") -> list[bytes]:
    """What a raw request is answered, up to the end of the connection: the heads and bodies of all answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.exporter.port)
    writer.write(text.replace("\n", "\r\n").encode("latin-1"))
    answers = []
    if more:
        answers.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(more.replace("\n", "\r\n").encode("latin-1"))
    answers.append(await reader.read())
    writer.close()
    return answers


@pytest.mark.parametrize(("request_text", "status"), [
    ("GET /metrics HTTP/1.1\nHost: a\nConnection: close\n\n", 200),
    ("GET / HTTP/1.1\nHost: a\nConnection: close\n\n", 404),
    ("GET /metrics?x=y HTTP/1.0\n\n", 200), ("POST /metrics HTTP/1.1\nHost: a\nConnection: close\n\n", 405),
    ("POST /metrics HTTP/1.1\nHost: a\nContent-Length: 3\n\nabc", 405), ("nonsense\n\n", 400),
    ("GET /metrics HTTP/1.1\nHost: a\nContent-Length: 3\n\nabc", 400), ("PRI * HTTP/2.0\n\nSM\n\n", 400),
    ("GET /metrics HTTP/1.1\nHost: a\nAccept-Encoding: identity;q=0\nConnection: close\n\n", 406),
    ("GET /metrics HTTP/1.1\nHost: a\nUpgrade: h2c\nConnection: Upgrade, close\n\n", 200),
    ("CONNECT a:1 HTTP/1.1\nHost: a\n\n", 400), ("OPTIONS /metrics HTTP/1.1\nConnection: close\n\n", 405),
    ("GET http://x/metrics HTTP/1.1\nHost: a\n\n", 400), ("GET /metrics HTTP/1.1\nTransfer-Encoding: chunked\n\n", 400),
])  # fmt: skip
async def test_requests_are_answered(request_text: str, status: int) -> None:
    """Only GET and HEAD of one path give a page, and nothing that a peer sends breaks the server."""
    async with Shop() as shop:
        (answer,) = await exchange(shop, request_text)
        assert answer.startswith(f"HTTP/1.1 {status} ".encode())


async def test_head_says_what_get_would() -> None:
    """Without a body, on a connection that stays."""
    async with Shop("response_headers: {X-Mine: 'yes'}") as shop:
        await shop.send(number("x", 1))
        end = "GET /metrics HTTP/1.1\nHost: a\nConnection: close\n\n"
        first, second = await exchange(shop, "HEAD /metrics HTTP/1.1\nHost: a\n\n", more=end)
        assert b"Content-Type: text/plain; version=0.0.4" in first
        assert b"X-Mine: yes" in second
        assert second.endswith(b"Connection: close\r\n\r\n# TYPE x gauge\nx 1\n")
        assert b"Content-Length: 19" in first
        assert b"Content-Length: 19" in second


async def test_a_head_without_an_end_is_cut_off() -> None:
    """After ten seconds; and one that is larger than 16 KiB is told so."""
    async with Shop() as shop:
        reader, writer = await asyncio.open_connection("127.0.0.1", shop.exporter.port)
        writer.write(b"GET /metrics HTTP/1.1\r\n")
        while shop.clock.sleepers < 2:  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0)
        await shop.clock.advance(11)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await reader.readexactly(1)
        writer.close()
        (answer,) = await exchange(shop, f"GET /metrics HTTP/1.1\nA: {'a' * 20_000}\n\n")
        assert answer.startswith(b"HTTP/1.1 431 ")


async def ask(shop: Shop, *, compress: bool = False) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Ask for a page, and read its head only."""
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.exporter.port, limit=1024)
    coding = b"Accept-Encoding: gzip\r\n" if compress else b""
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: a\r\n" + coding + b"\r\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    return reader, writer


async def is_whole(reader: asyncio.StreamReader, size: int = 10_000_000) -> bool:
    """Whether an answer of at least so many bytes does not end before."""
    try:
        await asyncio.wait_for(reader.readexactly(size), 20)
    except (ConnectionError, asyncio.IncompleteReadError):
        return False
    return True


def wide(many: int = 5_000) -> Any:
    """Metrics that make a page of ten megabytes, or of 2 KB each."""
    return (number(f"x{at}", 1, {"a": "b" * 2_000}) for at in range(many))


async def test_a_scraper_that_does_not_read_is_disconnected() -> None:
    """After `write_timeout`."""
    async with Shop("write_timeout: 5s") as shop:
        await shop.send(*wide())
        reader, writer = await ask(shop)
        await settle(500)
        await shop.clock.advance(6)
        assert not await is_whole(reader)
        writer.close()


async def test_scrapers_that_do_not_read_delay_nobody() -> None:
    """However many there are, the next scrape has its page at once, and the store can tidy up."""
    async with Shop() as shop:
        await shop.send(*wide())
        slow = [await ask(shop) for _ in range(20)]
        assert len(await shop.samples()) == 5_000
        assert shop.exporter._store.readers == 0
        for _, writer in slow:
            writer.close()


async def test_scrapes_at_once_share_a_page() -> None:
    """All that ask while one is being made get the next one, which is made once and has what came before they asked."""
    async with Shop() as shop:
        await shop.send(*wide(2_000))
        first = asyncio.create_task(shop.get())
        while not shop.exporter._store.readers:  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0)
        await shop.send(number("late", 1))
        edition = Edition(Format.TEXT, utf8=False, gzip=False)
        pages = await asyncio.gather(*(shop.exporter._press.page(edition) for _ in range(50)))
        assert {id(page) for page in pages} == {id(pages[0])}
        assert pages[0][-1].endswith(b"late 1\n")
        await first


async def test_answers_that_are_read_slowly_take_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond it those who read the oldest are cut off; the newest page is read to its end."""
    monkeypatch.setattr("sluiceway.exporters.prometheus.server.MOST_HELD", 25_000_000)
    async with Shop() as shop:
        await shop.send(*wide())
        slow = [await ask(shop) for _ in range(4)]  # of ten megabytes each, of which the newest does not count
        assert [await is_whole(reader) for reader, _ in slow] == [False, True, True, True]
        for _, writer in slow:
            writer.close()


async def test_a_page_too_large_for_memory_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer says so; compressed it may have room."""
    monkeypatch.setattr("sluiceway.exporters.prometheus.SMALLEST_BOUND", 1_000_000)
    monkeypatch.setattr("sluiceway.exporters.prometheus.LARGEST_PAGE", 1_000)
    async with Shop("max_series: 900") as shop:
        await shop.send(*wide(900))
        async with shop.session.get(shop.url, headers={"Accept-Encoding": "identity"}) as answer:
            assert (answer.status, b"ask for gzip" in await answer.read()) == (503, True)
        async with shop.session.get(shop.url, headers={"Accept-Encoding": "gzip"}) as answer:
            assert (answer.status, len(await answer.text()) > 1_800_000) == (200, True)


async def test_scrapes_at_the_same_time_are_whole() -> None:
    """Each has every series once, while points keep coming and other series go."""
    async with Shop("metric_expiration: 30s") as shop:
        stay = [number("x", 0, {"n": str(at)}) for at in range(3_000)]
        await shop.send(*stay)
        await shop.clock.advance(20)

        async def feed() -> None:
            for at in range(20):
                await shop.send(*stay, *(number("y", at, {"n": f"{at}-{n}"}) for n in range(100)))
                await shop.clock.advance(3)

        _, *pages = await asyncio.gather(feed(), *(shop.get() for _ in range(4)), shop.get(PROTOBUF))
        for page in pages[:-1]:
            assert {labels for name, labels in read_page(page) if name == "x"} == {
                (("n", str(at)),) for at in range(3_000)
            }
        assert len(families(pages[-1])["x"].metric) == 3_000
        assert shop.exporter._store.readers == 0


async def test_gzip() -> None:
    """Who accepts gzip gets it, and the same page."""
    async with Shop() as shop:
        await shop.send(*(number("x", at, {"n": str(at)}) for at in range(2_000)))
        headers = {"Accept-Encoding": "gzip", "Accept": ""}
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.get(shop.url, headers=headers) as answer,
        ):
            assert answer.headers["Content-Encoding"] == "gzip"
            packed = await answer.read()
        plain = await shop.get(**{"Accept-Encoding": "identity"})
        assert gzip.decompress(packed) == plain
        assert len(packed) < len(plain) / 3


class Door:
    """Lets in who knows the word."""

    async def authenticate(self, headers: Any) -> None:
        if headers.get("authorization") != ("open",) and headers.get("word") != ("open",):
            raise UnauthenticatedError("no")


async def test_proofs_are_asked_for() -> None:
    """Without a proof nothing is shown, not even which paths there are."""
    async with Shop("auth: {authenticator: door, request_params: [word]}", extensions={"door": Door()}) as shop:
        await shop.send(number("x", 1))
        for url in (shop.url, shop.url.replace("metrics", "other")):
            async with shop.session.get(url) as answer:
                assert (answer.status, await answer.read()) == (401, b"401 unauthorized\n")
        assert await shop.get(Authorization="open") == b"# TYPE x gauge\nx 1\n"
        async with shop.session.get(f"{shop.url}?word=open") as answer:
            assert answer.status == 200


async def test_tls(tmp_path: Path) -> None:
    """With certificates the page is shown over TLS only."""
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost", "127.0.0.1")
    leaf.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    for pem in leaf.cert_chain_pems:
        pem.write_to_path(str(tmp_path / "cert.pem"), append=True)
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    text = f"tls: {{cert_file: {tmp_path}/cert.pem, key_file: {tmp_path}/key.pem}}"
    async with Shop(text) as shop:
        await shop.send(number("x", 1))
        async with shop.session.get(shop.url.replace("http:", "https:"), ssl=trusted) as answer:
            assert await answer.text() == "# TYPE x gauge\nx 1\n"
        with pytest.raises(aiohttp.ClientError):
            await shop.get()


async def test_idle_connections_make_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """When there are too many, the one that waits longest for a request is cut, one for each that comes."""
    monkeypatch.setattr("sluiceway.exporters.prometheus.server.MAX_CONNECTIONS", 3)
    async with Shop() as shop:
        await shop.send(number("x", 1))
        port = shop.exporter.port
        (reader, writer), *idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
        assert await reader.readuntil(b"x 1\n")
        late = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for asker, _ in idle:
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await asker.readexactly(1)
        for asker, sender in ((reader, writer), late[1]):
            sender.write(b"GET /metrics HTTP/1.1\r\n\r\n")
            assert await asker.readuntil(b"x 1\n")
        for _, sender in (*idle, *late, (reader, writer)):
            sender.close()


async def test_what_is_deprecated_is_said() -> None:
    """A warning names what to use instead."""
    async with Shop("add_metric_suffixes: true") as shop:
        assert shop.log == ["add_metric_suffixes is deprecated, use translation_strategy"]


async def test_large_series_come_in_parts() -> None:
    """A part is bounded in bytes, too: other tasks have their turn between histograms of thousands of buckets."""
    async with Shop() as shop:
        bounds = [float(bound) for bound in range(4_000)]
        await shop.send(*(histogram("h", [1] * 4_001, bounds, 1.0, {"n": str(at)}) for at in range(30)))
        page = Page(
            shop.exporter._store,
            shop.exporter._translation.claims,
            Format.TEXT,
            utf8=False,
            timestamps=False,
            limit=0.0,
        )
        parts = []
        while (part := page.slice(500)) is not None:
            parts.append(len(part))
        page.close()
        assert max(parts) < 600_000
        assert len(parts) >= 10


async def test_a_taken_port_is_told() -> None:
    """The error names the endpoint."""
    async with Shop() as shop:
        with pytest.raises(ConfigError, match=f"127.0.0.1:{shop.exporter.port}"):
            await Shop(f"endpoint: '127.0.0.1:{shop.exporter.port}'").exporter.__aenter__()


async def test_what_others_can_reach_is_said() -> None:
    """A warning names what is missing where the endpoint is no loopback address."""
    async with Shop("endpoint: '0.0.0.0:0'") as shop:
        assert "without tls and without auth" in shop.log[0]


async def test_stopping_lets_a_scrape_end() -> None:
    """An answer that is being written is written to its end, and idle connections are closed at once."""
    shop = Shop()
    async with shop:
        await shop.send(*wide())
        await shop.get()  # leaves an idle connection behind
        reader, writer = await ask(shop)
        assert shop.exporter._server._reading
        rest = asyncio.create_task(reader.read())
    assert (await rest).endswith(b'x4999{a="' + b"b" * 2_000 + b'"} 1\n')
    writer.close()
