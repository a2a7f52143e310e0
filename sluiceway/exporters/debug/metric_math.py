"""The buckets of exponential histograms in numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.proto.metrics.v1.metrics_pb2 import ExponentialHistogramDataPoint

__all__ = ["exponential_bounds"]


def exponential_bounds(point: ExponentialHistogramDataPoint) -> Iterator[tuple[float, float, int]]:
    """Lower bound, upper bound and count of each bucket, from the lowest value to the highest.

    Bucket i spans base^i to base^(i+1) with base = 2^(2^-scale), as OTLP's `ExponentialHistogramDataPoint` says. Bounds
    too large for a float are infinite.
    """
    negative, positive = point.negative, point.positive
    for index in reversed(range(len(negative.bucket_counts))):
        low, high = (_bound(negative.offset + index + step, point.scale) for step in (0, 1))
        yield -high, -low, negative.bucket_counts[index]
    if point.zero_count:
        yield 0.0, 0.0, point.zero_count
    for index, count in enumerate(positive.bucket_counts):
        yield _bound(positive.offset + index, point.scale), _bound(positive.offset + index + 1, point.scale), count


def _bound(index: int, scale: int) -> float:
    try:
        return math.exp2(math.ldexp(index, -scale))
    except OverflowError:
        return math.inf if index > 0 else 0.0 if index else 1.0
