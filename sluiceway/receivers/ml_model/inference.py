"""Inference servers: the metrics that they show, under names that are the same for all of them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from sluiceway.otlp.metrics import Histogram
from sluiceway.receivers.ml_model.exposition import Sample, read_samples
from sluiceway.receivers.ml_model.metrics import UP
from sluiceway.receivers.ml_model.presets import PRESETS, Preset, Rule
from sluiceway.receivers.ml_model.settings import InferenceServer
from sluiceway.receivers.ml_model.web import Web
from sluiceway.scraping import Metric, Recorder

__all__ = ["Inference"]

_LONGEST: Final = 256
_MOST_BUCKETS: Final = 200
_MOST: Final = 2**53
"""How much a histogram may count: beyond, a float is no count any more."""
_STARTED: Final = "process_start_time_seconds"
_Key: TypeAlias = tuple[Metric, tuple[tuple[str, str], ...]]


@dataclass(slots=True)
class _Buckets:
    """A histogram that is being put together: counts up to a bound, by the bound."""

    counts: dict[float, float] = field(default_factory=dict)
    sum: float = 0.0
    count: float = 0.0

    def finish(self) -> Histogram | None:
        """The histogram, or None for what is none."""
        bounds = sorted(bound for bound in self.counts if math.isfinite(bound))
        up_to = [self.counts[bound] for bound in bounds]
        total = max(self.count, self.counts.get(math.inf, 0.0))
        if not self.counts or total >= _MOST:
            return None
        counts = [int(after - before) for before, after in zip([0.0, *up_to], [*up_to, total], strict=True)]
        if min(counts) < 0:
            return None
        return Histogram(bounds, counts, self.sum, count=int(total))


@dataclass(slots=True)
class _Page:
    """What one page says, in our names."""

    numbers: dict[_Key, float] = field(default_factory=dict)
    buckets: dict[_Key, _Buckets] = field(default_factory=dict)
    started: int = 0
    known: int = 0
    """Samples that the preset has a name for."""
    full: bool = False


class Inference:
    """One server."""

    def __init__(self, source: InferenceServer, web: Web) -> None:
        self._source = source
        self._web = web
        self._page: _Page | None = None
        self._seen: dict[_Key, float] = {}
        self._start = 0
        self._last = 0

    async def measure(self) -> str:
        """Read the page; returns what is wrong with it, and raises `OSError` or `ValueError` when there is none."""
        self._page = None
        answer = await self._web.ask()
        page = await asyncio.to_thread(_read, answer, self._source)
        self._page = page
        if not page.known:
            return f"the page has no metrics of {self._source.preset}"
        return f"the page has more than {self._source.max_series} series" if page.full else ""

    def record(self, recorder: Recorder, now: int) -> None:
        """Record what the page said, and whether there was one."""
        page = self._page
        recorder.record(UP, int(page is not None))
        if page is None:
            return
        start = self._since(page, now)
        for (metric, attributes), value in page.numbers.items():
            recorder.record(metric, value, dict(attributes), start=start)
        for (metric, attributes), buckets in page.buckets.items():
            if (histogram := buckets.finish()) is not None:
                recorder.record(metric, histogram, dict(attributes), start=start)

    def _since(self, page: _Page, now: int) -> int:
        """Since when sums count: the server says it, or else it has started anew when one of them fell."""
        sums = {key: value for key, value in page.numbers.items() if key[0].instrument == "counter"}
        sums |= {key: buckets.count for key, buckets in page.buckets.items()}
        fell = any(value < self._seen.get(key, value) for key, value in sums.items())
        if 0 < page.started < now:
            self._start = page.started
        elif fell:
            self._start = self._last
        self._seen, self._last = sums, now
        return self._start


def _read(answer: bytes, source: InferenceServer) -> _Page:
    preset = PRESETS[source.preset]
    samples: dict[str, list[Sample]] = {}
    for sample in read_samples(answer):
        samples.setdefault(sample.name, []).append(sample)
    page = _Page()
    if started := samples.get(_STARTED):
        page.started = int(started[0].value * 1e9) if 0 < started[0].value < 2**33 else 0
    for rule in preset.rules:
        if rule.metric.instrument == "histogram":
            name = next((name for name in rule.names if f"{name}_bucket" in samples), None)
            for part in ("bucket", "sum", "count") if name else ():
                _take(page, rule, samples.get(f"{name}_{part}", ()), part, preset, source)
        else:
            name = next((name for name in rule.names if name in samples), None)
            _take(page, rule, samples[name] if name else (), "", preset, source)
    return page


def _take(
    page: _Page, rule: Rule, samples: Iterable[Sample], part: str, preset: Preset, source: InferenceServer
) -> None:
    for sample in samples:
        label, wanted = rule.where
        if not math.isfinite(sample.value) or (label and sample.labels.get(label) != wanted):
            continue
        key = (rule.metric, _attributes(rule, sample.labels, preset, source))
        new = key not in page.numbers and key not in page.buckets
        if new and len(page.numbers) + len(page.buckets) >= source.max_series:
            page.full = True
            continue
        page.known += 1
        if part:
            _add(page.buckets.setdefault(key, _Buckets()), part, sample)
            continue
        value, before = sample.value * rule.scale, page.numbers.get(key, 0.0)
        page.numbers[key] = max(value, before) if rule.largest else value + before


def _add(buckets: _Buckets, part: str, sample: Sample) -> None:
    if part == "sum":
        buckets.sum += sample.value
    elif part == "count":
        buckets.count += sample.value
    else:
        try:
            bound = float(sample.labels.get("le", ""))
        except ValueError:
            return
        if bound == bound and (bound in buckets.counts or len(buckets.counts) < _MOST_BUCKETS):
            buckets.counts[bound] = buckets.counts.get(bound, 0.0) + sample.value


def _attributes(
    rule: Rule, labels: Mapping[str, str], preset: Preset, source: InferenceServer
) -> tuple[tuple[str, str], ...]:
    found = dict(rule.fixed)
    found.update((name, labels[label][:_LONGEST]) for label, name in rule.labels.items() if labels.get(label))
    if "ml.model.name" in rule.metric.attributes:
        found["ml.model.name"] = labels.get(preset.model, "")[:_LONGEST] or source.model_name
        found["ml.model.version"] = labels.get(preset.version, "")[:_LONGEST] or source.model_version
    return tuple((name, value) for name, value in found.items() if value)
