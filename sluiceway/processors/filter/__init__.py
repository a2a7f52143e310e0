"""Drops spans, span events, metrics, data points and log records, and whole resources, that a condition holds for.

Conditions are OTTL. What one of them holds for is dropped; higher levels come first. A metric whose points are all gone
goes as well, and so does a scope or resource with nothing left in it; a span stays without its events. Nothing else is
changed, and nothing is held back. What is dropped is counted in the ledger as `filtered`, once what is left is safe.
Neighbouring `attributes`, `resource` and `filter` processors are one walk of the bytes: each sees what those before it
did.

A condition that fails, as `HasPrefix` does for what is no text, does not hold; with `error_mode: propagate` the whole
batch is refused for good instead. Ten thousand conditions that ask for equality cost about as much as one.

`trace_conditions`, `metric_conditions` and `log_conditions` take paths that say what they are about
(`span.attributes["http.route"]`), from which the context of each condition is guessed, or groups that name it. A list
may thus hold conditions on resources beside some on spans and on their events. The Collector's older forms work as
well: lists under `traces`, `metrics` and `logs`, and `include`/`exclude`, whose `match_type: expr` is not supported.
The functions are `IsMatch` (RE2), `HasPrefix`, `HasSuffix`, `IsString`, `IsInt`, `IsDouble`, `IsBool`, `IsMap`,
`IsList`, `IsRootSpan`, `TraceID`, `SpanID`, and for metrics `HasAttrKeyOnDatapoint` and `HasAttrOnDatapoint`. Whatever
of OTTL is not understood yet is an error when the configuration is loaded.

```yaml
processors:
  filter:
    trace_conditions:
      - span.attributes["http.route"] == "/health"
      - IsMatch(resource.attributes["k8s.namespace.name"], "^test-")
    metric_conditions:
      - metric.name == "system.disk.io" and metric.type == METRIC_DATA_TYPE_SUM
    log_conditions:
      - log.severity_number != 0 and log.severity_number < SEVERITY_NUMBER_WARN
```
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Self

from pydantic import model_validator

from sluiceway.component import Component, Context, Kind, Prepared, Reason, Stability
from sluiceway.config.settings import Mistake, mistakes
from sluiceway.config.types import Settings
from sluiceway.otlp import Batch, Signal
from sluiceway.otlp.plan import Drop, Plan, Tally
from sluiceway.ottl import Context as About
from sluiceway.processors.filter.conditions import (
    ErrorMode,
    Groups,
    compile_groups,
    compile_list,
    problems_of,
    problems_of_list,
)
from sluiceway.processors.filter.selecting import (
    LogMatchConfig,
    MetricMatchConfig,
    SpanFilters,
    drop_logs,
    drop_metrics,
    drop_spans,
)

__all__ = ["COMPONENT", "FilterConfig", "FilterProcessor"]


class TraceFilters(Settings):
    """Conditions on what a trace is made of. Deprecated: use `trace_conditions`."""

    resource: tuple[str, ...] = ()
    """Drop whole resources."""
    span: tuple[str, ...] = ()
    """Drop spans."""
    spanevent: tuple[str, ...] = ()
    """Drop events of spans."""


class MetricFilters(Settings):
    """Conditions on metrics, or their names. Deprecated: use `metric_conditions`."""

    resource: tuple[str, ...] = ()
    """Drop whole resources."""
    metric: tuple[str, ...] = ()
    """Drop metrics."""
    datapoint: tuple[str, ...] = ()
    """Drop data points."""
    include: MetricMatchConfig | None = None
    """Keep only these."""
    exclude: MetricMatchConfig | None = None
    """Drop these of those that are left."""


class LogFilters(Settings):
    """Conditions on log records, or their properties. Deprecated: use `log_conditions`."""

    resource: tuple[str, ...] = ()
    """Drop whole resources."""
    log_record: tuple[str, ...] = ()
    """Drop log records."""
    include: LogMatchConfig | None = None
    """Keep only these."""
    exclude: LogMatchConfig | None = None
    """Drop these of those that are left."""


_LISTS: Final = {
    Signal.TRACES: (("resource", About.RESOURCE), ("span", About.SPAN), ("spanevent", About.SPANEVENT)),
    Signal.METRICS: (("resource", About.RESOURCE), ("metric", About.METRIC), ("datapoint", About.DATAPOINT)),
    Signal.LOGS: (("resource", About.RESOURCE), ("log_record", About.LOG)),
}
_NOUNS: Final = {Signal.TRACES: "trace", Signal.METRICS: "metric", Signal.LOGS: "log"}


class FilterConfig(Settings):
    """The settings of `filter`."""

    error_mode: ErrorMode = "ignore"
    """When a condition fails: `ignore` logs it and goes on, `silent` goes on, `propagate` refuses the batch."""
    trace_conditions: Groups = ()
    """Conditions on resources, scopes, spans and span events."""
    metric_conditions: Groups = ()
    """Conditions on resources, scopes, metrics and data points."""
    log_conditions: Groups = ()
    """Conditions on resources, scopes and log records."""
    traces: TraceFilters = TraceFilters()
    """Older form of `trace_conditions`: lists by what they are about."""
    metrics: MetricFilters = MetricFilters()
    """Older form of `metric_conditions`, and the oldest: `include` and `exclude`."""
    logs: LogFilters = LogFilters()
    """Older form of `log_conditions`, and the oldest: `include` and `exclude`."""
    spans: SpanFilters = SpanFilters()
    """The oldest form for traces: which spans to keep and which to drop."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = [*map(Mistake, self._mixtures()), *self._mistakes()]
        if problems:
            raise mistakes(problems)
        return self

    def groups(self, signal: Signal) -> Groups:
        """The newest form's groups for a signal."""
        return {
            Signal.TRACES: self.trace_conditions,
            Signal.METRICS: self.metric_conditions,
            Signal.LOGS: self.log_conditions,
        }[signal]

    def lists(self, signal: Signal) -> Iterator[tuple[str, About, tuple[str, ...]]]:
        """The older form's lists for a signal, by their names, higher levels first."""
        section = {Signal.TRACES: self.traces, Signal.METRICS: self.metrics, Signal.LOGS: self.logs}[signal]
        for name, context in _LISTS[signal]:
            conditions = getattr(section, name)
            if conditions:
                yield name, context, conditions

    def _mixtures(self) -> Iterator[str]:
        sections = {Signal.TRACES: self.spans, Signal.METRICS: self.metrics, Signal.LOGS: self.logs}
        for signal, oldest in sections.items():
            section = "spans" if signal is Signal.TRACES else signal.value
            selects = any(getattr(oldest, name) is not None for name in ("include", "exclude"))
            names = [f'"{signal.value}.{name}"' for name, _ in _LISTS[signal]]
            old = [f'"{section}.include"', f'"{section}.exclude"']
            lists = any(True for _ in self.lists(signal))
            if lists and selects:
                yield f"cannot use {', '.join(names)} and the settings {', '.join(old)} at the same time"
            if self.groups(signal) and (lists or (selects and signal is not Signal.TRACES)):
                noun = _NOUNS[signal]
                others = names if signal is Signal.TRACES else names + old
                yield (
                    f'cannot use context inferred {noun} conditions "{noun}_conditions" and the settings '
                    f"{', '.join(others)} at the same time"
                )

    def _mistakes(self) -> Iterator[Mistake]:
        for signal in Signal:
            for text, path in problems_of(self.groups(signal), signal):
                yield Mistake(text, (f"{_NOUNS[signal]}_conditions", *path))
            for name, context, conditions in self.lists(signal):
                for text, path in problems_of_list(conditions, context):
                    yield Mistake(text, (signal.value, name, *path))


