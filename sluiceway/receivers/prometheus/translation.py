"""From a target's samples to OTLP, by the rules of the Collector's receiver.

The specification: https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from sluiceway.otlp.anyvalue import sized
from sluiceway.otlp.metrics import encode_attributes
from sluiceway.receivers.prometheus._series import Reading, Series
from sluiceway.receivers.prometheus.exposition import Labels, Metadata
from sluiceway.receivers.prometheus.metrics import INSTANCE, Metric, Resource, Scope, series_in, shrink

__all__ = ["Encoded", "Translation"]

_SUFFIXES: Final = ("_bucket", "_count", "_sum", "_total", "_info", "_created")


@dataclass(slots=True)
class Encoded:
    """A scrape in OTLP: of each resource its own field and those of its scopes, by job and instance."""

    resources: dict[tuple[str, str], tuple[bytes, bytes]] = field(default_factory=dict)
    points: int = 0

    def beside(self, other: Encoded) -> bytes:
        """The message MetricsData, with what another has of the same resources in these."""
        keys = dict.fromkeys((*self.resources, *other.resources))
        parts = ([found for one in (self, other) if (found := one.resources.get(key))] for key in keys)
        return b"".join(sized(0x0A, part[0][0] + b"".join([scopes for _, scopes in part])) for part in parts)


class Translation:
    """All series of one target, and what they are in OTLP. One scrape at a time, each with a number of its own."""

    def __init__(self, job: str, instance: str, scheme: str, scope: tuple[str, str], *, trim: bool = False) -> None:
        self.metadata: dict[str, Metadata] = {}
        self.stale_metadata = False
        self._trim = trim
        self._own = (job, instance, scheme)
        self._scope = scope
        self._resources: dict[tuple[str, str], Resource] = {}
        self._series: dict[tuple[tuple[str, str], ...], Series] = {}
        self._asked: set[str] = set()

    @property
    def crowded(self) -> bool:
        """Whether most of what is known of metrics is about those that are no longer there."""
        return len(self.metadata) + len(self._asked) > 4 * len(self._series) + 1_000

    def prune(self, named: set[str]) -> None:
        """Forget what was said of other metrics than these."""
        self.metadata = {name: known for name, known in self.metadata.items() if name in named}
        self._asked = {dict(key)["__name__"] for key in self._series}

    def forget(self) -> None:
        """Forget all series: their types are no longer what they were."""
        self._resources.clear()
        self._series.clear()
        self._asked.clear()
        self.stale_metadata = False

    def describe(self, word: str, name: str, text: str) -> None:
        """Note what a comment says of a metric: its `TYPE`, `HELP` or `UNIT`."""
        known = self.metadata.setdefault(name, Metadata())
        match word:
            case "TYPE":
                kind = "unknown" if text == "untyped" else text
                if kind != known.type and not self._asked.isdisjoint((name, *(name + end for end in _SUFFIXES))):
                    self.stale_metadata = True
                known.type = kind
            case "HELP":
                known.help = text
            case "UNIT":
                known.unit = text

    def place(self, labels: Labels, *, native: bool = False) -> tuple[Series, bool]:
        """The series with these labels, and whether it is new."""
        identity = (*sorted(labels.items()), ("", "native")) if native else tuple(sorted(labels.items()))
        found = self._series.get(identity)
        if found is not None:
            return found, False
        made = self._series[identity] = self._make(dict(labels), native=native)
        made.keys.append(identity)
        return made, True

    def encode(self, reading: Reading, now: int, *, keep: bool = False) -> tuple[Encoded, list[Series]]:
        """The scrape in OTLP, and the series that are gone.

        Series that are not in `reading` end with a point without value, and are forgotten unless they are to be kept.
        """
        number, encoded = reading.number, Encoded()
        for key, resource in self._resources.items():
            scopes = []
            for scope in resource.scopes.values():
                written = [metric.encode(number, now, self._name) for metric in scope.metrics.values()]
                count = sum(count for _, count in written)
                encoded.points += count
                if count:
                    content = scope.head + b"".join([content for content, _ in written]) + scope.tail
                    scopes.append(sized(0x12, content))
            if scopes:
                encoded.resources[key] = (resource.head(number), b"".join(scopes))
        alike = keep or reading.kept - reading.repeated == len(self._series)
        return encoded, [] if alike else self._drop(number)

    def _drop(self, number: int) -> list[Series]:
        dropped = [series for series in self._series.values() if series.seen != number]
        for series in dropped:
            del self._series[series.keys[0]]
        for metric in {id(series.metric): series.metric for series in dropped if series.metric}.values():
            shrink(metric, number)
        for key, resource in list(self._resources.items()):
            resource.infos = [info for info in resource.infos if info[0].seen == number]
            if not resource.scopes and not resource.infos:
                del self._resources[key]
        return dropped

    def _name(self, name: str, metadata: Metadata) -> str:
        return _trimmed(name, metadata) if self._trim else name

    def _make(self, labels: Labels, *, native: bool) -> Series:
        name = labels["__name__"]
        job, instance, scheme = self._own
        key = (labels.get("job", ""), labels.get("instance", ""))
        key = key if all(key) else (job, instance)
        resource = self._resources.get(key)
        if resource is None:
            resource = self._resources[key] = Resource(*key, scheme)
        if name == "target_info":
            series = Series()
            resource.infos.append((series, {n: v for n, v in labels.items() if n not in INSTANCE}))
            return series
        scope = self._scope_of(labels, resource)
        metadata, family, kind = self._family(name)
        if kind == "gaugehistogram":
            return Series()  # OTLP has nothing for it; the Collector leaves it out, too
        if native:
            kind = "exponential"
        metric = scope.metrics.get((family, kind))
        if metric is None:
            metric = scope.metrics[family, kind] = Metric(family, kind, metadata, scope)
        return series_in(metric, name, labels)

    def _scope_of(self, labels: Labels, resource: Resource) -> Scope:
        """Take the labels of the scope out of `labels`, and find it."""
        told = {}
        if "otel_scope_name" in labels:
            told = {name: labels.pop(name) for name in list(labels) if name.startswith("otel_scope_")}
        key = tuple(sorted(told.items()))
        scope = resource.scopes.get(key)
        if scope is None:
            own = ("", "") if told else self._scope
            name, version = told.pop("otel_scope_name", own[0]), told.pop("otel_scope_version", own[1])
            url = told.pop("otel_scope_schema_url", "")
            attributes = {name.removeprefix("otel_scope_"): value for name, value in told.items()}
            texts = b"".join(sized(tag, text.encode()) for tag, text in ((0x0A, name), (0x12, version)) if text)
            head = sized(0x0A, texts + encode_attributes(0x1A, attributes))
            scope = resource.scopes[key] = Scope(head, url, resource)
        return scope

    def _family(self, name: str) -> tuple[Metadata, str, str]:
        """What is known of a sample's metric, the name that it has in OTLP, and its type."""
        self._asked.add(name)
        if (known := self.metadata.get(name)) is not None:
            return known, name, known.type
        for suffix in _SUFFIXES:
            if name.endswith(suffix) and (known := self.metadata.get(name.removesuffix(suffix))) is not None:
                family = name.removesuffix(suffix)
                if known.type == "counter":
                    return known, f"{family}_total" if suffix == "_created" else name, known.type
                if known.type in ("histogram", "summary", "info", "gaugehistogram"):
                    return known, family, known.type
                return known, name, known.type
        total = f"{name.removesuffix('_created')}_total"
        if name.endswith("_created") and (known := self.metadata.get(total)) is not None and known.type == "counter":
            return known, total, known.type  # as protobuf names it
        return Metadata(), name, "unknown"


def _trimmed(name: str, metadata: Metadata) -> str:
    """A name without the suffixes of its type and unit."""
    if metadata.type == "counter":
        name = name.removesuffix("_total")
    return name.removesuffix(f"_{metadata.unit}") if metadata.unit else name
