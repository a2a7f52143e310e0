"""Scrapes targets that show their metrics to Prometheus, by Prometheus' own configuration.

Under `config` stands what a `prometheus.yml` has: `global` and `scrape_configs`, with `static_configs` and
`file_sd_configs`, all actions of `relabel_configs` and `metric_relabel_configs`, the ways to authenticate, TLS and the
limits. Other kinds of discovery are refused with a word on what to do instead: write the targets to a file. As in the
Collector, a `$` of a replacement is written `$$`.

The text format, OpenMetrics and protobuf with native histograms are read. Each scrape is one batch. Counters become
monotonic sums, gauges and what has no type gauges, histograms and summaries what they are, native histograms
exponential ones, info and state sets sums that are not monotonic; gauge histograms have no like in OTLP and are left
out. `job` and `instance` become `service.name` and `service.instance.id`, `target_info` more of the resource, and
labels `otel_scope_...` the scope. Each scrape also gives `up`, `scrape_duration_seconds`, `scrape_samples_scraped`,
`scrape_samples_post_metric_relabeling` and `scrape_series_added`. A series that is no longer there, and every series of
a target that cannot be scraped, gets one point with the flag "no recorded value". Sums and distributions start where
`_created` says, else when they were first seen or seen to begin anew.

One bad line fails the whole scrape, as in Prometheus: `up` is 0, and the log says so once. Of a series that comes twice
in one scrape the first sample counts. It writes nothing. What the pipeline refuses is dropped and counted: the next
scrape comes anyway.

```yaml
receivers:
  prometheus:
    config:
      scrape_configs:
        - job_name: api
          scrape_interval: 15s
          static_configs:
            - targets: ['localhost:9100']
```

Targets are spread over the interval by a hash of what they are. Other components scrape by
`sluiceway.receivers.prometheus.scrape`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from sluiceway.component import Component, Consumer, Context, Kind
from sluiceway.config.settings import Mistake, mistake, mistakes
from sluiceway.config.types import Settings
from sluiceway.otlp import Signal
from sluiceway.receivers.prometheus.settings import PrometheusConfig

if TYPE_CHECKING:
    from sluiceway.receivers.prometheus.jobs import Jobs

__all__ = ["COMPONENT", "PrometheusReceiver", "PrometheusSettings"]

_REFUSED = {
    "target_allocator": "target_allocator is not supported: let file_sd_configs read a file of targets",
    "use_start_time_metric": "use_start_time_metric is not supported: start times are found without it",
    "start_time_metric_regex": "start_time_metric_regex is not supported: start times are found without it",
    "api_server": "api_server is not supported: the state of targets is in the metric up, and in the status",
}


class PrometheusSettings(Settings):
    """The settings of the receiver `prometheus`."""

    config: PrometheusConfig = Field(default=PrometheusConfig())
    """What to scrape, in Prometheus' own words."""
    trim_metric_suffixes: bool = False
    """Whether names lose the suffixes `_total` and that of the unit."""
    report_extra_scrape_metrics: bool = False
    """Whether to emit `scrape_timeout_seconds`, `scrape_sample_limit` and `scrape_body_size_bytes`, too."""
    ignore_metadata: bool = False
    """Without effect: types and texts of metrics are always read."""

    @model_validator(mode="before")
    @classmethod
    def _explain(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            if wrong := [Mistake(text, (key,)) for key, text in _REFUSED.items() if _is_on(data.get(key))]:
                raise mistakes(wrong)
            return {key: value for key, value in data.items() if key not in _REFUSED}
        return data

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.config.scrape_configs:
            raise mistake("no Prometheus scrape_configs or target_allocator set", "config")
        return self


def _is_on(section: Any) -> bool:
    return section.get("enabled", True) is not False if isinstance(section, Mapping) else bool(section)


class PrometheusReceiver:
    """The receiver: jobs, each with its targets."""

    def __init__(self, settings: PrometheusSettings, context: Context, next: Consumer) -> None:
        self._settings = settings
        self._context = context
        self._next = next
        self._jobs: Jobs | None = None

    async def __aenter__(self) -> Self:
        from sluiceway.receivers.prometheus.jobs import Jobs

        settings = self._settings
        jobs = Jobs(
            settings.config, self._context, self._next, trim=settings.trim_metric_suffixes,
            extra=settings.report_extra_scrape_metrics,
        )  # fmt: skip
        self._jobs = await jobs.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        jobs, self._jobs = self._jobs, None
        if jobs is not None:
            await jobs.__aexit__(kind, error, trace)


COMPONENT = Component(
    type="prometheus",
    kind=Kind.RECEIVER,
    config=PrometheusSettings,
    create=PrometheusReceiver,
    signals=frozenset({Signal.METRICS}),
)
