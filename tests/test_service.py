"""The service: start, drain, reload, and the life of a process."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest

from sluiceway.component import Reason, Status
from sluiceway.config.load import load
from sluiceway.errors import ConfigError, RefusedError, RetryableError, StartError
from sluiceway.otlp import Batch
from sluiceway.pipelines.ledger import Drop
from sluiceway.service import Collector
from sluiceway.testing import ManualClock, settle, spans
from tests.exporters.backends import GrpcBackend
from tests.ports import free_port

QUIET = "telemetry: {metrics: {level: none}}"
YAML = f"""
receivers:
  feed: {{component: sluiceway.testing:Feeder}}
processors:
  resource: {{attributes: [{{key: a, value: 1, action: upsert}}]}}
  batch: {{timeout: 10s}}
exporters:
  memory: {{component: sluiceway.testing:MemorySink}}
service:
  {QUIET}
  pipelines:
    traces: {{receivers: [feed], processors: [resource, batch], exporters: [memory]}}
"""


async def test_what_a_receiver_drops_is_counted(tmp_path: Path) -> None:
    """A line that an operator filters is in the ledger and in the metrics, and no pipeline has accepted it."""
    (tmp_path / "a.log").write_text("keep\nlose\nlose\n")
    yaml = f"""
receivers:
  file_log:
    include: [{tmp_path}/a.log]
    start_at: beginning
    operators: [{{type: filter, expr: 'body == "lose"'}}]
exporters:
  memory: {{component: sluiceway.testing:MemorySink}}
service:
  pipelines:
    logs: {{receivers: [file_log], exporters: [memory]}}
"""
    async with Collector.from_yaml(yaml) as collector:
        await until(lambda: collector.component("exporter", "memory").items == 1)
    assert collector.ledger.outside == {Drop("file_log", Reason.FILTERED, True): 2}
    metrics = collector.telemetry.metrics
    assert metrics.read("sluiceway_dropped_items", component="file_log", reason="filtered") == 2
    assert [(b.accepted, b.missing) for b in collector.ledger.balances()] == [(1, 0)]


def metrics_on(port: int) -> str:
    """The telemetry section that serves own metrics on a port."""
    prometheus = f"{{prometheus: {{host: localhost, port: {port}}}}}"
    return f"telemetry: {{metrics: {{readers: [{{pull: {{exporter: {prometheus}}}}}]}}}}"


async def until(condition: Callable[[], bool]) -> None:
    """Let the collector run until the condition holds; the test's own timeout bounds it."""
    while not condition():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0)


def config(text: str) -> object:
    """Load a configuration from its text."""
    return load([f"yaml:{text}"])


async def test_leaving_flushes_what_processors_hold() -> None:
    """What a batch processor holds when the collector is left is delivered, and the ledger balances."""
    async with Collector.from_yaml(YAML, clock=ManualClock()) as collector:
        memory = collector.component("exporter", "memory")
        await collector.component("receiver", "feed").feed(spans(5))
        (balance,) = collector.ledger.balances()
        assert (balance.accepted, balance.held, balance.missing) == (5, 5, 0)
    (balance,) = collector.ledger.balances()
    assert (memory.items, balance.delivered, balance.held, balance.missing) == (5, 5, 0, 0)


async def test_ready_only_between_start_and_drain() -> None:
    """A collector is ready when every component has started, and no longer when draining begins."""
    collector = Collector.from_yaml(YAML)
    states = [collector.ready]
    async with collector:
        states.append(collector.ready)
    assert [*states, collector.ready] == [False, True, False]


async def test_what_cannot_be_flushed_in_time_is_dropped_and_counted() -> None:
    """When the deadline is over, what is still held is dropped with reason `shutdown`."""
    clock = ManualClock()
    collector = Collector.from_yaml(YAML, clock=clock, drain_timeout=3)
    await collector.__aenter__()
    collector.component("exporter", "memory").gate = asyncio.Event()
    await collector.component("receiver", "feed").feed(spans(5))
    leaving = asyncio.create_task(collector.__aexit__(None, None, None))
    await settle()
    await clock.advance(3)
    async with asyncio.timeout(5):
        await leaving
    (balance,) = collector.ledger.balances()
    assert [(drop.reason, items) for drop, items in balance.dropped.items()] == [(Reason.SHUTDOWN, 5)]
    assert balance.missing == 0


