"""What a component emits, held against what it declares."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sluiceway.component import Component
from sluiceway.otlp import Batch, Signal
from sluiceway.scraping import Metric, declared

__all__ = ["check_metrics", "points"]


def points(batches: Iterable[Batch]) -> dict[str, list[dict[str, Any]]]:
    """The data points by the metric's name: their `value` (None for distributions), `attributes` and `resource`."""
    found: dict[str, list[dict[str, Any]]] = {}
    for batch in batches:
        if batch.signal is not Signal.METRICS:
            continue
        for resource in batch.proto().resource_metrics:  # type: ignore[attr-defined]
            around = _texts(resource.resource.attributes)
            for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                found.setdefault(metric.name, []).extend(
                    {"value": _value(point), "attributes": _texts(point.attributes), "resource": around, "point": point}
                    for point in getattr(metric, metric.WhichOneof("data")).data_points
                )
    return found


def check_metrics(component: Component, batches: Iterable[Batch]) -> set[str]:
    """All that was emitted is declared, as it was declared; returns the declared metrics that were not emitted.

    Raises `AssertionError` with everything that is not so.
    """
    known = {
        entry.name: entry
        for _, mark in declared(component.config)
        for entry in mark.entries.values()
        if isinstance(entry, Metric)
    }
    wrong: list[str] = []
    seen: set[str] = set()
    for batch in batches:
        if batch.signal is not Signal.METRICS:
            continue
        for resource in batch.proto().resource_metrics:  # type: ignore[attr-defined]
            for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                seen.add(metric.name)
                wrong += _differences(known.get(metric.name), metric)
    if wrong:
        raise AssertionError("; ".join(dict.fromkeys(wrong)))
    return set(known) - seen


def _differences(metric: Metric | None, found: Any) -> Iterable[str]:
    if metric is None:
        yield f"{found.name} is not declared"
        return
    kind = found.WhichOneof("data")
    if kind == "sum":
        kind = "counter" if found.sum.is_monotonic else "updowncounter"
    if (kind, found.unit) != (metric.instrument, metric.unit):
        yield f"{found.name} is a {kind} of {found.unit}, declared as {metric.instrument} of {metric.unit}"
    for point in getattr(found, found.WhichOneof("data")).data_points:
        if not {entry.key for entry in point.attributes} <= set(metric.attributes):
            yield f"{found.name} has attributes {_texts(point.attributes)}, declared are {metric.attributes}"
        wanted = "as_int" if metric.value is int else "as_double"
        if kind in ("counter", "updowncounter", "gauge") and point.WhichOneof("value") != wanted:
            yield f"{found.name} is {point.WhichOneof('value')}, declared as {metric.value.__name__}"


def _value(point: Any) -> Any:
    if not hasattr(point, "as_int"):
        return None
    kind = point.WhichOneof("value")
    return getattr(point, kind) if kind else None


def _texts(attributes: Any) -> dict[str, Any]:
    return {entry.key: getattr(entry.value, entry.value.WhichOneof("value") or "string_value") for entry in attributes}
