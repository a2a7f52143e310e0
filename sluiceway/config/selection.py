"""The include and exclude settings: which spans, log records or data points a processor touches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal, Self

from pydantic import model_validator

from sluiceway.config.actions import is_value, named_groups
from sluiceway.config.types import Settings
from sluiceway.errors import ConfigError
from sluiceway.otlp import Signal
from sluiceway.otlp.plan import Match, Selection

__all__ = ["MatchConfig", "check_signals", "select"]

_FOREIGN: Final = {
    Signal.TRACES: ("log_bodies", "log_severity_texts", "log_severity_number", "metric_names"),
    Signal.LOGS: ("services", "span_names", "span_kinds", "metric_names"),
    Signal.METRICS: (
        "services", "span_names", "span_kinds", "log_bodies", "log_severity_texts", "log_severity_number",
        "attributes", "libraries",
    ),
}  # fmt: skip
_NOUNS: Final = {Signal.TRACES: "trace spans", Signal.LOGS: "log records", Signal.METRICS: "metrics"}
_SEVERITIES: Final = {"TRACE": 1, "DEBUG": 5, "INFO": 9, "WARN": 13, "ERROR": 17, "FATAL": 21}


class AttributeMatch(Settings):
    """An attribute to look for."""

    key: str
    """Its name."""
    value: Any = None
    """Its value, which must be of the same type; without one it is enough that the attribute is there."""


class LibraryMatch(Settings):
    """An instrumentation scope to look for."""

    name: str
    """Its name."""
    version: str | None = None
    """Its version; without one any will do."""


class SeverityMatch(Settings):
    """A lowest severity number."""

    min: int | str
    """The lowest severity that matches, as number (1 to 24) or name (`WARN`, `ERROR2`)."""
    match_undefined: bool = False
    """Whether records without a severity number match."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not 1 <= self.number <= 24:
            raise ValueError(f'"{self.min}" is no severity number')
        return self

    @property
    def number(self) -> int:
        """The lowest severity as number; zero when it is none."""
        if isinstance(self.min, int):
            return self.min
        name = self.min.upper()
        step = int(name[-1]) if name[-1:] in ("2", "3", "4") else 1
        return _SEVERITIES.get(name.rstrip("234"), -step) + step - 1


class RegexpConfig(Settings):
    """The Collector's cache of matches, accepted for its files; matching here needs none."""

    cacheenabled: bool = False
    """No effect."""
    cachemaxnumentries: int = 0
    """No effect."""


class MatchConfig(Settings):
    """Properties that must all hold. One entry of a list suffices, except in `attributes` and `resources`."""

    match_type: Literal["strict", "regexp"]
    """Whether texts are compared as they are, or are RE2 patterns to be found anywhere."""
    regexp: RegexpConfig | None = None
    """Settings of the Collector's regular expressions; no effect."""
    services: tuple[str, ...] = ()
    """Values of the resource attribute `service.name`; spans only."""
    span_names: tuple[str, ...] = ()
    """Names of spans."""
    span_kinds: tuple[str, ...] = ()
    """Kinds of spans: `SPAN_KIND_SERVER` and so on."""
    log_bodies: tuple[str, ...] = ()
    """Bodies of log records, where they are texts."""
    log_severity_texts: tuple[str, ...] = ()
    """Severity texts of log records."""
    log_severity_number: SeverityMatch | None = None
    """A lowest severity number of log records."""
    metric_names: tuple[str, ...] = ()
    """Names of metrics."""
    attributes: tuple[AttributeMatch, ...] = ()
    """Attributes of the span or log record; all must match."""
    resources: tuple[AttributeMatch, ...] = ()
    """Attributes of the resource; all must match."""
    libraries: tuple[LibraryMatch, ...] = ()
    """Instrumentation scopes."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = list(self._problems())
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _problems(self) -> Iterator[str]:
        if not any(getattr(self, name) for name in type(self).model_fields if name not in ("match_type", "regexp")):
            yield "at least one property to match must be specified"
        for entry in (*self.attributes, *self.resources):
            if not is_value(entry.value):
                yield f'the value to match for "{entry.key}" is none that an attribute can have'
            elif self.match_type == "regexp" and not isinstance(entry.value, str | None):
                yield f'the value to match for "{entry.key}" must be a text when match_type is regexp'
        if self.match_type == "regexp":
            yield from (f'invalid pattern "{text}"' for text in self._texts() if named_groups(text) is None)

    def _texts(self) -> Iterator[str]:
        for name in ("services", "span_names", "span_kinds", "log_bodies", "log_severity_texts", "metric_names"):
            yield from getattr(self, name)
        yield from (e.value for e in (*self.attributes, *self.resources) if isinstance(e.value, str))
        for library in self.libraries:
            yield library.name
            if library.version is not None:
                yield library.version

    def match(self) -> Match:
        """The kernel's form of these settings."""
        severity = self.log_severity_number
        return Match(
            regexp=self.match_type == "regexp",
            services=self.services,
            span_names=self.span_names,
            span_kinds=self.span_kinds,
            log_bodies=self.log_bodies,
            log_severity_texts=self.log_severity_texts,
            log_severity_min=severity.number if severity else None,
            log_severity_undefined=severity.match_undefined if severity else False,
            metric_names=self.metric_names,
            attributes=tuple((entry.key, entry.value) for entry in self.attributes),
            resources=tuple((entry.key, entry.value) for entry in self.resources),
            libraries=tuple((library.name, library.version) for library in self.libraries),
        )


def select(include: MatchConfig | None, exclude: MatchConfig | None) -> Selection | None:
    """Which items the two settings leave; None when they leave all."""
    if include is None and exclude is None:
        return None
    return Selection(include.match() if include else None, exclude.match() if exclude else None)


def check_signals(match: MatchConfig | None, signals: frozenset[Signal], path: str) -> None:
    """Raise `ConfigError` when a match asks for what the signals of its pipeline do not have."""
    problems = [
        f"{path}: {name} should not be specified for {_NOUNS[signal]}"
        for signal in sorted(signals, key=lambda s: s.code)
        for name in _FOREIGN[signal]
        if match is not None and getattr(match, name)
    ]
    if problems:
        raise ConfigError(*problems)
