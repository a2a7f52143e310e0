"""The page on processing with Python: its recipes do what it says of them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from sluiceway.component import Reason
from sluiceway.config.load import load
from sluiceway.otlp import Batch, Signal
from sluiceway.otlp.view import edit
from sluiceway.processors.python import COMPONENT
from sluiceway.testing import logs, spans
from tests.processors.samples import Bench

PAGE = Path(__file__).parents[3] / "docs" / "python.md"
AROUND = """
receivers: {feed: {component: sluiceway.testing:Feeder}}
exporters: {memory: {component: sluiceway.testing:MemorySink}}
service: {pipelines: {traces: {receivers: [feed], exporters: [memory]}}}
"""


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page's files in a folder."""
    for name, text in re.findall(r"```\w+ file=(\S+)\n(.*?)```", PAGE.read_text(), re.DOTALL):
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("PSEUDONYM_KEY", "0123456789abcdef")
    return tmp_path


@asynccontextmanager
async def recipe(page: Path, name: str, **settings: Any) -> AsyncIterator[tuple[Any, Bench]]:
    """The processor that the page's YAML of this name makes."""
    bench = Bench(frozenset(Signal))
    (entry,) = load([str(page / f"{name}.yaml"), f"yaml:{AROUND}"]).processors.values()
    given = entry.settings.model_dump()
    given["settings"] |= settings
    config = entry.settings.model_copy(update=given)
    async with COMPONENT.create(config, bench.context, bench.sink) as processor:
        yield processor, bench


async def through(page: Path, name: str, *batches: Batch, **settings: Any) -> tuple[list[str], Bench]:
    """What a recipe makes of batches, as text."""
    async with recipe(page, name, **settings) as (processor, bench):
        for batch in batches:
            await processor.consume(batch)
    return [str(batch.proto()) for batch in bench.sink.batches], bench


async def test_first_example(page: Path) -> None:
    """It names the team, and health checks go."""

    def prepare(view: Any) -> None:
        view.spans[0].attributes["http.route"] = "/pay"
        view.spans[1].name = "health"

    (after,), bench = await through(page, "enrich", edit(spans(3), prepare))
    assert after.count('"payments"') == 1
    assert bench.drops == [(1, Reason.FILTERED, True)]


async def test_enrich_from_a_table(page: Path) -> None:
    """A service that is in the table gets its team."""
    after, _ = await through(page, "owners", spans(1, service="cart"), spans(1, service="unknown"))
    assert ['"shop"' in text for text in after] == [True, False]


async def test_drop_by_a_rule(page: Path) -> None:
    """What is less than INFO goes, but for one service."""

    def quieten(view: Any) -> None:
        view.logs[0].severity_number = 5

    batches = [edit(logs(3, service=service), quieten) for service in ("cart", "checkout")]
    _, bench = await through(page, "quiet", *batches)
    assert [batch.items for batch in bench.sink.batches] == [2, 3]


async def test_sample_by_pseudonym(page: Path) -> None:
    """Of a user all or nothing is kept, about one in four, under a token that is always the same."""

    def users(view: Any) -> None:
        for number, span in enumerate(view.spans):
            span.attributes["enduser.id"] = f"user-{number % 200}"

    (after,), bench = await through(page, "sample", edit(spans(400), users))
    tokens = re.findall(r'enduser.pseudonym"\s+value {\s+string_value: "(\w+)"', after)
    assert "user-" not in after
    assert all(tokens.count(token) == 2 for token in tokens)
    assert 30 < len(set(tokens)) < 75
    assert len(tokens) == bench.sink.items


async def test_columns_with_numpy(page: Path) -> None:
    """The slowest are marked, and quick ones without an error go."""

    def durations(view: Any) -> None:
        for number, span in enumerate(view.spans):
            span.end_time = span.start_time + number * 100_000

    after, bench = await through(page, "slow", edit(spans(100), durations), logs(1))
    assert after[0].count('"slow"') == 5
    assert after[0].count('"duration_ms"') == 90
    assert [batch.items for batch in bench.sink.batches] == [90, 1]


async def test_lookup_with_a_cache(page: Path) -> None:
    """Each host is asked about once, answers stay, and a service that is away costs no data."""
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(text="eu-1") if request.path == "/a" else web.Response(status=404)

    def on(host: str) -> Batch:
        def name(view: Any) -> None:
            view.resources[0].attributes["host.name"] = host

        return edit(spans(1), name)

    server = web.Application()
    server.router.add_get("/{host}", answer)
    runner = web.AppRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with recipe(page, "lookup", url=f"http://127.0.0.1:{port}") as (processor, bench):
        for host in ("a", "b", "a", "b"):
            await processor.consume(on(host))
        await runner.cleanup()
        for host in ("a", "c"):
            await processor.consume(on(host))
    zones = ["eu-1" in str(batch.proto()) for batch in bench.sink.batches]
    assert (asked, zones) == (["/a", "/b"], [True, False, True, False, True, False])


def test_the_table_of_what_there_is() -> None:
    """Every name in it is there."""
    from sluiceway.otlp import view

    table = PAGE.read_text().partition("## What there is")[2].partition("Times are")[0]
    names = set(re.findall(r"`([a-z_]+)(?:\(\))?`", table)) - {"batch", "len"}
    known = {name for kind in vars(view).values() if isinstance(kind, type) for name in dir(kind)}
    assert names <= known
