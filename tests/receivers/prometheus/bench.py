"""A receiver built from YAML, and a target whose answer a test sets."""

from __future__ import annotations

import asyncio
import itertools
import logging
import ssl
import textwrap
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Self

import yaml
from aiohttp import web

from sluiceway.component import Context, Kind, Reason, Status
from sluiceway.receivers.prometheus import COMPONENT
from sluiceway.testing import MemorySink, points, settings

__all__ = ["Bench", "Page", "ended", "until", "value"]

PATIENCE = 20.0
"""Seconds that anything may take."""


class Page:
    """A target on loopback: what it answers, and the requests that came."""

    def __init__(self, body: bytes | str = "", content_type: str = "text/plain; version=0.0.4") -> None:
        self.body: bytes | str = body
        self.headers = {"Content-Type": content_type}
        self.status = 200
        self.requests: list[web.Request] = []
        self.handler: Callable[[web.Request], Any] | None = None
        self.endpoint = ""
        self.tls: ssl.SSLContext | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        port = int(self.endpoint.rpartition(":")[2] or 0)
        await web.TCPSite(self._runner, "127.0.0.1", port, ssl_context=self.tls).start()
        self.endpoint = "{}:{}".format(*self._runner.addresses[0])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        if self.handler is not None:
            answer: web.StreamResponse = await self.handler(request)
            return answer
        body = self.body.encode() if isinstance(self.body, str) else self.body
        return web.Response(body=body, status=self.status, headers=self.headers)


class Bench:
    """A running receiver with the scrape configurations of a YAML text, ten scrapes a second where it says nothing."""

    def __init__(self, jobs: str, more: str = "") -> None:
        config = {"global": {"scrape_interval": "100ms"}, "scrape_configs": yaml.safe_load(textwrap.dedent(jobs))}
        entry = {"config": config, **yaml.safe_load(more or "{}")}
        self.sink = MemorySink()
        self.statuses: list[tuple[Status, str]] = []
        self.dropped: list[tuple[int, Reason]] = []
        self.log = logging.getLogger(f"bench.{id(self)}")
        self.records: list[logging.LogRecord] = []
        handler = logging.Handler()
        handler.emit = self.records.append  # type: ignore[method-assign]
        self.log.addHandler(handler)
        self.log.propagate = False
        self.log.setLevel(logging.INFO)
        context = Context(
            "prometheus", Kind.RECEIVER, report=lambda status, text="": self.statuses.append((status, text)),
            logger=self.log, drop=lambda items, reason, **_: self.dropped.append((items, reason)),
        )  # fmt: skip
        chosen = settings(COMPONENT, yaml.safe_dump({"receivers": {"prometheus": entry}}))
        self.receiver = COMPONENT.create(chosen, context, self.sink)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.receiver)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def warnings(self) -> list[str]:
        """What was logged as a warning."""
        return [record.error for record in self.records if record.levelno == logging.WARNING]  # type: ignore[attr-defined]

    async def next(self, holds: Callable[[dict[str, Any]], Any] | None = None) -> dict[str, Any]:
        """The points of the next batch of which something holds; else of the next scrape that was answered in time."""
        holds = holds or _was_in_time
        deadline = asyncio.get_running_loop().time() + PATIENCE
        for index in itertools.count(len(self.sink.batches)):
            await until(partial(self._has, index))
            found = points([self.sink.batches[index]])
            if holds(found):
                return found
            assert asyncio.get_running_loop().time() < deadline, (self.statuses[-1:], found.keys())
        raise AssertionError

    def _has(self, index: int) -> bool:
        return len(self.sink.batches) > index


def _was_in_time(found: dict[str, Any]) -> bool:
    """Whether a scrape did not fail for want of time: a machine that is busy needs more than 100 ms now and then."""
    ups = [point["value"] for point in found.get("up", ())]
    seconds = [point["value"] for point in found.get("scrape_duration_seconds", ())]
    return bool(found) and not any(not up and time >= 0.1 for up, time in zip(ups, seconds, strict=False))


async def until(holds: Callable[[], Any]) -> Any:
    """Wait until something holds, and return it."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not (found := holds()):
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.01)
    return found


def value(found: dict[str, Any], name: str, **attributes: str) -> float | None:
    """The value of the one point with these attributes, None where it has none or there is none."""
    values = [p["value"] for p in found.get(name, ()) if attributes.items() <= p["attributes"].items()]
    assert len(values) < 2, (name, found[name])
    return values[0] if values else None


def ended(found: dict[str, Any], name: str) -> bool:
    """Whether all points of a metric say that their series has ended."""
    return bool(found.get(name)) and all(p["point"].flags == 1 for p in found[name])
