"""Small components and configurations for tests of graphs, made without the loader."""

from __future__ import annotations

from typing import Any, Self

import yaml

from sluiceway.component import Component, Consumer, Context, Kind, Prepared
from sluiceway.config.exporter import SendingQueue
from sluiceway.config.model import ComponentConfig, Config, PipelineConfig
from sluiceway.config.telemetry import TelemetryConfig
from sluiceway.config.types import Section, Settings
from sluiceway.otlp import Batch, Signal
from sluiceway.otlp.plan import Level, Plan, Put
from sluiceway.pipelines.graph import Graph, Surroundings
from sluiceway.pipelines.ledger import Ledger
from sluiceway.pipelines.status import StatusBoard
from sluiceway.telemetry import Telemetry
from sluiceway.testing import ManualClock, MemorySink

JOURNAL: list[str] = []
"""What the components of the running test did, in order."""


class AnySettings(Settings):
    """Settings of the test components."""

    value: str = ""
    fails: bool = False
    auth: str = ""
    sending_queue: Section[SendingQueue] = None


class Noted:
    """A component that notes its life in the journal."""

    def __init__(self, config: AnySettings, context: Context, next: Consumer | None = None) -> None:
        self.config, self.context, self.next = config, context, next
        self.name = f"{context.id}@{context.pipeline}" if context.pipeline else context.id

    async def __aenter__(self) -> Self:
        if self.config.fails:
            raise OSError("port is taken")
        JOURNAL.append(f"+{self.name}")
        return self

    async def __aexit__(self, *_: object) -> None:
        JOURNAL.append(f"-{self.name}")


class Feed(Noted):
    """A receiver that a test pushes with `feed.next.consume`."""


class Pass(Noted):
    """A processor that passes on."""

    held = 0

    async def consume(self, batch: Batch) -> None:
        """Pass on."""
        await self.next.consume(batch)


class Tag(Noted):
    """An editor that puts its value under its own name."""

    reads_payload = False

    def __init__(self, config: AnySettings, context: Context, next: Consumer) -> None:
        super().__init__(config, context, next)
        self.plan = Plan([Put(Level.RESOURCE, context.id, config.value)])

    def prepare(self, batch: Batch) -> Prepared:
        """Change nothing but by the plan."""
        return Prepared(batch)


class Memory(MemorySink, Noted):
    """An exporter that keeps what it is given."""

    def __init__(self, config: AnySettings, context: Context) -> None:
        Noted.__init__(self, config, context)
        MemorySink.__init__(self)


def _component(type: str, kind: Kind, create: Any, **more: Any) -> Component:
    return Component(type, kind, AnySettings, create, **more)


TRACES_ONLY = frozenset([Signal.TRACES])
COMPONENTS = {
    "feed": _component("feed", Kind.RECEIVER, Feed),
    "pass": _component("pass", Kind.PROCESSOR, Pass),
    "tag": _component("tag", Kind.PROCESSOR, Tag),
    "spans": _component("spans", Kind.PROCESSOR, Pass, signals=TRACES_ONLY),
    "memory": _component("memory", Kind.EXPORTER, Memory),
    "traces": _component("traces", Kind.EXPORTER, Memory, signals=TRACES_ONLY),
    "link": _component("link", Kind.CONNECTOR, Pass),
    "count": _component(
        "count", Kind.CONNECTOR, Pass, signals=TRACES_ONLY, emits={Signal.TRACES: frozenset([Signal.METRICS])}
    ),
    "auth": _component("auth", Kind.EXTENSION, Noted),
}


def configure(text: str) -> Config:
    """The typed configuration that the loader would make of this YAML."""
    document = yaml.safe_load(text)

    def section(name: str) -> dict[str, ComponentConfig]:
        return {
            id: ComponentConfig(id, COMPONENTS[id.partition("/")[0]], AnySettings.model_validate(settings or {}))
            for id, settings in document.get(name, {}).items()
        }

    service = document["service"]
    return Config(
        **{name: section(name) for name in ("receivers", "processors", "exporters", "connectors", "extensions")},
        service_extensions=tuple(service.get("extensions", ())),
        pipelines={
            id: PipelineConfig(
                id,
                Signal(id.partition("/")[0]),
                *(tuple(pipeline.get(part, ())) for part in ("receivers", "processors", "exporters")),
            )
            for id, pipeline in service["pipelines"].items()
        },
        telemetry=TelemetryConfig(),
    )


def surroundings() -> Surroundings:
    """What a collector gives to its components."""
    clock = ManualClock()
    statuses = StatusBoard(clock, lambda _: None)
    return Surroundings(clock, Telemetry(TelemetryConfig()), Ledger(), statuses, lambda: True)


async def start(graph: Graph) -> None:
    """Connect a graph and start its components."""
    graph.connect()
    for node in graph.nodes:
        if not node.started:
            await node.start()


async def stop(graph: Graph) -> None:
    """Stop the components of a graph."""
    for node in reversed(graph.nodes):
        await node.stop()
