"""The samples on a page in Prometheus's text format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sluiceway.errors import ConfigError

__all__ = ["Sample", "check_parser", "read_samples"]


class Sample(NamedTuple):
    """One line of a page."""

    name: str
    labels: Mapping[str, str]
    value: float


def check_parser() -> None:
    """Raise `ConfigError` where the library is not installed."""
    from importlib.util import find_spec

    if find_spec("prometheus_client") is None:
        raise ConfigError("inference servers need prometheus_client: pip install 'sluiceway[ml]'")


def read_samples(page: bytes) -> Iterable[Sample]:
    """The samples of a page; raises `ValueError` for what is none. Blocks: a large page takes long."""
    from prometheus_client.parser import text_string_to_metric_families

    for family in text_string_to_metric_families(page.decode(errors="replace")):
        for sample in family.samples:
            yield Sample(sample.name, sample.labels, sample.value)