async def test_a_component_that_cannot_start_stops_those_that_did() -> None:
    """A taken port is one clear error that names the component, and nothing is left running."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        text = YAML.replace(
            "receivers:\n",
            f"receivers:\n  otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:{taken.getsockname()[1]}'}}}}}}\n",
        ).replace("receivers: [feed]", "receivers: [feed, otlp]")
        collector = Collector.from_yaml(text)
        with pytest.raises(StartError, match='failed to start "otlp" receiver'):
            await collector.__aenter__()
    states = {name: entry.status for name, entry in collector.status().items()}
    assert states["receiver:otlp"] is Status.PERMANENT_ERROR
    assert states["exporter:memory"] is Status.STOPPED


async def test_a_reload_restarts_only_what_changed_and_loses_nothing() -> None:
    """A changed processor is replaced under load; receiver and exporter go on, and every item arrives."""
    async with Collector.from_yaml(YAML) as collector:
        feed, memory = collector.component("receiver", "feed"), collector.component("exporter", "memory")
        for number in range(20):
            await feed.feed(spans(5))
            await collector.reload(config(YAML.replace("value: 1", f"value: {number}")))
        assert collector.component("receiver", "feed") is feed
        assert collector.component("exporter", "memory") is memory
    (balance,) = collector.ledger.balances()
    assert (memory.items, balance.accepted, balance.missing) == (100, 100, 0)


async def test_a_bad_configuration_leaves_the_old_one_running() -> None:
    """What cannot be built is refused before anything is touched."""
    async with Collector.from_yaml(YAML) as collector:
        before = collector.component("processor", "batch")
        with pytest.raises(ConfigError):
            await collector.reload(config(YAML.replace("timeout: 10s", "timeout: soon")))
        assert collector.component("processor", "batch") is before
        await collector.component("receiver", "feed").feed(spans(1))


async def test_a_reload_that_cannot_start_puts_the_old_configuration_back() -> None:
    """When a new receiver finds its port taken, the old receiver serves again on its own port."""
    port = free_port()
    text = YAML.replace("feed: {component: sluiceway.testing:Feeder}", "otlp: {protocols: {http: {endpoint: HERE}}}")
    text = text.replace("receivers: [feed]", "receivers: [otlp]")
    async with Collector.from_yaml(text.replace("HERE", f"'127.0.0.1:{port}'")) as collector:
        with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(StartError):
            await collector.reload(config(text.replace("HERE", f"'127.0.0.1:{taken.getsockname()[1]}'")))
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        await writer.wait_closed()
    assert collector.config.receivers["otlp"].settings.protocols.http.endpoint.endswith(str(port))


async def test_a_removed_pipeline_is_flushed_and_forgotten() -> None:
    """A pipeline that a reload takes away delivers what it holds first."""
    more = YAML.replace(
        "    traces:", "    traces/b: {receivers: [feed], processors: [batch], exporters: [memory]}\n    traces:"
    )
    async with Collector.from_yaml(more) as collector:
        memory = collector.component("exporter", "memory")
        await collector.component("receiver", "feed").feed(spans(5))
        await collector.reload(config(YAML))
        assert memory.items == 5
    assert {b.pipeline: (b.delivered, b.missing) for b in collector.ledger.balances()} == {
        "traces": (5, 0),
        "traces/b": (5, 0),
    }


async def test_an_exporter_that_a_reload_adds_gets_what_comes_after() -> None:
    """A second exporter takes part from the reload on, and the ledger asks nothing older of it."""
    two = YAML.replace("exporters: [memory]", "exporters: [memory, memory/2]").replace(
        "service:", "  memory/2: {component: sluiceway.testing:MemorySink}\nservice:"
    )
    async with Collector.from_yaml(YAML.replace("[resource, batch]", "[resource]")) as collector:
        feed = collector.component("receiver", "feed")
        await feed.feed(spans(5))
        await collector.reload(config(two.replace("[resource, batch]", "[resource]")))
        await feed.feed(spans(2))
    assert [(b.exporter, b.accepted, b.delivered, b.missing) for b in collector.ledger.balances()] == [
        ("memory", 7, 7, 0),
        ("memory/2", 2, 2, 0),
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_and_exits_with_zero(number: signal.Signals) -> None:
    """SIGTERM and SIGINT stop the process after everything was flushed."""
    collector = Collector.from_yaml(YAML)
    running = asyncio.create_task(collector.run())
    async with asyncio.timeout(10):
        await until(lambda: collector.ready)
        memory = collector.component("exporter", "memory")
        await collector.component("receiver", "feed").feed(spans(5))
        os.kill(os.getpid(), number)
        assert await running == 0
    assert memory.items == 5


async def test_a_second_signal_does_not_wait() -> None:
    """A second SIGTERM gives up draining; what is lost is counted, and the exit code says so."""
    collector = Collector.from_yaml(YAML)
    running = asyncio.create_task(collector.run())
    async with asyncio.timeout(10):
        await until(lambda: collector.ready)
        collector.component("exporter", "memory").gate = asyncio.Event()
        await collector.component("receiver", "feed").feed(spans(5))
        os.kill(os.getpid(), signal.SIGTERM)
        await until(lambda: not collector.ready)
        await settle()
        os.kill(os.getpid(), signal.SIGTERM)
        assert await running == 1
    (balance,) = collector.ledger.balances()
    assert sum(balance.dropped.values()) == 5
    assert balance.missing == 0


async def test_sighup_reloads_and_a_bad_file_does_not() -> None:
    """SIGHUP takes over what the sources say now; a mistake in them is logged and changes nothing."""
    texts = iter([YAML.replace("10s", "20s"), YAML.replace("10s", "soon"), YAML.replace("10s", "30s")])
    collector = Collector.from_yaml(YAML)
    running = asyncio.create_task(collector.run(lambda: config(next(texts))))
    seen = []
    async with asyncio.timeout(10):
        await until(lambda: collector.ready)
        for expected in (20, 20, 30):
            await settle()
            os.kill(os.getpid(), signal.SIGHUP)
            await until(lambda wanted=expected: collector.config.processors["batch"].settings.timeout == wanted)
            await settle()
            seen.append(collector.config.processors["batch"].settings.timeout)
        collector.stop()
        assert await running == 0
    assert seen == [20, 20, 30]


async def test_a_changed_file_reloads(tmp_path: Path) -> None:
    """With watched files a reload follows a change of one of them, also of what a symlink leads to."""
    old, new, link = tmp_path / "old.yaml", tmp_path / "new.yaml", tmp_path / "config.yaml"
    old.write_text(YAML)
    new.write_text(YAML.replace("10s", "20s"))
    link.symlink_to(old)
    clock = ManualClock()
    collector = Collector.from_yaml(link, clock=clock)
    running = asyncio.create_task(collector.run(lambda: load([str(link)]), watch=True))
    async with asyncio.timeout(10):
        await until(lambda: collector.ready)
        await clock.advance(2)
        swap = tmp_path / "swap"
        swap.symlink_to(new)
        swap.rename(link)
        await clock.advance(2)
        await until(lambda: collector.config.processors["batch"].settings.timeout == 20)
        collector.stop()
        await running


async def test_a_python_file_is_watched(tmp_path: Path) -> None:
    """Every file of the running configuration is watched, also one that only a reload has brought."""
    file, code = tmp_path / "config.yaml", tmp_path / "mine.py"
    code.write_text("class Mine:\n    size = 1\n    def consume(self, batch): return batch\n")
    file.write_text(YAML)
    clock = ManualClock()
    collector = Collector.from_yaml(file, clock=clock)
    running = asyncio.create_task(collector.run(lambda: load([str(file)]), watch=True))
    async with asyncio.timeout(10):
        await until(lambda: collector.ready)
        await clock.advance(2)
        with_mine = YAML.replace("processors:", "processors:\n  mine: {component: ./mine.py}", 1)
        file.write_text(with_mine.replace("[resource, batch]", "[mine, resource, batch]"))
        await clock.advance(2)
        await until(lambda: code in collector.config.files)
        await clock.advance(2)
        first = collector.config.processors["mine"]
        code.write_text(code.read_text().replace("size = 1", "size = 22"))
        await clock.advance(2)
        await until(lambda: collector.config.processors["mine"] != first)
        collector.stop()
        await running


async def test_a_refusal_reaches_the_receiver() -> None:
    """Without a queue or a batch processor, what the exporter raises is what the receiver is told."""
    async with Collector.from_yaml(YAML.replace("[resource, batch]", "[resource]")) as collector:
        collector.component("exporter", "memory").error = RetryableError("away", retry_after=7)
        with pytest.raises(RetryableError):
            await collector.component("receiver", "feed").feed(spans(1))
        collector.component("exporter", "memory").error = RefusedError("full", 7)
        with pytest.raises(RefusedError):
            await collector.component("receiver", "feed").feed(spans(1))
    (balance,) = collector.ledger.balances()
    assert (balance.accepted, balance.refused) == (0, 2)


async def test_a_changed_metrics_endpoint_is_taken_over_and_counters_go_on() -> None:
    """A reload that moves the endpoint of our own metrics serves the same counters on the new port."""
    ports = free_port(), free_port()
    texts = [YAML.replace(QUIET, metrics_on(port)).replace("[resource, batch]", "[resource]") for port in ports]
    async with Collector.from_yaml(texts[0]) as collector:
        await collector.component("receiver", "feed").feed(spans(5))
        await collector.reload(config(texts[1]))
        connection, writer = await asyncio.open_connection("localhost", ports[1])
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        page = (await connection.read()).decode()
        writer.close()
        await writer.wait_closed()
    assert 'sluiceway_pipeline_accepted_items{otel_signal="traces",pipeline="traces"} 5' in page
    assert 'otelcol_exporter_sent_spans{exporter="memory"} 5' in page


class Together:
    """An exporter that can only be left beside another one."""

    meeting: asyncio.Barrier

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.meeting.wait()

    async def consume(self, batch: Batch) -> None:
        """Take all."""


async def test_exporters_are_left_together(caplog: pytest.LogCaptureFixture) -> None:
    """One that waits for a dead backend takes no time from the others."""
    Together.meeting = asyncio.Barrier(2)
    both = "one: {component: 'tests.test_service:Together'}\n  other: {component: 'tests.test_service:Together'}"
    text = YAML.replace("memory: {component: sluiceway.testing:MemorySink}", both)
    async with Collector.from_yaml(text.replace("exporters: [memory]", "exporters: [one, other]")):
        pass
    assert "did not stop in time" not in caplog.text


async def test_a_failed_start_leaves_gracefully_what_had_started(caplog: pytest.LogCaptureFixture) -> None:
    """Components that had started when another one could not are given the time to stop."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        endpoint = f"'127.0.0.1:{taken.getsockname()[1]}'"
        receiver = f"receivers:\n  otlp: {{protocols: {{http: {{endpoint: {endpoint}}}}}}}\n"
        text = YAML.replace("receivers:\n", receiver).replace("receivers: [feed]", "receivers: [feed, otlp]")
        with pytest.raises(StartError):
            await Collector.from_yaml(text).__aenter__()
    assert "did not stop in time" not in caplog.text


