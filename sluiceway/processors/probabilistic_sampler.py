"""Keeps a part of the traces or log records and drops the rest, the same part everywhere.

The decisions are the Collector's, bit for bit, so that layers of collectors of both kinds keep the same traces. What is
dropped is counted in the ledger as `sampled`, once what is kept is safe. Nothing is held back, and nothing else changes
but what says how an item was sampled: the tracestate of spans (`ot=rv:...;th:...`), and the attributes
`sampling.threshold` and `sampling.randomness` of log records.

`hash_seed` hashes the trace id (or of log records an attribute) with a seed; layers that are to sample anew need other
seeds.
`equalizing` and `proportional` use the randomness in the trace id or tracestate, as W3C Trace Context level 2 and
OpenTelemetry have it: the first brings everything to one probability at most, the second takes its part of whatever
arrives. Items without randomness, with a malformed tracestate, or with marks of another kind of sampling fail: they
are dropped, or with `fail_closed: false` kept.

A span with the attribute `sampling.priority` is always kept where that is above zero, and dropped where it is zero.

```yaml
processors:
  probabilistic_sampler:
    sampling_percentage: 15.3
    mode: proportional
```
"""

from __future__ import annotations

from typing import Final, Literal, Self

from pydantic import Field, model_validator

from sluiceway.component import Component, Context, Kind, Prepared, Reason, Stability
from sluiceway.config.types import Settings
from sluiceway.otlp import Batch, Signal
from sluiceway.otlp.plan import Plan, Sample, Tally
from sluiceway.otlp.sampling import MIN_PROBABILITY, POLICIES, policies, single

__all__ = ["COMPONENT", "SamplerConfig", "SamplerProcessor"]

_LARGEST_FLOAT: Final = 3.4028234663852886e38


class SamplerConfig(Settings):
    """The settings of `probabilistic_sampler`."""

    sampling_percentage: float = 0.0
    """How much to keep: 0 keeps nothing, 100 and more everything."""
    mode: Literal["", "hash_seed", "equalizing", "proportional"] = ""
    """How to decide; `hash_seed` when empty."""
    hash_seed: int = Field(default=0, ge=0, lt=2**32)
    """The seed of `hash_seed`: the same for collectors that share the load, another for each layer."""
    fail_closed: bool = True
    """Whether to drop items that cannot be decided about; else they are kept."""
    sampling_precision: int = 4
    """How many hexadecimal digits of the threshold count, 1 to 14."""
    attribute_source: Literal["traceID", "record"] = "traceID"
    """Log records: whether to hash the trace id, or only the attribute `from_attribute`; for `hash_seed`."""
    from_attribute: str = ""
    """Log records: the attribute to hash where there is no trace id, or `attribute_source` is `record`."""
    sampling_priority: str = ""
    """Log records: an attribute that holds the percentage to sample this record with."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = []
        percentage = self.sampling_percentage
        if abs(percentage) > _LARGEST_FLOAT:
            problems.append(f"sampling rate is invalid: {percentage:g}%")
        elif percentage < 0:
            problems.append(f"sampling rate is negative: {percentage:g}%")
        elif percentage and single(percentage) / 100 < MIN_PROBABILITY:
            problems.append(f"sampling rate is too small: {percentage:g}%")
        if self.sampling_precision == 0:
            problems.append("invalid sampling precision: 0")
        elif not 1 <= self.sampling_precision <= 14:
            problems.append(f"sampling precision is too great, should be <= 14: {self.sampling_precision}")
        if problems:
            raise ValueError("; ".join(problems))
        return self


_METRICS: Final = {
    Signal.TRACES: ("otelcol_processor_probabilistic_sampler_count_traces_sampled", "spans"),
    Signal.LOGS: ("otelcol_processor_probabilistic_sampler_count_logs_sampled", "logs"),
}


class SamplerProcessor:
    """An editor that samples."""

    reads_payload = False
    counts_items = False

    def __init__(self, config: SamplerConfig, context: Context, _next: object) -> None:
        self.plan = Plan([
            Sample(
                config.sampling_percentage,
                config.mode or "hash_seed",
                seed=config.hash_seed,
                fail_closed=config.fail_closed,
                precision=config.sampling_precision,
                from_trace_id=config.attribute_source == "traceID",
                attribute=config.from_attribute,
                priority=config.sampling_priority,
            )
        ])  # fmt: skip
        self._context = context
        self._attribute = config.from_attribute
        self._counts: dict[tuple[Signal, int, bool], int] = {}

    def prepare(self, batch: Batch) -> Prepared:
        """Never drops or refuses itself: the walk does."""
        return Prepared(batch, tallied=self._count)

    def _count(self, signal: Signal, tallies: tuple[Tally, ...]) -> None:
        (tally,) = tallies
        self._context.drop(tally[0], Reason.SAMPLED, intended=True)
        for place, sampled, count in policies(tally):
            if count:
                key = (signal, place, sampled)
                if key not in self._counts:
                    self._show(*key)
                self._counts[key] = self._counts.get(key, 0) + count

    def _show(self, signal: Signal, place: int, sampled: bool) -> None:
        name, what = _METRICS[signal]
        self._context.telemetry.counter(
            name,
            lambda: self._counts.get((signal, place, sampled), 0),
            "1",
            f"Count of {what} that were sampled or not",
            policy=POLICIES[place] or self._attribute,
            sampled=str(sampled).lower(),
        )


COMPONENT = Component(
    type="probabilistic_sampler",
    kind=Kind.PROCESSOR,
    config=SamplerConfig,
    create=SamplerProcessor,
    signals=frozenset({Signal.TRACES, Signal.LOGS}),
    stability=Stability.BETA,
)