_METRICS: Final = {
    Signal.TRACES: ("otelcol_processor_filter_spans.filtered", "Number of spans dropped by the filter processor"),
    Signal.METRICS: (
        "otelcol_processor_filter_datapoints.filtered",
        "Number of metric data points dropped by the filter processor",
    ),
    Signal.LOGS: ("otelcol_processor_filter_logs.filtered", "Number of logs dropped by the filter processor"),
}
_QUIET: Final = 60.0
"""Seconds between two lines in the log about conditions that fail."""


class FilterProcessor:
    """An editor that drops."""

    reads_payload = False
    counts_items = False

    def __init__(self, config: FilterConfig, context: Context, _next: object) -> None:
        self.plan = Plan([drop for signal in Signal if signal in context.signals for drop in _drops(config, signal)])
        self._context = context
        self._filtered = dict.fromkeys(Signal, 0)
        self._failures = 0
        self._logs = config.error_mode == "ignore"
        self._silent_until = -_QUIET
        self._show()

    def prepare(self, batch: Batch) -> Prepared:
        """Never drops or refuses itself: the walk does."""
        return Prepared(batch, tallied=self._count)

    def _count(self, signal: Signal, tallies: tuple[Tally, ...]) -> None:
        dropped = sum(tally[0] for tally in tallies)
        failures = sum(tally[1] for tally in tallies)
        self._filtered[signal] += dropped
        self._context.drop(dropped, Reason.FILTERED, intended=True)
        if failures:
            self._tell(failures)

    def _tell(self, failures: int) -> None:
        self._failures += failures
        now = self._context.clock.now()
        if self._logs and now >= self._silent_until:
            self._silent_until = now + _QUIET
            self._context.logger.warning(
                "Conditions failed, and so did not hold: a text was asked for where there was none, or what is no map "
                "or list was indexed",
                extra={"failures": self._failures},
            )

    def _show(self) -> None:
        scope, labels = self._context.telemetry, {"filter": self._context.id}
        for signal in self._context.signals:
            name, text = _METRICS[signal]
            scope.counter(name, lambda signal=signal: self._filtered[signal], "1", text, **labels)  # type: ignore[misc]  # a loop's variable
        scope.counter(
            "sluiceway_filter_condition_failures",
            lambda: self._failures,
            "{failure}",
            "Conditions that failed and so did not hold.",
            processor=self._context.id,
        )


def _drops(config: FilterConfig, signal: Signal) -> Iterator[Drop]:
    """The actions of the settings for one signal, in order."""
    yield from compile_groups(config.groups(signal), signal, config.error_mode)
    for _, context, conditions in config.lists(signal):
        yield compile_list(conditions, context, signal, config.error_mode)
    match signal:
        case Signal.TRACES:
            drop = drop_spans(config.spans.include, config.spans.exclude)
        case Signal.LOGS:
            drop = drop_logs(config.logs.include, config.logs.exclude)
        case Signal.METRICS:
            yield from drop_metrics(config.metrics.include, config.metrics.exclude)
            return
    if drop is not None:
        yield drop


COMPONENT = Component(
    type="filter",
    kind=Kind.PROCESSOR,
    config=FilterConfig,
    create=FilterProcessor,
    stability=Stability.BETA,
)
