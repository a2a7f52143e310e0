"""Health as probes see it: the whole, liveness, readiness, and each component."""

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest
import yaml
from aiohttp import ClientSession
from pydantic import ValidationError

from sluiceway.component import Context, Kind, Status, StatusEntry
from sluiceway.errors import PermanentError
from sluiceway.extensions.health_check import COMPONENT
from sluiceway.service import Collector as Whole
from sluiceway.testing import ManualClock, spans
from tests.exporters.backends import HttpBackend


@dataclass
class Collector:
    """What the runtime would tell."""

    clock: ManualClock = field(default_factory=ManualClock)
    statuses: dict[str, StatusEntry] = field(default_factory=dict)
    ready: bool = True

    def report(self, component: str, status: Status, message: str = "") -> None:
        """Note a status now."""
        self.statuses[component] = StatusEntry(status, message, self.clock.now())


@asynccontextmanager
async def running(collector: Collector, text: str = ""):
    """A running extension, as a function from a path to status and body."""
    config = COMPONENT.config.model_validate({"endpoint": "127.0.0.1:0"} | (yaml.safe_load(text) or {}))
    context = Context(
        "health_check", Kind.EXTENSION, clock=collector.clock, statuses=lambda: collector.statuses,
        ready=lambda: collector.ready,
    )  # fmt: skip
    async with COMPONENT.create(config, context) as health:

        async def ask(path: str = "/") -> tuple[int, str]:
            reader, writer = await asyncio.open_connection("127.0.0.1", health.port)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
            writer.close()
            await writer.wait_closed()
            return int(head.split(" ")[1]), body

        yield ask


async def test_all_is_well():
    """200, and the body has the Collector's words, since when, and every component."""
    collector = Collector()
    collector.report("exporter:otlp", Status.OK)
    async with running(collector) as ask:
        await collector.clock.advance(90.5)
        status, body = await ask()
    shown = json.loads(body)
    assert (status, shown["status"], shown["uptime"]) == (200, "Server available", "1m30.5s")
    assert shown["upSince"] == "2023-11-14T22:13:20+00:00"
    assert shown["components"] == {
        "exporter:otlp": {"healthy": True, "status": "StatusOK", "status_time": "2023-11-14T22:13:20+00:00"}
    }


@pytest.mark.parametrize(("path", "status"), [("/", 503), ("/readyz", 503), ("/livez", 200)])
async def test_before_ready_and_while_draining(path, status):
    """The whole and readiness say no, but a liveness probe must not kill what drains."""
    async with running(Collector(ready=False)) as ask:
        found, body = await ask(path)
    assert found == status
    assert json.loads(body)["ready"] is False


@pytest.mark.parametrize(("path", "status"), [("/", 500), ("/readyz", 200), ("/livez", 200)])
async def test_a_component_that_failed_for_good(path, status):
    """The whole is unhealthy and says why; restarting would not help, so probes are left alone."""
    collector = Collector()
    collector.report("exporter:otlp", Status.PERMANENT_ERROR, "401 Unauthorized")
    async with running(collector) as ask:
        found, body = await ask(path + "?verbose")
    assert found == status
    assert json.loads(body)["components"]["exporter:otlp"]["error"] == "401 Unauthorized"


async def test_an_error_counts_once_it_has_lasted():
    """Up to `recovery_duration` a failing exporter is given time, and recovery makes all well again."""
    collector = Collector()
    collector.report("exporter:otlp", Status.RECOVERABLE_ERROR)
    async with running(collector, "component_health: {recovery_duration: 30s}") as ask:
        await collector.clock.advance(30)
        assert (await ask())[0] == 200
        await collector.clock.advance(1)
        assert (await ask())[0] == 500
        collector.report("exporter:otlp", Status.OK)
        assert (await ask())[0] == 200


async def test_errors_can_be_left_out():
    """With both switched off it is as deaf as the Collector's own, but for fatal errors."""
    collector = Collector()
    collector.report("exporter:a", Status.PERMANENT_ERROR)
    collector.report("exporter:b", Status.RECOVERABLE_ERROR)
    text = "component_health: {include_permanent_errors: false, include_recoverable_errors: false}"
    async with running(collector, text) as ask:
        await collector.clock.advance(1000)
        assert (await ask())[0] == 200
        collector.report("exporter:a", Status.FATAL_ERROR)
        assert ((await ask())[0], (await ask("/livez"))[0]) == (500, 500)


