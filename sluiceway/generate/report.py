"""What became of the load: counts, the rate that was reached, and latencies from the moments requests were due."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any

__all__ = ["Latencies", "Report", "Tally"]

KEPT = 200_000
"""How many latencies are kept; of more, an even sample."""


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome. Counts are items, `retried` and `requests` excepted, and times are seconds, latencies milliseconds.

    sent = accepted + rejected + failed. Rejected items were refused for good by the other side, failed ones were not
    delivered before the retries ended. Latency runs from the moment a request was due, so waiting for a free
    connection counts.
    """

    signal: str
    sent: int
    accepted: int
    rejected: int
    failed: int
    requests: int
    retried: int
    seconds: float
    rate: float
    latency_ms: Mapping[str, float]
    errors: Mapping[str, int]
    """Answers other than success, by code."""

    @property
    def lost(self) -> int:
        """Items that did not arrive."""
        return self.rejected + self.failed

    def as_dict(self) -> dict[str, Any]:
        """The report as plain data."""
        return asdict(self)

    def __str__(self) -> str:
        latency = "  ".join(f"{name} {value:.2f}" for name, value in self.latency_ms.items())
        lines = [
            f"sent      {self.sent:>12,} {self.signal} in {self.requests:,} requests, {self.seconds:.2f} s",
            f"accepted  {self.accepted:>12,} ({self.rate:,.0f}/s)",
            f"rejected  {self.rejected:>12,}",
            f"failed    {self.failed:>12,}",
            f"retried   {self.retried:>12,} requests",
            f"latency   {latency} ms",
        ]
        if self.errors:
            lines.append("answers   " + ", ".join(f"{code} x {count:,}" for code, count in self.errors.items()))
        return "\n".join(lines)


@dataclass(slots=True)
class Latencies:
    """An even sample of seconds, bounded."""

    chance: Random = field(default_factory=lambda: Random(1))  # noqa: S311 - a sample, not cryptography
    kept: array[float] = field(default_factory=lambda: array("d"))
    count: int = 0
    longest: float = 0.0

    def record(self, seconds: float) -> None:
        """Count one request."""
        self.count += 1
        self.longest = max(self.longest, seconds)
        if len(self.kept) < KEPT:
            self.kept.append(seconds)
        elif (place := self.chance.randrange(self.count)) < KEPT:
            self.kept[place] = seconds

    def milliseconds(self) -> dict[str, float]:
        """The median, high percentiles and the maximum."""
        ordered = sorted(self.kept) or [0.0]
        marks = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
        shown = {name: ordered[min(len(ordered) - 1, int(share * len(ordered)))] for name, share in marks.items()}
        return {name: round(value * 1e3, 3) for name, value in (shown | {"max": self.longest}).items()}


@dataclass(slots=True)
class Tally:
    """The counts while the load runs."""

    sent: int = 0
    accepted: int = 0
    rejected: int = 0
    failed: int = 0
    requests: int = 0
    retried: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    latencies: Latencies = field(default_factory=Latencies)

    def report(self, signal: str, seconds: float) -> Report:
        """The report after `seconds`."""
        return Report(
            signal=signal, sent=self.sent, accepted=self.accepted, rejected=self.rejected, failed=self.failed,
            requests=self.requests, retried=self.retried, seconds=round(seconds, 3),
            rate=round(self.accepted / seconds if seconds else 0.0, 1),
            latency_ms=self.latencies.milliseconds(), errors=dict(self.errors.most_common()),
        )  # fmt: skip