async def test_a_stop_during_a_reload_loses_nothing() -> None:
    """SIGTERM in the middle of a reload waits until the reload has come to its end, and then drains."""
    more = YAML.replace(
        "    traces:", "    traces/b: {receivers: [feed], processors: [batch], exporters: [memory]}\n    traces:"
    )
    collector = Collector.from_yaml(more)
    running = asyncio.create_task(collector.run(lambda: config(YAML)))
    async with asyncio.timeout(10):
        await until(lambda: collector.ready)
        memory = collector.component("exporter", "memory")
        await collector.component("receiver", "feed").feed(spans(5))
        memory.gate = asyncio.Event()
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: memory.calls > 0)
        os.kill(os.getpid(), signal.SIGTERM)
        await settle()
        memory.gate.set()
        assert await running == 0
    assert {b.pipeline: (b.delivered, b.held, b.missing) for b in collector.ledger.balances()} == {
        "traces": (5, 0, 0),
        "traces/b": (5, 0, 0),
    }


async def test_a_second_signal_ends_a_reload_that_is_under_way() -> None:
    """What the reload waits for is given up and counted, as in a stop."""
    more = YAML.replace(
        "    traces:", "    traces/b: {receivers: [feed], processors: [batch], exporters: [memory]}\n    traces:"
    )
    collector = Collector.from_yaml(more)
    running = asyncio.create_task(collector.run(lambda: config(YAML)))
    async with asyncio.timeout(10):
        await until(lambda: collector.ready)
        memory = collector.component("exporter", "memory")
        await collector.component("receiver", "feed").feed(spans(5))
        memory.gate = asyncio.Event()
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: memory.calls > 0)
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)
            await settle()
        assert await running == 1
    balances = [(sum(b.dropped.values()), b.held, b.missing) for b in collector.ledger.balances()]
    assert balances == [(5, 0, 0), (5, 0, 0)]


