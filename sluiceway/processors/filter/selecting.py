"""The oldest form of `filter`: `include` and `exclude` with names, attributes, bodies and severities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from sluiceway.config.actions import is_value, named_groups
from sluiceway.config.selection import AttributeMatch, MatchConfig, RegexpConfig, SeverityMatch
from sluiceway.config.types import Settings, StringList
from sluiceway.otlp import Signal
from sluiceway.otlp.conditions import Compare, Condition, FieldOf, Matches, Not, Or, Rule
from sluiceway.otlp.levels import Level
from sluiceway.otlp.plan import Drop, Match, Selection

__all__ = ["LogMatchConfig", "MetricMatchConfig", "SpanFilters", "drop_logs", "drop_metrics", "drop_spans"]


class SpanFilters(Settings):
    """Which spans to keep, by their properties. Deprecated: use `trace_conditions`."""

    include: MatchConfig | None = None
    """Keep only these spans."""
    exclude: MatchConfig | None = None
    """Drop these of those that are left."""


class LogMatchConfig(Settings):
    """Properties of log records that must all hold; one entry of a list suffices, except of the attributes."""

    match_type: Literal["strict", "regexp"]
    """Whether texts are compared as they are, or are RE2 patterns to be found anywhere."""
    resource_attributes: tuple[AttributeMatch, ...] = ()
    """Attributes of the resource; all must match."""
    record_attributes: tuple[AttributeMatch, ...] = ()
    """Attributes of the record; all must match."""
    severity_texts: StringList = ()
    """Severity texts."""
    severity_number: SeverityMatch | None = None
    """A lowest severity number."""
    bodies: tuple[str, ...] = ()
    """Bodies, as text."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = list(_attribute_problems((*self.resource_attributes, *self.record_attributes), self.match_type))
        problems += _pattern_problems((*self.severity_texts, *self.bodies), self.match_type)
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing, and so chooses nothing."""
        return not (
            self.resource_attributes
            or self.record_attributes
            or self.severity_texts
            or self.severity_number
            or self.bodies
        )

    def match(self) -> Match:
        """The kernel's form of these settings."""
        return Match(
            regexp=self.match_type == "regexp",
            resources=tuple((entry.key, entry.value) for entry in self.resource_attributes),
            attributes=tuple((entry.key, entry.value) for entry in self.record_attributes),
            log_severity_texts=self.severity_texts,
            log_severity_min=self.severity_number.number if self.severity_number else None,
            log_severity_undefined=self.severity_number.match_undefined if self.severity_number else False,
            log_bodies=self.bodies,
        )


class MetricMatchConfig(Settings):
    """Names of metrics, and attributes of the resources that they come from."""

    match_type: Literal["strict", "regexp", "expr"]
    """Whether texts are compared as they are, or are RE2 patterns to be found anywhere. `expr` is not supported."""
    regexp: RegexpConfig | None = None
    """Settings of the Collector's regular expressions; no effect."""
    metric_names: tuple[str, ...] = ()
    """Names of metrics; one suffices."""
    expressions: tuple[str, ...] = Field(default=(), repr=False)
    """Not supported: write OTTL conditions under `metric_conditions`."""
    resource_attributes: tuple[AttributeMatch, ...] = ()
    """Attributes of the resource; all must match. They choose whole resources, whatever the names say."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = list(_attribute_problems(self.resource_attributes, self.match_type))
        problems += _pattern_problems(self.metric_names, self.match_type)
        if self.match_type == "expr" or self.expressions:
            problems.append("match_type expr is not supported: write OTTL conditions under 'metric_conditions' instead")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def name_condition(self) -> Condition:
        """The condition that a metric has one of the names."""
        name = FieldOf("metric.name")
        if self.match_type == "regexp":
            return Or(tuple(Matches(name, pattern) for pattern in self.metric_names))
        return Or(tuple(Compare(name, "==", text) for text in self.metric_names))

    def resource_match(self) -> Match | None:
        """Which resources it chooses; None where it does not say."""
        if not self.resource_attributes:
            return None
        resources = tuple((entry.key, entry.value) for entry in self.resource_attributes)
        return Match(regexp=self.match_type == "regexp", resources=resources)


def _attribute_problems(entries: Sequence[AttributeMatch], match_type: str) -> Iterator[str]:
    for entry in entries:
        value: Any = entry.value
        if not is_value(value):
            yield f'the value to match for "{entry.key}" is none that an attribute can have'
        elif match_type == "regexp" and not isinstance(value, str | None):
            yield f'the value to match for "{entry.key}" must be a text when match_type is regexp'
        elif match_type == "regexp" and value is not None:
            yield from _pattern_problems((value,), match_type)


def _pattern_problems(texts: Sequence[str], match_type: str) -> Iterator[str]:
    if match_type == "regexp":
        yield from (f'invalid pattern "{text}"' for text in texts if named_groups(text) is None)


def drop_spans(include: MatchConfig | None, exclude: MatchConfig | None) -> Drop | None:
    """Make the action that keeps only the spans that are chosen; None where nothing is said."""
    if include is None and exclude is None:
        return None
    selection = Selection(include.match() if include else None, exclude.match() if exclude else None)
    return Drop(Level.ITEM, unless=selection, signal=Signal.TRACES)


def drop_logs(include: LogMatchConfig | None, exclude: LogMatchConfig | None) -> Drop | None:
    """Make the action that keeps only the log records that are chosen; None where nothing is said."""
    chosen = include if include and not include.is_empty else None
    left_out = exclude if exclude and not exclude.is_empty else None
    if chosen is None and left_out is None:
        return None
    selection = Selection(chosen.match() if chosen else None, left_out.match() if left_out else None)
    return Drop(Level.ITEM, unless=selection, signal=Signal.LOGS)


def drop_metrics(include: MetricMatchConfig | None, exclude: MetricMatchConfig | None) -> Iterator[Drop]:
    """Yield the actions that keep only what is chosen: first whole resources, then metrics by name."""
    chosen = include.resource_match() if include else None
    left_out = exclude.resource_match() if exclude else None
    if chosen is not None or left_out is not None:
        yield Drop(Level.RESOURCE, unless=Selection(chosen, left_out), signal=Signal.METRICS)
    rules = []
    if include is not None and include.metric_names:
        rules.append(Rule(Not(include.name_condition())))
    if exclude is not None and exclude.metric_names:
        rules.append(Rule(exclude.name_condition()))
    if rules:
        yield Drop(Level.METRIC, tuple(rules), signal=Signal.METRICS)
