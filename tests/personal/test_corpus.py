"""The corpus and the bounds that the detectors keep on it."""

from __future__ import annotations

from benchmarks.privacy.__main__ import LEAST_RECALL, MOST_ALARMS, found_kinds
from benchmarks.privacy.corpus import benign, personal
from sluiceway.personal import KINDS, Detectors

DETECTORS = Detectors((1 << len(KINDS)) - 1, decodes=True)


def test_the_same_seed_makes_the_same_corpus() -> None:
    """Figures can be repeated."""
    assert list(personal(5, 20)) == list(personal(5, 20))
    assert list(benign(5, 100)) == list(benign(5, 100))


def test_nearly_all_is_found() -> None:
    """Each detector finds at least 99.5 % of what it must, however it is hidden."""
    hits = dict.fromkeys(KINDS, 0)
    for sample in personal(2026, 1000):
        hits[sample.detector] += found_kinds(DETECTORS, sample)[0]
    assert min(hits.values()) >= 1000 * LEAST_RECALL


def test_hardly_anything_else_is_found() -> None:
    """At most one in a thousand values that hold nothing personal raises an alarm."""
    alarms = [sample.text for sample in benign(2026, 8000) if found_kinds(DETECTORS, sample)[1]]
    assert len(alarms) <= 8000 * MOST_ALARMS, alarms
