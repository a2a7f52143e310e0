"""The report: counts and latencies."""

import pytest

from sluiceway.generate.report import KEPT, Latencies, Tally


def test_latencies_are_an_even_sample():
    """What is kept is bounded, and the longest is never forgotten."""
    latencies = Latencies()
    for number in range(KEPT + 1000):
        latencies.record(number / 1e6)
    assert len(latencies.kept) == KEPT
    assert latencies.milliseconds()["max"] == pytest.approx((KEPT + 999) / 1e3)
    assert latencies.milliseconds()["p50"] == pytest.approx(100.5, rel=0.02)


def test_the_report_reads_well():
    """The text names every count."""
    latencies = Latencies()
    latencies.record(0.002)
    tally = Tally(sent=1000, accepted=990, rejected=10, requests=3, retried=1, latencies=latencies)
    tally.errors["UNAVAILABLE"] += 1
    text = str(tally.report("spans", 2.0))
    assert "990 (495/s)" in text
    assert "UNAVAILABLE x 1" in text
    assert "p50 2.00" in text