async def test_the_path_can_be_set():
    """Only the configured path answers for the whole."""
    async with running(Collector(), "path: /healthz") as ask:
        assert ((await ask("/healthz"))[0], (await ask("/"))[0]) == (200, 404)


async def test_fixed_bodies():
    """`response_body` replaces the JSON."""
    collector = Collector()
    async with running(collector, "response_body: {healthy: good, unhealthy: bad}") as ask:
        assert await ask() == (200, "good")
        collector.ready = False
        assert await ask() == (503, "bad")


@pytest.mark.parametrize(
    ("text", "problem"), [("path: healthz", "path must start with /"), ("endpoint: localhost", "expected host:port")]
)
def test_settings_that_cannot_be(text, problem):
    """Mistakes are found before anything starts."""
    with pytest.raises(ValidationError, match=problem):
        COMPONENT.config.model_validate(yaml.safe_load(text))


async def test_other_machines_are_mentioned(caplog):
    """Listening on all interfaces is said in the log."""
    with caplog.at_level("INFO"):
        async with running(Collector(), "endpoint: 0.0.0.0:0"):
            pass
    assert "Health is shown to other machines" in caplog.text


WHOLE = """
receivers:
  feed: {{component: sluiceway.testing:Feeder}}
exporters:
  otlp_http: {{endpoint: 'http://127.0.0.1:{port}', sending_queue: {{enabled: {queue}}}{more}}}
  memory: {{component: sluiceway.testing:MemorySink}}
extensions:
  health_check: {{endpoint: '127.0.0.1:0'}}
service:
  telemetry: {{metrics: {{level: none}}}}
  extensions: [health_check]
  pipelines:
    traces: {{receivers: [feed], exporters: [otlp_http]}}
    logs: {{receivers: [feed], exporters: [memory]}}
"""


@asynccontextmanager
async def whole(port: int, queue: str = "true", more: str = "", clock: ManualClock | None = None):
    """A collector that exports to a port, with what feeds it, and what asks for its health."""
    text = WHOLE.format(port=port, queue=queue, more=more)
    async with Whole.from_yaml(text, **({"clock": clock} if clock else {})) as collector:
        port = collector.component("extension", "health_check").port
        async with ClientSession() as session:

            async def health():
                async with session.get(f"http://127.0.0.1:{port}/") as answer:
                    return answer.status, (await answer.json())["components"]

            yield collector.component("receiver", "feed"), health


@pytest.mark.parametrize("queue", ["true", "false"])
@pytest.mark.parametrize("status", [400, 401, 404])
async def test_an_exporter_that_fails_for_good_and_recovers(queue, status):
    """A real backend that refuses turns the whole unhealthy, and the first success turns it healthy again."""
    async with HttpBackend(status=status).running() as backend, whole(backend.port, queue) as (feed, health):
        assert (await health())[0] == 200
        with suppress(PermanentError):
            await feed.feed(spans(1))
        await until(health, 500)
        _, components = await health()
        exporter = components["exporter:otlp_http"]
        assert (exporter["healthy"], exporter["status"]) == (False, "StatusPermanentError")
        assert exporter["error"].startswith("exporting failed: ")
        assert components["exporter:memory"]["status"] == components["receiver:feed"]["status"] == "StatusOK"
        backend.status = 200
        await feed.feed(spans(1))
        await until(health, 200)
        assert (await health())[1]["exporter:otlp_http"]["status"] == "StatusOK"


async def test_an_exporter_that_retries_for_too_long():
    """A backend that is away is an error that counts once it has lasted a minute, and not before."""
    clock = ManualClock()
    more = ", retry_on_failure: {initial_interval: 10s, max_elapsed_time: 0s}"
    async with HttpBackend(status=503).running() as backend, whole(backend.port, "true", more, clock) as (feed, health):
        await feed.feed(spans(1))
        await asyncio.wait_for(backend.arrived.wait(), 10)
        async with asyncio.timeout(10):
            while (await health())[1]["exporter:otlp_http"]["status"] != "StatusRecoverableError":  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert (await health())[0] == 200
        await clock.advance(61)
        assert (await health())[0] == 500
        backend.status = 200
        async with asyncio.timeout(10):
            while (await health())[0] != 200:
                await clock.advance(31)
                await asyncio.sleep(0.01)


async def until(health, status):
    """Return once the health is what is waited for."""
    async with asyncio.timeout(10):
        while (await health())[0] != status:  # noqa: ASYNC110 - a page has no event
            await asyncio.sleep(0.01)
