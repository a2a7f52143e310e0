"""One target: its scrapes, what they become, and how it is."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any, Final

from sluiceway import __version__
from sluiceway.component import Context
from sluiceway.otlp import Batch, Origin, Signal
from sluiceway.receivers.prometheus._series import Reading, Series
from sluiceway.receivers.prometheus.discovery import TargetKey
from sluiceway.receivers.prometheus.exposition import ExpositionError, Key, Labels, labels_of
from sluiceway.receivers.prometheus.reader import Reader
from sluiceway.receivers.prometheus.relabel import relabel
from sluiceway.receivers.prometheus.scrape import Answer, Client, Request, ScrapeError, request_of
from sluiceway.receivers.prometheus.settings import PrometheusConfig, ScrapeConfig
from sluiceway.receivers.prometheus.translation import Encoded, Translation

__all__ = ["Asked", "Outcome", "Target"]

_NOBODY: Final = -2
"""The number of a scrape in which nothing was seen."""
_THREAD: Final = 128 * 1024
"""Bytes of an answer from which on it is read in a thread."""
_MOST: Final = 1_000_000
"""Samples of a scrape, where nothing else is said; a target may not fill our memory."""
_REPORTS: Final = {
    "up": ("", "The scraping was successful"),
    "scrape_duration_seconds": ("s", "Duration of the scrape"),
    "scrape_samples_scraped": ("", "The number of samples the target exposed"),
    "scrape_samples_post_metric_relabeling": (
        "", "The number of samples remaining after metric relabeling was applied",
    ),
    "scrape_series_added": ("", "The approximate number of new series in this scrape"),
    "scrape_timeout_seconds": ("s", "The configured scrape timeout for a target"),
    "scrape_sample_limit": ("", "The configured sample limit for a target"),
    "scrape_body_size_bytes": ("By", "The uncompressed size of the last scrape response, if successful"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of asking a target: its answer, or what is wrong; when (nanoseconds), and how many seconds it took."""

    answer: Answer | None
    error: str
    time: int
    duration: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a scrape came to: the batch, what is wrong (empty when nothing is), and how many samples came twice."""

    batch: Batch
    error: str = ""
    repeated: int = 0


class Target:
    """What is known of one target between its scrapes. Series are read once, and found again by their text."""

    def __init__(
        self, config: PrometheusConfig, job: ScrapeConfig, key: TargetKey, context: Context, *, trim: bool = False,
        extra: bool = False,
    ) -> None:  # fmt: skip
        self.key = key
        self._config = config
        self._job = job
        self._context = context
        self._labels = dict(key.labels)
        self._extra = extra or bool(config.of(job, "extra_scrape_metrics"))
        scheme = key.url.partition(":")[0]
        instance = self._labels.get("instance", "")
        scope = (f"sluiceway/receivers/{context.id.partition('/')[0]}", __version__)
        self._translation = Translation(self._labels.get("job", job.job_name), instance, scheme, scope, trim=trim)
        self._reports = Translation(self._labels.get("job", job.job_name), instance, scheme, scope)
        self._reader = Reader(self._translation.describe)
        for name, (unit, text) in _REPORTS.items():
            for word, said in (("TYPE", "gauge"), ("HELP", text), ("UNIT", unit)):
                self._reports.describe(word, name, said)
        self._known: dict[Any, Series | None] = {}
        self._number = 0
        self._added = 0
        self._usual = 0
        self._reading = Reading(0, 0, False)
        self._most = config.of(job, "sample_limit") or _MOST
        self._limits = tuple(
            config.of(job, name) or 0 for name in ("label_limit", "label_name_length_limit", "label_value_length_limit")
        )

        self._limited = any(self._limits)

    @property
    def name(self) -> str:
        """The target as logs have it: its job and instance."""
        return f"{self._labels.get('job', self._job.job_name)}/{self._labels.get('instance', self.key.url)}"

    @property
    def request(self) -> Request:
        """How it is asked."""
        config, job = self._config, self._job
        legacy = config.of(job, "metric_name_validation_scheme") == "legacy"
        limit = config.of(job, "body_size_limit") or 0
        return request_of(job, config.protocols(job), self.key.timeout, limit, legacy=legacy)

    async def ask(self, client: Client) -> Asked:
        """Ask once. What the target says is not read yet, so that this can be cancelled."""
        clock = self._context.clock
        begin, now = clock.now(), clock.time_ns() // 1_000_000 * 1_000_000
        answer: Answer | None = None
        error = ""
        try:
            async with clock.timeout(self.key.timeout):
                answer = await client.get(self.key.url, self.request)
        except TimeoutError:
            error = f"context deadline exceeded (no answer within {self.key.timeout:g}s)"
        except ScrapeError as failure:
            error = str(failure)
        except Exception as failure:
            self._context.logger.debug("a target could not be asked", exc_info=failure)
            error = f"{type(failure).__name__}: {failure}"[:300]
        return Asked(answer, error, now, clock.now() - begin)

    async def read(self, asked: Asked) -> Outcome:
        """Make a batch of what was said, or of what is no longer known. Must not be cancelled."""
        if asked.answer is not None and len(asked.answer.body) >= _THREAD:
            return await asyncio.to_thread(self.outcome, asked)
        return self.outcome(asked)

    def end(self) -> Batch:
        """The batch that ends all series, of a target that is no longer to be scraped."""
        now = self._context.clock.time_ns() // 1_000_000 * 1_000_000
        nothing = Reading(_NOBODY, now, False)
        return self._batch(self._translation.encode(nothing, now)[0], self._reports.encode(nothing, now)[0])

    def outcome(self, asked: Asked) -> Outcome:
        """As `read`, at once. What one target answers ends nothing but its own series."""
        try:
            return self._outcome(asked)
        except Exception as failure:
            self._context.logger.debug("an answer could not be taken", exc_info=failure)
            self._reset()
            text = f"{type(failure).__name__}: {failure}"[:300]
            return self._outcome(replace(asked, answer=None, error=text))

    def _outcome(self, asked: Asked) -> Outcome:
        answer, error, now = asked.answer, asked.error, asked.time
        self._number += 1
        self._added = 0
        reading = Reading(self._number, now, self._job.honor_timestamps, self._job.track_timestamps_staleness)
        if answer is not None:
            error = self._read(answer, reading)
        if error:
            content = self._translation.encode(Reading(_NOBODY, now, False), now, keep=True)[0]
            if len(self._known) > 2 * self._usual + 1_000:  # mostly series of scrapes that failed
                self._reset()
        else:
            content = self._encode(reading, now)
            self._usual = reading.scraped
        reports = self._report(reading, now, asked.duration, up=not error, size=len(answer.body) if answer else 0)
        return Outcome(self._batch(content, reports), error, reading.repeated)

    def _batch(self, content: Encoded, reports: Encoded) -> Batch:
        points = content.points + reports.points
        return Batch(Signal.METRICS, content.beside(reports), points, Origin(self._context.clock.now()))

    def _read(self, answer: Answer, reading: Reading) -> str:
        """Take an answer; returns what is wrong with it."""
        if self._translation.stale_metadata:
            self._reset()
        if self._translation.crowded:
            self._reader.refresh()
        self._reading = reading
        try:
            self._reader.read(answer.body, answer.format, reading, self._known, self._admit)
        except ExpositionError as failure:
            return str(failure)
        except Exception as failure:
            self._context.logger.debug("an answer could not be read", exc_info=failure)
            return f"{type(failure).__name__}: {failure}"[:300]
        return f"sample limit exceeded (limit {self._most})" if reading.kept > self._most else ""

    def _reset(self) -> None:
        self._translation.forget()
        self._translation.metadata.clear()
        self._reader = Reader(self._translation.describe)
        self._known.clear()

    def _encode(self, reading: Reading, now: int) -> Encoded:
        content, dropped = self._translation.encode(reading, now)
        if (named := self._reader.named) is not None:
            self._translation.prune(named)
            self._reader.named = None
        for series in dropped:
            for key in series.keys[1:]:
                self._known.pop(key, None)
        if len(self._known) > 2 * reading.scraped + 1_000:  # mostly series that relabelling drops, long gone
            for key in [key for key, series in self._known.items() if series is None]:
                del self._known[key]
        return content

    def _admit(self, key: Key, native: bool) -> Series | None:
        """The series for a key that is new; None when relabelling drops it. Raises `ExpositionError`."""
        if len(self._known) > 2 * max(self._most, _MOST):
            raise ExpositionError("far more series than can be remembered")
        labels = labels_of(key)
        if "" in labels.values():
            labels = {name: value for name, value in labels.items() if value}
        self._join(labels)
        if not relabel(labels, self._job.metric_relabel_configs):
            self._known[key] = None
            return None
        if self._reading.kept >= self._most:
            raise ExpositionError(f"sample limit exceeded (limit {self._most})")
        if "" in labels.values():
            labels = {name: value for name, value in labels.items() if value}
        if "__name__" not in labels:
            raise ExpositionError(f"missing metric name ({key!r:.120} label set)")
        if self._limited:
            self._check(labels)
        series, new = self._translation.place(labels, native=native)
        series.keys.append(key)
        self._known[key] = series
        self._added += new
        return series

    def _join(self, labels: Labels) -> None:
        """Add the target's labels to those of a series."""
        for name, value in self._labels.items():
            own = labels.get(name)
            if own is None:
                labels[name] = value
            elif not self._job.honor_labels:
                renamed = f"exported_{name}"
                while renamed in labels or renamed in self._labels:
                    renamed = f"exported_{renamed}"
                labels[renamed] = own
                labels[name] = value

    def _check(self, labels: Labels) -> None:
        most, name_length, value_length = self._limits
        shown = ascii(labels["__name__"])[:80]
        if most and len(labels) > most:
            raise ExpositionError(
                f"label_limit exceeded (metric: {shown}, number of labels: {len(labels)}, limit: {most})"
            )
        for name, value in labels.items():
            if name_length and len(name.encode()) > name_length:
                raise ExpositionError(
                    f"label_name_length_limit exceeded (metric: {shown}, label name: {ascii(name)[:60]}, "
                    f"length: {len(name.encode())}, limit: {name_length})"
                )
            if value_length and len(value.encode()) > value_length:
                raise ExpositionError(
                    f"label_value_length_limit exceeded (metric: {shown}, label name: {ascii(name)[:60]}, "
                    f"length: {len(value.encode())}, limit: {value_length})"
                )

    def _report(self, reading: Reading, now: int, duration: float, *, up: bool, size: int) -> Encoded:
        """What the scrape says of itself."""
        values = {
            "up": float(up),
            "scrape_duration_seconds": duration,
            "scrape_samples_scraped": float(reading.scraped),
            "scrape_samples_post_metric_relabeling": float(reading.kept),
            "scrape_series_added": float(self._added),
        }
        if self._extra:
            limit = self._config.of(self._job, "sample_limit")
            values |= {
                "scrape_timeout_seconds": self.key.timeout,
                "scrape_sample_limit": float(limit or 0),
                "scrape_body_size_bytes": float(size),
            }
        own = Reading(reading.number, now, False)
        for name, value in values.items():
            series, _ = self._reports.place({**self._labels, "__name__": name})
            own.take(series, value, None)
        return self._reports.encode(own, now)[0]
