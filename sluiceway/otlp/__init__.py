"""The data and the wire kernel: OTLP as bytes, checked once, edited in place, joined by concatenation."""

from sluiceway.otlp.batch import (
    Batch,
    Limits,
    Origin,
    Signal,
    accept,
    causes_of,
    group_resources,
    join,
    keep_resources,
    partition,
    pick,
    repaired_texts,
    resources,
    sample,
    split,
    take,
)

__all__ = [
    "Batch",
    "Limits",
    "Origin",
    "Signal",
    "accept",
    "causes_of",
    "group_resources",
    "join",
    "keep_resources",
    "partition",
    "pick",
    "repaired_texts",
    "resources",
    "sample",
    "split",
    "take",
]
