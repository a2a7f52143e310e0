"""How far one sample is from another, and how likely that is when both come from the same source.

`ks` and `wasserstein` compare sorted numbers; `psi`, `chi_square` and `jensen_shannon` compare counts in cells, which
are categories, or bins of numbers by the quantiles of the reference. The first sample is always the reference.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "Distance", "adjusted", "bin_counts", "bin_edges", "chi_square", "jensen_shannon", "ks_and_wasserstein", "psi",
]  # fmt: skip

Floats: TypeAlias = npt.NDArray[np.float64]
Counts: TypeAlias = npt.NDArray[np.int64]

_FEWEST: Final = 5.0
"""How many are to be expected in a cell for the chi-square distribution to hold; after Cochran."""


class Distance(NamedTuple):
    """A score; where there is a test, the p-value; and where it is known, the score to be expected without drift."""

    score: float
    p_value: float | None = None
    expected: float | None = None


def ks_and_wasserstein(reference: Floats, current: Floats, scale: float) -> tuple[Distance, Distance]:
    """Kolmogorov and Smirnov's D with its asymptotic p-value, and the Wasserstein distance in units of `scale`.

    Both samples are sorted. Ties make the p-value larger than it is, so that the rate of false alarms holds.
    """
    from scipy.stats import distributions

    values = np.concatenate((reference, current))
    values.sort(kind="stable")
    of_reference = np.searchsorted(reference, values, side="right") / len(reference)
    of_current = np.searchsorted(current, values, side="right") / len(current)
    apart = np.abs(of_reference - of_current)
    score = float(apart.max())
    n, m = float(len(reference)), float(len(current))
    p_value = float(np.clip(distributions.kstwo.sf(score, np.round(n * m / (n + m))), 0, 1))
    moved = float((apart[:-1] * np.diff(values)).sum())
    return Distance(score, p_value), Distance(moved / scale if scale > 0 else moved)


def bin_edges(reference: Floats, bins: int) -> Floats:
    """The inner edges of bins for sorted numbers: quantiles, or the middles between them where few values differ."""
    different = np.unique(reference)
    if len(different) <= bins:
        return different[:-1] + np.diff(different) / 2
    edges = np.unique(np.quantile(reference, np.linspace(0, 1, bins + 1)[1:-1]))
    return np.asarray(edges[edges < reference[-1]])


def bin_counts(edges: Floats, values: Floats) -> Counts:
    """How many values lie in each bin; an edge belongs to the bin below."""
    return np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1).astype(np.int64)


def psi(reference: Counts, current: Counts) -> Distance:
    """The population stability index, Σ (c - r) ln(c / r) over the shares of cells; an empty cell counts as half a
    record. Without drift it is, times nm / (n + m), distributed as chi-square (Yurdakul 2018).
    """  # noqa: D205
    from scipy.stats import chi2

    used = (reference + current) > 0
    freedom = int(used.sum()) - 1
    if freedom < 1:
        return Distance(0.0, 1.0, 0.0)
    n, m = float(reference.sum()), float(current.sum())
    shares = np.maximum(reference[used], 0.5) / n
    now = np.maximum(current[used], 0.5) / m
    score = float(((now - shares) * np.log(now / shares)).sum())
    noise = 1 / n + 1 / m
    return Distance(score, float(chi2.sf(score / noise, freedom)), freedom * noise)


def chi_square(reference: Counts, current: Counts) -> Distance:
    """Pearson's test of homogeneity, without a correction. Cells too rare for it are taken together."""
    from scipy.stats import chi2

    table = np.stack((reference, current)).astype(np.float64)
    table = _pooled(table[:, table.sum(axis=0) > 0])
    if table.shape[1] < 2:
        return Distance(0.0, 1.0, 0.0)
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    score = float(((table - expected) ** 2 / expected).sum())
    return Distance(score, float(chi2.sf(score, table.shape[1] - 1)), float(table.shape[1] - 1))


def _pooled(table: Floats) -> Floats:
    """Cells with fewer than 5 to be expected in the smaller sample become one, together with the next rarest."""
    share = table.sum(axis=1).min() / table.sum()
    table = table[:, np.argsort(table.sum(axis=0), kind="stable")]
    expected = table.sum(axis=0) * share
    rare = int((expected < _FEWEST).sum())
    if rare == 0:
        return table
    while rare < table.shape[1] and expected[:rare].sum() < _FEWEST:
        rare += 1
    return np.concatenate((table[:, :rare].sum(axis=1, keepdims=True), table[:, rare:]), axis=1)


def jensen_shannon(reference: Counts, current: Counts) -> Distance:
    """The Jensen-Shannon distance with base 2: 0 for the same shares, 1 for cells that have nothing in common."""
    p, q = reference / reference.sum(), current / current.sum()
    middle = (p + q) / 2
    divergence = (_relative(p, middle) + _relative(q, middle)) / 2
    return Distance(float(np.sqrt(max(divergence, 0.0))))


def _relative(p: Floats, q: Floats) -> float:
    there = p > 0
    return float((p[there] * np.log2(p[there] / q[there])).sum())


def adjusted(p_values: npt.NDArray[Any]) -> Floats:
    """P-values after Benjamini and Hochberg: where they are at most alpha, at most alpha of what is found is false."""
    order = np.argsort(p_values)
    scaled = p_values[order] * len(p_values) / np.arange(1, len(p_values) + 1)
    found = np.empty(len(p_values))
    found[order] = np.minimum.accumulate(scaled[::-1])[::-1]
    return np.minimum(found, 1.0)
