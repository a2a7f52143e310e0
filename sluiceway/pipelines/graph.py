"""From a configuration to connected components.

`build` makes every component and starts none: constructors do no I/O, so validating a configuration is building it.
Given the nodes of a running graph it takes over those that would be made the same way and makes only the rest;
nothing that runs is touched until `Graph.connect` points the links of the running components at their new neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import BaseModel

from sluiceway.component import ALL_SIGNALS, Clock, Consumer, Context, Kind, Reason, Status
from sluiceway.config.model import ComponentConfig, Config, PipelineConfig
from sluiceway.errors import ConfigError, Problem
from sluiceway.otlp import Batch, Signal
from sluiceway.parts import Parts
from sluiceway.pipelines.branches import Branch, ConnectorBranch, ExporterBranch, FanOut, PassedCounter
from sluiceway.pipelines.edits import Edits, group_editors
from sluiceway.pipelines.flow import Flow
from sluiceway.pipelines.inlet import Inlet, Link
from sluiceway.pipelines.layout import Connection, arrange
from sluiceway.pipelines.ledger import Account, Drop, Ledger
from sluiceway.pipelines.node import Key, Node
from sluiceway.pipelines.recipe import Recipe, strings
from sluiceway.pipelines.status import StatusBoard
from sluiceway.pipelines.traced import TracedReceiver
from sluiceway.pipelines.watch import Watch, WatchedLink, is_watched
from sluiceway.pipelines.wrap import Wrapped, wrap
from sluiceway.telemetry import Scope, Telemetry, component_logger

__all__ = ["Graph", "Surroundings", "build"]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all components of one collector share."""

    clock: Clock
    telemetry: Telemetry
    ledger: Ledger
    statuses: StatusBoard
    ready: Callable[[], bool]


@dataclass(slots=True)
class Graph:
    """Components in the order in which they start: downstream before upstream, receivers last."""

    nodes: list[Node] = field(default_factory=list)
    inlets: dict[str, Inlet] = field(default_factory=dict)
    shared: dict[tuple[Kind, str], tuple[BaseModel, dict[str, Any]]] = field(default_factory=dict)
    kept: dict[tuple[Kind, str], dict[str, Any]] = field(default_factory=dict)
    """What instances made from the same entry of the configuration have in common."""
    connections: list[Callable[[], None]] = field(default_factory=list)
    at_the_end: list[Callable[[], None]] = field(default_factory=list)
    """What is to be said when all has been left, or another graph is in its place."""
    warnings: tuple[Problem, ...] = ()
    """What its configuration asks for and will hardly have meant."""

    def connect(self) -> None:
        """Make data flow along this graph. Happens between two steps of the event loop: no batch sees half of it."""
        for connection in self.connections:
            connection()

    def node(self, kind: Kind, id: str) -> Node:
        """The first instance of a component. Raises `LookupError` when there is none."""
        for node in self.nodes:
            if node.key.kind is kind and node.key.id == id:
                return node
        raise LookupError(f"no {kind} {id!r} is running")


def build(config: Config, around: Surroundings, running: Graph | None = None) -> Graph:
    """Make the graph of a configuration, taking over what stays the same. Raises `ConfigError` with every mistake."""
    builder = _Builder(config, around, running or Graph())
    try:
        return builder.build()
    except BaseException:
        builder.discard()
        raise


