"""Batches with something in every place that can hold text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from sluiceway.otlp import Batch, Signal

__all__ = ["planted"]


def planted(signal: Signal, text: str | Callable[[], str], keys: Sequence[str] = ("note",)) -> tuple[Batch, int]:
    """A batch that holds a text in every place, and in how many. A callable makes another text for each."""
    planter = _Planter((lambda: text) if isinstance(text, str) else text, keys)
    data: Any = {Signal.TRACES: planter.traces, Signal.METRICS: planter.metrics, Signal.LOGS: planter.logs}[signal]()
    return Batch.from_proto(data), planter.count


class _Planter:
    def __init__(self, make: Callable[[], str], keys: Sequence[str]) -> None:
        self._make = make
        self._keys = keys
        self.count = 0

    def text(self) -> str:
        self.count += 1
        return self._make()

    def value(self) -> AnyValue:
        """A string, bytes, and both in maps and arrays."""
        nested = AnyValue()
        nested.kvlist_value.values.add(key=self._keys[0]).value.array_value.values.extend(
            [
                AnyValue(string_value=self.text()),
                AnyValue(bytes_value=self.text().encode()),
                AnyValue(int_value=7),
                AnyValue(),
            ]
        )
        nested.kvlist_value.values.add(key=self.text()).value.string_value = self.text()
        return nested

    def attributes(self) -> list[KeyValue]:
        plain = [KeyValue(key=key, value=AnyValue(string_value=self.text())) for key in self._keys]
        return [
            *plain,
            KeyValue(key=self.text(), value=AnyValue(bool_value=True)),
            KeyValue(key="bytes", value=AnyValue(bytes_value=self.text().encode())),
            KeyValue(key="nested", value=self.value()),
        ]

    def headers(self, data: Any, kind: str) -> Any:
        """A resource and a scope; answers with what holds the items."""
        entry = getattr(data, f"resource_{kind}").add(schema_url=self.text())
        entry.resource.attributes.extend(self.attributes())
        entity = entry.resource.entity_refs.add(schema_url=self.text(), type=self.text())
        entity.id_keys.append(self.text())
        entity.description_keys.append(self.text())
        scope = getattr(entry, f"scope_{kind}").add(schema_url=self.text())
        scope.scope.name = self.text()
        scope.scope.version = self.text()
        scope.scope.attributes.extend(self.attributes())
        return scope

    def traces(self) -> TracesData:
        data = TracesData()
        span = self.headers(data, "spans").spans.add(name=self.text(), trace_state=self.text())
        span.status.message = self.text()
        span.attributes.extend(self.attributes())
        span.events.add(name=self.text()).attributes.extend(self.attributes())
        span.links.add(trace_state=self.text()).attributes.extend(self.attributes())
        return data

    def logs(self) -> LogsData:
        data = LogsData()
        records = self.headers(data, "logs").log_records
        record = records.add(severity_text=self.text(), event_name=self.text(), body=self.value())
        record.attributes.extend(self.attributes())
        records.add(body=AnyValue(string_value=self.text()))
        records.add(body=AnyValue(bytes_value=self.text().encode()))
        return data

    def metrics(self) -> MetricsData:
        data = MetricsData()
        metrics = self.headers(data, "metrics").metrics
        for kind in ("gauge", "sum", "histogram", "exponential_histogram", "summary"):
            metric = metrics.add(name=self.text(), description=self.text(), unit=self.text())
            metric.metadata.extend(self.attributes())
            point = getattr(metric, kind).data_points.add()
            point.attributes.extend(self.attributes())
            if kind != "summary":
                point.exemplars.add(as_int=1).filtered_attributes.extend(self.attributes())
        return data
