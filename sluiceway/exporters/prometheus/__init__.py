"""Shows metrics to Prometheus: keeps the last value of each series, and gives all of them to who asks for `/metrics`.

It sends nothing. A point is delivered once its series has its value; values that nobody scraped before the next one
came are as gone as in any process that Prometheus scrapes. Memory is all there is: after a restart series come back
with their next points, and sums of deltas begin at zero, which Prometheus sees as a counter's reset. A reload keeps
them, unless it changes names, labels, `max_series` or `enable_open_metrics`.

| OTLP | becomes |
| --- | --- |
| gauge, sum that is not monotonic | gauge |
| monotonic sum | counter, with `_total` |
| histogram | `_bucket` with `le`, `_sum`, `_count`; the count is that of the buckets |
| exponential histogram | native histogram in protobuf; in text a classic one, its buckets joined to powers of two |
| summary | `quantile`, `_sum`, `_count` |
| deltas | added up, each once: what comes again is not counted, what comes late is where its time was free |
| a point without value (its flag says so) | its series is gone, unless others have a part in it |
| resource | `job`, `instance`, and `target_info` with its other attributes |
| scope | `otel_scope_name`, `otel_scope_version`, `otel_scope_schema_url`, `otel_scope_<attribute>` |

Names follow OpenTelemetry's rules for Prometheus, by `translation_strategy`. Attributes whose labels get the same name
have their values joined by `;`. An attribute that would hide a label of ours (`job`, `otel_scope_name`, one of
`const_labels`, `le` of a histogram, `quantile` of a summary) gets `exported_` in front, as Prometheus does it.
`promtool check metrics` complains of what it takes for bad style, and what is shown as it came: a metric without a
description, a gauge with an attribute `le`, a unit such as `ms`.

A scraper gets Prometheus' text, OpenMetrics when `enable_open_metrics` is on and it asks for that, or protobuf when it
asks for that, as Prometheus does with `--enable-feature=native-histograms`. Exemplars go with OpenMetrics switched on
only. A page is made whole, once for all who asked for it before it was begun, and then sent: it has every point that
was taken before the request, and nobody waits for somebody else to read. While it is read it is in memory: some 100
to 250 bytes a sample, in gzip a thirtieth of that. It never fails because of the data:

| What comes | What happens |
| --- | --- |
| a metric with the name of another, and another type | the first stays; the second is rejected, logged once |
| the same name with another description | the first description is shown, logged once |
| two streams whose labels are the same | the newer point wins; deltas add up; `collision`, logged once a metric |
| an older point than the last one, be it without value | not shown; counted as `late` |
| a delta that has been counted already | counted as `duplicate` |
| a delta sum that is not monotonic; no temporality | rejected, as the specification has it |
| buckets that do not fit their bounds or 64 bits, a negative delta, a scale below -4 | rejected |
| labels of more than 64 KiB, a name or unit of more than 1 KiB | rejected; a resource has no `target_info` then |
| new series beyond `max_series` | deltas go to the metric's series `otel_metric_overflow="true"`; others are rejected |
| names without letter or digit | rejected; for a label the name is `key` |
| a monotonic sum that falls | is shown as it is: Prometheus takes it for a reset |
| a counter or quantile below zero, a counter that is NaN | is left out of OpenMetrics, which has no such value |
| a histogram with bounds below zero, or without a sum that is at least zero | OpenMetrics has its buckets only |
| a summary whose sum is below zero or NaN | OpenMetrics has no `_sum` of it |
| a metric called as another's `_created` | is left out of OpenMetrics |
| two resources with the same `job` and `instance` | `target_info` shows the newer |
| no point for `metric_expiration` | the series is gone, whether somebody scrapes or not |
| a scraper that reads its answer too slowly | is disconnected after `write_timeout`, 30 s unless set |
| scrapers that still read old pages, of more than 64 MiB in all | the oldest are disconnected |
| a page of more than 10 KiB for each of `max_series`, and than 64 MiB | 503; compressed it has about a tenth |
| an `Accept-Encoding` that excludes both gzip and no coding | 406; what it says of others has no effect |
| more than 1024 connections | the one that waits longest for a request makes way; a new one is reset if there is none |

Rejected points are dropped in the ledger as `rejected` and are never sent again. The metric
`sluiceway_prometheus_points` counts what was special, by `outcome`; `sluiceway_prometheus_series` says how many series
there are.

The series have the `job` and `instance` of the services they are of, so scrape this with `honor_labels: true`. Settings
of request bodies and their compression have no effect, as scrapes have none, nor have `cors` and `include_metadata`.

```yaml
exporters:
  prometheus:
    endpoint: localhost:9464
```
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from functools import partial
from http import HTTPStatus
from types import TracebackType
from typing import Final, Self
from urllib.parse import parse_qs

from sluiceway.component import Component, Context, Kind, PartialSuccess, Stability
from sluiceway.config.auth import authenticator
from sluiceway.config.listen import is_loopback
from sluiceway.errors import SenderError
from sluiceway.escape import escape
from sluiceway.exporters.prometheus.negotiation import choose, choose_coding
from sluiceway.exporters.prometheus.scrape import Edition, PageTooLargeError, Press, parts
from sluiceway.exporters.prometheus.server import NOT_FOUND, Answer, Request, ScrapeServer
from sluiceway.exporters.prometheus.settings import PrometheusConfig
from sluiceway.otlp import Batch, Signal, split
from sluiceway.prometheus._store import Store
from sluiceway.prometheus.translation import Translation

__all__ = ["COMPONENT", "PrometheusConfig", "PrometheusExporter"]

LARGE: Final = 2048
"""Points of a batch that is taken in one go; a larger one lets others have their turn in between."""
REFUSED: Final = {
    "conflict": "metrics with the name of another and another type",
    "unsupported": "deltas that are not monotonic, or sums without temporality",
    "nameless": "metrics without a name",
    "malformed": "points that make no sense",
    "no_room": "new series beyond max_series",
}
"""Why points are refused."""
NOTED: Final = ("duplicate", "late", "collision", "overflow")
"""What is counted besides."""
DEPRECATED: Final = {
    "add_metric_suffixes": "translation_strategy",
    "resource_to_telemetry_conversion": "resource_constant_labels",
}
"""What is better used instead."""
ROUND: Final = 300.0
"""Seconds in which whatever goes on comes again, where series do not expire."""
LARGEST_PAGE: Final = 10 * 1024
"""Bytes of a page for each of `max_series`."""
SMALLEST_BOUND: Final = 64 * 1024 * 1024
"""Bytes that a page may have in any case."""
_UNAUTHENTICATED: Final = Answer((b"401 unauthorized\n",), HTTPStatus.UNAUTHORIZED)
_NOT_ACCEPTABLE: Final = Answer((b"406 there is gzip, and no coding\n",), HTTPStatus.NOT_ACCEPTABLE)
_TOO_LARGE: Final = Answer(
    (b"503 this page is too large for the memory there is, ask for gzip\n",), HTTPStatus.SERVICE_UNAVAILABLE
)


class PrometheusExporter:
    """A store of series and the server that shows them. What it holds goes on with its successor after a reload."""

    def __init__(self, config: PrometheusConfig, context: Context) -> None:
        self._config = config
        self._context = context
        self._door = authenticator(config.auth, context)
        self._translation, self._store = self._inherit()
        self._outcomes: Counter[str] = Counter()
        self._server = ScrapeServer(config, self._respond, context.clock, context.kept.get("server"))
        self._publish()

    @property
    def port(self) -> int:
        """The port that is listened on, also where port 0 was asked for; zero while stopped."""
        return self._server.port

    async def __aenter__(self) -> Self:
        """Listen; raise `ConfigError` when that is not possible."""
        config, context = self._config, self._context
        async with AsyncExitStack() as stack:
            tasks = await asyncio.TaskGroup().__aenter__()
            stack.push_async_callback(tasks.__aexit__, None, None, None)
            largest = max(LARGEST_PAGE * config.max_series, SMALLEST_BOUND)
            self._press = Press(self._parts, tasks, largest=largest)
            await stack.enter_async_context(self._server)
            self._translation.complain = self._complain
            context.kept[config.shapes] = (self._translation, self._store)
            context.kept["server"] = self._server
            self._warn()
            stack.callback(tasks.create_task(self._sweep()).cancel)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._context.kept.get("server") is self._server:
            del self._context.kept["server"]
        await self._stack.aclose()

    async def consume(self, batch: Batch) -> PartialSuccess | None:
        """Keep the values of a batch; those that Prometheus cannot be shown are told as rejected."""
        clock, outcome = self._context.clock, Counter[str]()
        for part in split(batch, items=LARGE) if batch.items > LARGE else (batch,):
            if part is not batch:
                await clock.sleep(0)
            outcome.update(self._store.add(part.payload, clock.now(), clock.time_ns()))
        if not outcome:
            return None
        self._outcomes.update(outcome)
        refused = {why: outcome[why] for why in REFUSED if why in outcome}
        if not refused:
            return None
        text = ", ".join(f"{number} of {REFUSED[why]}" for why, number in refused.items())
        return PartialSuccess(sum(refused.values()), f"not shown to Prometheus: {text}")

    def _inherit(self) -> tuple[Translation, Store]:
        """What the exporter before a reload held, where it is made in the same way; else something empty."""
        if self._config.shapes in self._context.kept:
            translation, store = self._context.kept[self._config.shapes]
            return translation, store
        translation = Translation(self._config.rules, self._complain)
        store = Store(
            translation,
            max_series=self._config.max_series,
            with_exemplars=self._config.enable_open_metrics,
            seed=random.getrandbits(64),
        )
        return translation, store

    def _warn(self) -> None:
        config, logger = self._config, self._context.logger
        missing = [name for name, section in (("tls", config.tls), ("auth", config.auth)) if section is None]
        if missing and not is_loopback(config.endpoint, config.transport):
            logger.warning(
                "%s is reachable from other machines without %s", config.endpoint, " and without ".join(missing)
            )
        for key, better in DEPRECATED.items():
            if key in config.model_fields_set:
                logger.warning("%s is deprecated, use %s", key, better)

    def _complain(self, what: str, name: str) -> None:
        self._context.logger.warning("Metric %s %s", escape(name[:200]), what)

    async def _respond(self, request: Request) -> Answer:
        if self._door is not None:
            try:
                await self._door.authenticate(self._proof(request))
            except SenderError:
                return _UNAUTHENTICATED
        if request.path != "/metrics":
            return NOT_FOUND
        choice = choose(request.header("accept"), open_metrics=self._config.enable_open_metrics)
        coding = choose_coding(request.header("accept-encoding"))
        if coding is None:
            return _NOT_ACCEPTABLE
        try:
            page = await self._press.page(Edition(choice.format, choice.utf8, coding == "gzip"))
        except PageTooLargeError:
            return _TOO_LARGE
        self._outcomes["scrape"] += 1
        told = ("Content-Encoding: gzip",) if coding == "gzip" else ()
        return Answer(page, content_type=choice.content_type, headers=("Vary: Accept, Accept-Encoding", *told))

    def _parts(self, edition: Edition) -> AsyncGenerator[bytes]:
        return parts(
            self._store,
            self._translation.claims,
            edition.format,
            utf8=edition.utf8,
            timestamps=self._config.send_timestamps,
            limit=self._limit(),
        )

    def _proof(self, request: Request) -> dict[str, tuple[str, ...]]:
        names = self._config.auth.request_params if self._config.auth else ()
        query = parse_qs(request.query, max_num_fields=100) if names and request.query.count("&") < 100 else {}
        return {**request.headers, **{name.lower(): tuple(query[name]) for name in names if name in query}}

    def _limit(self) -> float:
        """Since when a series must have been seen to be shown."""
        lasting = self._config.metric_expiration
        return self._context.clock.now() - lasting if lasting else -math.inf

    async def _sweep(self) -> None:
        lasting = self._config.metric_expiration
        while True:
            await self._context.clock.sleep(min(max(lasting / 10, 1.0), 60.0) if lasting else 60.0)
            self._store.expire(self._limit(), self._context.clock.now() - (lasting or ROUND))
            if (kept := self._context.kept).get("server") is self._server:  # else a reload has put another here
                for shapes in kept.keys() - {self._config.shapes, "server"}:
                    del kept[shapes]  # of a configuration that a reload could have had to put back

    def _publish(self) -> None:
        scope = self._context.telemetry
        for outcome in (*REFUSED, *NOTED):
            scope.counter(
                "sluiceway_prometheus_points", partial(self._outcomes.__getitem__, outcome), "{datapoint}",
                "Points that were not simply shown, by what became of them.",
                exporter=self._context.id, outcome=outcome,
            )  # fmt: skip
        scope.counter(
            "sluiceway_prometheus_scrapes", lambda: self._outcomes["scrape"], "{scrape}",
            "Scrapes for which there was a page.", exporter=self._context.id,
        )  # fmt: skip
        scope.updown(
            "sluiceway_prometheus_series", lambda: len(self._store), "{series}",
            "Series that are kept.", exporter=self._context.id,
        )  # fmt: skip


COMPONENT = Component(
    type="prometheus",
    kind=Kind.EXPORTER,
    config=PrometheusConfig,
    create=PrometheusExporter,
    signals=frozenset({Signal.METRICS}),
    stability=Stability.BETA,
)