async def test_sighup_while_draining_does_nothing() -> None:
    """A SIGHUP that comes while the process drains neither kills it nor reloads."""
    collector = Collector.from_yaml(YAML)
    running = asyncio.create_task(collector.run(lambda: config(YAML.replace("10s", "20s"))))
    async with asyncio.timeout(10):
        await until(lambda: collector.ready)
        memory = collector.component("exporter", "memory")
        memory.gate = asyncio.Event()
        await collector.component("receiver", "feed").feed(spans(5))
        os.kill(os.getpid(), signal.SIGTERM)
        await until(lambda: memory.calls > 0)
        os.kill(os.getpid(), signal.SIGHUP)
        await settle()
        memory.gate.set()
        assert await running == 0
    assert memory.items == 5


async def test_a_cancelled_reload_comes_to_its_end() -> None:
    """Cancelling whoever asked for a reload does not leave it half done."""
    async with Collector.from_yaml(YAML) as collector:
        memory = collector.component("exporter", "memory")
        await collector.component("receiver", "feed").feed(spans(5))
        memory.gate = asyncio.Event()
        asking = asyncio.create_task(collector.reload(config(YAML.replace("10s", "20s"))))
        await until(lambda: memory.calls > 0)
        asking.cancel()
        memory.gate.set()
        await until(lambda: collector.config.processors["batch"].settings.timeout == 20)
    assert memory.items == 5


