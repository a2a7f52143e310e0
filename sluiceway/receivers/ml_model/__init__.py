"""Measures what served models do: how good their predictions are once it is known what was right, and what drifts.

Predictions and labels come from `files` (JSON lines that grow, and Parquet) and `sql` (a query on PostgreSQL with a
column that always grows), each record with columns whose names are a contract that `columns` can change:
`prediction_id`, `timestamp`, `model_name`, `model_version`, `prediction`, `score` or `probability_<class>`, `latency`
in seconds, `error`, `label`, and `feature_<name>`. Members of objects are columns as well, `features.age`. Labels may
come late and in any order; they are joined with their predictions by `prediction_id`. From an `mlflow` server come
runs with their latest metrics and registered models, and from `inference_servers` (Triton, vLLM, TorchServe, KServe)
their own metrics under names that are the same for all. In pipelines for logs, drift that begins or ends is told as
`ml.drift`, and each change of a run's state as `ml.mlflow.run`, once.

Files are followed when they are renamed or emptied. A source that is away, or lacks a column that is needed, is named
in the status with what is there instead, and leaves the others working; records that break the contract are counted in
`ml.records.rejected`. It never writes to a file, a database or a server, and never sends
a feature's values on unless it is one of the `segments`.

What can be lost: predictions that wait for their label and the window are in memory and lost when the receiver ends,
references too unless `storage` is set, and how far files and queries were read: `start_at` and `start` say where to
begin again. So are lines of a file that is emptied or deleted before they were read (`poll_interval`), and rows that
become visible after others with a larger `cursor`. Models, features, segments, runs and series have limits, beyond
which nothing is told.

```yaml
receivers:
  ml_model:
    files:
      predictions: {include: [/var/log/churn/predictions*.jsonl]}
      labels: {include: [/var/log/churn/labels*.jsonl], records: ground_truth}
```
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from sluiceway.component import Component, Consumer, Context, Kind
from sluiceway.extras import require
from sluiceway.ml import EngineSettings, make_engine
from sluiceway.otlp import Signal
from sluiceway.parts import Parts
from sluiceway.receivers.ml_model.metrics import METRICS, RESOURCE
from sluiceway.receivers.ml_model.settings import (
    FileSource,
    GivenReference,
    InferenceServer,
    MlflowSource,
    SqlSource,
    is_parquet,
)
from sluiceway.scraping import (
    Declares,
    MetricSettings,
    ResourceSettings,
    Scrape,
    Scraper,
    ScrapeSettings,
    Scraping,
)

if TYPE_CHECKING:
    from sluiceway.receivers.ml_model.servers import Servers
    from sluiceway.receivers.ml_model.sources import Sources

__all__ = ["COMPONENT", "MlModelReceiver", "MlModelSettings"]


class MlModelSettings(EngineSettings, ScrapeSettings):
    """The settings of the receiver `ml_model`."""

    files: dict[str, FileSource] = Field(default_factory=dict)
    """Files with predictions or labels, each source by a name of its own."""
    sql: dict[str, SqlSource] = Field(default_factory=dict)
    """Queries for predictions or labels."""
    mlflow: dict[str, MlflowSource] = Field(default_factory=dict)
    """MLflow tracking servers."""
    inference_servers: dict[str, InferenceServer] = Field(default_factory=dict)
    """Servers of models that show metrics."""
    reference: GivenReference = GivenReference()
    """What drift is measured against."""
    metrics: Annotated[MetricSettings, Declares(*METRICS)] = MetricSettings()
    """Which metrics are emitted, and how."""
    resource_attributes: Annotated[ResourceSettings, Declares(*RESOURCE)] = ResourceSettings()
    """Which attributes resources have, and which resources are emitted."""

    @model_validator(mode="after")
    def _check_sources(self) -> Self:
        if not (self.files or self.sql or self.mlflow or self.inference_servers):
            raise ValueError("needs at least one of files, sql, mlflow and inference_servers")
        return self

    def __hash__(self) -> int:
        return hash((*self.files, *self.sql, *self.mlflow, *self.inference_servers, self.collection_interval))


class MlModelReceiver:
    """The receiver: a task for each source of records, and a loop that measures."""

    def __init__(self, settings: MlModelSettings, context: Context, next: Consumer) -> None:
        given = settings.reference
        if settings.sql or given.query:
            require("SQL", "postgresql", "asyncpg")
        if any(source.has_parquet for source in settings.files.values()) or is_parquet(given.file):
            require("Parquet", "parquet", "pyarrow")
        self._settings = settings
        self._context = context
        self._parts = Parts(context)
        self._next = next
        self._sources: Sources | None = None
        self._servers: list[Servers] = []
        self.scraping: Scraping | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            scrapers = [*await self._start_sources(stack), *self._open_servers(stack)]
            scrapers.append(Scraper("sources", self._tell))
            scraping = Scraping(self._settings, self._parts.part(), self._next, scrapers)
            self.scraping = await stack.enter_async_context(scraping)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _start_sources(self, stack: AsyncExitStack) -> list[Scraper]:
        settings = self._settings
        if not (settings.files or settings.sql):
            return []
        engine = make_engine(settings, self._context.clock)
        from sluiceway.ml.keeping import Keeper
        from sluiceway.receivers.ml_model.sources import Sources

        keeper = await stack.enter_async_context(Keeper(engine, settings.storage, self._parts.part()))
        self._sources = await stack.enter_async_context(Sources(settings, engine, self._context))

        async def model(scrape: Scrape) -> None:
            await engine.write(scrape)
            await keeper.save()

        return [Scraper("model", model, settings.metrics)]

    def _open_servers(self, stack: AsyncExitStack) -> list[Scraper]:
        settings, declared = self._settings, {attribute.name: attribute for attribute in RESOURCE}
        from sluiceway.receivers.ml_model.servers import Servers

        scrapers = []
        self._servers = []
        for name, members in (("mlflow", settings.mlflow), ("inference_servers", settings.inference_servers)):
            if members:
                servers = Servers(members, self._context)
                stack.push_async_callback(servers.close)
                servers.open()
                self._servers.append(servers)
                resource = settings.resource_attributes
                scrapers.append(Scraper(name, servers.scrape, settings.metrics, resource, declared))
        return scrapers

    async def _tell(self, scrape: Scrape) -> None:
        """Say what is wrong with which sources; raises when something is wrong with all of them."""
        troubles = {} if self._sources is None else self._sources.troubles()
        for servers in self._servers:
            troubles |= servers.troubles
        told = [f"{name}: {text}" for name, text in troubles.items() if text]
        if told and len(told) == len(troubles):
            raise OSError("; ".join(told))
        for text in told:
            scrape.problem(text)


COMPONENT = Component(
    type="ml_model",
    kind=Kind.RECEIVER,
    config=MlModelSettings,
    create=MlModelReceiver,
    signals=frozenset({Signal.METRICS, Signal.LOGS}),
)
