"""What a data point's series are called: names, labels and metadata, by the rules that `Translation` has.

The encoder asks once for each set of labels and keeps the answer, so nothing here need be fast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from sluiceway.prometheus.families import Family, Type
from sluiceway.prometheus.labels import exemplar_labels, text_of
from sluiceway.prometheus.translation import Labels, Origin, Rules, Translation

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import KeyValue

__all__ = ["Answer", "SeriesNames", "bound_text"]

Flat: TypeAlias = tuple[bytes, ...]
"""Names and values of labels by turns, in the order of the names."""
Metadata: TypeAlias = tuple[int, bytes, bytes, bytes]
"""Type, name, help and unit of a metric."""
Answer: TypeAlias = tuple[Flat, Metadata, list[Flat]]
"""The labels that all series of a point share; what is said of its metric; the labels of each series."""

NAME: Final = b"__name__"
GAUGE, HISTOGRAM, SUMMARY = 5, 9, 11
"""Numbers of fields in `Metric`."""

_TYPES: Final = {Type.COUNTER: 1, Type.GAUGE: 2, Type.HISTOGRAM: 3, Type.SUMMARY: 5, Type.INFO: 6}
T = TypeVar("T")

_LARGEST_CACHE: Final = 4096
_LARGEST_KEY: Final = 4096
"""Bytes that are remembered: what a sender makes larger is read anew each time."""


class SeriesNames:
    """Names series by the rules. `external` are labels that all get which have none of that name."""

    def __init__(self, rules: Rules, *, external: Mapping[str, str] | None = None, target_info: bool = True) -> None:
        self._translation = Translation(rules)
        self._external = {name.encode(): text.encode() for name, text in (external or {}).items() if text}
        self._target_family = self._translation.target_family() if target_info else None
        self._resource = _remember(self._read_resource)
        self._scope = _remember(self._read_scope)
        self._family = _remember(self._translation.shown)

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
        own, _, target = self._resource(resource)
        if not member:
            return self._describe_resource(target)
        kind = member >> 3
        family = self._family(*head, kind, monotonic)
        if not family.name:
            return None
        own = own | self._scope(scope, schema_url)
        labels = self._external | self._translation.labels(_attributes(attributes), own, kind)
        name = family.name.encode()
        return _flat({**labels, NAME: name}), _metadata(family), _parts(kind, name, labels, values)

    def label_exemplar(self, attributes: bytes, trace: bytes, span: bytes) -> Flat:
        """The labels of an exemplar."""
        return _flat(exemplar_labels(trace, span, _attributes(attributes)))

    def _describe_resource(self, target: list[tuple[bytes, bytes]]) -> Answer | None:
        family = self._target_family
        if family is None or not target:
            return None
        labels = self._external | self._translation.labels(target, {}, GAUGE)
        flat = _flat({**labels, NAME: family.name.encode()})
        return flat, _metadata(family), [flat]

    def _read_resource(self, content: bytes) -> Origin:
        return self._translation.resource(dict(_attributes(content)))

    def _read_scope(self, content: bytes, schema_url: bytes) -> Labels:
        from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope

        scope = InstrumentationScope.FromString(content)
        attributes = dict(_texts(scope.attributes))
        return self._translation.scope(scope.name.encode(), scope.version.encode(), schema_url, attributes)


def bound_text(value: float) -> bytes:
    """A bound or quantile as the label `le` or `quantile` has it: without an exponent, and without `.0`."""
    if value in (float("inf"), float("-inf")):
        return b"+Inf" if value > 0 else b"-Inf"
    text = format(Decimal(repr(value)), "f") if value == value else "NaN"
    return text.removesuffix(".0").encode()


def _metadata(family: Family) -> Metadata:
    return _TYPES[family.type], family.name.encode(), family.help.encode(), family.unit.encode()


def _parts(kind: int, name: bytes, labels: Labels, values: Iterable[float]) -> list[Flat]:
    """The labels of each series of a point, in the encoder's order."""
    total, count = ({**labels, NAME: name + end} for end in (b"_sum", b"_count"))
    if kind == HISTOGRAM:
        bounds = [*map(bound_text, values), b"+Inf"]
        buckets = [{**labels, NAME: name + b"_bucket", b"le": bound} for bound in bounds]
        return [_flat(part) for part in (*buckets, total, count)]
    if kind == SUMMARY:
        quantiles = [{**labels, NAME: name, b"quantile": bound_text(value)} for value in values]
        return [_flat(part) for part in (*quantiles, total, count)]
    return [_flat({**labels, NAME: name})]


def _flat(labels: Labels) -> Flat:
    return tuple(text for name in sorted(labels) for text in (name, labels[name]))


def _attributes(content: bytes) -> list[tuple[bytes, bytes]]:
    """Attributes as texts, of KeyValues behind the tag 0x0A."""
    from opentelemetry.proto.common.v1.common_pb2 import KeyValueList

    return _texts(KeyValueList.FromString(content).values)


def _texts(pairs: Iterable[KeyValue]) -> list[tuple[bytes, bytes]]:
    """Keys and texts in the order of the keys; of one that comes twice the first counts."""
    found: dict[bytes, bytes] = {}
    for pair in pairs:
        found.setdefault(pair.key.encode(), text_of(pair.value.SerializeToString()))
    return sorted(found.items())


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
