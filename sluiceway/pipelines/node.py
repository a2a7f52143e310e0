"""One component of a running graph, with its life: entered, run, left, each by the same task."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sluiceway.component import Kind, Lifecycle, Status
from sluiceway.errors import StartError
from sluiceway.pipelines.flow import Flow
from sluiceway.pipelines.inlet import Link
from sluiceway.pipelines.status import StatusBoard
from sluiceway.pipelines.watch import Watched, WatchedLink
from sluiceway.telemetry import Scope

__all__ = ["Key", "Node"]

_NO_ROUTES: Mapping[str, Link] = MappingProxyType({})
_log = logging.getLogger("sluiceway.pipelines")


@dataclass(frozen=True, slots=True)
class Key:
    """Which instance a node is.

    An exporter has one instance for each signal, a processor one for each pipeline, a connector one for each pair of
    signals; `place` tells them apart.
    """

    kind: Kind
    id: str
    place: str = ""

    @property
    def component(self) -> str:
        """The name under which health checks show it: `exporter:otlp_http/eu`."""
        return f"{self.kind}:{self.id}"


class Node:
    """A component instance with what it was made from. Nodes of equal key and `made_from` are interchangeable.

    Entering and leaving happen in one task of the node's own, because task groups and timeouts inside a component
    must be left by the task that entered them, and a reload may stop what the start of the process began.
    """

    def __init__(
        self,
        key: Key,
        made_from: Hashable,
        instance: Any,
        scope: Scope,
        statuses: StatusBoard,
        link: Link | None = None,
        routes: Mapping[str, Link] = _NO_ROUTES,
    ) -> None:
        self.key = key
        self.made_from = made_from
        self.instance = instance
        self.link = link
        self.flow = link.out_of if link is not None else Flow()
        self.door: Any = Watched(instance, link.watch) if isinstance(link, WatchedLink) else instance
        """What is to be consumed by: the instance, or what stands before it."""
        self.routes = routes
        for route in routes.values():
            route.out_of = self.flow
        self.scope = scope
        self.statuses = statuses
        self._leave = asyncio.Event()
        self._entered: asyncio.Future[None] | None = None
        self._life: asyncio.Task[None] | None = None

    @property
    def listens(self) -> bool:
        """Whether the component may own something that only one can have, such as a port."""
        return self.key.kind in (Kind.RECEIVER, Kind.EXTENSION)

    @property
    def started(self) -> bool:
        """Whether the node has been started and not yet stopped."""
        return self._life is not None

    async def start(self) -> None:
        """Enter the component; what it raises is raised here, and then it is not running."""
        self.statuses.begin(self.key.component, self.key.place, self.scope)
        self._entered = asyncio.get_running_loop().create_future()
        self._life = asyncio.create_task(self._live(), name=str(self.key))
        try:
            await self._entered
        except asyncio.CancelledError:
            self._life.cancel()
            await asyncio.wait([self._life])
            self._end()
            raise
        except Exception as error:
            self._report(Status.PERMANENT_ERROR, str(error))
            self._end()
            raise StartError(f'failed to start "{self.key.id}" {self.key.kind}: {error}') from error
        self.statuses.started(self.key.component, self.key.place)

    async def stop(self) -> None:
        """Leave the component, which flushes. Cancelling this cancels the flush, and what is left is then dropped."""
        if self._life is None:
            return
        self._report(Status.STOPPING)
        self._leave.set()
        try:
            await asyncio.shield(self._life)
        except asyncio.CancelledError:
            self._life.cancel()
            await asyncio.wait([self._life])
            raise
        except Exception:
            _log.exception("%s failed to stop", self.key.component)
        finally:
            self._end()
            self._report(Status.STOPPED)

    async def _live(self) -> None:
        assert self._entered is not None  # noqa: S101 - set by start
        try:
            if not isinstance(self.instance, Lifecycle):
                self._entered.set_result(None)
                await self._leave.wait()
                return
            async with self.instance:
                self._entered.set_result(None)
                await self._leave.wait()
        except BaseException as error:
            if self._entered.done():
                if not self._leave.is_set():
                    self._report(Status.FATAL_ERROR, str(error))
                raise
            self._entered.set_exception(error)

    def _end(self) -> None:
        self.statuses.end(self.key.component, self.key.place, self.scope)
        self.scope.close()
        self._life = None

    def _report(self, status: Status, message: str = "") -> None:
        self.statuses.record(self.key.component, self.key.place, status, message, self.scope)
