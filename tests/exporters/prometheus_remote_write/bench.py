"""What tests of the exporter share: metrics at chosen times, and the exporter with all that stands around it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from random import random as dice

import cramjam
from pydantic import TypeAdapter
from yaml import safe_load

from sluiceway.component import Context, Kind, SystemClock
from sluiceway.exporters.prometheus_remote_write import COMPONENT
from sluiceway.otlp import Batch, Signal
from sluiceway.otlp.metrics import MetricsWriter, ResourceWriter
from sluiceway.pipelines.wrap import Wrapped, wrap
from tests.exporters.backends import HttpBackend, make
from tests.exporters.prometheus_remote_write.reading import Read, read

__all__ = ["RESOURCE", "V2", "exporter", "gauges", "metrics", "received", "wrapped"]

RESOURCE = {"service.name": "shop", "service.namespace": "web", "service.instance.id": "a1", "host.name": "h"}
V2 = "protobuf_message: io.prometheus.write.v2.Request"


def metrics(*write: Callable[[ResourceWriter], None], resource: dict[str, str] = RESOURCE) -> Batch:
    """A batch of one resource, in which each function writes its metrics."""
    writer = MetricsWriter("bench", "1")
    into = writer.resource(resource)
    for one in write:
        one(into)
    return writer.batch()


def gauges(time: int, count: int = 1, *, name: str = "temperature", value: float = 20.5) -> Batch:
    """A batch of `count` series of one gauge, with ascending values, at one time in nanoseconds."""

    def write(into: ResourceWriter) -> None:
        gauge = into.gauge(name)
        for number in range(count):
            gauge.add(value + number, {"room": f"r{number}"}, time=time)

    return metrics(write)


def exporter(url: str, more: str = "", **context):
    """The exporter alone, from YAML."""
    return make(COMPONENT, f"{{endpoint: '{url}', {more}}}", **({"signals": {Signal.METRICS}} | context))


def wrapped(url: str, more: str = "", **context) -> Wrapped:
    """The exporter with its queue, retry and timeout, on the real clock, and without the request of the start."""
    config = TypeAdapter(COMPONENT.config).validate_python(safe_load(f"{{endpoint: '{url}', {more}}}"))
    given = Context(
        "out", Kind.EXPORTER, frozenset({Signal.METRICS}), clock=SystemClock(), logger=logging.getLogger("test")
    )
    given = replace(given, **context)
    whole = wrap(COMPONENT.create(config, given), config, given, random=dice)
    whole.check = None
    return whole


def received(backend: HttpBackend, *, second: bool = False) -> list[list[Read]]:
    """What each request to a backend held."""
    return [read(bytes(cramjam.snappy.decompress_raw(body)), second=second) for _, _, body in backend.requests]
