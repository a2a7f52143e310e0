"""Compile samplers: from a percentage to the threshold that randomness must reach.

The arithmetic is that of the Collector, bit for bit: percentages have 32 bits, probabilities 64, thresholds 56.
"""

from __future__ import annotations

import math
import struct
from typing import Final

from sluiceway.otlp.actions import Sample
from sluiceway.otlp.anyvalue import decode_value
from sluiceway.otlp.rewriting import value_text
from sluiceway.otlp.steps import Sampler, SamplerMode

__all__ = ["MIN_PROBABILITY", "POLICIES", "compile_sampler", "policies", "single"]

MIN_PROBABILITY: Final = 2.0**-56
"""The smallest probability that a threshold can express."""
POLICIES: Final = (
    "trace_id_hash", "trace_id_w3c", "sampling_randomness", "sampling_priority", "missing_randomness", "",
)  # fmt: skip
"""Where randomness came from, as the metrics call it; the last is called as the attribute that was hashed."""
_NEVER: Final = 2**56
_BUCKETS: Final = 2**14
_FIRST: Final = 2


def single(number: float) -> float:
    """Round to 32 bits."""
    return float(struct.unpack("<f", struct.pack("<f", number))[0])


def compile_sampler(sample: Sample) -> Sampler:
    """Make what the kernel decides by."""
    percentage = min(single(sample.percentage), 100.0)
    ratio = max(percentage / 100, MIN_PROBABILITY)
    mode, threshold = SamplerMode[sample.mode.upper()], _NEVER
    if percentage == 0:
        mode = SamplerMode.NEVER_MODE
    elif mode is SamplerMode.EQUALIZING:
        threshold = threshold_of(ratio, sample.precision)
    elif mode is SamplerMode.HASH_SEED:
        accepted = int(single(percentage * single(_BUCKETS / 100)))
        mode = mode if accepted else SamplerMode.NEVER_MODE
        threshold = (_BUCKETS - accepted) << 42
    return Sampler(
        mode=mode,
        threshold=threshold,
        ratio=ratio,
        precision=sample.precision,
        seed=sample.seed,
        fail_closed=sample.fail_closed,
        from_trace_id=sample.from_trace_id,
        attribute=sample.attribute.encode() or None,
        priority=sample.priority.encode() or None,
        text=_text,
    )


def threshold_of(probability: float, precision: int) -> int:
    """Return the threshold of a probability, with so many significant hexadecimal digits.

    Leading zeros and Fs do not count as significant, so that small probabilities and those near one keep their
    relative precision.
    """
    if probability == 1:
        return 0
    _, exponent = math.frexp(probability)
    _, other = math.frexp(1 - probability)
    precision = min(14, max(precision + -exponent // 4, precision + -other // 4))
    threshold = _NEVER - math.floor(probability * _NEVER + 0.5)
    shift = 4 * (14 - precision)
    return (threshold + (1 << shift >> 1)) >> shift << shift


def _text(content: bytes) -> bytes:
    return value_text(decode_value(content)).encode()


def policies(tally: tuple[int, ...]) -> list[tuple[int, bool, int]]:
    """Read a tally: which policy by its place in `POLICIES`, whether items were kept by it, and how many."""
    counts = tally[_FIRST : _FIRST + 2 * len(POLICIES)]
    return [(place // 2, place % 2 == 1, count) for place, count in enumerate(counts)]
