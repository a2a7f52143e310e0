"""The Prometheus text format, version 0.0.4, of what the OpenTelemetry SDK has collected.

https://prometheus.io/docs/instrumenting/exposition_formats/ and, for names, the OpenTelemetry specification's
"Prometheus and OpenMetrics Compatibility".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import HistogramDataPoint, Metric, MetricsData

__all__ = ["CONTENT_TYPE", "Naming", "exposition"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_UNITS = {
    "s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds", "min": "minutes", "h": "hours",
    "d": "days", "By": "bytes", "KiBy": "kibibytes", "MiBy": "mebibytes", "GiBy": "gibibytes", "1": "ratio",
    "%": "percent", "Cel": "celsius", "Hz": "hertz", "V": "volts", "A": "amperes", "J": "joules", "W": "watts",
}  # fmt: skip
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_:]+")
_NOT_IN_LABELS = re.compile(r"[^a-zA-Z0-9_]")
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})


@dataclass(frozen=True, slots=True)
class Naming:
    """What is left out of names (the Collector's defaults leave out all three), and labels that every series gets."""

    without_scope_info: bool = True
    without_units: bool = True
    without_type_suffix: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)


def exposition(data: MetricsData | None, naming: Naming) -> bytes:
    """All metrics as text, with the resource as `target_info`."""
    lines: list[str] = []
    for resource in data.resource_metrics if data else ():
        lines += _head("target_info", "gauge", "Target metadata")
        lines.append(_sample("target_info", resource.resource.attributes, 1))
        for scope in resource.scope_metrics:
            extra = dict(naming.labels)
            if not naming.without_scope_info:
                extra |= {"otel_scope_name": scope.scope.name, "otel_scope_version": scope.scope.version or ""}
            for metric in scope.metrics:
                lines += _metric(metric, naming, extra)
    return "".join(f"{line}\n" for line in lines).encode()


def metric_name(name: str, unit: str, *, counter: bool, naming: Naming) -> str:
    """The name under which Prometheus sees a metric."""
    name = _NOT_IN_NAMES.sub("_", name)
    total = name.endswith("_total") and counter
    name = name.removesuffix("_total") if total else name
    word = _UNITS.get(unit, "")
    if word == "ratio" and counter:
        word = ""
    if word and not naming.without_units and word not in name.split("_"):
        name = f"{name}_{word}"
    return f"{name}_total" if total or (counter and not naming.without_type_suffix) else name


def _metric(metric: Metric, naming: Naming, extra: Mapping[str, str]) -> Iterator[str]:
    from opentelemetry.sdk.metrics.export import Histogram, Sum

    data = metric.data
    counter = isinstance(data, Sum) and data.is_monotonic
    name = metric_name(metric.name, metric.unit or "", counter=counter, naming=naming)
    histogram = isinstance(data, Histogram)
    yield from _head(name, "histogram" if histogram else "counter" if counter else "gauge", metric.description or "")
    for point in data.data_points:
        labels = {**(point.attributes or {}), **extra}
        if histogram:
            yield from _buckets(name, labels, point)  # type: ignore[arg-type]  # `histogram` says which
        else:
            yield _sample(name, labels, point.value)  # type: ignore[union-attr]  # a number's point has one


def _buckets(name: str, labels: Mapping[str, Any], point: HistogramDataPoint) -> Iterator[str]:
    below = 0
    for bound, count in zip([*map(_number, point.explicit_bounds), "+Inf"], point.bucket_counts, strict=True):
        below += count
        yield _sample(f"{name}_bucket", {**labels, "le": bound}, below)
    yield _sample(f"{name}_sum", labels, point.sum)
    yield _sample(f"{name}_count", labels, point.count)


def _head(name: str, kind: str, description: str) -> list[str]:
    return [f"# HELP {name} {description.translate(_HELP_ESCAPES)}", f"# TYPE {name} {kind}"]


def _sample(name: str, labels: Mapping[str, Any], number: float) -> str:
    joined: dict[str, str] = {}
    for key in sorted(labels):
        label = _label(key)
        value = _text(labels[key])
        # Names that become equal have their values joined by ";": the specification's rule.
        joined[label] = f"{joined[label]};{value}" if label in joined else value
    text = ",".join(f'{label}="{value.translate(_ESCAPES)}"' for label, value in joined.items())
    return f"{name}{{{text}}} {_number(number)}" if text else f"{name} {_number(number)}"


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _label(key: str) -> str:
    label = _NOT_IN_LABELS.sub("_", key)
    return f"_{label}" if label[:1].isdigit() else label


def _number(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    if value in {float("inf"), float("-inf")}:
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if value != value else repr(value).removesuffix(".0")
