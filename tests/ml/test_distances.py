"""Distances between samples are those of scipy, and drift is told as often as it should be."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

from sluiceway.ml import distances
from tests.ml.feeding import Fed, by, predictions

SEEDS = 200
ALPHA = 0.05
MOST = ALPHA + 3 * (ALPHA * (1 - ALPHA) / SEEDS) ** 0.5
"""Three standard deviations above alpha: 200 runs exceed it three times in a thousand when the true rate is alpha."""


@pytest.mark.parametrize("seed", range(40))
def test_numbers(seed: int) -> None:
    """Kolmogorov-Smirnov and Wasserstein, with and without ties."""
    random = np.random.default_rng(seed)
    before, now = (np.sort(random.normal(size=int(random.integers(30, 500))).round(seed % 5)) for _ in range(2))
    ks, moved = distances.ks_and_wasserstein(before, now, float(before.std()))
    wanted = stats.ks_2samp(before, now, method="asymp")
    assert ks.score == pytest.approx(wanted.statistic, abs=1e-9)
    assert ks.p_value == pytest.approx(wanted.pvalue, abs=1e-9)
    assert moved.score == pytest.approx(stats.wasserstein_distance(before, now) / before.std(), abs=1e-9)


@pytest.mark.parametrize("seed", range(40))
def test_counts(seed: int) -> None:
    """Chi-square, Jensen-Shannon and PSI of counts that are large enough."""
    random = np.random.default_rng(seed)
    cells = int(random.integers(2, 12))
    before, now = random.integers(20, 400, (2, cells))
    chi = distances.chi_square(before, now)
    wanted = stats.chi2_contingency(np.stack((before, now)), correction=False)
    assert (chi.score, chi.p_value) == pytest.approx((wanted.statistic, wanted.pvalue), abs=1e-9)
    assert distances.jensen_shannon(before, now).score == pytest.approx(jensenshannon(before, now, base=2), abs=1e-9)
    p, q = before / before.sum(), now / now.sum()
    psi = distances.psi(before, now)
    assert psi.score == pytest.approx(float(((q - p) * np.log(q / p)).sum()), abs=1e-9)
    assert psi.expected == pytest.approx((cells - 1) * (1 / before.sum() + 1 / now.sum()))


@pytest.mark.parametrize("seed", range(40))
def test_many_tests(seed: int) -> None:
    """P-values are corrected as scipy corrects them."""
    p_values = np.random.default_rng(seed).random(seed + 1) ** 2
    assert distances.adjusted(p_values) == pytest.approx(stats.false_discovery_control(p_values), abs=1e-12)


def test_psi_without_drift_is_what_is_expected() -> None:
    """The index of samples of one source is, on the average of 200 seeds, its null expectation."""
    found, expected = [], 0.0
    for seed in range(SEEDS):
        random = np.random.default_rng(seed)
        before, now = np.sort(random.normal(size=2000)), random.normal(size=1000)
        edges = distances.bin_edges(before, 10)
        psi = distances.psi(distances.bin_counts(edges, before), distances.bin_counts(edges, now))
        found.append(psi.score)
        expected = psi.expected or 0.0
    assert np.mean(found) == pytest.approx(expected, rel=0.1)


async def _alarms(shift: float, features: int, category_shift: float = 0.0) -> list[set[str]]:
    """For each seed, the features in which a window is told to have drifted from the reference before it."""
    found = []
    for seed in range(SEEDS):
        random = np.random.default_rng(seed)
        fed = Fed("{reference: {first_n: 300}, drift: {adwin: {enabled: false}, methods: [ks, chi_square]}}")
        for part, moved in ((0, 0.0), (1, 1.0)):
            columns = {f"f{place}": random.normal(size=300) for place in range(features)}
            columns["f0"] = columns["f0"] + moved * shift
            chances = np.array([0.5, 0.3, 0.2]) + moved * category_shift * np.array([-1, 0, 1])
            columns["kind"] = random.choice(np.array(["a", "b", "c"], object), 300, p=chances)
            fed.engine.predictions(
                predictions(300, first=300 * part, prediction=np.full(300, "yes", object), features=columns)
            )
        told = by(await fed.tell(), "ml.drift.detected", "kind", "feature")
        found.append({feature for (kind, feature), value in told.items() if kind == "feature" and value})
    return found


@pytest.mark.parametrize("features", [1, 9])
async def test_false_alarms(features: int) -> None:
    """Without drift a model's features are told to have drifted as often as alpha says, however many there are."""
    assert sum(map(bool, await _alarms(0.0, features))) / SEEDS <= MOST


async def test_a_planted_shift_is_found() -> None:
    """A mean that moves by half a deviation is found nearly always, in the feature where it is."""
    found = await _alarms(0.5, 9)
    assert sum("f0" in features for features in found) / SEEDS >= 0.95
    others = sum(len(features - {"f0"}) for features in found) / SEEDS / 9
    assert others <= ALPHA


async def test_a_planted_change_of_categories_is_found() -> None:
    """Categories whose shares move by 0.15 are found nearly always."""
    assert sum("kind" in features for features in await _alarms(0.0, 3, 0.15)) / SEEDS >= 0.9
