"""Servers that are asked by HTTP in each measurement, all at the same time, each a resource of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from sluiceway.component import Context
from sluiceway.errors import SluicewayError
from sluiceway.otlp.actions import Value
from sluiceway.receivers.ml_model.inference import Inference
from sluiceway.receivers.ml_model.mlflow import Mlflow
from sluiceway.receivers.ml_model.settings import InferenceServer, MlflowSource, WebSource
from sluiceway.receivers.ml_model.web import Web
from sluiceway.scraping import Recorder, Scrape

__all__ = ["Servers"]


class Server(Protocol):
    """What is asked."""

    async def measure(self) -> str:
        """Ask; returns what is wrong with the answer, and raises `OSError` or `ValueError` when there is none."""

    def record(self, recorder: Recorder, now: int) -> None:
        """Record what was answered; nothing when there was no answer."""


class Servers:
    """Servers of one kind. One that hangs costs the others nothing but a wait of at most its `timeout`."""

    def __init__(self, sources: Mapping[str, MlflowSource] | Mapping[str, InferenceServer], context: Context) -> None:
        self._context = context
        self._members: dict[str, tuple[Server, Web, WebSource]] = {}
        for name, source in sources.items():
            if isinstance(source, MlflowSource):
                web = Web(source.tracking_uri, source, context)
                self._members[name] = (Mlflow(source, web, context.clock), web, source)
            else:
                web = Web(source.endpoint, source, context)
                self._members[name] = (Inference(source, web), web, source)
        self.troubles: dict[str, str] = {}
        """What is wrong with each server, by its name; empty texts for those with which nothing is."""

    def open(self) -> None:
        """Read the TLS files; raises `ConfigError`."""
        for _, web, _ in self._members.values():
            web.open()

    async def close(self) -> None:
        """Close all connections."""
        for _, web, _ in self._members.values():
            await web.close()

    async def scrape(self, scrape: Scrape) -> None:
        """Ask all servers, and record what they answer."""
        async with asyncio.TaskGroup() as tasks:
            asked = {name: tasks.create_task(self._ask(name)) for name in self._members}
        for name, (server, web, _) in self._members.items():
            self.troubles[name] = asked[name].result()
            where: dict[str, Value] = {
                "ml.source": name,
                "server.address": web.url.host or "",
                "server.port": web.url.port or 0,
            }
            server.record(scrape.resource(where), scrape.time)

    async def _ask(self, name: str) -> str:
        server, _, source = self._members[name]
        try:
            async with self._context.clock.timeout(source.timeout):
                return await server.measure()
        except TimeoutError as error:
            return str(error) or f"no answer within {source.timeout:g}s"
        except (OSError, ValueError, SluicewayError) as error:
            return str(error) or type(error).__name__
        except Exception as error:
            self._context.logger.debug("a server's answer could not be read", exc_info=error)
            return f"{type(error).__name__}: {error}"