async def test_a_failed_reload_leaves_no_metrics_behind() -> None:
    """The gauges of components that were made for a configuration that did not come to run are gone."""
    name = "otelcol_exporter_queue_capacity"
    queued = YAML.replace(
        "exporters:\n", "exporters:\n  otlp_grpc: {endpoint: 'localhost:1', tls: {insecure: true}}\n"
    ).replace("exporters: [memory]", "exporters: [memory, otlp_grpc]")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        endpoint = f"'127.0.0.1:{taken.getsockname()[1]}'"
        bad = queued.replace("localhost:1'", "localhost:2'").replace(
            "feed: {component: sluiceway.testing:Feeder}",
            f"feed: {{component: sluiceway.testing:Feeder}}\n  otlp: {{protocols: {{http: {{endpoint: {endpoint}}}}}}}",
        )
        bad = bad.replace("receivers: [feed]", "receivers: [feed, otlp]")
        async with Collector.from_yaml(queued) as collector:
            for _ in range(3):
                with pytest.raises(StartError):
                    await collector.reload(config(bad))
            assert collector.telemetry.metrics.read(name) == 1000


async def test_a_reload_whose_metrics_port_is_taken_is_put_back_whole() -> None:
    """When own metrics cannot be shown as the new configuration says, the old one goes on, metrics included."""
    port = free_port()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bad = YAML.replace(QUIET, metrics_on(taken.getsockname()[1])).replace("10s", "20s")
        async with Collector.from_yaml(YAML.replace(QUIET, metrics_on(port))) as collector:
            with pytest.raises(StartError):
                await collector.reload(config(bad))
            assert collector.telemetry.ports == (port,)
            assert collector.config.processors["batch"].settings.timeout == 10
            assert collector.component("processor", "batch") is not None


