"""Tells probes and people over HTTP whether the collector works, and how each component is.

- The configured `path` answers for the whole: 200 when all is well, 503 before everything has started and while
  draining, 500 when a component has failed for good or has been failing for longer than `recovery_duration`. An
  exporter that loses data has failed for good, until data arrives again; one that retries has not, be it for a wrong
  password.
- `/livez` answers 200 as long as the process works at all, also while draining, so that a probe does not kill it then.
- `/readyz` answers 200 from the start of the last receiver to the beginning of draining, and 503 otherwise.

The body is JSON and lists every component. It holds no telemetry; messages are those that components report. It never
looks at the data, and nothing is lost when it fails.

```yaml
extensions:
  health_check:
    endpoint: localhost:13133
```
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import orjson
from pydantic import Field, field_validator

from sluiceway.component import Component, Context, Kind, Stability, Status, StatusEntry
from sluiceway.config.address import Listener
from sluiceway.config.listen import is_loopback
from sluiceway.config.tls import TlsServer
from sluiceway.config.types import Duration, Section, Settings, format_duration
from sluiceway.telemetry.pages import Page, PageServer

__all__ = ["COMPONENT", "ComponentHealth", "HealthCheck", "HealthCheckConfig", "ResponseBody"]


class ResponseBody(Settings):
    """Fixed texts instead of the JSON body."""

    healthy: str = ""
    """The body when all is well."""
    unhealthy: str = ""
    """The body when it is not."""


class ComponentHealth(Settings):
    """Which states of components make the whole unhealthy. Unlike the Collector's, all do by default."""

    include_permanent_errors: bool = True
    """Whether a component that has failed for good counts."""
    include_recoverable_errors: bool = True
    """Whether a component that has been failing for longer than `recovery_duration` counts."""
    recovery_duration: Duration = Field(default=60.0, ge=0)
    """How long a component may be failing before that counts."""


class HealthCheckConfig(Listener):
    """Settings of `health_check`."""

    endpoint: str = Field(default="localhost:13133", min_length=1)
    """`host:port` to listen on; for the transport `unix` the path of the socket."""
    path: str = "/"
    """Path that answers for the whole."""
    response_body: ResponseBody | None = None
    """Fixed bodies for the answers on `path`."""
    component_health: ComponentHealth = ComponentHealth()
    """Which states of components count."""
    tls: Section[TlsServer] = None
    """TLS of the server; off unless set."""
    check_collector_pipeline: dict[str, Any] | None = None
    """Accepted and ignored, as in the Collector: the states of components say more."""

    @field_validator("path")
    @classmethod
    def _rooted(cls, path: str) -> str:
        if not path.startswith("/"):
            raise ValueError("path must start with /")
        return path


class HealthCheck:
    """Answers probes from the statuses that the runtime keeps."""

    def __init__(self, config: HealthCheckConfig, context: Context) -> None:
        self._config = config
        self._context = context
        self._started = context.clock.now()
        self._server: PageServer | None = None

    @property
    def port(self) -> int:
        """The port that is listened on, also where port 0 was asked for; zero while stopped."""
        return self._server.port if self._server is not None else 0

    async def __aenter__(self) -> Self:
        config, context = self._config, self._context
        self._started = context.clock.now()
        tls = config.tls.ssl_context(("http/1.1",), context.clock, context.logger) if config.tls is not None else None
        server = PageServer(config.endpoint, self.answer, transport=config.transport, tls=tls)
        self._server = await server.__aenter__()
        if not is_loopback(config.endpoint, config.transport):
            context.logger.log(logging.INFO, "Health is shown to other machines", extra={"endpoint": config.endpoint})
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            await server.__aexit__(kind, error, trace)

    def answer(self, target: str) -> Page | None:
        """The page for a request target; None when there is none."""
        path = target.partition("?")[0]
        entries = self._context.statuses()
        if path == self._config.path:
            return self._overall(entries)
        fatal = any(entry.status is Status.FATAL_ERROR for entry in entries.values())
        if path == "/livez":
            return self._page(HTTPStatus.INTERNAL_SERVER_ERROR if fatal else HTTPStatus.OK, entries)
        if path == "/readyz":
            return self._page(HTTPStatus.OK if self._context.ready() else HTTPStatus.SERVICE_UNAVAILABLE, entries)
        return None

    def _overall(self, entries: Mapping[str, StatusEntry]) -> Page:
        status = HTTPStatus.OK
        if not all(map(self._is_healthy, entries.values())):
            status = HTTPStatus.INTERNAL_SERVER_ERROR
        elif not self._context.ready():
            status = HTTPStatus.SERVICE_UNAVAILABLE
        if self._config.response_body is None:
            return self._page(status, entries)
        texts = self._config.response_body
        return Page((texts.healthy if status is HTTPStatus.OK else texts.unhealthy).encode(), status)

    def _is_healthy(self, entry: StatusEntry) -> bool:
        health = self._config.component_health
        match entry.status:
            case Status.FATAL_ERROR:
                return False
            case Status.PERMANENT_ERROR:
                return not health.include_permanent_errors
            case Status.RECOVERABLE_ERROR:
                lasted = self._context.clock.now() - entry.since
                return not health.include_recoverable_errors or lasted <= health.recovery_duration
            case _:
                return True

    def _page(self, status: HTTPStatus, entries: Mapping[str, StatusEntry]) -> Page:
        up = status is HTTPStatus.OK
        body = {
            "status": "Server available" if up else "Server not available",
            "upSince": self._wall(self._started),
            "uptime": format_duration(round(self._context.clock.now() - self._started, 3)),
            "healthy": up,
            "ready": self._context.ready(),
            "components": {name: self._component(entries[name]) for name in sorted(entries)},
        }
        return Page(orjson.dumps(body), status, "application/json")

    def _component(self, entry: StatusEntry) -> dict[str, Any]:
        shown: dict[str, Any] = {"healthy": self._is_healthy(entry), "status": entry.status.value}
        if entry.message:
            shown["error"] = entry.message
        return shown | {"status_time": self._wall(entry.since)}

    def _wall(self, moment: float) -> str:
        clock = self._context.clock
        return datetime.fromtimestamp(clock.time_ns() / 1e9 - clock.now() + moment, UTC).isoformat(timespec="seconds")


COMPONENT = Component(
    type="health_check",
    kind=Kind.EXTENSION,
    config=HealthCheckConfig,
    create=HealthCheck,
    stability=Stability.BETA,
)
