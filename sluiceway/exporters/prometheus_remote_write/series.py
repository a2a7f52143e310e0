"""What a data point's series are called: names, labels and metadata, by OpenTelemetry's rules for Prometheus.

https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/

The encoder asks once for each set of labels and keeps the answer, so nothing here need be fast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, TypeVar

from sluiceway.prometheus.labels import text_of
from sluiceway.prometheus.naming import Kind, Strategy, label_name, metric_name, unit_words

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import KeyValue

__all__ = ["Answer", "SeriesNames", "bound_text"]

Labels: TypeAlias = tuple[bytes, ...]
"""Names and values by turns, in the order of the names."""
Metadata: TypeAlias = tuple[int, bytes, bytes, bytes]
"""Type, name, help and unit of a metric."""
Answer: TypeAlias = tuple[Labels, Metadata, list[Labels]]
"""The labels that all series of a point share; what is said of its metric; the labels of each series."""

NAME: Final = "__name__"
TARGET_INFO: Final = "target_info"
LONGEST_EXEMPLAR: Final = 128
"""Characters of all labels of an exemplar together, as OpenMetrics has it."""

_KINDS: Final = {
    0x2A: Kind.GAUGE, 0x3A: Kind.SUM, 0x4A: Kind.HISTOGRAM, 0x52: Kind.EXPONENTIAL_HISTOGRAM, 0x5A: Kind.SUMMARY,
}  # fmt: skip
_COUNTER, _GAUGE, _HISTOGRAM, _SUMMARY, _INFO = 1, 2, 3, 5, 6
_TYPES: Final = {
    Kind.GAUGE: _GAUGE, Kind.HISTOGRAM: _HISTOGRAM, Kind.EXPONENTIAL_HISTOGRAM: _HISTOGRAM, Kind.SUMMARY: _SUMMARY,
}  # fmt: skip
_IDENTITY: Final = ("service.namespace", "service.name", "service.instance.id")
T = TypeVar("T")

_LARGEST_CACHE: Final = 4096
_LARGEST_KEY: Final = 4096
"""Bytes that are remembered: what a sender makes larger is read anew each time."""


class _Resource(NamedTuple):
    """A resource: all of its attributes, and the labels `job` and `instance`."""

    attributes: Mapping[str, str]
    identity: Mapping[str, str]


class SeriesNames:
    """Names series as the settings say. `external` are labels that all get which have none of that name."""

    def __init__(
        self,
        strategy: Strategy,
        *,
        namespace: str = "",
        external: Mapping[str, str] | None = None,
        scope_info: bool = True,
        target_info: bool = True,
        resource_labels: bool = False,
        without_identity: bool = False,
    ) -> None:
        self._strategy = strategy
        self._namespace = namespace
        self._external = {name: text for name, text in (external or {}).items() if text}
        self._scope_info = scope_info
        self._target_info = target_info
        self._resource_labels = resource_labels
        self._left_out = _IDENTITY if without_identity else ()
        remember = _remember
        self._resource = remember(_read_resource)
        self._scope = remember(self._name_scope)
        self._metric = remember(self._name_metric)
        self._label = remember(partial(label_name, strategy=strategy))

    def describe(
        self,
        resource: bytes,
        scope: bytes,
        schema_url: bytes,
        head: tuple[bytes, bytes, bytes],
        member: int,
        monotonic: bool,
        attributes: bytes,
        values: tuple[float, ...],
    ) -> Answer | None:
        """The series of a point, or None where it has no name. `member` 0 asks for those of the resource itself.

        `head` is name, unit and description of the metric; `values` are bounds or quantiles.
        """
        known = self._resource(resource)
        if not member:
            return self._describe_resource(known)
        kind = _KINDS[member]
        name, metadata = self._metric(head, kind, monotonic)
        if not name:
            return None
        labels = self._labels(_attributes(attributes), known)
        if self._scope_info:
            labels |= self._scope(scope, schema_url)
        labels = self._completed(labels, known)
        return _flat({**labels, NAME: name}), metadata, _parts(kind, name, labels, values)

    def label_exemplar(self, attributes: bytes, trace: bytes, span: bytes) -> Labels:
        """The labels of an exemplar; its attributes are left out where they make it too long."""
        ids = {name: id.hex() for name, id in (("trace_id", trace), ("span_id", span)) if id}
        labels = self._joined(_attributes(attributes))
        whole = {**labels, **ids}
        fits = sum(len(name) + len(text) for name, text in whole.items()) <= LONGEST_EXEMPLAR
        return _flat(whole if fits else ids)

    def _describe_resource(self, known: _Resource) -> Answer | None:
        rest = {key: value for key, value in known.attributes.items() if key not in _IDENTITY}
        if not self._target_info or not rest or not known.identity:
            return None
        name = f"{self._namespace}_{TARGET_INFO}" if self._namespace else TARGET_INFO
        labels = _flat({**self._completed(self._joined(rest), known), NAME: name})
        return labels, (_INFO, name.encode(), b"Target metadata", b""), [labels]

    def _name_metric(self, head: tuple[bytes, bytes, bytes], kind: Kind, monotonic: bool) -> tuple[str, Metadata]:
        title, unit, text = (part.decode(errors="replace") for part in head)
        name = ""
        if metric_name(title, "", kind, False, self._strategy):  # or a unit would be all that it has
            name = metric_name(title, unit, kind, monotonic, self._strategy, self._namespace)
        counts = _COUNTER if kind is Kind.SUM and monotonic else _GAUGE
        words = "_".join(filter(None, unit_words(unit)))
        return name, (_TYPES.get(kind, counts), name.encode(), text.encode(), words.encode())

    def _labels(self, attributes: Mapping[str, str], known: _Resource) -> dict[str, str]:
        if self._resource_labels:
            attributes = {
                **attributes,
                **{key: value for key, value in known.attributes.items() if key not in self._left_out},
            }
        return self._joined(attributes)

    def _joined(self, attributes: Mapping[str, str]) -> dict[str, str]:
        """Labels of attributes; of those whose names become the same the values are joined, in the order of keys."""
        labels: dict[str, str] = {}
        for key in sorted(attributes):
            name, text = self._label(key), attributes[key]
            if not name or not text:  # to Prometheus an empty label is none
                continue
            before = labels.get(name)
            labels[name] = text if before is None or before == text else f"{before};{text}"
        return labels

    def _completed(self, labels: dict[str, str], known: _Resource) -> dict[str, str]:
        return {**self._external, **labels, **known.identity}

    def _name_scope(self, scope: bytes, schema_url: bytes) -> dict[str, str]:
        name, version, attributes = _read_scope(scope)
        labels = self._joined({f"otel_scope_{key}": value for key, value in attributes.items()})
        url = schema_url.decode(errors="replace")
        own = {"otel_scope_name": name, "otel_scope_version": version, "otel_scope_schema_url": url}
        return labels | {label: text for label, text in own.items() if text}


def bound_text(value: float) -> str:
    """A bound or quantile as the label `le` or `quantile` has it: without an exponent, and without `.0`."""
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    text = format(Decimal(repr(value)), "f") if value == value else "NaN"
    return text.removesuffix(".0")


def _parts(kind: Kind, name: str, labels: Mapping[str, str], values: Iterable[float]) -> list[Labels]:
    """The labels of each series of a point, in the encoder's order."""
    total, count = ({**labels, NAME: f"{name}_{end}"} for end in ("sum", "count"))
    match kind:
        case Kind.HISTOGRAM:
            bounds = [*map(bound_text, values), "+Inf"]
            buckets = [{**labels, NAME: f"{name}_bucket", "le": bound} for bound in bounds]
            return [_flat(part) for part in (*buckets, total, count)]
        case Kind.SUMMARY:
            quantiles = [{**labels, NAME: name, "quantile": bound_text(value)} for value in values]
            return [_flat(part) for part in (*quantiles, total, count)]
        case _:
            return [_flat({**labels, NAME: name})]


