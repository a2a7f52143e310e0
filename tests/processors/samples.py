"""Batches and components for tests of processors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import yaml
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from pydantic import ValidationError

from sluiceway.component import Component, Context, Editor, Kind, Reason, Status
from sluiceway.otlp import Batch, Origin, Signal
from sluiceway.testing import ManualClock, MemorySink


@dataclass
class Bench:
    """What surrounds a processor under test: its context, what it said and dropped, and what comes after it."""

    signals: frozenset[Signal] = frozenset({Signal.TRACES})
    id: str = "under_test"
    shared: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clock = ManualClock()
        self.sink = MemorySink()
        self.drops: list[tuple[int, Reason, bool]] = []
        self.drops_by_tenant: Counter[str] = Counter()
        self.statuses: list[Status] = []
        self.context = Context(
            id=self.id,
            kind=Kind.PROCESSOR,
            signals=self.signals,
            clock=self.clock,
            shared=self.shared,
            drop=self._drop,
            report=lambda status, message="": self.statuses.append(status),
        )

    @property
    def metrics(self) -> Any:
        """The own metrics of the component."""
        return self.context.telemetry.metrics

    def _drop(self, items: int, reason: Reason, *, intended: bool = False, tenant: str = "") -> None:
        if items:
            self.drops.append((items, reason, intended))
            self.drops_by_tenant[tenant] += items

    def make(self, component: Component, text: str, **more: Any) -> Any:
        """Build a processor from YAML text."""
        return component.create(configure(component, text), self.context, self.sink, **more)


def configure(component: Component, text: str) -> Any:
    """Check settings written as YAML."""
    return component.config.model_validate(yaml.safe_load(text))


def problems(component: Component, text: str) -> str:
    """What is wrong with settings written as YAML, one problem a line."""
    try:
        configure(component, text)
    except ValidationError as error:
        return "\n".join(problem["msg"] for problem in error.errors())
    return ""


def edit(editor: Editor, batch: Batch) -> Batch | None:
    """Do with one batch what the graph does with it."""
    prepared = editor.prepare(batch)
    if prepared is None:
        return None
    outcome = editor.plan.outcome(prepared.batch, prepared.arguments)
    if prepared.tallied is not None:
        prepared.tallied(batch.signal, outcome.tallies)
    if prepared.settled is not None:
        prepared.settled()
    return outcome.batch


def spans(count: int = 1, name: str = "span", resource: Mapping[str, str] | None = None, **attributes: Any) -> Batch:
    """A batch of spans that are called `span-0`, `span-1`, ..., with the same attributes."""
    data = TracesData()
    entry = data.resource_spans.add()
    entry.resource.attributes.extend(pairs(resource or {}))
    scope = entry.scope_spans.add()
    for i in range(count):
        scope.spans.add(name=f"{name}-{i}").attributes.extend(pairs(attributes))
    return Batch.from_proto(data)


def logs(body: str = "body", severity: int = 9, **attributes: Any) -> Batch:
    """A batch of one log record."""
    data = LogsData()
    record = data.resource_logs.add().scope_logs.add().log_records.add(severity_number=severity)
    record.body.string_value = body
    record.attributes.extend(pairs(attributes))
    return Batch.from_proto(data)


def gauge(name: str = "gauge", **attributes: Any) -> Batch:
    """A batch of one data point."""
    data = MetricsData()
    metric = data.resource_metrics.add().scope_metrics.add().metrics.add(name=name)
    metric.gauge.data_points.add(as_int=1).attributes.extend(pairs(attributes))
    return Batch.from_proto(data)


def of_tenants(*resources: Mapping[str, str], origin: Origin | None = None) -> Batch:
    """A batch with one span for each of the resources."""
    data = TracesData()
    for resource in resources:
        entry = data.resource_spans.add()
        entry.resource.attributes.extend(pairs(resource))
        entry.scope_spans.add().spans.add(name="span")
    return replace(Batch.from_proto(data), origin=origin or Origin())


def pairs(attributes: Mapping[str, Any]) -> list[KeyValue]:
    """Attributes as protobuf."""
    return [KeyValue(key=key, value=any_value(value)) for key, value in attributes.items()]


def any_value(value: Any) -> AnyValue:
    """A value as protobuf."""
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case list():
            found = AnyValue()
            found.array_value.values.extend(map(any_value, value))
            return found
        case dict():
            found = AnyValue()
            found.kvlist_value.values.extend(pairs(value))
            return found
        case _:
            return AnyValue(string_value=value)


def plain(value: AnyValue) -> Any:
    """A value from protobuf."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return list(map(plain, value.array_value.values))
    if kind == "kvlist_value":
        return attributes_of(value.kvlist_value.values)
    return getattr(value, kind) if kind else None


def attributes_of(found: Any) -> dict[str, Any]:
    """Attributes from protobuf, which must not have the same key twice."""
    keys = [pair.key for pair in found]
    assert len(keys) == len(set(keys))
    return {pair.key: plain(pair.value) for pair in found}


def span_attributes(batch: Batch | None) -> list[dict[str, Any]]:
    """The attributes of every span of a batch."""
    assert batch is not None
    data: Any = batch.proto()
    return [attributes_of(s.attributes) for r in data.resource_spans for c in r.scope_spans for s in c.spans]


def resource_attributes(batch: Batch | None) -> list[dict[str, Any]]:
    """The attributes of every resource of a batch of spans."""
    assert batch is not None
    data: Any = batch.proto()
    return [attributes_of(r.resource.attributes) for r in data.resource_spans]


def span_names(batches: list[Batch]) -> list[list[str]]:
    """The names of the spans of each batch."""
    protos: list[Any] = [batch.proto() for batch in batches]
    return [[s.name for r in p.resource_spans for c in r.scope_spans for s in c.spans] for p in protos]
