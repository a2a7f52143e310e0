"""The service: load, build, run, reload, drain.

`Collector` is a whole Sluiceway inside a program or a test::

    async with Collector.from_yaml(text) as collector:
        ...

and `await collector.run()` is the life of the process that the command line starts.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sluiceway.component import Clock, Kind, StatusEntry, SystemClock
from sluiceway.config.load import load
from sluiceway.config.model import Config
from sluiceway.errors import ConfigError, SluicewayError, StartError
from sluiceway.otlp import repaired_texts
from sluiceway.pipelines.deadline import Deadline
from sluiceway.pipelines.graph import Graph, Surroundings, build
from sluiceway.pipelines.ledger import Ledger
from sluiceway.pipelines.node import Node
from sluiceway.pipelines.status import StatusBoard
from sluiceway.pipelines.wrap import Wrapped
from sluiceway.telemetry import Telemetry

__all__ = ["DRAIN_TIMEOUT", "Collector"]

_log = logging.getLogger("sluiceway.service")

DRAIN_TIMEOUT = 30.0
"""Seconds that stopping may take before what is still held is dropped, and counted as dropped."""

WATCH_INTERVAL = 1.0
"""Seconds between two looks at watched files. Polling follows the symlink swaps of mounted ConfigMaps, and NFS."""


class Collector:
    """One running configuration. Enter it to start, leave it to drain and stop.

    Constructing builds the whole graph and does no I/O; it raises `ConfigError` for what cannot be built, so it is
    also how a configuration is validated. Leaving stops receivers first and flushes everything downstream within
    `drain_timeout` seconds.
    """

    def __init__(self, config: Config, *, clock: Clock | None = None, drain_timeout: float = DRAIN_TIMEOUT) -> None:
        self.clock = clock or SystemClock()
        self.config = config
        self.drain_timeout = drain_timeout
        self.telemetry = Telemetry(config.telemetry, clock=self.clock)
        own = self.telemetry.scope()
        text = "Strings that were not valid UTF-8 and were repaired on arrival, by the whole process."
        own.counter("sluiceway_repaired_strings", repaired_texts, "{string}", text)
        self.ledger = Ledger(own)
        self.statuses = StatusBoard(self.clock, self._fail)
        self._ready = False
        self._around = Surroundings(self.clock, self.telemetry, self.ledger, self.statuses, lambda: self._ready)
        self._graph = build(config, self._around)
        _warn(self._graph)
        self._stopping = asyncio.Event()
        self._failure = ""
        self._changing = asyncio.Lock()
        self._change: asyncio.Task[None] | None = None
        self._switched = ""
        self._deadline = Deadline(self.clock)

    @classmethod
    def from_yaml(cls, *texts: str | Path, sets: Sequence[str] = (), **options: Any) -> Self:
        """Make a collector of YAML texts, or of files where a `Path` is given, merged in order."""
        sources = [str(text) if isinstance(text, Path) else f"yaml:{text}" for text in texts]
        return cls(load(sources, sets), **options)

    @property
    def ready(self) -> bool:
        """Whether every component has started and draining has not begun."""
        return self._ready

    def component(self, kind: Kind | str, name: str) -> Any:
        """The running instance of a component, of a plain class the object itself. Raises `LookupError`."""
        instance = self._graph.node(Kind(kind), name).instance
        instance = instance.exporter if isinstance(instance, Wrapped) else instance
        return getattr(instance, "plain", instance)

    def status(self) -> Mapping[str, StatusEntry]:
        """The state of every component, by `<kind>:<id>`."""
        return self.statuses.view()

    def stop(self) -> None:
        """Make `run` return: drain and stop. A second call gives up draining; what is still held is then dropped."""
        if self._stopping.is_set():
            self._deadline.expire()
        self._stopping.set()

    async def __aenter__(self) -> Self:
        await self.telemetry.start()
        self._graph.connect()
        try:
            await self._start(self._graph.nodes)
        except BaseException:
            self._deadline.start(self.drain_timeout)
            await self._leave(reversed(self._graph.nodes))
            await self.telemetry.stop()
            raise
        self._ready = True
        _log.info("Everything is ready. Begin running and processing data.")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ready = False
        _log.info("Starting shutdown...")
        self._deadline.start(self.drain_timeout)
        async with self._changing:
            receivers, others = _receivers_apart(self._graph.nodes)
            for node in others:
                if isinstance(node.instance, Wrapped):
                    node.instance.hasten()
            await self._leave(reversed(receivers))
            for inlet in self._graph.inlets.values():
                await self._deadline.bound(inlet.drained(), "what is under way")
            await self._leave(reversed(others))
            _tell_the_end(self._graph)
        await self.telemetry.stop()
        _log.info("Shutdown complete.")

    async def run(self, reread: Callable[[], Config] | None = None, *, watch: bool = False) -> int:
        """Start, run until SIGTERM, SIGINT or `stop`, drain, and return the exit code of the process.

        SIGHUP reloads the configuration that `reread` gives, and with `watch` so does a change of a file that the
        running one was read from. A second SIGTERM or SIGINT gives up draining.
        """
        wake = asyncio.Event()
        actions: dict[signal.Signals, Callable[[], None]] = {signal.SIGTERM: self.stop, signal.SIGINT: self.stop}
        if reread is not None:
            actions[signal.SIGHUP] = wake.set
        with _signals(actions):
            async with self, asyncio.TaskGroup() as tasks:
                following = []
                if watch:
                    following.append(tasks.create_task(_watch(lambda: self.config.files, self.clock, wake)))
                if reread is not None:
                    following.append(tasks.create_task(self._follow(wake, reread)))
                await self._stopping.wait()
                async with self._changing:  # a reload that is under way comes to its end first
                    for task in following:
                        task.cancel()
        if self._failure:
            _log.error("Stopped because a component failed: %s", self._failure)
        return 1 if self._failure or self._deadline.given_up else 0

    async def reload(self, config: Config) -> None:
        """Go over to another configuration, restarting only what changed.

        The new graph is built before anything is touched, so a `ConfigError` leaves all as it was. When a changed
        component does not start (its port is taken, say) the old configuration is put back and the error raised.
        Cancelling this does not interrupt a change that has begun.
        """
        self._change = asyncio.get_running_loop().create_task(self._reload(config))
        await asyncio.shield(self._change)

    async def _reload(self, config: Config) -> None:
        async with self._changing:
            telemetry = self._telemetry_for(config)
            around = replace(self._around, telemetry=telemetry)
            graph = build(config, around, self._graph)
            _warn(graph)
            running = self._graph
            try:
                await self._show_telemetry(telemetry)
                await self._switch(graph)
            except SluicewayError:
                await self._put_back(running, graph)
                raise
            self.config, self._around = config, around
            _log.info("Configuration reloaded: %s.", self._switched)

    async def _put_back(self, running: Graph, given_up: Graph) -> None:
        """Return from a reload that failed half-way to the configuration before."""
        for node in given_up.nodes:
            if not node.started:
                node.scope.close()
        started = [node for node in {*running.nodes, *given_up.nodes} if node.started]
        self._graph = Graph(started, running.inlets, running.shared, running.kept)
        await self._switch(build(self.config, self._around, self._graph))
        await self._show_telemetry(self._telemetry_for(self.config))

    def _telemetry_for(self, config: Config) -> Telemetry:
        """The telemetry that is there if the configuration asks for the same, else one that goes on where it stops."""
        if config.telemetry == self.telemetry.config:
            return self.telemetry
        return Telemetry(config.telemetry, clock=self.clock, before=self.telemetry)

    async def _show_telemetry(self, telemetry: Telemetry) -> None:
        """Go over to other settings of own telemetry. Raises `StartError`, and then nothing is shown."""
        if telemetry is self.telemetry:
            return
        if telemetry.config.logs != self.telemetry.config.logs:
            _log.warning("A change of service::telemetry::logs takes effect with the next start.")
        await self.telemetry.stop()
        self.telemetry = telemetry
        try:
            await telemetry.start()
        except ConfigError as error:
            raise StartError(str(error)) from error

    async def _switch(self, graph: Graph) -> None:
        """Replace the running graph: what listens on a port stops before its successor starts, all else after."""
        running = self._graph
        self._deadline.start(self.drain_timeout)
        gone = [node for node in reversed(running.nodes) if node not in graph.nodes and node.started]
        fresh = [node for node in graph.nodes if not node.started]
        await self._leave(node for node in gone if node.listens)
        receivers, others = _receivers_apart(fresh)
        await self._start(others)
        graph.connect()
        self._graph = graph
        await self._start(receivers)
        for node in gone:
            _bequeath(node, graph)
        await self._leave(node for node in gone if not node.listens)
        _tell_the_end(running)
        _tell_abandoned(gone)
        for node in gone:
            for pipeline in self.ledger.pipelines.values():
                pipeline.holders.pop(node, None)
            if all(node.key != kept.key for kept in graph.nodes):
                self.statuses.forget(node.key.component, node.key.place)
        self._switched = f"{len(fresh)} components started, {len(gone)} stopped"

    async def _follow(self, wake: asyncio.Event, reread: Callable[[], Config]) -> None:
        while True:
            await wake.wait()
            wake.clear()
            try:
                await self.reload(await asyncio.to_thread(reread))  # which may have to wait for a web server
            except ConfigError as error:
                _log.error("Configuration not reloaded, the old one goes on: %s", error)
            except SluicewayError as error:
                _log.error("Configuration not reloaded, the old one was put back: %s", error)

    async def _start(self, nodes: Iterable[Node]) -> None:
        for node in nodes:
            await node.start()

    async def _leave(self, nodes: Iterable[Node]) -> None:
        """Stop components one after the other, but exporters together: a dead backend costs the others no time."""
        for _, neighbours in groupby(nodes, lambda node: node.key if node.key.kind is not Kind.EXPORTER else None):
            async with asyncio.TaskGroup() as tasks:
                for node in neighbours:
                    tasks.create_task(self._deadline.bound(node.stop(), node.key.component))

    def _fail(self, message: str) -> None:
        self._failure = message
        self._stopping.set()


def _warn(graph: Graph) -> None:
    for problem in graph.warnings:
        _log.warning("%s", problem)


def _tell_the_end(graph: Graph) -> None:
    for tell in graph.at_the_end:
        tell()


def _tell_abandoned(gone: Iterable[Node]) -> None:
    """Warn of queues on disk whose exporters a reload has taken away."""
    for node in gone:
        queue = node.instance.queue if isinstance(node.instance, Wrapped) else None
        if queue is not None and queue.abandoned:
            text = "%s (%s) leaves %d items on disk that no exporter has now: see `sluiceway queue list`"
            _log.warning(text, node.key.component, node.key.place, queue.abandoned)


def _bequeath(node: Node, graph: Graph) -> None:
    """Have what an exporter's queue still holds go to the exporter that takes its place."""
    successor = next((other.instance for other in graph.nodes if other.key == node.key), None)
    if isinstance(node.instance, Wrapped) and isinstance(successor, Wrapped) and node.instance.queue is not None:
        node.instance.queue.heir = successor.queue


def _receivers_apart(nodes: Iterable[Node]) -> tuple[list[Node], list[Node]]:
    receivers: list[Node] = []
    others: list[Node] = []
    for node in nodes:
        (receivers if node.key.kind is Kind.RECEIVER else others).append(node)
    return receivers, others


@contextmanager
def _signals(actions: Mapping[signal.Signals, Callable[[], None]]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number, action in actions.items():
        loop.add_signal_handler(number, action)
    try:
        yield
    finally:
        for number in actions:
            loop.remove_signal_handler(number)


async def _watch(files: Callable[[], Iterable[Path]], clock: Clock, changed: asyncio.Event) -> None:
    """Set the event whenever one of the files has become another; which ones there are may change, too."""
    seen: dict[Path, tuple[int, int, int] | None] = {}
    while True:
        now = {file: _version(file) for file in files()}
        if None not in now.values():
            if any(seen.get(file, version) != version for file, version in now.items()):
                changed.set()
            seen = now
        await clock.sleep(WATCH_INTERVAL)


def _version(file: Path) -> tuple[int, int, int] | None:
    """What tells one content of a file from another; None while there is no file, as in the middle of a swap."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size