class _Builder:
    """Builds one graph: knows what is there already and what has been made so far."""

    def __init__(self, config: Config, around: Surroundings, running: Graph) -> None:
        self.config = config
        self.around = around
        self.running = {node.key: node for node in running.nodes}
        self.layout = arrange(config)
        self.graph = Graph(shared=dict(running.shared), kept=running.kept, warnings=self.layout.warnings)
        self.extensions: dict[str, Any] = {}
        self.scopes: list[Scope] = []
        self.placed: dict[Key, Node] = {}
        self.problems: list[Problem] = []
        """What components found when they were made; a stand-in takes the place of each, so that all are found."""
        for pipeline in self.layout.pipelines:
            ledger = around.ledger.pipeline(pipeline.id, pipeline.signal)
            self.graph.inlets[pipeline.id] = running.inlets.get(pipeline.id) or Inlet(ledger, around.clock)

    def build(self) -> Graph:
        for id in self.config.service_extensions:
            self.extensions[id] = self.place(Kind.EXTENSION, self.config.extensions[id]).instance
        self.judge()  # others need them
        downstream_first = tuple(reversed(self.layout.pipelines))
        exporters = self.exporters(downstream_first)
        for pipeline in downstream_first:
            self.pipeline(pipeline, exporters)
        self.receivers()
        self.judge()
        return self.graph

    def judge(self) -> None:
        if self.problems:
            raise ConfigError(*self.problems)

    def discard(self) -> None:
        """Take back what half a graph has published."""
        for scope in self.scopes:
            scope.close()

    def exporters(self, pipelines: tuple[PipelineConfig, ...]) -> dict[tuple[Signal, str], Node]:
        wanted = {
            (pipeline.signal, id): self.config.exporters[id]
            for pipeline in pipelines
            for id in pipeline.exporters
            if id in self.config.exporters
        }
        return {
            key: self.place(Kind.EXPORTER, settings, key[0].value, signals=frozenset([key[0]]))
            for key, settings in wanted.items()
        }

    def pipeline(self, pipeline: PipelineConfig, exporters: Mapping[tuple[Signal, str], Node]) -> None:
        ledger = self.around.ledger.pipeline(pipeline.id, pipeline.signal)
        branches = [self.branch(id, pipeline.signal, ledger.account(id), exporters) for id in pipeline.exporters]
        # What a processor hands to a connector has left the processors as well, and is offered to nobody else.
        routes = {
            id: PassedCounter(self.branch(id, pipeline.signal, ledger.account(id), exporters), ledger)
            for processor in pipeline.processors
            for id in self.config.processors[processor].routes
        }
        # Only queues that answer at once cannot be interrupted after they have taken a batch.
        shielded = not all(branch.takes_at_once for branch in branches) or bool(routes)
        target, into = self.processors(pipeline, PassedCounter(self.fan_out(branches), ledger), routes)
        inlet = self.graph.inlets[pipeline.id]

        def connect() -> None:
            inlet.target, inlet.into, inlet.shielded = target, into, shielded

        self.graph.connections.append(connect)

    def fan_out(self, branches: Sequence[Branch]) -> FanOut:
        fan_out = FanOut(branches, self.around.clock)
        self.graph.at_the_end.append(fan_out.tell_losses)
        return fan_out

    def branch(
        self, id: str, signal: Signal, account: Account, exporters: Mapping[tuple[Signal, str], Node]
    ) -> ExporterBranch | ConnectorBranch:
        if id in self.config.exporters:
            return ExporterBranch(exporters[signal, id].instance, account)
        return ConnectorBranch(self.connectors(id, signal), account)

    def processors(
        self, pipeline: PipelineConfig, target: Consumer, routes: Mapping[str, Consumer]
    ) -> tuple[Consumer, Flow]:
        """Make a pipeline's processors; return the first of them with its flow, or `target` when there are none."""
        nodes = [
            self.place(Kind.PROCESSOR, self.config.processors[id], pipeline.id, pipeline=pipeline)
            for id in reversed(pipeline.processors)
        ]
        for node in nodes:
            for name, link in node.routes.items():
                self.point(link, routes[name])
        by_instance = {id(node.instance): node for node in nodes}
        into = Flow()
        for group in reversed(group_editors([node.instance for node in reversed(nodes)])):
            if isinstance(group, list):
                members = [by_instance[id(editor)] for editor in group]
                target = self.edits(members, pipeline.signal, target, into)
                into = members[0].flow
            else:
                node = by_instance[id(group)]
                self.point(node.link, target, into)
                target, into = node.door, node.flow
        ledger = self.around.ledger.pipeline(pipeline.id, pipeline.signal)
        holders: dict[Hashable, Callable[[], int]] = {
            node: _held(node.instance) for node in nodes if hasattr(node.instance, "held")
        }
        self.graph.connections.append(lambda: ledger.holders.update(holders))
        return target, into

    def edits(self, nodes: Sequence[Node], signal: Signal, target: Consumer, into: Flow) -> Edits:
        """Have the editors of some nodes run as one."""
        scope = nodes[0].scope
        watch = Watch([node.key.id for node in nodes], signal, scope) if is_watched(scope) else None
        return Edits([node.instance for node in nodes], target, [node.flow for node in nodes], into, watch)

    def connectors(self, id: str, takes: Signal) -> tuple[Consumer, ...]:
        """The instances of a connector for one incoming signal; pipelines of that signal share them."""
        return tuple(
            self.connector(connection)
            for connection in self.layout.connections
            if connection.id == id and connection.takes is takes
        )

    def connector(self, connection: Connection) -> Consumer:
        place = f"{connection.takes.value} to {connection.gives.value}"
        settings = self.config.connectors[connection.id]
        signals = frozenset([connection.takes])
        node = self.place(Kind.CONNECTOR, settings, place, signals=signals, gives=connection.gives)
        self.point(node.link, self.fan_out([self.graph.inlets[id] for id in connection.to]))
        consumer: Consumer = node.instance
        return consumer

    def ends_in_queues(self, pipeline: PipelineConfig) -> bool:
        """Whether each of a pipeline's exporters has a queue that answers at once, and there is nothing else."""
        nodes = {node.key: node for node in self.graph.nodes}
        ends = [nodes.get(Key(Kind.EXPORTER, id, pipeline.signal.value)) for id in pipeline.exporters]
        return all(end is not None and end.instance.takes_at_once for end in ends)

    def receivers(self) -> None:
        used: dict[str, dict[Signal, list[Inlet]]] = {}
        for pipeline in self.config.pipelines.values():
            for id in pipeline.receivers:
                if id in self.config.receivers:
                    by_signal = used.setdefault(id, {})
                    by_signal.setdefault(pipeline.signal, []).append(self.graph.inlets[pipeline.id])
        for id, by_signal in used.items():
            node = self.place(Kind.RECEIVER, self.config.receivers[id], signals=frozenset(by_signal))
            target: Consumer = _BySignal({signal: self.fan_out(inlets) for signal, inlets in by_signal.items()})
            if tracing := node.scope.tracing:
                target = TracedReceiver(target, id, tracing)
            self.point(node.link, target)

    def place(
        self,
        kind: Kind,
        settings: ComponentConfig,
        place: str = "",
        *,
        signals: frozenset[Signal] = ALL_SIGNALS,
        pipeline: PipelineConfig | None = None,
        gives: Signal | None = None,
    ) -> Node:
        """Put one instance into the graph: the running one if it would be made from the same, else a new one."""
        key = Key(kind, settings.id, place)
        if key in self.placed:
            return self.placed[key]
        if pipeline is not None:
            signals = frozenset([pipeline.signal])
        telemetry = self.config.telemetry
        made_from = Recipe(
            settings, signals, self.named_extensions(settings), telemetry.metrics.level, telemetry.traces
        )
        node = self.running.get(key)
        if node is None or node.made_from != made_from:
            context = self.context(key, settings, signals, pipeline)
            node = self.make(key, made_from, settings, replace(context, gives=gives))
        self.placed[key] = node
        self.graph.nodes.append(node)
        return node

    def make(self, key: Key, made_from: Hashable, settings: ComponentConfig, context: Context) -> Node:
        link = None if key.kind in (Kind.EXPORTER, Kind.EXTENSION) else self.link(key, context)
        routes = {id: Link() for id in settings.routes}
        context = replace(context, route=routes.__getitem__)
        instance: Any
        try:
            if key.kind is Kind.EXPORTER:
                instance = self.exporter(key, settings, context)
            else:
                instance = settings.component.create(settings.settings, context, *([] if link is None else [link]))
        except ConfigError as error:
            self.problems += [_located(problem, settings, key) for problem in error.problems]
            instance = _StandIn()
        except Exception as error:
            text = f'failed to create "{key.id}" {key.kind}: {error.__class__.__name__}: {error}'
            self.problems.append(_located(Problem(text), settings, key))
            instance = _StandIn()
        node = Node(key, made_from, instance, context.telemetry, self.around.statuses, link, routes)
        if key.kind is Kind.PROCESSOR:
            (signal,) = context.signals
            node.flow.publish(context.telemetry, key.id, signal)
        return node

    def exporter(self, key: Key, settings: ComponentConfig, context: Context) -> Wrapped:
        """An exporter with what its settings ask for around it: what either says of its health stands."""
        (signal,) = context.signals
        parts = Parts(context)
        exporter = settings.component.create(settings.settings, parts.part())

        def account(pipeline: str) -> Account:
            return self.around.ledger.pipeline(pipeline, signal).account(key.id)

        return wrap(exporter, settings.settings, parts.part(), account=account)

    def link(self, key: Key, context: Context) -> Link:
        """What a component pushes to; it notices when a processor's work on a batch ends, where that is of interest."""
        scope = context.telemetry
        if key.kind is not Kind.PROCESSOR or not is_watched(scope):
            return Link()
        (signal,) = context.signals
        return WatchedLink(Watch([key.id], signal, scope))

    def point(self, link: Link | None, target: Consumer, into: Flow | None = None) -> None:
        """Have a component's link lead to `target`, whose flow is `into`, once the graph is connected."""

        def connect() -> None:
            assert link is not None  # noqa: S101 - only exporters and extensions have none
            link.target, link.into = target, into or Flow()

        self.graph.connections.append(connect)

    def named_extensions(self, settings: ComponentConfig) -> tuple[ComponentConfig, ...]:
        """The extensions that a component's settings name: when one changes, the component is made anew."""
        names = set(strings(settings.settings.model_dump())) & set(self.config.service_extensions)
        return tuple(self.config.extensions[name] for name in sorted(names))

    def shared(self, key: Key, settings: BaseModel) -> dict[str, Any]:
        before = self.graph.shared.get((key.kind, key.id))
        if before is None or before[0] != settings:
            before = self.graph.shared[key.kind, key.id] = (settings, {})
        return before[1]

    def context(
        self, key: Key, settings: ComponentConfig, signals: frozenset[Signal], pipeline: PipelineConfig | None
    ) -> Context:
        around = self.around
        scope = around.telemetry.scope()
        self.scopes.append(scope)
        pipeline_id = pipeline.id if pipeline is not None else ""
        signal = next(iter(signals)).value if len(signals) == 1 else ""

        def report(status: Status, message: str = "") -> None:
            around.statuses.record(key.component, key.place, status, message, scope)

        def drop(items: int, reason: Reason, *, intended: bool = False, tenant: str = "") -> None:
            if pipeline is None:
                around.ledger.outside.add(Drop(key.id, reason, intended, tenant), items)
            else:
                ledger = around.ledger.pipeline(pipeline.id, pipeline.signal)
                ledger.drop(key.id, items, reason, intended=intended, tenant=tenant)

        return Context(
            id=key.id,
            kind=key.kind,
            signals=signals,
            pipeline=pipeline_id,
            instance=around.telemetry.resource.get("service.instance.id", ""),
            clock=around.clock,
            logger=component_logger(key.kind, key.id, signal=signal, pipeline=pipeline_id),
            telemetry=scope,
            drop=drop,
            report=report,
            extension=self.extensions.__getitem__,
            queued=pipeline is not None and self.ends_in_queues(pipeline),
            shared=self.shared(key, settings.settings),
            kept=self.graph.kept.setdefault((key.kind, key.id), {}),
            statuses=around.statuses.view,
            ready=around.ready,
        )


class _StandIn:
    """What stands where a component could not be made, in a graph that is never used."""

    takes_at_once = False


class _BySignal:
    """What a receiver pushes to: every signal goes to its own pipelines."""

    def __init__(self, targets: Mapping[Signal, FanOut]) -> None:
        self.targets = targets

    async def consume(self, batch: Batch) -> None:
        await self.targets[batch.signal].consume(batch)


def _located(problem: Problem, settings: ComponentConfig, key: Key) -> Problem:
    """A problem that a component found when it was made, at the place of its entry in the configuration."""
    path = f"{key.kind.section}::{key.id}"
    inner = f"{path}::{problem.path}" if problem.path and not problem.path.startswith(path) else problem.path or path
    mark = settings.mark_of(tuple(inner.removeprefix(path).split("::")[1:]))
    return Problem(problem.message, inner, mark.file, mark.line, mark.column)


def _held(holder: Any) -> Callable[[], int]:
    return lambda: int(holder.held)
