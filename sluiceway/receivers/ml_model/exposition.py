"""The samples on a page in Prometheus's text format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sluiceway.receivers.prometheus.reader import Format
from sluiceway.receivers.prometheus.scrape import Answer, families

__all__ = ["Sample", "read_samples"]


class Sample(NamedTuple):
    """One line of a page."""

    name: str
    labels: Mapping[str, str]
    value: float


def read_samples(page: bytes) -> Iterable[Sample]:
    """The samples of a page; raises `ValueError` for what is none. Blocks: a large page takes long."""
    for family in families(Answer(page, Format.TEXT)):
        for sample in family.samples:
            yield Sample(sample.name, sample.labels, sample.value)
