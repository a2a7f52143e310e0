"""Figures are those of scikit-learn, whatever is predicted."""

from __future__ import annotations

import warnings
from itertools import pairwise

import numpy as np
import pytest
from sklearn import metrics

from sluiceway.ml import classification, regression

SEEDS = range(40)


def _found(data: classification.Labelled, classes: int, positive: int) -> dict[str, float]:
    every = classification.figures(data, classes, positive, 0.5, 10, 20)
    return {figure: value for figure, code, value in every if code < 0}


@pytest.mark.parametrize("seed", SEEDS)
def test_two_classes(seed: int) -> None:
    """With ties among the scores, few records, and classes of any frequency."""
    random = np.random.default_rng(seed)
    size = int(random.integers(3, 400))
    truth = (random.random(size) < random.choice([0.1, 0.5, 0.9])).astype(np.int32)
    truth[:2] = 0, 1
    scores = np.clip(random.normal(0.3 + 0.4 * truth, 0.3), 0, 1).round(int(random.integers(1, 6)))
    predicted = (scores >= 0.5).astype(np.int32)
    found = _found(classification.Labelled(truth, predicted, scores), 2, 1)
    wanted = {
        "accuracy": metrics.accuracy_score(truth, predicted),
        "recall": metrics.recall_score(truth, predicted),
        "f1": metrics.f1_score(truth, predicted),
        "roc_auc": metrics.roc_auc_score(truth, scores),
        "average_precision": metrics.average_precision_score(truth, scores),
        "log_loss": metrics.log_loss(truth, scores),
        "brier_score": metrics.brier_score_loss(truth, scores),
    }
    if predicted.any():
        wanted["precision"] = metrics.precision_score(truth, predicted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("precision", "recall", "f1"):
            for average in ("macro", "micro"):
                wanted[f"{name}_{average}"] = getattr(metrics, f"{name}_score")(truth, predicted, average=average)
    assert found.pop("calibration_error") == pytest.approx(_calibration(truth, scores), abs=1e-9)
    assert found == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_several_classes(seed: int) -> None:
    """Each class has its own figures, and averages are those of all of them."""
    random = np.random.default_rng(seed)
    classes, size = int(random.integers(3, 7)), int(random.integers(30, 300))
    truth = random.integers(0, classes, size).astype(np.int32)
    truth[:classes] = range(classes)
    shares = random.dirichlet(np.ones(classes), size)
    predicted = shares.argmax(axis=1).astype(np.int32)
    data = classification.Labelled(truth, predicted, shares, list(range(classes)))
    found = _found(data, classes, -1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = {
            "accuracy": metrics.accuracy_score(truth, predicted),
            "roc_auc": metrics.roc_auc_score(truth, shares, multi_class="ovr"),
            "average_precision": metrics.average_precision_score(np.eye(classes)[truth], shares),
            "log_loss": metrics.log_loss(truth, shares),
            "brier_score": float(((shares - np.eye(classes)[truth]) ** 2).sum(axis=1).mean()),
        }
        for name in ("precision", "recall", "f1"):
            for average in ("macro", "micro"):
                wanted[f"{name}_{average}"] = getattr(metrics, f"{name}_score")(truth, predicted, average=average)
        parts = metrics.precision_recall_fscore_support(truth, predicted)
    right = truth == predicted
    assert found.pop("calibration_error") == pytest.approx(_calibration(right, shares.max(axis=1)), abs=1e-9)
    assert found == pytest.approx(wanted, abs=1e-9)
    of_class = {(figure, code): value for figure, code, value in classification.figures(data, classes, -1, 0.5, 10, 20)}
    for code in range(classes):
        assert of_class["recall", code] == pytest.approx(parts[1][code], abs=1e-9)
        assert of_class["f1", code] == pytest.approx(parts[2][code], abs=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_quantities(seed: int) -> None:
    """Quantities of any size."""
    random = np.random.default_rng(seed)
    size = int(random.integers(2, 300))
    truth = random.normal(random.normal(), 10.0 ** random.integers(-3, 6), size)
    predicted = truth + random.normal(0, np.abs(truth).mean(), size)
    assert dict(regression.figures(truth, predicted)) == pytest.approx({
        "mae": metrics.mean_absolute_error(truth, predicted),
        "rmse": metrics.root_mean_squared_error(truth, predicted),
        "mape": metrics.mean_absolute_percentage_error(truth, predicted),
        "r2": metrics.r2_score(truth, predicted),
    }, rel=1e-9)  # fmt: skip


def test_what_is_not_defined_is_left_out() -> None:
    """Labels that are all alike have no area under a curve, and truths that are all alike no R²."""
    alike = classification.Labelled(np.zeros(5, np.int32), np.zeros(5, np.int32), np.full(5, 0.2))
    assert not {"roc_auc", "average_precision", "precision"} & set(_found(alike, 2, 1))
    assert {"mae", "rmse"} == {name for name, _ in regression.figures(np.zeros(3), np.ones(3))}


def _calibration(truth: np.ndarray, shares: np.ndarray) -> float:
    """The definition, bin by bin."""
    edges = np.linspace(0, 1, 11)
    found = 0.0
    for low, high in pairwise(edges):
        rows = (shares > low) & (shares <= high) if low else (shares <= high)
        if rows.any():
            found += abs(shares[rows].mean() - truth[rows].mean()) * rows.sum() / len(truth)
    return float(found)
