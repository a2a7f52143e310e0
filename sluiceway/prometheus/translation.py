"""What the store asks when something is new: the name under which a metric is shown, and the labels of its origin.

The rules are those of OpenTelemetry's "Prometheus and OpenMetrics Compatibility" (here: the specification).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Protocol

from sluiceway.prometheus.families import Family, Type
from sluiceway.prometheus.naming import Kind, Strategy, is_legacy, label_name, metric_name, unit_words

__all__ = ["CONFLICT", "NAMELESS", "SERVICE", "Origin", "Rules", "Translation"]

CONFLICT: Final = -1
NAMELESS: Final = -3
LONGEST_KNOWN: Final = 128
"""Bytes: the labels of longer keys are not remembered."""
MOST_COMPLAINTS: Final = 1000
"""Conflicts that are remembered, so that each is logged once."""

_KINDS: Final = {
    5: Kind.GAUGE, 7: Kind.SUM, 9: Kind.HISTOGRAM, 10: Kind.EXPONENTIAL_HISTOGRAM, 11: Kind.SUMMARY,
}  # fmt: skip
_TYPES: Final = {
    Kind.GAUGE: Type.GAUGE, Kind.SUM: Type.GAUGE, Kind.HISTOGRAM: Type.HISTOGRAM,
    Kind.EXPONENTIAL_HISTOGRAM: Type.HISTOGRAM, Kind.SUMMARY: Type.SUMMARY,
}  # fmt: skip
_RESERVED: Final = {9: b"le", 10: b"le", 11: b"quantile"}
_ONE: Final = {Type.GAUGE, Type.UNKNOWN}
_JOINED: Final = (b"job", b"instance")
SERVICE: Final = ("service.name", "service.namespace", "service.instance.id")
"""The attributes of a resource that `job` and `instance` are made of."""
_SERVICE: Final = tuple(key.encode() for key in SERVICE)

Labels = dict[bytes, bytes]
Origin = tuple[Labels, tuple[bytes, bytes], list[tuple[bytes, bytes]]]
"""Of a resource: the labels of all its series, its job and instance, and the attributes that `target_info` shows."""


class Opens(Protocol):
    """The store, as far as it is needed here."""

    def open_family(self, record: Family) -> int: ...


def _label(key: bytes, strategy: Strategy) -> bytes:
    return label_name(key.decode(errors="replace"), strategy).encode() or b"key"


_known_label = lru_cache(maxsize=16_384)(_label)


def _none(_key: str) -> bool:
    return False


def _ignore(_text: str, _name: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Rules:
    """What settings say of names and labels."""

    strategy: Strategy = Strategy.UNDERSCORES_SUFFIXES
    namespace: str = ""
    constant_labels: Mapping[str, str] = field(default_factory=dict)
    scope_info: bool = True
    is_resource_label: Callable[[str], bool] = _none
    """Which attributes of a resource become labels of all its series."""


class Translation:
    """Names and labels by `rules`. `complain(what, name)` is called once for each conflict; the name is a metric's."""

    def __init__(self, rules: Rules, complain: Callable[[str, str], None] = _ignore) -> None:
        self._rules = rules
        self.complain = complain
        self._complained: set[tuple[str, str]] = set()
        self._numbers: dict[str, int] = {}
        self.claims: dict[str, Family] = {}
        """The names of all samples that can be shown, and of all families, each with the family that has it."""
        self.constant: Labels = {
            self.label(name.encode()): value.encode() for name, value in rules.constant_labels.items() if value
        }

    def label(self, key: bytes) -> bytes:
        """The label that an attribute becomes; `key` for one whose name has no letter or digit left."""
        name = _label if len(key) > LONGEST_KNOWN else _known_label
        return name(key, self._rules.strategy)

    def is_legacy(self, name: bytes) -> bool:
        """Whether a label's name is one by Prometheus' old rules."""
        return is_legacy(name.decode(errors="replace"), label=True)

    def target_family(self) -> Family:
        """The family that shows resources, which is there from the start."""
        rules = self._rules
        name = metric_name("target_info", "", Kind.GAUGE, False, rules.strategy, rules.namespace)
        family = Family(name, Type.INFO, "Target metadata", "")
        self.claims |= dict.fromkeys(family.claimed, family)
        return family

    def shown(
        self, name: bytes, unit: bytes, description: bytes, kind: int, is_counter: bool, is_unknown: bool = False
    ) -> Family:
        """How a metric is shown, `kind` being the number of its field in `Metric`; without a name where it has none."""
        told, known_unit, rules = _KINDS[kind], unit.decode(errors="replace"), self._rules
        text = metric_name(name.decode(errors="replace"), known_unit, told, is_counter, rules.strategy, rules.namespace)
        words = "_".join(word for word in unit_words(known_unit) if word)
        type = Type.COUNTER if is_counter else Type.UNKNOWN if is_unknown else _TYPES[told]
        return Family(text, type, description.decode(errors="replace"), words)

    def labels(self, attributes: Iterable[tuple[bytes, bytes]], own: Labels, kind: int) -> Labels:
        """The labels of a point of this kind: those that its series have for other reasons, and its attributes.

        Where a name is taken by one of `own`, or by the series that make up a histogram or summary, `exported_` stands
        in front. Of attributes that become the same label the values are joined by `;`, in the order they come in.
        """
        reserved = _RESERVED.get(kind)
        labels: Labels = {}
        for key, text in attributes:
            if text:  # in Prometheus an empty label is none
                name = self.label(key)
                while name in own or name == reserved:
                    name = b"exported_" + name
                labels[name] = labels[name] + b";" + text if name in labels else text
        return labels | own

    def family(
        self, store: Opens, name: bytes, unit: bytes, description: bytes, kind: int, is_counter: bool, is_unknown: bool
    ) -> int:
        """The number of the family that a metric belongs to, or why it can have none.

        Of one name the first type wins, and so does the first description (the specification, "Metric Metadata"). A
        gauge that was of unknown type in Prometheus is so again (the section "Gauges"), and goes with other gauges.
        """
        family = self.shown(name, unit, description, kind, is_counter, is_unknown)
        shown = family.name
        if not shown:
            self._tell("has no name that Prometheus could take", name.decode(errors="replace"))
            return NAMELESS
        number = self._numbers.get(shown)
        if number is not None and (
            self.claims[shown].type is family.type or {self.claims[shown].type, family.type} == _ONE
        ):
            if self.claims[shown].help != family.help:
                self._tell("comes with different descriptions, of which the first is shown", shown)
            return number
        if any(claimed in self.claims for claimed in family.claimed):
            self._tell("comes with different types, of which only the first is shown", shown)
            return CONFLICT
        number = self._numbers[shown] = store.open_family(family)
        self.claims |= dict.fromkeys(family.claimed, family)
        return number

    def collided(self, family: Family) -> None:
        """Learn that two streams of a family have the same labels."""
        self._tell("comes from several places with the same labels, of which the newest point is shown", family.name)

    def forget(self, family: Family) -> None:
        """Let the names of a family without series be somebody else's."""
        del self._numbers[family.name]
        for name in family.claimed:
            del self.claims[name]

    def resource(self, attributes: Mapping[bytes, bytes]) -> Origin:
        """What becomes of a resource's attributes (the specification, "Resource Attributes").

        A resource that has nothing to be told but who it is, or of which it is not known who it is, has no
        `target_info`: nothing could be joined with it.
        """
        own: Labels = {}
        for key in sorted(attributes):
            if attributes[key] and self._rules.is_resource_label(key.decode(errors="replace")):
                name = self.label(key)
                own[name] = own[name] + b";" + attributes[key] if name in own else attributes[key]
        service, namespace, instance = (attributes.get(key, b"") for key in _SERVICE)
        job = namespace + b"/" + service if namespace and service else service
        identity = {name: value for name, value in ((b"job", job), (b"instance", instance)) if value}
        told = [
            (b"exported_" + key if self.label(key) in _JOINED else key, attributes[key])
            for key in sorted(attributes)
            if attributes[key] and key not in _SERVICE
        ]
        target = [*identity.items(), *told] if identity and told else []
        return own | identity, (job, instance), target

    def scope(self, name: bytes, version: bytes, schema_url: bytes, attributes: Mapping[bytes, bytes]) -> Labels:
        """The labels that say which scope a series is of."""
        if not self._rules.scope_info:
            return {}
        labels: Labels = {}
        for key in sorted(attributes):
            label = self.label(b"otel_scope_" + key)
            if attributes[key]:
                labels[label] = labels[label] + b";" + attributes[key] if label in labels else attributes[key]
        own = {b"otel_scope_name": name, b"otel_scope_version": version, b"otel_scope_schema_url": schema_url}
        return labels | {label: value for label, value in own.items() if value}

    def _tell(self, what: str, name: str) -> None:
        if (what, name) not in self._complained and len(self._complained) < MOST_COMPLAINTS:
            self._complained.add((what, name))
            self.complain(what, name)