def _flat(labels: Mapping[str, str]) -> Labels:
    return tuple(text.encode(errors="replace") for name in sorted(labels) for text in (name, labels[name]))


def _attributes(content: bytes) -> Mapping[str, str]:
    """Attributes as texts, of KeyValues behind the tag 0x0A; the last of each key."""
    from opentelemetry.proto.common.v1.common_pb2 import KeyValueList

    return _texts(KeyValueList.FromString(content).values)


def _texts(pairs: Iterable[KeyValue]) -> Mapping[str, str]:
    return {pair.key: text_of(pair.value.SerializeToString()).decode(errors="replace") for pair in pairs}


def _read_resource(content: bytes) -> _Resource:
    attributes = _attributes(content)
    namespace, service, instance = (attributes.get(key, "") for key in _IDENTITY)
    job = f"{namespace}/{service}" if namespace and service else service
    return _Resource(attributes, {name: text for name, text in (("job", job), ("instance", instance)) if text})


def _read_scope(content: bytes) -> tuple[str, str, Mapping[str, str]]:
    from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope

    scope = InstrumentationScope.FromString(content)
    return scope.name, scope.version, _texts(scope.attributes)


def _remember(function: Callable[..., T]) -> Callable[..., T]:
    """Answer small questions from memory: at most `_LARGEST_CACHE` of them."""
    known = lru_cache(maxsize=_LARGEST_CACHE)(function)

    def ask(*given: Any) -> T:
        return known(*given) if _size(given) <= _LARGEST_KEY else function(*given)

    return ask


def _size(given: object) -> int:
    match given:
        case tuple():
            return sum(map(_size, given))
        case bytes() | str():
            return len(given)
        case _:
            return 0
