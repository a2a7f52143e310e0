"""Requests read into plain Python: what a receiver knows of each series."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

from tests.exporters.prometheus_remote_write.messages import First, Second

__all__ = ["STALE", "Read", "bits", "number", "read"]

STALE = 0x7FF0000000000002

Labels = tuple[tuple[str, str], ...]


def bits(value: float) -> int:
    """A double as it is on the wire, in which NaN differs from NaN."""
    return int(struct.unpack("<Q", struct.pack("<d", value))[0])


def number(bits: int) -> float:
    """What a double's bits mean."""
    return float(struct.unpack("<d", struct.pack("<Q", bits))[0])


@dataclass
class Read:
    """One series of a request. Samples are (milliseconds, start, bits), histograms (milliseconds, start, facts)."""

    labels: Labels
    samples: list[tuple[int, int, int]] = field(default_factory=list)
    histograms: list[tuple[int, int, Any]] = field(default_factory=list)
    exemplars: list[tuple[int, int, Labels]] = field(default_factory=list)
    metadata: tuple[int, str, str] | None = None


def read(content: bytes, *, second: bool) -> list[Read]:
    """The series of one request; checks what the specification says of labels and symbols."""
    if second:
        message = Second.FromString(content)
        symbols = list(message.symbols)
        assert symbols[0] == ""
        assert len(set(symbols)) == len(symbols)
    else:
        message, symbols = First.FromString(content), []
    return [_series(series, symbols, second=second) for series in message.timeseries]


def _labels(holder: Any, symbols: list[str], *, second: bool) -> Labels:
    if not second:
        return tuple((label.name, label.value) for label in holder.labels)
    texts = [symbols[ref] for ref in holder.labels_refs]
    return tuple(zip(texts[::2], texts[1::2], strict=True))


def _series(series: Any, symbols: list[str], *, second: bool) -> Read:
    labels = _labels(series, symbols, second=second)
    names = [name.encode() for name, _ in labels]
    assert names == sorted(set(names))
    assert all(name and value for name, value in labels)
    assert not (series.samples and series.histograms)
    result = Read(labels)
    for sample in series.samples:
        result.samples.append((sample.timestamp, sample.start_timestamp if second else 0, bits(sample.value)))
    for one in series.histograms:
        result.histograms.append((one.timestamp, one.start_timestamp if second else 0, _facts(one)))
    for exemplar in series.exemplars:
        found = _labels(exemplar, symbols, second=second)
        result.exemplars.append((exemplar.timestamp, bits(exemplar.value), found))
    times = [time for time, *_ in result.samples + result.histograms]
    assert times == sorted(times)
    if second:
        told = series.metadata
        result.metadata = (told.type, symbols[told.help_ref], symbols[told.unit_ref])
    return result


def _facts(one: Any) -> Any:
    sides = (
        _buckets(one.positive_spans, one.positive_deltas),
        _buckets(one.negative_spans, one.negative_deltas),
    )
    return one.count_int, bits(one.sum), one.schema, one.zero_threshold, one.zero_count_int, *sides


def _buckets(spans: Any, deltas: Any) -> tuple[tuple[int, int], ...]:
    """Index and count of each bucket that is not empty, as Prometheus's specification reads spans and deltas."""
    index = count = 0
    left = list(deltas)
    buckets: list[tuple[int, int]] = []
    for span in spans:
        index += span.offset
        for _ in range(span.length):
            count += left.pop(0)
            assert count >= 0
            if count:
                buckets.append((index, count))
            index += 1
    assert not left
    return tuple(buckets)