async def test_a_reload_hands_the_queue_of_a_changed_exporter_to_its_successor() -> None:
    """What waits for a backend that is away survives a reload that changes the exporter, and is delivered."""
    async with GrpcBackend().running() as backend:
        exporter = "otlp_grpc: {{endpoint: '127.0.0.1:{}', tls: {{insecure: true}}, timeout: 100ms}}"
        text = YAML.replace("memory: {component: sluiceway.testing:MemorySink}", exporter.format(free_port()))
        text = text.replace("exporters: [memory]", "exporters: [otlp_grpc]").replace("[resource, batch]", "[resource]")
        async with asyncio.timeout(20), Collector.from_yaml(text) as collector:
            for _ in range(3):
                await collector.component("receiver", "feed").feed(spans(5))
            await collector.reload(config(re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{backend.port}", text)))
            await backend.arrived.wait()
    (balance,) = collector.ledger.balances()
    assert (balance.accepted, balance.delivered, balance.missing) == (15, 15, 0)


async def test_a_reload_does_not_cut_a_request_that_is_under_way() -> None:
    """An exporter without a queue is left when its senders have been answered."""
    async with asyncio.timeout(20), GrpcBackend(gate=asyncio.Event()).running() as backend:
        settings = f"endpoint: '127.0.0.1:{backend.port}', tls: {{insecure: true}}, sending_queue: {{enabled: false}}"
        text = YAML.replace("memory: {component: sluiceway.testing:MemorySink}", f"otlp_grpc: {{{settings}}}")
        text = text.replace("exporters: [memory]", "exporters: [otlp_grpc]").replace("[resource, batch]", "[resource]")
        async with Collector.from_yaml(text) as collector:
            sending = asyncio.create_task(collector.component("receiver", "feed").feed(spans(5)))
            await backend.arrived.wait()
            before = collector.component("exporter", "otlp_grpc")
            reloading = asyncio.create_task(collector.reload(config(text.replace("tls:", "timeout: 9s, tls:"))))
            await until(lambda: collector.component("exporter", "otlp_grpc") is not before)
            backend.gate.set()
            await asyncio.gather(sending, reloading)
    (balance,) = collector.ledger.balances()
    assert (balance.accepted, balance.delivered, balance.missing, len(backend.requests)) == (5, 5, 0, 1)


async def test_what_cannot_be_made_is_a_mistake_at_its_place(tmp_path: Path) -> None:
    """A constructor that raises is a configuration error with its line; a reload into it changes nothing."""
    (tmp_path / "picky.py").write_text(
        "class Picky:\n"
        "    def __init__(self, n: int = 1) -> None:\n"
        "        if n > 1: raise ValueError('n must be 1')\n"
        "    def consume(self, batch): return batch\n"
    )
    file = tmp_path / "collector.yaml"
    text = YAML.replace("batch: {timeout: 10s}", "picky: {component: ./picky.py, n: 1}").replace("batch]", "picky]")
    file.write_text(text)
    async with Collector.from_yaml(file) as collector:
        file.write_text(text.replace("n: 1", "n: 2"))
        with pytest.raises(ConfigError) as caught:
            await collector.reload(load([str(file)]))
        await collector.component("receiver", "feed").feed(spans(1))
    (problem,) = caught.value.problems
    assert (problem.line, problem.path) == (6, "processors::picky")
    assert problem.message == 'failed to create "picky" processor: ValueError: n must be 1'


async def test_a_component_named_twice_in_a_pipeline_is_there_once() -> None:
    """Naming a receiver or an exporter twice does not multiply the data."""
    text = YAML.replace("[feed]", "[feed, feed]").replace("exporters: [memory]", "exporters: [memory, memory]")
    async with Collector.from_yaml(text) as collector:
        memory = collector.component("exporter", "memory")
        await collector.component("receiver", "feed").feed(spans(5))
    assert memory.items == 5
