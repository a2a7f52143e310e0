"""The process's own telemetry, started and stopped: scopes for components, readers of their metrics, spans."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

from sluiceway.clock import Clock, SystemClock
from sluiceway.errors import ConfigError, Problem
from sluiceway.telemetry.metrics import Level, Metrics, Scope
from sluiceway.telemetry.process import observe_process
from sluiceway.telemetry.resource import resource_attributes
from sluiceway.telemetry.tracing import Tracing

if TYPE_CHECKING:
    from sluiceway.config.telemetry import TelemetryConfig
    from sluiceway.config.telemetry_export import IncludeExclude, PrometheusReader
    from sluiceway.telemetry.collection import Collection
    from sluiceway.telemetry.pages import Page, PageServer

__all__ = ["Telemetry"]

_log = logging.getLogger("sluiceway.telemetry")
_PATH = "service::telemetry"
_READERS = f"{_PATH}::metrics::readers"


class Telemetry:
    """Makes scopes, and from `start` to `stop` shows their metrics and sends spans, as `service::telemetry` says.

    With `before` it goes on where another one left off, so that counters survive a change of `service::telemetry`, and
    components that stay have somewhere to send their spans. Making one does no I/O.
    """

    def __init__(self, config: TelemetryConfig, *, clock: Clock | None = None, before: Telemetry | None = None) -> None:
        self.config = config
        self.level = Level[config.metrics.level.upper()]
        self.metrics: Metrics = before.metrics if before is not None else Metrics(self.level, config.metrics.dropped)
        self.instance: str = before.instance if before is not None else str(uuid4())
        self.resource = resource_attributes(config.resource, self.instance)
        self.tracing: Tracing = before.tracing if before is not None else Tracing()
        self._clock = clock or SystemClock()
        self._servers: list[PageServer] = []
        self._stack = AsyncExitStack()

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports of the Prometheus endpoints that are being served."""
        return tuple(server.port for server in self._servers)

    def scope(self) -> Scope:
        """A scope for the metrics of one component."""
        return Scope(self.metrics, self.level, self.tracing if self.config.traces.is_on else None)

    async def start(self) -> None:
        """Begin to show metrics. Raises `ConfigError` when an endpoint that was configured cannot be bound.

        The default endpoint may be busy (notebooks use the same port): that is only a warning.
        """
        self.metrics.level, self.metrics.dropped = self.level, self.config.metrics.dropped
        if self.config.traces.is_on:
            self.tracing.start(self.config.traces, self.resource)
        if self.level is Level.NONE:
            return
        try:
            async with AsyncExitStack() as stack:
                await self._show(stack)
                self._stack = stack.pop_all()
        except BaseException:
            await self.tracing.stop()
            raise

    async def stop(self) -> None:
        """Push a last time, and stop showing metrics and recording spans; `metrics` stays readable.

        Stopping again does nothing.
        """
        self._servers.clear()
        async with asyncio.TaskGroup() as tasks:  # at the same time: each may wait for a backend that hangs
            tasks.create_task(self.tracing.stop())
            await self._stack.aclose()

    async def _show(self, stack: AsyncExitStack) -> None:
        from sluiceway.telemetry.collection import Collection
        from sluiceway.telemetry.push import metric_exporter, push

        process = self.scope()
        stack.callback(process.close)
        observe_process(process)
        collection = Collection(self.metrics, self.resource)
        stack.callback(collection.close)
        pushes = []
        for reader in self.config.metrics.readers:
            if reader.pull is not None:
                await self._serve(stack, collection, reader.pull.exporter.prometheus)
            elif reader.periodic is not None:
                exporter = metric_exporter(reader.periodic.exporter)
                pushes.append(partial(push, collection, exporter, reader.periodic, self._clock))
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        for make in pushes:
            stack.callback(tasks.create_task(make()).cancel)

    async def _serve(self, stack: AsyncExitStack, collection: Collection, reader: PrometheusReader) -> None:
        from sluiceway.telemetry.pages import PageServer

        server = PageServer(reader.listens_on.endpoint, _metrics_page(collection, reader))
        try:
            self._servers.append(await stack.enter_async_context(server))
        except ConfigError as error:
            if "readers" in self.config.metrics.model_fields_set:
                raise ConfigError(Problem(f"own metrics: {error}", _READERS)) from error
            _log.warning("Own metrics are not served: %s. Another port can be set in %s", error, _READERS)


def _metrics_page(collection: Collection, reader: PrometheusReader) -> Callable[[str], Page | None]:
    from sluiceway.telemetry.pages import Page
    from sluiceway.telemetry.prometheus import CONTENT_TYPE, Naming, exposition

    naming = Naming(
        reader.without_scope_info, reader.without_units, reader.without_type_suffix,
        _constant_labels(collection.resource, reader.with_resource_constant_labels),
    )  # fmt: skip

    def respond(target: str) -> Page | None:
        if target.partition("?")[0] != "/metrics":
            return None
        return Page(exposition(collection.collect(), naming), content_type=CONTENT_TYPE)

    return respond


def _constant_labels(resource: Mapping[str, str], chosen: IncludeExclude) -> dict[str, str]:
    return {
        key: value for key, value in resource.items() if _any(key, chosen.included) and not _any(key, chosen.excluded)
    }


def _any(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
